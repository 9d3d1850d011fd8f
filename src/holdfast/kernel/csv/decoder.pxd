cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.csv.plain cimport PlainFormat
from holdfast.kernel.csv.row cimport Row, RowFormat
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    # What is kept of a line beyond the row limit: a byte order mark, a CR, and a byte that says that there was more.
    CARRY_EXTRA = 5
    # Up to here a piece is decoded without letting another Python thread run.
    SMALL_BYTES = 16384
    # Up to here it is decoded from a copy: of more, treating the last rows by themselves costs less than touching all twice.
    TINY_BYTES = 512
    PAD_BYTES = 608  # and REACH
    # A decoder that is used again keeps no larger carry, and recognises no longer header.
    CARRY_KEPT_MAX = 8192
    HEADER_KEPT_MAX = 256
    BOM_BYTES = 3

# What was dropped of a line that is longer than the carry. Only the last byte may be a CR for the line to be blank.
cdef enum:
    DROPPED_NOTHING = 0
    DROPPED_BLANKS = 1
    DROPPED_BLANKS_AND_RETURN = 2
    DROPPED_TEXT = 3

@cython.final
cdef class CsvDecoder:
    cdef RowFormat format
    cdef object dialect  # None for a plain stream
    cdef object dialect_memory  # what the format points to
    cdef bytes roles
    # The header of the stream before, with its line end, and what it came to: the next stream's is nearly always the same.
    cdef bytes known_header
    cdef bytes known_roles
    cdef bint is_plain  # the header is type,client,tx,amount, and a row may be as long as the fast path reads ahead
    cdef PlainFormat plain_format
    cdef Py_ssize_t row_bytes_max
    cdef Py_ssize_t batch_rows
    cdef readonly bint keep_source
    cdef bint is_finished
    cdef bint is_busy  # at work, maybe without the interpreter's lock
    cdef Batch batch  # the one being filled
    cdef uint64_t line  # of the line that comes next
    cdef uint64_t offset  # of the first byte of the data fed next
    cdef uint8_t *carry  # the part of a line that was fed so far
    cdef Py_ssize_t carry_length
    cdef uint64_t carry_offset
    cdef Py_ssize_t carry_room
    cdef int dropped  # what was dropped of the line in the carry: one of the DROPPED_ values

    cdef list feed_text(self, cbytes text, Py_ssize_t size, object data)
    cdef int renew(self) except -1
    cdef int require_idle(self) except -1
    cdef list decode_text(self, cbytes text, Py_ssize_t size, object data)
    cdef Py_ssize_t take_known_header(self, cbytes text, Py_ssize_t size) noexcept
    cdef void set_roles(self, bytes roles) noexcept
    cdef int need_carry(self, Py_ssize_t length) except -1
    cdef Batch take_rest(self)
    cdef int lend(self, Batch batch) except -1
    cdef int put_tiny(self, list batches, cbytes text, Py_ssize_t length, uint64_t offset) except -1
    cdef int need_batch(self) except -1
    cdef int hand_over(self, list batches) except -1
    cdef int put_rows(self, list batches, cbytes text, cbytes end, Py_ssize_t slack, uint64_t offset, object source) except -1
    cdef Py_ssize_t decode_rows(self, cbytes text, cbytes end, Py_ssize_t slack, uint64_t offset) noexcept nogil
    cdef Py_ssize_t plain_rows(self, cbytes text, cbytes last_start, uint64_t offset) noexcept nogil
    cdef int put_line(self, cbytes text, Py_ssize_t length, uint64_t offset) noexcept nogil
    cdef bint is_blank_line(self, cbytes text, Py_ssize_t length) noexcept nogil
    cdef void drop(self, cbytes text, Py_ssize_t length) noexcept nogil
    cdef int complete_row(self, cbytes text, Py_ssize_t length, Row *row) noexcept nogil
    cdef Py_ssize_t feed_line(self, list batches, cbytes text, cbytes end, uint64_t offset) except -1
    cdef int take_line(self, list batches) except -1
    cdef int put_carry(self, list batches, Py_ssize_t length) except -1
    cdef bint is_skipped(self) noexcept
    cdef int take_header(self, Py_ssize_t length) except -1
