"""Converts transactions to the numbers of a batch's rows.

This module is slow to import (dataclasses, decimal); processing files does not need it.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from holdfast.domain.amount import AmountError, units_from
from holdfast.domain.origin import FINGERPRINT_BYTES
from holdfast.domain.outcome import UNDECIDED, Outcome
from holdfast.domain.transaction import Deposit, Transaction, Withdrawal, not_a_transaction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.domain.settings import Settings

    Row = tuple[int, int, int, int, int]
    """Type, client, tx, units, and the outcome, if the row has one already."""


def to_rows(transactions: Iterable[Transaction], settings: Settings) -> list[Row]:
    """Convert transactions for :meth:`Batch.from_rows`.

    A transaction that cannot be converted, because a number is out of range or an amount is invalid, gets its outcome here.

    Raises:
        TypeError: If one is not a transaction.
    """
    return [to_row(transaction, settings) for transaction in transactions]


def to_row(transaction: Transaction, settings: Settings) -> Row:
    """Convert one transaction; see :func:`to_rows`."""
    if not isinstance(transaction, Transaction):
        raise not_a_transaction(transaction)
    type_, client, tx, units = transaction.type, transaction.client, transaction.tx, 0
    if not 0 <= client <= settings.client_max:
        return type_, 0, 0, 0, Outcome.INVALID_CLIENT
    if not 0 <= tx <= settings.tx_max:
        return type_, client, 0, 0, Outcome.INVALID_TX
    if isinstance(transaction, Deposit | Withdrawal):
        try:
            units = units_from(transaction.amount, settings.decimals, settings.rules.excess_decimals)
        except AmountError as error:
            return type_, client, tx, 0, error.outcome
    return type_, client, tx, units, UNDECIDED


def fingerprint_of(transaction: Transaction, row: Row) -> bytes:
    """Give what tells a transaction from others, in 16 bytes; amounts that are the same are written in any way.

    Args:
        transaction: The transaction.
        row: Its row, as :func:`to_row` has made it.
    """
    type_, _, _, units, outcome = row
    amount: object = units
    if outcome != UNDECIDED and isinstance(transaction, Deposit | Withdrawal):
        amount = str(transaction.amount)
    said = ascii((type_, transaction.client, transaction.tx, amount))
    return blake2b(said.encode(), digest_size=FINGERPRINT_BYTES).digest()
