cimport cython
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    # More than any outcome code. Only these are counted: a tally is most of the memory of a stream that waits.
    CODES_MAX = 64

@cython.final
cdef class Tally:
    cdef readonly uint64_t rows
    cdef uint64_t refused_rows
    cdef uint64_t counts[CODES_MAX]
    cdef uint8_t actions[CODES_MAX]
    cdef uint8_t stops  # not 0 if there is an action other than CONTINUE
    cdef readonly bint is_stopped
    cdef uint64_t budget_rows
    cdef uint64_t budget_ppm
    cdef uint64_t budget_from_rows
    cdef readonly uint64_t budgeted  # rows that count against the budget, with those from before
    cdef uint64_t rows_before  # of the same stream

    cdef uint64_t budget(self) noexcept nogil
    cdef bint refuse(self, uint8_t code) noexcept nogil
    cdef Tally fresh(self)
    cdef void go_on(self, uint64_t rows_before, uint64_t budgeted) noexcept
    cdef void add(self, Tally other) noexcept
    cdef void clear(self) noexcept
