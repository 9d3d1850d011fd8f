"""A plain afternoon's Python program for the same job: the yardstick that Holdfast is measured against.

The csv module, dicts and integer amounts, written the way a competent developer writes it who has one
afternoon and no profiler: no tricks, and nothing that is slow on purpose. It decides by the ``standard``
rules and gives the same accounts as Holdfast on well-formed input. What it leaves out makes it faster than
a complete program would be, never slower: it does not look at the limits of ids, amounts and balances, and
a malformed row ends it with a traceback.

    python benchmarks/naive.py transactions.csv > accounts.csv
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterable

DECIMALS = 4
SCALE = 10_000
NO_TRANSACTION = ("", -1, 0)


@dataclass(slots=True)
class Account:
    """What one client has."""

    available: int = 0
    held: int = 0
    locked: bool = False


class Ledger:
    """Accounts by client; applied transactions (type, client, amount) and their disputes by tx id."""

    def __init__(self) -> None:
        self.accounts: dict[int, Account] = {}
        self.transactions: dict[int, tuple[str, int, int]] = {}
        self.disputes: dict[int, str] = {}

    def account(self, client: int) -> Account:
        """Give a client's account; a deposit or withdrawal brings it into being, even a refused one."""
        account = self.accounts.get(client)
        if account is None:
            account = self.accounts[client] = Account()
        return account

    def deposit(self, client: int, tx: int, amount: int) -> None:
        """Credit an account."""
        account = self.account(client)
        if amount <= 0 or tx in self.transactions or account.locked:
            return
        account.available += amount
        self.transactions[tx] = ("deposit", client, amount)

    def withdraw(self, client: int, tx: int, amount: int) -> None:
        """Debit an account that has enough available."""
        account = self.account(client)
        if amount <= 0 or tx in self.transactions or account.locked or amount > account.available:
            return
        account.available -= amount
        self.transactions[tx] = ("withdrawal", client, amount)

    def dispute(self, client: int, tx: int) -> None:
        """Hold the amount of an earlier deposit."""
        type_, owner, amount = self.transactions.get(tx, NO_TRANSACTION)
        if owner != client or type_ != "deposit" or tx in self.disputes:
            return
        account = self.accounts[client]
        if account.locked or amount > account.available:
            return
        account.available -= amount
        account.held += amount
        self.disputes[tx] = "open"

    def resolve(self, client: int, tx: int) -> None:
        """Release what a dispute holds; the deposit can be disputed again."""
        _, owner, amount = self.transactions.get(tx, NO_TRANSACTION)
        if owner != client or self.disputes.get(tx) != "open":
            return
        account = self.accounts[client]
        if account.locked:
            return
        account.held -= amount
        account.available += amount
        del self.disputes[tx]

    def chargeback(self, client: int, tx: int) -> None:
        """Reverse a disputed deposit and lock the account."""
        _, owner, amount = self.transactions.get(tx, NO_TRANSACTION)
        if owner != client or self.disputes.get(tx) != "open":
            return
        account = self.accounts[client]
        account.held -= amount
        account.locked = True
        self.disputes[tx] = "charged back"


def parse_amount(text: str) -> int:
    """Read a decimal number as a count of ten-thousandths."""
    whole, _, fraction = text.strip().partition(".")
    if len(fraction) > DECIMALS:
        fraction = fraction.rstrip("0")
        if len(fraction) > DECIMALS:
            raise ValueError(f"more than {DECIMALS} decimals: {text!r}")
    return int(whole + fraction.ljust(DECIMALS, "0"))


def format_amount(units: int) -> str:
    """Write ten-thousandths as a decimal number; the standard rules never let a balance go below zero."""
    return f"{units // SCALE}.{units % SCALE:0{DECIMALS}}"


def write_accounts(accounts: dict[int, Account], file: TextIO) -> None:
    """Write every account, sorted by client."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["client", "available", "held", "total", "locked"])
    for client, account in sorted(accounts.items()):
        amounts = (account.available, account.held, account.available + account.held)
        writer.writerow([client, *map(format_amount, amounts), "true" if account.locked else "false"])


def process(lines: Iterable[str]) -> dict[int, Account]:
    """Fold the rows of a CSV into accounts; the columns may come in any order."""
    rows = csv.reader(lines, skipinitialspace=True)
    header = [name.strip().lower() for name in next(rows)]
    type_at, client_at, tx_at, amount_at = (header.index(name) for name in ("type", "client", "tx", "amount"))
    ledger = Ledger()
    for row in rows:
        if not row:
            continue
        type_, client, tx = row[type_at].strip().lower(), int(row[client_at]), int(row[tx_at])
        if type_ == "deposit":
            ledger.deposit(client, tx, parse_amount(row[amount_at]))
        elif type_ == "withdrawal":
            ledger.withdraw(client, tx, parse_amount(row[amount_at]))
        elif type_ == "dispute":
            ledger.dispute(client, tx)
        elif type_ == "resolve":
            ledger.resolve(client, tx)
        elif type_ == "chargeback":
            ledger.chargeback(client, tx)
        else:
            raise ValueError(f"unknown type {type_!r}")
    return ledger.accounts


def main() -> None:
    """Read the file named on the command line, write the accounts to standard output."""
    with open(sys.argv[1], encoding="utf-8", newline="") as file:
        write_accounts(process(file), sys.stdout)


if __name__ == "__main__":
    main()
