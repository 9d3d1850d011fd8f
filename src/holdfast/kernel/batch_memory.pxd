cdef enum:
    # How many batches' memory is kept when they are no longer needed, some four megabytes, and which: those of the default size,
    # at 34 bytes a row.
    SPARES_MAX = 16
    SPARE_BYTES = 8192 * 34

cdef void give_back(void *memory, Py_ssize_t size) noexcept
cdef void *take_memory(Py_ssize_t size) noexcept
