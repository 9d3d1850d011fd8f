"""A point-in-time image of all accounts: unchanged and valid for as long as it is kept.

Taking one copies a table of page pointers (8 bytes for 512 accounts). The accounts are put in order of their
clients when somebody first asks for an order: for direct tables that is a scan, for wide ids a sort that takes 16 bytes an
account while it runs, unless they came in order.
"""

import cython
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_BITS,
    PAGE_MASK,
    AccountPage,
    AccountTable,
    Balance,
)
from cython.cimports.holdfast.kernel.ledger.id_sort import Numbered, sort_by_id
from cython.cimports.holdfast.kernel.platform import hf_bit_length, hf_check, hf_map_pages, hf_unmap_pages
from cython.cimports.libc.stdint import UINT64_MAX, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memset

HUGE_BYTES = cython.declare(cython.size_t, 4 << 20)
"""From this size on, memory comes in huge pages."""


@cython.cfunc
def new_image(
    owner: object,
    accounts: cython.pointer[cython.const[AccountTable]],
    numbers: uint64_t,
    is_direct: cython.bint,
    client_max: uint64_t,
    sequence: uint64_t,
    lease: ImageLease,
) -> Image:
    """Take an image of accounts whose numbers run to before ``numbers``; a ledger calls this between two batches."""
    image: Image = Image.__new__(Image)
    pages_bytes: cython.size_t = accounts.page_capacity * cython.sizeof(cython.p_void)
    image.owner = owner
    image.is_direct = is_direct
    image.client_max = client_max
    image.sequence = sequence
    image.numbers = numbers
    image.count = accounts.count
    image.locked_accounts = accounts.locked
    image.pages = cython.cast(cython.pointer[cython.pointer[AccountPage]], malloc(pages_bytes or 1))
    if image.pages == cython.NULL:
        raise MemoryError
    if pages_bytes:
        memcpy(image.pages, accounts.pages, pages_bytes)
    # Only now, so that an image that failed half-way shows nothing.
    image.lease = lease
    lease.memory_bytes = pages_bytes
    return image


@cython.cclass
class ImageLease:
    """Says whether an image is still alive, so that its ledger knows which pages are still in use."""

    def __init__(self):
        raise TypeError("an ImageLease is made by LedgerCore.image()")


@cython.cclass
class Image:
    """All accounts at one point in time, by position in the order of client ids. See :meth:`LedgerCore.image`."""

    def __init__(self):
        raise TypeError("an Image is made by LedgerCore.image()")

    def __dealloc__(self):
        free(self.pages)
        free(self.order)
        if self.lease is not None:
            self.lease.is_live = False

    def __len__(self) -> int:
        return self.count

    def find(self, client: object):
        """Look up an account: (available units, held units, locked), or None if there is none."""
        if not 0 <= client <= self.client_max:
            return None
        self.sort()
        row: AccountRow
        low: uint64_t = 0
        high: uint64_t = self.count
        wanted: uint64_t = client
        while low < high:
            middle: uint64_t = (low + high) // 2
            self.read(middle, cython.address(row))
            if row.client == wanted:
                return row.available, row.held, bool(row.is_locked)
            if row.client < wanted:
                low = middle + 1
            else:
                high = middle
        return None

    def rows(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> list:
        """List accounts by position as (client, available units, held units, locked)."""
        self.sort()
        row: AccountRow
        position: cython.Py_ssize_t
        found: list = []
        for position in range(max(start, 0), min(stop, cython.cast(cython.Py_ssize_t, self.count))):
            self.read(position, cython.address(row))
            found.append((row.client, row.available, row.held, bool(row.is_locked)))
        return found

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sort(self) -> cython.int:
        """Sort the accounts, once."""
        if self.order != cython.NULL:
            return 0
        order: cython.pointer[uint32_t] = cython.cast(cython.pointer[uint32_t], malloc(4 * self.count or 1))
        if order == cython.NULL:
            raise MemoryError
        with cython.nogil:
            self.fill_order(order)
        if not self.is_direct and _sort_by_client(self, order) < 0:
            free(order)
            raise MemoryError
        # Another thread may have sorted them meanwhile.
        if self.order == cython.NULL:
            self.order = order
            if self.lease is not None:
                self.lease.memory_bytes += 4 * self.count
        else:
            free(order)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def fill_order(self, order: cython.pointer[uint32_t]) -> cython.void:
        number: uint64_t
        filled: uint64_t = 0
        for number in range(self.numbers):
            if self.exists(number):
                order[filled] = cython.cast(uint32_t, number)
                filled += 1
        hf_check(filled == self.count)

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def exists(self, number: uint64_t) -> cython.bint:
        page: cython.pointer[AccountPage] = self.pages[number >> PAGE_BITS]
        return page != cython.NULL and page.flags[number & PAGE_MASK] & EXISTS != 0

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def client_of(self, number: uint64_t) -> uint64_t:
        if self.is_direct:
            return number
        return self.pages[number >> PAGE_BITS].clients[number & PAGE_MASK]

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def read(self, position: uint64_t, row: cython.pointer[AccountRow]) -> cython.void:
        """Give the account at a position; only after sort()."""
        hf_check(self.order != cython.NULL and position < self.count)
        number: uint64_t = self.order[position]
        page: cython.pointer[AccountPage] = self.pages[number >> PAGE_BITS]
        balance: Balance = page.balances[number & PAGE_MASK]
        row.client = self.client_of(number)
        row.available = balance.available
        row.held = balance.held
        row.is_locked = page.flags[number & PAGE_MASK] & LOCKED != 0


@cython.cfunc
@cython.exceptval(-2, check=False)
def _sort_by_client(image: Image, order: cython.pointer[uint32_t]) -> cython.int:
    """Sort account numbers by client id; -1 if there is no memory."""
    least: uint64_t
    most: uint64_t
    is_sorted: cython.bint
    with cython.nogil:
        is_sorted = _find_range(image, order, cython.address(least), cython.address(most))
    if is_sorted:
        return 0
    size: cython.size_t = cython.sizeof(Numbered) * image.count
    rows: cython.pointer[Numbered] = cython.cast(
        cython.pointer[Numbered], hf_map_pages(size, size >= HUGE_BYTES)
    )
    if rows == cython.NULL:
        return -1
    with cython.nogil:
        _sort_in_parts(image, order, rows, least, most)
        hf_unmap_pages(rows, size)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _find_range(
    image: Image,
    order: cython.pointer[uint32_t],
    least: cython.pointer[uint64_t],
    most: cython.pointer[uint64_t],
) -> cython.bint:
    """Find the smallest and the largest id; say whether the accounts came in the order of their ids."""
    place: uint64_t
    last: uint64_t = 0
    is_sorted: cython.bint = True
    least[0], most[0] = UINT64_MAX, 0
    for place in range(image.count):
        client: uint64_t = image.client_of(order[place])
        is_sorted = is_sorted and client >= last
        last = client
        least[0] = min(least[0], client)
        most[0] = max(most[0], client)
    return is_sorted


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _sort_in_parts(
    image: Image,
    order: cython.pointer[uint32_t],
    rows: cython.pointer[Numbered],
    least: uint64_t,
    most: uint64_t,
) -> cython.void:
    """Put the accounts into parts by the first bits of their ids, and sort each part."""
    nexts: uint32_t[2049]  # of each part, and one
    place: uint64_t
    part: cython.int
    bits: cython.int = max(0, min(PARTS_BITS, hf_bit_length(image.count) - 5))
    # Few accounts are one part, or two where their ids need all bits.
    shift: cython.int = min(63, max(0, hf_bit_length(most - least) - bits))
    memset(nexts, 0, cython.sizeof(nexts))
    for place in range(image.count):
        nexts[((image.client_of(order[place]) - least) >> shift) + 1] += 1
    for part in range(PARTS_MAX):
        nexts[part + 1] += nexts[part]
    for place in range(image.count):
        client: uint64_t = image.client_of(order[place])
        row: cython.pointer[Numbered] = rows + nexts[(client - least) >> shift]
        nexts[(client - least) >> shift] += 1
        row.id = client
        row.number = order[place]
    start: uint64_t = 0
    for part in range(PARTS_MAX):
        # Each part's next row is where the next part began.
        sort_by_id(rows + start, nexts[part] - start)
        start = nexts[part]
    for place in range(image.count):
        order[place] = rows[place].number
