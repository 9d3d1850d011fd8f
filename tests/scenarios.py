"""Scenarios that model and kernel are both held to: the ladder of outcomes, every value of every knob.

A ladder is read from top to bottom: each row repairs the fault that the row above it was refused for, and
no other, so that it exposes the next outcome in order of precedence.
"""

from __future__ import annotations

import dataclasses
from array import array
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from holdfast.domain.amount import UNITS_MAX
from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import CARDS, STANDARD, Rules, make_rules
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

TransactionRow = tuple[int, int, int, int]
"""Type, client, tx, amount in units."""
AccountRow = tuple[int, int, int, bool]
"""Client, available, held, locked."""
Columns = tuple["array[int]", "array[int]", "array[int]", "array[int]"]

DEPOSIT = TransactionType.DEPOSIT
WITHDRAWAL = TransactionType.WITHDRAWAL
DISPUTE = TransactionType.DISPUTE
RESOLVE = TransactionType.RESOLVE
CHARGEBACK = TransactionType.CHARGEBACK


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction and what becomes of it."""

    outcome: Outcome
    type: TransactionType
    client: int
    tx: int
    amount: int = 0

    @property
    def row(self) -> TransactionRow:
        """The step as the columns hold it."""
        return (self.type, self.client, self.tx, self.amount)


@dataclass(frozen=True, slots=True)
class Scenario:
    """Transactions under given rules, their outcomes, and the accounts they leave behind."""

    name: str
    rules: Rules
    steps: tuple[Step, ...]
    accounts: tuple[AccountRow, ...]

    @property
    def rows(self) -> list[TransactionRow]:
        """The steps as the columns hold them."""
        return [step.row for step in self.steps]

    @property
    def outcomes(self) -> list[Outcome]:
        """What becomes of each step."""
        return [step.outcome for step in self.steps]

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class DecodeCase:
    """One row of text and what the decoder says to it; UNDECIDED (0) for a well-formed one."""

    row: bytes
    outcome: int
    columns: TransactionRow


@dataclass(frozen=True, slots=True)
class RoundingCase:
    """An amount with more decimals than two, and what becomes of it: units, or the code that refuses it."""

    excess_decimals: str
    text: str
    units: int = 0
    outcome: Outcome | None = field(default=None)


def columns(rows: Iterable[TransactionRow]) -> Columns:
    """Turn rows into the typed columns that a batch is made from."""
    types, clients, txs, amounts = array("B"), array("Q"), array("Q"), array("q")
    for type_, client, tx, amount in rows:
        types.append(type_)
        clients.append(client)
        txs.append(tx)
        amounts.append(amount)
    return types, clients, txs, amounts


def account_rows(chunks: Iterable[bytes]) -> list[AccountRow]:
    """Read accounts back from CSV that was written with no decimals, which shows the units as they are."""
    header, *lines = b"".join(chunks).decode().splitlines()
    assert header == "client,available,held,total,locked"
    accounts = []
    for line in lines:
        client, available, held, total, locked = line.split(",")
        assert int(total) == int(available) + int(held), line
        accounts.append((int(client), int(available), int(held), {"true": True, "false": False}[locked]))
    return accounts


def applied(*rows: TransactionRow) -> tuple[Step, ...]:
    """Give the steps of a scenario's preparation, all of which go well."""
    return tuple(Step(Outcome.APPLIED, TransactionType(type_), *rest) for type_, *rest in rows)


# --- the ladder: decoding ---

LADDER_HEADER = b"type,client,tx,amount,note"
LADDER_ROW_BYTES_MAX = 100
_PAD = b"-" * LADDER_ROW_BYTES_MAX
_HUGE = b"99999999999999999999"

DECODE_LADDER = (
    DecodeCase(b'deposits,x,y,,a"b' + _PAD, Outcome.ROW_TOO_LONG, (0, 0, 0, 0)),
    DecodeCase(b'deposits,x,y,,a"b', Outcome.MALFORMED_ROW, (0, 0, 0, 0)),
    DecodeCase(b"deposits,x,y,,ab", Outcome.UNKNOWN_TYPE, (0, 0, 0, 0)),
    DecodeCase(b"deposit,x,y,,ab", Outcome.INVALID_CLIENT, (1, 0, 0, 0)),
    DecodeCase(b"deposit,7,y,,ab", Outcome.INVALID_TX, (1, 7, 0, 0)),
    DecodeCase(b"deposit,7,9,,ab", Outcome.MISSING_AMOUNT, (1, 7, 9, 0)),
    DecodeCase(b"deposit,7,9,-%b.00001x,ab" % _HUGE, Outcome.INVALID_AMOUNT, (1, 7, 9, 0)),
    DecodeCase(b"deposit,7,9,-%b.00001,ab" % _HUGE, Outcome.AMOUNT_TOO_PRECISE, (1, 7, 9, 0)),
    DecodeCase(b"deposit,7,9,-%b.00000,ab" % _HUGE, Outcome.AMOUNT_OUT_OF_RANGE, (1, 7, 9, 0)),
    DecodeCase(b"deposit,7,9,-1.00000,ab", 0, (1, 7, 9, -10_000)),
)
"""Its last row is well formed; that its amount is negative is the first thing the rules find fault with."""

# --- the ladder: rules ---

_LOCK_CLIENT_1 = applied((DEPOSIT, 1, 90, 3), (DISPUTE, 1, 90, 0), (CHARGEBACK, 1, 90, 0))
_LOCKED_AND_OPEN = applied(
    (DEPOSIT, 1, 1, 10),
    (WITHDRAWAL, 1, 2, 4),
    (DEPOSIT, 2, 3, UNITS_MAX),
)

DEPOSIT_LADDER = Scenario(
    "deposit",
    STANDARD,
    (
        *_LOCKED_AND_OPEN,
        *_LOCK_CLIENT_1,
        Step(Outcome.AMOUNT_NOT_POSITIVE, DEPOSIT, 1, 1, -10),
        Step(Outcome.AMOUNT_NOT_POSITIVE, DEPOSIT, 1, 1, 0),
        Step(Outcome.DUPLICATE_TX, DEPOSIT, 1, 1, 10),
        Step(Outcome.TX_ID_REUSED, DEPOSIT, 1, 1, 11),
        Step(Outcome.TX_ID_REUSED, DEPOSIT, 1, 2, 4),
        Step(Outcome.TX_ID_REUSED, DEPOSIT, 2, 1, 10),
        Step(Outcome.ACCOUNT_LOCKED, DEPOSIT, 1, 5, 11),
        Step(Outcome.BALANCE_OVERFLOW, DEPOSIT, 2, 5, 11),
        Step(Outcome.APPLIED, DEPOSIT, 4, 5, 11),
    ),
    ((1, 6, 0, True), (2, UNITS_MAX, 0, False), (4, 11, 0, False)),
)

WITHDRAWAL_LADDER = Scenario(
    "withdrawal",
    STANDARD,
    (
        *_LOCKED_AND_OPEN,
        *_LOCK_CLIENT_1,
        Step(Outcome.AMOUNT_NOT_POSITIVE, WITHDRAWAL, 1, 2, -4),
        Step(Outcome.AMOUNT_NOT_POSITIVE, WITHDRAWAL, 1, 2, 0),
        Step(Outcome.DUPLICATE_TX, WITHDRAWAL, 1, 2, 4),
        Step(Outcome.TX_ID_REUSED, WITHDRAWAL, 1, 2, 7),
        Step(Outcome.TX_ID_REUSED, WITHDRAWAL, 1, 1, 10),
        Step(Outcome.TX_ID_REUSED, WITHDRAWAL, 2, 2, 4),
        Step(Outcome.ACCOUNT_LOCKED, WITHDRAWAL, 1, 5, 7),
        Step(Outcome.INSUFFICIENT_FUNDS, WITHDRAWAL, 4, 5, 7),
        Step(Outcome.APPLIED, WITHDRAWAL, 2, 5, 7),
    ),
    ((1, 6, 0, True), (2, UNITS_MAX - 7, 0, False), (4, 0, 0, False)),
)

DISPUTE_LADDER = Scenario(
    "dispute",
    STANDARD,
    (
        *_LOCKED_AND_OPEN,
        *applied((DEPOSIT, 4, 40, 5), (DISPUTE, 4, 40, 0), (DEPOSIT, 4, 41, 5), (WITHDRAWAL, 4, 42, 1)),
        *_LOCK_CLIENT_1,
        Step(Outcome.TX_NOT_FOUND, DISPUTE, 3, 99),
        Step(Outcome.CLIENT_MISMATCH, DISPUTE, 3, 2),
        Step(Outcome.NOT_DISPUTABLE, DISPUTE, 1, 2),
        Step(Outcome.ACCOUNT_LOCKED, DISPUTE, 1, 90),
        Step(Outcome.ALREADY_DISPUTED, DISPUTE, 4, 40),
        Step(Outcome.INSUFFICIENT_FUNDS, DISPUTE, 4, 41),
        Step(Outcome.APPLIED, DISPUTE, 2, 3),
    ),
    ((1, 6, 0, True), (2, 0, UNITS_MAX, False), (4, 4, 5, False)),
)

_LOCKED_DISPUTES = make_rules({"locked_dispute": "accept", "redispute_after_resolve": "refuse"})
DISPUTE_ON_LOCKED_LADDER = Scenario(
    "dispute where a locked account takes disputes",
    _LOCKED_DISPUTES,
    (
        *applied(
            (DEPOSIT, 1, 1, 10),
            (DISPUTE, 1, 1, 0),
            (RESOLVE, 1, 1, 0),
            (DEPOSIT, 1, 2, 20),
            (DEPOSIT, 1, 3, 30),
        ),
        *applied((DISPUTE, 1, 2, 0), (CHARGEBACK, 1, 2, 0), (DISPUTE, 1, 3, 0)),
        Step(Outcome.ALREADY_DISPUTED, DISPUTE, 1, 3),
        Step(Outcome.ALREADY_DISPUTED, DISPUTE, 1, 1),
        Step(Outcome.ALREADY_CHARGED_BACK, DISPUTE, 1, 2),
    ),
    ((1, 10, 30, True),),
)

_CREDIT = make_rules({"dispute_withdrawal": "provisional_credit"})
WITHDRAWAL_DISPUTE_LIMITS = Scenario(
    "a disputed withdrawal at the limit",
    _CREDIT,
    (
        *applied((DEPOSIT, 1, 1, 10), (WITHDRAWAL, 1, 2, 10), (DISPUTE, 1, 2, 0), (RESOLVE, 1, 2, 0)),
        *applied((DEPOSIT, 1, 3, UNITS_MAX)),
        Step(Outcome.BALANCE_OVERFLOW, DISPUTE, 1, 2),
        *applied((WITHDRAWAL, 1, 4, 10)),
        Step(Outcome.APPLIED, DISPUTE, 1, 2),
        Step(Outcome.ALREADY_DISPUTED, DISPUTE, 1, 2),
        Step(Outcome.BALANCE_OVERFLOW, DEPOSIT, 1, 5, 1),
        Step(Outcome.APPLIED, CHARGEBACK, 1, 2),
    ),
    ((1, UNITS_MAX, 0, True),),
)


def _settlement_ladder(type_: TransactionType, accounts: tuple[AccountRow, ...]) -> Scenario:
    """Build the ladder of resolve and chargeback, which differ in what the last step does."""
    knob = f"locked_{type_.name.lower()}"
    return Scenario(
        type_.name.lower(),
        make_rules({knob: "refuse"}),
        (
            *applied((DEPOSIT, 1, 1, 10), (DEPOSIT, 2, 2, 20), (DISPUTE, 2, 2, 0), (WITHDRAWAL, 1, 3, 1)),
            *_LOCK_CLIENT_1,
            Step(Outcome.TX_NOT_FOUND, type_, 3, 99),
            Step(Outcome.CLIENT_MISMATCH, type_, 2, 1),
            Step(Outcome.ACCOUNT_LOCKED, type_, 1, 1),
            *applied((DEPOSIT, 4, 40, 5), (WITHDRAWAL, 4, 41, 1)),
            Step(Outcome.NOT_DISPUTED, type_, 4, 40),
            Step(Outcome.NOT_DISPUTED, type_, 4, 41),
            Step(Outcome.APPLIED, type_, 2, 2),
        ),
        accounts,
    )


RESOLVE_LADDER = _settlement_ladder(RESOLVE, ((1, 9, 0, True), (2, 20, 0, False), (4, 4, 0, False)))
CHARGEBACK_LADDER = _settlement_ladder(CHARGEBACK, ((1, 9, 0, True), (2, 0, 0, True), (4, 4, 0, False)))

_ALL_ACCEPTED = make_rules(
    {
        "dispute_withdrawal": "provisional_credit",
        "negative_available_on_dispute": "allow",
        "locked_deposit": "accept",
        "locked_withdrawal": "accept",
        "locked_dispute": "accept",
        "locked_resolve": "accept",
    }
)
EXTREMES = Scenario(
    "balances at both ends of 64 bits",
    _ALL_ACCEPTED,
    (
        *applied(
            (DEPOSIT, 1, 1, UNITS_MAX),
            (WITHDRAWAL, 1, 2, UNITS_MAX),
            (DEPOSIT, 1, 3, 1),
            (WITHDRAWAL, 1, 4, 1),
        ),
        *applied((DEPOSIT, 1, 5, 1), (WITHDRAWAL, 1, 6, 1)),
        *applied((DISPUTE, 1, 1, 0)),
        # held = 2**63 - 1 leaves no room for another unit, whichever way it comes.
        Step(Outcome.BALANCE_OVERFLOW, DISPUTE, 1, 3),
        Step(Outcome.BALANCE_OVERFLOW, DISPUTE, 1, 4),
        *applied((CHARGEBACK, 1, 1, 0), (DISPUTE, 1, 3, 0)),
        # Nothing can be taken from an account whose available is at the lower end.
        Step(Outcome.BALANCE_OVERFLOW, DISPUTE, 1, 5),
        Step(Outcome.INSUFFICIENT_FUNDS, WITHDRAWAL, 1, 7, 1),
        *applied((CHARGEBACK, 1, 3, 0)),
        Step(Outcome.BALANCE_OVERFLOW, DISPUTE, 1, 5),
        *applied((DEPOSIT, 1, 8, UNITS_MAX)),
    ),
    ((1, -1, 0, True),),
)

RULES_LADDERS = (
    DEPOSIT_LADDER,
    WITHDRAWAL_LADDER,
    DISPUTE_LADDER,
    DISPUTE_ON_LOCKED_LADDER,
    RESOLVE_LADDER,
    CHARGEBACK_LADDER,
)
LIMITS = (WITHDRAWAL_DISPUTE_LIMITS, EXTREMES)

# --- accounts come into being ---

EXISTENCE = Scenario(
    "who gets an account",
    STANDARD,
    (
        Step(Outcome.TX_NOT_FOUND, DISPUTE, 1, 1),
        Step(Outcome.TX_NOT_FOUND, RESOLVE, 1, 1),
        Step(Outcome.TX_NOT_FOUND, CHARGEBACK, 1, 1),
        Step(Outcome.AMOUNT_NOT_POSITIVE, DEPOSIT, 2, 1, 0),
        Step(Outcome.INSUFFICIENT_FUNDS, WITHDRAWAL, 3, 1, 1),
        Step(Outcome.APPLIED, DEPOSIT, 4, 1, 5),
        Step(Outcome.TX_ID_REUSED, DEPOSIT, 5, 1, 5),
        Step(Outcome.CLIENT_MISMATCH, DISPUTE, 6, 1),
        Step(Outcome.CLIENT_MISMATCH, DISPUTE, 2, 1),
    ),
    ((2, 0, 0, False), (3, 0, 0, False), (4, 5, 0, False), (5, 0, 0, False)),
)

# --- knobs ---

LEDGER_KNOBS = tuple(knob for knob in Rules._fields if knob != "excess_decimals")
"""The knobs that the ledger turns on; ``excess_decimals`` is the decoder's."""

_Part = tuple[tuple[Step, ...], tuple[AccountRow, ...]]


def _locked(
    knob: str, preparation: tuple[Step, ...], row: TransactionRow, before: AccountRow, after: AccountRow
) -> dict[tuple[str, str], _Part]:
    """Build both sides of a knob that says whether a locked account takes a type."""
    (accepted,) = applied(row)
    refused = dataclasses.replace(accepted, outcome=Outcome.ACCOUNT_LOCKED)
    return {
        (knob, "accept"): ((*preparation, accepted), (after,)),
        (knob, "refuse"): ((*preparation, refused), (before,)),
    }


# Client 1 is locked with 7 available; tx 2 is a deposit of 7 that can be disputed.
_LOCKED_WITH_7 = applied((DEPOSIT, 1, 1, 5), (DEPOSIT, 1, 2, 7), (DISPUTE, 1, 1, 0), (CHARGEBACK, 1, 1, 0))
# Client 1 is locked with 7 held.
_LOCKED_HOLDING_7 = applied(
    (DEPOSIT, 1, 1, 5), (DEPOSIT, 1, 2, 7), (DISPUTE, 1, 1, 0), (DISPUTE, 1, 2, 0), (CHARGEBACK, 1, 1, 0)
)
_RESOLVED = applied((DEPOSIT, 1, 1, 5), (DISPUTE, 1, 1, 0), (RESOLVE, 1, 1, 0))
_TWO_WITHDRAWN = applied((DEPOSIT, 1, 1, 9), (WITHDRAWAL, 1, 2, 3), (WITHDRAWAL, 1, 3, 2))
_OVERDRAWN = (
    Step(Outcome.INSUFFICIENT_FUNDS, WITHDRAWAL, 1, 2, 5),
    Step(Outcome.AMOUNT_NOT_POSITIVE, DEPOSIT, 1, 3, 0),
    *applied((DEPOSIT, 1, 1, 9)),
)

_KNOB_PARTS: dict[tuple[str, str], _Part] = {
    **_locked("locked_deposit", _LOCKED_WITH_7, (DEPOSIT, 1, 3, 2), (1, 7, 0, True), (1, 9, 0, True)),
    **_locked("locked_withdrawal", _LOCKED_WITH_7, (WITHDRAWAL, 1, 3, 2), (1, 7, 0, True), (1, 5, 0, True)),
    **_locked("locked_dispute", _LOCKED_WITH_7, (DISPUTE, 1, 2, 0), (1, 7, 0, True), (1, 0, 7, True)),
    **_locked("locked_resolve", _LOCKED_HOLDING_7, (RESOLVE, 1, 2, 0), (1, 0, 7, True), (1, 7, 0, True)),
    **_locked(
        "locked_chargeback",
        _LOCKED_HOLDING_7,
        (CHARGEBACK, 1, 2, 0),
        (1, 0, 7, True),
        (1, 0, 0, True),
    ),
    ("dispute_withdrawal", "refuse"): (
        (
            *_TWO_WITHDRAWN,
            Step(Outcome.NOT_DISPUTABLE, DISPUTE, 1, 2),
            Step(Outcome.NOT_DISPUTED, RESOLVE, 1, 2),
            Step(Outcome.NOT_DISPUTED, CHARGEBACK, 1, 2),
        ),
        ((1, 4, 0, False),),
    ),
    ("dispute_withdrawal", "provisional_credit"): (
        (
            *_TWO_WITHDRAWN,
            *applied((DISPUTE, 1, 2, 0), (DISPUTE, 1, 3, 0), (RESOLVE, 1, 2, 0), (CHARGEBACK, 1, 3, 0)),
        ),
        ((1, 6, 0, True),),
    ),
    ("negative_available_on_dispute", "refuse"): (
        (
            *applied((DEPOSIT, 1, 1, 5), (WITHDRAWAL, 1, 2, 3)),
            Step(Outcome.INSUFFICIENT_FUNDS, DISPUTE, 1, 1),
        ),
        ((1, 2, 0, False),),
    ),
    ("negative_available_on_dispute", "allow"): (
        (
            *applied((DEPOSIT, 1, 1, 5), (WITHDRAWAL, 1, 2, 3), (DISPUTE, 1, 1, 0)),
            Step(Outcome.INSUFFICIENT_FUNDS, WITHDRAWAL, 1, 3, 1),
        ),
        ((1, -3, 5, False),),
    ),
    ("redispute_after_resolve", "refuse"): (
        (*_RESOLVED, Step(Outcome.ALREADY_DISPUTED, DISPUTE, 1, 1)),
        ((1, 5, 0, False),),
    ),
    ("redispute_after_resolve", "accept"): (
        (
            *_RESOLVED,
            *applied((DISPUTE, 1, 1, 0)),
            Step(Outcome.ALREADY_DISPUTED, DISPUTE, 1, 1),
            *applied((RESOLVE, 1, 1, 0), (DISPUTE, 1, 1, 0)),
        ),
        ((1, 0, 5, False),),
    ),
    ("refused_tx_id", "reusable"): (
        (*_OVERDRAWN, *applied((WITHDRAWAL, 1, 2, 5), (DEPOSIT, 1, 3, 4), (DISPUTE, 1, 3, 0))),
        ((1, 4, 4, False),),
    ),
    ("refused_tx_id", "burned"): (
        (
            *_OVERDRAWN,
            Step(Outcome.TX_ID_REUSED, WITHDRAWAL, 1, 2, 5),
            Step(Outcome.TX_ID_REUSED, DEPOSIT, 1, 3, 4),
            Step(Outcome.TX_NOT_FOUND, DISPUTE, 1, 2),
            Step(Outcome.TX_NOT_FOUND, DISPUTE, 2, 3),
            Step(Outcome.TX_NOT_FOUND, CHARGEBACK, 1, 3),
            # A refused repeat of an applied transaction burns nothing.
            Step(Outcome.DUPLICATE_TX, DEPOSIT, 1, 1, 9),
            Step(Outcome.TX_ID_REUSED, WITHDRAWAL, 1, 1, 9),
            *applied((DISPUTE, 1, 1, 0)),
        ),
        ((1, 0, 9, False),),
    ),
}


def _knob_scenarios() -> tuple[Scenario, ...]:
    return tuple(
        Scenario(f"{knob}={value} on {profile}", make_rules({knob: value}, base), steps, accounts)
        for profile, base in (("standard", STANDARD), ("cards", CARDS))
        for (knob, value), (steps, accounts) in _KNOB_PARTS.items()
    )


KNOB_SCENARIOS = _knob_scenarios()
"""Every value of every knob, on top of each profile: none of them depends on what the other knobs say."""

PROFILE_SCENARIOS: dict[str, tuple[Scenario, ...]] = {
    profile: tuple(
        Scenario(f"{knob} of {profile}", rules, *_KNOB_PARTS[knob, getattr(rules, knob)])
        for knob in LEDGER_KNOBS
    )
    for profile, rules in (("standard", STANDARD), ("cards", CARDS))
}
"""For each profile as it is, the scenario of the value that each of its knobs has."""

SCENARIOS: Sequence[Scenario] = (
    *RULES_LADDERS,
    *LIMITS,
    EXISTENCE,
    *KNOB_SCENARIOS,
    *PROFILE_SCENARIOS["standard"],
    *PROFILE_SCENARIOS["cards"],
)

ROUNDING_CASES = (
    RoundingCase("refuse", "1.23000", 123),
    RoundingCase("refuse", "1.23001", outcome=Outcome.AMOUNT_TOO_PRECISE),
    RoundingCase("refuse", "92233720368547758.07", UNITS_MAX),
    RoundingCase("refuse", "92233720368547758.08", outcome=Outcome.AMOUNT_OUT_OF_RANGE),
    RoundingCase("half_even", "1.225", 122),
    RoundingCase("half_even", "1.2250000001", 123),
    RoundingCase("half_even", "1.2249999999", 122),
    RoundingCase("half_even", "1.235", 124),
    RoundingCase("half_even", "-1.225", -122),
    RoundingCase("half_even", "-1.235", -124),
    RoundingCase("half_even", "0.995", 100),
    RoundingCase("half_even", ".005", 0),
    RoundingCase("half_even", ".015", 2),
    RoundingCase("half_even", "92233720368547758.0749", UNITS_MAX),
    RoundingCase("half_even", "92233720368547758.075", outcome=Outcome.AMOUNT_OUT_OF_RANGE),
    RoundingCase("half_even", "-92233720368547758.075", outcome=Outcome.AMOUNT_OUT_OF_RANGE),
    RoundingCase("truncate", "1.229", 122),
    RoundingCase("truncate", "-1.229", -122),
    RoundingCase("truncate", "-.009", 0),
    RoundingCase("truncate", "92233720368547758.0799999", UNITS_MAX),
    RoundingCase("truncate", "92233720368547758.08", outcome=Outcome.AMOUNT_OUT_OF_RANGE),
)
"""What ``excess_decimals`` does, with two decimals kept."""
