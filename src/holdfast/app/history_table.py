"""A history as a table for people or as CSV for programs.

On a terminal the table fits its width: reasons go below their rows; then outcomes do as well, and balances before a row
are left out, which are mostly those after the row before. Where even that is too wide, each row is a list of its values.
"""

from __future__ import annotations

from itertools import chain, islice

from holdfast.app.escaping import one_line
from holdfast.app.terminal import terminal_columns
from holdfast.domain.amount import format_units
from holdfast.domain.outcome import Outcome, Phase
from holdfast.io.rejects import full_reason

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import BinaryIO

    from holdfast.engine.history import Balances, HistoryRow

_HEADINGS = (
    "line", "type", "client", "tx", "amount", "outcome",
    "available before", "available after", "held before", "held after", "locked", "reason",
)  # fmt: skip
_RIGHT_ALIGNED = frozenset({0, 2, 3, 4, 6, 7, 8, 9})
_OUTCOME, _REASON = _HEADINGS.index("outcome"), _HEADINGS.index("reason")
_SHORT_HEADINGS = tuple(heading.removesuffix(" after") for heading in _HEADINGS)
_ALL = tuple(range(len(_HEADINGS)))
_WITHOUT_REASON = tuple(place for place in _ALL if place != _REASON)
_SHORT = tuple(
    place for place in _WITHOUT_REASON if place != _OUTCOME and not _HEADINGS[place].endswith(" before")
)
_GAP = "  "
_INDENT = "    "
_WRAPPED_COLUMNS_MIN = 20
_ROWS_MEASURED = 1000
_RAW_BYTES_SHOWN = 80


def write_table(file: BinaryIO, rows: Iterator[HistoryRow], decimals: int) -> int:
    """Write a history in aligned columns, one input after the other; give how many rows it has.

    The widths are those of the first thousand rows, so that a history of any length is written as it is found.
    """
    first = list(islice(rows, _ROWS_MEASURED))
    cells = [_table_cells(row, decimals) for row in first]
    widths = [max(map(len, column)) for column in zip(("",) * len(_HEADINGS), *cells, strict=True)]
    head, write_row = _choose_layout(widths, terminal_columns(file) if file.isatty() else None)
    count, input_name = 0, None
    for row in chain(first, rows):
        if row.input != input_name:
            input_name = row.input
            file.write(_encoded(f"{'' if count == 0 else chr(10)}{one_line(input_name)}\n{head}"))
        file.write(_encoded(write_row(_table_cells(row, decimals))))
        count += 1
    return count


def _choose_layout(widths: Sequence[int], columns: int | None) -> tuple[str, Callable[[Sequence[str]], str]]:
    """Give the head of a table that is no wider than a terminal (None: no limit), and what writes a row of it.

    Args:
        widths: How wide the cells are.
        columns: How wide the terminal is.
    """
    full = _Columns(_ALL, _HEADINGS, widths)
    if columns is None or full.width <= columns:
        return full.head(), full.line
    without_reason = _Columns(_WITHOUT_REASON, _HEADINGS, widths)
    if without_reason.width <= columns:
        return (
            without_reason.head(),
            lambda cells: without_reason.line(cells) + _below(cells[_REASON], columns),
        )
    short = _Columns(_SHORT, _SHORT_HEADINGS, widths)
    if short.width <= columns:
        return short.head(), lambda cells: short.line(cells) + _below(_outcome_and_reason(cells), columns)
    return "", lambda cells: _list(cells, columns)


class _Columns:
    """Some of the columns, aligned.

    Args:
        places: Which of the cells of a row.
        headings: What is above each of all cells.
        widths: How wide all cells are.
    """

    def __init__(self, places: Sequence[int], headings: Sequence[str], widths: Sequence[int]) -> None:
        self._places = places
        self._headings = headings
        self._widths = [max(len(heading), width) for heading, width in zip(headings, widths, strict=True)]
        self.width = sum(self._widths[place] for place in places) + len(_GAP) * (len(places) - 1)

    def head(self) -> str:
        """Write the headings and a rule below them."""
        return self.line(self._headings) + self.line(["-" * width for width in self._widths])

    def line(self, cells: Sequence[str]) -> str:
        """Write the cells of a row."""
        aligned = (
            cells[place].rjust(self._widths[place])
            if place in _RIGHT_ALIGNED
            else cells[place].ljust(self._widths[place])
            for place in self._places
        )
        return f"{_GAP.join(aligned).rstrip()}\n"


def _outcome_and_reason(cells: Sequence[str]) -> str:
    return f"{cells[_OUTCOME]}: {cells[_REASON]}" if cells[_REASON] else ""


def _below(text: str, columns: int) -> str:
    return _wrapped(text, _INDENT, columns) if text else ""


def _list(cells: Sequence[str], columns: int) -> str:
    """Write a row as a list of its values."""
    lines = [f"\n{_HEADINGS[0]} {cells[0]}\n"]
    lines += [
        _wrapped(f"{heading}: {cell}", _INDENT, columns)
        for heading, cell in zip(_HEADINGS[1:], cells[1:], strict=True)
        if cell
    ]
    return "".join(lines)


def _wrapped(text: str, indent: str, columns: int) -> str:
    from textwrap import wrap  # noqa: PLC0415  # only a narrow terminal needs it

    width = max(columns, _WRAPPED_COLUMNS_MIN)
    return "".join(f"{line}\n" for line in wrap(text, width, initial_indent=indent, subsequent_indent=indent))


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
    # What was found malformed, and what comes after it in the row, has no value.
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
    """Give the cells; where a field could not be read, the reason quotes the row."""
    *cells, reason = _cells(row, decimals)
    if row.outcome.phase is Phase.DECODE:
        text = row.raw[:_RAW_BYTES_SHOWN].decode(errors="backslashreplace")
        reason += f" Row: {text!r}{'...' if len(row.raw) > _RAW_BYTES_SHOWN else ''}"
    return (*cells, reason)


def _units(balances: Balances | None, name: str, decimals: int) -> str:
    return "-" if balances is None else format_units(getattr(balances, name), decimals)


def _encoded(text: str) -> bytes:
    return text.encode(errors="backslashreplace")


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if any(mark in cell for mark in ',"\r\n') else cell
