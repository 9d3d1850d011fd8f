"""Reads a ledger in PostgreSQL, beside its writer."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, LiteralString

from holdfast.storage.ports import CheckpointRecord, RawText, StoredEntry, StoredPage, StoreSizes
from holdfast.storage.postgres.migrations import check_schema
from holdfast.storage.postgres.session import PostgresSession, explained, has_ledger

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.storage.postgres.location import PostgresLocation
    from holdfast.storage.postgres.session import Connection

_ENTRIES_AT_ONCE = 8
_PAGES_AT_ONCE = 64
_NO_LIMIT = (1 << 63) - 1
_ENTRIES: LiteralString = """SELECT sequence, count, time_us, data FROM entries
    WHERE sequence >= %s AND sequence > %s ORDER BY sequence LIMIT %s"""
_ENTRIES_BACKWARDS: LiteralString = """SELECT sequence, count, time_us, data FROM entries
    WHERE sequence >= %s AND sequence < %s ORDER BY sequence DESC LIMIT %s"""
_PAGES: LiteralString = """SELECT DISTINCT ON (number) number, data FROM pages
    WHERE kind = %s AND checkpoint <= %s AND number > %s ORDER BY number, checkpoint DESC LIMIT %s"""
_SIZES: LiteralString = """SELECT
    (SELECT count(*) FROM entries), (SELECT coalesce(sum(length(data)), 0)::bigint FROM entries),
    (SELECT coalesce(sum(length(data)), 0)::bigint FROM raw_texts),
    (SELECT count(*) FROM pages), (SELECT coalesce(sum(length(data)), 0)::bigint FROM pages),
    (SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
        WHERE relkind = 'r' AND relnamespace = current_schema()::regnamespace)"""


class PostgresReader:
    """Reads a ledger's schema, each call in a transaction of its own; a lost connection is made anew.

    Args:
        location: The server and the schema.

    Raises:
        StoreError: If it cannot be read.
    """

    def __init__(self, location: PostgresLocation) -> None:
        self._location = location
        self._session = PostgresSession(location, "reader")
        self._is_frozen = False
        self._is_ledger = False
        try:
            self._look_for_ledger()
        except BaseException:
            self._session.close()
            raise

    def _look_for_ledger(self) -> None:
        def look(connection: Connection) -> bool:
            if not has_ledger(connection, self._location.schema):
                return False
            check_schema(connection, self._location)
            return True

        self._is_ledger = self._session.run(look)

    def _rows(self, statement: LiteralString, *values: object) -> list[tuple[Any, ...]]:
        if not self._is_ledger:
            self._look_for_ledger()
            if not self._is_ledger:
                return []

        def fetch(connection: Connection) -> list[tuple[Any, ...]]:
            return connection.execute(statement, values, binary=True).fetchall()

        if self._is_frozen:
            # What was seen before a lost connection is not seen again after it.
            with explained(self._location):
                return fetch(self._session.connection)
        return self._session.run(fetch)

    def meta(self, key: str) -> bytes | None:
        """Give a value of the ledger's description."""
        rows = self._rows("SELECT value FROM meta WHERE key = %s", key)
        return rows[0][0] if rows else None

    def first_sequence(self) -> int:
        """Give the key of the oldest entry."""
        rows = self._rows("SELECT coalesce(min(sequence), 0) FROM entries")
        return rows[0][0] if rows else 0

    def last_entry(self) -> StoredEntry | None:
        """Give the newest entry."""
        return _entry(
            self._rows("SELECT sequence, count, time_us, data FROM entries ORDER BY sequence DESC LIMIT 1")
        )

    def entry_at(self, time_us: int) -> StoredEntry | None:
        """Give the newest entry made at or before a time."""
        return _entry(
            self._rows(
                "SELECT sequence, count, time_us, data FROM entries WHERE time_us <= %s "
                "ORDER BY time_us DESC, sequence DESC LIMIT 1",
                time_us,
            )
        )

    def entries(self, sequence: int, *, newest_first: bool = False) -> Iterator[StoredEntry]:
        """Give the entries that hold decisions after ``sequence``, a few at a time."""
        statement = _ENTRIES_BACKWARDS if newest_first else _ENTRIES
        after = _NO_LIMIT if newest_first else -1
        begin = self._rows("SELECT coalesce(max(sequence), 0) FROM entries WHERE sequence <= %s", sequence)
        first = begin[0][0] if begin else 0
        while True:
            rows = self._rows(statement, first, after, _ENTRIES_AT_ONCE)
            for row in rows:
                entry = StoredEntry(*row)
                after = entry.sequence
                if entry.sequence + entry.count > sequence:
                    yield entry
            if len(rows) < _ENTRIES_AT_ONCE:
                return

    def raw_text(self, sequence: int) -> RawText | None:
        """Give the raw texts of an entry."""
        rows = self._rows("SELECT data FROM raw_texts WHERE sequence = %s", sequence)
        return RawText(sequence, rows[0][0]) if rows else None

    def checkpoints(self) -> list[CheckpointRecord]:
        """List the published checkpoints, newest first."""
        rows = self._rows("SELECT number, sequence, data FROM checkpoints ORDER BY number DESC")
        return [CheckpointRecord(*row) for row in rows]

    def page(self, kind: int, number: int, checkpoint_max: int | None = None) -> bytes | None:
        """Give the newest version of a page, or the newest one at or before a checkpoint."""
        rows = self._rows(
            "SELECT data FROM pages WHERE kind = %s AND number = %s AND checkpoint <= %s ORDER BY checkpoint DESC LIMIT 1",
            kind,
            number,
            _NO_LIMIT if checkpoint_max is None else checkpoint_max,
        )
        return rows[0][0] if rows else None

    def pages(self, kind: int, checkpoint_max: int | None = None) -> Iterator[StoredPage]:
        """Give the newest versions of all pages of a kind, by number, a few at a time."""
        newest = _NO_LIMIT if checkpoint_max is None else checkpoint_max
        after = -1
        while True:
            rows = self._rows(_PAGES, kind, newest, after, _PAGES_AT_ONCE)
            for number, data in rows:
                after = number
                yield StoredPage(kind, number, data)
            if len(rows) < _PAGES_AT_ONCE:
                return

    def page_numbers(self, kind: int, checkpoint_max: int | None = None) -> list[int]:
        """List the numbers of all pages of a kind, in order."""
        newest = _NO_LIMIT if checkpoint_max is None else checkpoint_max
        rows = self._rows(
            "SELECT DISTINCT number FROM pages WHERE kind = %s AND checkpoint <= %s ORDER BY number",
            kind,
            newest,
        )
        return [row[0] for row in rows]

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """See the ledger as it is now. Meanwhile the server keeps the old versions of rows.

        Raises:
            StoreError: Also if the connection is lost meanwhile: what was seen cannot be seen again.
        """

        def begin(connection: Connection) -> None:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")

        self._session.run(begin)
        self._is_frozen = True
        try:
            yield
        finally:
            self._is_frozen = False
            if not self._session.connection.closed:
                with explained(self._location):
                    self._session.connection.execute("ROLLBACK")

    def sizes(self) -> StoreSizes:
        """Measure the ledger's tables. How much room the server has left cannot be seen from here."""
        rows = self._rows(_SIZES)
        entries, entry_bytes, text_bytes, pages, page_bytes, disk_bytes = rows[0] if rows else (0,) * 6
        return StoreSizes(entries, entry_bytes, text_bytes, pages, page_bytes, disk_bytes, None)

    def close(self) -> None:
        """Close the connection."""
        self._session.close()


def _entry(rows: list[tuple[Any, ...]]) -> StoredEntry | None:
    return StoredEntry(*rows[0]) if rows else None
