cimport cython
from holdfast.kernel.ledger.ledger cimport Ledger, Ticket
from holdfast.kernel.ledger.accounts cimport AccountPage, Balance
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

# One account of an image.
ctypedef struct AccountRow:
    uint64_t client
    int64_t available
    int64_t held
    bint is_locked

@cython.final
@cython.no_gc_clear
cdef class Image:
    cdef Ledger ledger  # owns the pages
    cdef Ticket ticket
    cdef AccountPage **pages
    cdef uint64_t numbers  # account numbers run to before this
    cdef uint64_t count
    cdef readonly Py_ssize_t locked_accounts
    cdef bint is_direct
    cdef uint32_t *order  # account numbers by client, once somebody asks

    cdef int sort(self) except -1
    cdef uint64_t client_of(self, uint64_t number) noexcept nogil
    cdef bint exists(self, uint64_t number) noexcept nogil
    cdef void fill_order(self, uint32_t *order) noexcept nogil
    cdef void read(self, uint64_t position, AccountRow *row) noexcept nogil

cdef Image new_image(Ledger ledger, Ticket ticket)
