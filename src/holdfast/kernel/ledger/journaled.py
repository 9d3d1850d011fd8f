"""Follows outcomes that were journaled instead of deciding: a row has the effect that its outcome implies, and no rule is asked.

A ledger does so where its rules now come to other outcomes, and an operator has said that the journaled ones stand. An applied
row moves money, records its transaction, or changes the state of a dispute; a refused deposit or withdrawal leaves an account
and, where the rules say so, a burned id; all other rows leave nothing. What no rules could have allowed, since the books would
not add up after it, is a fault: an id that is recorded already, a dispute of nothing, a sum that has no room.

One row after the other, without the look-ahead of :mod:`fold`: this runs after an upgrade, not every day.
"""

import cython
from cython.cimports.holdfast.kernel.codes import (
    APPLIED,
    CHARGEBACK,
    DISPUTE,
    DUPLICATE_TX,
    TX_ID_REUSED,
    UNDECIDED,
    WITHDRAWAL,
    is_unreadable,
)
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_MASK,
    AccountPage,
    Balance,
    client_of,
    reserve_accounts,
    writable_page,
)
from cython.cimports.holdfast.kernel.ledger.change_log import make_log_room, note_change
from cython.cimports.holdfast.kernel.ledger.fold import LedgerState, Rows
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
    append_record,
    find_record,
    place_of,
    run_of,
    take_run,
    touch_run,
)
from cython.cimports.holdfast.kernel.platform import hf_check, hf_read_8, hf_read_64, hf_unlikely
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t, uint32_t, uint64_t

_REASONS = (
    "",
    "there is no memory for it",
    "it was decided before",
    "no outcome is journaled for it",
    "its type, client or tx is none that the settings allow",
    "its amount is not positive",
    "its tx id is that of a transaction recorded before",
    "it refers to a transaction that was never applied",
    "it refers to a transaction of another client",
    "it disputes a transaction that is under dispute already",
    "it ends a dispute that is not open",
    "available, held or total would not fit",
)


@cython.cfunc
def fault_reason(fault: cython.int) -> str:
    """Say in words why a row cannot be followed."""
    return _REASONS[fault]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def follow_rows(
    state: cython.pointer[LedgerState],
    rows: cython.pointer[cython.const[Rows]],
    journaled: cython.pointer[cython.const[uint8_t]],
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    fault: cython.pointer[cython.int],
) -> cython.Py_ssize_t:
    """Do what journaled outcomes say, and write them into the rows; give the first row that was not followed.

    That is ``stop``; or a row with a fault; or, without one, a row whose record is not in memory (``absent_row``).
    """
    step: JournaledRow
    row: cython.Py_ssize_t
    for row in range(start, stop):
        if (row - start) % BLOCK_KEYS == 0 and not _reserve(state):
            fault[0] = NO_MEMORY
            return row
        step.outcome = journaled[row]
        fault[0] = _check_outcome(rows.outcomes[row], step.outcome)
        if hf_unlikely(fault[0] != FOLLOWED):
            return row
        if rows.outcomes[row] == UNDECIDED and not is_unreadable(step.outcome):
            step.tx = hf_read_64(rows.txs + row) & state.tx_max
            if hf_unlikely(place_of(cython.address(state.records), step.tx) == ABSENT):
                state.absent_row = row
                return row
            step.type = hf_read_8(rows.types + row)
            step.client = hf_read_64(rows.clients + row) & state.client_max
            step.amount = hf_read_64(cython.cast(cython.pointer[cython.const[uint64_t]], rows.amounts + row))
            if step.type <= WITHDRAWAL:
                fault[0] = _follow_transfer(state, cython.address(step))
            elif step.outcome == APPLIED:
                fault[0] = _follow_reference(state, cython.address(step))
            if hf_unlikely(fault[0] != FOLLOWED):
                return row
        rows.outcomes[row] = step.outcome
    return stop


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _check_outcome(now: cython.int, journaled: cython.int) -> cython.int:
    """Say whether a row can have an outcome at all, given the one that it has now."""
    if hf_unlikely(journaled == UNDECIDED):
        return NO_OUTCOME
    if now == UNDECIDED:
        return FOLLOWED
    if not is_unreadable(now):
        return DECIDED_BEFORE
    return NOT_READABLE if journaled == APPLIED else FOLLOWED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _reserve(state: cython.pointer[LedgerState]) -> cython.bint:
    """Reserve memory for the next rows of a block; False without memory."""
    if make_room(cython.address(state.records.index)) < 0:
        return False
    if not make_log_room(cython.address(state.records.log), ROOM_KEYS):
        return False
    if state.is_direct:
        return True
    accounts: uint64_t = state.client_index.count + BLOCK_KEYS
    if accounts > ACCOUNTS_LIMIT or make_room(cython.address(state.client_index)) < 0:
        return False
    return reserve_accounts(cython.address(state.accounts), accounts) == 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _number_client(state: cython.pointer[LedgerState], client: uint64_t) -> int64_t:
    """Give the number of a client's account, which need not exist yet."""
    if state.is_direct:
        return cython.cast(int64_t, client)
    vacancy: Vacancy
    index: cython.pointer[Index] = cython.address(state.client_index)
    number: int64_t = find_number(index, client, home_of(index, client), cython.address(vacancy))
    if number < 0:
        number = append_number(index, client, home_of(index, client), cython.address(vacancy))
    return number


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _look_up(records: cython.pointer[Records], tx: uint64_t) -> cython.pointer[Record]:
    """Find the record of a transaction, or of an id that was burned; NULL if there is none."""
    place: cython.int = place_of(records, tx)
    if place == NOWHERE:
        return cython.NULL
    if place == IN_RUN:
        record: cython.pointer[Record] = cython.address(run_of(records, tx).records[tx & RUN_MASK])
        return record if record.owner != 0 else cython.NULL
    vacancy: Vacancy
    return find_record(records, tx, home_of(cython.address(records.index), tx), cython.address(vacancy))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _write(
    records: cython.pointer[Records],
    step: cython.pointer[cython.const[JournaledRow]],
    former: cython.pointer[Record],
    owner: uint32_t,
) -> cython.bint:
    """Record a transaction or burn its id, perhaps in the place of an id that was burned; False without memory."""
    record: cython.pointer[Record] = former
    if place_of(records, step.tx) == NOWHERE:
        take_run(records, step.tx)
    if place_of(records, step.tx) == IN_RUN:
        if not touch_run(records, step.tx):
            return False
        record = cython.address(run_of(records, step.tx).records[step.tx & RUN_MASK])
        records.in_runs += former == cython.NULL
    else:
        if record == cython.NULL:
            vacancy: Vacancy
            home: Home = home_of(cython.address(records.index), step.tx)
            find_record(records, step.tx, home, cython.address(vacancy))
            record = append_record(records, step.tx, home, cython.address(vacancy))
        note_change(cython.address(records.log), step.tx, step.amount, owner)
    record.amount = step.amount
    record.owner = owner
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _follow_transfer(
    state: cython.pointer[LedgerState], step: cython.pointer[cython.const[JournaledRow]]
) -> cython.int:
    """Follow a deposit or withdrawal."""
    records: cython.pointer[Records] = cython.address(state.records)
    former: cython.pointer[Record] = _look_up(records, step.tx)
    is_burned: cython.bint = former != cython.NULL and former.owner == BURNED
    if step.outcome == APPLIED:
        if step.amount <= 0:
            return NO_AMOUNT
        if former != cython.NULL and not is_burned:
            return RECORDED_BEFORE
    number: int64_t = _number_client(state, step.client)
    page: cython.pointer[AccountPage] = writable_page(cython.address(state.accounts), number)
    if page == cython.NULL:
        return NO_MEMORY
    slot: uint64_t = number & PAGE_MASK
    if step.outcome == APPLIED:
        balance: cython.pointer[Balance] = cython.address(page.balances[slot])
        change: int64_t = -step.amount if step.type == WITHDRAWAL else step.amount
        if not _has_room(balance, change):
            return NO_ROOM
        owner: uint32_t = cython.cast(uint32_t, number + 1) | (
            IS_WITHDRAWAL if step.type == WITHDRAWAL else 0
        )
        if not _write(records, step, former, owner):
            return NO_MEMORY
        state.burned -= is_burned
        balance.available += change
    elif _burns(state, step.outcome) and former == cython.NULL:
        if not _write(records, step, former, BURNED):
            return NO_MEMORY
        state.burned += 1
    if not page.flags[slot] & EXISTS:
        page.flags[slot] |= EXISTS
        if not state.is_direct:
            page.clients[slot] = step.client
        state.accounts.count += 1
    return FOLLOWED


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _has_room(balance: cython.pointer[cython.const[Balance]], change: int64_t) -> cython.bint:
    """Whether available and total fit after a change of available; what is held is never below zero."""
    if change < 0:
        return balance.available >= INT64_MIN - change
    largest: int64_t = INT64_MAX - change
    return balance.available <= largest and balance.available + balance.held <= largest


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _burns(state: cython.pointer[cython.const[LedgerState]], outcome: cython.int) -> cython.bint:
    """Whether a refusal of a transfer burns its id: not if it was refused for the id."""
    return state.knobs.burns_ids and outcome != DUPLICATE_TX and outcome != TX_ID_REUSED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _follow_reference(
    state: cython.pointer[LedgerState], step: cython.pointer[cython.const[JournaledRow]]
) -> cython.int:
    """Follow a dispute, resolve or chargeback that was applied."""
    if step.type > CHARGEBACK:
        return NOT_READABLE
    records: cython.pointer[Records] = cython.address(state.records)
    record: cython.pointer[Record] = _look_up(records, step.tx)
    if record == cython.NULL or record.owner == BURNED:
        return NOT_RECORDED
    number: uint64_t = (record.owner & ACCOUNT_MASK) - 1
    client: uint64_t = number if state.is_direct else client_of(cython.address(state.accounts), number)
    if client != step.client:
        return OF_ANOTHER_CLIENT
    page: cython.pointer[AccountPage] = writable_page(cython.address(state.accounts), number)
    if page == cython.NULL:
        return NO_MEMORY
    is_in_run: cython.bint = place_of(records, step.tx) == IN_RUN
    if is_in_run and not touch_run(records, step.tx):
        return NO_MEMORY
    fault: cython.int
    if step.type == DISPUTE:
        fault = _follow_dispute(record, cython.address(page.balances[number & PAGE_MASK]))
        state.open_disputes += fault == FOLLOWED
    else:
        fault = _follow_settlement(state, step.type, record, page, number & PAGE_MASK)
    if fault == FOLLOWED and not is_in_run:
        note_change(cython.address(records.log), step.tx, record.amount, record.owner)
    return fault


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _follow_dispute(record: cython.pointer[Record], balance: cython.pointer[Balance]) -> cython.int:
    """Hold the amount of a deposit, or credit that of a withdrawal provisionally."""
    amount: int64_t = record.amount
    if record.owner & DISPUTE_MASK == OPEN:
        return UNDER_DISPUTE
    if balance.held > INT64_MAX - amount:
        return NO_ROOM
    if record.owner & IS_WITHDRAWAL:
        # The total grows with what is held.
        if balance.available + balance.held > INT64_MAX - amount:
            return NO_ROOM
    else:
        if balance.available < INT64_MIN + amount:
            return NO_ROOM
        balance.available -= amount
    balance.held += amount
    record.owner = record.owner & ~DISPUTE_MASK | OPEN
    return FOLLOWED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _follow_settlement(
    state: cython.pointer[LedgerState],
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
        return NOT_UNDER_DISPUTE
    # What is held is part of a total that fits, so moving it back to available fits too.
    hf_check(balance.held >= record.amount)
    if is_chargeback == is_withdrawal:
        balance.available += record.amount
    balance.held -= record.amount
    record.owner = record.owner & ~DISPUTE_MASK | (CHARGED_BACK if is_chargeback else RESOLVED)
    state.open_disputes -= 1
    if is_chargeback and not page.flags[slot] & LOCKED:
        page.flags[slot] |= LOCKED
        state.accounts.locked += 1
    return FOLLOWED
