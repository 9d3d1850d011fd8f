# State pages as bytes, and back; pages.py says how they look.

from holdfast.kernel.ledger.accounts cimport EXISTS, PAGE_ACCOUNTS, PAGE_BITS, AccountPage
from holdfast.kernel.ledger.fold cimport LedgerState
from holdfast.kernel.ledger.records cimport ACCOUNT_MASK, ACCOUNTS_LIMIT, BURNED, Run
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    PAGE_OF_ACCOUNTS = 1
    PAGE_OF_RUN = 2
    PAGE_OF_CHANGES = 3
    # A page begins with its count.
    COUNT_BYTES = 4

cdef bytes pack_accounts(const AccountPage *page)
cdef bytes pack_run(const Run *run)
cdef object load_accounts(LedgerState *state, uint64_t number, cbytes data, Py_ssize_t size)
cdef object load_run(LedgerState *state, Run *run, cbytes data, Py_ssize_t size)
cdef object number_clients(LedgerState *state, uint64_t numbers, bint is_direct)

cdef inline uint32_t turn(uint32_t owner) noexcept nogil:
    # The flags are at the upper end of an owner's word; at the lower end they make small numbers of most owners.
    return owner << 3 | owner >> 29

cdef inline uint32_t turn_back(uint32_t owner) noexcept nogil:
    return owner >> 3 | owner << 29

cdef inline bint is_owner(const LedgerState *state, uint32_t owner, int64_t amount) noexcept nogil:
    # Whether an owner's word can be that of a record: of an account that exists, or of a burned id.
    cdef uint64_t number = owner & ACCOUNT_MASK
    cdef AccountPage *page
    if owner == BURNED:
        return True
    if number == 0 or number > ACCOUNTS_LIMIT or amount <= 0:
        return False
    if number > state.accounts.page_capacity << PAGE_BITS:
        return False
    page = state.accounts.pages[(number - 1) >> PAGE_BITS]
    return page != NULL and page.flags[(number - 1) & (PAGE_ACCOUNTS - 1)] & EXISTS != 0
