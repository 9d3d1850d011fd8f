"""The executable specification, held to what must be true of any ledger.

Every single rule has its scenario in ``test_precedence.py``; here are the laws that hold for all streams.
"""

from __future__ import annotations

from hypothesis import given

from holdfast.domain.account import Account
from holdfast.domain.amount import UNITS_MAX, UNITS_MIN
from holdfast.domain.model import Model
from holdfast.domain.outcome import Outcome, Phase
from holdfast.domain.rules import STANDARD, Rules, make_rules
from holdfast.domain.transaction import TransactionType
from scenarios import CHARGEBACK, DEPOSIT, DISPUTE, RESOLVE, WITHDRAWAL, TransactionRow
from strategies import rules, transaction_streams


def play(model: Model, rows: list[TransactionRow]) -> list[Outcome]:
    """Apply rows one after the other."""
    return [model.apply(TransactionType(type_), client, tx, amount) for type_, client, tx, amount in rows]


def test_new_model_is_empty() -> None:
    """Before the first transaction there is nobody."""
    assert Model().accounts() == []


def test_a_day_of_one_client() -> None:
    """The five transactions do what the table of the contract says, balance by balance."""
    model = Model()
    steps = [
        ((DEPOSIT, 1, 1, 100), (100, 0, False)),
        ((WITHDRAWAL, 1, 2, 30), (70, 0, False)),
        ((DEPOSIT, 1, 3, 50), (120, 0, False)),
        ((DISPUTE, 1, 1, 0), (20, 100, False)),
        ((RESOLVE, 1, 1, 0), (120, 0, False)),
        ((DISPUTE, 1, 3, 0), (70, 50, False)),
        ((CHARGEBACK, 1, 3, 0), (70, 0, True)),
    ]
    for row, balances in steps:
        assert model.apply(*row) is Outcome.APPLIED
        (account,) = model.accounts()
        assert (account.available_units, account.held_units, account.locked) == balances


def test_provisional_credit_step_by_step() -> None:
    """A disputed withdrawal is credited as held; a resolve takes that back, a chargeback pays it out."""
    model = Model(make_rules({"dispute_withdrawal": "provisional_credit"}))
    steps = [
        ((DEPOSIT, 1, 1, 100), (100, 0, False)),
        ((WITHDRAWAL, 1, 2, 30), (70, 0, False)),
        ((DISPUTE, 1, 2, 0), (70, 30, False)),
        ((RESOLVE, 1, 2, 0), (70, 0, False)),
        ((DISPUTE, 1, 2, 0), (70, 30, False)),
        ((CHARGEBACK, 1, 2, 0), (100, 0, True)),
    ]
    for row, balances in steps:
        assert model.apply(*row) is Outcome.APPLIED
        (account,) = model.accounts()
        assert (account.available_units, account.held_units, account.locked) == balances


def test_accounts_are_sorted_copies() -> None:
    """Accounts come sorted by client, with the model's decimals, and do not change later."""
    model = Model(decimals=2)
    for client in (9, 3, 70_000, 5):
        model.apply(DEPOSIT, client, client, client)
    before = model.accounts()
    model.apply(WITHDRAWAL, 3, 1, 1)
    assert before == [Account(client, client, 0, locked=False, decimals=2) for client in (3, 5, 9, 70_000)]


@given(rules(), transaction_streams())
def test_laws(profile: Rules, rows: list[TransactionRow]) -> None:
    """All balances fit 64 bits, nothing held is negative, and available is only where the rules allow it."""
    model = Model(profile)
    for outcome in play(model, rows):
        assert outcome.phase is not Phase.DECODE
    for account in model.accounts():
        assert UNITS_MIN <= account.available_units <= UNITS_MAX
        assert UNITS_MIN <= account.total_units <= UNITS_MAX
        assert 0 <= account.held_units <= UNITS_MAX
        assert account.available_units >= 0 or profile.negative_available_on_dispute == "allow"


@given(rules(), transaction_streams())
def test_held_is_the_sum_of_open_disputes(profile: Rules, rows: list[TransactionRow]) -> None:
    """An auditor that knows the outcomes alone arrives at the same balances."""
    model = Model(profile)
    transfers: dict[int, TransactionRow] = {}
    available: dict[int, int] = {}
    held: dict[int, int] = {}
    for row, outcome in zip(rows, play(model, rows), strict=True):
        if outcome is not Outcome.APPLIED:
            continue
        type_, client, tx, amount = row
        if type_ <= WITHDRAWAL:
            transfers[tx] = row
            available[client] = available.get(client, 0) + (amount if type_ == DEPOSIT else -amount)
            continue
        of_deposit = transfers[tx][0] == DEPOSIT
        moved = transfers[tx][3]
        held[client] = held.get(client, 0) + (moved if type_ == DISPUTE else -moved)
        available[client] += {
            (DISPUTE, True): -moved,
            (RESOLVE, True): moved,
            (CHARGEBACK, False): moved,
        }.get((TransactionType(type_), of_deposit), 0)
    for account in model.accounts():
        assert account.available_units == available.get(account.client, 0)
        assert account.held_units == held.get(account.client, 0)


@given(rules(), transaction_streams())
def test_sending_twice_applies_nothing_twice(profile: Rules, rows: list[TransactionRow]) -> None:
    """Sent again, an applied deposit or withdrawal is a duplicate, whatever happened since."""
    model = Model(profile)
    outcomes = play(model, rows)
    for row, outcome in zip(rows, outcomes, strict=True):
        if outcome is Outcome.APPLIED and row[0] <= WITHDRAWAL:
            assert play(model, [row]) == [Outcome.DUPLICATE_TX]


@given(transaction_streams(), transaction_streams())
def test_clients_do_not_see_each_other(rows: list[TransactionRow], others: list[TransactionRow]) -> None:
    """Rows of other clients, with other tx ids, change nothing for a client."""
    clients, txs = {row[1] for row in rows}, {row[2] for row in rows}
    strangers = [row for row in others if row[1] not in clients and row[2] not in txs]
    alone, together = Model(STANDARD), Model(STANDARD)
    play(alone, rows)
    pairs = max(len(rows), len(strangers))
    play(together, [row for n in range(pairs) for row in (*strangers[n : n + 1], *rows[n : n + 1])])
    assert [account for account in together.accounts() if account.client in clients] == alone.accounts()
