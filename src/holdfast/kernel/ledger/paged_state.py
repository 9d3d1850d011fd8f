"""The state of a ledger, and how it is looked at and written out: what :class:`LedgerCore` decides about.

One lock guards all of it; whoever looks or writes waits for one batch at most.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.holdfast.kernel.batch import Batch
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.ledger.accounts import (
    accounts_bytes,
    close_accounts,
    free_retired,
    open_accounts,
)
from cython.cimports.holdfast.kernel.ledger.change_log import close_chunk
from cython.cimports.holdfast.kernel.ledger.change_pages import gather_changes, make_gathered
from cython.cimports.holdfast.kernel.ledger.counters import pack_counters, restore_counters
from cython.cimports.holdfast.kernel.ledger.cut import Cut, new_cut
from cython.cimports.holdfast.kernel.ledger.fold import LedgerState
from cython.cimports.holdfast.kernel.ledger.image import Image, ImageLease, new_image
from cython.cimports.holdfast.kernel.ledger.index import (
    close_index,
    index_bytes,
    open_index,
)
from cython.cimports.holdfast.kernel.ledger.lock import LedgerLock
from cython.cimports.holdfast.kernel.ledger.lookup import (
    find_account,
    find_transaction,
    find_wanted,
    is_absent,
    list_absent,
    take_rules,
)
from cython.cimports.holdfast.kernel.ledger.pages import (
    PAGE_OF_ACCOUNTS,
    PAGE_OF_CHANGES,
    PAGE_OF_RUN,
    load_accounts,
    load_run,
)
from cython.cimports.holdfast.kernel.ledger.records import (
    ACCOUNTS_LIMIT,
    DIRECTORY_RUNS,
    NOWHERE,
    RUN_BITS,
    Run,
    add_absent,
    bring_back,
    close_records,
    follow_changes,
    let_go,
    open_records,
    place_of,
    records_bytes,
    send_back,
    stop_following,
)
from cython.cimports.holdfast.kernel.ledger.state_digest import digest_state
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.libc.stdint import uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc

from holdfast.domain.settings import Settings, check_settings

SETTINGS_DEFAULT = Settings()
ACCOUNTS_MAX = ACCOUNTS_LIMIT
"""How many accounts a ledger takes."""


@cython.cclass
class PagedState:
    """Accounts, recorded transactions and open disputes. :class:`LedgerCore` is what decides rows."""

    def __cinit__(
        self,
        settings: object = SETTINGS_DEFAULT,
        *,
        huge_pages: bool = False,
        pages: bool = False,
        room: object = None,
    ):
        check_settings(settings)
        wide: object = settings if room is None else room
        check_settings(wide)
        if wide.client_bits < settings.client_bits or wide.tx_bits < settings.tx_bits:
            raise ValueError("there is no room for ids as wide as the settings allow")
        client_bits: cython.int = wide.client_bits
        tx_bits: cython.int = wide.tx_bits
        self.state.is_direct = client_bits == 16
        # What rows may name, and what the tables could hold: once there is room for wider ids, settings may allow them.
        self.client_max = settings.client_max
        self.tx_max = settings.tx_max
        self.state.client_max = wide.client_max
        self.state.tx_max = wide.tx_max
        self.leases = []
        self.lock = LedgerLock()
        self.settings = settings
        self.state.accounts_done_epoch = -1
        take_rules(cython.address(self.state.knobs), settings.rules)
        accounts: uint64_t = 1 << 16 if self.state.is_direct else 0
        if open_accounts(cython.address(self.state.accounts), accounts, not self.state.is_direct) < 0:
            raise MemoryError
        open_records(cython.address(self.state.records), tx_bits, huge_pages)
        if not self.state.is_direct:
            open_index(cython.address(self.state.client_index), client_bits, cython.sizeof(uint32_t))
        self.state.client_index.is_huge = huge_pages
        if pages:
            self.is_restoring = True
            if not follow_changes(cython.address(self.state.records)):
                raise MemoryError

    def __dealloc__(self):
        free(self.gathered)
        close_accounts(cython.address(self.state.accounts))
        close_records(cython.address(self.state.records))
        close_index(cython.address(self.state.client_index))

    @property
    def accounts(self) -> int:
        """How many accounts there are."""
        return self.state.accounts.count

    @property
    def locked_accounts(self) -> int:
        """How many accounts a chargeback has locked."""
        return self.state.accounts.locked

    @property
    def transactions(self) -> int:
        """How many transactions are recorded: the applied deposits and withdrawals."""
        return self.state.records.in_runs + self.state.records.index.count - self.state.burned

    @property
    def open_disputes(self) -> int:
        """How many transactions are under dispute."""
        return self.state.open_disputes

    @property
    def memory_bytes(self) -> int:
        """How much memory the ledger and its images take; counted as it grows, so that asking costs next to nothing."""
        lease: ImageLease
        images_bytes: uint64_t = 0
        for lease in self.leases:
            if lease.is_live:
                images_bytes += lease.memory_bytes
        return (
            cython.sizeof(LedgerState)
            + accounts_bytes(cython.address(self.state.accounts))
            + index_bytes(cython.address(self.state.client_index))
            + records_bytes(cython.address(self.state.records))
            + images_bytes
        )

    def counts(self) -> tuple:
        """Count accounts, locked accounts, transactions, open disputes, rows decided and rows recorded, all at one point in time.

        Raises:
            RuntimeError: If this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            return (
                self.accounts,
                self.locked_accounts,
                self.transactions,
                self.open_disputes,
                self.decided,
                self.recorded,
            )
        finally:
            self.lock.leave()

    def image(self):
        """Take a point-in-time image of all accounts, in microseconds; it never changes.

        Raises:
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed: there are rows in memory then
                that were recorded nowhere.
        """
        self.lock.enter()
        try:
            self.check_failure()
            return self.take_image()
        finally:
            self.lock.leave()

    @cython.cfunc
    def take_image(self) -> Image:
        lease: ImageLease = ImageLease.__new__(ImageLease)
        lease.epoch = self.state.accounts.epoch
        lease.is_live = True
        numbers: uint64_t = 1 << 16 if self.state.is_direct else self.state.client_index.count
        image = new_image(
            self,
            cython.address(self.state.accounts),
            numbers,
            self.state.is_direct,
            self.client_max,
            self.decided,
            lease,
        )
        self.state.accounts.epoch += 1
        self.sweep()
        self.leases.append(lease)
        return image

    def account(self, client: object):
        """Look up an account: (available units, held units, locked), or None if there is none.

        Raises:
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed.
        """
        if not 0 <= client <= self.client_max:
            return None
        wanted: uint64_t = client
        self.lock.enter()
        try:
            self.check_failure()
            return find_account(cython.address(self.state), wanted)
        finally:
            self.lock.leave()

    def transaction(self, tx: object) -> tuple | None:
        """Look up a recorded transaction: (type, client, units, state of its dispute), or None if there is none.

        The state is 0 if it never was under dispute, 1 while it is, 2 after a resolve, 3 after a chargeback.

        Raises:
            LookupError: If its record is not in memory; the argument is the number of the page.
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed.
        """
        if not 0 <= tx <= self.tx_max:
            return None
        wanted: uint64_t = tx
        self.lock.enter()
        try:
            self.check_failure()
            return find_transaction(cython.address(self.state), wanted)
        finally:
            self.lock.leave()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_failure(self) -> cython.int:
        if self.failure is not None:
            raise RuntimeError(f"this ledger has stopped, since its recorder failed: {self.failure!r}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def tell_recorder(self, method: object, arguments: tuple) -> cython.int:
        try:
            method(*arguments)
        except BaseException as error:
            self.failure = error
            raise
        return 0

    # --- the state as pages ---

    def cut(self) -> Cut:
        """Begin to write out the state as it is now; ``recorder.record_cut(sequence)`` is told, if there is a recorder.

        Raises:
            RuntimeError: If changes are not followed, the last cut is not done, this thread is deciding rows right now, or the
                recorder has failed.
        """
        self.lock.enter()
        try:
            self.check_failure()
            self.require_pages()
            if self.state.is_cut:
                raise RuntimeError("the last cut is not done")
            if self.recorder is not None:
                self.tell_recorder(self.recorder.record_cut, (self.decided,))
            self.is_restoring = False
            if not close_chunk(cython.address(self.state.records.log)):
                raise MemoryError
            epoch: uint64_t = self.state.accounts.epoch
            numbers: uint64_t = self.state.client_index.count
            image: Image = self.take_image()
            counters: bytes = pack_counters(cython.address(self.state), self.decided, numbers)
            cut: Cut = new_cut(self, cython.address(self.state), self.lock, image, epoch, counters)
            self.state.is_cut = True
            return cut
        finally:
            self.lock.leave()

    def load_page(self, kind: cython.int, number: uint64_t, data: object) -> None:
        """Put a page of a state back: into a new ledger, or a page of records that is not in memory.

        Args:
            kind: 1 accounts, 2 records side by side, 3 changes of other records, which are loaded after the accounts, in order.
            number: The page's number.
            data: The bytes that a cut gave.

        Raises:
            ValueError: If the page is damaged, or cannot be put there.
            RuntimeError: If changes are not followed, or this thread is deciding rows right now.
        """
        view: Py_buffer
        open_text(data, cython.address(view))
        try:
            self.lock.enter()
            try:
                self.require_pages()
                self.put_page(kind, number, cython.cast(cbytes, view.buf), view.len)
            finally:
                self.lock.leave()
        finally:
            PyBuffer_Release(cython.address(view))

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def put_page(
        self, kind: cython.int, number: uint64_t, data: cbytes, size: cython.Py_ssize_t
    ) -> cython.int:
        if kind == PAGE_OF_RUN:
            if not is_absent(cython.address(self.state), number):
                raise ValueError(f"page {number} of transactions is not one that is missing")
            run: cython.pointer[Run] = bring_back(cython.address(self.state.records), number)
            if run == cython.NULL:
                raise MemoryError
            try:
                load_run(cython.address(self.state), run, data, size)
            except BaseException:
                send_back(cython.address(self.state.records), number)
                raise
            return 0
        if not self.is_restoring:
            raise ValueError(f"pages of kind {kind} are loaded into a new ledger only")
        if kind == PAGE_OF_ACCOUNTS:
            load_accounts(cython.address(self.state), number, data, size)
        elif kind == PAGE_OF_CHANGES:
            if number != self.state.records.log.next_number:
                raise ValueError(
                    f"page {number} of changes comes in the place of page {self.state.records.log.next_number}"
                )
            gather_changes(cython.address(self.state), cython.address(self.gathered), data, size)
            self.state.records.log.next_number += 1
        else:
            raise ValueError(f"there are no pages of kind {kind}")
        return 0

    def add_absent_run(self, number: uint64_t) -> None:
        """Say, of a new ledger, that a page of records exists and is not in memory.

        Raises:
            ValueError: If there cannot be such a page.
        """
        self.lock.enter()
        try:
            self.require_pages()
            if not self.is_restoring:
                raise ValueError("pages are added to a new ledger only")
            if (
                number >= DIRECTORY_RUNS
                or place_of(cython.address(self.state.records), number << RUN_BITS) != NOWHERE
            ):
                raise ValueError(f"page {number} of transactions cannot be there")
            if not add_absent(cython.address(self.state.records), number):
                raise MemoryError
        finally:
            self.lock.leave()

    def finish_restore(self, counters: bytes) -> None:
        """Take over the counters of a cut, after all of its pages.

        Raises:
            ValueError: If they do not go with the pages; the message says what differs.
        """
        self.lock.enter()
        try:
            self.require_pages()
            if not self.is_restoring:
                raise ValueError("a state is restored into a new ledger only")
            make_gathered(cython.address(self.state), cython.address(self.gathered))
            free(self.gathered)
            self.gathered = cython.NULL
            self.decided = self.recorded = restore_counters(cython.address(self.state), counters)
            self.is_restoring = False
        finally:
            self.lock.leave()

    def wanted_pages(
        self, batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, pages_max: cython.Py_ssize_t
    ) -> list:
        """List the pages of records that undecided rows of a batch need and that are not in memory, in order of their first use.

        Args:
            batch: The batch.
            start: The first row.
            stop: The row to stop before.
            pages_max: How many pages to list at most.

        Raises:
            IndexError: If there are no such rows.
        """
        stop = batch.check_range(start, stop)
        self.lock.enter()
        try:
            return find_wanted(cython.address(self.state), batch, start, stop, pages_max)
        finally:
            self.lock.leave()

    def digest(self) -> tuple:
        """Give a digest of the accounts and one of the transactions: the same for the same content, whatever the pages.

        Records that are not in memory do not count; see :meth:`absent_pages`.

        Raises:
            RuntimeError: If changes are not followed, or this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            self.require_pages()
            return digest_state(cython.address(self.state))
        finally:
            self.lock.leave()

    def is_page_absent(self, number: uint64_t) -> bool:
        """Whether there is such a page of records and it is not in memory.

        Raises:
            RuntimeError: If this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            return is_absent(cython.address(self.state), number)
        finally:
            self.lock.leave()

    def absent_pages(self) -> list:
        """List the pages of records that are not in memory.

        Raises:
            RuntimeError: If changes are not followed, or this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            self.require_pages()
            return list_absent(cython.address(self.state))
        finally:
            self.lock.leave()

    def evict(self, bytes_wanted: uint64_t) -> int:
        """Free records that are stored as they are and were not used lately; give how many bytes that frees.

        Raises:
            RuntimeError: If changes are not followed, or this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            self.require_pages()
            return let_go(cython.address(self.state.records), bytes_wanted)
        finally:
            self.lock.leave()

    def follow(self) -> None:
        """Begin to follow changes, if that was not done from the beginning: all that is there counts as changed.

        Raises:
            MemoryError: If there is no memory for it; the state is as it was.
            RuntimeError: If this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            if not follow_changes(cython.address(self.state.records)):
                raise MemoryError
        finally:
            self.lock.leave()

    def unfollow(self) -> None:
        """Follow changes no longer. A cut that is not done can give no more pages.

        Raises:
            RuntimeError: If a page of records is not in memory, or this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            if self.state.records.absent_count:
                raise RuntimeError("pages of records are not in memory: their changes have to be followed")
            stop_following(cython.address(self.state.records))
            self.state.accounts_done_epoch = -1
            self.state.is_cut = self.is_restoring = False
        finally:
            self.lock.leave()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def require_pages(self) -> cython.int:
        if self.state.records.states == cython.NULL:
            raise RuntimeError("this ledger does not follow its changes: make it with pages=True")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sweep(self) -> cython.int:
        """Free the pages that only freed images showed. The writer does this, so that no lock is needed."""
        lease: ImageLease
        epochs: cython.pointer[uint64_t]
        number: cython.Py_ssize_t
        if self.state.accounts.retired_count == 0 and len(self.leases) < 64:
            return 0
        if self.state.accounts.retired_count and all(
            [cython.cast(ImageLease, lease).is_live for lease in self.leases]
        ):
            return 0
        self.leases = [lease for lease in self.leases if cython.cast(ImageLease, lease).is_live]
        epochs = cython.cast(cython.pointer[uint64_t], malloc(8 * (len(self.leases) or 1)))
        if epochs == cython.NULL:
            raise MemoryError
        for number in range(len(self.leases)):
            epochs[number] = cython.cast(ImageLease, self.leases[number]).epoch
        free_retired(cython.address(self.state.accounts), epochs, len(self.leases))
        free(epochs)
        return 0
