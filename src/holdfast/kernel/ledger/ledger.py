"""The fold: batches of transactions in, one outcome per row, accounts that are always the sum of what was applied.

Data structures, what they cost, and why:

* Accounts have numbers and are in pages (:mod:`accounts`), 17 bytes each. With client ids of 16 bits the number is the id: a
  direct table without any look-up. An index (:mod:`index`) numbers wider ids, 16 bytes for an id of 32 bits and 26 for one of
  64; the id is also kept with the account, 8 bytes more.
* Transactions are recorded once (:mod:`records`) and never removed. Records of sequential ids lie side by side and cost 12
  bytes a transaction; those of scattered ids are in an index (:mod:`index`) and cost 33 bytes (43 with wide ids).
* The state of a dispute is two bits of a record's owner word (never, open, resolved, charged back): no table, no look-up.

In the fold over these (:mod:`fold`), a row costs at worst one cache miss for its transaction, one for its client if ids are
wide, and one for the account, and these misses overlap.
"""

import cython
from cython.cimports.cpython.pythread import (
    NOWAIT_LOCK,
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_get_thread_ident,
    PyThread_release_lock,
)
from cython.cimports.holdfast.kernel.batch import Batch
from cython.cimports.holdfast.kernel.codes import CHARGEBACK, DEPOSIT, DISPUTE, UNDECIDED, WITHDRAWAL
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_BITS,
    PAGE_MASK,
    AccountPage,
    Balance,
    accounts_bytes,
    close_accounts,
    free_retired,
    open_accounts,
)
from cython.cimports.holdfast.kernel.ledger.fold import (
    Knobs,
    LedgerState,
    Rows,
    apply_rows,
)
from cython.cimports.holdfast.kernel.ledger.image import ImageLease, new_image
from cython.cimports.holdfast.kernel.ledger.index import (
    Index,
    Vacancy,
    close_index,
    find_number,
    home_of,
    index_bytes,
    open_index,
)
from cython.cimports.holdfast.kernel.ledger.records import (
    ACCOUNTS_LIMIT,
    close_records,
    open_records,
    records_bytes,
)
from cython.cimports.holdfast.kernel.platform import hf_count_forks, hf_forks
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc

from holdfast.domain.settings import Settings, check_settings

SETTINGS_DEFAULT = Settings()
ACCOUNTS_MAX = ACCOUNTS_LIMIT
"""How many accounts a ledger takes."""

if hf_count_forks() != 0:
    raise MemoryError("no memory to watch for forks")


@cython.final
@cython.cclass
class LedgerCore:
    """Accounts, recorded transactions and open disputes under one set of rules.

    One thread at a time decides rows or reads accounts; the others wait, for one batch at most. The lock is taken and released
    within one call, so a signal handler finds it free. Code that runs within the call in the same thread (a recorder, a
    ``__del__``) gets an error instead of waiting for itself.

    Args:
        settings: Rules and widths.
        huge_pages: Whether to ask the system for memory two megabytes at a time. That saves a fifth of the CPU time on a large
            file, but delays each batch that needs a new page, by some milliseconds if the system has none ready.

    Attributes:
        recorder: Gets every decided stretch of rows, in order, before the caller hears of it; None without a recorder.
            ``recorder.record(batch, start, stop, sequence, stream, position)`` gets the batch and its rows from ``start`` to
            before ``stop``, the number of rows decided before them, and their stream with the number of its rows before them.
            It must copy what it keeps: the batch is reused afterwards. An exception in it reaches the caller; the ledger then
            decides and shows nothing more.

    Raises:
        TypeError: If the settings are not a :class:`Settings`.
        ValueError: If one of them is out of range.
    """

    def __cinit__(self, settings: object = SETTINGS_DEFAULT, *, huge_pages: bool = False):
        check_settings(settings)
        client_bits: cython.int = settings.client_bits
        tx_bits: cython.int = settings.tx_bits
        self.state.is_direct = client_bits == 16
        self.client_max = self.state.client_max = settings.client_max
        self.tx_max = self.state.tx_max = settings.tx_max
        self.leases = []
        self.lock = PyThread_allocate_lock()
        self.turn = PyThread_allocate_lock()
        self.forks = hf_forks
        if self.lock == cython.NULL or self.turn == cython.NULL:
            raise MemoryError
        _take_rules(cython.address(self.state.knobs), settings.rules)
        accounts: uint64_t = 1 << 16 if self.state.is_direct else 0
        if open_accounts(cython.address(self.state.accounts), accounts, not self.state.is_direct) < 0:
            raise MemoryError
        open_records(cython.address(self.state.records), tx_bits, huge_pages)
        if not self.state.is_direct:
            open_index(cython.address(self.state.client_index), client_bits, cython.sizeof(uint32_t))
        self.state.client_index.is_huge = huge_pages

    def __dealloc__(self):
        close_accounts(cython.address(self.state.accounts))
        close_records(cython.address(self.state.records))
        close_index(cython.address(self.state.client_index))
        if self.lock != cython.NULL:
            PyThread_free_lock(self.lock)
        if self.turn != cython.NULL:
            PyThread_free_lock(self.turn)

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

    def decide(
        self,
        batch: Batch,
        start: cython.Py_ssize_t = 0,
        stop: cython.Py_ssize_t = -1,
        tally: Tally | None = None,
        stream: object = None,
        position: uint64_t = 0,
    ) -> int:
        """Decide the undecided rows of a batch, in order, and apply those that the rules allow: the one way in.

        Args:
            batch: Its outcomes are filled in; a row that has one already (a malformed one) keeps it and is counted.
            start: The first row to decide.
            stop: The row to stop before; the end of the batch if negative.
            tally: Counts the outcomes and says after which row to stop early.
            stream: The name of the stream that the rows belong to, for the recorder.
            position: How many rows of the stream were decided before.

        Returns:
            The first row that was not decided: ``stop``, or the one after the row at which the tally's actions stopped.

        Raises:
            IndexError: If there are no such rows.
            MemoryError: If there is no memory for a row; the rows before it stand, that row and later rows are undecided.
            ValueError: If a row was decided before; the rows before it stand, that row and later rows are as they were.
            RuntimeError: If this thread is deciding already, or the recorder has failed before.
        """
        stop = batch.check_range(start, stop)
        counted: Tally = Tally.__new__(Tally) if tally is None else tally
        reached: cython.Py_ssize_t
        self.enter()
        try:
            self.check_failure()
            reached = self.decide_rows(batch, start, stop, counted)
            # Also where the recorder fails: the rows are in memory.
            self.decided += reached - start
            if self.recorder is not None and reached > start:
                self.record(batch, start, reached, stream, position)
            self.recorded = self.decided
        finally:
            self.leave()
        if reached < stop and not counted.is_stopped:
            if batch.outcome_column[reached] != UNDECIDED:
                batch.refuse_decided(reached)
            raise MemoryError(
                f"no memory for row {reached} of the batch; {self.transactions} transactions are recorded"
            )
        return reached

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def decide_rows(
        self, batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, tally: Tally
    ) -> cython.Py_ssize_t:
        """Hand the columns of a batch to the fold; give the first row that was not decided."""
        rows: Rows
        reached: cython.Py_ssize_t
        if batch.is_unchecked or batch.client_max > self.client_max or batch.tx_max > self.tx_max:
            batch.check(self.client_max, self.tx_max)
        self.sweep()
        rows.types = batch.type_column
        rows.clients = batch.client_column
        rows.txs = batch.tx_column
        rows.amounts = batch.amount_column
        rows.outcomes = batch.outcome_column
        tally.is_stopped = False
        if stop - start <= ROWS_HELD:
            return apply_rows(cython.address(self.state), cython.address(rows), start, stop, tally)
        with cython.nogil:
            reached = apply_rows(cython.address(self.state), cython.address(rows), start, stop, tally)
        return reached

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def record(
        self,
        batch: Batch,
        start: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        stream: object,
        position: uint64_t,
    ) -> cython.int:
        try:
            self.recorder.record(batch, start, stop, self.recorded, stream, position)
        except BaseException as error:
            self.failure = error
            raise
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_failure(self) -> cython.int:
        if self.failure is not None:
            raise RuntimeError(f"this ledger has stopped, since its recorder failed: {self.failure!r}")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def enter(self) -> cython.int:
        """Take the lock, waiting for another thread but never for this one."""
        me: cython.ulong = PyThread_get_thread_ident()
        if self.owner == me:
            raise RuntimeError(
                "this thread is deciding rows of this ledger right now; look at it, and decide others, after that"
            )
        # A thread that decides batch after batch must not come first each time.
        if self.waiting or self.forks != hf_forks or not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            self.wait()
        self.owner = me
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wait(self) -> cython.int:
        """Take the lock after the thread that has it, in turn."""
        if self.forks != hf_forks:
            if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
                raise RuntimeError(
                    "this process was forked while another thread decided rows of this ledger; fork between two batches"
                )
            # Threads that waited are not in this process, and one of them may have had the turn: that lock is left as it is.
            self.turn = PyThread_allocate_lock()
            self.waiting = 0
            self.forks = hf_forks
            if self.turn == cython.NULL:
                PyThread_release_lock(self.lock)
                raise MemoryError
            return 0
        self.waiting += 1
        with cython.nogil:
            PyThread_acquire_lock(self.turn, WAIT_LOCK)
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            PyThread_release_lock(self.turn)
        self.waiting -= 1
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def leave(self) -> cython.void:
        self.owner = 0
        PyThread_release_lock(self.lock)

    def counts(self) -> tuple:
        """Count accounts, locked accounts, transactions, open disputes, rows decided and rows recorded, all at one point in time.

        Raises:
            RuntimeError: If this thread is deciding rows right now.
        """
        self.enter()
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
            self.leave()

    def image(self):
        """Take a point-in-time image of all accounts, in microseconds; it never changes.

        Raises:
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed: there are rows in memory then
                that were recorded nowhere.
        """
        self.enter()
        try:
            self.check_failure()
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
        finally:
            self.leave()

    def account(self, client: object):
        """Look up an account: (available units, held units, locked), or None if there is none.

        Raises:
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed.
        """
        if not 0 <= client <= self.client_max:
            return None
        wanted: uint64_t = client
        self.enter()
        try:
            self.check_failure()
            return _find_account(cython.address(self.state), wanted)
        finally:
            self.leave()

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


@cython.cfunc
def _find_account(state: cython.pointer[LedgerState], client: uint64_t) -> object:
    number: int64_t = cython.cast(int64_t, client)
    if not state.is_direct:
        vacancy: Vacancy
        index: cython.pointer[Index] = cython.address(state.client_index)
        number = find_number(index, client, home_of(index, client), cython.address(vacancy))
    if number < 0:
        return None
    page: cython.pointer[AccountPage] = state.accounts.pages[number >> PAGE_BITS]
    if page == cython.NULL or not page.flags[number & PAGE_MASK] & EXISTS:
        return None
    balance: Balance = page.balances[number & PAGE_MASK]
    return balance.available, balance.held, bool(page.flags[number & PAGE_MASK] & LOCKED)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_rules(knobs: cython.pointer[Knobs], rules: object) -> cython.int:
    knobs.locked_refuses[DEPOSIT] = rules.locked_deposit == "refuse"
    # A type that is changed to an invalid one after the batch was checked counts as a deposit.
    knobs.locked_refuses[0] = knobs.locked_refuses[DEPOSIT]
    knobs.locked_refuses[WITHDRAWAL] = rules.locked_withdrawal == "refuse"
    knobs.locked_refuses[DISPUTE] = rules.locked_dispute == "refuse"
    knobs.locked_refuses[DISPUTE + 1] = rules.locked_resolve == "refuse"
    knobs.locked_refuses[CHARGEBACK] = rules.locked_chargeback == "refuse"
    knobs.disputes_withdrawals = rules.dispute_withdrawal == "provisional_credit"
    knobs.allows_negative = rules.negative_available_on_dispute == "allow"
    knobs.allows_redispute = rules.redispute_after_resolve == "accept"
    knobs.burns_ids = rules.refused_tx_id == "burned"
    return 0
