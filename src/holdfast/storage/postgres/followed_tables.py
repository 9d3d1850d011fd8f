"""The tables that follow a journal in PostgreSQL: for people who ask in SQL, and for programs that are not Holdfast.

They are made when a follower first runs. A ledger without one does not have them, and no ledger reads them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString

from psycopg import sql

from holdfast.storage.ports import StoreError
from holdfast.storage.postgres.binary_copy import IdWidths

if TYPE_CHECKING:
    from holdfast.domain.settings import Settings
    from holdfast.storage.postgres.session import Connection

VERSION = 1
"""Of the tables; another one is made anew from the journal."""
MAKE_ANEW = "drop the tables followed, accounts, transactions, rejects and streams, and they are made anew"
"""What to do about tables that are wrong."""
NARROW, WIDE = sql.SQL("bigint"), sql.SQL("numeric(20)")
"""The types of columns for ids."""

_MAKE: tuple[LiteralString, ...] = (
    """CREATE TABLE followed (
        version integer NOT NULL,
        sequence bigint NOT NULL, -- how many decisions the tables know
        hash bytea NOT NULL,      -- that of the last entry they know
        time timestamptz          -- when that entry was made
    )""",
    "INSERT INTO followed VALUES (%s, 0, %s, NULL)",
    """CREATE TABLE accounts (
        client bigint PRIMARY KEY,
        available numeric NOT NULL,
        held numeric NOT NULL,
        total numeric NOT NULL GENERATED ALWAYS AS (available + held) STORED,
        locked boolean NOT NULL DEFAULT false
    ) WITH (fillfactor = 50)""",
    """CREATE TABLE transactions (
        tx bigint,
        client bigint,
        type text NOT NULL,       -- deposit, withdrawal
        amount numeric NOT NULL,
        sequence bigint NOT NULL, -- its place in the order of all decisions; the first is 1
        time timestamptz NOT NULL,
        stream text,              -- the named stream that it came with
        dispute text,             -- under dispute, resolved, charged back; NULL if it never was disputed
        PRIMARY KEY (tx, client)
    ) WITH (fillfactor = 90)""",
    """CREATE TABLE rejects (
        sequence bigint PRIMARY KEY,
        time timestamptz NOT NULL,
        stream text,
        number bigint,            -- its place in the stream; the first is 1
        type text,                -- this and the next three are NULL for a row that could not be decoded
        client bigint,
        tx bigint,
        amount numeric,
        outcome text NOT NULL
    )""",
    """CREATE TABLE streams (
        stream text PRIMARY KEY,
        rows bigint NOT NULL,     -- how many of its rows are decided
        stopped text,             -- the outcome at which its policy stopped it
        sequence bigint NOT NULL, -- the last decision in the last entry that has rows of it
        time timestamptz NOT NULL
    )""",
)
_ID_TABLES = {"client": ("accounts", "transactions", "rejects"), "tx": ("transactions", "rejects")}


def are_there(connection: Connection, schema: str) -> bool:
    """Whether a ledger's schema has the tables.

    Raises:
        StoreError: If they are those of another version.
    """
    found = connection.execute(
        "SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'followed'", (schema,)
    ).fetchall()
    if not found:
        return False
    [(version,)] = connection.execute("SELECT version FROM followed").fetchall()
    if version != VERSION:
        raise StoreError(
            f"{schema}: the tables that follow the journal are of version {version}, and this Holdfast keeps version {VERSION}: "
            f"{MAKE_ANEW}"
        )
    return True


def make(connection: Connection, no_hash: bytes) -> None:
    """Make the tables, with nothing in them."""
    for statement in _MAKE:
        values = (VERSION, no_hash) if statement.startswith("INSERT") else None
        connection.execute(statement, values)


def widen(connection: Connection, settings: Settings) -> None:
    """Make room for ids of 64 bits, which a ``bigint`` does not hold; each table is written anew for that, once."""
    widths = id_widths(connection)
    for column, bits, is_wide in (
        ("client", settings.client_bits, widths.is_client_wide),
        ("tx", settings.tx_bits, widths.is_tx_wide),
    ):
        if bits == 64 and not is_wide:
            for table in _ID_TABLES[column]:
                connection.execute(
                    sql.SQL("ALTER TABLE {} ALTER COLUMN {} TYPE {}").format(
                        sql.Identifier(table), sql.Identifier(column), WIDE
                    )
                )


def id_widths(connection: Connection) -> IdWidths:
    """Tell how ids are kept, the same in all tables."""
    rows = connection.execute(
        "SELECT attname, atttypid = 'numeric'::regtype FROM pg_catalog.pg_attribute "
        "WHERE attrelid = 'transactions'::regclass AND attname IN ('client', 'tx')"
    )
    found = {str(column): bool(is_wide) for column, is_wide in rows}
    return IdWidths(found["client"], found["tx"])
