"""Accounts as an Arrow table: client, available, held, total, locked; sorted by client.

The accounts of an image are wherever they came to be. Those with scattered ids are read once from the first to the last, and put
in order in parts that fit into the cache; all others are read in their order, and the memory of later rows is asked for early.
"""

import cython
from cython.cimports.holdfast.kernel.arrow.export import (
    TableSource,
    add_buffer,
    export_table,
    is_mapped,
    open_table,
)
from cython.cimports.holdfast.kernel.arrow.structures import ArrowArray, hf_put_decimal
from cython.cimports.holdfast.kernel.ledger.account_parts import (
    AccountParts,
    AccountRecord,
    close_parts,
    open_parts,
    sort_part,
)
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
            image.sort()
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
        accounts.pages[part] = image.pages
        accounts.is_direct = image.is_direct
        accounts.count += image.count
        part += 1
    accounts.images = images
    if part != 1:
        accounts.merge()
    return accounts


@cython.cclass
class _AccountSource(TableSource):
    """One pass over the accounts: by their order, or in parts that are put in order one after the other."""

    accounts: OrderedAccounts
    done: uint64_t
    has_begun: cython.bint
    parts: AccountParts
    next_part: cython.int

    def __dealloc__(self):
        close_parts(cython.address(self.parts))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(self) -> cython.int:
        """Choose the way."""
        self.has_begun = True
        if len(self.accounts.images) != 1:
            return 0
        image: Image = self.accounts.images[0]
        outcome: cython.int = 1
        if not image.is_direct and image.count:
            with cython.nogil:
                outcome = open_parts(cython.address(self.parts), image)
        if outcome < 0:
            raise MemoryError
        if outcome > 0:
            # By their numbers, or in order as they came: a short way.
            image.sort()
            self.accounts.order = image.order
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fill(self, table: cython.pointer[ArrowArray]) -> cython.int:
        if not self.has_begun:
            self.begin()
        first: uint64_t = self.done
        rows: uint64_t = min(self.accounts.count - first, cython.cast(uint64_t, TABLE_ROWS))
        if rows == 0:
            return 0
        stop: cython.int = self.next_part
        if self.parts.records != cython.NULL:
            while self.parts.ends[stop] < first + rows:
                stop += 1
            rows = self.parts.ends[stop] - first
        columns: AccountColumns
        _open(table, rows, cython.address(columns))
        with cython.nogil:
            if self.parts.records != cython.NULL:
                _write_parts(cython.address(self.parts), self.next_part, stop, cython.address(columns))
            else:
                _gather(self.accounts, first, rows, cython.address(columns))
        self.next_part = stop + 1
        self.done += rows
        return 1


@cython.cfunc
@cython.exceptval(-1, check=False)
def _open(
    table: cython.pointer[ArrowArray], rows: uint64_t, columns: cython.pointer[AccountColumns]
) -> cython.int:
    """Make the columns of a part of the table."""
    number: cython.int
    sizes: cython.size_t[5]
    buffers: cython.p_void[5]
    sizes[0], sizes[1], sizes[2], sizes[3] = 8 * rows, 16 * rows, 16 * rows, 16 * rows
    sizes[4] = (rows + 7) // 8
    failed: cython.bint = open_table(table, rows, 5) < 0
    for number in range(5):
        buffers[number] = cython.NULL if failed else add_buffer(table.children[number], 1, sizes[number])
        failed = failed or buffers[number] == cython.NULL
    if failed:
        raise MemoryError
    columns.clients = cython.cast(cython.pointer[uint64_t], buffers[0])
    columns.available = cython.cast(cython.pointer[uint8_t], buffers[1])
    columns.held = cython.cast(cython.pointer[uint8_t], buffers[2])
    columns.total = cython.cast(cython.pointer[uint8_t], buffers[3])
    columns.locked = cython.cast(cython.pointer[uint8_t], buffers[4])
    memset(columns.locked, 0, sizes[4])
    columns.is_zeroed = is_mapped(table.children[2], 1)
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put(
    columns: cython.pointer[AccountColumns],
    row: uint64_t,
    client: uint64_t,
    available: int64_t,
    held: int64_t,
    is_locked: cython.bint,
) -> cython.void:
    columns.clients[row] = client
    hf_put_decimal(columns.available + 16 * row, available)
    # Nearly all are 0: memory that nobody touches costs nothing.
    if held != 0 or not columns.is_zeroed:
        hf_put_decimal(columns.held + 16 * row, held)
    hf_put_decimal(columns.total + 16 * row, available + held)
    columns.locked[row >> 3] |= cython.cast(uint8_t, is_locked << (row & 7))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _write_parts(
    parts: cython.pointer[AccountParts],
    start: cython.int,
    stop: cython.int,
    columns: cython.pointer[AccountColumns],
) -> cython.void:
    """Write the accounts of some parts, the last one included."""
    part: cython.int
    number: uint64_t
    row: uint64_t = 0
    count: uint64_t = 0
    for part in range(start, stop + 1):
        records: cython.pointer[AccountRecord] = sort_part(parts, part, cython.address(count))
        for number in range(count):
            record: cython.pointer[AccountRecord] = records + parts.keys[number].number
            _put(columns, row, record.client, record.available, record.held, record.is_locked != 0)
            row += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _gather(
    accounts: OrderedAccounts, first: uint64_t, rows: uint64_t, columns: cython.pointer[AccountColumns]
) -> cython.void:
    """Write accounts by their order."""
    row: uint64_t
    for row in range(rows):
        place: AccountPlace
        if first + row + ROWS_AHEAD < accounts.count:
            place = accounts.place(first + row + ROWS_AHEAD)
            hf_prefetch(cython.address(place.page.balances[place.slot]))
            hf_prefetch(cython.address(place.page.flags[place.slot]))
        place = accounts.place(first + row)
        balance: Balance = place.page.balances[place.slot]
        client: uint64_t = place.number
        if accounts.rows != cython.NULL:
            client = accounts.rows[first + row].id
        elif not accounts.is_direct:
            client = place.page.clients[place.slot]
        is_locked: cython.bint = place.page.flags[place.slot] & LOCKED != 0
        _put(columns, row, client, balance.available, balance.held, is_locked)
