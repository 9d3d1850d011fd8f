# The packed form of decided rows; rows.py says how it looks.

from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    ROWS_HEADER_BYTES = 16
    UNREADABLE_BYTES = 32
    # In the flags of a row that could not be read: it was text.
    WAS_TEXT = 1

# A row that could not be read, and where it is.
ctypedef struct Unreadable:
    uint32_t row
    bint was_text

# Columns of decided rows that nobody else changes.
ctypedef struct DecidedRows:
    uint8_t *types
    uint64_t *clients
    uint64_t *txs
    int64_t *amounts
    uint8_t *outcomes
    Py_ssize_t count
    const Unreadable *unreadable
    Py_ssize_t unreadable_count

cdef Py_ssize_t rows_bytes_max(Py_ssize_t count, Py_ssize_t unreadable) noexcept nogil
cdef Py_ssize_t pack_rows(const DecidedRows *rows, uint64_t *spare, uint8_t *target) noexcept nogil

cdef inline bint is_sparse(Py_ssize_t readable, Py_ssize_t refused) noexcept nogil:
    # Whether the refused rows are listed by number, because a bit for each row would take more.
    return 4 * refused < (readable + 7) >> 3
