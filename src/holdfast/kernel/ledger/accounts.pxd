# Accounts by number, in pages that are copied when they are written while an image still shows them; accounts.py has the rest.

from holdfast.kernel.platform cimport hf_check, hf_likely
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    PAGE_BITS = 9
    PAGE_ACCOUNTS = 512
    PAGE_MASK = 511
    # The client ids of this many pages share a mapping.
    CLIENT_CHUNK_PAGES = 128
    # Flags of an account.
    EXISTS = 1
    LOCKED = 2

ctypedef struct Balance:
    int64_t available
    int64_t held

ctypedef struct AccountPage:
    uint64_t epoch  # the epoch it was made in; if that is older than the table's, the page belongs to images
    uint64_t *clients  # the owners of these accounts, unless numbers are ids; all copies of a page share it
    Balance balances[512]
    uint8_t flags[512]

# A page that was replaced: images taken in epochs from its own to before `until` show it.
ctypedef struct RetiredPage:
    AccountPage *page
    uint64_t until

ctypedef struct AccountTable:
    AccountPage **pages
    uint64_t page_capacity
    uint64_t page_count  # in use: shown by the table, or by images alone
    bint names_clients
    uint64_t **client_chunks
    uint64_t client_chunk_count
    uint64_t epoch  # how many images have been taken
    uint64_t count
    uint64_t locked
    RetiredPage *retired
    uint64_t retired_count
    uint64_t retired_capacity

cdef int open_accounts(AccountTable *table, uint64_t accounts, bint names_clients) noexcept nogil
cdef void close_accounts(AccountTable *table) noexcept nogil
cdef int reserve_accounts(AccountTable *table, uint64_t accounts) noexcept nogil
cdef AccountPage *replace_page(AccountTable *table, uint64_t page_number) noexcept nogil
cdef uint64_t accounts_bytes(const AccountTable *table) noexcept nogil
cdef void free_retired(AccountTable *table, const uint64_t *epochs, uint64_t epoch_count) noexcept nogil

cdef inline uint64_t client_of(const AccountTable *table, uint64_t account) noexcept nogil:
    # The client of an account that exists.
    return table.pages[account >> PAGE_BITS].clients[account & PAGE_MASK]

cdef inline AccountPage *writable_page(AccountTable *table, uint64_t account) noexcept nogil:
    # The page of an account, to write to; NULL if there is no memory for it.
    hf_check(account >> PAGE_BITS < table.page_capacity)
    cdef AccountPage *page = table.pages[account >> PAGE_BITS]
    if hf_likely(page != NULL and page.epoch == table.epoch):
        return page
    return replace_page(table, account >> PAGE_BITS)
