"""The five transactions as values."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from decimal import Decimal

import pytest

from holdfast.domain.transaction import (
    Chargeback,
    Deposit,
    Dispute,
    Resolve,
    Transaction,
    TransactionType,
    Withdrawal,
)

ALL: list[Transaction] = [
    Deposit(client=1, tx=2, amount="1.5"),
    Withdrawal(client=1, tx=2, amount=Decimal("1.5")),
    Dispute(client=1, tx=2),
    Resolve(client=1, tx=2),
    Chargeback(client=1, tx=2),
]


def test_type_numbers_are_pinned() -> None:
    """The numbers in type columns are stored and sent: they never change."""
    assert {type_.name: type_.value for type_ in TransactionType} == {
        "DEPOSIT": 1,
        "WITHDRAWAL": 2,
        "DISPUTE": 3,
        "RESOLVE": 4,
        "CHARGEBACK": 5,
    }


@pytest.mark.parametrize(("transaction", "type_"), list(zip(ALL, TransactionType, strict=True)))
def test_type(transaction: Transaction, type_: TransactionType) -> None:
    """Each class knows its type and says what it is."""
    assert transaction.type is type_
    assert repr(transaction).lower().startswith(f"{type_.name.lower()}(client=1, tx=2")


@pytest.mark.parametrize("transaction", ALL, ids=repr)
def test_is_a_value(transaction: Transaction) -> None:
    """Transactions are frozen, closed, hashable, and equal only to their own kind."""
    with pytest.raises(FrozenInstanceError):
        transaction.client = 3  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        transaction.note = "x"  # type: ignore[union-attr]
    with pytest.raises(FrozenInstanceError):
        del transaction.tx
    assert pickle.loads(pickle.dumps(transaction)) == copy.copy(transaction) == transaction  # noqa: S301  # our own
    assert not hasattr(transaction, "__dict__")
    assert [other for other in ALL if other == transaction] == [transaction]
    assert len({*ALL, transaction}) == len(ALL)


@pytest.mark.parametrize("transaction", ALL[2:], ids=repr)
def test_references_have_no_amount(transaction: Transaction) -> None:
    """A dispute, resolve or chargeback has no amount, not even an empty one."""
    assert not hasattr(transaction, "amount")
    with pytest.raises(TypeError):
        type(transaction)(1, 2, "1.5")  # type: ignore[call-arg]


@pytest.mark.parametrize("wrong", [1.0, "1", True, None, Decimal(1)])
@pytest.mark.parametrize("kind", [Deposit, Withdrawal])
def test_transfer_ids_are_ints(kind: type[Deposit | Withdrawal], wrong: int) -> None:
    """An id that is no int is a mistake of the caller's."""
    with pytest.raises(TypeError, match="client is an int"):
        kind(wrong, 2, "1")
    with pytest.raises(TypeError, match="tx is an int"):
        kind(1, wrong, "1")


@pytest.mark.parametrize("wrong", [1.0, "1", True, None, Decimal(1)])
@pytest.mark.parametrize("kind", [Dispute, Resolve, Chargeback])
def test_reference_ids_are_ints(kind: type[Dispute | Resolve | Chargeback], wrong: int) -> None:
    """An id that is no int is a mistake of the caller's."""
    with pytest.raises(TypeError, match="client is an int"):
        kind(wrong, 2)
    with pytest.raises(TypeError, match="tx is an int"):
        kind(1, wrong)


@pytest.mark.parametrize("kind", [Deposit, Withdrawal])
def test_amounts_are_never_floats(kind: type[Deposit | Withdrawal]) -> None:
    """A float is refused with a hint, and so is everything that is not exact."""
    with pytest.raises(TypeError, match="not float; write it as text or Decimal"):
        kind(1, 2, 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not bool"):
        kind(1, 2, True)
    assert kind(1, 2, 15_000).amount == 15_000


def test_ranges_are_for_the_engine_to_say() -> None:
    """Values that are refused later can be made: being refused is an outcome, not an exception."""
    assert Deposit(client=-1, tx=2**70, amount="nonsense").amount == "nonsense"
