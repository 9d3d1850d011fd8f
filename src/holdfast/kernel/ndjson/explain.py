"""Explains why a line of NDJSON could not be read: finds the cause of its outcome, for people. For single rows, so plain Python.

Only codes are stable; the texts here may change.
"""

from __future__ import annotations

from holdfast.domain.outcome import Outcome
from holdfast.kernel.csv.explain import explain_row
from holdfast.kernel.csv.header import KNOWN, NEEDED

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import NoReturn

    from holdfast.kernel.csv.explain import RowLimits

_BLANKS = " \t"
_DEEP = "its values are nested too deeply to be looked at"
_KINDS = ((dict, "an object"), (list, "an array"), (str, "a string"), (bool, "true or false"))


class _Written(str):
    """A number as it is written."""

    __slots__ = ()


class _Members(list[tuple[str, object]]):
    """An object: its keys and values as they come."""

    __slots__ = ()


class _FaultError(Exception):
    """What is wrong with a line."""


def explain_object(raw: bytes, limits: RowLimits, outcome: Outcome) -> str:
    """Say why a line could not be read.

    Args:
        raw: The line without its line end.
        limits: The limits that it was read with.
        outcome: The code of its refusal.

    Returns:
        The cause, with the value and the limit, without a full stop; an empty text for the codes of the rules.
    """
    if outcome is Outcome.ROW_TOO_LONG:
        return explain_row(raw, b"", limits, outcome)
    try:
        values = _needed_values(raw)
    except RecursionError:
        return _DEEP if outcome is Outcome.MALFORMED_ROW else ""
    except _FaultError as fault:
        return str(fault) if outcome is Outcome.MALFORMED_ROW else ""
    if outcome is Outcome.MISSING_AMOUNT:
        if "amount" not in values:
            return "it has no key amount"
        return "" if values["amount"] else "it is null or empty"
    # A field of a CSV row in its place has the same fault.
    row = ",".join('"' + value.replace('"', '""') + '"' for value in values.values())
    return explain_row(row.encode(), bytes(KNOWN.index(name) for name in values), limits, outcome)


def _needed_values(raw: bytes) -> dict[str, str]:
    """Give the needed values as texts.

    Raises:
        _FaultError: If the line is malformed.
        RecursionError: If it is nested too deeply for Python.
    """
    values: dict[str, str] = {}
    for key, value in _parse(raw):
        name = key.lower() if key.isascii() else key
        if name not in KNOWN:
            continue
        if name in values:
            raise _FaultError(f"the key {name} is there more than once")
        if isinstance(value, (_Members, list)):
            raise _FaultError(f"the {name} is {_kind(value)}")
        values[name] = _as_text(value)
    missing = [name for name in NEEDED if name not in values]
    if missing:
        raise _FaultError(f"it has no key {' and no key '.join(missing)}")
    return values


def _parse(raw: bytes) -> _Members:
    import json  # noqa: PLC0415  # slow to import, and only faults need it

    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise _FaultError(f"it is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}") from None
    try:
        found = json.loads(
            text,
            parse_int=_Written,
            parse_float=_Written,
            parse_constant=_refuse_constant,
            object_pairs_hook=_Members,
        )
    except json.JSONDecodeError as error:
        place = len(text[: error.pos].encode()) + 1
        raise _FaultError(f"it is not JSON: {error.msg[:1].lower()}{error.msg[1:]} at byte {place}") from None
    if not isinstance(found, _Members):
        raise _FaultError(f"it is {_kind(found)}, not an object")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise _FaultError(f"{name} is not JSON")


def _kind(value: object) -> str:
    if isinstance(value, _Members):
        return "an object"
    if isinstance(value, _Written):
        return "a number"
    return next((name for kind, name in _KINDS if isinstance(value, kind)), "null")


def _as_text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    # Half of a surrogate pair is no character, and NUL none that can be shown.
    text = (
        str(value)
        .encode("utf-8", "surrogatepass")
        .decode(errors="replace")
        .replace("\0", "\N{REPLACEMENT CHARACTER}")
    )
    return text.strip(_BLANKS)
