"""The differences of a reconciliation as text: a table to read, CSV, JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from holdfast.domain.amount import format_units

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.engine.reconciliation import Difference, Reconciliation

_NAMES = ("client", "column", "accounts", "statement", "difference")
_NUMBERS = (True, False, True, True, True)
_MISSING = "-"


def write_table(found: Reconciliation, decimals: int, ours: str, theirs: str) -> Iterator[str]:  # noqa: ARG001  # all forms are called alike
    """Write a table, numbers to the right; nothing if there is no difference."""
    if found.agrees:
        return
    rows = [_NAMES, *(_fields(each, decimals, _MISSING) for each in found.differences)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            field.rjust(width) if is_number else field.ljust(width)
            for field, width, is_number in zip(row, widths, _NUMBERS, strict=True)
        )
        yield "  ".join(cells) + "\n"


def write_csv(found: Reconciliation, decimals: int, ours: str, theirs: str) -> Iterator[str]:  # noqa: ARG001  # the same
    """Write CSV; the value of a client that a side does not have is empty."""
    yield ",".join(_NAMES) + "\n"
    for each in found.differences:
        yield ",".join(_fields(each, decimals, "")) + "\n"


def write_json(found: Reconciliation, decimals: int, ours: str, theirs: str) -> Iterator[str]:
    """Write one JSON object; amounts are strings, the value of a client that a side does not have is null."""
    head = {
        "accounts": ours,
        "statement": theirs,
        "columns": list(found.columns),
        "clients": found.clients,
        "clients_differing": found.clients_differing,
        "missing_in_accounts": found.missing_here,
        "missing_in_statement": found.missing_there,
        "sums": {column: format_units(units, decimals) for column, units in found.sums().items()},
    }
    yield json.dumps(head, indent=2)[:-2] + ',\n  "differences": ['
    separator = ""
    for each in found.differences:
        values = dict(zip(_NAMES, _fields(each, decimals, ""), strict=True))
        record = {name: value or None for name, value in values.items()} | {"client": each.client}
        if each.column == "locked":
            record |= {"accounts": _flag(each.ours), "statement": _flag(each.theirs), "difference": None}
        yield f"{separator}\n    {json.dumps(record)}"
        separator = ","
    yield "\n  ]\n}\n" if found.differences else "]\n}\n"


def _flag(value: int | None) -> bool | None:
    return None if value is None else bool(value)


def _fields(each: Difference, decimals: int, missing: str) -> tuple[str, ...]:
    if each.column == "locked":
        ours, theirs = (
            missing if value is None else str(bool(value)).lower() for value in (each.ours, each.theirs)
        )
        return str(each.client), each.column, ours, theirs, missing
    ours, theirs = (
        missing if value is None else format_units(value, decimals) for value in (each.ours, each.theirs)
    )
    return str(each.client), each.column, ours, theirs, format_units(each.difference, decimals)
