"""The one writer of a ledger in PostgreSQL: a lock that ends with its connection, and an epoch that is checked in every commit.

The lock alone is not enough. A process that is paused for long may lose its connection, and with it the lock, to another
one. When it wakes up, its next commit finds another epoch and writes nothing.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from hashlib import blake2b
from typing import TYPE_CHECKING, LiteralString, TypeVar

import psycopg
from psycopg.pq import TransactionStatus

from holdfast.storage.ports import StoreBusyError, StoreError, StoreFencedError
from holdfast.storage.postgres.migrations import migrate
from holdfast.storage.postgres.session import PostgresSession, explained, has_ledger, is_lost

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.storage.postgres.location import PostgresLocation
    from holdfast.storage.postgres.session import Connection

Result = TypeVar("Result")
_LOCK_SECONDS = 0.25
"""How often the lock is asked for while somebody else has it."""
_GRACE_SECONDS = 1.0
_HOLDER: LiteralString = """SELECT application_name, coalesce(host(client_addr), 'a local socket'), pid FROM pg_stat_activity
    WHERE pid = (
        SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
        AND classid = %s::bigint::oid AND objid = %s::bigint::oid
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) LIMIT 1
    )"""


class PostgresWriter:
    """The right to write to a ledger, and its connection.

    Args:
        location: The server and the schema.
        may_wait: Asked again and again while somebody else writes; False, or nobody to ask, ends the waiting.

    Raises:
        StoreBusyError: If somebody else writes to the ledger.
        StoreError: If the server cannot be reached or used.
    """

    def __init__(self, location: PostgresLocation, may_wait: Callable[[], bool] | None) -> None:
        self._location = location
        self._epoch = 0
        self._commits = 0
        # The latest commit that the ledger counts on. A server that crashes may lose those that did not wait for its disk.
        self._needed = 0
        self._process = os.getpid()
        self._session = PostgresSession(location, "writer")
        try:
            with explained(location):
                self._lock(may_wait)
                _check_durable(self._session.connection, location)
                if has_ledger(self._session.connection, location.schema):
                    self.take_over()
        except BaseException:
            self._session.close()
            raise

    def _lock(self, may_wait: Callable[[], bool] | None) -> None:
        # The server may not have noticed yet that a process which was killed is gone.
        grace_ends = time.monotonic() + _GRACE_SECONDS
        while True:
            try:
                if self._try_lock():
                    return
                if time.monotonic() > grace_ends and (may_wait is None or not may_wait()):
                    raise StoreBusyError(
                        f"{self._location.name} is open for writing by {self._find_holder()}; end that, or read beside it "
                        "with read_only=True"
                    )
            except psycopg.Error as error:
                if may_wait is None or not is_lost(self._session.connection, error):
                    raise
                self._session.reconnect(may_wait)
            else:
                time.sleep(_LOCK_SECONDS)

    @property
    def connection(self) -> Connection:
        """The connection, for what is outside a transaction."""
        self._session.check_process()
        return self._session.connection

    @property
    def is_lost(self) -> bool:
        """Whether the connection is gone."""
        return self._session.connection.closed

    def take_over(self) -> None:
        """Bring the schema up to date and begin a new epoch: no commit of an earlier writer succeeds any more."""
        connection = self._session.connection
        migrate(connection, self._location)
        row = connection.execute(
            "UPDATE writer SET epoch = epoch + 1, commits = 0 RETURNING epoch"
        ).fetchone()
        if row is None:
            raise StoreError(f"{self._location.name}: the table `writer` is empty; restore a backup")
        self._epoch = int(row[0])
        self._commits = self._needed = 0

    def transact(self, work: Callable[[Connection], object], *, sync: bool, is_needed: bool = True) -> None:
        """Do something in one transaction, once, whatever happens to the connection.

        If the connection is lost, it is made anew, and the number of the last commit tells whether this one happened.

        Args:
            work: Sends statements, without looking at what they give: they all go out together.
            sync: Whether everything has to be on the server's disk when this returns.
            is_needed: Whether the ledger counts on it from now on; false for housekeeping that can be done again.

        Raises:
            psycopg.Error: If a statement fails, or the server cannot be reached for too long.
            StoreError: If the server crashed and lost earlier commits, those that did not wait for its disk.
            StoreFencedError: If another writer has taken over.
        """
        number = self._commits + 1
        until: float | None = None
        while True:
            connection = self.connection
            try:
                # psycopg's own transaction waits for the server at both ends; this is one round trip.
                with connection.pipeline():
                    connection.execute("BEGIN")
                    if not sync:
                        connection.execute("SET LOCAL synchronous_commit TO off")
                    self.advance(connection, number)
                    work(connection)
                    connection.execute("COMMIT")
            except BaseException as error:
                if not is_lost(connection, error):
                    _roll_back(connection)
                    raise
                if until is not None and time.monotonic() > until:
                    raise
                until = until or time.monotonic() + self._location.reconnect_seconds
            else:
                break
            if self.recover() == number:
                break
        self._commits = number
        if is_needed:
            self._needed = number

    def look(self, work: Callable[[Connection], Result]) -> Result:
        """Do something outside a transaction that can be done again, over a new connection if this one is lost meanwhile.

        Raises:
            psycopg.Error: If a statement fails, or the server cannot be reached for too long.
            StoreError: If the server crashed and lost commits that the ledger counts on.
            StoreFencedError: If another writer has taken over.
        """
        until: float | None = None
        while True:
            connection = self.connection
            try:
                return work(connection)
            except psycopg.Error as error:
                is_late = until is not None and time.monotonic() > until
                if is_late or not is_lost(connection, error):
                    raise
            until = until or time.monotonic() + self._location.reconnect_seconds
            self.recover()

    def advance(self, connection: Connection, number: int) -> None:
        """Give the transaction its number, and let it fail if another writer has taken over."""
        connection.execute("SELECT advance(%s, %s)", (self._epoch, number))

    def begin(self) -> None:
        """Begin a transaction that :meth:`end` ends; a connection that is lost from now on ends it too."""
        while True:
            connection = self.connection
            try:
                connection.execute("BEGIN")
                self.advance(connection, self._commits + 1)
            except psycopg.Error as error:
                if not is_lost(connection, error):
                    _roll_back(connection)
                    raise
            else:
                return
            self.recover()

    def end(self, *, keep: bool) -> None:
        """Commit the transaction or roll it back.

        Raises:
            psycopg.Error: If it is not there.
        """
        connection = self.connection
        try:
            connection.execute("COMMIT" if keep else "ROLLBACK")
        except psycopg.Error as error:
            if not is_lost(connection, error):
                raise
            if keep and self.recover() != self._commits + 1:
                raise
        if keep:
            self._commits += 1
            self._needed = self._commits

    def recover(self) -> int:
        """Connect and lock again after a lost connection; give the number of the last commit that happened.

        Raises:
            StoreError: If the server crashed and lost commits that the ledger counts on.
            StoreFencedError: If another writer has taken over.
            StoreBusyError: If another process has the lock.
            psycopg.Error: If the server cannot be reached for as long as the location says.
        """
        last = self._lock_again()
        if last < self._needed:
            # What comes next would leave a gap in the journal, and a sync would confirm what is lost.
            raise StoreError(
                f"{self._location.name}: the server crashed and lost the last commits, which had not waited for its disk (the "
                "ledger's durability); open the ledger again: it is as it was before them"
            )
        return last

    def _lock_again(self) -> int:
        until = time.monotonic() + self._location.reconnect_seconds
        former = []
        while True:
            former.append(self._session.backend)
            self._session.reconnect()
            connection = self._session.connection
            try:
                # The server may not know yet that the connection is gone, and its lock with it.
                connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid = ANY (%s) AND usename = current_user "
                    "AND application_name = %s",
                    (former, connection.info.parameter_status("application_name")),
                )
                while not self._try_lock():
                    self._check_epoch(connection)
                    if time.monotonic() > until:
                        raise StoreBusyError(
                            f"{self._location.name} is open for writing by {self._find_holder()}"
                        )
                    time.sleep(_LOCK_SECONDS)
                _check_durable(connection, self._location)
                return self._check_epoch(connection)
            except psycopg.Error as error:
                if not is_lost(connection, error) or time.monotonic() > until:
                    raise

    def close(self) -> None:
        """Let others write."""
        if self._process == os.getpid() and not self._session.connection.closed:
            # The server ends a connection in its own time, and its lock with it.
            with suppress(psycopg.Error):
                _roll_back(self._session.connection)
                _value(self._session.connection, "SELECT pg_advisory_unlock(%s::bigint)", self._key)
        self._session.close()

    def _check_epoch(self, connection: Connection) -> int:
        row = connection.execute("SELECT epoch, commits FROM writer").fetchone()
        if row is None or row[0] != self._epoch:
            raise StoreFencedError(
                f"{self._location.name}: another writer has taken over this ledger; nothing more is written here"
            )
        return int(row[1])

    @property
    def _key(self) -> int:
        digest = blake2b(f"holdfast writer of {self._location.schema}".encode(), digest_size=8).digest()
        return int.from_bytes(digest, "big", signed=True)

    def _try_lock(self) -> bool:
        return bool(_value(self._session.connection, "SELECT pg_try_advisory_lock(%s::bigint)", self._key))

    def _find_holder(self) -> str:
        key = self._key & 0xFFFF_FFFF_FFFF_FFFF
        row = self._session.connection.execute(_HOLDER, (key >> 32, key & 0xFFFF_FFFF)).fetchone()
        return "another process" if row is None else f"{row[0]!r} (from {row[1]}, backend {row[2]})"


def _roll_back(connection: Connection) -> None:
    """Leave a transaction in which something failed."""
    if connection.info.transaction_status not in {TransactionStatus.IDLE, TransactionStatus.UNKNOWN}:
        connection.execute("ROLLBACK")


def _check_durable(connection: Connection, location: PostgresLocation) -> None:
    """Refuse a server that does not keep what it says it keeps; undo a default that does not wait for the disk.

    Raises:
        StoreError: If the server does not ask its disk.
    """
    if _value(connection, "SHOW fsync") == "off":
        raise StoreError(
            f"{location.name}: this server runs with fsync = off and may lose what it has confirmed; turn fsync on"
        )
    if _value(connection, "SHOW synchronous_commit") == "off":
        connection.execute("SET synchronous_commit TO on")


def _value(connection: Connection, statement: LiteralString, *values: object) -> object:
    row = connection.execute(statement, values).fetchone()
    return None if row is None else row[0]
