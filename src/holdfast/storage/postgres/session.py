"""A connection to PostgreSQL that is made anew when it is lost."""

from __future__ import annotations

import logging
import os
import socket
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import psycopg
from psycopg import errors, sql

from holdfast.storage.ports import StoreBusyError, StoreError, StoreFencedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.storage.postgres.location import PostgresLocation

    Connection = psycopg.Connection[tuple[Any, ...]]

Result = TypeVar("Result")

# psycopg warns of each pipeline that ends with its connection. A program that has set up logging sees that; nobody else needs to.
logging.getLogger("psycopg").addHandler(logging.NullHandler())

FENCED = "HF001"
"""The SQLSTATE that the function ``advance`` of a ledger's schema raises for a writer whose time is over."""
_CONNECT_SECONDS = 10
_BACKOFF_SECONDS = 0.05
_BACKOFF_SECONDS_MAX = 2.0
_LAST_WORDS = frozenset({"FATAL", "PANIC"})
# Limits that a role may have for people's queries would cut off a large commit, a long replay, or an atomic load.
_SETTINGS = sql.SQL("""SET search_path TO {}, pg_catalog; SET client_min_messages TO error;
    SELECT set_config(name, '0', false) FROM pg_catalog.pg_settings WHERE name IN ('statement_timeout', 'lock_timeout',
        'transaction_timeout', 'idle_in_transaction_session_timeout', 'idle_session_timeout')""")
# A server that does not answer any more is found out after half a minute, instead of after hours.
_KEEPALIVES = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}


@contextmanager
def explained(location: PostgresLocation) -> Iterator[None]:
    """Say what an error of PostgreSQL means for a ledger.

    Raises:
        StoreError: Instead of the error; without any password.
    """
    try:
        yield
    except psycopg.Error as error:
        name = location.name
        reason = location.hide(str(error).strip().partition("\n")[0]) or type(error).__name__
        if error.sqlstate == FENCED:
            raise StoreFencedError(
                f"{name}: another writer has taken over this ledger; nothing more is written here"
            ) from None
        if isinstance(error, errors.LockNotAvailable):
            raise StoreBusyError(f"{name}: somebody else is using this ledger: {reason}") from None
        if isinstance(error, errors.DiskFull):
            raise StoreError(
                f"{name}: the server's disk is full; make room and open the ledger again"
            ) from None
        if isinstance(error, errors.InsufficientPrivilege):
            raise StoreError(
                f"{name}: {reason}; grant this role what it needs (docs/ledger.md lists it)"
            ) from None
        raise StoreError(f"{name}: {reason}") from None


def is_lost(connection: Connection, error: BaseException) -> bool:
    """Whether an error means that the connection is gone, rather than that a statement is wrong."""
    if not isinstance(error, psycopg.Error):
        return False
    if connection.closed or error.diag.severity_nonlocalized in _LAST_WORDS:
        # The server's last words may arrive before the end of the connection does.
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    # What does not come from the server comes from the link to it, or from a pipeline that ends in the middle.
    return isinstance(error, psycopg.OperationalError) and error.sqlstate is None


class PostgresSession:
    """One connection to a ledger's server, used by one thread at a time.

    Args:
        location: The server and the schema.
        purpose: What it is for, for whoever looks at the server: it is part of the application's name there.

    Raises:
        StoreError: If there is no connection.
    """

    def __init__(self, location: PostgresLocation, purpose: str) -> None:
        self._location = location
        self._purpose = purpose
        self._process = os.getpid()
        self._is_closed = False
        self.backend = 0
        """The server's process for the latest connection, also when that one is lost."""
        with explained(location):
            self.connection = self._connect()

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do something that can be done again; it is, over a new connection, if this one is lost meanwhile.

        Raises:
            StoreError: If it fails, or the server cannot be reached for the time that the location says.
        """
        self.check_process()
        if self._is_closed:
            raise StoreError(f"{self._location.name} is closed; open it again")
        until: float | None = None
        with explained(self._location):
            while True:
                try:
                    return work(self.connection)
                except psycopg.Error as error:
                    is_late = until is not None and time.monotonic() > until
                    if is_late or not is_lost(self.connection, error):
                        raise
                until = until or time.monotonic() + self._location.reconnect_seconds
                self.reconnect()

    def reconnect(self, may_wait: Callable[[], bool] | None = None) -> None:
        """Connect again, at longer and longer intervals, for as long as the location says.

        Args:
            may_wait: Asked before each pause; False ends it.

        Raises:
            psycopg.Error: The last error, if it never succeeds.
        """
        self.connection.close()
        until = time.monotonic() + self._location.reconnect_seconds
        pause = _BACKOFF_SECONDS
        while True:
            try:
                self.connection = self._connect()
            except psycopg.OperationalError as error:
                is_hopeless = isinstance(
                    error, errors.InvalidAuthorizationSpecification | errors.InvalidCatalogName
                )
                if is_hopeless or time.monotonic() + pause > until or not (may_wait is None or may_wait()):
                    raise
            else:
                return
            time.sleep(pause)
            pause = min(2 * pause, _BACKOFF_SECONDS_MAX)

    def check_process(self) -> None:
        """Refuse to use a connection that belongs to the parent of this process.

        Raises:
            StoreError: If it does.
        """
        if self._process != os.getpid():
            raise StoreError(
                f"{self._location.name} was opened by the process that this one was forked from; open it after the fork"
            )

    def close(self) -> None:
        """Close the connection; nothing happens in a child of the process that opened it."""
        self._is_closed = True
        if self._process == os.getpid():
            self.connection.close()

    def _connect(self) -> Connection:
        given = psycopg.conninfo.conninfo_to_dict(self._location.server)
        ours: dict[str, Any] = {
            "application_name": f"holdfast {self._purpose} {os.getpid()} on {socket.gethostname()}"[:63],
            "connect_timeout": _CONNECT_SECONDS,
            **_KEEPALIVES,
        }
        connection = psycopg.connect(**(ours | given), autocommit=True)
        try:
            connection.execute(_SETTINGS.format(sql.Identifier(self._location.schema)))
        except BaseException:
            connection.close()
            raise
        self.backend = connection.info.backend_pid
        return connection


def has_ledger(connection: Connection, schema: str) -> bool:
    """Whether a ledger was made in a schema."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'writer')",
        (schema,),
    ).fetchone()
    return row is not None and bool(row[0])
