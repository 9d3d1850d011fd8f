"""NDJSON bytes to batches, sans I/O: feed any bytes in any split, get the same batches.

Two paths, as for CSV: :mod:`plain` takes objects as most programs write them, many at a time, and leaves whatever it does not
recognise to :mod:`row`, which is complete. Both give the same rows.

A line end always ends a row, so that one bad row never costs its neighbours. What is remembered between feeds is one
partial line, up to the row limit and no more.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.holdfast.kernel.codes import NEWLINE, RETURN, ROW_TOO_LONG, UNDECIDED
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.csv.plain import PlainColumns, set_plain_format
from cython.cimports.holdfast.kernel.csv.row import Row, is_blank, row_length, set_plain_signs
from cython.cimports.holdfast.kernel.digest import hash_text
from cython.cimports.holdfast.kernel.ndjson.plain import REACH, decode_plain_objects
from cython.cimports.holdfast.kernel.ndjson.row import decode_object
from cython.cimports.holdfast.kernel.platform import cbytes, hf_check, hf_unlikely
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memchr, memcpy, memset

from holdfast.domain.settings import Settings, check_settings

__all__ = ["NdjsonDecoder"]

EXCESS_DECIMALS = ("refuse", "half_even", "truncate")
SETTINGS_DEFAULT = Settings()
# What batches have where those of CSV have the roles of their columns: each object names its values itself.
no_roles = cython.declare(bytes, b"")


# Its batches hold text alone: nothing that it refers to refers to it.
@cython.no_gc
@cython.cclass
class NdjsonDecoder:
    """Turns the bytes of one NDJSON stream into batches.

    Args:
        settings: Widths, decimals and limits.
        keep_source: Whether batches remember the text of their rows, for :meth:`Batch.raw`.

    Raises:
        TypeError: If the settings are no :class:`Settings`.
        ValueError: If one of them is out of range.
    """

    def __cinit__(self, settings: object = SETTINGS_DEFAULT, *, keep_source: bool = False):
        check_settings(settings)
        self.format.client_max = settings.client_max
        self.format.tx_max = settings.tx_max
        self.format.decimals = settings.decimals
        self.format.excess_decimals = EXCESS_DECIMALS.index(settings.rules.excess_decimals)
        set_plain_signs(cython.address(self.format))
        set_plain_format(
            cython.address(self.plain_format),
            self.format.client_max,
            self.format.tx_max,
            self.format.decimals,
        )
        self.set_limits(settings.row_bytes_max, settings.batch_rows, keep_source)

    def __dealloc__(self):
        free(self.carry)
        free(self.scratch)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def set_limits(
        self, row_bytes_max: cython.Py_ssize_t, batch_rows: cython.Py_ssize_t, keep_source: cython.bint
    ) -> cython.int:
        self.row_bytes_max = row_bytes_max
        self.batch_rows = batch_rows
        self.keep_source = keep_source
        self.is_plain = row_bytes_max >= REACH
        self.line = 1
        free(self.scratch)
        self.scratch = cython.cast(cython.pointer[uint8_t], malloc(row_bytes_max))
        if self.scratch == cython.NULL:
            raise MemoryError
        return 0

    def feed(self, data) -> list:
        """Take the next bytes of the stream.

        Args:
            data: Anything with the buffer protocol; it may be changed once this returns.

        Returns:
            The batches that became full, in order.

        Raises:
            RuntimeError: If it is at work already, in another thread above all.
            ValueError: After :meth:`finish`.
        """
        view: Py_buffer
        open_text(data, cython.address(view))
        try:
            self.require_idle()
            self.is_busy = True
            try:
                return self.decode_text(cython.cast(cbytes, view.buf), view.len, data)
            finally:
                self.is_busy = False
        finally:
            PyBuffer_Release(cython.address(view))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def require_idle(self) -> cython.int:
        if self.is_busy:
            raise RuntimeError("this decoder is at work, in another thread or further up in this one")
        return 0

    @cython.cfunc
    def decode_text(self, start: cbytes, size: cython.Py_ssize_t, data: object) -> list:
        if self.is_finished:
            raise ValueError("the decoder is finished: its stream has ended")
        batches: list = []
        end: cbytes = start + size
        text: cbytes = start
        if text < end and self.carry_length:
            text += self.feed_line(batches, text, end, self.offset)
        if text < end:
            source = None
            if self.keep_source:
                source = (self.offset, data if type(data) is bytes else start[:size])
            self.put_rows(batches, text, end, 0, self.offset + (text - start), source)
        self.offset += size
        return batches

    def flush(self):
        """Give the rows decoded since the last full batch as a batch of their own, or None if there are none."""
        self.require_idle()
        batch: Batch = self.batch
        self.batch = None
        return batch if batch is not None and batch.rows else None

    def finish(self):
        """End the stream: its last line may have no line end.

        Returns:
            A batch with the rows decoded since the last full one, or None if there are none.
        """
        batches: list = []
        self.require_idle()
        self.is_busy = True
        try:
            if not self.is_finished and self.carry_length:
                self.take_line(batches)
        finally:
            self.is_busy = False
        self.is_finished = True
        return batches[0] if batches else self.flush()

    def at(self, offset: uint64_t) -> NdjsonDecoder:
        """Make a decoder for a later stretch of the same stream, beginning with a whole line at this byte.

        Its lines count from 1; :meth:`Batch.move_lines` puts them right once it is known how many came before.
        """
        other: NdjsonDecoder = self.fresh()
        other.offset = offset
        return other

    def fresh(self) -> NdjsonDecoder:
        """Make a decoder with the same settings for another stream."""
        other: NdjsonDecoder = NdjsonDecoder.__new__(NdjsonDecoder)
        other.format = self.format
        other.plain_format = self.plain_format
        other.set_limits(self.row_bytes_max, self.batch_rows, self.keep_source)
        return other

    @property
    def has_header(self) -> bool:
        """Whether it is known how to decode the rows: always, since objects name their values themselves."""
        return True

    @property
    def lines(self) -> int:
        """How many lines have been taken so far: rows and blank lines."""
        return self.line - 1

    @property
    def carried(self) -> int:
        """How many bytes of a line that has not ended are kept until it does."""
        return self.carry_length

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def need_carry(self, length: cython.Py_ssize_t) -> cython.int:
        """Have room for so many bytes in the carry, and behind them for what the fast path reads ahead."""
        needed: cython.Py_ssize_t = length + 1 + REACH
        if needed <= self.carry_room:
            return 0
        room: cython.Py_ssize_t = max(needed, 2 * self.carry_room)
        carry: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], realloc(self.carry, room))
        if carry == cython.NULL:
            raise MemoryError
        memset(carry + self.carry_room, 0, room - self.carry_room)
        self.carry = carry
        self.carry_room = room
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def need_batch(self) -> cython.int:
        if self.batch is None:
            self.batch = new_batch(self.batch_rows)
            self.batch.client_max = self.format.client_max
            self.batch.tx_max = self.format.tx_max
            self.batch.row_bytes_max = self.row_bytes_max
            self.batch.roles = no_roles
        if self.batch.rows == 0:
            self.batch.first_line = self.line
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def hand_over(self, batches: list) -> cython.int:
        if self.batch.rows == self.batch.capacity:
            batches.append(self.batch)
            self.batch = None
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_rows(
        self,
        batches: list,
        text: cbytes,
        end: cbytes,
        slack: cython.Py_ssize_t,
        offset: uint64_t,
        source: object,
    ) -> cython.int:
        """Decode whole lines into batches and carry the partial one at the end over to the next feed."""
        position: cbytes = text
        tail: uint8_t[288]
        while position < end:
            self.need_batch()
            before: cython.Py_ssize_t = self.batch.rows
            taken: cython.Py_ssize_t
            if end - position <= SMALL_BYTES:
                # Letting another thread run costs as much as several rows.
                taken = self.decode_rows(position, end, slack, offset + (position - text))
            else:
                with cython.nogil:
                    taken = self.decode_rows(position, end, slack, offset + (position - text))
            if taken < 0:
                raise MemoryError
            reached: cbytes = position + taken
            if source is not None and self.batch.rows > before:
                self.batch.sources.append(source)
            is_full: cython.bint = self.batch.rows == self.batch.capacity
            self.hand_over(batches)
            if not is_full and reached < end:
                if slack == 0 and self.is_plain and end - reached < REACH:
                    # Too near the end for loads of eight bytes: the same again where there is room behind the text.
                    memset(tail, 0, TAIL_BYTES)
                    memcpy(tail, reached, end - reached)
                    return self.put_rows(
                        batches, tail, tail + (end - reached), REACH, offset + (reached - text), source
                    )
                self.feed_line(batches, reached, end, offset + (reached - text))
                return 0
            position = reached
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def decode_rows(
        self, text: cbytes, end: cbytes, slack: cython.Py_ssize_t, offset: uint64_t
    ) -> cython.Py_ssize_t:
        """Decode until the batch is full, no whole line is left, or the fast path would read past what it may read.

        Returns how many bytes that took, -1 if there is no memory.
        """
        start: cbytes = text
        # Behind the end there may be room, and in it what somebody left there.
        last_plain_start: cbytes = end + slack - REACH if slack < REACH else end - 1
        while self.batch.rows < self.batch.capacity and text < end:
            if self.is_plain and text <= last_plain_start:
                text += self.plain_rows(text, last_plain_start, offset + (text - start))
                if self.batch.rows == self.batch.capacity:
                    break
            if self.is_plain and text > last_plain_start:
                break
            line_end: cbytes = cython.cast(cbytes, memchr(text, NEWLINE, end - text))
            if line_end == cython.NULL:
                break
            if self.put_line(text, row_length(text, line_end), offset + (text - start)) < 0:
                return -1
            text = line_end + 1
        hf_check(text <= end)
        return text - start

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def plain_rows(self, text: cbytes, last_start: cbytes, offset: uint64_t) -> cython.Py_ssize_t:
        """Take the fast path as far as it leads; give how many bytes that took."""
        row: cython.Py_ssize_t = self.batch.rows
        reached: cbytes = text
        columns: PlainColumns
        columns.types = self.batch.type_column + row
        columns.clients = self.batch.client_column + row
        columns.txs = self.batch.tx_column + row
        columns.amounts = self.batch.amount_column + row
        columns.offsets = self.batch.offset_column + row
        rows: cython.Py_ssize_t = decode_plain_objects(
            cython.address(self.plain_format),
            cython.address(reached),
            last_start,
            cython.address(columns),
            offset,
            self.batch.capacity - row,
        )
        memset(self.batch.outcome_column + row, UNDECIDED, rows)
        if hf_unlikely(self.batch.line_column != cython.NULL):
            taken: cython.Py_ssize_t
            for taken in range(rows):
                self.batch.line_column[row + taken] = self.line + taken
        self.batch.rows += rows
        self.line += rows
        return reached - text

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def put_line(self, text: cbytes, length: cython.Py_ssize_t, offset: uint64_t) -> cython.int:
        """Take the complete path for one line, which may be blank; give -1 if there is no memory."""
        row: cython.Py_ssize_t = self.batch.rows
        values: Row
        # A byte order mark may be before everything.
        if offset == 0 and length >= BOM_BYTES and text[0] == 0xEF and text[1] == 0xBB and text[2] == 0xBF:
            text += BOM_BYTES
            length -= BOM_BYTES
            offset += BOM_BYTES
        if self.is_blank_line(text, length):
            self.line += 1
            return self.batch.set_line(self.line)
        self.batch.outcome_column[row] = self.complete_row(text, length, cython.address(values))
        self.batch.type_column[row] = values.type
        self.batch.client_column[row] = values.client
        self.batch.tx_column[row] = values.tx
        self.batch.amount_column[row] = values.amount
        self.batch.offset_column[row] = offset
        if self.batch.line_column != cython.NULL:
            self.batch.line_column[row] = self.line
        self.batch.rows += 1
        self.line += 1
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def complete_row(self, text: cbytes, length: cython.Py_ssize_t, row: cython.pointer[Row]) -> cython.int:
        code: cython.int
        if length > self.row_bytes_max:
            row.type = row.client = row.tx = row.amount = 0
            code, length = ROW_TOO_LONG, self.row_bytes_max
        else:
            code = decode_object(cython.address(self.format), text, length, self.scratch, row)
        if code != UNDECIDED:
            # It has no amount; the digest of the stream needs its text.
            row.amount = cython.cast(int64_t, hash_text(text, length))
        return code

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def is_blank_line(self, text: cbytes, length: cython.Py_ssize_t) -> cython.bint:
        """Say whether a line is blank; what was dropped of it counts as well."""
        if self.dropped == DROPPED_TEXT or not is_blank(text, length):
            return False
        # Its CR was the last byte that was kept, not the last of the line.
        return self.dropped == DROPPED_NOTHING or text[length] != RETURN

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def drop(self, text: cbytes, length: cython.Py_ssize_t) -> cython.void:
        """Take no more of the line in the carry, but remember whether it may still be blank."""
        if length == 0 or self.dropped == DROPPED_TEXT:
            return
        ends_with_return: cython.bint = text[length - 1] == RETURN
        if self.dropped == DROPPED_BLANKS_AND_RETURN or not is_blank(text, length - ends_with_return):
            self.dropped = DROPPED_TEXT
        else:
            self.dropped = DROPPED_BLANKS_AND_RETURN if ends_with_return else DROPPED_BLANKS

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def feed_line(self, batches: list, text: cbytes, end: cbytes, offset: uint64_t) -> cython.Py_ssize_t:
        """Carry text over up to the end of its line, and take the line if it ends here; give how many bytes that took."""
        if self.carry_length == 0:
            self.carry_offset = offset
        line_end: cbytes = cython.cast(cbytes, memchr(text, NEWLINE, end - text))
        # So many bytes more than a row may have tell that it is too long, line end or not; the rest need not be kept.
        whole: cython.Py_ssize_t = (end if line_end == cython.NULL else line_end) - text
        length: cython.Py_ssize_t = min(whole, self.row_bytes_max + CARRY_EXTRA - self.carry_length)
        self.need_carry(self.carry_length + length)
        memcpy(self.carry + self.carry_length, text, length)
        self.carry_length += length
        self.drop(text + length, whole - length)
        if line_end == cython.NULL:
            return end - text
        self.take_line(batches)
        return line_end + 1 - text

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take_line(self, batches: list) -> cython.int:
        """Decode the line in the carry, which is complete."""
        length: cython.Py_ssize_t = self.carry_length
        self.carry_length = 0
        self.carry[length] = NEWLINE
        source = None
        if self.keep_source:
            source = (
                self.carry_offset,
                PyBytes_FromStringAndSize(cython.cast(cython.p_char, self.carry), length),
            )
        try:
            return self.put_rows(
                batches, self.carry, self.carry + length + 1, REACH, self.carry_offset, source
            )
        finally:
            self.dropped = DROPPED_NOTHING
