"""Transactions as the numbers of a batch's row."""

from __future__ import annotations

from holdfast.domain.outcome import UNDECIDED, Outcome

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.domain.settings import Settings
    from holdfast.domain.transaction import Transaction

    Row = tuple[int, int, int, int, int]
    """Type, client, tx, units, and the outcome if there is one already."""


def to_rows(transactions: Iterable[Transaction], settings: Settings) -> list[Row]:
    """Convert transactions for :meth:`Batch.from_rows`.

    What cannot be converted, because a number is out of range or an amount is none, has its outcome already.

    Raises:
        TypeError: If one is no transaction.
    """
    from holdfast.domain.transaction import Transaction  # noqa: PLC0415  # dataclasses are slow to import; files do without

    rows = []
    for transaction in transactions:
        if not isinstance(transaction, Transaction):
            raise TypeError(
                f"{type(transaction).__name__} is no transaction: make it a Deposit, Withdrawal, Dispute, Resolve or Chargeback"
            )
        rows.append(_to_row(transaction, settings))
    return rows


def _to_row(transaction: Transaction, settings: Settings) -> Row:
    client, tx, units = transaction.client, transaction.tx, 0
    if not 0 <= client <= settings.client_max:
        return transaction.type, 0, 0, 0, Outcome.INVALID_CLIENT
    if not 0 <= tx <= settings.tx_max:
        return transaction.type, client, 0, 0, Outcome.INVALID_TX
    amount = getattr(transaction, "amount", None)
    if amount is not None:
        from holdfast.domain.amount import AmountError, units_from  # noqa: PLC0415  # decimal: files do without

        try:
            units = units_from(amount, settings.decimals, settings.rules.excess_decimals)
        except AmountError as error:
            return transaction.type, client, tx, 0, error.outcome
    return transaction.type, client, tx, units, UNDECIDED
