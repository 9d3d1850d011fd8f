from holdfast.kernel.arrow.arrays cimport TableColumn
from holdfast.kernel.csv.row cimport Field, RowFormat
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    # Words of types, four or eight letters at a time, the first one lowest.
    DEPO = 0x6F706564
    OSIT = 0x7469736F
    DISP = 0x70736964
    PUTE = 0x65747570
    RESO = 0x6F736572
    OLVE = 0x65766C6F
    LOWER_4 = 0x20202020
    VIEW_BYTES = 16
    VIEW_INLINE_MAX = 12
    # A dictionary up to this size is read as a whole, however few rows use it.
    SMALL_DICTIONARY = 4096

cdef int64_t read_types(TableColumn *column, int64_t first, Py_ssize_t rows, uint8_t *types, uint8_t *outcomes) noexcept nogil
cdef int64_t read_ids(TableColumn *column, int64_t first, Py_ssize_t rows, uint64_t largest, uint8_t code, uint64_t *ids, uint8_t *outcomes) noexcept nogil
cdef int64_t read_amounts(TableColumn *column, int64_t first, Py_ssize_t rows, const RowFormat *format, const uint8_t *types, int64_t *amounts, uint8_t *outcomes) noexcept nogil
cdef int know_dictionary(TableColumn *column, int role, const RowFormat *format, int64_t rows) noexcept nogil
cdef void forget_dictionary(TableColumn *column) noexcept nogil
cdef int64_t item_of(const TableColumn *column, int64_t row) noexcept nogil
cdef bint find_text(const TableColumn *column, int64_t item, Field *field) noexcept nogil
