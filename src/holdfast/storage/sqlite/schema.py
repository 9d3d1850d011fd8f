"""The tables of a ledger in SQLite, and how its connections are set up.

SQLite is used as documented, no further: in WAL mode, with one connection that writes and runs SQLite's own checkpoints, while
all others only read. Automatic checkpoints are off. SQLite 3.7.0 to 3.51.2 have a race when two connections run a checkpoint
and the log is reset (fixed in 3.44.6, 3.50.7 and 3.51.3); with one connection that ever does, it cannot happen.

Nothing else in the process opens the file: closing any descriptor of it would drop SQLite's locks.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from holdfast.storage.ports import StoreBusyError, StoreDamagedError, StoreError
from holdfast.storage.sqlite.connection import LedgerConnection

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

APPLICATION_ID = 0x48464C44
"""What tells a ledger from other SQLite files: ``HFLD``."""
SCHEMA_VERSION = 1
PAGE_BYTES = 32_768
"""Entries and pages of a state are large: with pages of 4 KiB, writing them takes nearly twice as long."""
_BUSY_MS = 10_000
_CACHE_KIB = 4096
_WRITER_SETTINGS = (
    "synchronous = FULL",
    "wal_autocheckpoint = 0",
    "mmap_size = 0",
    "secure_delete = FAST",
    f"cache_size = -{_CACHE_KIB}",
    "trusted_schema = OFF",
)
WRITER_STEPS = (f"page_size = {PAGE_BYTES}", "journal_mode = WAL", *_WRITER_SETTINGS)
"""How the one connection that writes is set up, in order."""
READER_SETTINGS = (
    "query_only = ON",
    "wal_autocheckpoint = 0",
    "mmap_size = 0",
    f"cache_size = -{_CACHE_KIB}",
    "trusted_schema = OFF",
)

TABLES = (
    "CREATE TABLE meta (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID",
    """CREATE TABLE entries (
        sequence INTEGER PRIMARY KEY, -- decisions before it
        count INTEGER NOT NULL,       -- decisions it holds
        time_us INTEGER NOT NULL,     -- when it was made, microseconds since 1970; never less than that of the one before
        data BLOB NOT NULL
    )""",
    "CREATE TABLE raw_texts (sequence INTEGER PRIMARY KEY, data BLOB NOT NULL)",
    """CREATE TABLE pages (
        kind INTEGER NOT NULL,        -- 1 accounts, 2 records side by side, 3 changes of other records
        number INTEGER NOT NULL,
        checkpoint INTEGER NOT NULL,  -- the one that it was written for
        data BLOB NOT NULL,
        PRIMARY KEY (kind, number, checkpoint)
    )""",
    "CREATE INDEX pages_by_checkpoint ON pages (checkpoint)",
    "CREATE TABLE checkpoints (number INTEGER PRIMARY KEY, sequence INTEGER NOT NULL, data BLOB NOT NULL)",
)

_WAYS_OUT: dict[int | None, str] = {
    sqlite3.SQLITE_IOERR: "; the disk refused: look into the system's log, mend it, and open the ledger again",
    sqlite3.SQLITE_CANTOPEN: "; check that its directory is there, that it may be written to, and that files can still be opened",
    sqlite3.SQLITE_READONLY: "; check that this user may write to the file and to its directory",
}


@contextmanager
def explained(path: str) -> Iterator[None]:
    """Say what an error of SQLite means for a ledger.

    Raises:
        StoreError: Instead of the error.
    """
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", None)
        primary = code & 0xFF if isinstance(code, int) else None
        if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
            raise StoreBusyError(f"{path}: another process is using this file: {error}") from error
        if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise StoreDamagedError(
                f"{path}: this is no SQLite file, or a damaged one ({error}); restore a backup"
            ) from error
        if primary == sqlite3.SQLITE_FULL:
            raise StoreError(f"{path}: the disk is full; make room and open the ledger again") from error
        raise StoreError(f"{path}: {error}{_WAYS_OUT.get(primary, '')}") from error


def connect_writer(path: str) -> sqlite3.Connection:
    """Open the one connection that writes."""
    connection = sqlite3.connect(
        path,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_MS / 1000,
        cached_statements=64,
        factory=LedgerConnection,
    )
    return _set_up(connection, WRITER_STEPS)


def connect_reader(path: str) -> sqlite3.Connection:
    """Open a connection that only reads, and never runs a checkpoint."""
    connection = sqlite3.connect(
        f"file:{quote(path)}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=_BUSY_MS / 1000,
        factory=LedgerConnection,
    )
    return _set_up(connection, READER_SETTINGS)


def connect_copy(path: str) -> sqlite3.Connection:
    """Open a new file that a ledger is copied to."""
    return sqlite3.connect(path, factory=LedgerConnection)


def _set_up(connection: sqlite3.Connection, settings: Iterable[str]) -> sqlite3.Connection:
    try:
        for setting in settings:
            connection.execute(f"PRAGMA {setting}")
    except BaseException:
        connection.close()
        raise
    return connection


def check_process(process: int, path: str) -> None:
    """Refuse to use a connection that belongs to the parent of this process.

    Raises:
        StoreError: If it does.
    """
    if process != os.getpid():
        raise StoreError(
            f"{path} was opened by the process that this one was forked from; open it after the fork"
        )


def free_bytes_beside(path: str) -> int | None:
    """Tell how much room a file's disk has for files of this user."""
    try:
        found = os.statvfs(os.path.dirname(os.path.abspath(path)))
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def check_ledger(connection: sqlite3.Connection, path: str) -> bool:
    """Check that a file is a ledger that this version reads; False if it is new and empty.

    Raises:
        StoreError: If it is something else.
    """
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application == 0 and tables == 0:
        return False
    if application != APPLICATION_ID:
        raise StoreError(f"{path}: this SQLite file is no ledger, and is left as it is; give another path")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path}: a later version of Holdfast has written this ledger (format {version}, this one reads {SCHEMA_VERSION}); "
            "use that one"
        )
    return True
