"""Keeps a ledger in one schema of a PostgreSQL database."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import errors, sql

from holdfast.storage.ports import Commit, StoreError
from holdfast.storage.postgres.location import parse_location
from holdfast.storage.postgres.reader import PostgresReader
from holdfast.storage.postgres.session import explained, has_ledger
from holdfast.storage.postgres.writer import PostgresWriter

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Self

    from psycopg import Cursor

    from holdfast.storage.postgres.location import PostgresLocation
    from holdfast.storage.postgres.session import Connection

_SUPERSEDED_AT_ONCE = 64
_TABLES = ("raw_texts", "pages", "entries")
_DROP_SUPERSEDED: LiteralString = """WITH part AS (
        SELECT kind, number FROM pages WHERE checkpoint = %(oldest)s AND (kind, number) > (%(kind)s, %(number)s)
        ORDER BY kind, number LIMIT %(limit)s
    ), gone AS (
        DELETE FROM pages USING part
        WHERE pages.kind = part.kind AND pages.number = part.number AND pages.checkpoint < %(oldest)s
    )
    SELECT kind, number FROM part ORDER BY kind, number"""


class PostgresStore:
    """A ledger in a schema of PostgreSQL. :meth:`open` makes one."""

    def __init__(self, location: PostgresLocation, writer: PostgresWriter | None) -> None:
        self._location = location
        self._writer = writer
        self._is_atomic = False
        self._failure: BaseException | None = None
        # The oldest checkpoint that stays, and how far its pages were looked at for versions that it supersedes.
        self._superseding = (0, 0, 0)

    @classmethod
    def open(cls, url: str, *, read_only: bool = False, may_wait: Callable[[], bool] | None = None) -> Self:
        """Open a ledger on a server.

        Args:
            url: A ``postgresql://`` URL; see :func:`parse_location`.
            read_only: Whether to read only, beside the process that writes.
            may_wait: Asked again and again while another process writes to it; False, or nobody to ask, ends the waiting.

        Raises:
            StoreBusyError: If another process writes to it.
            StoreError: If it cannot be opened.
        """
        location = parse_location(url)
        if read_only:
            PostgresReader(location).close()
            return cls(location, None)
        store = cls(location, PostgresWriter(location, may_wait))
        try:
            store._supersede_from_oldest()
        except BaseException:
            store.close()
            raise
        return store

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The URL, without any password."""
        return self._location.name

    def reader(self) -> PostgresReader:
        """Open a reader, with a connection of its own."""
        return PostgresReader(self._location)

    def create(self, meta: dict[str, bytes]) -> None:
        """Make the schema and write the description of a new, empty ledger.

        Raises:
            StoreError: If there is one already, or the schema cannot be made.
        """
        writer = self._checked()
        with explained(self._location):
            connection = writer.connection
            if has_ledger(connection, self._location.schema) and _count(
                connection, "SELECT count(*) FROM meta"
            ):
                raise StoreError(f"{self.name}: there is a ledger here already")
            writer.take_over()

            def describe(connection: Connection) -> None:
                connection.cursor().executemany("INSERT INTO meta VALUES (%s, %s)", list(meta.items()))

            writer.transact(describe, sync=True)

    def commit(self, commit: Commit, *, sync: bool = True) -> None:
        """Write everything or nothing; with ``sync``, on the server's disk when this returns.

        Raises:
            StoreFencedError: If another writer has taken over.
            StoreError: If it cannot be written, now or before; a lost connection is made anew first.
        """
        writer = self._checked()
        try:
            with explained(self._location):
                if self._is_atomic:
                    with writer.connection.pipeline():
                        _write(writer.connection, commit)
                else:
                    writer.transact(lambda connection: _write(connection, commit), sync=sync)
        except BaseException as error:
            self._failure = error
            raise

    def sync(self) -> None:
        """Have all earlier commits on the server's disk when this returns.

        Raises:
            StoreError: If the server does not say so.
        """
        self._transact(lambda _: None)

    def begin_atomic(self) -> None:
        """Begin one transaction for all commits up to :meth:`end_atomic`; a lost connection ends it, and the ledger."""
        writer = self._checked()
        with explained(self._location):
            writer.begin()
        self._is_atomic = True

    def end_atomic(self, *, keep: bool) -> None:
        """Make everything since :meth:`begin_atomic` durable, or drop it."""
        writer = self._checked()
        self._is_atomic = False
        try:
            with explained(self._location):
                writer.end(keep=keep)
        except BaseException as error:
            self._failure = error
            raise

    def discard_unpublished(self) -> None:
        """Drop page versions that belong to no published checkpoint."""
        if self._has_ledger():
            self._run(
                "DELETE FROM pages WHERE checkpoint > (SELECT coalesce(max(number), 0) FROM checkpoints)"
            )

    def discard_checkpoints(self, number: int) -> None:
        """Drop the checkpoints after this one, with all page versions that were written for them."""

        def discard(connection: Connection) -> None:
            connection.execute("DELETE FROM checkpoints WHERE number > %s", (number,))
            connection.execute("DELETE FROM pages WHERE checkpoint > %s", (number,))

        self._transact(discard)

    def drop_checkpoint(self, number: int) -> None:
        """Withdraw a published checkpoint; versions that only it needs go, some with each :meth:`tidy`."""
        self._run("DELETE FROM checkpoints WHERE number = %s", number)
        self._supersede_from_oldest()

    def prune_entries(self, sequence: int) -> None:
        """Drop the entries that hold no decision after ``sequence``, with their raw texts."""

        def prune(connection: Connection) -> None:
            connection.execute("DELETE FROM entries WHERE sequence + count <= %s", (sequence,))
            connection.execute(
                "DELETE FROM raw_texts WHERE NOT EXISTS (SELECT FROM entries WHERE entries.sequence = raw_texts.sequence)"
            )

        self._transact(prune)

    def erase_raw_texts(self, sequence: int) -> int:
        """Erase the raw texts of all entries before ``sequence`` from the tables; the server's log and backups are its own."""
        erased = self._run(
            "UPDATE raw_texts SET data = '' WHERE sequence < %s AND length(data) > 0", sequence
        )
        with explained(self._location):
            # Without this the old versions of the rows stay in the table's file.
            self._checked().look(partial(_rewrite, "raw_texts"))
        return erased

    def disk_free_bytes(self) -> int | None:
        """Give None: what room the server has cannot be seen from here."""
        return None

    def tidy(self, *, is_idle: bool = False, is_urgent: bool = False) -> None:  # noqa: ARG002  # the server does all else by itself
        """Drop some superseded page versions."""
        writer = self._checked()
        oldest, kind, number = self._superseding
        if self._is_atomic or not oldest:
            return
        sent: list[Cursor[tuple[Any, ...]]] = []
        values = {"oldest": oldest, "kind": kind, "number": number, "limit": _SUPERSEDED_AT_ONCE}

        def drop(connection: Connection) -> None:
            sent.append(connection.execute(_DROP_SUPERSEDED, values))

        with explained(self._location):
            try:
                writer.transact(drop, sync=False, is_needed=False)
            except errors.DiskFull:
                # Housekeeping only needs room; nothing is lost without it.
                return
        if sent[-1].description is None:
            # The connection was lost and the answer with it; the same part is looked at again.
            return
        found = sent[-1].fetchall()
        self._superseding = (oldest, *found[-1]) if found else (0, 0, 0)

    def compact(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Give unused space back to the server's disk; readers wait meanwhile."""
        writer = self._checked()
        with explained(self._location):
            for done, table in enumerate(_TABLES):
                if on_progress is not None:
                    on_progress(done, len(_TABLES))
                writer.look(partial(_rewrite, table))
        if on_progress is not None:
            on_progress(len(_TABLES), len(_TABLES))

    def close(self) -> None:
        """Close the connection, and let others write."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _checked(self) -> PostgresWriter:
        if self._writer is None:
            raise StoreError(f"{self.name} is closed, or open to read only")
        if self._failure is not None:
            raise StoreError(
                f"{self.name}: nothing is written after a commit that failed ({self._failure}); open it again"
            )
        return self._writer

    def _transact(self, work: Callable[[Connection], object]) -> None:
        writer = self._checked()
        with explained(self._location):
            writer.transact(work, sync=True)

    def _run(self, statement: LiteralString, *values: object) -> int:
        """Run one statement in a transaction of the writer's; give how many rows it changed."""
        sent: list[Cursor[tuple[Any, ...]]] = []

        def run(connection: Connection) -> None:
            sent.append(connection.execute(statement, values))

        self._transact(run)
        return max(0, sent[-1].rowcount)

    def _has_ledger(self) -> bool:
        writer = self._checked()
        with explained(self._location):
            return writer.look(lambda connection: has_ledger(connection, self._location.schema))

    def _supersede_from_oldest(self) -> None:
        """Begin to look for page versions that the oldest checkpoint supersedes."""
        if self._has_ledger():
            with explained(self._location):
                oldest = self._checked().look(
                    lambda connection: _count(connection, "SELECT coalesce(min(number), 0) FROM checkpoints")
                )
            self._superseding = (oldest, 0, -1)


def _rewrite(table: str, connection: Connection) -> None:
    connection.execute(sql.SQL("VACUUM FULL {}").format(sql.Identifier(table)))


def _count(connection: Connection, statement: LiteralString) -> int:
    row = connection.execute(statement).fetchone()
    return 0 if row is None else int(row[0])


def _write(connection: Connection, commit: Commit) -> None:
    """Send a commit's rows as binary parameters, one after the other: ``executemany`` would wait for the server each time."""
    for entry in commit.entries:
        connection.execute(
            "INSERT INTO entries VALUES (%s, %s, %s, %b)",
            (entry.sequence, entry.count, entry.time_us, entry.data),
        )
    for text in commit.raw_texts:
        connection.execute("INSERT INTO raw_texts VALUES (%s, %b)", text)
    for page in commit.pages:
        connection.execute(
            "INSERT INTO pages VALUES (%s, %s, %s, %b)",
            (page.kind, page.number, commit.checkpoint, page.data),
        )
    if commit.publish is not None:
        connection.execute("INSERT INTO checkpoints VALUES (%s, %s, %b)", commit.publish)
