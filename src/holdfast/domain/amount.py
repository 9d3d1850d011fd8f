"""Fixed-point amounts: text, ``Decimal`` and integer units, exactly.

An amount is a signed 64-bit count of units of ``10 ** -decimals`` (four decimals unless configured
otherwise). Nothing here takes or gives a float.
"""

from __future__ import annotations

import operator
import re
from decimal import Context, Decimal, Inexact, InvalidOperation

from holdfast.domain.outcome import Outcome
from holdfast.domain.picklable import Picklable
from holdfast.domain.settings import DECIMALS_DEFAULT

UNITS_MAX = 2**63 - 1
UNITS_MIN = -(2**63)
_DIGITS_MAX = 19
_EXPONENT_MAX = 40  # far beyond any amount, on both sides of the point

_PLAIN_DECIMAL = re.compile(r"([+-]?)(?:([0-9]+)(?:\.([0-9]*))?|\.([0-9]+))", re.ASCII)
# Wide enough for every 64-bit count of units: scaling by a power of ten then never rounds, and says so if it
# did.
_EXACT = Context(prec=40, traps=[Inexact, InvalidOperation])


class AmountError(Picklable, ValueError):
    """A text or ``Decimal`` that is no amount; :attr:`outcome` says which of the decoder's codes it is."""

    def __init__(self, outcome: Outcome, value: object) -> None:
        # Python refuses to write out thousands of digits.
        shown = repr(value) if not isinstance(value, int) else f"an int of {value.bit_length()} bits"
        super().__init__(f"{shown}: {outcome.explanation}")
        self.outcome = outcome


def parse_units(text: str, decimals: int = DECIMALS_DEFAULT, excess_decimals: str = "refuse") -> int:
    """Read a plain decimal (``5``, ``5.``, ``.5``, ``+5.25``) as a count of units.

    Args:
        text: The amount, without blanks around it.
        decimals: How many decimals are kept, 0 to 9.
        excess_decimals: What to do about further decimals other than zeros: ``refuse``, ``half_even`` or
            ``truncate``.

    Returns:
        The units, between -(2**63 - 1) and 2**63 - 1.

    Raises:
        AmountError: With MISSING_AMOUNT (an empty text), INVALID_AMOUNT, AMOUNT_TOO_PRECISE or AMOUNT_OUT_OF_RANGE,
            checked in this order.
    """
    if not text:
        raise AmountError(Outcome.MISSING_AMOUNT, text)
    match = _PLAIN_DECIMAL.fullmatch(text)
    if match is None:
        raise AmountError(Outcome.INVALID_AMOUNT, text)
    sign, whole, fraction, bare_fraction = match.groups()
    fraction = fraction or bare_fraction or ""
    kept, excess = fraction[:decimals], fraction[decimals:]
    digits = ((whole or "") + kept.ljust(decimals, "0")).lstrip("0")
    # Python refuses to convert thousands of digits; what has more than this many is out of range in any case.
    units = int(digits or "0") if len(digits) <= _DIGITS_MAX else UNITS_MAX + 1
    if excess.strip("0"):
        if excess_decimals == "refuse":
            raise AmountError(Outcome.AMOUNT_TOO_PRECISE, text)
        units += excess_decimals == "half_even" and _rounds_up(units, excess)
    if units > UNITS_MAX:
        raise AmountError(Outcome.AMOUNT_OUT_OF_RANGE, text)
    return -units if sign == "-" else units


def _rounds_up(units: int, excess: str) -> bool:
    """Whether the digits after the last kept one round it away from zero, half to even."""
    half = "5".ljust(len(excess), "0")
    return excess > half or (excess == half and units % 2 == 1)


def units_from(
    value: str | Decimal | int, decimals: int = DECIMALS_DEFAULT, excess_decimals: str = "refuse"
) -> int:
    """Turn an amount given in Python into units: text and ``Decimal`` are amounts, an int counts units.

    Args:
        value: The amount; blanks around a text do not count.
        decimals: How many decimals are kept, 0 to 9.
        excess_decimals: What to do about further decimals: ``refuse``, ``half_even`` or ``truncate``.

    Raises:
        TypeError: For a float or anything else: a float is not exact.
        AmountError: As :func:`parse_units`.
    """
    value = exact_amount(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise AmountError(Outcome.INVALID_AMOUNT, value)
        # A Decimal's exponent may be astronomic; past these bounds its text would be as well. Digits that it has count:
        # however large it is, more decimals than are kept are found first.
        exponent = value.as_tuple().exponent
        if value and isinstance(exponent, int) and exponent > _EXPONENT_MAX:
            raise AmountError(Outcome.AMOUNT_OUT_OF_RANGE, value)
        if value and value.adjusted() < -_EXPONENT_MAX:
            value = Decimal(f"1e-{_EXPONENT_MAX}").copy_sign(value)
        return parse_units(format(value or Decimal(0), "f"), decimals, excess_decimals)
    if isinstance(value, str):
        return parse_units(value.strip(" \t"), decimals, excess_decimals)
    if abs(value) > UNITS_MAX:
        raise AmountError(Outcome.AMOUNT_OUT_OF_RANGE, value)
    return value


def exact_amount(value: object) -> str | Decimal | int:
    """Give what can be an exact amount, an integer of any library as an int.

    Raises:
        TypeError: Unless the value is a str, a Decimal or an integer (and not a bool).
    """
    if isinstance(value, str | Decimal):
        return value
    number = exact_integer(value)
    if number is None:
        raise TypeError(
            f"an amount is a str, a Decimal or an int of units, not {type(value).__name__}{_amount_hint(value)}"
        )
    return number


def exact_integer(value: object) -> int | None:
    """Give an integer of any library (numpy's as well) as an int; None for what is no integer, a bool among them."""
    if isinstance(value, bool):
        return None
    try:
        return operator.index(value)  # type: ignore[arg-type]  # that is the question
    except TypeError:
        return None


def _amount_hint(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return "; decode it"
    is_float = hasattr(value, "__float__") and not isinstance(value, bool)
    return '; write it as text ("1.50") or Decimal: a float is not exact' if is_float else ""


def format_units(units: int, decimals: int = DECIMALS_DEFAULT) -> str:
    """Write units as a decimal number with exactly the configured decimals."""
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    return f"{sign}{digits[:-decimals]}.{digits[-decimals:]}" if decimals else sign + digits


def to_decimal(units: int, decimals: int = DECIMALS_DEFAULT) -> Decimal:
    """Give units as an exact ``Decimal`` with the configured number of decimals."""
    return Decimal(units).scaleb(-decimals, _EXACT)
