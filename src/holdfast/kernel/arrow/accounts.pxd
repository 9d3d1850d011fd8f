cimport cython
from holdfast.kernel.ledger.accounts cimport AccountPage
from holdfast.kernel.ledger.id_sort cimport Numbered
from holdfast.kernel.ledger.image cimport Image
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    # How many accounts a part of the table has, or a few more.
    TABLE_ROWS = 262144
    # So many rows ahead, memory is asked for.
    ROWS_AHEAD = 24

# Where an account is.
ctypedef struct AccountPlace:
    AccountPage *page
    uint32_t slot
    uint64_t number

# Where its row goes.
ctypedef struct AccountColumns:
    uint64_t *clients
    uint8_t *available
    uint8_t *held
    uint8_t *total
    uint8_t *locked
    bint is_zeroed  # whether the amounts are 0 before anything is written

@cython.final
cdef class OrderedAccounts:
    cdef tuple images
    cdef AccountPage ***pages  # of each image
    cdef uint32_t *order  # of the only image
    cdef Numbered *rows  # of several images, together; NULL for one
    cdef size_t rows_bytes
    cdef readonly uint64_t count
    cdef readonly object overlap
    cdef bint is_direct

    cdef int merge(self) except -1
    cdef AccountPlace place(self, uint64_t position) noexcept nogil
