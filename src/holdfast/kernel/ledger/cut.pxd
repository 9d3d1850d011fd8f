cimport cython
from holdfast.kernel.ledger.change_log cimport ChangeChunk
from holdfast.kernel.ledger.fold cimport LedgerState
from holdfast.kernel.ledger.image cimport Image
from holdfast.kernel.ledger.lock cimport LedgerLock
from holdfast.kernel.ledger.records cimport Run
from libc.stdint cimport int64_t, uint32_t, uint64_t

@cython.final
cdef class Cut:
    cdef object owner  # of the state
    cdef LedgerState *state
    cdef LedgerLock lock
    cdef Image image
    cdef readonly uint64_t sequence
    cdef readonly bytes counters
    cdef uint64_t accounts_epoch
    cdef uint64_t records_epoch
    cdef uint32_t *account_pages  # the numbers of those to write
    cdef Py_ssize_t account_count
    cdef uint32_t *runs
    cdef Py_ssize_t run_count
    cdef uint64_t first_chunk
    cdef Py_ssize_t chunk_count
    cdef Py_ssize_t account_next
    cdef Py_ssize_t run_next
    cdef Py_ssize_t chunk_next
    cdef Run *spare
    cdef bint is_done

    cdef int list_pages(self) except -1
    cdef tuple next_run(self)
    cdef tuple next_chunk(self)

cdef Cut new_cut(object owner, LedgerState *state, LedgerLock lock, Image image, uint64_t accounts_epoch, bytes counters)
