cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.packing.rows cimport DecidedRows, Unreadable

cdef enum:
    # Fewer rows than this are copied and packed without releasing the GIL.
    BUFFER_ROWS_HELD = 4096

@cython.final
cdef class DecidedRowBuffer:
    cdef DecidedRows columns
    cdef readonly Py_ssize_t rows_max
    cdef readonly Py_ssize_t raw_bytes_max
    cdef readonly Py_ssize_t raw_bytes
    cdef readonly Py_ssize_t raw_dropped
    cdef void *memory
    cdef void *spare  # where rows are packed
    cdef Py_ssize_t spare_bytes
    cdef Unreadable *unreadable
    cdef Py_ssize_t unreadable_capacity
    cdef list texts
    cdef bint is_packed

    cdef int note_unreadable(self, Batch batch, Py_ssize_t start, Py_ssize_t count) except -1
    cdef int keep_text(self, Batch batch, Py_ssize_t row, Py_ssize_t number) except -1
