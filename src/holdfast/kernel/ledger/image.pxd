cimport cython
from holdfast.kernel.ledger.accounts cimport AccountPage, AccountTable, Balance
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    # How many parts the accounts are put into before each part is sorted.
    PARTS_BITS = 11
    PARTS_MAX = 2048

# Says whether an image is still alive; shared by the image and its ledger, which different threads may use.
@cython.final
@cython.no_gc
cdef class ImageLease:
    cdef uint64_t epoch
    cdef bint is_live
    cdef uint64_t memory_bytes  # of the image itself, beside the pages that it shows

# One account of an image.
ctypedef struct AccountRow:
    uint64_t client
    int64_t available
    int64_t held
    bint is_locked

@cython.final
@cython.no_gc_clear
cdef class Image:
    cdef object owner  # of the pages
    cdef ImageLease lease
    cdef uint64_t client_max
    cdef AccountPage **pages
    cdef uint64_t numbers  # account numbers run to before this
    cdef uint64_t count
    cdef readonly Py_ssize_t locked_accounts
    cdef readonly uint64_t sequence  # how many rows were decided when it was taken
    cdef bint is_direct
    cdef uint32_t *order  # account numbers by client, once somebody asks

    cdef int sort(self) except -1
    cdef uint64_t client_of(self, uint64_t number) noexcept nogil
    cdef bint exists(self, uint64_t number) noexcept nogil
    cdef void fill_order(self, uint32_t *order) noexcept nogil
    cdef void read(self, uint64_t position, AccountRow *row) noexcept nogil

cdef Image new_image(object owner, const AccountTable *accounts, uint64_t numbers, bint is_direct, uint64_t client_max, uint64_t sequence, ImageLease lease)
