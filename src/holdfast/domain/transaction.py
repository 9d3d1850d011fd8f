"""The five transactions, each with the fields it has and no others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from holdfast.domain.amount import exact_amount, exact_integer
from holdfast.domain.outcome import NamedNumber
from holdfast.domain.sealed import sealed

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Self


class TransactionType(NamedNumber):
    """The types, with their numbers in type columns. Zero is no type."""

    DEPOSIT = 1
    WITHDRAWAL = 2
    DISPUTE = 3
    RESOLVE = 4
    CHARGEBACK = 5


_REFERENCE_FIELDS = ("client", "tx")


def _exact_id(name: str, value: object) -> int:
    """Give an id as an int: those of numpy are integers as well, a bool and a float are none."""
    number = exact_integer(value)
    if number is None:
        hint = "; convert it where it is read: int(text)" if isinstance(value, str | bytes) else ""
        raise TypeError(f"{name} is an int, not {type(value).__name__}{hint}")
    return number


@sealed
@dataclass(frozen=True, slots=True)
class _Transfer:
    """A transaction that moves money and can be referred to.

    Args:
        client: The client's id; the engine decides whether it is in range.
        tx: The transaction's id.
        amount: A str or Decimal amount, or an int count of units. The engine decides whether it is valid.

    Raises:
        TypeError: For an id that is no integer or an amount that is not exact, a float above all.
    """

    client: int
    tx: int
    amount: str | Decimal | int

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", _exact_id("client", self.client))
        object.__setattr__(self, "tx", _exact_id("tx", self.tx))
        object.__setattr__(self, "amount", exact_amount(self.amount))


@sealed
@dataclass(frozen=True, slots=True)
class _Reference:
    """A transaction that refers to an earlier one and has no amount of its own.

    Args:
        client: The client's id, who has to be the owner of the transaction referred to.
        tx: The id of the transaction referred to.

    Raises:
        TypeError: For an id that is no integer, and for an amount.
    """

    client: int
    tx: int

    if not TYPE_CHECKING:

        def __new__(cls, *arguments: object, **named: object) -> Self:
            if "amount" in named or len(arguments) > len(_REFERENCE_FIELDS):
                raise TypeError(
                    f"a {cls.__name__} takes client and tx and no amount: its amount is that of the transaction that tx names"
                )
            return object.__new__(cls)

    def __post_init__(self) -> None:
        object.__setattr__(self, "client", _exact_id("client", self.client))
        object.__setattr__(self, "tx", _exact_id("tx", self.tx))


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


def not_a_transaction(value: object) -> TypeError:
    """Make the error about a value that should be a transaction; it says how to make one."""
    hint = (
        "rows of CSV are for Engine.process()"
        if isinstance(value, str | bytes | bytearray)
        else 'holdfast.Deposit(client=1, tx=1, amount="1.50"), or Withdrawal, Dispute, Resolve or Chargeback'
    )
    return TypeError(f"a transaction is needed, not {type(value).__name__}: {hint}")
