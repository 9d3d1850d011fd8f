"""The ladder of outcomes, what happens at the limits, and when accounts come into being.

A ladder is read from top to bottom: each row repairs the fault that the row above it was refused for, and
no other, so that it exposes the next outcome in order of precedence.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.domain.amount import UNITS_MAX
from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import STANDARD, make_rules
from scenarios import (
    CHARGEBACK,
    DEPOSIT,
    DISPUTE,
    RESOLVE,
    WITHDRAWAL,
    AccountRow,
    DecodeCase,
    Scenario,
    Step,
    applied,
)

if TYPE_CHECKING:
    from holdfast.domain.transaction import TransactionType

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
