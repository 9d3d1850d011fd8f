"""The tables of a ledger in PostgreSQL, and how older ones become these.

A migration runs *before* the release that needs it is used (it adds what the old release does not mind), or *after* no older
release is used any more (it removes what only those needed). Each runs once, in a transaction, under the writer's lock.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, LiteralString, NamedTuple

from psycopg import sql

from holdfast.storage.ports import StoreError

if TYPE_CHECKING:
    from holdfast.storage.postgres.location import PostgresLocation
    from holdfast.storage.postgres.session import Connection


class Migration(NamedTuple):
    """One change of the schema."""

    number: int
    what: LiteralString
    statements: tuple[LiteralString, ...]
    is_breaking: bool = False
    """Whether releases that do not know it cannot use the ledger any more."""


MIGRATIONS = (
    Migration(
        1,
        "the journal, pages of the state, checkpoints",
        (
            "CREATE TABLE meta (key text PRIMARY KEY, value bytea NOT NULL)",
            """CREATE TABLE writer (
                epoch bigint NOT NULL,      -- counts up with each process that opens the ledger for writing
                commits bigint NOT NULL     -- the number of that process's last commit
            )""",
            "INSERT INTO writer VALUES (0, 0)",
            """CREATE TABLE entries (
                sequence bigint PRIMARY KEY, -- decisions before it
                count bigint NOT NULL,       -- decisions it holds
                time_us bigint NOT NULL,     -- when it was made, microseconds since 1970
                data bytea NOT NULL
            )""",
            "CREATE INDEX entries_by_time ON entries (time_us)",
            "CREATE TABLE raw_texts (sequence bigint PRIMARY KEY, data bytea NOT NULL)",
            """CREATE TABLE pages (
                kind smallint NOT NULL,      -- 1 accounts, 2 records side by side, 3 changes of other records
                number bigint NOT NULL,
                checkpoint bigint NOT NULL,  -- the one that it was written for
                data bytea NOT NULL,
                PRIMARY KEY (kind, number, checkpoint)
            )""",
            "CREATE INDEX pages_by_checkpoint ON pages (checkpoint, kind, number)",
            "CREATE TABLE checkpoints (number bigint PRIMARY KEY, sequence bigint NOT NULL, data bytea NOT NULL)",
            # What is packed already is not compressed again.
            "ALTER TABLE entries ALTER COLUMN data SET STORAGE EXTERNAL",
            "ALTER TABLE pages ALTER COLUMN data SET STORAGE EXTERNAL",
            """CREATE FUNCTION advance(mine bigint, number bigint) RETURNS void LANGUAGE plpgsql AS $$
                BEGIN
                    UPDATE writer SET commits = number WHERE epoch = mine;
                    IF NOT FOUND THEN
                        RAISE EXCEPTION 'another writer has taken over' USING ERRCODE = 'HF001';
                    END IF;
                END
            $$""",
        ),
    ),
)
"""All of them, in order; a new ledger goes through all."""


def migrate(connection: Connection, location: PostgresLocation) -> None:
    """Make the schema, or bring it up to date; the caller holds the writer's lock.

    Raises:
        StoreError: If a later version of Holdfast changed the schema in a way that this one cannot use.
        psycopg.Error: If something cannot be made.
    """
    with connection.transaction():
        # IF NOT EXISTS asks for the right to create also where nothing is created.
        if not connection.execute(
            "SELECT FROM pg_catalog.pg_namespace WHERE nspname = %s", (location.schema,)
        ).fetchall():
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(location.schema)))
        if not connection.execute(
            "SELECT FROM pg_catalog.pg_tables WHERE schemaname = %s AND tablename = 'migrations'",
            (location.schema,),
        ).fetchall():
            connection.execute(
                "CREATE TABLE migrations (number integer PRIMARY KEY, what text NOT NULL, "
                "is_breaking boolean NOT NULL, applied timestamptz NOT NULL DEFAULT now())"
            )
    check_schema(connection, location)
    applied = {row[0] for row in connection.execute("SELECT number FROM migrations")}
    for migration in MIGRATIONS:
        if migration.number not in applied:
            with connection.transaction():
                for statement in migration.statements:
                    connection.execute(statement)
                connection.execute(
                    "INSERT INTO migrations (number, what, is_breaking) VALUES (%s, %s, %s)",
                    migration[:2] + migration[3:],
                )


def check_schema(connection: Connection, location: PostgresLocation) -> None:
    """Refuse a schema that only a later version of Holdfast understands.

    Raises:
        StoreError: If it is one.
    """
    row = connection.execute("SELECT max(number) FILTER (WHERE is_breaking) FROM migrations").fetchone()
    newest = 0 if row is None or row[0] is None else int(row[0])
    known = MIGRATIONS[-1].number
    if newest > known:
        raise StoreError(
            f"{location.name}: a later version of Holdfast has changed this ledger's schema (migration {newest}, this one knows "
            f"{known}); use that one"
        )
