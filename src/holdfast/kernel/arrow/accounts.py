"""Accounts as an Arrow table: client, available, held, total, locked; sorted by client.

The accounts of an image are wherever they came to be, so a row is a random place in memory. They are gathered in the order of the
ids, and the memory of later rows is asked for while earlier ones are written.
"""

import cython
from cython.cimports.holdfast.kernel.arrow.export import TableSource, add_buffer, export_table, open_table
from cython.cimports.holdfast.kernel.arrow.structures import ArrowArray, hf_put_decimal
from cython.cimports.holdfast.kernel.ledger.accounts import LOCKED, PAGE_BITS, PAGE_MASK, AccountPage, Balance
from cython.cimports.holdfast.kernel.ledger.id_sort import Numbered, sort_by_id
from cython.cimports.holdfast.kernel.ledger.image import Image  # noqa: TC002  # a type of C
from cython.cimports.holdfast.kernel.platform import hf_check, hf_map_pages, hf_prefetch, hf_unmap_pages
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memset

from holdfast.domain.settings import DECIMALS_MAX

HUGE_BYTES = cython.declare(cython.size_t, 4 << 20)


@cython.cclass
class OrderedAccounts:
    """The accounts of some images in the order of their clients; :func:`order_accounts` makes it."""

    def __init__(self):
        raise TypeError("OrderedAccounts are made by order_accounts()")

    def __dealloc__(self):
        free(self.pages)
        if self.rows != cython.NULL:
            hf_unmap_pages(self.rows, self.rows_bytes)

    def export(self, decimals: cython.int) -> object:
        """Give a PyCapsule with an Arrow stream of the table; every call makes a new one.

        Args:
            decimals: The scale of the amounts, 0 to 9.

        Raises:
            ValueError: For decimals out of range.
        """
        if self.images is None:
            raise ValueError("these accounts were not made by order_accounts()")
        if not 0 <= decimals <= DECIMALS_MAX:
            raise ValueError(f"decimals is 0 to {DECIMALS_MAX}, not {decimals}")
        source: _AccountSource = _AccountSource.__new__(_AccountSource)
        amount: bytes = b"d:19,%d" % decimals
        source.accounts = self
        source.fields = (
            (b"client", b"L", False),
            (b"available", amount, False),
            (b"held", amount, False),
            (b"total", amount, False),
            (b"locked", b"b", False),
        )
        return export_table(source)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def merge(self) -> cython.int:
        """Put the accounts of all images in one order, and look for a client that two of them have."""
        image: Image
        part: cython.uint = 0
        filled: uint64_t = 0
        position: uint64_t
        self.rows_bytes = cython.sizeof(Numbered) * (self.count or 1)
        self.rows = cython.cast(
            cython.pointer[Numbered], hf_map_pages(self.rows_bytes, self.rows_bytes >= HUGE_BYTES)
        )
        if self.rows == cython.NULL:
            raise MemoryError
        for image in self.images:
            for position in range(image.count):
                row: cython.pointer[Numbered] = self.rows + filled
                row.number = image.order[position]
                row.id = image.client_of(row.number)
                row.part = part
                filled += 1
            part += 1  # noqa: SIM113  # enumerate() would count Python objects
        with cython.nogil:
            sort_by_id(self.rows, self.count)
        for position in range(1, self.count):
            if self.rows[position].id == self.rows[position - 1].id:
                self.overlap = self.rows[position].id
                break
        return 0

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def place(self, position: uint64_t) -> AccountPlace:
        """Tell where the account at a position in the order is."""
        hf_check(position < self.count)
        found: AccountPlace
        part: uint32_t = 0
        if self.rows == cython.NULL:
            found.number = self.order[position]
        else:
            found.number = self.rows[position].number
            part = self.rows[position].part
        found.page = self.pages[part][found.number >> PAGE_BITS]
        found.slot = cython.cast(uint32_t, found.number & PAGE_MASK)
        return found


def order_accounts(images: tuple) -> OrderedAccounts:
    """Put the accounts of one or several images in the order of their clients.

    A client that two of them have is the ``overlap`` of what this gives, or else that is None.
    """
    accounts: OrderedAccounts = OrderedAccounts.__new__(OrderedAccounts)
    image: Image
    part: cython.Py_ssize_t = 0
    accounts.pages = cython.cast(
        cython.pointer[cython.pointer[cython.pointer[AccountPage]]],
        malloc((len(images) or 1) * cython.sizeof(cython.p_void)),
    )
    if accounts.pages == cython.NULL:
        raise MemoryError
    for image in images:
        if image is None:
            raise TypeError("an image is needed, not None")
        image.sort()
        accounts.pages[part] = image.pages
        accounts.order = image.order
        accounts.is_direct = image.is_direct
        accounts.count += image.count
        part += 1
    accounts.images = images
    if part != 1:
        accounts.merge()
    return accounts


@cython.cclass
class _AccountSource(TableSource):
    """One pass over the accounts."""

    accounts: OrderedAccounts
    done: uint64_t

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fill(self, table: cython.pointer[ArrowArray]) -> cython.int:
        rows: uint64_t = min(self.accounts.count - self.done, cython.cast(uint64_t, TABLE_ROWS))
        if rows == 0:
            return 0
        failed: cython.bint = open_table(table, rows, 5) < 0
        number: cython.int
        sizes: cython.size_t[5]
        sizes[0], sizes[1], sizes[2], sizes[3] = 8 * rows, 16 * rows, 16 * rows, 16 * rows
        sizes[4] = (rows + 7) // 8
        for number in range(5):
            failed = failed or add_buffer(table.children[number], 1, sizes[number]) == cython.NULL
        if failed:
            raise MemoryError
        with cython.nogil:
            _gather(self.accounts, self.done, rows, table)
        self.done += rows
        return 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _gather(
    accounts: OrderedAccounts, first: uint64_t, rows: uint64_t, table: cython.pointer[ArrowArray]
) -> cython.void:
    """Write the rows of a table, whose columns have their memory."""
    clients: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], table.children[0].buffers[1])
    available: cython.pointer[int64_t] = cython.cast(cython.pointer[int64_t], table.children[1].buffers[1])
    held: cython.pointer[int64_t] = cython.cast(cython.pointer[int64_t], table.children[2].buffers[1])
    total: cython.pointer[int64_t] = cython.cast(cython.pointer[int64_t], table.children[3].buffers[1])
    locked: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], table.children[4].buffers[1])
    row: uint64_t
    memset(locked, 0, (rows + 7) // 8)
    for row in range(rows):
        place: AccountPlace
        if first + row + ROWS_AHEAD < accounts.count:
            place = accounts.place(first + row + ROWS_AHEAD)
            hf_prefetch(cython.address(place.page.balances[place.slot]))
            hf_prefetch(cython.address(place.page.flags[place.slot]))
            if not accounts.is_direct and accounts.rows == cython.NULL:
                hf_prefetch(place.page.clients + place.slot)
        place = accounts.place(first + row)
        balance: Balance = place.page.balances[place.slot]
        if accounts.rows != cython.NULL:
            clients[row] = accounts.rows[first + row].id
        else:
            clients[row] = place.number if accounts.is_direct else place.page.clients[place.slot]
        hf_put_decimal(available + 2 * row, balance.available)
        hf_put_decimal(held + 2 * row, balance.held)
        hf_put_decimal(total + 2 * row, balance.available + balance.held)
        if place.page.flags[place.slot] & LOCKED:
            locked[row >> 3] |= cython.cast(uint8_t, 1 << (row & 7))
