from holdfast.kernel.arrow.structures cimport ArrowArray
from libc.stdint cimport int32_t, int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

    /* From decimals of one scale to units: multiply or divide by a power of ten. */
    typedef struct {
        int shift;  /* how many digits to append, or to cut off if it is negative */
        unsigned __int128 power;
    } hf_scale;

    static void hf_set_scale(hf_scale *scale, int64_t shift) {
        /* Past 38 digits nothing but 0 fits, or nothing but 0 is left. */
        scale->shift = (int)(shift > 39 ? 39 : shift < -39 ? -39 : shift);
        scale->power = 1;
        for (int digit = 0; digit < (scale->shift < 0 ? -scale->shift : scale->shift) && digit < 38; digit++) scale->power *= 10;
    }

    /* Give 0, or 1 for digits that are not kept, or 2 for what is out of range. Excess: 0 refuses, 1 rounds half to even, 2 cuts. */
    static inline int hf_units(const uint8_t *item, int bytes, const hf_scale *scale, int excess, int64_t *units) {
        __int128_t value;
        if (bytes == 16) memcpy(&value, item, 16);
        else if (bytes == 8) { int64_t half; memcpy(&half, item, 8); value = half; }
        else { int32_t quarter; memcpy(&quarter, item, 4); value = quarter; }
        unsigned __int128 size = value < 0 ? -(unsigned __int128)value : (unsigned __int128)value;
        if (scale->shift > 0 && size) {
            if (scale->shift > 38 || size > INT64_MAX || scale->power > INT64_MAX) return 2;
            size *= scale->power;
        } else if (scale->shift < 0) {
            unsigned __int128 rest = size, whole = 0;
            if (scale->shift >= -38) {
                if (size <= UINT64_MAX && scale->power <= UINT64_MAX) {
                    whole = (uint64_t)size / (uint64_t)scale->power;
                    rest = (uint64_t)size % (uint64_t)scale->power;
                } else {
                    whole = size / scale->power;
                    rest = size % scale->power;
                }
            }
            if (rest) {
                if (excess == 0) return 1;
                /* What is cut at 39 digits is less than half. */
                if (excess == 1 && scale->shift >= -38) {
                    unsigned __int128 other = scale->power - rest;
                    whole += rest > other || (rest == other && (whole & 1));
                }
            }
            size = whole;
        }
        if (size > INT64_MAX) return 2;
        *units = value < 0 ? -(int64_t)size : (int64_t)size;
        return 0;
    }
    """
    ctypedef struct hf_scale:
        int shift
    void hf_set_scale(hf_scale *scale, int64_t shift)
    int hf_units(const uint8_t *item, int bytes, const hf_scale *scale, int excess, int64_t *units)

cdef enum:
    # As types.py numbers them; a column that is not there is 0.
    NO_COLUMN = 0
    NULLS = 1
    INTEGERS = 2
    TEXT = 3
    VIEWS = 4
    DECIMALS = 5

# The items of an array, all of whose numbers were checked.
ctypedef struct Items:
    int64_t count
    const uint8_t *start  # of the first item; of text that of the first offset
    const uint8_t *text
    int64_t text_bytes
    const void **pieces  # of views: where the longer ones are
    const int64_t *piece_bytes
    int64_t piece_count
    const uint8_t *validity
    int64_t validity_offset

# A column of a table, or of one part of it.
ctypedef struct TableColumn:
    int kind
    int item_bytes
    bint is_signed
    hf_scale scale
    int index_bytes  # of a dictionary; or 0
    bint index_is_signed
    Items items  # of the column, or of its dictionary
    Items indices
    const uint8_t *rows_validity  # of the table itself
    int64_t rows_validity_offset
    # A dictionary whose items were read: what each is, and its code, which is 0 if it is valid.
    uint64_t *known
    uint8_t *known_codes

cdef const char *open_column(TableColumn *column, ArrowArray *array, int64_t first, int64_t rows) noexcept nogil

cdef inline int64_t offset_at(const uint8_t *offsets, int item_bytes, int64_t number) noexcept nogil:
    # One of the offsets of texts, which are of 32 or 64 bits.
    cdef int32_t half
    cdef int64_t whole
    if item_bytes == 4:
        memcpy(&half, offsets + 4 * number, 4)
        return half
    memcpy(&whole, offsets + 8 * number, 8)
    return whole
