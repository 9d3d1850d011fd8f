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
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.holdfast.kernel.batch import Batch
from cython.cimports.holdfast.kernel.codes import UNDECIDED
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_BITS,
    PAGE_MASK,
    AccountPage,
    writable_page,
)
from cython.cimports.holdfast.kernel.ledger.counters import count_indexed
from cython.cimports.holdfast.kernel.ledger.fold import (
    Rows,
    apply_rows,
)
from cython.cimports.holdfast.kernel.ledger.index import index_bytes
from cython.cimports.holdfast.kernel.ledger.index_room import (
    arena_count,
    expect_keys,
    list_arenas,
    touch_arena,
)
from cython.cimports.holdfast.kernel.ledger.journaled import (
    DECIDED_BEFORE,
    FOLLOWED,
    NO_MEMORY,
    NO_OUTCOME,
    fault_reason,
    follow_rows,
)
from cython.cimports.holdfast.kernel.ledger.lookup import number_of, take_rules
from cython.cimports.holdfast.kernel.ledger.paged_state import PagedState
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free

from holdfast.domain.settings import check_settings
from holdfast.domain.unappliable import UnappliableError


@cython.final
@cython.cclass
class LedgerCore(PagedState):
    """Accounts, recorded transactions and open disputes under one set of rules.

    One thread at a time decides rows or reads accounts; the others wait, for one batch at most. The lock is taken and released
    within one call, so a signal handler finds it free. Code that runs within the call in the same thread (a recorder, a
    ``__del__``) gets an error instead of waiting for itself.

    Args:
        settings: Rules and widths.
        pages: Whether changes of the state are followed, so that it can be written out page by page: :meth:`cut`.
        huge_pages: Whether to ask the system for memory two megabytes at a time. That saves a fifth of the CPU time on a large
            file, but delays each batch that needs a new page, by some milliseconds if the system has none ready.

    Attributes:
        recorder: Gets every decided stretch of rows, in order, before the caller hears of it; None without a recorder.
            ``recorder.record(batch, start, stop, sequence, stream, position, tally)`` gets the batch and its rows from ``start``
            to before ``stop``, the number of decisions before them, their stream with the number of its rows before them, and
            what they were counted in. It must copy what it keeps: the batch is reused afterwards. An exception in it reaches
            the caller; the ledger then decides and shows nothing more.
        settings: The settings in force.
        lacks_page: Whether the last call of :meth:`decide` ended before a row whose record is not in memory.

    Raises:
        TypeError: If the settings are not a :class:`Settings`.
        ValueError: If one of them is out of range.
    """

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
            stream: The name of the stream that the rows belong to, or their :class:`Origin`, for the recorder.
            position: How many rows of the stream were decided before.

        Returns:
            The first row that was not decided: ``stop``, or the one after the row at which the tally's actions stopped. If
            :attr:`lacks_page` is true then, it is a row whose record is not in memory: :meth:`load_page` it, and go on.

        Raises:
            IndexError: If there are no such rows.
            MemoryError: If there is no memory for a row; the rows before it stand, that row and later rows are undecided.
            ValueError: If a row was decided before; the rows before it stand, that row and later rows are as they were.
            RuntimeError: If this thread is deciding already, or the recorder has failed before.
        """
        stop = batch.check_range(start, stop)
        counted: Tally = Tally.__new__(Tally) if tally is None else tally
        reached: cython.Py_ssize_t
        self.lock.enter()
        try:
            self.check_failure()
            reached = self.decide_rows(batch, start, stop, counted)
            # Also where the recorder fails: the rows are in memory.
            self.decided += reached - start
            if self.recorder is not None and reached > start:
                self.record(batch, start, reached, stream, position, counted)
            self.recorded = self.decided
            self.lacks_page = reached < stop and not counted.is_stopped and reached == self.state.absent_row
        finally:
            self.lock.leave()
        if reached < stop and not counted.is_stopped and not self.lacks_page:
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
        self.open_rows(batch, cython.address(rows))
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
        tally: Tally,
    ) -> cython.int:
        return self.tell_recorder(
            self.recorder.record, (batch, start, stop, self.recorded, stream, position, tally)
        )

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def open_rows(self, batch: Batch, rows: cython.pointer[Rows]) -> cython.int:
        """Check a batch, and give its columns."""
        if batch.is_unchecked or batch.client_max > self.client_max or batch.tx_max > self.tx_max:
            batch.check(self.client_max, self.tx_max)
        self.sweep()
        rows.types = batch.type_column
        rows.clients = batch.client_column
        rows.txs = batch.tx_column
        rows.amounts = batch.amount_column
        rows.outcomes = batch.outcome_column
        self.is_restoring = False
        self.state.absent_row = -1
        return 0

    def apply_journaled(
        self, batch: Batch, journaled: bytes, start: cython.Py_ssize_t = 0, stop: cython.Py_ssize_t = -1
    ) -> int:
        """Do what journaled outcomes say, without asking the rules: a replay of rows whose outcomes an operator has accepted.

        Args:
            batch: Its rows, undecided; they get these outcomes.
            journaled: The outcome code of each row of the batch.
            start: The first row.
            stop: The row to stop before; the end of the batch if negative.

        Returns:
            The first row that was not applied: ``stop``, or one whose record is not in memory: :meth:`load_page` it, and go on.

        Raises:
            IndexError: If there are no such rows.
            UnappliableError: If a row cannot have come to its outcome; the rows before it stand.
            MemoryError: If there is no memory for a row; the rows before it stand.
            ValueError: If a row was decided before or has no outcome, or there are fewer outcomes than rows.
            RuntimeError: If this thread is deciding already, or there is a recorder: it would hear nothing of these rows.
        """
        rows: Rows
        reached: cython.Py_ssize_t
        fault: cython.int = FOLLOWED
        stop = batch.check_range(start, stop)
        if len(journaled) < stop:
            raise ValueError(f"there are {len(journaled)} outcomes for rows up to {stop}")
        codes: cython.pointer[cython.const[uint8_t]] = cython.cast(
            cython.pointer[cython.const[uint8_t]], PyBytes_AS_STRING(journaled)
        )
        self.lock.enter()
        try:
            if self.recorder is not None:
                raise RuntimeError("a ledger with a recorder decides its rows, and follows no journal")
            self.open_rows(batch, cython.address(rows))
            with cython.nogil:
                reached = follow_rows(
                    cython.address(self.state),
                    cython.address(rows),
                    codes,
                    start,
                    stop,
                    cython.address(fault),
                )
            self.decided += reached - start
            self.recorded = self.decided
            self.lacks_page = fault == FOLLOWED and reached < stop
        finally:
            self.lock.leave()
        if fault == NO_MEMORY:
            raise MemoryError(f"no memory for row {reached} of the batch")
        if fault == DECIDED_BEFORE:
            batch.refuse_decided(reached)
        if fault == NO_OUTCOME:
            raise ValueError(f"row {reached} of the batch has no journaled outcome")
        if fault != FOLLOWED:
            raise UnappliableError(reached, fault_reason(fault))
        return reached

    def use_huge_pages(self, is_wanted: cython.bint) -> None:
        """Say whether to ask the system for further memory two megabytes at a time; see the constructor.

        Raises:
            RuntimeError: If this thread is deciding rows right now.
        """
        self.lock.enter()
        try:
            self.state.records.is_huge = is_wanted
            self.state.records.index.is_huge = is_wanted
            self.state.client_index.is_huge = is_wanted
        finally:
            self.lock.leave()

    def expect_state(self, counters: bytes) -> int:
        """Make room for the scattered records of a state that is about to be restored, so that none of them moves later.

        Args:
            counters: Those of the state.

        Returns:
            How many bytes of memory there are now that the system has not given yet; see :meth:`touch_memory`.

        Raises:
            MemoryError: If there is no room for so many.
            RuntimeError: If this thread is deciding rows right now.
            ValueError: If there are rows or pages already.
        """
        before: uint64_t
        self.lock.enter()
        try:
            if not self.is_restoring or self.state.records.index.count:
                raise ValueError("room is made in a new ledger only")
            before = index_bytes(cython.address(self.state.records.index))
            if not expect_keys(cython.address(self.state.records.index), count_indexed(counters)):
                raise MemoryError
            return index_bytes(cython.address(self.state.records.index)) - before
        finally:
            self.lock.leave()

    def touch_memory(self) -> None:
        """Have the system give the memory that :meth:`expect_state` made room in: in a thread of its own, while pages are loaded.

        It begins at the other end than the pages, and ends once the state is restored.

        Raises:
            MemoryError: If there is no memory for a list.
            RuntimeError: If this thread is deciding rows right now.
        """
        number: uint64_t
        count: uint64_t
        self.lock.enter()
        count = arena_count(cython.address(self.state.records.index))
        arenas: cython.pointer[cython.pointer[uint8_t]] = list_arenas(
            cython.address(self.state.records.index)
        )
        self.lock.leave()
        if arenas == cython.NULL:
            raise MemoryError
        with cython.nogil:
            for number in range(count):
                if not self.is_restoring:
                    break
                touch_arena(arenas[count - 1 - number])
        free(arenas)

    # --- decisions that are no rows ---

    def unlock(self, client: object, note: object) -> None:
        """End the lock of an account; this takes a place in the order, like a row.

        Args:
            client: The client.
            note: Handed on to the recorder: ``recorder.record_unlock(client, sequence, note)``.

        Raises:
            KeyError: If the client has no account.
            ValueError: If it is not locked.
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed.
        """
        number: int64_t = -1
        self.lock.enter()
        try:
            self.check_failure()
            if 0 <= client <= self.client_max:
                number = number_of(cython.address(self.state), client)
            page: cython.pointer[AccountPage] = cython.NULL
            if number >= 0:
                page = self.state.accounts.pages[number >> PAGE_BITS]
            if page == cython.NULL or not page.flags[number & PAGE_MASK] & EXISTS:
                raise KeyError(client)
            if not page.flags[number & PAGE_MASK] & LOCKED:
                raise ValueError(f"the account of client {client} is not locked")
            page = writable_page(cython.address(self.state.accounts), number)
            if page == cython.NULL:
                raise MemoryError
            page.flags[number & PAGE_MASK] &= ~LOCKED
            self.state.accounts.locked -= 1
            self.count_decision("record_unlock", client, note)
        finally:
            self.lock.leave()

    def change_settings(self, settings: object, note: object) -> None:
        """Decide by other rules from here on; this takes a place in the order, like a row.

        Args:
            settings: The new settings; decimals are those of the ledger, ids may be wider if there is room for them.
            note: Handed on to the recorder: ``recorder.record_settings(settings, sequence, note)``.

        Raises:
            TypeError: If the settings are not a :class:`Settings`.
            ValueError: If decimals differ, or ids are narrower.
            OverflowError: If there is no room for ids so wide: the state has to be restored into a ledger that has it.
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed.
        """
        check_settings(settings)
        now = self.settings
        if settings.decimals != now.decimals:
            raise ValueError("the decimals of a ledger never change")
        if settings.client_bits < now.client_bits or settings.tx_bits < now.tx_bits:
            raise ValueError("ids become wider, and never narrower")
        if settings.client_max > self.state.client_max or settings.tx_max > self.state.tx_max:
            raise OverflowError("there is no room for ids so wide")
        self.lock.enter()
        try:
            self.check_failure()
            take_rules(cython.address(self.state.knobs), settings.rules)
            self.settings = settings
            self.client_max = settings.client_max
            self.tx_max = settings.tx_max
            self.count_decision("record_settings", settings, note)
        finally:
            self.lock.leave()

    def accept(self, accepted: object, note: object) -> None:
        """Take a place in the order for the decision that journaled outcomes stand; the state follows them already.

        Args:
            accepted: Which outcomes.
            note: Handed on with it to the recorder: ``recorder.record_accept(accepted, sequence, note)``.

        Raises:
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed.
        """
        self.lock.enter()
        try:
            self.check_failure()
            self.count_decision("record_accept", accepted, note)
        finally:
            self.lock.leave()

    def note(self, note: object) -> None:
        """Take a place in the order for something that changes nothing: ``recorder.record_note(sequence, note)``.

        Raises:
            RuntimeError: If this thread is deciding rows right now, or the recorder has failed.
        """
        self.lock.enter()
        try:
            self.check_failure()
            self.decided += 1
            if self.recorder is not None:
                self.tell_recorder(self.recorder.record_note, (self.recorded, note))
            self.recorded = self.decided
        finally:
            self.lock.leave()

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def count_decision(self, method: str, subject: object, note: object) -> cython.int:
        """Count a decision that is no row, and have it recorded; the caller holds the lock."""
        self.is_restoring = False
        self.decided += 1
        if self.recorder is not None:
            self.tell_recorder(getattr(self.recorder, method), (subject, self.recorded, note))
        self.recorded = self.decided
        return 0
