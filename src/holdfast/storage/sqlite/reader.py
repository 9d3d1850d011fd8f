"""Reads a ledger in SQLite, beside its writer."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.storage.ports import CheckpointRecord, RawText, StoredEntry, StoredPage, StoreSizes
from holdfast.storage.sqlite.schema import (
    check_ledger,
    check_process,
    connect_reader,
    explained,
    free_bytes_beside,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

_ENTRIES_AT_ONCE = 8
_PAGES_AT_ONCE = 32
_NO_LIMIT = (1 << 63) - 1
_ENTRIES = """SELECT sequence, count, time_us, data FROM entries
    WHERE sequence >= ? ORDER BY sequence LIMIT ?"""
_ENTRIES_BACKWARDS = """SELECT sequence, count, time_us, data FROM entries
    WHERE sequence >= ? AND sequence < ? ORDER BY sequence DESC LIMIT ?"""
_TIME_AT = "SELECT sequence, time_us FROM entries WHERE sequence <= ? ORDER BY sequence DESC LIMIT 1"
_PAGES = """SELECT pages.number, data FROM (
        SELECT number, max(checkpoint) AS checkpoint FROM pages
        WHERE kind = ? AND checkpoint <= ? AND number > ? GROUP BY number ORDER BY number LIMIT ?
    ) AS newest
    JOIN pages ON pages.kind = ? AND pages.number = newest.number AND pages.checkpoint = newest.checkpoint
    ORDER BY pages.number"""


class SqliteReader:
    """Reads a ledger's file, each call in a transaction of its own, so that nothing holds the writer's log for long.

    Args:
        path: The file.

    Raises:
        StoreError: If it cannot be read, or is no ledger.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._process = os.getpid()
        with explained(path):
            self._connection = connect_reader(path)
            try:
                self._is_ledger = check_ledger(self._connection, path)
            except BaseException:
                self._connection.close()
                raise

    def _rows(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        self._check_process()
        with explained(self._path):
            if not self._is_ledger:
                self._is_ledger = check_ledger(self._connection, self._path)
                if not self._is_ledger:
                    return []
            return self._connection.execute(statement, values).fetchall()

    def meta(self, key: str) -> bytes | None:
        """Give a value of the ledger's description."""
        rows = self._rows("SELECT value FROM meta WHERE key = ?", key)
        return rows[0][0] if rows else None  # type: ignore[return-value]  # as the schema says

    def first_sequence(self) -> int:
        """Give the key of the oldest entry."""
        rows = self._rows("SELECT min(sequence) FROM entries")
        return rows[0][0] or 0 if rows else 0  # type: ignore[return-value]  # as the schema says

    def last_entry(self) -> StoredEntry | None:
        """Give the newest entry."""
        return _entry(
            self._rows("SELECT sequence, count, time_us, data FROM entries ORDER BY sequence DESC LIMIT 1")
        )

    def entry_at(self, time_us: int) -> StoredEntry | None:
        """Give the newest entry made at or before a time."""
        # Times never go back, so no index is needed, which would cost a page with each commit.
        [(low, high)] = self._rows("SELECT min(sequence), max(sequence) FROM entries") or [(None, None)]
        if low is None:
            return None
        found = None
        while low <= high:  # type: ignore[operator]  # as the schema says
            middle = (low + high) // 2  # type: ignore[operator]  # the same
            [(sequence, its_time_us)] = self._rows(_TIME_AT, middle)
            if its_time_us <= time_us:  # type: ignore[operator]  # the same
                found, low = sequence, middle + 1
            else:
                high = sequence - 1  # type: ignore[operator]  # the same
        return _entry(
            self._rows("SELECT sequence, count, time_us, data FROM entries WHERE sequence = ?", found)
        )

    def entries(self, sequence: int, *, newest_first: bool = False) -> Iterator[StoredEntry]:
        """Give the entries that hold decisions after ``sequence``, a few at a time."""
        begin = self._rows("SELECT coalesce(max(sequence), 0) FROM entries WHERE sequence <= ?", sequence)
        first = begin[0][0] if begin else 0
        before = _NO_LIMIT
        while True:
            # One lower bound: of two, SQLite looks up one, and goes through all the rows between it and the other.
            rows = (
                self._rows(_ENTRIES_BACKWARDS, first, before, _ENTRIES_AT_ONCE)
                if newest_first
                else self._rows(_ENTRIES, first, _ENTRIES_AT_ONCE)
            )
            for row in rows:
                entry = StoredEntry(*row)  # type: ignore[arg-type]  # as the schema says
                if newest_first:
                    before = entry.sequence
                else:
                    first = entry.sequence + 1
                if entry.sequence + entry.count > sequence:
                    yield entry
            if len(rows) < _ENTRIES_AT_ONCE:
                return

    def raw_text(self, sequence: int) -> RawText | None:
        """Give the raw texts of an entry."""
        rows = self._rows("SELECT data FROM raw_texts WHERE sequence = ?", sequence)
        return RawText(sequence, rows[0][0]) if rows else None  # type: ignore[arg-type]  # as the schema says

    def checkpoints(self) -> list[CheckpointRecord]:
        """List the published checkpoints, newest first."""
        rows = self._rows("SELECT number, sequence, data FROM checkpoints ORDER BY number DESC")
        return [CheckpointRecord(*row) for row in rows]  # type: ignore[arg-type]  # as the schema says

    def page(self, kind: int, number: int, checkpoint_max: int | None = None) -> bytes | None:
        """Give the newest version of a page, or the newest one at or before a checkpoint."""
        rows = self._rows(
            "SELECT data FROM pages WHERE kind = ? AND number = ? AND checkpoint <= ? ORDER BY checkpoint DESC LIMIT 1",
            kind,
            number,
            _NO_LIMIT if checkpoint_max is None else checkpoint_max,
        )
        return rows[0][0] if rows else None  # type: ignore[return-value]  # as the schema says

    def pages(self, kind: int, checkpoint_max: int | None = None) -> Iterator[StoredPage]:
        """Give the newest versions of all pages of a kind, by number, a few at a time."""
        newest = _NO_LIMIT if checkpoint_max is None else checkpoint_max
        after = -1
        while True:
            rows = self._rows(_PAGES, kind, newest, after, _PAGES_AT_ONCE, kind)
            for number, data in rows:
                after = number  # type: ignore[assignment]  # as the schema says
                yield StoredPage(kind, number, data)  # type: ignore[arg-type]  # as the schema says
            if len(rows) < _PAGES_AT_ONCE:
                return

    def page_numbers(self, kind: int, checkpoint_max: int | None = None) -> list[int]:
        """List the numbers of all pages of a kind, in order."""
        newest = _NO_LIMIT if checkpoint_max is None else checkpoint_max
        rows = self._rows(
            "SELECT DISTINCT number FROM pages WHERE kind = ? AND checkpoint <= ? ORDER BY number",
            kind,
            newest,
        )
        return [row[0] for row in rows]  # type: ignore[misc]  # as the schema says

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """See the file as it is now. Meanwhile the writer's log cannot begin anew, and grows."""
        self._check_process()
        with explained(self._path):
            self._connection.execute("BEGIN")
        try:
            yield
        finally:
            with explained(self._path):
                self._connection.execute("COMMIT")

    def sizes(self) -> StoreSizes:
        """Measure the ledger's files."""
        [(entries, entry_bytes)] = self._rows(
            "SELECT count(*), coalesce(sum(length(data)), 0) FROM entries"
        ) or [(0, 0)]
        [(texts,)] = self._rows("SELECT coalesce(sum(length(data)), 0) FROM raw_texts") or [(0,)]
        [(pages, page_bytes)] = self._rows("SELECT count(*), coalesce(sum(length(data)), 0) FROM pages") or [
            (0, 0)
        ]
        disk_bytes = sum(
            os.stat(self._path + suffix).st_size
            for suffix in ("", "-wal")
            if os.path.exists(self._path + suffix)
        )
        return StoreSizes(
            entries,  # type: ignore[arg-type]  # as the schema says
            entry_bytes,  # type: ignore[arg-type]
            texts,  # type: ignore[arg-type]
            pages,  # type: ignore[arg-type]
            page_bytes,  # type: ignore[arg-type]
            disk_bytes,
            free_bytes_beside(self._path),
        )

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _check_process(self) -> None:
        check_process(self._process, self._path)


def _entry(rows: list[tuple[object, ...]]) -> StoredEntry | None:
    return StoredEntry(*rows[0]) if rows else None  # type: ignore[arg-type]  # as the schema says
