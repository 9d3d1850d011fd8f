from holdfast.kernel.csv.plain cimport PlainColumns, PlainFormat
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport uint64_t

cdef enum:
    # How far after an object's first byte may be read: the longest plain object, and sixteen bytes more.
    REACH = 144
    # No plain object with its line end is shorter, so a line end is looked for from here on.
    SHORTEST = 32

cdef Py_ssize_t decode_plain_objects(
    const PlainFormat *settings, cbytes *text, cbytes last_start, const PlainColumns *columns, uint64_t offset, Py_ssize_t rows_max
) noexcept nogil
