# Columns of 64-bit integers in few bytes; words.py says how.

from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport uint8_t, uint64_t

cdef enum:
    # A block has this many values, the last one fewer.
    BLOCK_WORDS = 1024
    # In a block's first byte: its words are differences from the value before.
    IS_DELTA = 0x80
    WIDTH_MASK = 0x7F
    BLOCK_HEADER_BYTES = 9
    # So many differences tell whether those of a block are worth a look.
    SAMPLE_WORDS = 32
    # What packing may write past the end of a column: the rest of a group of eight words, and of eight bytes.
    SLACK_BYTES = 72

# A packed column that is unpacked little by little.
ctypedef struct PackedColumn:
    cbytes source  # the next block
    cbytes end
    Py_ssize_t left  # values in the blocks from there on
    uint64_t before  # the last value of the block before
    Py_ssize_t held_start  # values of that block that were not asked for yet
    Py_ssize_t held_stop
    uint64_t held[1024]

cdef inline Py_ssize_t packed_bytes_max(Py_ssize_t count) noexcept nogil:
    # The room that pack_words() and pack_bytes() need, slack included.
    return 8 * count + ((count + BLOCK_WORDS - 1) // BLOCK_WORDS) * BLOCK_HEADER_BYTES + SLACK_BYTES

cdef Py_ssize_t pack_words(const uint64_t *values, Py_ssize_t count, uint8_t *target) noexcept nogil
cdef Py_ssize_t pack_bytes(cbytes values, Py_ssize_t count, uint8_t *target) noexcept nogil

cdef inline void open_column(PackedColumn *column, cbytes source, Py_ssize_t size, Py_ssize_t count) noexcept nogil:
    # A column of so many values in so many bytes, neither of which is believed.
    column.source = source
    column.end = source + size
    column.left = count
    column.before = 0
    column.held_start = column.held_stop = 0

cdef inline bint is_used_up(const PackedColumn *column) noexcept nogil:
    return column.left == 0 and column.held_start == column.held_stop and column.source == column.end

cdef Py_ssize_t unpack_words(cbytes source, Py_ssize_t size, uint64_t *values, Py_ssize_t count) noexcept nogil
cdef bint take_words(PackedColumn *column, uint64_t *values, Py_ssize_t count) noexcept nogil
cdef bint take_bytes(PackedColumn *column, uint8_t *values, Py_ssize_t count) noexcept nogil
