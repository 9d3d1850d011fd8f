"""CSV bytes to batches, sans I/O: feed any bytes in any split, get the same batches.

Two paths: :mod:`csv_plain` takes rows as most programs write them, many at a time, and leaves whatever it does not recognise to
:mod:`csv_row`, which is complete. Both give the same rows.

A line end always ends a row, even between quotes, so that one bad row never costs its neighbours. What is remembered between
feeds is one partial line, up to the row limit and no more.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.cpython.bytes import (
    PyBytes_AS_STRING,
    PyBytes_FromStringAndSize,
    PyBytes_GET_SIZE,
)
from cython.cimports.holdfast.kernel.batch import Batch, clear_rows, new_batch
from cython.cimports.holdfast.kernel.codes import NEWLINE, RETURN, ROW_TOO_LONG, UNDECIDED
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.csv.dialect_format import is_footer
from cython.cimports.holdfast.kernel.csv.plain import (
    REACH,
    PlainColumns,
    decode_plain_rows,
    set_plain_format,
)
from cython.cimports.holdfast.kernel.csv.row import Row, decode_row, is_blank, row_length, set_plain_signs
from cython.cimports.holdfast.kernel.digest import hash_text
from cython.cimports.holdfast.kernel.platform import cbytes, hf_check, hf_unlikely
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memchr, memcmp, memcpy, memset

from holdfast.domain.settings import Settings, check_settings
from holdfast.kernel.csv.header import KNOWN, HeaderError, parse_header

__all__ = ["CsvDecoder", "HeaderError"]

EXCESS_DECIMALS = ("refuse", "half_even", "truncate")
SETTINGS_DEFAULT = Settings()

pad = cython.declare(uint8_t[PAD_BYTES])
pad_is_used = cython.declare(cython.bint)
# What nearly everybody sends.
plain_header = cython.declare(bytes, b",".join(name.encode() for name in KNOWN) + b"\n")
plain_roles = cython.declare(bytes, bytes(range(len(KNOWN))))


# Its batches hold text alone: nothing that it refers to refers to it.
@cython.no_gc
@cython.cclass
class CsvDecoder:
    """Turns the bytes of one CSV stream into batches.

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
        self.row_bytes_max = settings.row_bytes_max
        self.batch_rows = settings.batch_rows
        self.keep_source = keep_source
        self.line = 1
        if self.row_bytes_max >= len(plain_header):
            self.known_header, self.known_roles = plain_header, plain_roles

    def __dealloc__(self):
        free(self.carry)

    def feed(self, data) -> list:
        """Take the next bytes of the stream.

        Args:
            data: Anything with the buffer protocol; it may be changed once this returns.

        Returns:
            The batches that became full, in order.

        Raises:
            HeaderError: If the stream does not begin with a usable header.
            RuntimeError: If it is at work already, in another thread above all.
            ValueError: After :meth:`finish`.
        """
        view: Py_buffer
        open_text(data, cython.address(view))
        try:
            return self.feed_text(cython.cast(cbytes, view.buf), view.len, data)
        finally:
            PyBuffer_Release(cython.address(view))

    @cython.cfunc
    def feed_text(self, start: cbytes, size: cython.Py_ssize_t, data: object) -> list:
        """Take the next bytes of the stream; data is what they are in."""
        self.require_idle()
        self.is_busy = True
        try:
            return self.decode_text(start, size, data)
        finally:
            self.is_busy = False

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
        if self.offset == 0:
            text += self.take_known_header(text, size)
        while text < end and (self.roles is None or self.carry_length):
            text += self.feed_line(batches, text, end, self.offset + (text - start))
        if text < end:
            offset: uint64_t = self.offset + (text - start)
            if self.keep_source:
                source = (self.offset, data if type(data) is bytes else start[:size])
                self.put_rows(batches, text, end, 0, offset, source)
            elif end - text <= TINY_BYTES and self.is_plain:
                self.put_tiny(batches, text, end - text, offset)
            else:
                self.put_rows(batches, text, end, 0, offset, None)
        self.offset += size
        return batches

    @cython.cfunc
    @cython.exceptval(check=False)
    def take_known_header(self, text: cbytes, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Take the header if it is that of the stream before, line end and all; give how many bytes that took."""
        if self.known_header is None or self.roles is not None:
            return 0
        length: cython.Py_ssize_t = PyBytes_GET_SIZE(self.known_header)
        if size < length or memcmp(text, PyBytes_AS_STRING(self.known_header), length) != 0:
            return 0
        self.set_roles(self.known_roles)
        self.line += 1
        return length

    @cython.cfunc
    def take_rest(self) -> Batch:
        """Let go of the batch that is being filled, None if there is none; it may have no rows."""
        self.require_idle()
        batch: Batch = self.batch
        self.batch = None
        return batch

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def lend(self, batch: Batch) -> cython.int:
        """Fill a batch that nobody else looks at instead of a new one."""
        self.require_idle()
        clear_rows(batch)
        self.batch = batch
        return 0

    def flush(self):
        """Give the rows decoded since the last full batch as a batch of their own, or None if there are none."""
        batch: Batch = self.take_rest()
        return batch if batch is not None and batch.rows else None

    def finish(self):
        """End the stream: its last line may have no line end.

        Returns:
            A batch with the rows decoded since the last full one, or None if there are none.

        Raises:
            HeaderError: If there was no header, above all if there was nothing at all.
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
        if self.roles is None:
            raise HeaderError(
                "the input is empty" if self.offset == 0 else "the input has no header, only blank lines"
            )
        return batches[0] if batches else self.flush()

    def at(self, offset: uint64_t) -> CsvDecoder:
        """Make a decoder for a later stretch of the same stream, beginning with a whole line at this byte.

        Its lines count from 1; :meth:`Batch.move_lines` puts them right once it is known how many came before.

        Raises:
            ValueError: Before the header was decoded.
        """
        if self.roles is None:
            raise ValueError("the header comes first")
        other: CsvDecoder = self.fresh()
        other.set_roles(self.roles)
        other.offset = offset
        return other

    def fresh(self) -> CsvDecoder:
        """Make a decoder with the same settings for another stream; cheap enough for a stream of a single row."""
        other: CsvDecoder = CsvDecoder.__new__(CsvDecoder)
        other.format = self.format
        other.plain_format = self.plain_format
        other.row_bytes_max = self.row_bytes_max
        other.batch_rows = self.batch_rows
        other.keep_source = self.keep_source
        other.known_header = self.known_header
        other.known_roles = self.known_roles
        other.dialect, other.dialect_memory = self.dialect, self.dialect_memory
        return other

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def renew(self) -> cython.int:
        """Reset for another stream; the header of the one before is recognised."""
        self.require_idle()
        self.roles = self.batch = None
        self.is_plain = self.is_finished = False
        self.dropped = DROPPED_NOTHING
        self.line = 1
        self.offset = self.carry_length = 0
        if self.carry_room > CARRY_KEPT_MAX:
            free(self.carry)
            self.carry = cython.NULL
            self.carry_room = 0
        return 0

    @property
    def has_header(self) -> bool:
        """Whether the header has been decoded."""
        return self.roles is not None

    @property
    def lines(self) -> int:
        """How many lines have been taken so far: rows, blank lines and the header."""
        return self.line - 1

    @property
    def carried(self) -> int:
        """How many bytes of a line that has not ended are kept until it does."""
        return self.carry_length

    @cython.cfunc
    @cython.exceptval(check=False)
    def set_roles(self, roles: bytes) -> cython.void:
        self.roles = roles
        self.format.roles = cython.cast(cbytes, PyBytes_AS_STRING(roles))
        self.format.columns = PyBytes_GET_SIZE(roles)
        self.is_plain = self.dialect is None and roles == plain_roles and self.row_bytes_max >= REACH

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
        if self.batch.rows == 0:
            # Also of a batch that was lent before the header was read.
            self.batch.first_line = self.line
            self.batch.roles = self.roles
            self.batch.dialect = self.dialect
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
    def put_tiny(
        self, batches: list, text: cbytes, length: cython.Py_ssize_t, offset: uint64_t
    ) -> cython.int:
        """Decode a tiny piece from a copy with room behind it: that is cheaper than to treat its last rows by themselves."""
        global pad_is_used
        if pad_is_used:
            # The garbage collector may run anybody's code while objects are made.
            return self.put_rows(batches, text, text + length, 0, offset, None)
        pad_is_used = True
        try:
            memcpy(pad, text, length)
            memset(pad + length, 0, REACH)
            self.put_rows(batches, pad, pad + length, REACH, offset, None)
        finally:
            pad_is_used = False
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
        scratch: uint8_t[192]
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
                    memset(scratch, 0, 192)
                    memcpy(scratch, reached, end - reached)
                    return self.put_rows(
                        batches, scratch, scratch + (end - reached), REACH, offset + (reached - text), source
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
        rows: cython.Py_ssize_t = decode_plain_rows(
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
        if self.is_blank_line(text, length) or (
            self.format.dialect != cython.NULL
            and length <= self.row_bytes_max
            and is_footer(self.format.dialect, text, length)
        ):
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
            code = decode_row(cython.address(self.format), text, length, row)
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
            # No header is that long, and a file that is no CSV may have no line end for gigabytes. A byte order mark and a
            # last CR may belong to a blank line.
            if (
                self.roles is None
                and not self.is_skipped()
                and self.carry_length == self.row_bytes_max + CARRY_EXTRA
                and not is_blank(self.carry + BOM_BYTES, self.carry_length - BOM_BYTES - 1)
            ):
                self.take_header(self.carry_length)
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
        try:
            return self.take_header(length) if self.roles is None else self.put_carry(batches, length)
        finally:
            self.dropped = DROPPED_NOTHING

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_carry(self, batches: list, length: cython.Py_ssize_t) -> cython.int:
        """Decode the line in the carry as a row."""
        source = None
        if self.keep_source:
            source = (
                self.carry_offset,
                PyBytes_FromStringAndSize(cython.cast(cython.p_char, self.carry), length),
            )
        return self.put_rows(batches, self.carry, self.carry + length + 1, REACH, self.carry_offset, source)

    @cython.cfunc
    @cython.exceptval(check=False)
    def is_skipped(self) -> cython.bint:
        """Whether the line at hand is one of those before the header."""
        return self.format.dialect != cython.NULL and self.line <= cython.cast(
            uint64_t, self.format.dialect.skip_rows
        )

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take_header(self, length: cython.Py_ssize_t) -> cython.int:
        """Read the header line in the carry; blank lines may come before it, a byte order mark before everything."""
        text: cbytes = self.carry
        line_end: cbytes = text + length
        length = row_length(text, line_end)
        if (
            self.carry_offset == 0
            and length >= BOM_BYTES
            and text[0] == 0xEF
            and text[1] == 0xBB
            and text[2] == 0xBF
        ):
            text += BOM_BYTES
            length -= BOM_BYTES
        if not self.is_skipped() and not self.is_blank_line(text, length):
            plain: cython.bint = (
                self.dialect is None
                and length == len(plain_header) - 1
                and length <= self.row_bytes_max
                and memcmp(text, PyBytes_AS_STRING(plain_header), length) == 0
            )
            self.set_roles(
                plain_roles
                if plain
                else parse_header(
                    text[:length],
                    self.line,
                    self.row_bytes_max,
                    self.dialect,
                )
            )
            if self.line == 1 and line_end - self.carry < HEADER_KEPT_MAX:
                self.known_header = self.carry[: line_end - self.carry + 1]
                self.known_roles = self.roles
        self.line += 1
        return 0
