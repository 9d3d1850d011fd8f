cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    # The memory of a row in a batch decoded from text: four columns of eight bytes, two of one.
    ROW_BYTES = 34
    # For fewer rows than this, a digest is computed without releasing the GIL.
    DIGEST_ROWS_HELD = 4096
    # So many rows are checked together.
    CHECKED_ROWS = 128

@cython.final
cdef class Batch:
    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t capacity
    cdef uint8_t *type_column
    cdef uint64_t *client_column
    cdef uint64_t *tx_column
    cdef int64_t *amount_column
    cdef uint8_t *outcome_column
    cdef uint8_t *first_outcomes  # of a batch from columns with rows that were refused from the beginning; else NULL
    cdef uint64_t *offset_column  # NULL for a batch that was not decoded from text
    cdef uint64_t *line_column  # NULL while the rows are on consecutive lines
    cdef uint64_t first_line
    cdef readonly uint64_t client_max  # no undecided row names a client above this,
    cdef readonly uint64_t tx_max  # nor a tx above this: what the batch was checked for
    cdef bint was_table  # read from a table, in which rows that could not be read have a hash for an amount, as in text
    cdef dict texts  # of these rows
    cdef bint is_unchecked  # not checked for anything yet, types and amounts included
    cdef readonly Py_ssize_t row_bytes_max
    cdef readonly bytes roles  # what each column of the header is, of a batch decoded from text; empty if it has none
    cdef readonly object dialect  # that of its text, None for a plain one
    cdef void *memory
    cdef Py_ssize_t memory_bytes  # 0 for memory of another kind
    cdef list sources
    cdef list owners

    cdef Py_ssize_t check_range(self, Py_ssize_t start, Py_ssize_t stop) except -1
    cdef int refuse_decided(self, Py_ssize_t row) except -1
    cdef int require_text(self, Py_ssize_t row) except -1
    cdef int set_line(self, uint64_t line) noexcept nogil
    cdef uint64_t add_digest(self, Py_ssize_t start, Py_ssize_t stop, uint64_t position) noexcept nogil
    cdef int check(self, uint64_t client_max, uint64_t tx_max) except -1
    cdef bint all_fit(self, Py_ssize_t start, Py_ssize_t stop, uint64_t client_max, uint64_t tx_max) noexcept
    cdef void check_rows(self, Py_ssize_t start, Py_ssize_t stop, uint64_t client_max, uint64_t tx_max) noexcept

cdef Batch new_batch(Py_ssize_t capacity)
cdef void clear_rows(Batch batch) noexcept
