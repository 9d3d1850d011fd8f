cimport cython
from holdfast.kernel.arrow.structures cimport ArrowArray, ArrowArrayStream, ArrowSchema
from holdfast.kernel.arrow.arrays cimport TableColumn
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.csv.row cimport RowFormat
from libc.stdint cimport int64_t, uint64_t

@cython.final
cdef class TableReader:
    cdef ArrowArrayStream stream
    cdef ArrowArray table  # the part at hand
    cdef TableColumn columns[4]
    cdef int64_t places[4]  # of the four columns in the table; -1 for none
    cdef tuple names
    cdef int64_t table_columns
    cdef RowFormat format
    cdef Py_ssize_t batch_rows
    cdef Py_ssize_t row_bytes_max
    cdef int64_t done  # rows of the part at hand
    cdef readonly uint64_t rows  # of all parts before it
    cdef bint is_busy
    cdef bint is_open

    cdef int read_schema(self, ArrowSchema *schema, object mapping, bint in_units) except -1
    cdef void release_all(self) noexcept
    cdef Batch read_batch(self)
    cdef int next_part(self) except -1
    cdef int open_part(self) except -1
    cdef void drop_part(self) noexcept
    cdef int64_t fill(self, Batch batch, int *column) noexcept nogil
    cdef int keep_refused(self, Batch batch) except -1
    cdef bytes text_of(self, int64_t row)
    cdef bytes cell_of(self, int column, int64_t row)
    cdef str label(self, int column)
