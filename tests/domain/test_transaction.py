"""The five transactions as values."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from decimal import Decimal
from typing import Any

import numpy as np
import pytest

import holdfast
from holdfast.domain.transaction import (
    Chargeback,
    Deposit,
    Dispute,
    Resolve,
    Transaction,
    TransactionType,
    Withdrawal,
    not_a_transaction,
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
    message = f"a {type(transaction).__name__} takes client and tx and no amount: its amount is that of the transaction"
    with pytest.raises(TypeError, match=message):
        type(transaction)(1, 2, "1.5")  # type: ignore[call-arg]
    for amount in ("1.5", "", None):
        with pytest.raises(TypeError, match=message):
            type(transaction)(client=1, tx=2, amount=amount)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing 1 required positional argument: 'tx'"):
        type(transaction)(client=1)  # type: ignore[call-arg]


@pytest.mark.parametrize("integer", [np.int64(7), np.uint8(7), np.uint64(7), np.array(7), TransactionType(3)])
def test_integers_of_any_library(integer: int) -> None:
    """An integer of numpy is an integer, for ids and for units; what is kept is an int."""
    deposit = Deposit(client=integer, tx=integer, amount=integer)
    assert deposit == Deposit(int(integer), int(integer), int(integer))
    assert {type(value) for value in (deposit.client, deposit.tx, deposit.amount)} == {int}
    assert Dispute(integer, integer) == Dispute(int(integer), int(integer))
    assert type(Dispute(integer, integer).tx) is int


@pytest.mark.parametrize("wrong", [np.bool_(True), np.float64(1), np.float32(1), np.array([1]), np.str_("1")])
def test_what_numpy_has_beside_integers(wrong: Any) -> None:
    """Its truth values, floats and arrays are none."""
    with pytest.raises(TypeError, match="client is an int"):
        Deposit(wrong, 2, "1")
    with pytest.raises(TypeError, match="tx is an int"):
        Dispute(1, wrong)
    if not isinstance(wrong, np.str_):
        with pytest.raises(TypeError, match="an amount is a str, a Decimal or an int of units"):
            Deposit(1, 2, wrong)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (("deposit", 1, 1, "1"), r'not tuple: holdfast.Deposit\(client=1, tx=1, amount="1.50"\)'),
        ({"type": "deposit"}, "not dict: holdfast.Deposit"),
        (None, "not NoneType: holdfast.Deposit"),
        (b"deposit,1,1,1", r"not bytes: rows of CSV are for Engine.process\(\)"),
        (Deposit, "not type: holdfast.Deposit"),
    ],
)
def test_what_is_no_transaction(value: Any, hint: str) -> None:
    """It is refused with what to write instead."""
    for give in (not_a_transaction, holdfast.Engine().apply):
        with pytest.raises(TypeError, match=f"a transaction is needed, {hint}"):
            _raise(give(value))


def _raise(error: Any) -> None:
    raise error


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
    with pytest.raises(TypeError, match=r"not float; write it as text .* or Decimal: a float is not exact"):
        kind(1, 2, 1.5)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="not bool"):
        kind(1, 2, True)
    assert kind(1, 2, 15_000).amount == 15_000


def test_ranges_are_for_the_engine_to_say() -> None:
    """Values that are refused later can be made: being refused is an outcome, not an exception."""
    assert Deposit(client=-1, tx=2**70, amount="nonsense").amount == "nonsense"
