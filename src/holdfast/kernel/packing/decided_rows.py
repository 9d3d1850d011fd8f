"""Decided rows on their way to a journal: copies of their columns, which are packed later, on another thread.

A batch is used again as soon as its rows are decided, so its columns are copied at once; that is all that is done while the
ledger's lock is held. Nothing after that looks at memory that somebody else may change.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.holdfast.kernel.batch import Batch
from cython.cimports.holdfast.kernel.codes import is_unreadable
from cython.cimports.holdfast.kernel.packing.rows import (
    Unreadable,
    pack_rows,
    rows_bytes_max,
)
from cython.cimports.holdfast.kernel.platform import hf_load_8
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy

from holdfast.kernel.packing.unpacking import ROWS_MAX

ROW_BYTES = cython.declare(cython.Py_ssize_t, 26)
# Eight outcomes of rows that were applied.
ALL_APPLIED = cython.declare(uint64_t, 0x0101010101010101)


@cython.cclass
class DecidedRowBuffer:
    """Rows that were decided, copied, up to a limit.

    Args:
        rows_max: How many rows it takes, up to :data:`ROWS_MAX`.
        raw_bytes_max: How many bytes of the text of rows that could not be decoded it keeps; 0 keeps none.

    Attributes:
        raw_bytes: How many bytes of text it keeps now.
        raw_dropped: How many texts it did not keep, for lack of room.

    Raises:
        ValueError: If a limit is out of range.
    """

    def __cinit__(self, rows_max: cython.Py_ssize_t, raw_bytes_max: cython.Py_ssize_t = 0):
        if not 1 <= rows_max <= ROWS_MAX or raw_bytes_max < 0:
            raise ValueError(
                f"a buffer takes 1 to {ROWS_MAX} rows and 0 or more bytes of text, not {rows_max} and {raw_bytes_max}"
            )
        self.memory = malloc(rows_max * ROW_BYTES)
        if self.memory == cython.NULL:
            raise MemoryError
        self.rows_max = rows_max
        self.raw_bytes_max = raw_bytes_max
        self.texts = []
        self.columns.clients = cython.cast(cython.pointer[uint64_t], self.memory)
        self.columns.txs = self.columns.clients + rows_max
        self.columns.amounts = cython.cast(cython.pointer[int64_t], self.columns.txs + rows_max)
        self.columns.types = cython.cast(cython.pointer[uint8_t], self.columns.amounts + rows_max)
        self.columns.outcomes = self.columns.types + rows_max

    def __dealloc__(self):
        free(self.memory)
        free(self.unreadable)
        free(self.spare)

    @property
    def rows(self) -> int:
        """How many rows it has."""
        return self.columns.count

    def append(self, batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> int:
        """Copy decided rows of a batch, as many as there is room for; give how many that are.

        Raises:
            IndexError: If there are no such rows.
            MemoryError: If there is no memory for a note of a row that could not be decoded; nothing is copied then.
            ValueError: After :meth:`pack`.
        """
        stop = batch.check_range(start, stop)
        if self.is_packed:
            raise ValueError("these rows are packed: clear the buffer first")
        first: cython.Py_ssize_t = self.columns.count
        count: cython.Py_ssize_t = min(stop - start, self.rows_max - first)
        if count <= 0:
            return 0
        memcpy(self.columns.clients + first, batch.client_column + start, 8 * count)
        memcpy(self.columns.txs + first, batch.tx_column + start, 8 * count)
        memcpy(self.columns.amounts + first, batch.amount_column + start, 8 * count)
        memcpy(self.columns.types + first, batch.type_column + start, count)
        memcpy(self.columns.outcomes + first, batch.outcome_column + start, count)
        self.note_unreadable(batch, start, count)
        self.columns.count += count
        return count

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def note_unreadable(self, batch: Batch, start: cython.Py_ssize_t, count: cython.Py_ssize_t) -> cython.int:
        """Note the rows just copied that could not be read where they came in."""
        codes: cython.pointer[uint8_t] = self.columns.outcomes + self.columns.count
        noted_before: cython.Py_ssize_t = self.columns.unreadable_count
        number: cython.Py_ssize_t = 0
        while number < count:
            if number + 8 <= count and hf_load_8(codes + number) == ALL_APPLIED:
                number += 8
                continue
            if is_unreadable(codes[number]):
                if self.columns.unreadable_count == self.unreadable_capacity:
                    capacity: cython.Py_ssize_t = max(64, 2 * self.unreadable_capacity)
                    grown: cython.p_void = realloc(self.unreadable, capacity * cython.sizeof(Unreadable))
                    if grown == cython.NULL:
                        self.columns.unreadable_count = noted_before
                        raise MemoryError
                    self.unreadable = cython.cast(cython.pointer[Unreadable], grown)
                    self.unreadable_capacity = capacity
                    self.columns.unreadable = self.unreadable
                noted: cython.pointer[Unreadable] = self.unreadable + self.columns.unreadable_count
                noted.row = cython.cast(uint32_t, self.columns.count + number)
                noted.was_text = batch.offset_column != cython.NULL or batch.was_table
                self.columns.unreadable_count += 1
                if self.raw_bytes_max and (batch.sources or batch.was_table):
                    self.keep_text(batch, start + number, self.columns.count + number)
            number += 1
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def keep_text(self, batch: Batch, row: cython.Py_ssize_t, number: cython.Py_ssize_t) -> cython.int:
        text: bytes = batch.raw(row)
        if self.raw_bytes + len(text) > self.raw_bytes_max:
            self.raw_dropped += 1
            return 0
        self.raw_bytes += len(text)
        self.texts.append((number, text))
        return 0

    def texts_of_rows(self) -> list:
        """List the texts that it keeps, as (number of the row, text)."""
        return list(self.texts)

    def pack(self) -> bytes:
        """Pack the rows, as :mod:`rows` says; after that, :meth:`clear` is all that can be done with the buffer.

        Equal rows give equal bytes. An empty buffer gives the packed form of no rows.

        Raises:
            MemoryError: If there is no memory for it.
            ValueError: If it was packed before.
        """
        if self.is_packed:
            raise ValueError("these rows are packed: clear the buffer first")
        count: cython.Py_ssize_t = self.columns.count
        bytes_max: cython.Py_ssize_t = 16 * count + rows_bytes_max(count, self.columns.unreadable_count)
        if bytes_max > self.spare_bytes:
            # Kept for the next time: the system would have to clear new memory page by page.
            free(self.spare)
            self.spare_bytes = 0
            self.spare = malloc(bytes_max)
            if self.spare == cython.NULL:
                raise MemoryError
            self.spare_bytes = bytes_max
        spare: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], self.spare)
        target: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], spare + 2 * count)
        self.is_packed = True
        size: cython.Py_ssize_t
        if count < BUFFER_ROWS_HELD:
            size = pack_rows(cython.address(self.columns), spare, target)
        else:
            with cython.nogil:
                size = pack_rows(cython.address(self.columns), spare, target)
        return PyBytes_FromStringAndSize(cython.cast(cython.p_char, target), size)

    def clear(self) -> None:
        """Make it empty again."""
        self.columns.count = self.columns.unreadable_count = 0
        self.raw_bytes = self.raw_dropped = 0
        self.texts.clear()
        self.is_packed = False
