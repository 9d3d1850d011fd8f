cimport cython
from holdfast.kernel.fold cimport LedgerState
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

    cdef int sweep(self) except -1
