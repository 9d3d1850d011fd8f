"""Tables of other libraries as inputs: whatever speaks the Arrow PyCapsule interface."""

from __future__ import annotations

from holdfast.io.raw import InputError
from holdfast.kernel.csv.header import HeaderError

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Generator, Mapping
    from typing import Self

    from holdfast.domain.settings import Settings
    from holdfast.io.input_types import ArrowTable
    from holdfast.kernel.arrow.reader import TableReader
    from holdfast.kernel.batch import Batch

AMOUNTS = ("decimal", "units")
"""What the integers of a column of amounts are: nothing that is taken, or units."""


class TableInput:
    """A table as an input.

    Args:
        table: What gives it: a frame, a table, a relation, a reader.
        columns: Which column is the type, client, tx or amount, by name, where it is named otherwise.
        amounts: ``units`` if amounts are integers that count units; otherwise they are strings or decimals.

    Raises:
        ValueError: If there is no such column or no such kind of amounts.
    """

    raw_size = None

    def __init__(
        self, table: ArrowTable, columns: Mapping[str, str] | None = None, amounts: str = "decimal"
    ) -> None:
        from holdfast.kernel.arrow.types import check_mapping  # noqa: PLC0415  # files do without

        if amounts not in AMOUNTS:
            raise ValueError(f"amounts is one of {', '.join(map(repr, AMOUNTS))}, not {amounts!r}")
        check_mapping(columns)
        self.name = f"<{type(table).__name__}>"
        self._table: ArrowTable | None = table
        self._columns = columns
        self._in_units = amounts == "units"
        self._reader: TableReader | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def raw_position(self) -> int:
        """Say how many bytes were read: none, since a table is in memory."""
        return 0

    def batches(self, settings: Settings) -> Generator[Batch]:
        """Read the table, from its first row on.

        Raises:
            InputError: If a needed column is missing or there twice, or the table's producer fails.
            TypeError: If a column is of a type that is not taken.
        """
        from holdfast.kernel.arrow.reader import TableError  # noqa: PLC0415  # files do without

        try:
            self._reader = reader = self._open(settings)
            while (batch := reader.next_batch()) is not None:
                yield batch
        except (HeaderError, TableError) as error:
            raise InputError(self.name, str(error)) from error
        except TypeError as error:
            raise TypeError(f"{self.name}: {error}") from error

    def close(self) -> None:
        """Release what is left of the table."""
        self._table = None
        reader, self._reader = self._reader, None
        if reader is not None:
            reader.close()

    def _open(self, settings: Settings) -> TableReader:
        from holdfast.kernel.arrow.reader import read_array, read_stream  # noqa: PLC0415  # files do without

        table = self._table
        stream = getattr(table, "__arrow_c_stream__", None)
        if stream is not None:
            return read_stream(stream(), settings, self._columns, in_units=self._in_units)
        schema, array = getattr(table, "__arrow_c_array__")()  # noqa: B009  # what is_table() has seen
        return read_array(schema, array, settings, self._columns, in_units=self._in_units)


def is_table(source: object) -> bool:
    """Say whether something speaks the Arrow PyCapsule interface. A class does not, though its instances may."""
    return not isinstance(source, type) and (
        hasattr(source, "__arrow_c_stream__") or hasattr(source, "__arrow_c_array__")
    )
