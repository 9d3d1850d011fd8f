"""A disk that is full while a ledger tidies up: housekeeping waits for room, and nothing else is touched by it."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest

from e2e.output_faults import mounted
from holdfast import Deposit, Ledger
from holdfast.storage.ports import CheckpointRecord, Commit, StoredEntry, StoredPage, StoreError
from holdfast.storage.sqlite import store as sqlite_store
from holdfast.storage.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from collections.abc import Iterator
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
    ledger = Ledger.open(path)
    for tx in range(30):
        assert ledger.apply(Deposit(tx, tx, "1")).is_applied
    assert ledger.durable == 30
    ledger.checkpoint()
    fill(small_disk)
    ledger.close()
    (small_disk / "filler").unlink()
    with Ledger.open(path) as ledger:
        assert ledger.decided == 30
