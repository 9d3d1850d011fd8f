"""Every value of every knob, every profile, and all scenarios there are."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from holdfast.domain.amount import UNITS_MAX
from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import CARDS, STANDARD, Rules, make_rules
from ladders import EXISTENCE, LIMITS, RULES_LADDERS
from scenarios import (
    CHARGEBACK,
    DEPOSIT,
    DISPUTE,
    RESOLVE,
    WITHDRAWAL,
    AccountRow,
    RoundingCase,
    Scenario,
    Step,
    applied,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scenarios import TransactionRow

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
