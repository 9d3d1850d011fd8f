"""A connection to PostgreSQL that is made anew when it is lost."""

from __future__ import annotations

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

FENCED = "HF001"
"""The SQLSTATE that the function ``advance`` of a ledger's schema raises for a writer whose time is over."""
_CONNECT_SECONDS = 10
_BACKOFF_SECONDS = 0.05
_BACKOFF_SECONDS_MAX = 2.0
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
    return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError) and (
        connection.closed or connection.broken
    )


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
        with explained(location):
            self.connection = self._connect()

    def run(self, work: Callable[[Connection], Result]) -> Result:
        """Do something that can be done again; it is, over a new connection, if this one is lost meanwhile.

        Raises:
            StoreError: If it fails, or the server cannot be reached for the time that the location says.
        """
        self.check_process()
        with explained(self._location):
            try:
                return work(self.connection)
            except psycopg.Error as error:
                if not is_lost(self.connection, error):
                    raise
            self.reconnect()
            return work(self.connection)

    def reconnect(self) -> None:
        """Connect again, at longer and longer intervals, for as long as the location says.

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
                if is_hopeless or time.monotonic() + pause > until:
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
            connection.execute(
                sql.SQL("SET search_path TO {}, pg_catalog").format(sql.Identifier(self._location.schema))
            )
            connection.execute("SET client_min_messages TO error")
        except BaseException:
            connection.close()
            raise
        return connection


def has_ledger(connection: Connection, schema: str) -> bool:
    """Whether a ledger was made in a schema."""
    row = connection.execute(
        "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'writer')",
        (schema,),
    ).fetchone()
    return row is not None and bool(row[0])
