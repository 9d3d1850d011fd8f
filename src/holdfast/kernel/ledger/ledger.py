"""The fold: batches of transactions in, one outcome per row, accounts that are always the sum of what was applied.

Data structures, what they cost, and why:

* Accounts are reached by number and live in pages (:mod:`pages`), 17 bytes each. While client ids have 16 bits the number is
  the id: a direct table, no look-up at all. Wider ids are numbered by an index (:mod:`index`), 16 bytes for an id of 32 bits
  and 26 for one of 64, and kept with the account, 8 bytes more.
* Transactions are recorded once (:mod:`records`) and never removed. Sequential ids stand side by side and cost 12 bytes a
  transaction; scattered ones stand in an index (:mod:`index`) and cost 33 bytes (43 with wide ids).
* Disputes are two bits of a record's word for its owner (never, open, resolved, charged back): no table, nothing to look up.

The fold over these (:mod:`fold`) costs a row at worst one miss of the cache for its transaction, one for its client if ids are
wide, and one for the account, and lets these misses overlap.
"""

import cython
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.holdfast.kernel.codes import (
    CHARGEBACK,
    DEPOSIT,
    DISPUTE,
    UNDECIDED,
    WITHDRAWAL,
)
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_BITS,
    PAGE_MASK,
    AccountPage,
    Balance,
    close_accounts,
    free_retired,
    open_accounts,
)
from cython.cimports.holdfast.kernel.ledger.fold import (
    Knobs,
    Rows,
    apply_rows,
)
from cython.cimports.holdfast.kernel.ledger.image import new_image
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
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import int64_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc

from holdfast.domain.settings import Settings, check_settings

SETTINGS_DEFAULT = Settings()
ACCOUNTS_MAX = ACCOUNTS_LIMIT
"""How many accounts a ledger takes."""


@cython.cclass
class Ticket:
    """Says whether an image is still alive; shared by the image and its ledger, which may be looked at by different threads."""


@cython.cclass
class Ledger:
    """Accounts, recorded transactions and open disputes under one set of rules. One writer at a time.

    Args:
        settings: Rules and widths.
        huge_pages: Whether to ask the system for memory two megabytes at a time. That saves a fifth of the processor's time on
            a large file, and makes the batch that meets a new page slower: some milliseconds where the system has to find it.

    Raises:
        TypeError: If the settings are no :class:`Settings`.
        ValueError: If one of them is out of range.
    """

    def __cinit__(self, settings: object = SETTINGS_DEFAULT, *, huge_pages: bool = False):
        check_settings(settings)
        client_bits: cython.int = settings.client_bits
        tx_bits: cython.int = settings.tx_bits
        self.state.is_direct = client_bits == 16
        self.client_max = settings.client_max
        self.tx_max = settings.tx_max
        self.tickets = []
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
    def size_bytes(self) -> int:
        """How much memory the records and the indexes take, reckoned in pages: no less than is in use."""
        return records_bytes(cython.address(self.state.records)) + index_bytes(
            cython.address(self.state.client_index)
        )

    def apply(
        self,
        batch: Batch,
        start: cython.Py_ssize_t = 0,
        stop: cython.Py_ssize_t = -1,
        tally: Tally | None = None,
    ) -> int:
        """Decide the undecided rows of a batch, in order, and apply those that the rules allow.

        Args:
            batch: Its outcomes are filled in; a row that has one already (a malformed one) keeps it and is counted.
            start: The first row to decide.
            stop: The row to stop before; the end of the batch if negative.
            tally: Counts the outcomes and says after which row to stop early.

        Returns:
            The first row that was not decided: ``stop``, or the one behind the row at which the tally's actions stopped.

        Raises:
            MemoryError: If there is no memory for a row; the rows before it stand, it and those behind it are undecided.
            RuntimeError: If another thread is applying.
        """
        if stop < 0 or stop > batch.rows:
            stop = batch.rows
        if not 0 <= start <= stop:
            raise IndexError(f"rows {start} to {stop} of a batch of {batch.rows}")
        counted: Tally = Tally() if tally is None else tally
        rows: Rows
        self.prepare(batch, cython.address(rows))
        counted.is_stopped = False
        self.is_busy = True
        reached: cython.Py_ssize_t
        with cython.nogil:
            reached = apply_rows(cython.address(self.state), cython.address(rows), start, stop, counted)
        self.is_busy = False
        self.decided += reached - start
        if reached < stop and not counted.is_stopped:
            self.fail_at(reached)
        return reached

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def apply_small(self, batch: Batch, start: cython.Py_ssize_t, tally: Tally) -> cython.Py_ssize_t:
        """Do what :meth:`apply` does, for a small batch: without letting another Python thread run."""
        rows: Rows
        self.prepare(batch, cython.address(rows))
        tally.is_stopped = False
        reached: cython.Py_ssize_t = apply_rows(
            cython.address(self.state), cython.address(rows), start, batch.rows, tally
        )
        self.decided += reached - start
        if reached < batch.rows and not tally.is_stopped:
            self.fail_at(reached)
        return reached

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def prepare(self, batch: Batch, rows: cython.pointer[Rows]) -> cython.int:
        """Check that a batch can be applied now, and point at its columns."""
        self.check_idle()
        if batch.is_unchecked or batch.client_max > self.client_max or batch.tx_max > self.tx_max:
            batch.check(self.client_max, self.tx_max)
        self.sweep()
        # That may have let another thread run.
        self.check_idle()
        rows.types = batch.type_column
        rows.clients = batch.client_column
        rows.txs = batch.tx_column
        rows.amounts = batch.amount_column
        rows.outcomes = batch.outcome_column
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_idle(self) -> cython.int:
        if self.is_busy:
            raise RuntimeError("another thread is applying to this ledger: it has one writer at a time")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fail_at(self, row: cython.Py_ssize_t) -> cython.int:
        raise MemoryError(
            f"no memory for row {row} of the batch; {self.transactions} transactions are recorded"
        )

    def apply_one(self, type: cython.int, client: uint64_t, tx: uint64_t, amount: int64_t) -> int:
        """Decide one transaction, given as the numbers of a row; give its outcome code.

        Raises:
            ValueError: If the type is none of the five.
        """
        if not DEPOSIT <= type <= CHARGEBACK:
            raise ValueError(f"a transaction type is {DEPOSIT} to {CHARGEBACK}, not {type}")
        batch: Batch = new_batch(1)
        batch.is_unchecked = True
        batch.rows = 1
        batch.type_column[0] = type
        batch.client_column[0] = client
        batch.tx_column[0] = tx
        batch.amount_column[0] = amount
        batch.outcome_column[0] = UNDECIDED
        self.apply(batch)
        return batch.outcome_column[0]

    def image(self):
        """Take a point-in-time image of all accounts, in microseconds; it never changes.

        Raises:
            RuntimeError: If another thread is applying.
        """
        if self.is_busy:
            raise RuntimeError(
                "another thread is applying to this ledger: take the image between two batches"
            )
        ticket: Ticket = Ticket.__new__(Ticket)
        ticket.epoch = self.state.accounts.epoch
        ticket.is_live = True
        image = new_image(self, ticket)
        self.state.accounts.epoch += 1
        self.sweep()
        self.tickets.append(ticket)
        return image

    def account(self, client: object):
        """Look an account up: (available units, held units, locked), or None if there is none."""
        if not 0 <= client <= self.client_max:
            return None
        wanted: uint64_t = client
        number: int64_t = cython.cast(int64_t, wanted)
        if not self.state.is_direct:
            vacancy: Vacancy
            index: cython.pointer[Index] = cython.address(self.state.client_index)
            number = find_number(index, wanted, home_of(index, wanted), cython.address(vacancy))
        if number < 0:
            return None
        page: cython.pointer[AccountPage] = self.state.accounts.pages[number >> PAGE_BITS]
        if page == cython.NULL or not page.flags[number & PAGE_MASK] & EXISTS:
            return None
        balance: Balance = page.balances[number & PAGE_MASK]
        return balance.available, balance.held, bool(page.flags[number & PAGE_MASK] & LOCKED)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def sweep(self) -> cython.int:
        """Free the pages that only images showed which are gone. Done by the writer, so that no lock is needed."""
        ticket: Ticket
        epochs: cython.pointer[uint64_t]
        number: cython.Py_ssize_t
        if self.state.accounts.retired_count == 0 and len(self.tickets) < 64:
            return 0
        if self.state.accounts.retired_count and all(
            [cython.cast(Ticket, ticket).is_live for ticket in self.tickets]
        ):
            return 0
        self.tickets = [ticket for ticket in self.tickets if cython.cast(Ticket, ticket).is_live]
        epochs = cython.cast(cython.pointer[uint64_t], malloc(8 * (len(self.tickets) or 1)))
        if epochs == cython.NULL:
            raise MemoryError
        for number in range(len(self.tickets)):
            epochs[number] = cython.cast(Ticket, self.tickets[number]).epoch
        free_retired(cython.address(self.state.accounts), epochs, len(self.tickets))
        free(epochs)
        return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_rules(knobs: cython.pointer[Knobs], rules: object) -> cython.int:
    knobs.locked_refuses[DEPOSIT] = rules.locked_deposit == "refuse"
    knobs.locked_refuses[WITHDRAWAL] = rules.locked_withdrawal == "refuse"
    knobs.locked_refuses[DISPUTE] = rules.locked_dispute == "refuse"
    knobs.locked_refuses[DISPUTE + 1] = rules.locked_resolve == "refuse"
    knobs.locked_refuses[CHARGEBACK] = rules.locked_chargeback == "refuse"
    knobs.disputes_withdrawals = rules.dispute_withdrawal == "provisional_credit"
    knobs.allows_negative = rules.negative_available_on_dispute == "allow"
    knobs.allows_redispute = rules.redispute_after_resolve == "accept"
    knobs.burns_ids = rules.refused_tx_id == "burned"
    return 0
