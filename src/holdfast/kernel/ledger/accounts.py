"""Accounts by number, with point-in-time images that cost a copy of a page now and then.

A page has 512 accounts: 16 bytes of balances and a byte of flags each. If accounts are numbered in order of arrival, it also
points to the ids of their clients, 8 bytes each, which never change and are not copied. A table of pointers leads to the pages.
Taking an image copies that table (8 bytes for 512 accounts) and raises the epoch. A page from before the last image is never
written again: the first write to it puts a copy in its place, and the original is kept while an image that shows it is alive.
So an image costs the writer at most one copy of 9 KB per page that it touches, and never a wait.
"""

import cython
from cython.cimports.holdfast.kernel.platform import hf_map_pages, hf_unmap_pages
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc, realloc
from cython.cimports.libc.string import memcpy, memset

MALLOC_BYTES = cython.declare(uint64_t, 16)
"""The C library's own memory for each page."""
CLIENT_CHUNK_BYTES = cython.declare(uint64_t, 8 * PAGE_ACCOUNTS * CLIENT_CHUNK_PAGES)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_accounts(
    table: cython.pointer[AccountTable], accounts: uint64_t, names_clients: cython.bint
) -> cython.int:
    """Make an empty table with room for this many accounts; -1 if there is no memory."""
    memset(table, 0, cython.sizeof(AccountTable))
    table.names_clients = names_clients
    return reserve_accounts(table, accounts)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_accounts(table: cython.pointer[AccountTable]) -> cython.void:
    """Free everything. No image of the table may be alive."""
    number: uint64_t
    for number in range(table.page_capacity):
        free(table.pages[number])
    for number in range(table.retired_count):
        free(table.retired[number].page)
    for number in range(table.client_chunk_count):
        hf_unmap_pages(table.client_chunks[number], CLIENT_CHUNK_BYTES)
    free(table.client_chunks)
    free(table.pages)
    free(table.retired)
    memset(table, 0, cython.sizeof(AccountTable))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def accounts_bytes(table: cython.pointer[cython.const[AccountTable]]) -> uint64_t:
    """Say how much memory the accounts take, including copies that only images show."""
    clients_bytes: uint64_t = 8 * table.count if table.names_clients else 0
    return (
        table.page_count * (cython.sizeof(AccountPage) + MALLOC_BYTES)
        + table.page_capacity * cython.sizeof(cython.p_void)
        + table.retired_capacity * cython.sizeof(RetiredPage)
        + clients_bytes
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def reserve_accounts(table: cython.pointer[AccountTable], accounts: uint64_t) -> cython.int:
    """Make sure that there are page pointers for this many accounts; -1 if there is no memory."""
    needed: uint64_t = (accounts + PAGE_MASK) >> PAGE_BITS
    if needed <= table.page_capacity:
        return 0
    capacity: uint64_t = max(needed, table.page_capacity * 2)
    pages: cython.p_void = realloc(table.pages, capacity * cython.sizeof(cython.p_void))
    if pages == cython.NULL:
        return -1
    table.pages = cython.cast(cython.pointer[cython.pointer[AccountPage]], pages)
    memset(
        table.pages + table.page_capacity, 0, (capacity - table.page_capacity) * cython.sizeof(cython.p_void)
    )
    table.page_capacity = capacity
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def replace_page(table: cython.pointer[AccountTable], page_number: uint64_t) -> cython.pointer[AccountPage]:
    """Put a new page into an empty place, or a copy in place of a page that images show; NULL without memory."""
    shown: cython.pointer[AccountPage] = table.pages[page_number]
    page: cython.pointer[AccountPage]
    if shown == cython.NULL:
        page = _new_page(table, page_number)
    else:
        if table.retired_count == table.retired_capacity and _extend_retired(table) < 0:
            return cython.NULL
        page = cython.cast(cython.pointer[AccountPage], malloc(cython.sizeof(AccountPage)))
    if page == cython.NULL:
        return cython.NULL
    table.page_count += 1
    if shown != cython.NULL:
        memcpy(page, shown, cython.sizeof(AccountPage))
        table.retired[table.retired_count].page = shown
        table.retired[table.retired_count].until = table.epoch
        table.retired_count += 1
    page.epoch = table.epoch
    table.pages[page_number] = page
    return page


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _new_page(table: cython.pointer[AccountTable], page_number: uint64_t) -> cython.pointer[AccountPage]:
    chunk: uint64_t = page_number // CLIENT_CHUNK_PAGES
    if table.names_clients:
        while table.client_chunk_count <= chunk:
            if not _add_client_chunk(table):
                return cython.NULL
    page: cython.pointer[AccountPage] = cython.cast(
        cython.pointer[AccountPage], calloc(1, cython.sizeof(AccountPage))
    )
    if page != cython.NULL and table.names_clients:
        place: uint64_t = page_number % CLIENT_CHUNK_PAGES
        page.clients = table.client_chunks[chunk] + place * PAGE_ACCOUNTS
    return page


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _add_client_chunk(table: cython.pointer[AccountTable]) -> cython.bint:
    """Map memory for more ids, apart from the pages, which come and go and would leave gaps between the ids."""
    chunks: cython.p_void = realloc(
        table.client_chunks, (table.client_chunk_count + 1) * cython.sizeof(cython.p_void)
    )
    if chunks == cython.NULL:
        return False
    table.client_chunks = cython.cast(cython.pointer[cython.pointer[uint64_t]], chunks)
    chunk: cython.p_void = hf_map_pages(CLIENT_CHUNK_BYTES, False)
    if chunk == cython.NULL:
        return False
    table.client_chunks[table.client_chunk_count] = cython.cast(cython.pointer[uint64_t], chunk)
    table.client_chunk_count += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _extend_retired(table: cython.pointer[AccountTable]) -> cython.int:
    capacity: uint64_t = max(cython.cast(uint64_t, 64), table.retired_capacity * 2)
    retired: cython.p_void = realloc(table.retired, capacity * cython.sizeof(RetiredPage))
    if retired == cython.NULL:
        return -1
    table.retired = cython.cast(cython.pointer[RetiredPage], retired)
    table.retired_capacity = capacity
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def free_retired(
    table: cython.pointer[AccountTable], epochs: cython.pointer[cython.const[uint64_t]], epoch_count: uint64_t
) -> cython.void:
    """Free the replaced pages that no live image shows, given the epochs of the live images."""
    kept: uint64_t = 0
    number: uint64_t
    for number in range(table.retired_count):
        retired: RetiredPage = table.retired[number]
        if _is_shown(retired, epochs, epoch_count):
            table.retired[kept] = retired
            kept += 1
        else:
            free(retired.page)
            table.page_count -= 1
    table.retired_count = kept


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _is_shown(
    retired: RetiredPage, epochs: cython.pointer[cython.const[uint64_t]], epoch_count: uint64_t
) -> cython.bint:
    number: uint64_t
    for number in range(epoch_count):
        if retired.page.epoch <= epochs[number] < retired.until:
            return True
    return False
