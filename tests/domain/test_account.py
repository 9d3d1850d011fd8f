"""An account at one point in time."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.account import Account
from holdfast.domain.amount import UNITS_MAX, UNITS_MIN
from strategies import edge_integers


def test_balances_are_exact() -> None:
    """Balances are Decimals with the configured decimals, and the total is derived."""
    account = Account(client=1, available_units=15_000, held_units=5, locked=False)
    assert (str(account.available), str(account.held), str(account.total)) == ("1.5000", "0.0005", "1.5005")
    assert account.total_units == 15_005


def test_decimals() -> None:
    """The same units mean less with more decimals."""
    assert Account(1, 15, 0, locked=False, decimals=0).available == 15
    assert Account(1, 15, 0, locked=False, decimals=9).available == Decimal("0.000000015")


@given(edge_integers(UNITS_MIN, UNITS_MAX), edge_integers(0, UNITS_MAX), st.integers(0, 9))
def test_total(available: int, held: int, decimals: int) -> None:
    """The total is the sum at the ends of 64 bits as well, in units and in Decimals."""
    account = Account(1, available, held, locked=True, decimals=decimals)
    assert account.total_units == available + held
    assert account.total == account.available + account.held
    assert account.total * 10**decimals == available + held


def test_is_a_value() -> None:
    """Accounts are frozen, closed, and equal by content."""
    account = Account(1, 2, 3, locked=True)
    assert account == Account(1, 2, 3, locked=True)
    assert account != Account(1, 2, 3, locked=False)
    assert not hasattr(account, "__dict__")
    with pytest.raises(FrozenInstanceError):
        account.locked = False  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        account.total_units = 5  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        account.note = "x"  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(account)) == copy.copy(account) == account  # noqa: S301  # our own
