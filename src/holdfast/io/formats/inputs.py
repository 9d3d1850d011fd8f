"""Recognises what an input is, and opens it."""

from __future__ import annotations

from holdfast.io.compression import InputStream, open_source
from holdfast.io.formats.tables import TableInput, is_table

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.io.input_types import ArrowTable, Input


def open_any(
    source: Input | ArrowTable | InputStream | TableInput,
    columns: Mapping[str, str] | None = None,
    amounts: str | None = None,
) -> InputStream | TableInput:
    """Open an input of any kind.

    Args:
        source: A table of any library that speaks Arrow, a path, bytes, a binary file object or an iterable of bytes.
        columns: For a table: which column is which, by name.
        amounts: For a table: ``units`` if amounts are integers that count units.

    Raises:
        OSError: If it is a path and cannot be opened.
        TypeError: If it is none of these, or columns or amounts are given for what is no table.
    """
    if isinstance(source, TableInput):
        return source
    if is_table(source):
        return TableInput(source, columns, amounts or "decimal")  # type: ignore[arg-type]  # is_table has just looked
    if columns is not None or amounts is not None:
        what = "columns=" if columns is not None else "amounts="
        instead = (
            "dialect=holdfast.Dialect(columns=…) says what its header calls them"
            if columns is not None
            else "its amounts have a decimal point"
        )
        raise TypeError(f"{what} is for tables, and {type(source).__name__} is read as CSV; {instead}")
    return source if isinstance(source, InputStream) else open_source(source)  # type: ignore[arg-type]  # no table, see above
