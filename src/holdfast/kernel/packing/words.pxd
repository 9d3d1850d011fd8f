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
    # What unpacking may read past the end of a word, and packing write.
    SLACK_BYTES = 8

cdef inline Py_ssize_t packed_bytes_max(Py_ssize_t count) noexcept nogil:
    # The room that pack_words() needs, slack included.
    return 8 * count + ((count + BLOCK_WORDS - 1) // BLOCK_WORDS) * BLOCK_HEADER_BYTES + SLACK_BYTES

cdef Py_ssize_t pack_words(const uint64_t *values, Py_ssize_t count, uint8_t *target) noexcept nogil
cdef Py_ssize_t unpack_words(cbytes source, Py_ssize_t size, uint64_t *values, Py_ssize_t count) noexcept nogil
