"""What tests of durable ledgers share: rows, and the model that says what they come to."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from holdfast.domain.model import Model
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from holdfast import Accounts
    from scenarios import TransactionRow

NAMES = ("", "deposit", "withdrawal", "dispute", "resolve", "chargeback")


def draw_rows(count: int, seed: int = 1, clients: int = 9, txs: int = 4000) -> list[TransactionRow]:
    """Draw rows over few clients, so that disputes hit and some rows are refused."""
    rng = random.Random(seed)
    rows = []
    for number in range(count):
        type_ = rng.choice((1, 1, 1, 1, 2, 3, 4, 5 if rng.random() < 0.1 else 3))
        tx = number if type_ <= 2 else rng.randrange(max(1, min(number, txs)))
        rows.append((type_, rng.randrange(clients), tx, rng.randrange(1, 10_000_000)))
    return rows


def csv_of(rows: list[TransactionRow]) -> bytes:
    """Write rows as CSV, with four decimals."""
    lines = [
        f"{NAMES[type_]},{client},{tx},{units // 10_000}.{units % 10_000:04}"
        for type_, client, tx, units in rows
    ]
    return "\n".join(["type,client,tx,amount", *lines, ""]).encode()


def expected_accounts(rows: list[TransactionRow]) -> list[tuple[int, int, int, bool]]:
    """Say what the model makes of rows."""
    model = Model()
    for type_, *rest in rows:
        model.apply(TransactionType(type_), *rest)
    return [(acc.client, acc.available_units, acc.held_units, acc.locked) for acc in model.accounts()]


def found_accounts(accounts: Accounts) -> list[tuple[int, int, int, bool]]:
    """List accounts in the same form."""
    return [(acc.client, acc.available_units, acc.held_units, acc.locked) for acc in accounts]
