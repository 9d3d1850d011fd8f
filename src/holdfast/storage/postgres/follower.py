"""Keeps tables for SQL up to date with the journal of a ledger in PostgreSQL, beside its writer.

It is not part of a commit: what it costs would be paid by everybody who waits for one. Each step is a transaction that takes the
next entries and moves the tables and their watermark together, so that it can end at any time, run twice, and go on anywhere.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, LiteralString, NamedTuple

from psycopg import sql

from holdfast.domain.amount import format_units
from holdfast.storage.creation import read_settings
from holdfast.storage.entry import NO_HASH
from holdfast.storage.ports import StoreDamagedError
from holdfast.storage.postgres import followed_tables
from holdfast.storage.postgres.binary_copy import HEADER, TRAILER
from holdfast.storage.postgres.followed_entries import Place, gather_entries
from holdfast.storage.postgres.followed_rows import time_of
from holdfast.storage.postgres.location import parse_location
from holdfast.storage.postgres.reader import PostgresReader
from holdfast.storage.postgres.session import PostgresSession

if TYPE_CHECKING:
    from collections.abc import Iterable
    from concurrent.futures import Future
    from typing import Self

    from holdfast.domain.settings import Settings
    from holdfast.storage.postgres.binary_copy import IdWidths
    from holdfast.storage.postgres.followed_entries import FollowedEntries
    from holdfast.storage.postgres.followed_rows import FollowedRows
    from holdfast.storage.postgres.session import Connection

_LINES_AT_ONCE = 4096
# Whatever is lost in a crash of the server is taken from the journal again. Before it has counted a table that grows fast, the
# server would read all of it to find a few rows.
_SETTINGS: LiteralString = """SET LOCAL synchronous_commit TO off; SET LOCAL enable_hashjoin TO off;
    SET LOCAL enable_mergejoin TO off; SET LOCAL enable_seqscan TO off"""
_LOCK: LiteralString = "SELECT sequence, hash FROM followed FOR UPDATE"
_COPY_TRANSACTIONS: LiteralString = """COPY transactions (tx, client, type, amount, sequence, time, stream)
    FROM STDIN (FORMAT binary)"""
_COPY_REJECTS: LiteralString = "COPY rejects FROM STDIN"
_DISPUTE = sql.SQL("""UPDATE transactions AS known SET dispute = found.dispute
    FROM unnest(%s::{tx}[], %s::{client}[], %s::text[]) AS found (tx, client, dispute)
    WHERE known.tx = found.tx AND known.client = found.client
    RETURNING known.tx, known.client, known.type, (known.amount * %s)::bigint""")
_ACCOUNT = sql.SQL("""INSERT INTO accounts AS known (client, available, held)
    SELECT * FROM unnest(%s::{client}[], %s::numeric[], %s::numeric[])
    ON CONFLICT (client) DO UPDATE SET available = known.available + excluded.available, held = known.held + excluded.held
    WHERE excluded.available <> 0 OR excluded.held <> 0""")
_LOCKED = sql.SQL("""UPDATE accounts SET locked = found.locked
    FROM unnest(%s::{client}[], %s::boolean[]) AS found (client, locked) WHERE accounts.client = found.client""")
_STREAM: LiteralString = """INSERT INTO streams SELECT * FROM unnest(%s::text[], %s::bigint[], %s::text[], %s::bigint[],
        %s::timestamptz[])
    ON CONFLICT (stream) DO UPDATE SET rows = excluded.rows, stopped = excluded.stopped, sequence = excluded.sequence,
        time = excluded.time"""


class Followed(NamedTuple):
    """How far the tables are."""

    sequence: int
    """How many decisions they know."""
    end: int
    """How many there were in the journal when that was looked up."""


class PostgresFollower:
    """Moves the tables ``accounts``, ``transactions``, ``rejects`` and ``streams`` on; makes them if they are not there.

    Args:
        url: A ``postgresql://`` URL; see :func:`parse_location`.

    Raises:
        StoreError: If there is no ledger, or the tables cannot be made.
    """

    def __init__(self, url: str) -> None:
        self._location = parse_location(url)
        self._reader = PostgresReader(self._location)
        self._gathering = ThreadPoolExecutor(1, "holdfast-follower")
        self._ahead: tuple[tuple[Place, IdWidths], Future[FollowedEntries | None]] | None = None
        try:
            settings = read_settings(self._location.name, self._reader)
            self._decimals = settings.decimals
            self._session = PostgresSession(self._location, "follower")
        except BaseException:
            self._reader.close()
            raise
        try:
            self._session.run(lambda connection: self._make(connection, settings))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def step(self) -> Followed:
        """Take the next entries, if there are any, in one transaction.

        Raises:
            StoreDamagedError: If an entry is not what was written, or the tables were changed by somebody else.
            StoreError: If the tables cannot be written, or entries are gone that they do not know yet.
        """
        return self._session.run(self._step)

    def close(self) -> None:
        """Close both connections."""
        self._gathering.shutdown(cancel_futures=True)
        self._session.close()
        self._reader.close()

    def _make(self, connection: Connection, settings: Settings) -> None:
        with connection.transaction():
            # Two followers may begin at once: the tables are made by one of them.
            connection.execute("LOCK TABLE migrations IN EXCLUSIVE MODE")
            if not followed_tables.are_there(connection, self._location.schema):
                followed_tables.make(connection, NO_HASH)
                followed_tables.widen(connection, settings)

    def _step(self, connection: Connection) -> Followed:
        with connection.transaction():
            connection.execute(_SETTINGS)
            begin = Place(*connection.execute(_LOCK).fetchall()[0])
            widths = followed_tables.id_widths(connection)
            entries = self._take(begin, widths)
            if entries is None:
                return Followed(begin.sequence, begin.sequence)
            self._write(connection, entries.rows, widths)
            if entries.settings is not None:
                followed_tables.widen(connection, entries.settings)
            connection.execute(
                "UPDATE followed SET sequence = %s, hash = %s, time = %s",
                (*entries.end, time_of(entries.time_us)),
            )
        return Followed(entries.end.sequence, entries.journal_end)

    def _take(self, begin: Place, widths: IdWidths) -> FollowedEntries | None:
        """Give the next entries, and begin to gather those after them, while the server is busy with these."""
        ahead, self._ahead = self._ahead, None
        entries = None if ahead is None else ahead[1].result()
        if entries is None or ahead is None or ahead[0] != (begin, widths):
            # There is nothing yet, or another follower was faster.
            entries = self._gather(begin, widths).result()
        if entries is not None and entries.settings is None and entries.end.sequence < entries.journal_end:
            self._ahead = (entries.end, widths), self._gather(entries.end, widths)
        return entries

    def _gather(self, begin: Place, widths: IdWidths) -> Future[FollowedEntries | None]:
        return self._gathering.submit(
            gather_entries, self._reader, self._location.name, self._decimals, begin, widths
        )

    def _write(self, connection: Connection, rows: FollowedRows, widths: IdWidths) -> None:
        types = {
            "client": followed_tables.WIDE if widths.is_client_wide else followed_tables.NARROW,
            "tx": followed_tables.WIDE if widths.is_tx_wide else followed_tables.NARROW,
        }
        if rows.transactions:
            with connection.cursor().copy(_COPY_TRANSACTIONS) as copy:
                copy.write(HEADER)
                for piece in rows.transactions:
                    copy.write(piece)
                copy.write(TRAILER)
        if rows.rejects:
            with connection.cursor().copy(_COPY_REJECTS) as copy:
                for start in range(0, len(rows.rejects), _LINES_AT_ONCE):
                    copy.write("".join(rows.rejects[start : start + _LINES_AT_ONCE]))
        changes = rows.account_changes(self._dispute(connection, rows, types))
        if changes:
            available, held = (
                _array(format_units(change[column], self._decimals) for change in changes.values())
                for column in (0, 1)
            )
            connection.execute(_ACCOUNT.format(**types), (_array(changes), available, held))
        if rows.locks:
            connection.execute(_LOCKED.format(**types), (_array(rows.locks), _array(rows.locks.values())))
        if rows.streams:
            states = map(list, zip(*rows.streams.values(), strict=True))
            connection.execute(_STREAM, (list(rows.streams), *states))

    def _dispute(
        self, connection: Connection, rows: FollowedRows, types: dict[str, sql.SQL]
    ) -> list[tuple[int, int, str, int]]:
        """Write the states of disputes; give the transactions that they are about."""
        if not rows.dispute_states:
            return []
        txs, clients = zip(*rows.dispute_states, strict=True)
        values = _array(txs), _array(clients), _array(rows.dispute_states.values()), 10**self._decimals
        found = connection.execute(_DISPUTE.format(**types), values, binary=True).fetchall()
        if len(found) != len(rows.dispute_states):
            raise StoreDamagedError(
                f"{self._location.name}: the table of transactions lacks some that disputes in the journal are about: "
                f"{followed_tables.MAKE_ANEW}"
            )
        return [(int(tx), int(client), type_, units) for tx, client, type_, units in found]


def _array(values: Iterable[object]) -> str:
    """Write numbers, or words without any sign, as an array; psycopg takes each value of a list by itself."""
    return f"{{{','.join(map(str, values))}}}"
