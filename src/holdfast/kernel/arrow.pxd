# The structures of the Arrow C data interface, as its specification lays them down; columns.py reads them.

from libc.stdint cimport int64_t

cdef struct ArrowSchema:
    const char *format
    const char *name
    const char *metadata
    int64_t flags
    int64_t n_children
    ArrowSchema **children
    ArrowSchema *dictionary
    void (*release)(ArrowSchema *) noexcept
    void *private_data

cdef struct ArrowArray:
    int64_t length
    int64_t null_count  # -1 where nobody has counted
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers  # of integers two: a bit per item that is set unless it is null, or NULL; the items
    ArrowArray **children
    ArrowArray *dictionary
    void (*release)(ArrowArray *) noexcept
    void *private_data
