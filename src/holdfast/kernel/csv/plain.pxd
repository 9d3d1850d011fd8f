from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    # How far after a row's first byte may be read: the longest plain row, and eight bytes more.
    REACH = 96

# The configured widths, and what follows from them.
ctypedef struct PlainFormat:
    uint64_t client_max
    uint64_t tx_max
    uint64_t scale  # units in 1
    uint64_t whole_max  # the largest number before the point that surely fits
    uint64_t decimals_max  # how many decimals are read here
    uint64_t decimals_scale  # what eight digits after the point count,
    int decimals_shift  # once the first of them is moved up by this many bits

# The columns for decoded rows.
ctypedef struct PlainColumns:
    uint8_t *types
    uint64_t *clients
    uint64_t *txs
    int64_t *amounts
    uint64_t *offsets

cdef void set_plain_format(PlainFormat *format, uint64_t client_max, uint64_t tx_max, int decimals) noexcept nogil
cdef Py_ssize_t decode_plain_rows(
    const PlainFormat *settings, cbytes *text, cbytes last_start, const PlainColumns *columns, uint64_t offset, Py_ssize_t rows_max
) noexcept nogil
