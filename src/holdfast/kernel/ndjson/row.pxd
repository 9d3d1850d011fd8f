from holdfast.kernel.csv.row cimport Row, RowFormat
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport uint8_t

cdef int decode_object(
    const RowFormat *format, cbytes text, Py_ssize_t length, uint8_t *scratch, Row *row
) noexcept nogil
