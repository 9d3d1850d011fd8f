cimport cython
from holdfast.kernel.arrow.structures cimport ArrowArray
from libc.stdint cimport int64_t, uint8_t

cdef enum:
    BUFFERS_MAX = 3
    # Of a schema's flags.
    NULLABLE = 2

# What an exported column keeps until it is given back.
ctypedef struct ColumnMemory:
    const void *buffers[3]
    size_t mapped_bytes[3]  # of buffers that are mapped; 0 for the C library's own

# One pass over a table: every export makes a new one.
cdef class TableSource:
    cdef tuple fields  # of the columns: name, format, and whether it may have nulls
    cdef bytes failure  # the message of the last error
    cdef int fill(self, ArrowArray *table) except -1

cdef object export_table(TableSource source)
cdef int open_table(ArrowArray *table, int64_t rows, int columns) noexcept nogil
cdef bint is_mapped(const ArrowArray *column, int number) noexcept nogil
cdef void *add_buffer(ArrowArray *column, int number, size_t size) noexcept nogil
