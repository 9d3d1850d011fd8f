"""Columns that Python code has filled, as an Arrow table: a few thousand rows of text and numbers."""

import cython
from cython.cimports.holdfast.kernel.arrow.export import TableSource, add_buffer, export_table, open_table
from cython.cimports.holdfast.kernel.arrow.structures import ArrowArray, hf_put_decimal
from cython.cimports.libc.stdint import int64_t, uint8_t
from cython.cimports.libc.string import memcpy, memset


@cython.cclass
class _ColumnSource(TableSource):
    """The whole table at once."""

    rows: cython.Py_ssize_t
    columns: list
    is_done: cython.bint

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fill(self, table: cython.pointer[ArrowArray]) -> cython.int:
        number: cython.int = 0
        if self.is_done or self.rows == 0:
            return 0
        if open_table(table, self.rows, len(self.columns)) < 0:
            raise MemoryError
        for _, type_, validity, items, text in self.columns:
            column: cython.pointer[ArrowArray] = table.children[number]
            if validity is not None:
                column.null_count = -1
                _put_bits(column, validity, self.rows)
            if type_.startswith("d:"):
                _put_decimals(column, items, self.rows)
            else:
                _put_bytes(column, 1, items)
            if text is not None:
                _put_bytes(column, 2, text)
                column.n_buffers = 3
            number += 1  # noqa: SIM113  # enumerate() would count Python objects
        self.is_done = True
        return 1


def export_columns(rows: cython.Py_ssize_t, columns) -> object:
    """Give a PyCapsule with an Arrow stream of columns, which are copied when the stream is read.

    Args:
        rows: How many rows there are.
        columns: For each its name and type, in Arrow's notation; a byte for each row that is 0 where the row is null, or None if
            none is; the items; and the text of a column of text (``U``), whose items are ``rows + 1`` offsets of 64 bits. Other
            types are ``L``, of 64 bits, and decimals (``d:19,4``), whose items are units of 64 bits.

    Raises:
        ValueError: If a column has fewer items than there are rows, or less text than its offsets say.
    """
    source: _ColumnSource = _ColumnSource.__new__(_ColumnSource)
    fields: list = []
    copied: list = []
    for name, type_, validity, items, text in columns:
        # Copies, so that nobody changes what is checked here.
        copies = [None if given is None else bytes(given) for given in (validity, items, text)]
        count = rows + (type_ == "U")
        if type_ not in ("U", "L") and not type_.startswith("d:"):
            raise ValueError(f"column {name!r}: there are no columns of type {type_!r}")
        if len(copies[1]) < 8 * count or (validity is not None and len(copies[0]) < rows) or rows < 0:
            raise ValueError(f"column {name!r} has fewer than {rows} rows")
        if (type_ == "U") != (text is not None):
            raise ValueError(f"column {name!r}: text has offsets and text, and nothing else has")
        if text is not None:
            offsets = memoryview(copies[1]).cast("q")
            if any(offsets[row] > offsets[row + 1] for row in range(rows)) or offsets[0] < 0:
                raise ValueError(f"column {name!r}: its offsets go back")
            if offsets[rows] > len(copies[2]):
                raise ValueError(f"column {name!r}: its offsets lead outside of its text")
        fields.append((name.encode(), type_.encode(), validity is not None))
        copied.append((name, type_, *copies))
    source.rows = rows
    source.columns = copied
    source.fields = tuple(fields)
    return export_table(source)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _put_bytes(column: cython.pointer[ArrowArray], number: cython.int, data: bytes) -> cython.int:
    start: cython.pointer[cython.const[cython.char]] = data
    buffer: cython.p_void = add_buffer(column, number, len(data))
    if buffer == cython.NULL:
        raise MemoryError
    memcpy(buffer, start, len(data))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _put_bits(column: cython.pointer[ArrowArray], validity: bytes, rows: cython.Py_ssize_t) -> cython.int:
    row: cython.Py_ssize_t
    valid: cython.pointer[cython.const[cython.char]] = validity
    bits: cython.pointer[uint8_t] = cython.cast(
        cython.pointer[uint8_t], add_buffer(column, 0, (rows + 7) // 8)
    )
    if bits == cython.NULL:
        raise MemoryError
    memset(bits, 0, (rows + 7) // 8)
    for row in range(rows):
        if valid[row]:
            bits[row >> 3] |= cython.cast(uint8_t, 1 << (row & 7))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _put_decimals(column: cython.pointer[ArrowArray], items: bytes, rows: cython.Py_ssize_t) -> cython.int:
    row: cython.Py_ssize_t
    units: int64_t
    start: cython.pointer[cython.const[cython.char]] = items
    buffer: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], add_buffer(column, 1, 16 * rows))
    if buffer == cython.NULL:
        raise MemoryError
    for row in range(rows):
        memcpy(cython.address(units), start + 8 * row, 8)
        hf_put_decimal(buffer + 16 * row, units)
    return 0
