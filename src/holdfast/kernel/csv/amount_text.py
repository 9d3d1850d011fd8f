"""Amounts of a dialect as plain text, for people: one at a time, so plain Python."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from holdfast.domain.dialect import Dialect

_BLANKS = (" ", "\N{NO-BREAK SPACE}", "\N{NARROW NO-BREAK SPACE}")
_APOSTROPHES = ("'", "\N{RIGHT SINGLE QUOTATION MARK}")
_SHOWN_CHARACTERS = 60
_GROUP = 3


def separators(thousands: str) -> tuple[str, ...]:
    """Give all signs that a sign between thousands stands for."""
    kind = next((kind for kind in (_BLANKS, _APOSTROPHES) if thousands in kind), (thousands,))
    return kind if thousands else ()


def plain_amount(text: str, dialect: Dialect) -> str | None:
    """Write an amount with a point and without thousands; None if its digits are grouped otherwise, or its sign is another."""
    if dialect.decimal_comma and "." in text and dialect.thousands != ".":
        return None
    whole, sign, decimals = text.partition("," if dialect.decimal_comma else ".")
    first = whole
    for each in separators(dialect.thousands):
        first = first.replace(each, "\n")
    groups = first.lstrip("+-").split("\n")
    if len(groups) > 1 and (
        not 1 <= len(groups[0]) <= _GROUP or any(len(group) != _GROUP for group in groups[1:])
    ):
        return None
    if dialect.decimal_comma and "," in decimals:
        return None
    return first.replace("\n", "") + ("." if sign else "") + decimals


def explain_invalid(text: str, dialect: Dialect) -> str:
    """Say what is wrong with an amount that is none, and which option would read it."""
    if not text:
        return ""
    shown = repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")
    plain = plain_amount(text, dialect)
    if plain is not None and _is_number(plain):
        return f"it is {shown} without quotes, and the digits after the next comma may belong to it"
    for changes, option in (
        ({"thousands": "." if dialect.decimal_comma else ","}, "--thousands '{}'"),
        ({"thousands": " "}, "--thousands space"),
        ({"decimal_comma": not dialect.decimal_comma, "thousands": ""}, "--decimal-comma"),
    ):
        if (
            changes.get("decimal_comma") is False
            or changes["thousands"] == dialect.delimiter
            or dialect.thousands
        ):
            continue
        found = plain_amount(text, dialect.changed(changes))
        if found is not None and _is_number(found):
            return f"it is {shown}; {option.format(changes['thousands'])} would read {found}"
    return f"it is {shown}"


def _is_number(text: str) -> bool:
    digits = text[1:] if text[:1] in {"+", "-"} else text
    whole, _, decimals = digits.partition(".")
    return (whole + decimals).isascii() and (whole + decimals).isdigit()
