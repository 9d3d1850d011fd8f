from holdfast.kernel.ledger.change_pages cimport GatheredChanges
from holdfast.kernel.ledger.fold cimport LedgerState
from holdfast.kernel.ledger.image cimport Image
from holdfast.kernel.ledger.lock cimport LedgerLock
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport uint64_t

cdef class PagedState:
    cdef LedgerState state
    cdef LedgerLock lock
    cdef uint64_t client_max
    cdef uint64_t tx_max
    cdef list leases
    cdef readonly uint64_t decided
    cdef readonly uint64_t recorded  # rows decided before the recorder failed, if it did
    cdef public object recorder
    cdef object failure
    cdef readonly object settings  # those in force
    cdef readonly bint lacks_page  # whether the last rows ended before one whose record is not in memory
    cdef bint is_restoring
    cdef GatheredChanges *gathered  # while pages are put back

    cdef int check_failure(self) except -1
    cdef int tell_recorder(self, object method, tuple arguments) except -1
    cdef Image take_image(self)
    cdef int require_pages(self) except -1
    cdef int put_page(self, int kind, uint64_t number, cbytes data, Py_ssize_t size) except -1
    cdef int sweep(self) except -1
