# The structures of the Arrow C data interface and of its streams, as the specification lays them down.

from libc.stdint cimport int64_t

cdef extern from * nogil:
    """
    #include <stdint.h>
    #include <string.h>

    /* Exported structures are given back by whatever thread had them last. */
    #define hf_count(counter, change) __atomic_add_fetch(counter, change, __ATOMIC_RELAXED)

    static inline void hf_put_decimal(void *target, int64_t units) {
        __int128_t wide = units;
        memcpy(target, &wide, sizeof wide);
    }
    """
    void hf_put_decimal(void *target, int64_t units)
    int64_t hf_count(int64_t *counter, int64_t change)

cdef struct ArrowSchema:
    const char *format
    const char *name
    const char *metadata
    int64_t flags
    int64_t n_children
    ArrowSchema **children
    ArrowSchema *dictionary
    void (*release)(ArrowSchema *) noexcept nogil
    void *private_data

cdef struct ArrowArray:
    int64_t length
    int64_t null_count  # -1 where nobody has counted
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers  # the first has a bit per item that is set unless it is null, or is NULL; the others are by the format
    ArrowArray **children
    ArrowArray *dictionary
    void (*release)(ArrowArray *) noexcept nogil
    void *private_data

cdef struct ArrowArrayStream:
    int (*get_schema)(ArrowArrayStream *, ArrowSchema *) noexcept nogil
    int (*get_next)(ArrowArrayStream *, ArrowArray *) noexcept nogil
    const char *(*get_last_error)(ArrowArrayStream *) noexcept nogil
    void (*release)(ArrowArrayStream *) noexcept nogil
    void *private_data
