"""A digest of everything that a ledger knows, whatever its layout: two ledgers with one content have one digest.

It is the sum, modulo 2**64, of a hash of each account and of each record, so the order in which they are kept does not matter.
Like that of a stream, it finds accidents, not forgery.
"""

import cython
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    PAGE_ACCOUNTS,
    PAGE_BITS,
    AccountPage,
    client_of,
)
from cython.cimports.holdfast.kernel.ledger.fold import LedgerState
from cython.cimports.holdfast.kernel.ledger.index import (
    SEGMENT_BITS,
    VALUE_BYTES_MAX,
    Index,
    Shape,
    bucket_at,
    is_used,
    key_at,
    shape_of,
    value_at,
)
from cython.cimports.holdfast.kernel.ledger.records import (
    ACCOUNT_MASK,
    BURNED,
    RUN_BITS,
    RUN_RECORDS,
    Record,
    Run,
)
from cython.cimports.holdfast.kernel.platform import hf_mix
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t

SALT_1 = cython.declare(uint64_t, 0x0EBC6AF09C88C6E3)
SALT_2 = cython.declare(uint64_t, 0x589965CC75374CC3)
SALT_3 = cython.declare(uint64_t, 0x1D8E4E27C47D124F)
SALT_4 = cython.declare(uint64_t, 0x6B44ACCAB455D165)


@cython.cfunc
def digest_state(state: cython.pointer[cython.const[LedgerState]]) -> tuple:
    """Give the digests of the accounts and of the records that are in memory."""
    accounts: uint64_t
    records: uint64_t
    with cython.nogil:
        accounts = _digest_accounts(state)
        records = _digest_runs(state) + _digest_index(state)
    return accounts, records


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hash(first: uint64_t, second: uint64_t, third: uint64_t, fourth: uint64_t) -> uint64_t:
    result: uint64_t = hf_mix(first ^ SALT_1, second ^ SALT_2)
    result = hf_mix(result ^ third, SALT_3)
    return hf_mix(result ^ fourth, SALT_4)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _digest_accounts(state: cython.pointer[cython.const[LedgerState]]) -> uint64_t:
    result: uint64_t = 0
    number: uint64_t
    place: cython.int
    for number in range(state.accounts.page_capacity):
        page: cython.pointer[AccountPage] = state.accounts.pages[number]
        if page == cython.NULL:
            continue
        for place in range(PAGE_ACCOUNTS):
            if page.flags[place] & EXISTS:
                client: uint64_t = (number << PAGE_BITS) + place
                if not state.is_direct:
                    client = page.clients[place]
                result += _hash(
                    client,
                    cython.cast(uint64_t, page.balances[place].available),
                    cython.cast(uint64_t, page.balances[place].held),
                    page.flags[place],
                )
    return result


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _digest_record(
    state: cython.pointer[cython.const[LedgerState]],
    tx: uint64_t,
    record: cython.pointer[cython.const[Record]],
) -> uint64_t:
    client: uint64_t = 0
    if record.owner != BURNED:
        client = (record.owner & ACCOUNT_MASK) - 1
        if not state.is_direct:
            client = client_of(cython.address(state.accounts), client)
    return _hash(
        tx,
        client,
        cython.cast(uint64_t, record.amount),
        record.owner if record.owner == BURNED else record.owner & ~cython.cast(uint32_t, ACCOUNT_MASK),
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _digest_runs(state: cython.pointer[cython.const[LedgerState]]) -> uint64_t:
    result: uint64_t = 0
    number: uint64_t
    place: cython.int
    for number in range(state.records.run_count):
        run: cython.pointer[Run] = state.records.runs[number]
        if run == cython.NULL:
            continue
        first: uint64_t = cython.cast(uint64_t, state.records.states[number].place) << RUN_BITS
        for place in range(RUN_RECORDS):
            if run.records[place].owner:
                result += _digest_record(state, first + place, cython.address(run.records[place]))
    return result


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _digest_index(state: cython.pointer[cython.const[LedgerState]]) -> uint64_t:
    index: cython.pointer[cython.const[Index]] = cython.address(state.records.index)
    shape: Shape = shape_of(index.is_wide, VALUE_BYTES_MAX)
    result: uint64_t = 0
    number: uint64_t
    slot: uint32_t
    for number in range(index.segment_count << (SEGMENT_BITS - shape.bucket_bits)):
        bucket: cython.pointer[uint8_t] = bucket_at(index, number)
        for slot in range(shape.slots):
            if is_used(bucket, slot, shape):
                tx: uint64_t = key_at(bucket, slot, shape)
                record: cython.pointer[Record] = cython.cast(
                    cython.pointer[Record], value_at(bucket, slot, shape)
                )
                result += _digest_record(state, tx, record)
    return result
