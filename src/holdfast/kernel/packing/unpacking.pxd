cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.packing.rows_reader cimport RowsReader
from libc.stdint cimport uint8_t

cdef enum:
    # How many rows a piece has at most.
    PIECE_ROWS = 8192

@cython.final
cdef class UnpackedRows:
    cdef readonly Batch batch
    cdef readonly bytes outcomes

@cython.final
cdef class RowUnpacker:
    cdef readonly Batch batch
    cdef readonly Py_ssize_t rows
    cdef readonly Py_ssize_t first_row
    cdef RowsReader *reader
    cdef uint8_t outcomes[PIECE_ROWS]
    cdef Py_buffer view
    cdef bint is_open
    cdef bint is_busy

    cdef int refuse_busy(self) except -1
    cdef void let_go(self) noexcept
    cdef void close_view(self) noexcept
