"""Holdfast inside a program of one's own: ``python examples/embed.py``."""

from __future__ import annotations

import sys
from array import array
from pathlib import Path

import holdfast


def main() -> None:
    """Apply transactions one by one, from a file and as columns; print the accounts they come to."""
    engine = holdfast.Engine()

    # One by one: every transaction has an outcome, and a refused one is no exception.
    print(engine.apply(holdfast.Deposit(client=1000, tx=1001, amount="1.5")).name)
    refused = engine.apply(holdfast.Withdrawal(client=1000, tx=1002, amount="99"))
    print(f"{refused.name}: {refused.explanation}")

    # A file: any path, file object, bytes or iterable of chunks.
    engine.process(Path(__file__).with_name("transactions.csv"))

    # Columns: arrays, NumPy and Arrow arrays are read where they are. Amounts are units of 0.0001.
    outcomes = engine.apply_batch(
        array("B", [holdfast.TransactionType.DEPOSIT, holdfast.TransactionType.WITHDRAWAL]),
        array("Q", [1000, 1000]),
        array("Q", [1003, 1004]),
        array("q", [20_0000, 5_2500]),
    )
    print([holdfast.Outcome(code).name for code in outcomes])

    account = engine.account(1000)
    if account is not None:
        print(f"client {account.client}: {account.available} available, {account.held} held")
    sys.stdout.flush()  # what was printed waits in a buffer of text, and the accounts are bytes
    engine.accounts().write_csv(sys.stdout.buffer)


if __name__ == "__main__":
    main()
