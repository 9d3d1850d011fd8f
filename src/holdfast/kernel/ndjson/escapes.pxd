from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport uint8_t

cdef Py_ssize_t escape_length(cbytes at, cbytes end) noexcept nogil
cdef Py_ssize_t unescape(cbytes text, Py_ssize_t length, uint8_t *target) noexcept nogil
