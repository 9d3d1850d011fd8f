"""A replay takes long entries piece by piece, and comes to the journaled outcomes or says which row differs."""

from __future__ import annotations

import array
import gc
import re
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast import Ledger
from holdfast.domain.settings import Settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.packing.decided_rows import DecidedRowBuffer
from holdfast.storage.creation import read_settings
from holdfast.storage.entry import Chain
from holdfast.storage.failures import ReplayDiffersError
from holdfast.storage.memory import MemoryStore
from holdfast.storage.ports import Commit, StoreDamagedError, StoredEntry
from holdfast.storage.recovery import Recovery
from holdfast.storage.sections import EntryKind, Sections
from holdfast.storage.stores import open_store

if TYPE_CHECKING:
    from holdfast.storage.ports import Store
    from holdfast.storage.sqlite.reader import SqliteReader

PIECE_ROWS = 8192
ENTRY_ROWS = 3 * PIECE_ROWS + 500
REFUSED = 31


def deposits(count: int) -> Batch:
    """Make deposits that are all applied, one client's more often than the others'."""
    return Batch.from_columns(
        array.array("B", [1]) * count,
        array.array("Q", [number % 7 * (number % 2) for number in range(count)]),
        array.array("Q", range(count)),
        array.array("q", [1]) * count,
    )


def packed_deposits(count: int, refused: dict[int, int] | None = None) -> bytes:
    """Pack them with their outcomes, of which some are made up."""
    rows = [
        (1, number % 7 * (number % 2), number, 1, (refused or {}).get(number, 1)) for number in range(count)
    ]
    buffer = DecidedRowBuffer(count)
    buffer.append(Batch.from_rows(rows), 0, count)
    return buffer.pack()


def store_with(body: bytes, count: int) -> Store:
    """Make a store with a ledger that has one entry."""
    store = MemoryStore()
    with Ledger.open(store):
        pass
    with closing(store.reader()) as reader:
        settings = read_settings(store.name, reader)
    entry = Chain("x").append(EntryKind.ROWS, count, 1_000_000, settings, Sections(body))
    store.commit(Commit([entry]))
    return store


def recover(store: Store, until: int | None = None) -> LedgerCore:
    """Recover a state."""
    with closing(store.reader()) as reader:
        return Recovery(reader, "test", read_settings("test", reader)).run(until=until).core


@pytest.mark.parametrize(
    "until", [1, PIECE_ROWS - 1, PIECE_ROWS, PIECE_ROWS + 1, 2 * PIECE_ROWS + 77, ENTRY_ROWS]
)
def test_a_long_entry_is_replayed_up_to_any_row(until: int) -> None:
    """Within a piece, at its end, and after it."""
    expected = LedgerCore(pages=True)
    batch = deposits(ENTRY_ROWS)
    expected.decide(batch, 0, until)
    core = recover(store_with(packed_deposits(ENTRY_ROWS), ENTRY_ROWS), until)
    assert (core.decided, core.digest()) == (until, expected.digest())


@pytest.mark.parametrize("row", [0, PIECE_ROWS - 1, PIECE_ROWS, 2 * PIECE_ROWS + 5, ENTRY_ROWS - 1])
def test_the_first_row_that_differs_is_named(row: int) -> None:
    """In whichever piece it is; what comes after the wanted state does not count."""
    store = store_with(packed_deposits(ENTRY_ROWS, {row: REFUSED, ENTRY_ROWS - 1: REFUSED}), ENTRY_ROWS)
    with pytest.raises(
        ReplayDiffersError, match=f"decision {row + 1} gives APPLIED, and the journal says DUPLICATE_TX"
    ):
        recover(store)
    if row:
        assert recover(store, row).decided == row


def test_rows_that_cannot_be_read_are_named() -> None:
    """Those of a later piece as well, and another number of rows than the entry says."""
    body = packed_deposits(ENTRY_ROWS)
    with pytest.raises(
        StoreDamagedError, match="the rows of the entry at decision 0 cannot be read: packed rows"
    ):
        recover(store_with(body[:-1], ENTRY_ROWS))
    # The amounts are the last column: a block of constants, whose form becomes an impossible one.
    place = len(body) - 9
    with pytest.raises(
        StoreDamagedError, match="the rows of the entry at decision 0 cannot be read: packed rows"
    ):
        recover(store_with(body[:place] + b"\x7f" + body[place + 1 :], ENTRY_ROWS))
    with pytest.raises(StoreDamagedError, match=f"has {ENTRY_ROWS} rows and says 7"):
        recover(store_with(body, 7))


def test_reading_goes_on_where_it_was(tmp_path: Path) -> None:
    """The last entries of many are found as fast as the first ones."""
    entries = [StoredEntry(number, 1, 1_000_000, b"x" * 40) for number in range(4000)]
    steps = [0]

    def count_step() -> int:
        steps[0] += 1
        return 0

    with open_store(str(tmp_path / "p.db")) as store:
        store.create({"settings": b"x"})
        store.commit(Commit(entries))
        with closing(store.reader()) as reader:
            sqlite: SqliteReader = reader  # type: ignore[assignment]  # what a store in a file has
            sqlite._connection.set_progress_handler(
                count_step, 100
            )  # how much SQLite works, nobody else knows
            taken = []
            for number, each in enumerate(reader.entries(0), 1):
                if number in {16, 400, 3600, 3984}:
                    taken.append(steps[0])
                assert each.sequence == number - 1
            assert number == 4000
    first, last = taken[1] - taken[0], taken[3] - taken[2]
    assert last <= 2 * first + 10


def large_page_bytes() -> int:
    """Say how much memory of this process the system was asked to hold in pages of two megabytes."""
    text = Path("/proc/self/smaps").read_text(encoding="utf-8")
    parts = re.findall(r"^Size: +(\d+) kB$(?:\n\w+:.*$)*?\nVmFlags:(.*)$", text, re.MULTILINE)
    return sum(int(size) << 10 for size, flags in parts if " hg" in flags)


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage").exists(),
    reason="the system has no large pages, or does not tell",
)
def test_a_replay_takes_large_pages_and_what_follows_does_not() -> None:
    """Unless memory is limited: then records come and go in smaller pieces."""
    count = 400_000
    batch = deposits(count)
    store = MemoryStore()
    with Ledger.open(store) as ledger:
        ledger.apply_batch(batch.types, batch.clients, batch.txs, batch.amounts)
    gc.collect()
    before = large_page_bytes()
    with closing(store.reader()) as reader:
        limited = Recovery(reader, "test", Settings(), memory_bytes_max=1 << 30).run(checkpoint=0)
        assert large_page_bytes() == before
        found = Recovery(reader, "test", Settings()).run(checkpoint=0)
    replayed = large_page_bytes()
    assert replayed >= before + (2 << 20)
    assert found.core.digest() == limited.core.digest()
    more = Batch.from_columns(
        batch.types, batch.clients, array.array("Q", range(count, 2 * count)), batch.amounts
    )
    found.core.decide(more)
    assert large_page_bytes() == replayed
