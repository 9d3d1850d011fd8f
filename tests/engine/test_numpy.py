"""NumPy's arrays and integers where it is installed: nothing of Holdfast needs it."""

from __future__ import annotations

import pytest

import holdfast
from holdfast import Engine, Outcome

np = pytest.importorskip("numpy")


def test_columns_may_be_numpy_arrays() -> None:
    """NumPy columns are accepted like arrays, including signed ids."""
    rows = np.array([(1, 1, 1, 10), (2, 1, 2, 30), (2, 1, 3, 4)], dtype=np.int64)
    engine = Engine()
    types, clients, txs, amounts = (np.ascontiguousarray(column) for column in rows.T)
    outcomes = engine.apply_batch(types.astype(np.uint8), clients, txs.astype(np.uint64), amounts)
    assert list(outcomes) == [Outcome.APPLIED, Outcome.INSUFFICIENT_FUNDS, Outcome.APPLIED]
    assert engine.account(1).available_units == 6


@pytest.mark.parametrize("client", [np.int64(7), np.uint16(7), 7])
def test_accounts_are_found_by_integers_of_any_library(client: int) -> None:
    """What is given back has an int."""
    engine = holdfast.Engine()
    engine.apply(holdfast.Deposit(client=client, tx=1, amount="1"))
    assert client in engine.accounts()
    for account in (engine.account(client), engine.accounts()[client], engine.accounts().get(client)):
        assert account is not None
        assert type(account.client) is int
        assert account.client == 7
