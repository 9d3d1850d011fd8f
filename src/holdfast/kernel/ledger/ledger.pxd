cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.ledger.fold cimport Rows
from holdfast.kernel.ledger.paged_state cimport PagedState
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport uint64_t

cdef enum:
    # Up to this many rows are decided without releasing the GIL: releasing it costs as much as several rows.
    ROWS_HELD = 4096

@cython.final
cdef class LedgerCore(PagedState):
    cdef Py_ssize_t decide_rows(self, Batch batch, Py_ssize_t start, Py_ssize_t stop, Tally tally) except -1
    cdef int open_rows(self, Batch batch, Rows *rows) except -1
    cdef int record(self, Batch batch, Py_ssize_t start, Py_ssize_t stop, object stream, uint64_t position, Tally tally) except -1
    cdef int count_decision(self, str method, object subject, object note) except -1
