"""The order of the outcomes and every knob, on the executable specification."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from holdfast.domain.amount import AmountError, parse_units
from holdfast.domain.model import Model
from holdfast.domain.outcome import Outcome, Phase
from holdfast.domain.rules import KNOBS, PROFILES
from knob_scenarios import KNOB_SCENARIOS, PROFILE_SCENARIOS, ROUNDING_CASES, SCENARIOS
from ladders import DECODE_LADDER, LADDER_HEADER, LADDER_ROW_BYTES_MAX, LIMITS, RULES_LADDERS
from reference_decoder import Config, decode

if TYPE_CHECKING:
    from scenarios import DecodeCase, RoundingCase, Scenario


@pytest.mark.parametrize("case", DECODE_LADDER, ids=lambda case: case.row[:24].decode())
def test_decode_ladder(case: DecodeCase) -> None:
    """Each row of text repairs the fault of the one before and exposes the next code."""
    config = Config(row_bytes_max=LADDER_ROW_BYTES_MAX)
    (row,) = decode(LADDER_HEADER + b"\n" + case.row + b"\n", config)
    assert (row.outcome, (row.type, row.client, row.tx)) == (case.outcome, case.columns[:3])


def test_decode_ladder_is_complete() -> None:
    """The ladder climbs over all codes of the decoder, in order of precedence."""
    codes = [outcome for outcome in Outcome if outcome.phase is Phase.DECODE]
    assert [case.outcome for case in DECODE_LADDER] == [*codes, 0]


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_scenario(scenario: Scenario) -> None:
    """Every step has its outcome, and the accounts are what they should be."""
    model = Model(scenario.rules)
    outcomes = [model.apply(step.type, step.client, step.tx, step.amount) for step in scenario.steps]
    assert outcomes == scenario.outcomes
    accounts = [(acc.client, acc.available_units, acc.held_units, acc.locked) for acc in model.accounts()]
    assert accounts == list(scenario.accounts)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_refused_steps_change_nothing(scenario: Scenario) -> None:
    """A refused step leaves all accounts as they were; at most it brings an empty one into being."""
    model = Model(scenario.rules)
    for step in scenario.steps:
        before = model.accounts()
        if model.apply(step.type, step.client, step.tx, step.amount) is not Outcome.APPLIED:
            after = [
                account for account in model.accounts() if account in before or account.client != step.client
            ]
            assert after == before


@pytest.mark.parametrize("ladder", RULES_LADDERS, ids=str)
def test_ladder_climbs(ladder: Scenario) -> None:
    """After its preparation a ladder's refusals never go back to an earlier code of the same type."""
    seen: dict[int, Outcome] = {}
    for step in ladder.steps:
        if step.outcome is Outcome.APPLIED:
            continue
        assert step.outcome >= seen.get(step.type, step.outcome)
        seen[step.type] = step.outcome


def test_ladders_are_complete() -> None:
    """The ladders together reach every code of the rules."""
    reached = {step.outcome for ladder in (*RULES_LADDERS, *LIMITS) for step in ladder.steps}
    assert reached == {outcome for outcome in Outcome if outcome.phase is not Phase.DECODE}


def test_knob_scenarios_are_complete() -> None:
    """Every value of every knob has a scenario on top of every profile."""
    wanted = {
        f"{knob}={value} on {profile}"
        for profile in PROFILES
        for knob, values in KNOBS.items()
        for value in values
        if knob != "excess_decimals"
    }
    assert {scenario.name for scenario in KNOB_SCENARIOS} == wanted
    assert set(PROFILE_SCENARIOS) == set(PROFILES)
    assert {case.excess_decimals for case in ROUNDING_CASES} == set(KNOBS["excess_decimals"])


def test_each_knob_matters() -> None:
    """For each knob but the decoder's, its scenarios differ in their outcomes or in the accounts."""
    for profile in PROFILES:
        for knob, values in KNOBS.items():
            if knob == "excess_decimals":
                continue
            results = {
                (tuple(scenario.outcomes), scenario.accounts)
                for scenario in KNOB_SCENARIOS
                if scenario.name in {f"{knob}={value} on {profile}" for value in values}
            }
            assert len(results) == len(values), knob


@pytest.mark.parametrize("case", ROUNDING_CASES, ids=lambda case: f"{case.excess_decimals} {case.text}")
def test_rounding(case: RoundingCase) -> None:
    """Further decimals are refused, rounded half to even or cut off, and the range is checked afterwards."""
    if case.outcome is None:
        assert parse_units(case.text, 2, case.excess_decimals) == case.units
        return
    with pytest.raises(AmountError) as caught:
        parse_units(case.text, 2, case.excess_decimals)
    assert caught.value.outcome is case.outcome


@pytest.mark.parametrize("case", ROUNDING_CASES, ids=lambda case: f"{case.excess_decimals} {case.text}")
def test_rounding_of_the_reference(case: RoundingCase) -> None:
    """The reference decoder rounds as the domain does."""
    config = Config(decimals=2, excess_decimals=case.excess_decimals)
    (row,) = decode(f"type,client,tx,amount\ndeposit,1,1,{case.text}".encode(), config)
    assert row.outcome == (case.outcome or 0)
    if case.outcome is None:
        assert row.amount == case.units
