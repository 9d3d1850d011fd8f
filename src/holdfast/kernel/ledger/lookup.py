"""Looks up accounts and transactions, one at a time, and takes rules: what is not done for every row."""

import cython
from cython.cimports.holdfast.kernel.batch import Batch
from cython.cimports.holdfast.kernel.codes import CHARGEBACK, DEPOSIT, DISPUTE, UNDECIDED, WITHDRAWAL
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_BITS,
    PAGE_MASK,
    AccountPage,
    Balance,
    client_of,
)
from cython.cimports.holdfast.kernel.ledger.fold import Knobs, LedgerState
from cython.cimports.holdfast.kernel.ledger.index import Index, Vacancy, find_number, home_of
from cython.cimports.holdfast.kernel.ledger.records import (
    ABSENT,
    ACCOUNT_MASK,
    BURNED,
    DIRECTORY_RUNS,
    DISPUTE_MASK,
    IN_RUN,
    IS_WITHDRAWAL,
    RUN_BITS,
    RUN_MASK,
    Record,
    Records,
    find_record,
    place_of,
    run_of,
)
from cython.cimports.libc.stdint import int64_t, uint64_t


@cython.cfunc
@cython.exceptval(check=False)
def number_of(state: cython.pointer[LedgerState], client: uint64_t) -> int64_t:
    """Give the number of a client's account; -1 if there is none. Of a direct table, the account need not exist."""
    if state.is_direct:
        return cython.cast(int64_t, client)
    vacancy: Vacancy
    index: cython.pointer[Index] = cython.address(state.client_index)
    return find_number(index, client, home_of(index, client), cython.address(vacancy))


@cython.cfunc
def find_transaction(state: cython.pointer[LedgerState], tx: uint64_t) -> object:
    """Give (type, client, amount, state of the dispute) of a transaction, or None; LookupError if it is not in memory."""
    records: cython.pointer[Records] = cython.address(state.records)
    place: cython.int = place_of(records, tx)
    record: cython.pointer[Record]
    if place == ABSENT:
        raise LookupError(tx >> RUN_BITS)
    if place == IN_RUN:
        record = cython.address(run_of(records, tx).records[tx & RUN_MASK])
    else:
        vacancy: Vacancy
        record = find_record(records, tx, home_of(cython.address(records.index), tx), cython.address(vacancy))
    if record == cython.NULL or record.owner == 0 or record.owner == BURNED:
        return None
    number: uint64_t = (record.owner & ACCOUNT_MASK) - 1
    client: uint64_t = number if state.is_direct else client_of(cython.address(state.accounts), number)
    type_: cython.int = WITHDRAWAL if record.owner & IS_WITHDRAWAL else DEPOSIT
    return type_, client, record.amount, (record.owner & DISPUTE_MASK) >> 29


@cython.cfunc
def find_account(state: cython.pointer[LedgerState], client: uint64_t) -> object:
    """Give (available, held, locked) of an account, or None."""
    number: int64_t = number_of(state, client)
    if number < 0:
        return None
    page: cython.pointer[AccountPage] = state.accounts.pages[number >> PAGE_BITS]
    if page == cython.NULL or not page.flags[number & PAGE_MASK] & EXISTS:
        return None
    balance: Balance = page.balances[number & PAGE_MASK]
    return balance.available, balance.held, bool(page.flags[number & PAGE_MASK] & LOCKED)


@cython.cfunc
@cython.exceptval(check=False)
def is_absent(state: cython.pointer[LedgerState], number: uint64_t) -> cython.bint:
    """Whether there is such a page of records and it is not in memory."""
    return number < DIRECTORY_RUNS and place_of(cython.address(state.records), number << RUN_BITS) == ABSENT


@cython.cfunc
def list_absent(state: cython.pointer[LedgerState]) -> list:
    """List the pages of records that are not in memory."""
    number: uint64_t
    return [
        state.records.states[number].place
        for number in range(state.records.run_count)
        if state.records.runs[number] == cython.NULL
    ]


@cython.cfunc
def find_wanted(
    state: cython.pointer[LedgerState],
    batch: Batch,
    start: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    pages_max: cython.Py_ssize_t,
) -> list:
    """List the pages of records that undecided rows need and that are not in memory, in order of their first use."""
    wanted: dict = {}
    row: cython.Py_ssize_t
    for row in range(start, stop):
        if batch.outcome_column[row] != UNDECIDED:
            continue
        tx: uint64_t = batch.tx_column[row] & state.tx_max
        if place_of(cython.address(state.records), tx) == ABSENT:
            wanted[tx >> RUN_BITS] = None
            if len(wanted) >= pages_max:
                break
    return list(wanted)


@cython.cfunc
@cython.exceptval(-1, check=False)
def take_rules(knobs: cython.pointer[Knobs], rules: object) -> cython.int:
    """Set the knobs of the loop as rules say."""
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
