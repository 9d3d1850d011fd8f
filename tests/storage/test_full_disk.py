"""A disk that is full while a ledger tidies up: housekeeping waits for room, and nothing else is touched by it."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from e2e.command import run, start
from e2e.output_faults import mounted
from e2e.serving import error_code, serving
from holdfast import Deposit, Dispute, Ledger, LedgerFullError
from holdfast.storage.ports import (
    CheckpointRecord,
    Commit,
    StoreBusyError,
    StoredEntry,
    StoredPage,
    StoreError,
)
from holdfast.storage.sqlite import store as sqlite_store
from holdfast.storage.sqlite.store import SqliteStore
from holdfast.storage.sqlite.writer_lock import WriterLock
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on a disk of 4 MB."""
    with mounted(tmp_path / "small", "-o", "size=4m") as directory:
        yield directory


def fill(directory: Path) -> Path:
    """Leave no room on a disk; give the file that takes it."""
    filler = directory / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass
    return filler


def count_entries(store: SqliteStore) -> int:
    """Count what a reader finds."""
    with contextlib.closing(store.reader()) as reader:
        return len(list(reader.entries(0)))


def count_pages(store: SqliteStore) -> int:
    """Count the versions of pages."""
    with contextlib.closing(store.reader()) as reader:
        return reader.sizes().pages


def test_a_log_that_finds_no_room(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's log is copied when there is room again; until then it stays, is read from, and survives the end."""
    path = str(small_disk / "p.db")
    with SqliteStore.open(path) as store:
        store.create({"id": b"1"})
        for number in range(8):
            store.commit(Commit([StoredEntry(number, 1, number, os.urandom(50_000))]))
        filler = fill(small_disk)
        monkeypatch.setattr(sqlite_store, "_LOG_BYTES_MAX", 0)
        store.tidy()
        assert os.path.getsize(path) < 100_000, "the log was copied: the disk was not full"
        assert count_entries(store) == 8
        filler.unlink()
        store.commit(Commit([StoredEntry(8, 1, 8, b"more")]))
        store.tidy()
        assert os.path.getsize(path) > 400_000
        fill(small_disk)
    with SqliteStore.open(path) as store:
        assert count_entries(store) == 9


def test_superseded_pages_that_find_no_room(small_disk: Path) -> None:
    """They are dropped when there is room again."""
    with SqliteStore.open(str(small_disk / "p.db")) as store:
        store.create({"id": b"1"})
        for checkpoint in (1, 2):
            pages = [StoredPage(1, number, os.urandom(30_000)) for number in range(20)]
            store.commit(Commit((), (), checkpoint, pages, CheckpointRecord(checkpoint, checkpoint, b"")))
        store.drop_checkpoint(1)
        filler = fill(small_disk)
        store.tidy()
        assert count_pages(store) == 40, "they were dropped: the disk was not full"
        filler.unlink()
        store.tidy()
        assert count_pages(store) == 20


def test_a_commit_that_finds_no_room(small_disk: Path) -> None:
    """It fails, and so does everything after it, until the ledger is opened again with room."""
    path = str(small_disk / "p.db")
    with SqliteStore.open(path) as store:
        store.create({"id": b"1"})
        filler = fill(small_disk)
        with pytest.raises(StoreError, match="the disk is full; make room"):
            store.commit(Commit([StoredEntry(0, 1, 0, os.urandom(500_000))]))
        filler.unlink()
        with pytest.raises(StoreError, match="after a commit that failed"):
            store.commit(Commit([StoredEntry(0, 1, 0, b"small")]))


def test_a_ledger_outlives_a_full_disk_while_it_is_idle(
    small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is decided stays readable, closing succeeds, and it opens with everything."""
    monkeypatch.setattr(sqlite_store, "_LOG_BYTES_IDLE", 0)
    path = str(small_disk / "p.db")
    ledger = Ledger.open(path, disk_bytes_min=0)
    for tx in range(30):
        assert ledger.apply(Deposit(tx, tx, "1")).is_applied
    assert ledger.durable == 30
    ledger.checkpoint()
    fill(small_disk)
    ledger.close()
    (small_disk / "filler").unlink()
    with Ledger.open(path) as ledger:
        assert ledger.decided == 30


ROOM = 2 << 20


def wait_until(is_so: Callable[[], bool]) -> None:
    """Wait for something that another thread finds out."""
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_full(ledger: Ledger) -> bool:
    """Try to have a row decided that changes nothing."""
    try:
        ledger.apply(Dispute(9, 9))
    except LedgerFullError:
        return True
    return False


def test_rows_wait_for_room(small_disk: Path) -> None:
    """Before the disk is full no row is decided, everything else goes on, and so do rows when there is room again."""
    with Ledger.open(small_disk / "p.db", disk_bytes_min=ROOM) as ledger:
        assert ledger.apply(Deposit(1, 1, "1")).is_applied
        filler = small_disk / "filler"
        filler.write_bytes(bytes(5 << 19))
        wait_until(lambda: is_full(ledger))
        with pytest.raises(LedgerFullError, match="2,097,152 bytes are free"):
            ledger.apply(Deposit(1, 2, "1"))
        with pytest.raises(LedgerFullError):
            ledger.process(csv_of(draw_rows(10)), stream="day")
        decided = ledger.decided
        assert ledger.account(1).available_units == 10_000
        ledger.change_settings(row_bytes_max=100, reason="an operator's decision is small")
        ledger.checkpoint()
        assert ledger.failure is None
        filler.unlink()
        wait_until(lambda: not is_full(ledger))
        assert ledger.process(csv_of(draw_rows(10)), stream="day").rows == 10
        assert ledger.durable == ledger.decided > decided
        ledger.verify()


def test_a_load_goes_on_when_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    """It ends with one sentence and exit 1; under its name it decides the rest later, once."""
    rows = draw_rows(2000)
    source = tmp_path / "rows.csv"
    source.write_bytes(csv_of(rows))
    load = ("load", source, "--data", small_disk / "p.db", "--stream", "day", "-q", "--disk-bytes-min", "2M")
    (small_disk / "filler").write_bytes(bytes(5 << 19))
    refused = run(*load)
    assert (refused.code, refused.errors.count("\n")) == (1, 1)
    assert "no row is decided" in refused.errors
    (small_disk / "filler").unlink()
    assert run(*load).code == 0
    with Ledger.open(small_disk / "p.db", disk_bytes_min=0) as ledger:
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)


def test_senders_try_again_until_there_is_room(small_disk: Path, tmp_path: Path) -> None:
    """They are told LEDGER_FULL, the server goes on, and in the end every row is decided once."""
    rows = draw_rows(3000)
    source = tmp_path / "rows.csv"
    source.write_bytes(csv_of(rows))
    path = small_disk / "p.db"
    filler = small_disk / "filler"
    with serving(tmp_path, "--data", path, "--disk-bytes-min", "2M") as server:
        filler.write_bytes(bytes(5 << 19))

        def is_told() -> bool:
            (reply,) = server.exchange(b"type,client,tx,amount\ndispute,9,9,\n")[-1:]
            return "error" in reply and error_code(reply) == "LEDGER_FULL"

        wait_until(is_told)
        sending = ("send", source, "--to", f"127.0.0.1:{server.port}", "--stream", "day", "--retry", "30")
        with start(*sending, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as sender:
            time.sleep(0.5)
            assert sender.poll() is None, "it gave up"
            filler.unlink()
            assert sender.wait(30) == 0
        assert server.stop() == 0
    with Ledger.open(path, disk_bytes_min=0) as ledger:
        state = ledger.find_stream("day")
        assert state is not None
        assert state.rows == 3000


def test_a_ledger_is_locked_on_a_full_disk(small_disk: Path) -> None:
    """Who holds the lock is not said then, but that somebody does."""
    path = str(small_disk / "p.db")
    SqliteStore.open(path).close()
    (small_disk / "p.db-writer").unlink()
    fill(small_disk)
    lock = WriterLock(path)
    with pytest.raises(StoreBusyError, match="open for writing in another process"):
        WriterLock(path)
    lock.release()
