"""Keeps a ledger in one SQLite file."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.io.outputs import create_private
from holdfast.storage.ports import Commit, StoreBusyError, StoreError
from holdfast.storage.sqlite.backing_up import back_up
from holdfast.storage.sqlite.reader import SqliteReader
from holdfast.storage.sqlite.schema import (
    APPLICATION_ID,
    SCHEMA_VERSION,
    TABLES,
    check_ledger,
    check_process,
    connect_reader,
    connect_writer,
    explained,
    free_bytes_beside,
)
from holdfast.storage.sqlite.writer_lock import WriterLock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

_LOG_BYTES_MAX = 64 << 20
"""With this much in SQLite's log, a checkpoint copies it into the file: the larger it is, the more pages are copied once only."""
_LOG_BYTES_URGENT = 4 << 20
"""While somebody waits for commits: such a copy takes some milliseconds, and each commit meanwhile waits for it."""
_LOG_BYTES_IDLE = 1 << 20
_SUPERSEDED_AT_ONCE = 64
_HARMLESS = {0, sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_ENTRY = "INSERT INTO entries VALUES (?, ?, ?, ?)"


class SqliteStore:
    """A ledger in a SQLite file. :meth:`open` makes one."""

    def __init__(
        self,
        path: str,
        connection: sqlite3.Connection | None,
        bystander: sqlite3.Connection | None,
        lock: WriterLock | None,
    ) -> None:
        self._path = path
        self._writer = connection
        # It only reads, and is there so that the writer can be closed without copying SQLite's log.
        self._bystander = bystander
        self._lock = lock
        self._process = os.getpid()
        self._log_bytes = 0
        self._is_synchronous = True
        self._is_atomic = False
        self._failure: BaseException | None = None
        # The oldest checkpoint that stays, and how far its pages were looked at for versions that it supersedes.
        self._superseding = (0, 0)

    @classmethod
    def open(cls, path: str, *, read_only: bool = False) -> Self:
        """Open a ledger's file; make it if there is none.

        Args:
            path: The file.
            read_only: Whether to read only, beside the process that writes.

        Raises:
            StoreBusyError: If another process writes to it.
            StoreError: If it cannot be opened, or is something else.
        """
        _check_path(path, read_only=read_only)
        if read_only:
            SqliteReader(path).close()
            return cls(path, None, None, None)
        lock = WriterLock(path)
        try:
            if not os.path.exists(path):
                try:
                    create_private(path)
                except OSError as error:
                    raise StoreError(f"{path}: cannot be made: {error.strerror}") from error
            with explained(path):
                connection = connect_writer(path)
                try:
                    check_ledger(connection, path)
                    bystander = _connect_bystander(path)
                except BaseException:
                    connection.close()
                    raise
        except BaseException:
            lock.release()
            raise
        store = cls(path, connection, bystander, lock)
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
        """The file's path."""
        return self._path

    def reader(self) -> SqliteReader:
        """Open a reader."""
        self._check_process()
        return SqliteReader(self._path)

    def create(self, meta: dict[str, bytes]) -> None:
        """Write the description of a new, empty ledger.

        Raises:
            StoreError: If there is one already.
        """
        with self._changing() as connection:
            if check_ledger(connection, self._path):
                raise StoreError(f"{self._path}: there is a ledger here already")
            connection.execute("BEGIN IMMEDIATE")
            for statement in TABLES:
                connection.execute(statement)
            connection.executemany("INSERT INTO meta VALUES (?, ?)", meta.items())
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("COMMIT")

    def commit(self, commit: Commit, *, sync: bool = True) -> None:
        """Write everything or nothing; with ``sync``, on disk when this returns.

        Raises:
            StoreError: If it cannot be written, now or before.
        """
        connection = self._connection()
        try:
            with explained(self._path):
                if self._is_atomic:
                    self._write(connection, commit)
                    self._count_log(commit)
                    return
                self._set_synchronous(connection, is_synchronous=sync)
                if len(commit.entries) == 1 and not (commit.raw_texts or commit.pages or commit.publish):
                    # One statement is one transaction, and hands the GIL over as rarely as can be.
                    entry = commit.entries[0]
                    connection.execute(_ENTRY, (entry.sequence, entry.count, entry.time_us, entry.data))
                else:
                    connection.execute("BEGIN IMMEDIATE")
                    self._write(connection, commit)
                    connection.execute("COMMIT")
        except BaseException as error:
            self._failure = error
            raise
        self._count_log(commit)

    def sync(self) -> None:
        """Have all earlier commits on disk when this returns.

        Raises:
            StoreError: If the disk does not take them.
        """
        connection = self._connection()
        try:
            with explained(self._path):
                self._set_synchronous(connection, is_synchronous=True)
                # SQLite syncs its log, all of it, with a commit that writes something; this writes one page that changes nothing.
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        except BaseException as error:
            self._failure = error
            raise

    def begin_atomic(self) -> None:
        """Begin one transaction for all commits up to :meth:`end_atomic`."""
        with self._changing() as connection:
            self._set_synchronous(connection, is_synchronous=True)
            connection.execute("BEGIN IMMEDIATE")
        self._is_atomic = True

    def end_atomic(self, *, keep: bool) -> None:
        """Make everything since :meth:`begin_atomic` durable, or drop it."""
        connection = self._connection()
        self._is_atomic = False
        try:
            with explained(self._path):
                connection.execute("COMMIT" if keep else "ROLLBACK")
        except BaseException as error:
            self._failure = error
            raise

    def discard_unpublished(self) -> None:
        """Drop page versions that belong to no published checkpoint."""
        with self._changing() as connection:
            if check_ledger(connection, self._path):
                connection.execute(
                    "DELETE FROM pages WHERE checkpoint > (SELECT coalesce(max(number), 0) FROM checkpoints)"
                )

    def discard_checkpoints(self, number: int) -> None:
        """Drop the checkpoints after this one, with all page versions that were written for them."""
        with self._changing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM checkpoints WHERE number > ?", (number,))
            connection.execute("DELETE FROM pages WHERE checkpoint > ?", (number,))
            connection.execute("COMMIT")

    def drop_checkpoint(self, number: int) -> None:
        """Withdraw a published checkpoint; versions that only it needs go, some with each :meth:`tidy`."""
        with self._changing() as connection:
            connection.execute("DELETE FROM checkpoints WHERE number = ?", (number,))
        self._supersede_from_oldest()

    def prune_entries(self, sequence: int) -> None:
        """Drop the entries that hold no decision after ``sequence``, with their raw texts."""
        with self._changing() as connection:
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("DELETE FROM entries WHERE sequence + count <= ?", (sequence,))
            connection.execute("DELETE FROM raw_texts WHERE sequence NOT IN (SELECT sequence FROM entries)")
            connection.execute("COMMIT")

    def erase_raw_texts(self, sequence: int) -> int:
        """Erase the raw texts of all entries before ``sequence``, from the file and from its log."""
        with self._changing() as connection:
            connection.execute("PRAGMA secure_delete = ON")
            try:
                cursor = connection.execute(
                    "UPDATE raw_texts SET data = x'' WHERE sequence < ? AND length(data) > 0", (sequence,)
                )
                is_empty = self._empty_log(connection)
            finally:
                connection.execute("PRAGMA secure_delete = FAST")
        if not is_empty:
            raise StoreBusyError(
                f"{self._path}: the texts are erased, and SQLite's log beside the file still has them, since another process "
                "reads it; do the same again when that is done"
            )
        return cursor.rowcount

    def disk_free_bytes(self) -> int | None:
        """Tell how much room there is on the disk of the file."""
        return free_bytes_beside(self._path)

    def tidy(self, *, is_idle: bool = False, is_urgent: bool = False) -> None:
        """Copy SQLite's log into the file when it is long, and drop some superseded page versions."""
        if self._is_atomic:
            return
        with self._changing() as connection:
            try:
                self._drop_superseded(connection)
                most = _LOG_BYTES_IDLE if is_idle else _LOG_BYTES_URGENT if is_urgent else _LOG_BYTES_MAX
                if self._log_bytes > most:
                    self._log_bytes = 0
                    connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
            except sqlite3.Error as error:
                _pass_over_full_disk(connection, error)

    def compact(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Give unused space back to the disk."""
        with self._changing() as connection:
            (pages,) = connection.execute("PRAGMA page_count").fetchone()
            if on_progress is not None:
                on_progress(0, pages)
            connection.execute("VACUUM")
            self._empty_log(connection)
            if on_progress is not None:
                on_progress(pages, pages)

    def backup(self, path: str, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Copy the ledger as it is to a new file, while it is in use.

        Raises:
            StoreError: If there is such a file already, or it cannot be written.
        """
        back_up(self._path, path, on_progress)

    def close(self) -> None:
        """Drop a transaction that was not ended, empty SQLite's log and close the file."""
        if self._writer is None or self._process != os.getpid():
            return
        connection, self._writer = self._writer, None
        try:
            if self._failure is None:
                with explained(self._path):
                    try:
                        if connection.in_transaction:
                            connection.execute("ROLLBACK")
                        self._empty_log(connection)
                    except sqlite3.Error as error:
                        _pass_over_full_disk(connection, error)
        except StoreError as error:
            self._failure = error
            raise
        finally:
            # The last connection to close copies SQLite's log, unless it only reads.
            in_order = (
                (self._bystander, connection) if self._failure is None else (connection, self._bystander)
            )
            for each in in_order:
                if each is not None:
                    each.close()
            if self._lock is not None:
                self._lock.release()

    def _connection(self) -> sqlite3.Connection:
        self._check_process()
        if self._writer is None:
            raise StoreError(f"{self._path} is closed, or open to read only")
        if self._failure is not None:
            raise StoreError(
                f"{self._path}: nothing is written after a commit that failed ({self._failure}); open it again"
            )
        return self._writer

    def _check_process(self) -> None:
        check_process(self._process, self._path)

    @contextmanager
    def _changing(self) -> Iterator[sqlite3.Connection]:
        """Give the connection for a change. After a disk's error nothing more is written, and SQLite's log is not copied either.

        A sync that failed may have dropped what was written before it; what the system's cache still has of that is no reason
        to trust it. SQLite finds out what the disk has when the file is opened again.
        """
        connection = self._connection()
        try:
            with explained(self._path):
                yield connection
        except StoreError as error:
            code = getattr(error.__cause__, "sqlite_errorcode", 0)
            if code & 0xFF not in _HARMLESS:
                self._failure = error
            elif connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def _set_synchronous(self, connection: sqlite3.Connection, *, is_synchronous: bool) -> None:
        if is_synchronous is not self._is_synchronous:
            connection.execute(f"PRAGMA synchronous = {'FULL' if is_synchronous else 'NORMAL'}")
            self._is_synchronous = is_synchronous

    @staticmethod
    def _write(connection: sqlite3.Connection, commit: Commit) -> None:
        if commit.entries:
            connection.executemany(
                _ENTRY, [(each.sequence, each.count, each.time_us, each.data) for each in commit.entries]
            )
        if commit.raw_texts:
            connection.executemany("INSERT INTO raw_texts VALUES (?, ?)", commit.raw_texts)
        if commit.pages:
            connection.executemany(
                "INSERT INTO pages VALUES (?, ?, ?, ?)",
                [(each.kind, each.number, commit.checkpoint, each.data) for each in commit.pages],
            )
        if commit.publish is not None:
            connection.execute("INSERT INTO checkpoints VALUES (?, ?, ?)", commit.publish)

    def _supersede_from_oldest(self) -> None:
        """Begin to look for page versions that the oldest checkpoint supersedes."""
        connection = self._connection()
        with explained(self._path):
            if check_ledger(connection, self._path):
                (oldest,) = connection.execute("SELECT coalesce(min(number), 0) FROM checkpoints").fetchone()
                self._superseding = (oldest, 0)

    def _drop_superseded(self, connection: sqlite3.Connection) -> None:
        oldest, after = self._superseding
        if not oldest:
            return
        rows = connection.execute(
            "SELECT rowid, kind, number FROM pages WHERE checkpoint = ? AND rowid > ? ORDER BY rowid LIMIT ?",
            (oldest, after, _SUPERSEDED_AT_ONCE),
        ).fetchall()
        if not rows:
            self._superseding = (0, 0)
            return
        found = [
            (rowid,)
            for _, kind, number in rows
            for (rowid,) in connection.execute(
                "SELECT rowid FROM pages WHERE kind = ? AND number = ? AND checkpoint < ?",
                (kind, number, oldest),
            )
        ]
        if found:
            self._set_synchronous(connection, is_synchronous=False)
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("DELETE FROM pages WHERE rowid = ?", found)
            connection.execute("COMMIT")
        self._superseding = (oldest, rows[-1][0])

    def _count_log(self, commit: Commit) -> None:
        self._log_bytes += sum(len(each.data) for each in commit.entries)
        self._log_bytes += sum(len(each.data) for each in commit.pages)

    def _empty_log(self, connection: sqlite3.Connection) -> bool:
        """Copy SQLite's log into the file and empty it; False if somebody reads it."""
        self._log_bytes = 0
        (is_busy, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        return not is_busy


def _pass_over_full_disk(connection: sqlite3.Connection, error: sqlite3.Error) -> None:
    """Go on without housekeeping while the disk is full: it only needs room, and what is committed stays in the log.

    Raises:
        sqlite3.Error: The same error, if it is another one.
    """
    if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_FULL:
        raise error
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _connect_bystander(path: str) -> sqlite3.Connection:
    """Open a connection that only reads, and have it hold the lock by which SQLite knows that another one is there."""
    connection = connect_reader(path)
    try:
        check_ledger(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection


def _check_path(path: str, *, read_only: bool) -> None:
    directory = os.path.dirname(os.path.abspath(path))
    if not os.path.isdir(directory):
        raise StoreError(f"{path}: there is no directory {directory}")
    if os.path.isdir(path):
        raise StoreError(f"{path} is a directory; a ledger is a file")
    if not os.path.exists(path):
        if read_only:
            raise StoreError(f"{path}: there is no such ledger")
    elif not os.path.isfile(path):
        raise StoreError(f"{path} is no regular file; a ledger is one")
