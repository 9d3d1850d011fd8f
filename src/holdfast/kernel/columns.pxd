# A column of integers that somebody else owns; columns.py finds out about it.

from libc.stdint cimport int64_t, uint8_t, uint64_t

ctypedef struct Column:
    const uint8_t *items
    Py_ssize_t rows
    Py_ssize_t item_bytes
    bint is_signed
    const uint8_t *validity  # a bit per item that is set unless it is null; NULL where none is
    int64_t validity_offset  # which bit is the first item's

cdef object read_column(str name, object source, Py_ssize_t item_bytes_max, bint is_id, Column *column)
# Text is a column of bytes. Whoever looks into it releases the view.
cdef int open_text(object text, Py_buffer *view) except -1
cdef bint is_usable_as_it_stands(const Column *column, Py_ssize_t item_bytes) noexcept nogil
cdef void widen(const Column *column, uint64_t *items) noexcept nogil

cdef inline bint is_null(const Column *column, Py_ssize_t row) noexcept nogil:
    cdef int64_t bit = column.validity_offset + row
    return column.validity != NULL and not column.validity[bit >> 3] >> (bit & 7) & 1
