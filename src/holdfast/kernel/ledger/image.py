"""A point-in-time image of all accounts: unchanged and valid for as long as it is kept.

Taking one copies a table of page pointers (8 bytes for 512 accounts). The accounts are put in order of their
clients when somebody first asks for an order: for direct tables that is a scan, for wide ids a radix sort of
4-byte numbers by 8-byte ids, 12 bytes an account while it runs.
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
from cython.cimports.holdfast.kernel.platform import hf_check
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memset


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
    """Sort account numbers by client id, least significant byte first; -1 if there is no memory."""
    spare: cython.pointer[uint32_t] = cython.cast(cython.pointer[uint32_t], malloc(4 * image.count or 1))
    if spare == cython.NULL:
        return -1
    with cython.nogil:
        _radix_sort(image, order, spare)
    free(spare)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _radix_sort(
    image: Image, order: cython.pointer[uint32_t], spare: cython.pointer[uint32_t]
) -> cython.void:
    starts: uint64_t[256]
    source: cython.pointer[uint32_t] = order
    target: cython.pointer[uint32_t] = spare
    position: uint64_t
    shift: cython.int
    for shift in range(0, 64, 8):
        if not _count_bytes(image, source, shift, starts):
            continue
        for position in range(image.count):
            byte: uint8_t = cython.cast(uint8_t, image.client_of(source[position]) >> shift)
            target[starts[byte]] = source[position]
            starts[byte] += 1
        source, target = target, source
    if source != order:
        memcpy(order, source, 4 * image.count)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count_bytes(
    image: Image, numbers: cython.pointer[uint32_t], shift: cython.int, starts: cython.pointer[uint64_t]
) -> cython.bint:
    """Find where the accounts of each byte begin; False if all have the same byte, so that there is nothing to sort."""
    position: uint64_t
    total: uint64_t = 0
    byte: cython.int
    memset(starts, 0, 256 * cython.sizeof(uint64_t))
    for position in range(image.count):
        starts[cython.cast(uint8_t, image.client_of(numbers[position]) >> shift)] += 1
    for byte in range(256):
        if starts[byte] == image.count:
            return False
        count: uint64_t = starts[byte]
        starts[byte] = total
        total += count
    return True
