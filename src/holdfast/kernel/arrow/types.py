"""The types of a table's columns: which ones are taken, what they are called, and what to do about others.

It runs once per table, so it is plain Python.
"""

from __future__ import annotations

from holdfast.kernel.csv.header import KNOWN, NEEDED, HeaderError

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

# The kinds of columns; the C code has the same numbers.
NULLS, INTEGERS, TEXT, VIEWS, DECIMALS = 1, 2, 3, 4, 5

_INTEGER_BYTES = {"c": 1, "C": 1, "s": 2, "S": 2, "i": 4, "I": 4, "l": 8, "L": 8}
_NAMES = {
    "n": "null", "b": "bool", "c": "int8", "C": "uint8", "s": "int16", "S": "uint16", "i": "int32", "I": "uint32", "l": "int64",
    "L": "uint64", "e": "float16", "f": "float32", "g": "float64", "u": "string", "U": "large_string", "vu": "string_view",
    "z": "binary", "Z": "large_binary", "vz": "binary_view", "+s": "struct", "+l": "list", "+L": "large_list", "+m": "map",
    "+r": "run_end_encoded", "tdD": "date32", "tdm": "date64",
}  # fmt: skip
_PREFIXES = {
    "d:": "decimal", "w:": "fixed_size_binary", "ts": "timestamp", "tt": "time", "tD": "duration", "ti": "interval",
    "+w": "fixed_size_list", "+u": "union", "+v": "list_view",
}  # fmt: skip
_FLOATS = frozenset("efg")
_DECIMAL_BITS = (32, 64, 128)
_NAMES_SHOWN = 30

_ACCEPTED = {
    "type": "string, large_string, string_view, a dictionary of these, or uint8 (1 deposit to 5 chargeback)",
    "client": "any integer type, or strings of digits, also as a dictionary",
    "tx": "any integer type, or strings of digits, also as a dictionary",
    "amount": 'decimal32, decimal64, decimal128, strings, or integers with amounts="units", also as a dictionary',
}
_FLOAT_AMOUNT = (
    "floats are not exact: read the amounts as text where they are read "
    "(Polars: schema_overrides={{{name!r}: pl.String}}; pandas: dtype={{{name!r}: 'str'}}; "
    "DuckDB: dtype={{{name!r}: 'VARCHAR'}})"
)
_FLOAT_ID = (
    "floats lose digits of large ids: read the column as integers or text where it is read "
    "(Polars: schema_overrides={{{name!r}: pl.String}}; pandas: dtype={{{name!r}: 'str'}})"
)
_WHOLE_OR_UNITS = (
    'amounts="units" says that an integer is a number of units, as 15000 is 1.5000 with four decimals; '
    "whole amounts go as strings or decimals"
)
_UNITS_ARE_INTEGERS = (
    'amounts="units" is for integers; without it, strings and decimals are amounts as they are'
)


def find_columns(names: Sequence[str], mapping: Mapping[str, str] | None) -> list[int]:
    """Find the columns type, client, tx and amount of a table.

    Args:
        names: The table's columns, in order.
        mapping: The column of each of the four that is named otherwise.

    Returns:
        The place of each; -1 for an amount that is not there.

    Raises:
        HeaderError: If a needed column is missing or there twice.
        ValueError: If the mapping names something else.
    """
    mapping = check_mapping(mapping)
    folded = [name.strip(" \t").lower() for name in names]
    found: list[int] = []
    for role in KNOWN:
        wanted, among = (mapping[role], list(names)) if role in mapping else (role, folded)
        count = among.count(wanted)
        if count > 1:
            raise HeaderError(f"the table has the column {wanted!r} more than once: {_shown(names)}")
        if not count and (role in NEEDED or role in mapping):
            hint = "" if role in mapping else f"; columns={{{role!r}: NAME}} takes another one"
            raise HeaderError(f"the table has no column {wanted!r}: its columns are {_shown(names)}{hint}")
        found.append(among.index(wanted) if count else -1)
    if len(set(found)) < len(found):
        raise HeaderError(f"one column is named for two purposes: {dict(mapping)}")
    return found


def check_mapping(mapping: Mapping[str, str] | None) -> Mapping[str, str]:
    """Refuse names of columns that nobody asks for."""
    for role, name in (mapping or {}).items():
        if role not in KNOWN or not isinstance(name, str):
            raise ValueError(
                f"columns= says which column is the type, client, tx or amount, by name: not {role!r}: {name!r}"
            )
    return mapping or {}


def find_layout(role: str, name: str, type_: str, values: str | None, *, in_units: bool) -> tuple[int, ...]:
    """Tell how a column is laid out.

    Args:
        role: What it is: type, client, tx or amount.
        name: What the table calls it.
        type_: Its format, in Arrow's notation; of a dictionary that of the indices.
        values: The format of its dictionary, if it has one.
        in_units: Whether integer amounts are units.

    Returns:
        The kind, the bytes of an item (of an offset, for text), whether items are signed, the scale of decimals, the bytes of an
        index or 0, and whether indices are signed.

    Raises:
        TypeError: If it is of a type that is not taken; the message names the column, its type, what is taken, and what to do.
    """
    layout = _layout_of_values(role, type_ if values is None else values, in_units=in_units)
    if layout is None or (values is not None and type_ not in _INTEGER_BYTES):
        called = name_of(type_) if values is None else f"dictionary of {name_of(values)}"
        hint = _hint(role, name, type_ if values is None else values, in_units=in_units)
        label = f"column {name!r}" if name.strip(" \t").lower() == role else f"column {name!r} ({role})"
        raise TypeError(f"{label} is {called}; taken are {_ACCEPTED[role]}{f'; {hint}' if hint else ''}")
    if values is None:
        return (*layout, 0, 0)
    return (*layout, _INTEGER_BYTES[type_], int(type_.islower()))


def name_of(type_: str) -> str:
    """Give the usual name of a type in Arrow's notation."""
    if type_ in _NAMES:
        return _NAMES[type_]
    if type_.startswith("d:"):
        precision, _, rest = type_[2:].partition(",")
        scale, _, bits = rest.partition(",")
        return f"decimal{bits or 128}({precision}, {scale})"
    return next(
        (name for prefix, name in _PREFIXES.items() if type_.startswith(prefix)), f"of format {type_!r}"
    )


def _layout_of_values(role: str, type_: str, *, in_units: bool) -> tuple[int, int, int, int] | None:
    is_amount = role == "amount"
    if type_ in {"u", "U"} and not (is_amount and in_units):
        return TEXT, 4 if type_ == "u" else 8, 0, 0
    if type_ == "vu" and not (is_amount and in_units):
        return VIEWS, 16, 0, 0
    if type_ in _INTEGER_BYTES and (in_units or not is_amount) and (role != "type" or type_ == "C"):
        return INTEGERS, _INTEGER_BYTES[type_], int(type_.islower()), 0
    if is_amount and type_ == "n":
        return NULLS, 0, 0, 0
    if is_amount and type_.startswith("d:") and not in_units:
        parts = type_[2:].split(",")
        bits = int(parts[2]) if len(parts) > 2 else 128
        return (DECIMALS, bits // 8, 1, int(parts[1])) if bits in _DECIMAL_BITS else None
    return None


def _hint(role: str, name: str, type_: str, *, in_units: bool) -> str:
    if type_ in _FLOATS and role != "type":
        return (_FLOAT_AMOUNT if role == "amount" else _FLOAT_ID).format(name=name)
    if role != "amount":
        return ""
    if in_units:
        return _UNITS_ARE_INTEGERS
    return _WHOLE_OR_UNITS if type_ in _INTEGER_BYTES else ""


def _shown(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_NAMES_SHOWN])) or "none"
    return shown if len(names) <= _NAMES_SHOWN else f"{shown} and {len(names) - _NAMES_SHOWN} more"
