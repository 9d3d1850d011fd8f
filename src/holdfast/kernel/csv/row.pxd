from holdfast.kernel.codes cimport COMMA, POINT, RETURN, TAB
from holdfast.kernel.csv.dialect_format cimport DialectFormat
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    # Where the needed columns' fields are kept, and what happens to excess decimals.
    TYPE = 0
    CLIENT = 1
    TX = 2
    AMOUNT = 3
    REFUSE = 0
    HALF_EVEN = 1

# What is needed to decode a row of text: the configured widths, the signs, and which column is where.
ctypedef struct RowFormat:
    uint64_t client_max
    uint64_t tx_max
    int decimals
    int excess_decimals  # REFUSE, HALF_EVEN, or else truncate
    uint8_t delimiter
    uint8_t decimal_sign
    uint8_t tab  # what is a blank beside a space: a tab, or nothing else where tabs are delimiters
    const DialectFormat *dialect  # NULL if there is none
    Py_ssize_t columns
    const uint8_t *roles  # for every column what it is, or more than AMOUNT for one that is ignored

ctypedef struct Row:
    int type
    uint64_t client
    uint64_t tx
    int64_t amount

# The content of a field: without the blanks around it and without its quotes.
ctypedef struct Field:
    cbytes start
    Py_ssize_t length
    bint is_whole  # it has quotes, or for another reason no delimiter that is meant to be in it can have ended it

cdef inline void set_plain_signs(RowFormat *format) noexcept nogil:
    format.delimiter = COMMA
    format.decimal_sign = POINT
    format.tab = TAB
    format.dialect = NULL

# What each field of a row is; tables have fields as well.
cdef int read_type(Field field) noexcept nogil
cdef bint read_id(Field field, uint64_t largest, uint64_t *value) noexcept nogil
cdef int read_amount(const RowFormat *format, Field field, int64_t *amount) noexcept nogil
cdef void trim(Field *field) noexcept nogil

cdef int decode_row(const RowFormat *format, cbytes text, Py_ssize_t length, Row *row) noexcept nogil
cdef int decode_fields(const RowFormat *format, Field *fields, Row *row) noexcept nogil
cdef bint is_text(cbytes text, Py_ssize_t length) noexcept nogil
cdef bint is_blank(cbytes text, Py_ssize_t length) noexcept nogil

# A line's length without the CR of its CR LF.
cdef inline Py_ssize_t row_length(cbytes text, cbytes line_end) noexcept nogil:
    cdef Py_ssize_t length = line_end - text
    return length - 1 if length and text[length - 1] == RETURN else length
