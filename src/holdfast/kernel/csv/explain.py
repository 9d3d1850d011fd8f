"""Explains why a row could not be read: finds the cause of its outcome, for people. It is for single rows, so plain Python.

Only codes are stable; the texts here may change. If the given settings show no cause of the code, there is no text: a server
with other settings may have refused the row.
"""

from __future__ import annotations

from holdfast.domain.outcome import Outcome
from holdfast.kernel.csv.header import KNOWN, NEEDED

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import NamedTuple

    from holdfast.domain.dialect import Dialect
else:
    from holdfast.domain.named_tuples import NamedTuple

_BLANKS = b" \t"
_SHOWN_CHARACTERS = 60
_UNITS_MAX = 2**63 - 1
_DECIMALS_MAX = 9
_AMOUNT = KNOWN.index("amount")


class RowLimits(NamedTuple):
    """The limits that a row was read with."""

    client_max: int
    tx_max: int
    decimals: int
    row_bytes_max: int


def explain_row(
    raw: bytes, roles: bytes, limits: RowLimits, outcome: Outcome, dialect: Dialect | None = None
) -> str:
    """Say why a row of text could not be read.

    Args:
        raw: The row without its line end.
        roles: The role of each column of its header, as :func:`parse_header` gives it.
        limits: The limits that it was read with.
        outcome: The code of its refusal.
        dialect: How it is written; None for a plain row.

    Returns:
        The cause, with the value and the limit, without a full stop; an empty text for the codes of the rules.
    """
    if outcome is Outcome.ROW_TOO_LONG:
        limit = limits.row_bytes_max
        return (
            f"it has more than {limit} bytes; --row-bytes-max takes longer ones" if len(raw) >= limit else ""
        )
    fields, fault = _split(raw, roles, b"," if dialect is None else dialect.delimiter.encode())
    if outcome is Outcome.MALFORMED_ROW:
        return fault
    if fault:
        return ""
    named = {KNOWN[role]: fields[at] for at, role in enumerate(roles[: len(fields)]) if role < len(KNOWN)}
    if outcome is Outcome.UNKNOWN_TYPE:
        return f"the type is {_shown(named['type'])}"
    if outcome is Outcome.INVALID_CLIENT:
        return _explain_id("client", named["client"], limits.client_max)
    if outcome is Outcome.INVALID_TX:
        return _explain_id("tx", named["tx"], limits.tx_max)
    if outcome is Outcome.MISSING_AMOUNT:
        return _explain_missing(named, roles)
    text = named.get("amount", b"").decode()
    if dialect is None:
        return _explain_amount(text, limits.decimals, outcome)
    from holdfast.kernel.csv.amount_text import explain_invalid, plain_amount  # noqa: PLC0415  # only of a dialect

    plain = plain_amount(text, dialect)
    if outcome is Outcome.INVALID_AMOUNT:
        return explain_invalid(text, dialect)
    return "" if plain is None else _explain_amount(plain, limits.decimals, outcome)


def explain_number(name: str, number: int, largest: int) -> str:
    """Say what is wrong with an id that is a number; an empty text if it is not above the largest."""
    if number <= largest:
        return ""
    bits = next((bits for bits in (32, 64) if number < 1 << bits), None)
    hint = f"; --{name}-bits {bits} takes it" if bits is not None else ""
    return f"the {name} {number} is above {largest}{hint}"


def _split(raw: bytes, roles: bytes, delimiter: bytes) -> tuple[list[bytes], str]:
    """Give the fields of a row up to its first fault, and that fault; an empty text if it has all needed fields."""
    fault = _find_bad_byte(raw)
    fields: list[bytes] = []
    rest: bytes | None = raw
    while not fault and rest is not None:
        if len(fields) == len(roles):
            return fields, f"it has more fields than the header, which has {len(roles)}"
        field, rest, fault = _take_field(rest, delimiter)
        if fault:
            fault = f"{fault} in field {len(fields) + 1}"
        fields.append(field)
    if fault:
        return fields, fault
    missing = [name for name in NEEDED if KNOWN.index(name) not in roles[: len(fields)]]
    if missing:
        count = f"{len(fields)} field{'s' if len(fields) > 1 else ''}"
        return fields, f"it ends before its {missing[0]} ({count}, the header has {len(roles)})"
    return fields, ""


def _find_bad_byte(raw: bytes) -> str:
    nul = raw.find(b"\0")
    try:
        raw[: nul if nul >= 0 else None].decode()
    except UnicodeDecodeError as error:
        return f"it is not UTF-8: byte {error.start + 1} is 0x{raw[error.start]:02x}"
    return f"byte {nul + 1} is NUL" if nul >= 0 else ""


def _take_field(text: bytes, delimiter: bytes) -> tuple[bytes, bytes | None, str]:
    """Take the first field: its content, what follows its delimiter, or None, and the fault of its quotes."""
    blanks = _BLANKS.replace(delimiter, b"")
    start = text.lstrip(blanks)
    if not start.startswith(b'"'):
        field, comma, rest = text.partition(delimiter)
        fault = "a quote is inside the unquoted text" if b'"' in field else ""
        return field.strip(blanks), rest if comma else None, fault
    position = 1
    while (end := start.find(b'"', position)) >= 0 and start[end + 1 : end + 2] == b'"':
        position = end + 2
    if end < 0:
        return start[1:], None, "a quote is opened and never closed"
    after, comma, rest = start[end + 1 :].partition(delimiter)
    fault = "there is text after the closing quote" if after.strip(blanks) else ""
    return start[1:end].replace(b'""', b'"').strip(blanks), rest if comma else None, fault


def _shown(field: bytes) -> str:
    if not field:
        return "empty"
    text = field.decode(errors="backslashreplace")
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")


def _explain_id(name: str, field: bytes, largest: int) -> str:
    text = field.decode()
    if not (text.isascii() and text.isdigit()):
        is_negative = text[:1] == "-" and text[1:].isascii() and text[1:].isdigit()
        # "-0" is not a number of digits alone either.
        if is_negative and text[1:].strip("0"):
            return f"the {name} {_cut(text)} is below 0"
        return f"the {name} is {_shown(field)}{'' if not field else ', which is not digits alone'}"
    digits = text.lstrip("0") or "0"
    # Python refuses to convert thousands of digits, and no width accepts that many.
    if len(digits) > _SHOWN_CHARACTERS:
        return f"the {name} {_cut(digits)} is above {largest}"
    return explain_number(name, int(digits), largest)


def _explain_missing(named: dict[str, bytes], roles: bytes) -> str:
    if named.get("amount"):
        return ""
    if _AMOUNT not in roles:
        return "the header has no column amount"
    return "it is empty" if "amount" in named else "the row ends before it"


def _explain_amount(text: str, decimals: int, outcome: Outcome) -> str:
    digits = text.removeprefix("-") if text.startswith("-") else text.removeprefix("+")
    whole, _, fraction = digits.partition(".")
    is_plain = (whole + fraction).isascii() and (whole + fraction).isdigit()
    if outcome is Outcome.INVALID_AMOUNT:
        return "" if is_plain or not text else f"it is {_shown(text.encode())}"
    if not is_plain:
        return ""
    found = len(fraction.rstrip("0"))
    if outcome is Outcome.AMOUNT_TOO_PRECISE and found > decimals:
        hint = f"; --decimals {found} keeps them" if found <= _DECIMALS_MAX else ""
        return f"{_cut(text)} has {found} decimals, {decimals} are kept{hint}"
    # Rounding may add one digit, so one more than the kept digits is enough.
    kept = (whole + fraction[:decimals].ljust(decimals, "0")).lstrip("0")
    if outcome is Outcome.AMOUNT_OUT_OF_RANGE and (
        len(kept) > len(str(_UNITS_MAX)) or int(kept or "0") >= _UNITS_MAX
    ):
        largest = str(_UNITS_MAX)
        limit = f"{largest[:-decimals]}.{largest[-decimals:]}" if decimals else largest
        return f"{_cut(text)} is {'below -' if text.startswith('-') else 'above '}{limit}"
    return ""


def _cut(text: str) -> str:
    return text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…"
