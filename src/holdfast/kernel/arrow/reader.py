"""Tables that come in: streams and arrays of the Arrow C data interface, as batches.

A part of a table is as large as its producer likes. It is copied into batches of the usual size, column by column, so that a
batch stays in the cache until it is decided, and nothing that was checked can change after that.
"""

import os
import sys

import cython
from cython.cimports.cpython.pycapsule import PyCapsule_GetPointer, PyCapsule_IsValid
from cython.cimports.holdfast.kernel.arrow.arrays import (
    DECIMALS,
    INTEGERS,
    NO_COLUMN,
    TableColumn,
    hf_set_scale,
    open_column,
)
from cython.cimports.holdfast.kernel.arrow.structures import ArrowArray, ArrowArrayStream, ArrowSchema
from cython.cimports.holdfast.kernel.arrow.values import (
    find_text,
    forget_dictionary,
    item_of,
    know_dictionary,
    read_amounts,
    read_ids,
    read_types,
)
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.holdfast.kernel.codes import INVALID_CLIENT, INVALID_TX, UNDECIDED
from cython.cimports.holdfast.kernel.csv.row import AMOUNT, CLIENT, TX, TYPE, Field, set_plain_signs
from cython.cimports.holdfast.kernel.digest import hash_text
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.string import memset

from holdfast.domain.settings import check_settings
from holdfast.kernel.arrow.types import find_columns, find_layout
from holdfast.kernel.csv.decoder import EXCESS_DECIMALS
from holdfast.kernel.csv.header import KNOWN

COLUMNS_MAX = cython.declare(int64_t, 1 << 20)
ROWS_MAX = cython.declare(int64_t, 1 << 56)
_ROLES = bytes(range(len(KNOWN)))
_QUOTED = frozenset(b',"\r\n')


class TableError(ValueError):
    """A producer failed half-way, or says something about its table that is not so."""


@cython.cclass
class TableReader:
    """Reads one table; :func:`read_stream` and :func:`read_array` make it.

    Attributes:
        rows: How many rows of it were read.
    """

    def __init__(self):
        raise TypeError("a TableReader is made by read_stream() or read_array()")

    def __dealloc__(self):
        self.release_all()

    def close(self) -> None:
        """Release what is left of the table; this may be done more than once.

        Raises:
            RuntimeError: If another thread is reading it.
        """
        if self.is_busy:
            raise RuntimeError("another thread is reading this table")
        self.release_all()

    @cython.cfunc
    @cython.exceptval(check=False)
    def release_all(self) -> cython.void:
        self.is_open = False
        self.drop_part()
        if self.stream.release != cython.NULL:
            with cython.nogil:
                self.stream.release(cython.address(self.stream))
            # Also where the producer forgot to say so.
            self.stream.release = cython.NULL

    def next_batch(self) -> Batch | None:
        """Read the next rows; None after the last ones.

        Raises:
            RuntimeError: If another thread is reading it.
            TableError: If the producer failed, or lies; what was read before stands.
        """
        if self.is_busy:
            raise RuntimeError("another thread is reading this table")
        self.is_busy = True
        try:
            while self.is_open and self.done == self.table.length and self.next_part():
                pass
            if not self.is_open:
                return None
            return self.read_batch()
        except BaseException:
            self.is_open = False
            raise
        finally:
            self.is_busy = False

    @cython.cfunc
    def read_batch(self) -> Batch:
        batch: Batch = new_batch(self.batch_rows)
        column: cython.int = 0
        batch.offset_column = cython.NULL
        batch.client_max = self.format.client_max
        batch.tx_max = self.format.tx_max
        batch.row_bytes_max = self.row_bytes_max
        batch.roles = _ROLES
        batch.texts = {}
        batch.was_table = True
        batch.rows = min(self.table.length - self.done, batch.capacity)
        wrong: int64_t
        with cython.nogil:
            wrong = self.fill(batch, cython.address(column))
        if wrong >= 0:
            raise TableError(
                f"{self.label(column)}: row {self.rows + wrong + 1} leads outside of the memory that its producer described: "
                "the producer of this table is at fault"
            )
        self.keep_refused(batch)
        self.done += batch.rows
        return batch

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def fill(self, batch: Batch, column: cython.pointer[cython.int]) -> int64_t:
        """Read the rows of a batch; give a row that is a lie, and its column, or -1."""
        rows: cython.Py_ssize_t = batch.rows
        memset(batch.outcome_column, UNDECIDED, rows)
        column[0] = TYPE
        wrong: int64_t = read_types(
            cython.address(self.columns[TYPE]), self.done, rows, batch.type_column, batch.outcome_column
        )
        if wrong >= 0:
            return wrong
        column[0] = CLIENT
        wrong = read_ids(
            cython.address(self.columns[CLIENT]), self.done, rows, self.format.client_max, INVALID_CLIENT,
            batch.client_column, batch.outcome_column,
        )  # fmt: skip
        if wrong >= 0:
            return wrong
        column[0] = TX
        wrong = read_ids(
            cython.address(self.columns[TX]), self.done, rows, self.format.tx_max, INVALID_TX,
            batch.tx_column, batch.outcome_column,
        )  # fmt: skip
        if wrong >= 0:
            return wrong
        column[0] = AMOUNT
        return read_amounts(
            cython.address(self.columns[AMOUNT]), self.done, rows, cython.address(self.format),
            batch.type_column, batch.amount_column, batch.outcome_column,
        )  # fmt: skip

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep_refused(self, batch: Batch) -> cython.int:
        """Keep the text of rows that could not be read; its hash stands for such a row in the digest of its stream."""
        row: cython.Py_ssize_t
        for row in range(batch.rows):
            if batch.outcome_column[row] != UNDECIDED:
                text: bytes = self.text_of(self.done + row)
                batch.amount_column[row] = cython.cast(int64_t, hash_text(text, len(text)))
                batch.texts[row] = text[: self.row_bytes_max]
        return 0

    @cython.cfunc
    def text_of(self, row: int64_t) -> bytes:
        """Write a row as it would be in a CSV file."""
        cells: list = []
        column: cython.int
        for column in range(4):
            cell: bytes = self.cell_of(column, row)
            if not _QUOTED.isdisjoint(cell):
                cell = b'"' + cell.replace(b'"', b'""') + b'"'
            cells.append(cell)
        return b",".join(cells)

    @cython.cfunc
    def cell_of(self, column: cython.int, row: int64_t) -> bytes:
        field: Field
        of: cython.pointer[TableColumn] = cython.address(self.columns[column])
        item: int64_t = -1 if of.kind == NO_COLUMN else item_of(of, row)
        if item < 0:
            return b""
        if of.kind == INTEGERS or of.kind == DECIMALS:
            start: cbytes = of.items.start + item * of.item_bytes
            number = int.from_bytes(start[: of.item_bytes], sys.byteorder, signed=of.is_signed)
            if column != AMOUNT:
                return b"%d" % number
            return _write_decimal(
                number, self.format.decimals - (of.scale.shift if of.kind == DECIMALS else 0)
            )
        if not find_text(of, item, cython.address(field)):
            return b""
        return field.start[: field.length]

    @cython.cfunc
    def label(self, column: cython.int) -> str:
        name = self.names[column]
        return (
            f"column {name!r}"
            if name.strip(" \t").lower() == KNOWN[column]
            else f"column {name!r} ({KNOWN[column]})"
        )

    # --- parts of the table ---

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def next_part(self) -> cython.int:
        """Go on to the next part of the table; give 1 if there is none."""
        failed: cython.int = 0
        self.rows += self.table.length
        self.drop_part()
        if self.stream.release == cython.NULL:
            self.is_open = False
            return 1
        with cython.nogil:
            failed = self.stream.get_next(cython.address(self.stream), cython.address(self.table))
        if failed:
            # It may have left anything there.
            memset(cython.address(self.table), 0, cython.sizeof(ArrowArray))
            raise TableError(
                f"its producer failed after row {self.rows}: {_last_error(cython.address(self.stream), failed)}"
            )
        if self.table.release == cython.NULL:
            memset(cython.address(self.table), 0, cython.sizeof(ArrowArray))
            self.is_open = False
            return 1
        self.open_part()
        return 1

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def open_part(self) -> cython.int:
        """Check what a part says about itself."""
        table: cython.pointer[ArrowArray] = cython.address(self.table)
        column: cython.int
        length: int64_t = table.length
        if not 0 <= length <= ROWS_MAX or not 0 <= table.offset <= ROWS_MAX:
            raise TableError(
                f"its producer says that a part has {length} rows from {table.offset}, which no memory has"
            )
        if table.n_children != self.table_columns or (table.n_children and table.children == cython.NULL):
            raise TableError(
                f"its producer gives a part with {table.n_children} columns, and its schema has {self.table_columns}"
            )
        rows_validity: cbytes = cython.NULL
        if table.null_count != 0 and table.n_buffers > 0 and table.buffers != cython.NULL:
            rows_validity = cython.cast(cbytes, table.buffers[0])
        for column in range(4):
            if self.places[column] < 0:
                continue
            of: cython.pointer[TableColumn] = cython.address(self.columns[column])
            child: cython.pointer[ArrowArray] = table.children[self.places[column]]
            if child == cython.NULL:
                raise TableError(f"{self.label(column)}: its producer gives none")
            of.rows_validity = rows_validity
            of.rows_validity_offset = table.offset
            fault: cython.pointer[cython.const[cython.char]] = open_column(of, child, table.offset, length)
            if fault != cython.NULL:
                raise TableError(
                    f"{self.label(column)}: {fault.decode()}, after row {self.rows}: the producer of this table is at fault"
                )
            outcome: cython.int
            with cython.nogil:
                outcome = know_dictionary(of, column, cython.address(self.format), length)
            if outcome < 0:
                raise MemoryError
            if outcome > 0:
                raise TableError(
                    f"{self.label(column)}: its dictionary leads outside of the memory that its producer described, after row "
                    f"{self.rows}: the producer of this table is at fault"
                )
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def drop_part(self) -> cython.void:
        column: cython.int
        for column in range(4):
            forget_dictionary(cython.address(self.columns[column]))
        if self.table.release != cython.NULL:
            with cython.nogil:
                self.table.release(cython.address(self.table))
        memset(cython.address(self.table), 0, cython.sizeof(ArrowArray))
        self.done = 0

    # --- the schema ---

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def read_schema(
        self, schema: cython.pointer[ArrowSchema], mapping: object, in_units: cython.bint
    ) -> cython.int:
        """Find the columns, and what each of them is."""
        number: int64_t
        column: cython.int
        if schema.format == cython.NULL or schema.format.decode("utf-8", "backslashreplace") != "+s":
            raise TypeError("a table is needed, with columns by name; this is a single column")
        if not 0 <= schema.n_children <= COLUMNS_MAX or (
            schema.n_children and schema.children == cython.NULL
        ):
            raise TableError(f"its producer says that it has {schema.n_children} columns")
        names: list = []
        for number in range(schema.n_children):
            if schema.children[number] == cython.NULL or schema.children[number].format == cython.NULL:
                raise TableError(f"its producer does not say what column {number + 1} is")
            names.append(_decoded(schema.children[number].name))
        self.table_columns = schema.n_children
        found: list = find_columns(names, mapping)
        self.names = tuple([names[place] if place >= 0 else KNOWN[role] for role, place in enumerate(found)])
        for column in range(4):
            self.places[column] = found[column]
            if self.places[column] < 0:
                continue
            child: cython.pointer[ArrowSchema] = schema.children[self.places[column]]
            values: object = None
            if child.dictionary != cython.NULL:
                values = (
                    "+" if child.dictionary.dictionary != cython.NULL else _decoded(child.dictionary.format)
                )
            layout = find_layout(
                KNOWN[column], self.names[column], _decoded(child.format), values, in_units=in_units
            )
            of: cython.pointer[TableColumn] = cython.address(self.columns[column])
            of.kind, of.item_bytes, of.is_signed, scale, of.index_bytes, of.index_is_signed = layout
            hf_set_scale(cython.address(of.scale), self.format.decimals - scale)
        return 0


@cython.cfunc
def _new_reader(settings: object) -> TableReader:
    check_settings(settings)
    reader: TableReader = TableReader.__new__(TableReader)
    reader.format.client_max = settings.client_max
    reader.format.tx_max = settings.tx_max
    set_plain_signs(cython.address(reader.format))
    reader.format.decimals = settings.decimals
    reader.format.excess_decimals = EXCESS_DECIMALS.index(settings.rules.excess_decimals)
    reader.batch_rows = settings.batch_rows
    reader.row_bytes_max = settings.row_bytes_max
    reader.is_open = True
    return reader


def read_stream(capsule, settings, columns=None, *, in_units: bool = False) -> TableReader:
    """Read a table from a capsule that ``__arrow_c_stream__()`` gave; it is taken out of the capsule.

    Args:
        capsule: The capsule.
        settings: Decimals, widths of ids, and how many rows a batch has.
        columns: Which column is the type, client, tx or amount, by name, where it is named otherwise.
        in_units: Whether amounts are integers that count units.

    Raises:
        HeaderError: If a needed column is missing or there twice.
        TableError: If the producer fails, or says what cannot be.
        TypeError: If it is no such capsule, or a column is of a type that is not taken.
    """
    reader: TableReader = _new_reader(settings)
    if not PyCapsule_IsValid(capsule, b"arrow_array_stream"):
        raise TypeError("__arrow_c_stream__() gives no Arrow stream")
    stream: cython.pointer[ArrowArrayStream] = cython.cast(
        cython.pointer[ArrowArrayStream], PyCapsule_GetPointer(capsule, b"arrow_array_stream")
    )
    if stream.release == cython.NULL:
        raise TypeError("the Arrow stream was taken before; get a new one")
    # Taken over as the interface asks for: whoever is given the same capsule again finds nothing to release.
    reader.stream = stream[0]
    stream.release = cython.NULL
    if reader.stream.get_schema == cython.NULL or reader.stream.get_next == cython.NULL:
        raise TableError("its producer gives a stream without functions")
    schema: ArrowSchema
    failed: cython.int
    memset(cython.address(schema), 0, cython.sizeof(ArrowSchema))
    with cython.nogil:
        failed = reader.stream.get_schema(cython.address(reader.stream), cython.address(schema))
    if failed:
        raise TableError(
            f"its producer gives no schema: {_last_error(cython.address(reader.stream), failed)}"
        )
    try:
        reader.read_schema(cython.address(schema), columns, in_units)
    finally:
        if schema.release != cython.NULL:
            schema.release(cython.address(schema))
    return reader


def read_array(schema, array, settings, columns=None, *, in_units: bool = False) -> TableReader:
    """Read a table from the capsules that ``__arrow_c_array__()`` gave, as :func:`read_stream` does."""
    reader: TableReader = _new_reader(settings)
    if not PyCapsule_IsValid(schema, b"arrow_schema") or not PyCapsule_IsValid(array, b"arrow_array"):
        raise TypeError("__arrow_c_array__() gives no Arrow array")
    described: cython.pointer[ArrowSchema] = cython.cast(
        cython.pointer[ArrowSchema], PyCapsule_GetPointer(schema, b"arrow_schema")
    )
    given: cython.pointer[ArrowArray] = cython.cast(
        cython.pointer[ArrowArray], PyCapsule_GetPointer(array, b"arrow_array")
    )
    if described.release == cython.NULL or given.release == cython.NULL:
        raise TypeError("the Arrow array was taken before; get a new one")
    reader.read_schema(described, columns, in_units)
    reader.table = given[0]
    given.release = cython.NULL
    reader.open_part()
    return reader


@cython.cfunc
def _last_error(stream: cython.pointer[ArrowArrayStream], code: cython.int) -> str:
    message: cython.pointer[cython.const[cython.char]] = cython.NULL
    if stream.get_last_error != cython.NULL:
        with cython.nogil:
            message = stream.get_last_error(stream)
    return os.strerror(code) if message == cython.NULL else _decoded(message)


@cython.cfunc
def _decoded(text: cython.pointer[cython.const[cython.char]]) -> str:
    return "" if text == cython.NULL else text.decode("utf-8", "backslashreplace")


@cython.cfunc
def _write_decimal(number: object, scale: cython.int) -> bytes:
    """Write a whole number of 10**-scale exactly."""
    digits: str = str(abs(number))
    sign: str = "-" if number < 0 else ""
    if scale <= 0:
        return f"{sign}{digits}{'0' * -scale}".encode()
    digits = digits.rjust(scale + 1, "0")
    return f"{sign}{digits[:-scale]}.{digits[-scale:]}".encode()
