from holdfast.kernel.ledger.index cimport Index
from libc.stdint cimport uint8_t, uint64_t

cdef bint expect_keys(Index *index, uint64_t keys) noexcept nogil
cdef uint64_t arena_count(const Index *index) noexcept nogil
cdef uint8_t **list_arenas(const Index *index) noexcept nogil
cdef void touch_arena(uint8_t *arena) noexcept nogil
