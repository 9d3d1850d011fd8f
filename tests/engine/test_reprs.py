"""What is shown of engines, accounts and policies at a prompt and in a log."""

from __future__ import annotations

import ast

import pytest

import holdfast
from holdfast import Action, Budget, Outcome, Severity, TablePolicy


def test_an_engine_shows_its_settings_and_how_far_it_is() -> None:
    """Rows, accounts, rules and widths."""
    engine = holdfast.Engine("cards", decimals=2, tx_bits=64)
    engine.apply(holdfast.Deposit(client=1, tx=1, amount="1"))
    engine.apply(holdfast.Deposit(client=1, tx=1, amount="1"))
    assert repr(engine) == (
        "<Engine: 2 rows decided, 1 accounts; rules cards, 2 decimals, 16-bit clients, 64-bit txs>"
    )
    assert "rules custom" in repr(holdfast.Engine(holdfast.make_rules({"locked_deposit": "accept"})))


def test_accounts_show_how_many_they_are() -> None:
    """And from when."""
    engine = holdfast.Engine()
    engine.process(b"type,client,tx,amount\ndeposit,1,1,1\ndispute,1,1,\nchargeback,1,1,\ndeposit,2,2,1\n")
    assert repr(engine.accounts()).splitlines()[0] == "<Accounts: 2 (1 locked), after 4 rows>"


@pytest.mark.parametrize(
    "written",
    ["skip", "abort", "budget:100", "skip,malformed=abort,DUPLICATE_TX=silent", "silent,refused=budget:0.5%"],
)
def test_a_policy_shows_what_would_make_it(written: str) -> None:
    """The notation of the command line, which can be read again."""
    policy = holdfast.parse_policy(written)
    assert repr(policy) == f"TablePolicy({written!r})"
    again = holdfast.parse_policy(
        ast.literal_eval(repr(policy).removeprefix("TablePolicy(").removesuffix(")"))
    )
    for outcome in Outcome:
        assert again.action(outcome, outcome.severity) is policy.action(outcome, outcome.severity)
    assert again.budget == policy.budget


def test_policies_of_ones_own() -> None:
    """A callback and a budget are seen; a subclass has its own name."""
    assert repr(holdfast.ErrorPolicy()) == "ErrorPolicy()"
    policy = TablePolicy(by_severity={Severity.MALFORMED: Action.CALLBACK}, callback=lambda _: Action.SKIP)
    assert repr(policy) == "TablePolicy('skip,malformed=callback')"

    class Lenient(holdfast.ErrorPolicy):
        budget = Budget(rows=5)

    assert repr(Lenient()) == "Lenient(budget=5)"


@pytest.mark.parametrize("client", [7.0, "7", None])
def test_what_is_no_client(client: int) -> None:
    """A float is no id, even one without a fraction."""
    engine = holdfast.Engine()
    engine.apply(holdfast.Deposit(client=7, tx=1, amount="1"))
    assert client not in engine.accounts()
    for look_up in (engine.account, engine.accounts().get):
        with pytest.raises(TypeError, match="integer"):
            look_up(client)
