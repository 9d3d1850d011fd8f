"""The five transactions, each with the fields it has and no others."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, ClassVar

from holdfast.domain.amount import check_amount_type
from holdfast.domain.sealed import sealed

if TYPE_CHECKING:
    from decimal import Decimal


class TransactionType(IntEnum):
    """The types and the numbers that stand for them in type columns. Zero is no type."""

    DEPOSIT = 1
    WITHDRAWAL = 2
    DISPUTE = 3
    RESOLVE = 4
    CHARGEBACK = 5


def _check_id(name: str, value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise TypeError(f"{name} is an int, not {type(value).__name__}")


@sealed
@dataclass(frozen=True, slots=True)
class _Transfer:
    """A transaction that moves money and can be referred to.

    Args:
        client: The client's id; whether it is in range is for the engine to say.
        tx: The transaction's id.
        amount: A str or Decimal amount, or an int count of units. Whether it is a proper one is for the
            engine to say.

    Raises:
        TypeError: For an id that is no int or an amount that is not exact, a float above all.
    """

    client: int
    tx: int
    amount: str | Decimal | int

    def __post_init__(self) -> None:
        _check_id("client", self.client)
        _check_id("tx", self.tx)
        check_amount_type(self.amount)


@sealed
@dataclass(frozen=True, slots=True)
class _Reference:
    """A transaction that refers to an earlier one and has no amount of its own.

    Args:
        client: The client's id, who has to be the owner of the transaction referred to.
        tx: The id of the transaction referred to.

    Raises:
        TypeError: For an id that is no int.
    """

    client: int
    tx: int

    def __post_init__(self) -> None:
        _check_id("client", self.client)
        _check_id("tx", self.tx)


class Deposit(_Transfer):
    """Credits an account: available grows by the amount."""

    __slots__ = ()
    type: ClassVar[TransactionType] = TransactionType.DEPOSIT


class Withdrawal(_Transfer):
    """Debits an account: available shrinks by the amount."""

    __slots__ = ()
    type: ClassVar[TransactionType] = TransactionType.WITHDRAWAL


class Dispute(_Reference):
    """Claims that an earlier transaction was wrong: its amount is held."""

    __slots__ = ()
    type: ClassVar[TransactionType] = TransactionType.DISPUTE


class Resolve(_Reference):
    """Ends a dispute in favour of the transaction: what was held is released."""

    __slots__ = ()
    type: ClassVar[TransactionType] = TransactionType.RESOLVE


class Chargeback(_Reference):
    """Ends a dispute by reversing the transaction: what was held is gone, the account is locked."""

    __slots__ = ()
    type: ClassVar[TransactionType] = TransactionType.CHARGEBACK


Transaction = Deposit | Withdrawal | Dispute | Resolve | Chargeback
