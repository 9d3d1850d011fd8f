"""A disk that fails at any write, sync, truncation or creation: an error says so, and nothing acknowledged is lost.

A file system of the tests' own lets the n-th such call of a ledger's life fail, for every n with HOLDFAST_FAULTS=all, otherwise
for some. A write that fails is torn; a sync that fails loses what was written since the last one, as Linux may.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import Ledger
from holdfast.storage.copying import backup_ledger
from holdfast.storage.creation import read_settings
from holdfast.storage.failures import LedgerError
from holdfast.storage.ports import Commit, StoreBusyError, StoredEntry, StoreError
from holdfast.storage.pruning import prune
from holdfast.storage.sqlite import schema
from holdfast.storage.sqlite import store as sqlite_store
from holdfast.storage.stores import open_store
from storage.apsw_driver import drive_with
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from collections.abc import Callable

apsw: Any = pytest.importorskip("apsw")

ROWS = draw_rows(240, txs=240)
STEP_ROWS = 40
PIECE_BYTES = 65_536
"""SQLite reads and writes no more than this at a time."""
BAD_ROW = b"type,client,tx,amount\nnonsense,4111111111111111,2,3\n"
CALLS_MAX = 400
STRIDE = 1 if os.environ.get("HOLDFAST_FAULTS") == "all" else 29


class Disk:
    """Counts the calls that may fail, and lets one fail, or all from one on."""

    def __init__(self) -> None:
        self.fail_from = self.fail_until = 0
        self.calls = 0
        self.synced: dict[str, bytes] = {}
        self.next_sync_fails = False

    def begin(self, fail_from: int, fail_until: int) -> None:
        """Count from 0 again."""
        self.calls, self.fail_from, self.fail_until = 0, fail_from, fail_until
        self.synced = {}

    def fails(self) -> bool:
        """Count a call; say whether it fails."""
        self.calls += 1
        return self.fail_from <= self.calls < self.fail_until


DISK = Disk()


def failing_vfs(kind: str) -> Any:  # noqa: C901  # many small methods
    """Make a file system below which :data:`DISK` is, that fails as a full disk (ENOSPC) or as a broken one (EIO) does."""

    def error(code: int) -> Exception:
        if kind == "ENOSPC" and code == apsw.SQLITE_IOERR_WRITE:
            code = apsw.SQLITE_FULL
        failed: Exception = apsw.exception_for(code)
        return failed

    class File(apsw.VFSFile):  # type: ignore[misc]  # apsw is not always there
        def __init__(self, name: Any, flags: list[int]) -> None:
            self.path = name.filename() if hasattr(name, "filename") else str(name)
            super().__init__("", name, flags)

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's names
            if DISK.fails():
                super().xWrite(data[: len(data) // 2], offset)
                raise error(apsw.SQLITE_IOERR_WRITE)
            super().xWrite(data, offset)

        def xTruncate(self, size: int) -> None:  # noqa: N802
            if DISK.fails():
                raise error(apsw.SQLITE_IOERR_TRUNCATE)
            super().xTruncate(size)

        def xSync(self, flags: int) -> None:  # noqa: N802
            if DISK.fails() or DISK.next_sync_fails:
                DISK.next_sync_fails = False
                self.lose()
                raise error(apsw.SQLITE_IOERR_FSYNC)
            super().xSync(flags)
            self.keep()

        def lose(self) -> None:
            """Take back what was not synced."""
            size = self.xFileSize()
            before = DISK.synced.get(self.path, b"")[:size].ljust(size, b"\0")
            for begin in range(0, size, PIECE_BYTES):
                super().xWrite(before[begin : begin + PIECE_BYTES], begin)

        def keep(self) -> None:
            """Remember what is on the disk."""
            pieces = range(0, self.xFileSize(), PIECE_BYTES)
            whole = b"".join(super(File, self).xRead(PIECE_BYTES, begin) for begin in pieces)
            DISK.synced[self.path] = whole[: self.xFileSize()]

    class System(apsw.VFS):  # type: ignore[misc]  # the same
        def __init__(self) -> None:
            super().__init__("failing", "")

        def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
            if flags[0] & apsw.SQLITE_OPEN_CREATE and DISK.fails():
                raise error(apsw.SQLITE_CANTOPEN)
            return File(name, flags)

    return System()


def count_rows(ledger: Ledger) -> int:
    """Count the decided rows of the stream."""
    state = ledger.find_stream("day")
    return 0 if state is None else state.rows


def live(path: str, copy: str, troubles: list[BaseException]) -> int:
    """Create, load, make checkpoints, redact, compact, back up, load the rest; give how many rows were acknowledged."""
    acknowledged = 0

    def load(until: int) -> None:
        nonlocal acknowledged
        with Ledger.open(path, disk_bytes_min=0, checkpoints_keep=1) as ledger:
            if not ledger.decided:
                ledger.process(BAD_ROW)
            begin = count_rows(ledger) // STEP_ROWS * STEP_ROWS + STEP_ROWS
            for end in range(begin, until + 1, STEP_ROWS):
                ledger.process(csv_of(ROWS[:end]), stream="day")
                assert ledger.failure is None
                acknowledged = max(acknowledged, end)
                ledger.checkpoint()

    def maintain(what: str) -> None:
        with open_store(path, read_only=True) as store, closing(store.reader()) as reader:
            read_settings(path, reader)
        with open_store(path) as store:
            if what == "redact":
                store.erase_raw_texts(1 << 40)
                assert not any(
                    b"4111111111111111" in each.read_bytes() for each in Path(path).parent.iterdir()
                )
            else:
                prune(store, 40, None, None)
                store.compact()

    steps: tuple[Callable[[], None], ...] = (
        lambda: load(120),
        lambda: maintain("redact"),
        lambda: maintain("compact"),
        lambda: backup_ledger(path, copy),
        lambda: load(240),
    )
    for step in steps:
        try:
            step()
        except (StoreError, LedgerError) as error:
            troubles.append(error)
    return acknowledged


def check_copy(copy: str) -> None:
    """A backup is whole, or not there."""
    if os.path.exists(copy):
        with closing(Ledger.open(copy, read_only=True)) as ledger:
            assert found_accounts(ledger.accounts()) == expected_accounts(ROWS[: count_rows(ledger)])


@pytest.mark.parametrize("lasts", [False, True], ids=["once", "from-then-on"])
@pytest.mark.parametrize("kind", ["EIO", "ENOSPC"])
def test_every_call_that_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, lasts: bool
) -> None:
    """Whichever it is, an error says what to do, no thread stays, and the ledger opens with all that was acknowledged."""
    vfs = failing_vfs(kind)
    first = 1 + 2 * lasts + 4 * (kind == "EIO")
    for number in range(first, CALLS_MAX, STRIDE):
        directory = tmp_path / str(number)
        directory.mkdir()
        path, copy = str(directory / "p.db"), str(directory / "copy.db")
        troubles: list[BaseException] = []
        DISK.begin(number, 1 << 40 if lasts else number + 1)
        with monkeypatch.context() as patched:
            drive_with(patched, "failing")
            patched.setattr(sqlite_store, "_LOG_BYTES_MAX", 30_000)
            acknowledged = live(path, copy, troubles)
        calls = DISK.calls
        for error in troubles:
            words = str(error)
            assert any(
                way in words
                for way in (
                    "open the ledger again",
                    "open it again",
                    "check that",
                    "makes one",
                    "restore",
                    "no such ledger",
                )
            ), words
        assert not [each for each in threading.enumerate() if each.name == "holdfast-commit"], number
        with Ledger.open(path, disk_bytes_min=0) as ledger:
            assert acknowledged <= count_rows(ledger), (number, troubles)
            assert found_accounts(ledger.accounts()) == expected_accounts(ROWS[: count_rows(ledger)])
            ledger.verify()
            ledger.process(csv_of(ROWS), stream="day")
            assert found_accounts(ledger.accounts()) == expected_accounts(ROWS)
        check_copy(copy)
        if calls < number:
            assert number > 60, "too few calls were counted"
            break
    else:
        raise AssertionError(f"there are more than {CALLS_MAX} calls: not all of them failed once")
    del vfs


def test_nothing_is_copied_from_a_log_that_the_disk_has_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a sync that failed, closing leaves the file alone: what was synced before is there, and the file is sound."""
    vfs = failing_vfs("EIO")
    path = str(tmp_path / "p.db")
    DISK.begin(0, 0)
    with monkeypatch.context() as patched:
        drive_with(patched, "failing")
        store = open_store(path)
        store.create({"id": b"1"})
        store.commit(Commit([StoredEntry(0, 1, 0, b"x" * 200_000)]))
        for number in range(1, 6):
            store.commit(Commit([StoredEntry(number, 1, number, b"y" * 200_000)]), sync=False)
        DISK.next_sync_fails = True
        with pytest.raises(StoreError, match="look into the system's log"):
            store.sync()
        store.close()
    with open_store(path) as store, closing(store.reader()) as reader:
        assert [each.data for each in reader.entries(0)][:1] == [b"x" * 200_000]
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    del vfs


def test_texts_that_somebody_reads_are_not_called_erased(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a reader holds SQLite's log, an error says that the texts are still in it; then they go."""
    path = str(tmp_path / "p.db")
    monkeypatch.setattr(schema, "_BUSY_MS", 50)
    with Ledger.open(path) as ledger:
        ledger.process(BAD_ROW)
    with open_store(path) as store:
        with closing(store.reader()) as reader, reader.frozen():
            reader.last_entry()
            with pytest.raises(StoreBusyError, match="log beside the file still has them"):
                store.erase_raw_texts(1 << 40)
        store.erase_raw_texts(1 << 40)
        assert not any(b"4111111111111111" in each.read_bytes() for each in Path(path).parent.iterdir())


def test_a_backup_of_nothing(tmp_path: Path) -> None:
    """A file without a ledger is no backup."""
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreError, match="there is no ledger here yet"):
        backup_ledger(str(tmp_path / "empty.db"), str(tmp_path / "copy.db"))
    assert not (tmp_path / "copy.db").exists()
