from libc.stdint cimport uint32_t, uint64_t

# Something that is to be in the order of ids.
ctypedef struct Numbered:
    uint64_t id
    uint32_t number
    uint32_t part

cdef void sort_by_id(Numbered *rows, uint64_t count) noexcept nogil
