"""A history as a table for people or as CSV for programs."""

from __future__ import annotations

from itertools import chain, islice

from holdfast.domain.amount import format_units
from holdfast.domain.outcome import Outcome, Phase
from holdfast.io.rejects import full_reason

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from holdfast.engine.history import Balances, HistoryRow

_HEADINGS = (
    "line", "type", "client", "tx", "amount", "outcome",
    "available before", "available after", "held before", "held after", "locked", "reason",
)  # fmt: skip
_RIGHT_ALIGNED = frozenset({0, 2, 3, 4, 6, 7, 8, 9})
_ROWS_MEASURED = 1000
_RAW_BYTES_SHOWN = 80


def write_table(file: BinaryIO, rows: Iterator[HistoryRow], decimals: int) -> int:
    """Write a history in aligned columns, one input after the other; give how many rows it has.

    The widths are those of the first thousand rows, so that a history of any length is written as it is found.
    """
    first = list(islice(rows, _ROWS_MEASURED))
    widths = [
        max(map(len, column))
        for column in zip(_HEADINGS, *(_table_cells(row, decimals) for row in first), strict=True)
    ]
    count, input_name = 0, None
    for row in chain(first, rows):
        if row.input != input_name:
            input_name = row.input
            file.write(
                f"{'' if count == 0 else chr(10)}{_printable(input_name)}\n".encode(errors="backslashreplace")
            )
            file.write(_line(_HEADINGS, widths))
            file.write(_line(tuple("-" * width for width in widths), widths))
        file.write(_line(_table_cells(row, decimals), widths))
        count += 1
    return count


def write_csv(file: BinaryIO, rows: Iterator[HistoryRow], decimals: int) -> int:
    """Write a history as CSV with the row itself as the last column; give how many rows it has."""
    count = 0
    file.write(
        ",".join(["input", *(heading.replace(" ", "_") for heading in _HEADINGS), "row"]).encode() + b"\n"
    )
    for row in rows:
        cells = [row.input, *_cells(row, decimals), row.raw.decode(errors="backslashreplace")]
        file.write(",".join(_quoted(cell) for cell in cells).encode(errors="backslashreplace") + b"\n")
        count += 1
    return count


def _cells(row: HistoryRow, decimals: int) -> tuple[str, ...]:
    # What was found malformed, and what stands behind it in the row, has no value.
    has_amount = row.type in {"deposit", "withdrawal"} and row.outcome.phase is not Phase.DECODE
    return (
        str(row.line),
        row.type or "?",
        str(row.client),
        "?" if row.outcome is Outcome.INVALID_TX else str(row.tx),
        format_units(row.amount, decimals) if has_amount else "",
        row.outcome.name,
        _units(row.before, "available", decimals),
        _units(row.after, "available", decimals),
        _units(row.before, "held", decimals),
        _units(row.after, "held", decimals),
        "-" if row.after is None else str(row.after.locked).lower(),
        "" if row.outcome.is_applied else full_reason(row.outcome, row.detail),
    )


def _table_cells(row: HistoryRow, decimals: int) -> tuple[str, ...]:
    """Give the cells with, where a field could not be read, the row that shows what stands there instead."""
    *cells, reason = _cells(row, decimals)
    if row.outcome.phase is Phase.DECODE:
        text = row.raw[:_RAW_BYTES_SHOWN].decode(errors="backslashreplace")
        reason += f" Row: {text!r}{'...' if len(row.raw) > _RAW_BYTES_SHOWN else ''}"
    return (*cells, reason)


def _units(balances: Balances | None, name: str, decimals: int) -> str:
    return "-" if balances is None else format_units(getattr(balances, name), decimals)


def _line(cells: tuple[str, ...], widths: list[int]) -> bytes:
    aligned = (
        cell.rjust(width) if position in _RIGHT_ALIGNED else cell.ljust(width)
        for position, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(aligned).rstrip().encode() + b"\n"


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell


def _printable(name: str) -> str:
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in name)
