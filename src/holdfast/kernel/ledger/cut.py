"""A consistent point of a ledger's state, written out page by page while rows go on.

Taking a cut costs microseconds. From then on its accounts are kept by an image, records side by side by a copy that the writer
makes before it first writes a run, and records in the index by their log of changes, which is closed at the cut.
"""

import cython
from cython.cimports.holdfast.kernel.ledger.accounts import AccountPage  # noqa: TC002  # a type of C
from cython.cimports.holdfast.kernel.ledger.change_log import ChangeChunk, take_chunk
from cython.cimports.holdfast.kernel.ledger.change_pages import pack_changes
from cython.cimports.holdfast.kernel.ledger.fold import LedgerState
from cython.cimports.holdfast.kernel.ledger.image import Image
from cython.cimports.holdfast.kernel.ledger.lock import LedgerLock
from cython.cimports.holdfast.kernel.ledger.pages import (
    PAGE_OF_ACCOUNTS,
    PAGE_OF_CHANGES,
    PAGE_OF_RUN,
    pack_accounts,
    pack_run,
)
from cython.cimports.holdfast.kernel.ledger.records import Records, Run, RunState
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy


@cython.cfunc
def new_cut(
    owner: object,
    state: cython.pointer[LedgerState],
    lock: LedgerLock,
    image: Image,
    accounts_epoch: uint64_t,
    counters: bytes,
) -> Cut:
    """Take a cut; the caller holds the lock, has taken the image, in this epoch of the accounts, and closed the log's chunk."""
    cut: Cut = Cut.__new__(Cut)
    cut.owner = owner
    cut.state = state
    cut.lock = lock
    cut.image = image
    cut.sequence = image.sequence
    cut.counters = counters
    cut.accounts_epoch = accounts_epoch
    cut.records_epoch = state.records.epoch
    cut.list_pages()
    state.records.epoch += 1
    return cut


@cython.cclass
class Cut:
    """The state at one sequence, as pages; :meth:`LedgerCore.cut` takes it.

    Attributes:
        sequence: How many decisions were made before it.
        counters: What belongs to the state beside the pages, packed.
    """

    def __init__(self):
        raise TypeError("a Cut is made by LedgerCore.cut()")

    def __dealloc__(self):
        free(self.account_pages)
        free(self.runs)
        free(self.spare)

    @property
    def pages_left(self) -> int:
        """How many pages :meth:`next_page` has still to give."""
        return (
            self.account_count
            - self.account_next
            + self.run_count
            - self.run_next
            + self.chunk_count
            - self.chunk_next
        )

    def next_page(self) -> tuple | None:
        """Give the next page that changed since the last cut that is done, as (kind, number, bytes); None after the last.

        The ledger's lock is held for as long as it takes to copy a page. One thread at a time asks.

        Raises:
            RuntimeError: If this thread is deciding rows right now.
        """
        if self.state == cython.NULL:
            raise ValueError("this cut was not made by LedgerCore.cut()")
        if self.account_next < self.account_count:
            number: uint32_t = self.account_pages[self.account_next]
            self.account_next += 1
            return PAGE_OF_ACCOUNTS, number, pack_accounts(self.image.pages[number])
        if self.run_next < self.run_count:
            return self.next_run()
        if self.chunk_next < self.chunk_count:
            return self.next_chunk()
        return None

    def done(self) -> None:
        """Say that all pages are stored: what was not changed since the cut may leave memory.

        Raises:
            RuntimeError: If there are pages left, or this thread is deciding rows right now.
        """
        if self.state == cython.NULL:
            raise ValueError("this cut was not made by LedgerCore.cut()")
        if self.pages_left:
            raise RuntimeError(f"{self.pages_left} pages of this cut are not taken yet")
        self.lock.enter()
        try:
            if not self.is_done:
                self.is_done = True
                self.state.accounts_done_epoch = cython.cast(int64_t, self.accounts_epoch)
                self.state.records.done_epoch = self.records_epoch
                self.state.is_cut = False
                self.image = None
        finally:
            self.lock.leave()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def list_pages(self) -> cython.int:
        """List what changed since the last cut that is done, and mark the runs among it."""
        records: cython.pointer[Records] = cython.address(self.state.records)
        number: uint64_t
        pages: uint64_t = self.state.accounts.page_capacity
        room: cython.size_t = 4 * (max(pages, records.run_count) + 1)
        self.account_pages = cython.cast(cython.pointer[uint32_t], malloc(room))
        self.runs = cython.cast(cython.pointer[uint32_t], malloc(room))
        self.spare = cython.cast(cython.pointer[Run], malloc(cython.sizeof(Run)))
        if self.account_pages == cython.NULL or self.runs == cython.NULL or self.spare == cython.NULL:
            raise MemoryError
        for number in range(pages):
            page: cython.pointer[AccountPage] = self.state.accounts.pages[number]
            if page != cython.NULL and cython.cast(int64_t, page.epoch) > self.state.accounts_done_epoch:
                self.account_pages[self.account_count] = cython.cast(uint32_t, number)
                self.account_count += 1
        for number in range(records.run_count):
            state: cython.pointer[RunState] = records.states + number
            if state.epoch > records.done_epoch:
                state.is_in_cut = True
                self.runs[self.run_count] = cython.cast(uint32_t, number)
                self.run_count += 1
        self.chunk_count = records.log.closed_count
        self.first_chunk = records.log.next_number - records.log.closed_count
        return 0

    @cython.cfunc
    def next_run(self) -> tuple:
        number: uint32_t = self.runs[self.run_next]
        self.lock.enter()
        if self.state.records.states == cython.NULL:
            self.lock.leave()
            raise RuntimeError("changes are not followed any more: this cut has no more pages")
        state: cython.pointer[RunState] = self.state.records.states + number
        copy: cython.pointer[Run] = state.copy
        if copy == cython.NULL:
            memcpy(self.spare, self.state.records.runs[number], cython.sizeof(Run))
        else:
            state.copy = cython.NULL
            self.state.records.copy_count -= 1
        state.is_in_cut = False
        place: uint32_t = state.place
        self.lock.leave()
        self.run_next += 1
        try:
            return PAGE_OF_RUN, place, pack_run(self.spare if copy == cython.NULL else copy)
        finally:
            free(copy)

    @cython.cfunc
    def next_chunk(self) -> tuple:
        self.lock.enter()
        chunk: cython.pointer[ChangeChunk] = take_chunk(cython.address(self.state.records.log))
        self.lock.leave()
        if chunk == cython.NULL:
            raise RuntimeError("changes are not followed any more: this cut has no more pages")
        number: uint64_t = self.first_chunk + cython.cast(uint64_t, self.chunk_next)
        self.chunk_next += 1
        try:
            return PAGE_OF_CHANGES, number, pack_changes(chunk)
        finally:
            free(chunk)
