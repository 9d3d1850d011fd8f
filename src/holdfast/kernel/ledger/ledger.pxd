cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.ledger.fold cimport LedgerState, Rows
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport uint64_t

cdef class Ticket:
    cdef uint64_t epoch
    cdef bint is_live

@cython.final
cdef class Ledger:
    cdef LedgerState state
    cdef bint is_busy
    cdef uint64_t client_max
    cdef uint64_t tx_max
    cdef list tickets
    cdef readonly uint64_t decided

    cdef int prepare(self, Batch batch, Rows *rows) except -1
    cdef Py_ssize_t apply_small(self, Batch batch, Py_ssize_t start, Tally tally) except -1
    cdef int check_idle(self) except -1
    cdef int fail_at(self, Py_ssize_t row) except -1
    cdef int sweep(self) except -1
