"""A recorded transaction, as a ledger tells it."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.amount import format_units
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from decimal import Decimal


class DisputeState(IntEnum):
    """What became of disputes of a transaction."""

    NEVER_DISPUTED = 0
    UNDER_DISPUTE = 1
    RESOLVED = 2
    CHARGED_BACK = 3


class LedgerTransaction(NamedTuple):
    """A deposit or withdrawal that was applied."""

    tx: int
    type_number: int
    client: int
    amount_units: int
    dispute_number: int
    decimals: int

    @property
    def type(self) -> TransactionType:
        """Whether it is a deposit or a withdrawal."""
        return TransactionType(self.type_number)

    @property
    def dispute(self) -> DisputeState:
        """The state of its dispute."""
        return DisputeState(self.dispute_number)

    @property
    def amount(self) -> Decimal:
        """The amount."""
        from decimal import Decimal  # noqa: PLC0415  # slow to import, and units do for most

        return Decimal(format_units(self.amount_units, self.decimals))
