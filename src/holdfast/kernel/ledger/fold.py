"""The fold itself: applies the rows of a batch, one after the other, to accounts, records and disputes.

Rows are applied in blocks of 64. While one block is applied, the data of the next two is prefetched, so that their cache misses
overlap with each other and with the arithmetic. All of this is one compilation unit of functions over one structure, so that the
compiler makes one loop of it. :mod:`ledger` describes the data structures and their costs.

Order of work within a row: first every check, in the order of the outcome table; then, when nothing can fail any more, the
changes.

Columns may belong to Python code that changes them while they are applied. So every id is masked to the ledger's width each time
it is read, an index is searched with the copy of the key that found its bucket, and a type is always one of the five: anything
below a dispute is a transfer, anything above a chargeback is nothing. At worst such code gets a wrong outcome for its own row.
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
    UNKNOWN_TYPE,
    WITHDRAWAL,
    is_unreadable,
)
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_BITS,
    PAGE_MASK,
    AccountPage,
    Balance,
    client_of,
    reserve_accounts,
    writable_page,
)
from cython.cimports.holdfast.kernel.ledger.change_log import make_log_room, note_change
from cython.cimports.holdfast.kernel.ledger.index import (
    BLOCK_KEYS,
    ROOM_KEYS,
    Home,
    Index,
    Vacancy,
    append_number,
    find_number,
    home_of,
    make_room,
    prefetch_bucket,
    prefetch_further,
)
from cython.cimports.holdfast.kernel.ledger.records import (
    ABSENT,
    ACCOUNT_MASK,
    ACCOUNTS_LIMIT,
    BURNED,
    CHARGED_BACK,
    DISPUTE_MASK,
    IN_RUN,
    IS_WITHDRAWAL,
    NOWHERE,
    OPEN,
    RESOLVED,
    RUN_MASK,
    Record,
    Records,
    Run,
    append_record,
    find_record,
    place_of,
    run_of,
    take_run,
    touch_run,
)
from cython.cimports.holdfast.kernel.platform import (
    hf_check,
    hf_likely,
    hf_prefetch,
    hf_read_8,
    hf_read_64,
    hf_unlikely,
)
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint32_t, uint64_t

# The look-up result for an id without a recorded neighbour: no record, and no place for one.
no_record = cython.declare(Record)
no_record.amount = 0
no_record.owner = BURNED


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
    """Apply rows block by block; look up each block while the one before it is applied. Give the first undecided row."""
    blocks: Lookahead[3]
    # The current block and the two after it; at first all are empty and just before the first row.
    now: cython.pointer[Lookahead] = cython.address(blocks[0])
    following: cython.pointer[Lookahead] = cython.address(blocks[1])
    later: cython.pointer[Lookahead] = cython.address(blocks[2])
    now.start = now.stop = following.start = following.stop = later.stop = start
    while now.start < stop:
        later.start = following.stop
        later.stop = min(later.start + BLOCK_KEYS, stop)
        # Reserve memory for this block and the two before it, which may not be applied yet.
        if later.start < later.stop and _reserve(ledger, ROOM_KEYS) < 0:
            # Without it, the blocks before still have their memory.
            stop = later.stop = later.start
        _prepare(ledger, rows, later)
        if hf_unlikely(later.stop < stop and later.stop - later.start < BLOCK_KEYS):
            # A row needs what is not there; the blocks before, and the rows of this one before it, do not.
            stop = later.stop
        reached: cython.Py_ssize_t = _apply_block(ledger, rows, now, following, later, tally)
        if reached < now.stop or tally.is_stopped:
            return reached
        now, following, later = following, later, now
    return now.start


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _prepare(
    ledger: cython.pointer[LedgerState],
    rows: cython.pointer[cython.const[Rows]],
    block: cython.pointer[Lookahead],
) -> cython.void:
    """Find the places of the keys of a new block's rows, and open runs for ids that may have one.

    The block ends before a row whose record is in a run that is not in memory, or without memory to keep what a cut needs. The
    keys are copied here, so that the index is later searched with the key that its bucket was found for.
    """
    records: cython.pointer[Records] = cython.address(ledger.records)
    row: cython.Py_ssize_t
    run: cython.pointer[Run]
    tx_max: uint64_t = ledger.tx_max
    for row in range(block.start, block.stop):
        place: cython.Py_ssize_t = row - block.start
        tx: uint64_t = hf_read_64(rows.txs + row) & tx_max
        place_of_run: cython.int = place_of(records, tx)
        run = run_of(records, tx) if hf_likely(place_of_run == IN_RUN) else cython.NULL
        if hf_unlikely(run == cython.NULL):
            if hf_unlikely(place_of_run == ABSENT):
                if rows.outcomes[row] != UNDECIDED:
                    block.records[place] = cython.address(no_record)
                    continue
                ledger.absent_row = block.stop = row
                break
            if place_of_run == NOWHERE:
                if rows.types[row] > WITHDRAWAL or rows.outcomes[row] != UNDECIDED:
                    # Not a transfer: it must not be recorded, even if its type is changed to a transfer before it is applied.
                    block.records[place] = cython.address(no_record)
                    continue
                run = take_run(records, tx)
            if run == cython.NULL:
                block.records[place] = cython.NULL
                block.txs[place] = tx
                block.homes[place] = home_of(cython.address(records.index), tx)
                continue
        if hf_unlikely(not touch_run(records, tx)):
            block.stop = row
            break
        block.records[place] = cython.address(run.records[tx & RUN_MASK])
    if not ledger.is_direct:
        for row in range(block.start, block.stop):
            client: uint64_t = hf_read_64(rows.clients + row) & ledger.client_max
            block.clients[row - block.start] = client
            block.client_homes[row - block.start] = home_of(cython.address(ledger.client_index), client)
    block.generation = records.index.generation
    block.client_generation = ledger.client_index.generation


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_homes_again(ledger: cython.pointer[LedgerState], block: cython.pointer[Lookahead]) -> cython.void:
    """Find the buckets of a block's keys again after keys have moved."""
    place: cython.Py_ssize_t
    for place in range(block.stop - block.start):
        if block.records[place] == cython.NULL:
            block.homes[place] = home_of(cython.address(ledger.records.index), block.txs[place])
    if not ledger.is_direct:
        for place in range(block.stop - block.start):
            block.client_homes[place] = home_of(cython.address(ledger.client_index), block.clients[place])
    block.generation = ledger.records.index.generation
    block.client_generation = ledger.client_index.generation


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
    """Prefetch the data of a row of the block after next, and further buckets for a row of the next block.

    This is done row by row between the rows that are applied, so that memory and arithmetic overlap. The place of a key from
    before keys moved is still within the table.
    """
    record: cython.pointer[Record]
    row: cython.Py_ssize_t = later.start + place
    if row < later.stop:
        record = later.records[place]
        if hf_likely(record != cython.NULL):
            hf_prefetch(record)
        else:
            prefetch_bucket(cython.address(ledger.records.index), later.homes[place], cython.sizeof(Record))
        if ledger.is_direct:
            _prefetch_account(ledger, rows.clients[row] & CLIENT_MASK)
        else:
            prefetch_bucket(
                cython.address(ledger.client_index), later.client_homes[place], cython.sizeof(uint32_t)
            )
    row = following.start + place
    if row < following.stop:
        record = following.records[place]
        if hf_unlikely(record == cython.NULL):
            prefetch_further(
                cython.address(ledger.records.index), following.homes[place], cython.sizeof(Record)
            )
        if not ledger.is_direct:
            prefetch_further(
                cython.address(ledger.client_index), following.client_homes[place], cython.sizeof(uint32_t)
            )


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
    """Reserve memory for this many new transactions and accounts, so that no row can fail later; -1 without memory."""
    if make_room(cython.address(ledger.records.index)) < 0:
        return -1
    if not make_log_room(cython.address(ledger.records.log), ROOM_KEYS):
        return -1
    if ledger.is_direct:
        return 0
    accounts: uint64_t = ledger.client_index.count + rows
    if accounts > ACCOUNTS_LIMIT or make_room(cython.address(ledger.client_index)) < 0:
        return -1
    return reserve_accounts(cython.address(ledger.accounts), accounts)


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
    """Apply the rows of one block and prefetch for the next two; give the first row that was not decided."""
    step: Step
    start: cython.Py_ssize_t = block.start
    stop: cython.Py_ssize_t = block.stop
    row: cython.Py_ssize_t
    code: cython.int
    rows_before: uint64_t = tally.rows
    if (
        block.generation != ledger.records.index.generation
        or block.client_generation != ledger.client_index.generation
    ):
        _find_homes_again(ledger, block)
    for row in range(stop, start + (later.stop - later.start)):
        # Only the first blocks are shorter than those after them.
        _look_ahead(ledger, rows, row - start, following, later)
    for row in range(start, stop):
        _look_ahead(ledger, rows, row - start, following, later)
        code = rows.outcomes[row]
        if hf_likely(code == UNDECIDED):
            step.type = hf_read_8(rows.types + row)
            # An index has places only for ids that the block was prepared for; the direct table has one for every id.
            step.client = (
                hf_read_64(rows.clients + row) & CLIENT_MASK
                if ledger.is_direct
                else block.clients[row - start]
            )
            step.amount = hf_read_64(cython.cast(cython.pointer[cython.const[uint64_t]], rows.amounts + row))
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
        elif hf_unlikely(not is_unreadable(code)):
            # It was decided before: the caller finds that out by its code.
            tally.rows = rows_before + (row - start)
            return row
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
def _open_account(
    ledger: cython.pointer[LedgerState], step: cython.pointer[cython.const[Step]], number: int64_t
) -> cython.pointer[AccountPage]:
    """Give the page of an account, creating the account if necessary; NULL if there is no memory."""
    page: cython.pointer[AccountPage] = writable_page(cython.address(ledger.accounts), number)
    if hf_unlikely(page == cython.NULL):
        return page
    if hf_unlikely(not page.flags[number & PAGE_MASK] & EXISTS):
        page.flags[number & PAGE_MASK] |= EXISTS
        if not ledger.is_direct:
            page.clients[number & PAGE_MASK] = step.client
        ledger.accounts.count += 1
    return page


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _number_client(ledger: cython.pointer[LedgerState], step: cython.pointer[cython.const[Step]]) -> int64_t:
    """Give the number of a client. The account exists only once its page says so; until then the number is reserved."""
    vacancy: Vacancy
    index: cython.pointer[Index] = cython.address(ledger.client_index)
    home: Home = step.block.client_homes[step.place]
    number: int64_t = find_number(index, step.client, home, cython.address(vacancy))
    if hf_unlikely(number < 0):
        number = append_number(index, step.client, home, cython.address(vacancy))
    return number


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _look_up(
    ledger: cython.pointer[LedgerState],
    step: cython.pointer[cython.const[Step]],
    found: cython.pointer[Found],
) -> cython.bint:
    """Look up the transaction of a row; say whether it is known."""
    found.record = step.block.records[step.place]
    found.vacancy.bucket = cython.NULL
    found.vacancy.slot = 0
    if hf_unlikely(found.record == cython.NULL):
        _look_further(cython.address(ledger.records), step, found)
    return found.record != cython.NULL and found.record.owner != 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _look_further(
    records: cython.pointer[Records],
    step: cython.pointer[cython.const[Step]],
    found: cython.pointer[Found],
) -> cython.void:
    """Look up a transaction in the index."""
    found.record = find_record(
        records, step.block.txs[step.place], step.block.homes[step.place], cython.address(found.vacancy)
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _transfer(ledger: cython.pointer[LedgerState], step: cython.pointer[cython.const[Step]]) -> cython.int:
    """Decide a deposit or withdrawal."""
    number: int64_t = step.client if ledger.is_direct else _number_client(ledger, step)
    page: cython.pointer[AccountPage] = _open_account(ledger, step, number)
    if hf_unlikely(page == cython.NULL):
        return FAILED
    owner: uint32_t = cython.cast(uint32_t, number + 1) | (IS_WITHDRAWAL if step.type == WITHDRAWAL else 0)
    balance: cython.pointer[Balance] = cython.address(page.balances[number & PAGE_MASK])
    outcome: cython.int
    found: Found
    is_known: cython.bint = _look_up(ledger, step, cython.address(found))
    if hf_unlikely(step.amount <= 0):
        outcome = AMOUNT_NOT_POSITIVE
    elif hf_unlikely(is_known):
        is_same: cython.bint = (
            found.record.owner & ~DISPUTE_MASK == owner and found.record.amount == step.amount
        )
        return DUPLICATE_TX if is_same else TX_ID_REUSED
    elif hf_unlikely(page.flags[number & PAGE_MASK] & LOCKED and ledger.knobs.locked_refuses[step.type]):
        outcome = ACCOUNT_LOCKED
    else:
        outcome = _check_balance(balance, step.amount, step.type == WITHDRAWAL)
    if hf_likely(outcome == APPLIED):
        # After this point nothing can fail.
        balance.available += -step.amount if step.type == WITHDRAWAL else step.amount
        _record(cython.address(ledger.records), step, cython.address(found), owner)
    elif ledger.knobs.burns_ids and not is_known:
        _record(cython.address(ledger.records), step, cython.address(found), BURNED)
        ledger.burned += 1
    return outcome


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _record(
    records: cython.pointer[Records],
    step: cython.pointer[cython.const[Step]],
    found: cython.pointer[cython.const[Found]],
    owner: uint32_t,
) -> cython.void:
    """Record a transaction in the place that its look-up found."""
    record: cython.pointer[Record] = found.record
    if hf_likely(record != cython.NULL):
        records.in_runs += 1
    else:
        home: Home = step.block.homes[step.place]
        record = append_record(records, step.block.txs[step.place], home, cython.address(found.vacancy))
        note_change(cython.address(records.log), step.block.txs[step.place], step.amount, owner)
    record.amount = step.amount
    record.owner = owner


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _refer(ledger: cython.pointer[LedgerState], step: cython.pointer[cython.const[Step]]) -> cython.int:
    """Decide a dispute, resolve or chargeback."""
    found: Found
    if hf_unlikely(step.type > CHARGEBACK):
        # The type was one of the five when the batch was checked.
        return UNKNOWN_TYPE
    if not _look_up(ledger, step, cython.address(found)):
        return TX_NOT_FOUND
    record: cython.pointer[Record] = found.record
    if record.owner == BURNED:
        return TX_NOT_FOUND
    number: uint64_t = (record.owner & ACCOUNT_MASK) - 1
    owner: uint64_t = number if ledger.is_direct else client_of(cython.address(ledger.accounts), number)
    if owner != step.client:
        return CLIENT_MISMATCH
    if step.type == DISPUTE and record.owner & IS_WITHDRAWAL and not ledger.knobs.disputes_withdrawals:
        return NOT_DISPUTABLE
    page: cython.pointer[AccountPage] = writable_page(cython.address(ledger.accounts), number)
    if page == cython.NULL:
        return FAILED
    if page.flags[number & PAGE_MASK] & LOCKED and ledger.knobs.locked_refuses[step.type]:
        return ACCOUNT_LOCKED
    outcome: cython.int
    if step.type == DISPUTE:
        outcome = _dispute(ledger, record, cython.address(page.balances[number & PAGE_MASK]))
    else:
        outcome = _settle(ledger, step.type, record, page, number & PAGE_MASK)
    if hf_unlikely(step.block.records[step.place] == cython.NULL) and outcome == APPLIED:
        note_change(
            cython.address(ledger.records.log), step.block.txs[step.place], record.amount, record.owner
        )
    return outcome


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _dispute(
    ledger: cython.pointer[LedgerState],
    record: cython.pointer[Record],
    balance: cython.pointer[Balance],
) -> cython.int:
    """Hold the amount of a deposit, or credit that of a withdrawal provisionally."""
    amount: int64_t = record.amount
    state: uint32_t = record.owner & DISPUTE_MASK
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
    record.owner = record.owner & ~DISPUTE_MASK | OPEN
    ledger.open_disputes += 1
    return APPLIED


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _settle(
    ledger: cython.pointer[LedgerState],
    type: cython.int,
    record: cython.pointer[Record],
    page: cython.pointer[AccountPage],
    slot: uint64_t,
) -> cython.int:
    """End a dispute: resolve or charge back."""
    balance: cython.pointer[Balance] = cython.address(page.balances[slot])
    is_chargeback: cython.bint = type == CHARGEBACK
    is_withdrawal: cython.bint = record.owner & IS_WITHDRAWAL != 0
    if record.owner & DISPUTE_MASK != OPEN:
        return NOT_DISPUTED
    # The held amount is part of a total that fits, so moving it back to available fits too.
    hf_check(balance.held >= record.amount)
    if is_chargeback == is_withdrawal:
        balance.available += record.amount
    balance.held -= record.amount
    record.owner = record.owner & ~DISPUTE_MASK | (CHARGED_BACK if is_chargeback else RESOLVED)
    ledger.open_disputes -= 1
    if is_chargeback and not page.flags[slot] & LOCKED:
        page.flags[slot] |= LOCKED
        ledger.accounts.locked += 1
    return APPLIED


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _check_balance(
    balance: cython.pointer[Balance], amount: int64_t, is_withdrawal: cython.bint
) -> cython.int:
    """Say whether a balance allows a transfer of a positive amount, and if not, why.

    No processor can predict whether a row is a deposit or a withdrawal, so both share one branch, which nearly always goes the
    same way.
    """
    lacks: cython.bint = is_withdrawal & (amount > balance.available)
    largest: int64_t = INT64_MAX - amount
    overflows: cython.bint = (not is_withdrawal) & (
        (balance.available > largest) | (balance.available + balance.held > largest)
    )
    if hf_likely(not (lacks | overflows)):
        return APPLIED
    return INSUFFICIENT_FUNDS if lacks else BALANCE_OVERFLOW
