cimport cython
from cpython.pythread cimport PyThread_type_lock
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.ledger.fold cimport LedgerState
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport uint64_t

cdef enum:
    # Up to this many rows are decided without releasing the GIL: releasing it costs as much as several rows.
    ROWS_HELD = 4096

@cython.final
cdef class LedgerCore:
    cdef LedgerState state
    cdef PyThread_type_lock lock  # held by the thread that decides rows or reads accounts
    cdef unsigned long owner  # that thread, while it holds the lock
    cdef PyThread_type_lock turn  # held by the thread that gets the lock next
    cdef Py_ssize_t waiting  # threads that wait for either: the one that decides lets them go first
    cdef unsigned int forks  # how often the process had forked when the locks were last looked at
    cdef uint64_t client_max
    cdef uint64_t tx_max
    cdef list leases
    cdef readonly uint64_t decided
    cdef readonly uint64_t recorded  # rows decided before the recorder failed, if it did
    cdef public object recorder
    cdef object failure

    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef int wait(self) except -1
    cdef int check_failure(self) except -1
    cdef Py_ssize_t decide_rows(self, Batch batch, Py_ssize_t start, Py_ssize_t stop, Tally tally) except -1
    cdef int record(self, Batch batch, Py_ssize_t start, Py_ssize_t stop, object stream, uint64_t position) except -1
    cdef int sweep(self) except -1
