"""Outcome codes: one for every row, in order of precedence, each with its severity and its explanation.

The numbers never change: they are stored in journals and sent over wires. Gaps are fine. No number means both "not yet
decided" and "applied": zero is :data:`UNDECIDED`, which is no outcome.
"""

from __future__ import annotations

from enum import Enum, IntEnum

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import Self

UNDECIDED = 0
"""What an outcome column holds for a row that is not decided yet."""


_NUMBER_FORMATS = frozenset("bcdoxXneEfFgG%")


class Severity(Enum):
    """How bad an outcome is: what an error policy decides on."""

    NONE = "none"
    """Nothing is wrong: the row was applied."""
    MALFORMED = "malformed"
    """The row is not a transaction at all."""
    REFUSED = "refused"
    """A transaction that the rules do not allow in the account's present state."""
    PARTNER = "partner"
    """The sender referred to something that is not there."""
    DUPLICATE = "duplicate"
    """The same transaction again."""
    FATAL = "fatal"
    """No row at all: the input cannot be read, the disk is full. Never an outcome, always an exception."""


class Phase(Enum):
    """The step that decides: rows are decoded first, then checked against the rules."""

    APPLIED = "applied"
    DECODE = "decode"
    RULES = "rules"


class NamedNumber(IntEnum):
    """A number that is written as its name, in text and in format strings; ``d`` and the like write the number."""

    def __str__(self) -> str:
        return self.name

    def __format__(self, format_spec: str) -> str:
        if format_spec[-1:] in _NUMBER_FORMATS:
            return int.__format__(self, format_spec)
        return format(self.name, format_spec)


class Outcome(NamedNumber):
    """What became of one row. Declaration order is precedence: the first check that fails gives the code."""

    severity: Severity
    phase: Phase
    explanation: str

    # The defaults are never used: they tell type checkers that Outcome(31) finds a member by its number.
    def __new__(
        cls, code: int, phase: Phase = Phase.RULES, severity: Severity = Severity.NONE, explanation: str = ""
    ) -> Self:
        """Attach the facts of an outcome to its number."""
        member = int.__new__(cls, code)
        member._value_ = code
        member.phase = phase
        member.severity = severity
        member.explanation = explanation
        return member

    APPLIED = 1, Phase.APPLIED, Severity.NONE, "The transaction was applied."

    ROW_TOO_LONG = 10, Phase.DECODE, Severity.MALFORMED, "The row is longer than the limit."
    MALFORMED_ROW = (
        11,
        Phase.DECODE,
        Severity.MALFORMED,
        (
            "The row is malformed: a field is missing or too many, a quote is misplaced, "
            "or a byte is NUL or not UTF-8."
        ),
    )
    UNKNOWN_TYPE = (
        12,
        Phase.DECODE,
        Severity.MALFORMED,
        "The type is none of deposit, withdrawal, dispute, resolve and chargeback.",
    )
    INVALID_CLIENT = 13, Phase.DECODE, Severity.MALFORMED, "The client is not a decimal number within range."
    INVALID_TX = 14, Phase.DECODE, Severity.MALFORMED, "The tx is not a decimal number within range."
    MISSING_AMOUNT = 15, Phase.DECODE, Severity.MALFORMED, "A deposit or withdrawal needs an amount."
    INVALID_AMOUNT = 16, Phase.DECODE, Severity.MALFORMED, "The amount is not a plain decimal number."
    AMOUNT_TOO_PRECISE = 17, Phase.DECODE, Severity.MALFORMED, "The amount has more decimals than are kept."
    AMOUNT_OUT_OF_RANGE = 18, Phase.DECODE, Severity.MALFORMED, "The amount is too large to be represented."

    AMOUNT_NOT_POSITIVE = 30, Phase.RULES, Severity.REFUSED, "The amount is zero or negative."
    DUPLICATE_TX = 31, Phase.RULES, Severity.DUPLICATE, "The same transaction was applied before."
    TX_ID_REUSED = 32, Phase.RULES, Severity.REFUSED, "The tx id was used before by a different transaction."
    TX_NOT_FOUND = 33, Phase.RULES, Severity.PARTNER, "No applied transaction has this tx id."
    CLIENT_MISMATCH = 34, Phase.RULES, Severity.PARTNER, "The transaction belongs to another client."
    NOT_DISPUTABLE = 35, Phase.RULES, Severity.PARTNER, "The rules do not let a withdrawal be disputed."
    ACCOUNT_LOCKED = (
        36,
        Phase.RULES,
        Severity.REFUSED,
        "The account is locked, and the rules forbid this on a locked account.",
    )
    ALREADY_DISPUTED = (
        37,
        Phase.RULES,
        Severity.PARTNER,
        "The transaction is under dispute, or was before where the rules allow one dispute only.",
    )
    ALREADY_CHARGED_BACK = 38, Phase.RULES, Severity.PARTNER, "The transaction was charged back before."
    NOT_DISPUTED = 39, Phase.RULES, Severity.PARTNER, "The transaction is not under dispute."
    INSUFFICIENT_FUNDS = (
        40,
        Phase.RULES,
        Severity.REFUSED,
        "The amount is more than the account has available.",
    )
    BALANCE_OVERFLOW = 41, Phase.RULES, Severity.REFUSED, "A balance would not fit its 64 bits."

    @property
    def is_applied(self) -> bool:
        """Whether the row changed its account."""
        return self is Outcome.APPLIED
