"""Outcomes: their numbers, severities and order are a promise."""

from __future__ import annotations

import json
from typing import Any

import pytest

from holdfast.domain.outcome import UNDECIDED, NamedNumber, Outcome, Phase, Severity
from holdfast.domain.transaction import TransactionType

# Stored in journals and sent over wires: never edit a line of this table, only add.
PINNED = [
    ("APPLIED", 1, "applied", "none"),
    ("ROW_TOO_LONG", 10, "decode", "malformed"),
    ("MALFORMED_ROW", 11, "decode", "malformed"),
    ("UNKNOWN_TYPE", 12, "decode", "malformed"),
    ("INVALID_CLIENT", 13, "decode", "malformed"),
    ("INVALID_TX", 14, "decode", "malformed"),
    ("MISSING_AMOUNT", 15, "decode", "malformed"),
    ("INVALID_AMOUNT", 16, "decode", "malformed"),
    ("AMOUNT_TOO_PRECISE", 17, "decode", "malformed"),
    ("AMOUNT_OUT_OF_RANGE", 18, "decode", "malformed"),
    ("AMOUNT_NOT_POSITIVE", 30, "rules", "refused"),
    ("DUPLICATE_TX", 31, "rules", "duplicate"),
    ("TX_ID_REUSED", 32, "rules", "refused"),
    ("TX_NOT_FOUND", 33, "rules", "partner"),
    ("CLIENT_MISMATCH", 34, "rules", "partner"),
    ("NOT_DISPUTABLE", 35, "rules", "partner"),
    ("ACCOUNT_LOCKED", 36, "rules", "refused"),
    ("ALREADY_DISPUTED", 37, "rules", "partner"),
    ("ALREADY_CHARGED_BACK", 38, "rules", "partner"),
    ("NOT_DISPUTED", 39, "rules", "partner"),
    ("INSUFFICIENT_FUNDS", 40, "rules", "refused"),
    ("BALANCE_OVERFLOW", 41, "rules", "refused"),
]


def test_numbers_are_pinned() -> None:
    """Names, numbers, phases and severities are those of the contract, in order of precedence."""
    assert [(out.name, out.value, out.phase.value, out.severity.value) for out in Outcome] == PINNED


def test_zero_means_undecided() -> None:
    """No outcome is zero, and all fit one byte."""
    assert UNDECIDED == 0
    assert all(0 < outcome < 256 for outcome in Outcome)


@pytest.mark.parametrize("outcome", list(Outcome), ids=lambda outcome: outcome.name)
def test_explanation(outcome: Outcome) -> None:
    """Every outcome explains itself in one sentence of its own."""
    assert outcome.explanation.endswith(".")
    assert outcome.explanation.count(". ") == 0
    assert [out for out in Outcome if out.explanation == outcome.explanation] == [outcome]


@pytest.mark.parametrize("member", [*Outcome, *TransactionType], ids=repr)
def test_written_as_its_name(member: NamedNumber) -> None:
    """In text it is its name; number formats, repr and JSON show the number, which it still is."""
    assert str(member) == f"{member}" == "%s" % member == member.name  # noqa: UP031  # that form too
    assert f"{member:>22}|{member:<22}|" == f"{member.name:>22}|{member.name:<22}|"
    assert f"{member:d}" == "%d" % member == json.dumps(member) == str(int(member))  # noqa: UP031
    assert f"{member:#04x}" == f"{int(member):#04x}"
    assert repr(member) == f"<{type(member).__name__}.{member.name}: {int(member)}>"


def test_look_up_by_number() -> None:
    """A byte of an outcome column turns into its outcome, which equals that byte."""
    # Any, because the members' own constructor hides the look-up from type checkers.
    look_up: Any = Outcome
    assert look_up(33) is Outcome.TX_NOT_FOUND
    assert int(Outcome.TX_NOT_FOUND) == 33
    with pytest.raises(ValueError, match="2 is not a valid Outcome"):
        look_up(2)


def test_is_applied() -> None:
    """Only one outcome says that the account changed."""
    assert [outcome for outcome in Outcome if outcome.is_applied] == [Outcome.APPLIED]


def test_phases_and_severities() -> None:
    """Decoding finds malformed rows and nothing else does; no outcome is fatal."""
    assert {outcome.severity for outcome in Outcome} == set(Severity) - {Severity.FATAL}
    for outcome in Outcome:
        assert (outcome.phase is Phase.DECODE) == (outcome.severity is Severity.MALFORMED)
