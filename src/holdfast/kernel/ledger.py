"""The fold: batches of transactions in, one outcome per row, accounts that are always the sum of what was applied.

Data structures, what they cost, and why:

* Accounts are reached by number and live in pages (:mod:`pages`), 17 bytes each. While client ids have 16 bits the number is the
  id: a direct table, no look-up at all. Wider ids go through an index (:mod:`index`), 6 to 12 bytes of table and 8 of key.
* Transactions are append-only records of 16 bytes (amount, owner, tx; 20 with wide tx ids) in chunks of 131,072 that never
  move: what is recorded never changes, so nothing ever has to be copied. The index by tx id adds 6 to 12 bytes, 17.5 for as long
  as it grows: 22 to 28 bytes a transaction as a rule, 34 at worst (38 with wide ids).
* Disputes are two bits per record (never, open, resolved, charged back), by chunk of records, and exist only for chunks in which
  something was disputed: a table beside the records that never has to grow, and 0.25 bytes a transaction at worst.

The worst case of a row is one miss of the cache for its slot in the index, one for the record if it refers to one, and one
for the account. Rows are taken in blocks of 64, and while one is applied, what the next two need is prefetched, so that these
misses overlap with each other and with the arithmetic. Growth is spread over the rows (:mod:`index`).

Order of work within a row: every check first, in the order of the outcome table; then, when nothing can fail any more, the
changes.
"""

import cython
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.holdfast.kernel.codes import (
    ACCOUNT_LOCKED,
    ALREADY_CHARGED_BACK,
    ALREADY_DISPUTED,
    AMOUNT_NOT_POSITIVE,
    APPLIED,
    BALANCE_OVERFLOW,
    CHARGEBACK,
    CLIENT_MISMATCH,
    DEPOSIT,
    DISPUTE,
    DUPLICATE_TX,
    INSUFFICIENT_FUNDS,
    NOT_DISPUTABLE,
    NOT_DISPUTED,
    TX_ID_REUSED,
    TX_NOT_FOUND,
    UNDECIDED,
    WITHDRAWAL,
)
from cython.cimports.holdfast.kernel.image import new_image
from cython.cimports.holdfast.kernel.index import (
    BLOCK_KEYS,
    append,
    close_index,
    find,
    hash_key,
    home_slot,
    index_bytes,
    key_at,
    make_room,
    open_index,
    prefetch_slots,
    record_at,
)
from cython.cimports.holdfast.kernel.pages import (
    EXISTS,
    LOCKED,
    PAGE_BITS,
    PAGE_MASK,
    AccountPage,
    Balance,
    close_accounts,
    free_retired,
    open_accounts,
    reserve_accounts,
    writable_page,
)
from cython.cimports.holdfast.kernel.platform import hf_check, hf_likely, hf_prefetch, hf_unlikely
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc, realloc
from cython.cimports.libc.string import memset

from holdfast.domain.rules import STANDARD, Rules
from holdfast.kernel.csv_decoder import ID_BITS

IS_BURNED = cython.declare(uint32_t, 0x80000000)
ACCOUNTS_MAX = 1 << 30
"""How many accounts a ledger takes."""


@cython.cclass
class Ticket:
    """Says whether an image is still alive; shared by the image and its ledger, which may be looked at by different threads."""


@cython.cclass
class Ledger:
    """Accounts, recorded transactions and open disputes under one set of rules. One writer at a time.

    Args:
        rules: The profile to decide by.
        client_bits: How wide client ids are: 16, 32 or 64.
        tx_bits: How wide transaction ids are: 16, 32 or 64.
        huge_pages: Whether to ask the system for memory two megabytes at a time. That saves a fifth of the processor's time on
            a large file, and makes the batch that meets a new page slower: some milliseconds where the system has to find it.

    Raises:
        ValueError: For another width.
    """

    def __cinit__(
        self,
        rules: object = STANDARD,
        client_bits: cython.int = 16,
        tx_bits: cython.int = 32,
        huge_pages: bool = False,
    ):
        if client_bits not in ID_BITS or tx_bits not in ID_BITS:
            raise ValueError(f"ids are 16, 32 or 64 bits wide, not {client_bits} (client) and {tx_bits} (tx)")
        self.is_direct = client_bits == 16
        self.client_max = UINT64_MAX >> (64 - client_bits)
        self.tx_max = UINT64_MAX >> (64 - tx_bits)
        self.tickets = []
        _take_rules(cython.address(self.knobs), rules)
        if open_accounts(cython.address(self.accounts_table), 1 << 16 if self.is_direct else 0) < 0:
            raise MemoryError
        open_index(cython.address(self.tx_index), tx_bits, RECORD_CHUNK_BITS, cython.sizeof(Record), 12)
        if not self.is_direct:
            open_index(cython.address(self.client_index), client_bits, CLIENT_CHUNK_BITS, 4, 0)
        self.tx_index.is_huge = self.client_index.is_huge = huge_pages

    def __dealloc__(self):
        chunk: uint64_t
        close_accounts(cython.address(self.accounts_table))
        close_index(cython.address(self.tx_index))
        close_index(cython.address(self.client_index))
        for chunk in range(self.dispute_chunks):
            free(self.disputes[chunk])
        free(self.disputes)

    @property
    def accounts(self) -> int:
        """How many accounts there are."""
        return self.accounts_table.count

    @property
    def locked_accounts(self) -> int:
        """How many accounts a chargeback has locked."""
        return self.accounts_table.locked

    @property
    def transactions(self) -> int:
        """How many transactions are recorded: the applied deposits and withdrawals."""
        return self.tx_index.count - self.burned

    @property
    def open_disputes(self) -> int:
        """How many transactions are under dispute."""
        return self.open_disputes_count

    @property
    def size_bytes(self) -> int:
        """How much address space the records and the indexes take; memory in use is less."""
        return index_bytes(cython.address(self.tx_index)) + index_bytes(cython.address(self.client_index))

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
        if self.is_busy:
            raise RuntimeError("another thread is applying to this ledger: it has one writer at a time")
        if batch.client_max > self.client_max or batch.tx_max > self.tx_max:
            batch.check(self.client_max, self.tx_max)
        counted: Tally = Tally() if tally is None else tally
        counted.is_stopped = False
        self.sweep()
        self.is_busy = True
        reached: cython.Py_ssize_t
        with cython.nogil:
            reached = self.apply_rows(batch, start, stop, counted)
        self.is_busy = False
        if reached < stop and not counted.is_stopped:
            raise MemoryError(
                f"no memory for row {reached} of the batch; {self.transactions} transactions are recorded"
            )
        return reached

    def apply_one(self, type: cython.int, client: uint64_t, tx: uint64_t, amount: int64_t) -> int:
        """Decide one transaction, given as the numbers of a row; give its outcome code.

        Raises:
            ValueError: If the type is none of the five.
        """
        if not DEPOSIT <= type <= CHARGEBACK:
            raise ValueError(f"a transaction type is {DEPOSIT} to {CHARGEBACK}, not {type}")
        batch: Batch = new_batch(1)
        batch.client_max = batch.tx_max = UINT64_MAX
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
        ticket.epoch = self.accounts_table.epoch
        ticket.is_live = True
        image = new_image(self, ticket)
        self.accounts_table.epoch += 1
        self.sweep()
        self.tickets.append(ticket)
        return image

    def account(self, client: object):
        """Look an account up: (available units, held units, locked), or None if there is none."""
        if not 0 <= client <= self.client_max:
            return None
        wanted: uint64_t = client
        number: int64_t = cython.cast(int64_t, wanted)
        if not self.is_direct:
            vacancy: cython.pointer[uint32_t] = cython.NULL
            index: cython.pointer[Index] = cython.address(self.client_index)
            home: uint64_t = home_slot(index, cython.address(index.table), wanted)
            number = find(index, wanted, hash_key(index, wanted), home, cython.address(vacancy))
        if number < 0:
            return None
        page: cython.pointer[AccountPage] = self.accounts_table.pages[number >> PAGE_BITS]
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
        if self.accounts_table.retired_count == 0 and len(self.tickets) < 64:
            return 0
        if self.accounts_table.retired_count and all(
            [cython.cast(Ticket, ticket).is_live for ticket in self.tickets]
        ):
            return 0
        self.tickets = [ticket for ticket in self.tickets if cython.cast(Ticket, ticket).is_live]
        epochs = cython.cast(cython.pointer[uint64_t], malloc(8 * (len(self.tickets) or 1)))
        if epochs == cython.NULL:
            raise MemoryError
        for number in range(len(self.tickets)):
            epochs[number] = cython.cast(Ticket, self.tickets[number]).epoch
        free_retired(cython.address(self.accounts_table), epochs, len(self.tickets))
        free(epochs)
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def apply_rows(
        self, batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, tally: Tally
    ) -> cython.Py_ssize_t:
        """Apply rows block by block, each looked up while the one before it is applied; give the first undecided row."""
        blocks: Lookahead[3]
        # The block at hand, the one behind it and the one behind that, at first all empty and just before the first row.
        now: cython.pointer[Lookahead] = cython.address(blocks[0])
        following: cython.pointer[Lookahead] = cython.address(blocks[1])
        later: cython.pointer[Lookahead] = cython.address(blocks[2])
        now.start = now.stop = following.start = following.stop = later.stop = start
        while now.start < stop:
            later.start = following.stop
            later.stop = min(later.start + BLOCK_KEYS, stop)
            # Room for this block and the two before it, which may not have been applied yet.
            if later.start < later.stop and self.reserve(3 * BLOCK_KEYS) < 0:
                # Without it, those before still have what they asked for.
                stop = later.stop = later.start
            self.find_homes(batch, later)
            reached: cython.Py_ssize_t = self.apply_block(batch, now, following, later, tally)
            if reached < now.stop or tally.is_stopped:
                return reached
            now, following, later = following, later, now
        return now.start

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def find_homes(self, batch: Batch, block: cython.pointer[Lookahead]) -> cython.void:
        """Work out where the keys of a block's rows belong."""
        index: cython.pointer[Index] = cython.address(self.tx_index)
        row: cython.Py_ssize_t
        start: cython.Py_ssize_t = block.start
        for row in range(start, block.stop):
            block.homes[row - start] = home_slot(index, cython.address(index.table), batch.tx_column[row])
            block.hashes[row - start] = hash_key(index, batch.tx_column[row])
        block.generation = index.generation
        block.client_generation = self.client_index.generation
        if self.is_direct:
            return
        index = cython.address(self.client_index)
        for row in range(start, block.stop):
            block.client_homes[row - start] = home_slot(
                index, cython.address(index.table), batch.client_column[row]
            )
            block.client_hashes[row - start] = hash_key(index, batch.client_column[row])

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def look_ahead(
        self,
        batch: Batch,
        place: cython.Py_ssize_t,
        following: cython.pointer[Lookahead],
        later: cython.pointer[Lookahead],
    ) -> cython.void:
        """Prefetch: what a row of the block after next looks up, and what a row of the following block refers to.

        Done row by row between those that are applied, so that memory and arithmetic overlap. A home that is of an earlier table
        by now is still one within the table.
        """
        row: cython.Py_ssize_t = later.start + place
        if row < later.stop:
            prefetch_slots(cython.address(self.tx_index), batch.tx_column[row], later.homes[place])
            if self.is_direct:
                self.prefetch_account(batch.client_column[row] & 0xFFFF)
            else:
                prefetch_slots(
                    cython.address(self.client_index), batch.client_column[row], later.client_homes[place]
                )
        row = following.start + place
        if row < following.stop and batch.type_column[row] > WITHDRAWAL:
            self.prefetch_reference(following.homes[place])

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def prefetch_reference(self, home: uint64_t) -> cython.void:
        """Prefetch the record that a home slot names, nearly always the one looked for, and the state of its dispute."""
        entry: uint32_t = self.tx_index.table.slots[home]
        if entry == 0:
            return
        ordinal: uint64_t = (entry & self.tx_index.table.number_mask) - 1
        hf_prefetch(record_at(cython.address(self.tx_index.store), ordinal))
        chunk: uint64_t = ordinal >> RECORD_CHUNK_BITS
        if chunk < self.dispute_chunks and self.disputes[chunk] != cython.NULL:
            hf_prefetch(self.disputes[chunk] + ((ordinal & RECORD_CHUNK_MASK) >> 2))

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def prefetch_account(self, number: uint64_t) -> cython.void:
        page: cython.pointer[AccountPage] = self.accounts_table.pages[number >> PAGE_BITS]
        if page != cython.NULL:
            hf_prefetch(cython.address(page.balances[number & PAGE_MASK]))
            hf_prefetch(cython.address(page.flags[number & PAGE_MASK]))

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reserve(self, rows: uint64_t) -> cython.int:
        """Make room for so many new transactions and accounts, so that no row can fail later; -1 if there is none.

        A block's share of growth is done with it: room is made for three blocks, but one of them is new.
        """
        if make_room(cython.address(self.tx_index), rows, BLOCK_KEYS) < 0:
            return -1
        if self.is_direct:
            return 0
        if (
            self.client_index.count + rows > ACCOUNT_MASK
            or make_room(cython.address(self.client_index), rows, BLOCK_KEYS) < 0
        ):
            return -1
        return reserve_accounts(cython.address(self.accounts_table), self.client_index.count + rows)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def apply_block(
        self,
        batch: Batch,
        block: cython.pointer[Lookahead],
        following: cython.pointer[Lookahead],
        later: cython.pointer[Lookahead],
        tally: Tally,
    ) -> cython.Py_ssize_t:
        """Apply the rows of one block, asking for what the next two need; give the first row that was not decided."""
        step: Step
        start: cython.Py_ssize_t = block.start
        stop: cython.Py_ssize_t = block.stop
        row: cython.Py_ssize_t
        code: cython.int
        rows_before: uint64_t = tally.rows
        if (
            block.generation != self.tx_index.generation
            or block.client_generation != self.client_index.generation
        ):
            self.find_homes(batch, block)
        for row in range(stop, start + (later.stop - later.start)):
            # Only the first blocks of all are shorter than what comes behind them.
            self.look_ahead(batch, row - start, following, later)
        for row in range(start, stop):
            self.look_ahead(batch, row - start, following, later)
            code = batch.outcome_column[row]
            if hf_likely(code == UNDECIDED):
                step.type = batch.type_column[row]
                step.client = batch.client_column[row]
                step.tx = batch.tx_column[row]
                step.amount = batch.amount_column[row]
                step.home = block.homes[row - start]
                step.hash = block.hashes[row - start]
                step.client_home = block.client_homes[row - start]
                step.client_hash = block.client_hashes[row - start]
                code = (
                    self.transfer(cython.address(step))
                    if step.type <= WITHDRAWAL
                    else self.refer(cython.address(step))
                )
                if hf_unlikely(code == FAILED):
                    tally.rows = rows_before + (row - start)
                    return row
                batch.outcome_column[row] = code
            if hf_unlikely(code != APPLIED):
                tally.rows = rows_before + (row - start) + 1
                if tally.refuse(code):
                    return row + 1
        tally.rows = rows_before + (stop - start)
        return stop

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def open_account(self, step: cython.pointer[cython.const[Step]]) -> int64_t:
        """Give the number of the client's account, which comes into being here if need be; -1 if there is no memory."""
        number: int64_t = step.client
        vacancy: cython.pointer[uint32_t] = cython.NULL
        if not self.is_direct:
            index: cython.pointer[Index] = cython.address(self.client_index)
            number = find(index, step.client, step.client_hash, step.client_home, cython.address(vacancy))
            if number < 0:
                # The account exists once its page says so, below; a number without a page is taken up by the next try.
                number = append(cython.address(self.client_index), step.client, step.client_hash, vacancy)
        page: cython.pointer[AccountPage] = writable_page(cython.address(self.accounts_table), number)
        if hf_unlikely(page == cython.NULL):
            return -1
        if hf_unlikely(not page.flags[number & PAGE_MASK] & EXISTS):
            page.flags[number & PAGE_MASK] |= EXISTS
            self.accounts_table.count += 1
        return number

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def transfer(self, step: cython.pointer[cython.const[Step]]) -> cython.int:
        """Decide a deposit or withdrawal."""
        vacancy: cython.pointer[uint32_t] = cython.NULL
        number: int64_t = self.open_account(step)
        if hf_unlikely(number < 0):
            return FAILED
        owner: uint32_t = cython.cast(uint32_t, number) | (IS_WITHDRAWAL if step.type == WITHDRAWAL else 0)
        page: cython.pointer[AccountPage] = self.accounts_table.pages[number >> PAGE_BITS]
        balance: cython.pointer[Balance] = cython.address(page.balances[number & PAGE_MASK])
        outcome: cython.int
        ordinal: int64_t = find(
            cython.address(self.tx_index), step.tx, step.hash, step.home, cython.address(vacancy)
        )
        if hf_unlikely(step.amount <= 0):
            outcome = AMOUNT_NOT_POSITIVE
        elif hf_unlikely(ordinal >= 0):
            earlier: cython.pointer[Record] = cython.cast(
                cython.pointer[Record], record_at(cython.address(self.tx_index.store), ordinal)
            )
            return DUPLICATE_TX if earlier.owner == owner and earlier.amount == step.amount else TX_ID_REUSED
        elif hf_unlikely(page.flags[number & PAGE_MASK] & LOCKED and self.knobs.locked_refuses[step.type]):
            outcome = ACCOUNT_LOCKED
        else:
            outcome = _check_balance(balance, step.amount, step.type == WITHDRAWAL)
        if hf_likely(outcome == APPLIED):
            # After this point nothing can fail.
            balance.available += -step.amount if step.type == WITHDRAWAL else step.amount
            self.record(step, vacancy, owner)
        elif self.knobs.burns_ids and ordinal < 0:
            self.record(step, vacancy, owner | IS_BURNED)
            self.burned += 1
        return outcome

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def record(
        self, step: cython.pointer[cython.const[Step]], vacancy: cython.pointer[uint32_t], owner: uint32_t
    ) -> cython.void:
        ordinal: uint64_t = append(cython.address(self.tx_index), step.tx, step.hash, vacancy)
        entry: cython.pointer[Record] = cython.cast(
            cython.pointer[Record], record_at(cython.address(self.tx_index.store), ordinal)
        )
        entry.amount = step.amount
        entry.owner = owner

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def refer(self, step: cython.pointer[cython.const[Step]]) -> cython.int:
        """Decide a dispute, resolve or chargeback."""
        vacancy: cython.pointer[uint32_t] = cython.NULL
        ordinal: int64_t = find(
            cython.address(self.tx_index), step.tx, step.hash, step.home, cython.address(vacancy)
        )
        if ordinal < 0:
            return TX_NOT_FOUND
        entry: cython.pointer[Record] = cython.cast(
            cython.pointer[Record], record_at(cython.address(self.tx_index.store), ordinal)
        )
        if entry.owner & IS_BURNED:
            return TX_NOT_FOUND
        number: uint64_t = entry.owner & ACCOUNT_MASK
        owner: uint64_t = (
            number if self.is_direct else key_at(cython.address(self.client_index.store), number)
        )
        if owner != step.client:
            return CLIENT_MISMATCH
        if step.type == DISPUTE and entry.owner & IS_WITHDRAWAL and not self.knobs.disputes_withdrawals:
            return NOT_DISPUTABLE
        page: cython.pointer[AccountPage] = writable_page(cython.address(self.accounts_table), number)
        if page == cython.NULL or self.reserve_dispute(ordinal) < 0:
            return FAILED
        if page.flags[number & PAGE_MASK] & LOCKED and self.knobs.locked_refuses[step.type]:
            return ACCOUNT_LOCKED
        if step.type == DISPUTE:
            return self.dispute(ordinal, entry, page, number & PAGE_MASK)
        return self.settle(step.type, ordinal, entry, page, number & PAGE_MASK)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def dispute(
        self,
        ordinal: uint64_t,
        record: cython.pointer[cython.const[Record]],
        page: cython.pointer[AccountPage],
        slot: uint64_t,
    ) -> cython.int:
        """Hold the amount of a deposit, or credit that of a withdrawal provisionally."""
        balance: cython.pointer[Balance] = cython.address(page.balances[slot])
        amount: int64_t = record.amount
        state: cython.int = self.dispute_state(ordinal)
        if state == OPEN or (state == RESOLVED and not self.knobs.allows_redispute):
            return ALREADY_DISPUTED
        if state == CHARGED_BACK:
            return ALREADY_CHARGED_BACK
        if record.owner & IS_WITHDRAWAL:
            # The total grows with what is held.
            if balance.held > INT64_MAX - amount or balance.available + balance.held > INT64_MAX - amount:
                return BALANCE_OVERFLOW
            amount = 0
        else:
            if amount > balance.available and not self.knobs.allows_negative:
                return INSUFFICIENT_FUNDS
            if balance.available < INT64_MIN + amount or balance.held > INT64_MAX - amount:
                return BALANCE_OVERFLOW
        # After this point nothing can fail.
        balance.available -= amount
        balance.held += record.amount
        self.set_dispute_state(ordinal, OPEN)
        self.open_disputes_count += 1
        return APPLIED

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def settle(
        self,
        type: cython.int,
        ordinal: uint64_t,
        record: cython.pointer[cython.const[Record]],
        page: cython.pointer[AccountPage],
        slot: uint64_t,
    ) -> cython.int:
        """End a dispute: resolve or charge back."""
        balance: cython.pointer[Balance] = cython.address(page.balances[slot])
        is_chargeback: cython.bint = type == CHARGEBACK
        is_withdrawal: cython.bint = record.owner & IS_WITHDRAWAL != 0
        if self.dispute_state(ordinal) != OPEN:
            return NOT_DISPUTED
        # What is held is part of a total that fits, so giving it back to available fits as well.
        hf_check(balance.held >= record.amount)
        if is_chargeback == is_withdrawal:
            balance.available += record.amount
        balance.held -= record.amount
        self.set_dispute_state(ordinal, CHARGED_BACK if is_chargeback else RESOLVED)
        self.open_disputes_count -= 1
        if is_chargeback and not page.flags[slot] & LOCKED:
            page.flags[slot] |= LOCKED
            self.accounts_table.locked += 1
        return APPLIED

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def dispute_state(self, ordinal: uint64_t) -> cython.int:
        states: cython.pointer[uint8_t] = self.disputes[ordinal >> RECORD_CHUNK_BITS]
        return (states[(ordinal & RECORD_CHUNK_MASK) >> 2] >> ((ordinal & 3) << 1)) & 3

    @cython.cfunc
    @cython.inline
    @cython.nogil
    @cython.exceptval(check=False)
    def set_dispute_state(self, ordinal: uint64_t, state: cython.int) -> cython.void:
        states: cython.pointer[uint8_t] = self.disputes[ordinal >> RECORD_CHUNK_BITS] + (
            (ordinal & RECORD_CHUNK_MASK) >> 2
        )
        shift: cython.int = (ordinal & 3) << 1
        states[0] = (states[0] & ~(3 << shift)) | (state << shift)

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def reserve_dispute(self, ordinal: uint64_t) -> cython.int:
        """Make sure that there are states for the chunk of this record; -1 if there is no memory."""
        chunk: uint64_t = ordinal >> RECORD_CHUNK_BITS
        if chunk >= self.dispute_chunks:
            chunks: uint64_t = max(chunk + 1, self.dispute_chunks * 2)
            disputes: cython.p_void = realloc(self.disputes, chunks * cython.sizeof(cython.p_void))
            if disputes == cython.NULL:
                return -1
            self.disputes = cython.cast(cython.pointer[cython.pointer[uint8_t]], disputes)
            memset(
                self.disputes + self.dispute_chunks,
                0,
                (chunks - self.dispute_chunks) * cython.sizeof(cython.p_void),
            )
            self.dispute_chunks = chunks
        if self.disputes[chunk] == cython.NULL:
            self.disputes[chunk] = cython.cast(
                cython.pointer[uint8_t], calloc(1 << (RECORD_CHUNK_BITS - 2), 1)
            )
        return 0 if self.disputes[chunk] != cython.NULL else -1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _check_balance(
    balance: cython.pointer[Balance], amount: int64_t, is_withdrawal: cython.bint
) -> cython.int:
    """Say whether a balance allows a transfer of a positive amount, or else why not.

    Whether a row is a deposit or a withdrawal is a coin toss that no processor predicts, so there is one branch for both, and it
    is nearly always the same.
    """
    lacks: cython.bint = is_withdrawal & (amount > balance.available)
    largest: int64_t = INT64_MAX - amount
    overflows: cython.bint = (not is_withdrawal) & (
        (balance.available > largest) | (balance.available + balance.held > largest)
    )
    if hf_likely(not (lacks | overflows)):
        return APPLIED
    return INSUFFICIENT_FUNDS if lacks else BALANCE_OVERFLOW


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_rules(knobs: cython.pointer[Knobs], rules: object) -> cython.int:
    if not isinstance(rules, Rules):
        raise TypeError(f"rules are a Rules, not {type(rules).__name__}; find_rules() gives one by name")
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
