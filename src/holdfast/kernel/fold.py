"""The fold itself: the rows of a batch, one after the other, on accounts, records and disputes.

Rows are taken in blocks of 64, and while one is applied, what the next two need is prefetched, so that their cache misses overlap
with each other and with the arithmetic. Everything here is one compilation unit of functions over one structure, so that the
compiler makes one loop of it. :mod:`ledger` says which data structures these are and what they cost.

Order of work within a row: every check first, in the order of the outcome table; then, when nothing can fail any more, the
changes.
"""

import cython
from cython.cimports.holdfast.kernel.codes import (
    ACCOUNT_LOCKED,
    ALREADY_CHARGED_BACK,
    ALREADY_DISPUTED,
    AMOUNT_NOT_POSITIVE,
    APPLIED,
    BALANCE_OVERFLOW,
    CHARGEBACK,
    CLIENT_MISMATCH,
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
from cython.cimports.holdfast.kernel.index import (
    BLOCK_KEYS,
    append,
    find,
    find_homes,
    key_at,
    make_room,
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
    reserve_accounts,
    writable_page,
)
from cython.cimports.holdfast.kernel.platform import hf_check, hf_likely, hf_prefetch, hf_unlikely
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, realloc
from cython.cimports.libc.string import memset

IS_BURNED = cython.declare(uint32_t, 0x80000000)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def apply_rows(
    ledger: cython.pointer[LedgerState],
    rows: cython.pointer[cython.const[Rows]],
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    tally: Tally,
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
        if later.start < later.stop and _reserve(ledger, 3 * BLOCK_KEYS) < 0:
            # Without it, those before still have what they asked for.
            stop = later.stop = later.start
        _find_homes(ledger, rows, later)
        reached: cython.Py_ssize_t = _apply_block(ledger, rows, now, following, later, tally)
        if reached < now.stop or tally.is_stopped:
            return reached
        now, following, later = following, later, now
    return now.start


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_homes(
    ledger: cython.pointer[LedgerState],
    rows: cython.pointer[cython.const[Rows]],
    block: cython.pointer[Lookahead],
) -> cython.void:
    """Work out where the keys of a block's rows belong."""
    count: cython.Py_ssize_t = block.stop - block.start
    find_homes(cython.address(ledger.tx_index), rows.txs + block.start, count, block.homes, block.hashes)
    block.generation = ledger.tx_index.generation
    block.client_generation = ledger.client_index.generation
    if not ledger.is_direct:
        find_homes(
            cython.address(ledger.client_index),
            rows.clients + block.start,
            count,
            block.client_homes,
            block.client_hashes,
        )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _look_ahead(
    ledger: cython.pointer[LedgerState],
    rows: cython.pointer[cython.const[Rows]],
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
        prefetch_slots(cython.address(ledger.tx_index), rows.txs[row], later.homes[place])
        if ledger.is_direct:
            _prefetch_account(ledger, rows.clients[row] & 0xFFFF)
        else:
            prefetch_slots(cython.address(ledger.client_index), rows.clients[row], later.client_homes[place])
    row = following.start + place
    if row < following.stop and rows.types[row] > WITHDRAWAL:
        _prefetch_reference(ledger, following.homes[place])


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _prefetch_reference(ledger: cython.pointer[LedgerState], home: uint64_t) -> cython.void:
    """Prefetch the record that a home slot names, nearly always the one looked for, and the state of its dispute."""
    entry: uint32_t = ledger.tx_index.table.slots[home]
    if entry == 0:
        return
    ordinal: uint64_t = (entry & ledger.tx_index.table.number_mask) - 1
    hf_prefetch(record_at(cython.address(ledger.tx_index.store), ordinal))
    chunk: uint64_t = ordinal >> RECORD_CHUNK_BITS
    if chunk < ledger.dispute_chunks and ledger.disputes[chunk] != cython.NULL:
        hf_prefetch(ledger.disputes[chunk] + ((ordinal & RECORD_CHUNK_MASK) >> 2))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _prefetch_account(ledger: cython.pointer[LedgerState], number: uint64_t) -> cython.void:
    page: cython.pointer[AccountPage] = ledger.accounts.pages[number >> PAGE_BITS]
    if page != cython.NULL:
        hf_prefetch(cython.address(page.balances[number & PAGE_MASK]))
        hf_prefetch(cython.address(page.flags[number & PAGE_MASK]))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _reserve(ledger: cython.pointer[LedgerState], rows: uint64_t) -> cython.int:
    """Make room for so many new transactions and accounts, so that no row can fail later; -1 if there is none.

    A block's share of growth is done with it: room is made for three blocks, but one of them is new.
    """
    if make_room(cython.address(ledger.tx_index), rows, BLOCK_KEYS) < 0:
        return -1
    if ledger.is_direct:
        return 0
    if (
        ledger.client_index.count + rows > ACCOUNT_MASK
        or make_room(cython.address(ledger.client_index), rows, BLOCK_KEYS) < 0
    ):
        return -1
    return reserve_accounts(cython.address(ledger.accounts), ledger.client_index.count + rows)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _apply_block(
    ledger: cython.pointer[LedgerState],
    rows: cython.pointer[cython.const[Rows]],
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
        block.generation != ledger.tx_index.generation
        or block.client_generation != ledger.client_index.generation
    ):
        _find_homes(ledger, rows, block)
    for row in range(stop, start + (later.stop - later.start)):
        # Only the first blocks of all are shorter than what comes behind them.
        _look_ahead(ledger, rows, row - start, following, later)
    for row in range(start, stop):
        _look_ahead(ledger, rows, row - start, following, later)
        code = rows.outcomes[row]
        if hf_likely(code == UNDECIDED):
            step.type = rows.types[row]
            step.client = rows.clients[row]
            step.tx = rows.txs[row]
            step.amount = rows.amounts[row]
            step.home = block.homes[row - start]
            step.hash = block.hashes[row - start]
            step.block = block
            step.place = row - start
            code = (
                _transfer(ledger, cython.address(step))
                if step.type <= WITHDRAWAL
                else _refer(ledger, cython.address(step))
            )
            if hf_unlikely(code == FAILED):
                tally.rows = rows_before + (row - start)
                return row
            rows.outcomes[row] = code
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
def _open_account(ledger: cython.pointer[LedgerState], step: cython.pointer[cython.const[Step]]) -> int64_t:
    """Give the number of the client's account, which comes into being here if need be; -1 if there is no memory."""
    number: int64_t = step.client
    if not ledger.is_direct:
        index: cython.pointer[Index] = cython.address(ledger.client_index)
        vacancy: cython.pointer[uint32_t] = cython.NULL
        home: uint64_t = step.block.client_homes[step.place]
        hash_: uint64_t = step.block.client_hashes[step.place]
        number = find(index, step.client, hash_, home, cython.address(vacancy))
        if number < 0:
            # The account exists once its page says so, below; a number without a page is taken up by the next try.
            number = append(index, step.client, hash_, vacancy)
    page: cython.pointer[AccountPage] = writable_page(cython.address(ledger.accounts), number)
    if hf_unlikely(page == cython.NULL):
        return -1
    if hf_unlikely(not page.flags[number & PAGE_MASK] & EXISTS):
        page.flags[number & PAGE_MASK] |= EXISTS
        ledger.accounts.count += 1
    return number


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _transfer(ledger: cython.pointer[LedgerState], step: cython.pointer[cython.const[Step]]) -> cython.int:
    """Decide a deposit or withdrawal."""
    vacancy: cython.pointer[uint32_t] = cython.NULL
    number: int64_t = _open_account(ledger, step)
    if hf_unlikely(number < 0):
        return FAILED
    owner: uint32_t = cython.cast(uint32_t, number) | (IS_WITHDRAWAL if step.type == WITHDRAWAL else 0)
    page: cython.pointer[AccountPage] = ledger.accounts.pages[number >> PAGE_BITS]
    balance: cython.pointer[Balance] = cython.address(page.balances[number & PAGE_MASK])
    outcome: cython.int
    ordinal: int64_t = find(
        cython.address(ledger.tx_index), step.tx, step.hash, step.home, cython.address(vacancy)
    )
    if hf_unlikely(step.amount <= 0):
        outcome = AMOUNT_NOT_POSITIVE
    elif hf_unlikely(ordinal >= 0):
        earlier: cython.pointer[Record] = cython.cast(
            cython.pointer[Record], record_at(cython.address(ledger.tx_index.store), ordinal)
        )
        return DUPLICATE_TX if earlier.owner == owner and earlier.amount == step.amount else TX_ID_REUSED
    elif hf_unlikely(page.flags[number & PAGE_MASK] & LOCKED and ledger.knobs.locked_refuses[step.type]):
        outcome = ACCOUNT_LOCKED
    else:
        outcome = _check_balance(balance, step.amount, step.type == WITHDRAWAL)
    if hf_likely(outcome == APPLIED):
        # After this point nothing can fail.
        balance.available += -step.amount if step.type == WITHDRAWAL else step.amount
        _record(ledger, step, vacancy, owner)
    elif ledger.knobs.burns_ids and ordinal < 0:
        _record(ledger, step, vacancy, owner | IS_BURNED)
        ledger.burned += 1
    return outcome


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _record(
    ledger: cython.pointer[LedgerState],
    step: cython.pointer[cython.const[Step]],
    vacancy: cython.pointer[uint32_t],
    owner: uint32_t,
) -> cython.void:
    ordinal: uint64_t = append(cython.address(ledger.tx_index), step.tx, step.hash, vacancy)
    entry: cython.pointer[Record] = cython.cast(
        cython.pointer[Record], record_at(cython.address(ledger.tx_index.store), ordinal)
    )
    entry.amount = step.amount
    entry.owner = owner


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _refer(ledger: cython.pointer[LedgerState], step: cython.pointer[cython.const[Step]]) -> cython.int:
    """Decide a dispute, resolve or chargeback."""
    vacancy: cython.pointer[uint32_t] = cython.NULL
    ordinal: int64_t = find(
        cython.address(ledger.tx_index), step.tx, step.hash, step.home, cython.address(vacancy)
    )
    if ordinal < 0:
        return TX_NOT_FOUND
    entry: cython.pointer[Record] = cython.cast(
        cython.pointer[Record], record_at(cython.address(ledger.tx_index.store), ordinal)
    )
    if entry.owner & IS_BURNED:
        return TX_NOT_FOUND
    number: uint64_t = entry.owner & ACCOUNT_MASK
    owner: uint64_t = (
        number if ledger.is_direct else key_at(cython.address(ledger.client_index.store), number)
    )
    if owner != step.client:
        return CLIENT_MISMATCH
    if step.type == DISPUTE and entry.owner & IS_WITHDRAWAL and not ledger.knobs.disputes_withdrawals:
        return NOT_DISPUTABLE
    page: cython.pointer[AccountPage] = writable_page(cython.address(ledger.accounts), number)
    if page == cython.NULL or _reserve_dispute(ledger, ordinal) < 0:
        return FAILED
    if page.flags[number & PAGE_MASK] & LOCKED and ledger.knobs.locked_refuses[step.type]:
        return ACCOUNT_LOCKED
    if step.type == DISPUTE:
        return _dispute(ledger, ordinal, entry, page, number & PAGE_MASK)
    return _settle(ledger, step.type, ordinal, entry, page, number & PAGE_MASK)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _dispute(
    ledger: cython.pointer[LedgerState],
    ordinal: uint64_t,
    record: cython.pointer[cython.const[Record]],
    page: cython.pointer[AccountPage],
    slot: uint64_t,
) -> cython.int:
    """Hold the amount of a deposit, or credit that of a withdrawal provisionally."""
    balance: cython.pointer[Balance] = cython.address(page.balances[slot])
    amount: int64_t = record.amount
    state: cython.int = _dispute_state(ledger, ordinal)
    if state == OPEN or (state == RESOLVED and not ledger.knobs.allows_redispute):
        return ALREADY_DISPUTED
    if state == CHARGED_BACK:
        return ALREADY_CHARGED_BACK
    if record.owner & IS_WITHDRAWAL:
        # The total grows with what is held.
        if balance.held > INT64_MAX - amount or balance.available + balance.held > INT64_MAX - amount:
            return BALANCE_OVERFLOW
        amount = 0
    else:
        if amount > balance.available and not ledger.knobs.allows_negative:
            return INSUFFICIENT_FUNDS
        if balance.available < INT64_MIN + amount or balance.held > INT64_MAX - amount:
            return BALANCE_OVERFLOW
    # After this point nothing can fail.
    balance.available -= amount
    balance.held += record.amount
    _set_dispute_state(ledger, ordinal, OPEN)
    ledger.open_disputes += 1
    return APPLIED


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _settle(
    ledger: cython.pointer[LedgerState],
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
    if _dispute_state(ledger, ordinal) != OPEN:
        return NOT_DISPUTED
    # What is held is part of a total that fits, so giving it back to available fits as well.
    hf_check(balance.held >= record.amount)
    if is_chargeback == is_withdrawal:
        balance.available += record.amount
    balance.held -= record.amount
    _set_dispute_state(ledger, ordinal, CHARGED_BACK if is_chargeback else RESOLVED)
    ledger.open_disputes -= 1
    if is_chargeback and not page.flags[slot] & LOCKED:
        page.flags[slot] |= LOCKED
        ledger.accounts.locked += 1
    return APPLIED


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _dispute_state(ledger: cython.pointer[LedgerState], ordinal: uint64_t) -> cython.int:
    states: cython.pointer[uint8_t] = ledger.disputes[ordinal >> RECORD_CHUNK_BITS]
    return (states[(ordinal & RECORD_CHUNK_MASK) >> 2] >> ((ordinal & 3) << 1)) & 3


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _set_dispute_state(
    ledger: cython.pointer[LedgerState], ordinal: uint64_t, state: cython.int
) -> cython.void:
    states: cython.pointer[uint8_t] = ledger.disputes[ordinal >> RECORD_CHUNK_BITS] + (
        (ordinal & RECORD_CHUNK_MASK) >> 2
    )
    shift: cython.int = (ordinal & 3) << 1
    states[0] = (states[0] & ~(3 << shift)) | (state << shift)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _reserve_dispute(ledger: cython.pointer[LedgerState], ordinal: uint64_t) -> cython.int:
    """Make sure that there are states for the chunk of this record; -1 if there is no memory."""
    chunk: uint64_t = ordinal >> RECORD_CHUNK_BITS
    if chunk >= ledger.dispute_chunks:
        chunks: uint64_t = max(chunk + 1, ledger.dispute_chunks * 2)
        disputes: cython.p_void = realloc(ledger.disputes, chunks * cython.sizeof(cython.p_void))
        if disputes == cython.NULL:
            return -1
        ledger.disputes = cython.cast(cython.pointer[cython.pointer[uint8_t]], disputes)
        memset(
            ledger.disputes + ledger.dispute_chunks,
            0,
            (chunks - ledger.dispute_chunks) * cython.sizeof(cython.p_void),
        )
        ledger.dispute_chunks = chunks
    if ledger.disputes[chunk] == cython.NULL:
        ledger.disputes[chunk] = cython.cast(cython.pointer[uint8_t], calloc(1 << (RECORD_CHUNK_BITS - 2), 1))
    return 0 if ledger.disputes[chunk] != cython.NULL else -1


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
