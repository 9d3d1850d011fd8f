"""Amounts: text, Decimal and units."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_strategies import amount_texts
from holdfast.domain.amount import (
    UNITS_MAX,
    UNITS_MIN,
    AmountError,
    exact_amount,
    format_units,
    parse_units,
    to_decimal,
    units_from,
)
from holdfast.domain.outcome import Outcome
from holdfast.domain.settings import DECIMALS_DEFAULT, DECIMALS_MAX
from reference_decoder import Config, RowFaultError, read_amount
from strategies import edge_integers

INVALID = Outcome.INVALID_AMOUNT
TOO_PRECISE = Outcome.AMOUNT_TOO_PRECISE
OUT_OF_RANGE = Outcome.AMOUNT_OUT_OF_RANGE


def _to_decimal(text: str) -> Decimal:
    try:
        return Decimal(text)
    except InvalidOperation:
        return Decimal(0)


def _result(value: str | Decimal, decimals: int) -> int | Outcome:
    try:
        return units_from(value, decimals)
    except AmountError as error:
        return error.outcome


def test_limits() -> None:
    """Units are signed 64-bit, and there are four decimals unless configured otherwise, nine at most."""
    assert (UNITS_MIN, UNITS_MAX) == (-9_223_372_036_854_775_808, 9_223_372_036_854_775_807)
    assert (DECIMALS_DEFAULT, DECIMALS_MAX) == (4, 9)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("5", 50_000),
        ("5.", 50_000),
        (".5", 5_000),
        ("+5.25", 52_500),
        ("-5.25", -52_500),
        ("-0", 0),
        ("0.0001", 1),
        ("1.50000", 15_000),
        ("1.5000000000000000000000000000000", 15_000),
        ("0005", 50_000),
        ("0" * 5000 + "1", 10_000),
        ("922337203685477.5807", UNITS_MAX),
        ("-922337203685477.5807", -UNITS_MAX),
    ],
)
def test_parse_units(text: str, units: int) -> None:
    """Plain decimals are read exactly."""
    assert parse_units(text) == units


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        *(
            (text, INVALID)
            for text in (".", "+", "-", "+.", "--1", "1.-5", "1..2", "1e5", "1E5", "inf", "nan")
        ),
        *(
            (text, INVALID)
            for text in ("1,000", "0x1", "1_0", " 1", "1 ", "1\n", "\u0661", "\uff11", "1.\u0661", "$1")
        ),
        ("", Outcome.MISSING_AMOUNT),
        ("1.00001", TOO_PRECISE),
        (".00000000000000000000001", TOO_PRECISE),
        ("99999999999999999999.00001", TOO_PRECISE),
        ("922337203685477.5808", OUT_OF_RANGE),
        ("-922337203685477.5808", OUT_OF_RANGE),
        ("9223372036854775807", OUT_OF_RANGE),
        ("1844674407370955.1616", OUT_OF_RANGE),
        ("9" * 5000, OUT_OF_RANGE),
    ],
)
def test_parse_units_refuses(text: str, outcome: Outcome) -> None:
    """What is no plain decimal, too precise or too large is refused with the decoder's code."""
    with pytest.raises(AmountError) as caught:
        parse_units(text)
    assert caught.value.outcome is outcome
    assert isinstance(caught.value, ValueError)
    assert repr(text) in str(caught.value)
    assert outcome.explanation in str(caught.value)


@given(amount_texts(), st.integers(0, 9), st.sampled_from(["refuse", "half_even", "truncate"]))
def test_parse_units_is_exact(text: str, decimals: int, excess_decimals: str) -> None:
    """Units are those of an exact fraction, and the codes those of the reference decoder."""
    config = Config(decimals=decimals, excess_decimals=excess_decimals)
    expected: int | Outcome
    try:
        expected = read_amount(text.encode(), config)
    except RowFaultError as fault:
        expected = fault.outcome
    result: int | Outcome
    try:
        result = parse_units(text, decimals, excess_decimals)
    except AmountError as error:
        result = error.outcome
    assert (type(result), result) == (type(expected), expected)


@given(edge_integers(-UNITS_MAX, UNITS_MAX), st.integers(0, 9))
def test_round_trip(units: int, decimals: int) -> None:
    """What is written is read back, as text and as a Decimal."""
    assert parse_units(format_units(units, decimals), decimals) == units
    assert units_from(to_decimal(units, decimals), decimals) == units


@pytest.mark.parametrize(
    ("units", "decimals", "text"),
    [
        (0, 4, "0.0000"),
        (1, 4, "0.0001"),
        (-1, 4, "-0.0001"),
        (15_000, 4, "1.5000"),
        (15_000, 0, "15000"),
        (-7, 0, "-7"),
        (0, 0, "0"),
        (123, 9, "0.000000123"),
        (UNITS_MAX, 4, "922337203685477.5807"),
        (UNITS_MIN, 9, "-9223372036.854775808"),
    ],
)
def test_format_units(units: int, decimals: int, text: str) -> None:
    """Units are written with exactly the configured decimals, and the Decimal shows the same."""
    assert format_units(units, decimals) == text
    assert str(to_decimal(units, decimals)) in {text, "1.23E-7"}
    assert to_decimal(units, decimals) == Decimal(text)


@pytest.mark.parametrize(
    ("value", "units"),
    [
        ("1.5", 15_000),
        (" \t1.5 ", 15_000),
        (Decimal("1.5"), 15_000),
        (Decimal("1.5E+3"), 15_000_000),
        (Decimal("-0.0000"), 0),
        (Decimal("0E+999999"), 0),
        (Decimal("1.50000000000000"), 15_000),
        (15_000, 15_000),
        (-3, -3),
        (UNITS_MAX, UNITS_MAX),
    ],
)
def test_units_from(value: str | Decimal | int, units: int) -> None:
    """Text and Decimals are amounts, ints are units."""
    assert units_from(value) == units


@pytest.mark.parametrize(
    ("value", "outcome"),
    [
        ("", Outcome.MISSING_AMOUNT),
        (" \t", Outcome.MISSING_AMOUNT),
        ("x", INVALID),
        ("1\n", INVALID),
        (Decimal("NaN"), INVALID),
        (Decimal("sNaN"), INVALID),
        (Decimal("-Infinity"), INVALID),
        (Decimal("1.00001"), TOO_PRECISE),
        (Decimal("1E-999999"), TOO_PRECISE),
        (Decimal("1E+999999"), OUT_OF_RANGE),
        (Decimal("1E+15"), OUT_OF_RANGE),
        (Decimal("1" * 60), OUT_OF_RANGE),
        (Decimal("1" * 60 + ".00001"), TOO_PRECISE),
        (Decimal("1" * 60 + ".00010"), OUT_OF_RANGE),
        (Decimal("-" + "1" * 60 + "." + "0" * 60 + "1"), TOO_PRECISE),
        (UNITS_MAX + 1, OUT_OF_RANGE),
        (UNITS_MIN, OUT_OF_RANGE),
    ],
)
def test_units_from_refuses(value: str | Decimal | int, outcome: Outcome) -> None:
    """What is no amount is refused with the decoder's code, however astronomic, and at once."""
    with pytest.raises(AmountError) as caught:
        units_from(value)
    assert caught.value.outcome is outcome


@given(
    st.decimals(allow_nan=False, allow_infinity=False) | amount_texts().map(_to_decimal), st.integers(0, 9)
)
def test_decimals_are_what_their_text_is(value: Decimal, decimals: int) -> None:
    """A Decimal and the text of all its digits come to the same units or the same code."""
    assert _result(value, decimals) == _result(format(value, "f"), decimals)


@pytest.mark.parametrize("sign", [1, -1])
def test_units_that_cannot_be_written_out(sign: int) -> None:
    """Python writes no int of thousands of digits; the error says how large it is."""
    with pytest.raises(AmountError, match="an int of 16610 bits") as caught:
        units_from(sign * 10**5000)
    assert caught.value.outcome is OUT_OF_RANGE


def test_units_from_rounds() -> None:
    """Further decimals of a Decimal are rounded where the rules say so, however many there are."""
    assert units_from(Decimal("0.00015"), 4, "half_even") == 2
    assert units_from(Decimal("0.00025"), 4, "half_even") == 2
    assert units_from(Decimal("-0.00029"), 4, "truncate") == -2
    assert units_from(Decimal("1E-999999"), 4, "half_even") == 0
    assert units_from(Decimal("-1E-999999"), 4, "truncate") == 0


@pytest.mark.parametrize("value", [1.5, True, None, b"1", 1j])
def test_no_other_types(value: object) -> None:
    """A float is a mistake of the caller's, and so is everything else that is not exact."""
    with pytest.raises(TypeError, match=type(value).__name__):
        exact_amount(value)
    with pytest.raises(TypeError):
        units_from(value)  # type: ignore[arg-type]
