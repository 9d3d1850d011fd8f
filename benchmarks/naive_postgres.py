"""A plain afternoon's program that keeps accounts in PostgreSQL: the yardstick for loading a file into a server.

It decides as naive.py does, with all transactions in memory, and writes each row's account with one ``UPDATE``, 1,000 of them in
a transaction, the way psycopg's documentation shows. It forgets the transactions when it ends, keeps no history, and starts from
nothing after a crash: what it leaves out makes it faster than a complete program would be, never slower.

    python -m benchmarks.naive_postgres transactions.csv postgresql://user@host/database > accounts.csv
"""

from __future__ import annotations

import csv
import sys
from typing import TYPE_CHECKING

import psycopg

from benchmarks.naive import Ledger, parse_amount, write_accounts

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH_ROWS = 1000
INSERT = "INSERT INTO accounts (client) VALUES (%s)"
UPDATE = "UPDATE accounts SET available = %s, held = %s, locked = %s WHERE client = %s"


def load(lines: Iterable[str], connection: psycopg.Connection[tuple[int, ...]]) -> Ledger:
    """Fold the rows of a CSV into a new table of accounts."""
    connection.execute(
        """CREATE TABLE accounts (
            client bigint PRIMARY KEY,
            available bigint NOT NULL DEFAULT 0,
            held bigint NOT NULL DEFAULT 0,
            locked boolean NOT NULL DEFAULT false
        )"""
    )
    ledger = Ledger()
    cursor = connection.cursor()
    created: list[tuple[int]] = []
    updates: list[tuple[int, int, bool, int]] = []

    def commit() -> None:
        if created:
            cursor.executemany(INSERT, created)
        cursor.executemany(UPDATE, updates)
        connection.commit()
        created.clear()
        updates.clear()

    for row in csv.DictReader(lines):
        client, tx = int(row["client"]), int(row["tx"])
        is_new = client not in ledger.accounts
        if row["type"] in {"deposit", "withdrawal"}:
            move = ledger.deposit if row["type"] == "deposit" else ledger.withdraw
            move(client, tx, parse_amount(row["amount"]))
        else:
            {"dispute": ledger.dispute, "resolve": ledger.resolve, "chargeback": ledger.chargeback}[
                row["type"]
            ](client, tx)
        account = ledger.accounts.get(client)
        if account is None:
            continue
        if is_new:
            created.append((client,))
        updates.append((account.available, account.held, account.locked, client))
        if len(updates) == BATCH_ROWS:
            commit()
    commit()
    return ledger


def main() -> None:
    """Load the file into the database, write the accounts to standard output."""
    path, url = sys.argv[1:]
    with open(path, encoding="utf-8", newline="") as file, psycopg.connect(url) as connection:
        write_accounts(load(file, connection).accounts, sys.stdout)


if __name__ == "__main__":
    main()
