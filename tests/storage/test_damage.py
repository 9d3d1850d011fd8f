"""A ledger of every kind of entry and page, one of whose bytes is another one: found, named, and nothing wrong is served.

A byte here and there of each, and with HOLDFAST_FLIPS=all of many more; that a checksum covers every byte is tested where
each of them is read.
"""

from __future__ import annotations

import os
import random
import sqlite3
from contextlib import closing, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from holdfast import Chargeback, Deposit, Dispute, Ledger
from holdfast.storage.copying import restore_ledger
from holdfast.storage.entry import decode_entry
from holdfast.storage.failures import LedgerError
from holdfast.storage.memory import MemoryContents, MemoryStore
from holdfast.storage.ports import (
    PAGE_ACCOUNTS,
    PAGE_CHANGES,
    PAGE_RUN,
    StoreDamagedError,
    StoreError,
)
from holdfast.storage.sections import Acceptance, EntryKind, Note
from holdfast.storage.sqlite.store import SqliteStore
from holdfast.storage.view import LedgerView
from storage.ledgers import csv_of, draw_rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

IS_THOROUGH = os.environ.get("HOLDFAST_FLIPS") == "all"
PLACES = 100 if IS_THOROUGH else 3
PLACES_OF_A_PAGE = 3 if IS_THOROUGH else 2
ROWS = draw_rows(400, txs=400)
SCATTERED = [number * 7_919_777 % 2**32 for number in range(1, 301)]
"""So many that some of them are in the index, and in the log of changes."""


def fill(store: MemoryStore) -> Ledger:
    """Make every kind of entry and page, and leave some entries after the last checkpoint."""
    ledger = Ledger.open(store)
    ledger.process(csv_of(ROWS[:200]) + b"nonsense,4111111111111111,1,1\n", stream="day")
    ledger.process(csv_of([(1, 30, tx, 10_000) for tx in SCATTERED]))
    ledger.checkpoint()
    for each in (Deposit(40, 1 << 30, "1"), Dispute(40, 1 << 30), Chargeback(40, 1 << 30)):
        assert ledger.apply(each).is_applied
    ledger.unlock(40, reason="a mistake", actor="ann")
    for tx in SCATTERED[-10:]:
        assert ledger.apply(Dispute(30, tx), actor="bob").is_applied
    with suppress(KeyError), ledger.atomic():
        ledger.process(csv_of(ROWS[:300]), stream="undone")
        raise KeyError
    ledger.checkpoint()
    ledger._core.accept(Acceptance(1, 3, 1), Note("ann", "an upgrade"))
    ledger.change_settings(rules="cards", reason="a contract")
    assert ledger.apply(Deposit(31, 1 << 31, "1"), idempotency_key="order 8").is_applied
    ledger.process(csv_of(ROWS[200:]) + b"more,nonsense\n", stream="rest")
    return ledger


@pytest.fixture(scope="module")
def contents() -> MemoryContents:
    """Give what a store holds of such a ledger, which was never closed in order."""
    store = MemoryStore()
    with fill(store):
        found = store._published
    kinds = {decode_entry("", each).kind for each in found.entries}
    assert kinds == set(EntryKind)
    assert {kind for kind, _, _ in found.pages} == {PAGE_ACCOUNTS, PAGE_RUN, PAGE_CHANGES}
    assert len(found.checkpoints) == 2
    assert len(found.raw_texts) == 2
    assert found.entries[-1].sequence > max(each.sequence for each in found.checkpoints.values())
    return found


def store_of(contents: MemoryContents) -> MemoryStore:
    """Make a store of its own."""
    store = MemoryStore()
    store._published = contents
    return store


def look(contents: MemoryContents) -> dict[str, object]:
    """Ask a ledger everything; give the answers, errors among them."""
    answers: dict[str, object] = {}

    def ask(what: str, question: Callable[[], object]) -> None:
        try:
            answers[what] = question()
        except (StoreError, LedgerError) as error:
            answers[what] = error

    def ask_ledger() -> None:
        with Ledger.open(store_of(contents), read_only=True) as ledger:
            ask("accounts", lambda: ledger.accounts().to_csv())
            ask("totals", lambda: ledger.totals()[:5])
            ask("streams", lambda: [ledger.find_stream(name) for name in ("day", "undone", "rest")])
            for tx in (*range(0, 400, 7), *SCATTERED[::31], SCATTERED[-1], 1 << 31):
                with suppress(KeyError):
                    ask(f"transaction {tx}", lambda tx=tx: ledger.transaction(tx))  # type: ignore[misc]  # a default
            ask("history", lambda: (ledger.history(1), ledger.history(30)))

    def ask_view() -> None:
        with LedgerView(store_of(contents)) as view:
            for number in (100, 230, 300, 400):
                ask(f"as of {number}", lambda number=number: view.accounts(number).to_csv())  # type: ignore[misc]
            for time_us in TIMES:
                ask(f"at {time_us}", lambda time=time_us: view.accounts(as_of_time_us=time).to_csv())  # type: ignore[misc]
            ask("refused", lambda: [row[:8] for row in view.refused()])
            ask("settings", view.settings)

    ask("ledger", ask_ledger)
    ask("view", ask_view)
    return answers


TIMES: list[int] = []


def verified(contents: MemoryContents) -> Exception | None:
    """Verify; give the error."""
    try:
        with LedgerView(store_of(contents)) as view:
            view.verify()
    except (StoreError, LedgerError) as error:
        return error
    return None


def flipped(data: bytes, places: int, seed: int) -> Iterator[bytes]:
    """Give the data with a bit flipped in so many of its bytes, and cut off at one of them."""
    rng = random.Random(seed)
    chosen = range(len(data)) if places >= len(data) else sorted(rng.sample(range(len(data)), places))
    for place in chosen:
        yield data[:place] + bytes([data[place] ^ 1 << rng.randrange(8)]) + data[place + 1 :]
    if data:
        yield data[: rng.randrange(len(data))]


def with_other(contents: MemoryContents, table: str, key: object, value: object) -> MemoryContents:
    """Give contents in which one thing is another; without it, if the value is None."""
    copy = MemoryContents(contents)
    what = getattr(copy, table)
    if value is None:
        del what[key]
    else:
        what[key] = value
    return copy


def damaged_entries(contents: MemoryContents) -> Iterator[tuple[str, MemoryContents]]:
    """Give stores with a damaged entry, with one that says another thing beside its bytes, and with one that is missing."""
    for place, entry in enumerate(contents.entries):
        what = f"entry {place}, {decode_entry('', entry).kind.name}"
        bads = [replace(entry, data=bad) for bad in flipped(entry.data, PLACES, place)]
        for bit in (0, 40) if not IS_THOROUGH else range(0, 63, 7):
            bads += [
                replace(entry, **{name: getattr(entry, name) ^ 1 << bit})
                for name in ("sequence", "count", "time_us")
            ]
        for bad in bads:
            yield what, with_other(contents, "entries", place, bad)
        if 0 < place < len(contents.entries) - 1:  # without the last one, the journal is whole, and shorter
            yield f"{what} missing", with_other(contents, "entries", place, None)


def damaged(contents: MemoryContents) -> Iterator[tuple[str, MemoryContents]]:
    """Give stores in which one thing is another, and what it is."""
    yield from damaged_entries(contents)
    for table, places in (("meta", PLACES), ("raw_texts", PLACES), ("pages", PLACES_OF_A_PAGE)):
        things = list(getattr(contents, table).items())
        if table == "pages" and not IS_THOROUGH:
            things = [each for each in things if each[0][0] != PAGE_RUN] + things[::40]
        for number, (key, value) in enumerate(things):
            for bad in flipped(value, places, number):
                if bad or table != "raw_texts":  # a text that is empty was erased
                    yield f"{table} {key}", with_other(contents, table, key, bad)
    for number, record in contents.checkpoints.items():
        records = [record._replace(data=bad) for bad in flipped(record.data, PLACES, number)]
        records += [record._replace(sequence=record.sequence ^ 1 << bit) for bit in (0, 3, 20, 40)]
        records.append(record._replace(number=number ^ 1 << 5))
        for each in records:
            yield f"checkpoint {number}", with_other(contents, "checkpoints", number, each)


def test_whatever_is_damaged_is_found(contents: MemoryContents) -> None:
    """``verify`` finds it and says what it is; every answer is the right one, or an error that names what is damaged."""
    TIMES[:] = sorted({each.time_us for each in contents.entries})[::4]
    right = look(contents)
    assert not [answer for answer in right.values() if isinstance(answer, Exception)]
    assert verified(contents) is None
    count = 0
    for what, bad in damaged(contents):
        count += 1
        error = verified(bad)
        assert error is not None, what
        named = (
            "entry at decision",
            "entries",
            "checkpoint",
            "page",
            "description",
            "journal ends",
            "replaying decision",
        )
        assert any(name in str(error) for name in named), (what, str(error))
        for question, answer in look(bad).items():
            if isinstance(answer, Exception):
                assert any(name in str(answer) for name in named), (what, question, str(answer))
            else:
                assert answer == right[question], (what, question)
    assert count > 200, count


def test_every_byte_of_a_file(tmp_path: Path) -> None:
    """A byte of a SQLite file that is another one: an error, or the right accounts; what SQLite does not use may be anything."""
    path = tmp_path / "p.db"
    with Ledger.open(path) as ledger:
        ledger.process(csv_of(ROWS[:200]), stream="day")
        ledger.checkpoint()
        ledger.process(csv_of(ROWS[200:]), stream="rest")
        accounts = ledger.accounts().to_csv()
    whole = path.read_bytes()
    rng = random.Random(3)
    outcomes = {"error": 0, "right": 0}
    bad_path = tmp_path / "bad.db"
    for _ in range(5_000 if IS_THOROUGH else 300):
        place = rng.randrange(len(whole))
        bad = bytearray(whole)
        bad[place] ^= 1 << rng.randrange(8)
        bad_path.write_bytes(bad)
        try:
            with Ledger.open(SqliteStore.open(str(bad_path), read_only=True), read_only=True) as ledger:
                found = ledger.accounts().to_csv()
                ledger.verify()
        except (StoreError, LedgerError):
            outcomes["error"] += 1
        else:
            assert found == accounts, place
            outcomes["right"] += 1
        for suffix in ("-shm", "-wal"):
            bad_path.with_name("bad.db" + suffix).unlink(missing_ok=True)
    assert min(outcomes.values()) > 5, outcomes


def test_a_restore_does_not_stop_at_a_time_that_is_damaged(tmp_path: Path) -> None:
    """An entry that seems to be of a later time would end a copy too early."""
    path = str(tmp_path / "p.db")
    with Ledger.open(path) as ledger:
        for part in range(4):
            ledger.process(csv_of(ROWS[part * 100 : (part + 1) * 100]))
        with ledger._view() as view:
            until = view.info().last_time_us
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE entries SET time_us = time_us + 1000000000000 WHERE sequence = 200")
        connection.commit()
    with pytest.raises(StoreDamagedError, match="entry at decision 200"):
        restore_ledger(path, str(tmp_path / "copy.db"), None, until)
    assert not (tmp_path / "copy.db").exists()
