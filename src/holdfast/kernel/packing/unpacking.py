"""Decided rows back from few bytes: all at once, or piece by piece for a replay.

A replay needs no row for long, so a :class:`RowUnpacker` has one batch, which it fills again and again: that stays in the
processor's cache, and the system has to clear no new memory page by page.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.packing.rows_reader import (
    BAD_NUMBERS,
    RowColumns,
    RowsReader,
    open_rows,
    take_rows,
)
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.libc.stdint import uint8_t
from cython.cimports.libc.stdlib import calloc, free
from cython.cimports.libc.string import memcmp, memcpy

ROWS_MAX = 1 << 20
"""How many rows a body has at most."""

rows_max = cython.declare(cython.Py_ssize_t, ROWS_MAX)
_FAULTS = (
    "",
    "they end too early, or later than they say",
    "",
    "an unreadable row is not in order, or has no code of one",
    "an outcome is not in order, or is none",
    "a column has another length than its rows",
    "a type is none, or there are other deposits and withdrawals than there should be",
)


@cython.cclass
class UnpackedRows:
    """Rows of a journal: as they came in, and what was decided about them.

    Attributes:
        batch: The rows, not decided yet; those that could not be read have their code.
        outcomes: The outcome codes that were journaled, one for each row.
    """

    def __init__(self):
        raise TypeError("UnpackedRows are made by unpack_rows()")

    def adopt_outcomes(self) -> None:
        """Let the journaled outcomes be those of the batch, without any ledger."""
        if self.batch is None or self.outcomes is None:
            raise ValueError("these rows were not made by unpack_rows()")
        codes: cython.pointer[cython.const[uint8_t]] = self.outcomes
        memcpy(self.batch.outcome_column, codes, self.batch.rows)


def unpack_rows(data) -> UnpackedRows:
    """Unpack rows that :meth:`DecidedRowBuffer.pack` has packed.

    Raises:
        TypeError: If the data is no bytes.
        ValueError: If they are not what was packed; the message says what is wrong.
    """
    view: Py_buffer
    reader: cython.pointer[RowsReader] = _new_reader()
    try:
        open_text(data, cython.address(view))
        try:
            _open(reader, cython.cast(cbytes, view.buf), view.len)
            return _unpack(reader)
        finally:
            PyBuffer_Release(cython.address(view))
    finally:
        free(reader)


@cython.cfunc
def _unpack(reader: cython.pointer[RowsReader]) -> UnpackedRows:
    unpacked: UnpackedRows = UnpackedRows.__new__(UnpackedRows)
    batch: Batch = new_batch(reader.rows or 1)
    codes: bytes = bytes(reader.rows)
    _take(reader, batch, cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(codes)), reader.rows)
    unpacked.batch = batch
    unpacked.outcomes = codes
    return unpacked


@cython.cclass
class RowUnpacker:
    """Unpacks rows of a journal piece by piece, and compares what is decided about them with what was journaled.

    Attributes:
        batch: The rows of the piece, not decided yet; the next piece is in the same batch.
        rows: How many rows there are in all.
        first_row: The number of the piece's first row.
    """

    def __cinit__(self):
        self.reader = _new_reader()
        self.batch = new_batch(PIECE_ROWS)
        self.batch.offset_column = cython.NULL

    def __dealloc__(self):
        self.let_go()
        free(self.reader)

    def open(self, data) -> None:
        """Begin with other rows, before the first piece.

        Args:
            data: What :meth:`DecidedRowBuffer.pack` has packed; it is kept until its last piece is unpacked.

        Raises:
            TypeError: If the data is no bytes.
            ValueError: If they are not what was packed; the message says what is wrong.
            RuntimeError: If another thread is unpacking here.
        """
        self.refuse_busy()
        self.let_go()
        open_text(data, cython.address(self.view))
        self.is_open = True
        try:
            _open(self.reader, cython.cast(cbytes, self.view.buf), self.view.len)
        except BaseException:
            self.let_go()
            raise
        self.rows = self.reader.rows

    def next_piece(self) -> bool:
        """Unpack the next rows; say whether there were any.

        Raises:
            ValueError: If they are not what was packed; the message says what is wrong.
            RuntimeError: If another thread is unpacking here.
        """
        self.refuse_busy()
        self.first_row += self.batch.rows
        self.batch.rows = 0
        if not self.is_open:
            return False
        count: cython.Py_ssize_t = min(self.rows - self.first_row, cython.cast(cython.Py_ssize_t, PIECE_ROWS))
        self.is_busy = True
        try:
            _take(self.reader, self.batch, self.outcomes, count)
        except BaseException:
            self.let_go()
            raise
        finally:
            self.is_busy = False
        if self.first_row + count == self.rows:
            self.close_view()
        return count > 0

    def first_difference(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> int:
        """Give the first row of the piece, from ``start`` to before ``stop``, whose outcome is not the journaled one; -1 if none.

        Raises:
            IndexError: If there are no such rows.
        """
        stop = self.batch.check_range(start, stop)
        row: cython.Py_ssize_t
        if memcmp(self.batch.outcome_column + start, self.outcomes + start, stop - start) == 0:
            return -1
        for row in range(start, stop):
            if self.batch.outcome_column[row] != self.outcomes[row]:
                return row
        return -1

    def count_differences(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> int:
        """Count the rows of the piece, from ``start`` to before ``stop``, whose outcome is not the journaled one.

        Raises:
            IndexError: If there are no such rows.
        """
        stop = self.batch.check_range(start, stop)
        row: cython.Py_ssize_t
        count: cython.Py_ssize_t = 0
        for row in range(start, stop):
            count += self.batch.outcome_column[row] != self.outcomes[row]
        return count

    def outcome(self, row: cython.Py_ssize_t) -> int:
        """Give the outcome of a row of the piece that was journaled.

        Raises:
            IndexError: If there is no such row.
        """
        self.batch.check_range(row, row + 1)
        return self.outcomes[row]

    def journaled(self) -> bytes:
        """Give the outcomes of the piece's rows that were journaled."""
        codes: cython.p_char = cython.cast(cython.p_char, self.outcomes)
        return codes[: self.batch.rows]

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refuse_busy(self) -> cython.int:
        if self.is_busy:
            raise RuntimeError("another thread is unpacking rows here")
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def let_go(self) -> cython.void:
        """Forget the rows."""
        self.rows = self.first_row = 0
        if self.batch is not None:
            self.batch.rows = 0
        self.close_view()

    @cython.cfunc
    @cython.exceptval(check=False)
    def close_view(self) -> cython.void:
        if self.is_open:
            self.is_open = False
            PyBuffer_Release(cython.address(self.view))


@cython.cfunc
def _new_reader() -> cython.pointer[RowsReader]:
    reader: cython.pointer[RowsReader] = cython.cast(
        cython.pointer[RowsReader], calloc(1, cython.sizeof(RowsReader))
    )
    if reader == cython.NULL:
        raise MemoryError
    return reader


@cython.cfunc
@cython.exceptval(-1, check=False)
def _open(reader: cython.pointer[RowsReader], source: cbytes, size: cython.Py_ssize_t) -> cython.int:
    fault: cython.int = open_rows(reader, source, size)
    if fault == BAD_NUMBERS or (fault == 0 and reader.rows > rows_max):
        raise ValueError(
            f"packed rows cannot have {reader.rows} rows, {reader.unreadable} unreadable, {reader.refused} refused, "
            f"{reader.transfers} transfers"
        )
    if fault:
        raise ValueError(f"packed rows are damaged: {_FAULTS[fault]}")
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take(
    reader: cython.pointer[RowsReader],
    batch: Batch,
    outcomes: cython.pointer[uint8_t],
    count: cython.Py_ssize_t,
) -> cython.int:
    columns: RowColumns
    fault: cython.int
    columns.types = batch.type_column
    columns.clients = batch.client_column
    columns.txs = batch.tx_column
    columns.amounts = batch.amount_column
    columns.outcomes = outcomes
    columns.undecided = batch.outcome_column
    with cython.nogil:
        fault = take_rows(reader, cython.address(columns), count)
    if fault:
        raise ValueError(f"packed rows are damaged: {_FAULTS[fault]}")
    # These rows are no text now.
    batch.offset_column = cython.NULL
    batch.rows = count
    batch.is_unchecked = True
    return 0
