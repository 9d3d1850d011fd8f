"""Changes of records in the index as pages of bytes, and back; :mod:`pages` says how they look.

The index scatters what comes one after the other over all its memory. A change that is made as it is read waits for that
memory and for the system's table of its pages, since even a prefetch waits for the table. So a restore gathers changes,
puts them in order of their places, and makes them from one end of the index to the other.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.holdfast.kernel.ledger.change_log import CHUNK_CHANGES, ChangeChunk
from cython.cimports.holdfast.kernel.ledger.fold import LedgerState
from cython.cimports.holdfast.kernel.ledger.index import (
    POSITION_BITS,
    Home,
    Index,
    Vacancy,
    hash_key,
    home_of,
    make_room,
    position_of,
    prefetch_bucket,
    prefetch_further,
)
from cython.cimports.holdfast.kernel.ledger.pages import COUNT_BYTES, is_owner, turn, turn_back
from cython.cimports.holdfast.kernel.ledger.records import (
    ABSENT,
    IN_INDEX,
    IN_RUN,
    NOWHERE,
    Record,
    Records,
    append_record,
    find_record,
    place_of,
    set_place,
)
from cython.cimports.holdfast.kernel.packing.words import pack_words, packed_bytes_max, unpack_words
from cython.cimports.holdfast.kernel.platform import cbytes, hf_load_4, hf_store_4
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memset

CHANGES_AHEAD = cython.declare(cython.Py_ssize_t, 32)


@cython.cfunc
def pack_changes(chunk: cython.pointer[cython.const[ChangeChunk]]) -> bytes:
    """Pack a closed chunk of the log of changes."""
    count: cython.Py_ssize_t = chunk.count
    number: cython.Py_ssize_t
    words: cython.pointer[uint64_t] = cython.cast(
        cython.pointer[uint64_t], malloc(8 * count + COUNT_BYTES + 3 * packed_bytes_max(count))
    )
    if words == cython.NULL:
        raise MemoryError
    target: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], words + count)
    size: cython.Py_ssize_t = COUNT_BYTES
    with cython.nogil:
        hf_store_4(target, cython.cast(uint32_t, count))
        size += pack_words(chunk.txs, count, target + size)
        for number in range(count):
            words[number] = turn(chunk.owners[number])
        size += pack_words(words, count, target + size)
        size += pack_words(cython.cast(cython.pointer[uint64_t], chunk.amounts), count, target + size)
    packed: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_char, target), size)
    free(words)
    return packed


@cython.cfunc
def gather_changes(
    state: cython.pointer[LedgerState],
    gathered: cython.pointer[cython.pointer[GatheredChanges]],
    data: cbytes,
    size: cython.Py_ssize_t,
) -> object:
    """Read a page of changes; :func:`make_gathered` makes them, unless there are so many that it happens here."""
    column: cython.int
    if size < COUNT_BYTES or not 0 < hf_load_4(data) <= CHUNK_CHANGES:
        raise ValueError("a page of changes is damaged")
    count: cython.Py_ssize_t = hf_load_4(data)
    if gathered[0] == cython.NULL:
        gathered[0] = cython.cast(cython.pointer[GatheredChanges], malloc(cython.sizeof(GatheredChanges)))
        if gathered[0] == cython.NULL:
            raise MemoryError
        gathered[0].count = 0
    elif gathered[0].count + count > GATHERED_CHANGES:
        make_gathered(state, gathered)
    words: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], malloc(24 * count))
    if words == cython.NULL:
        raise MemoryError
    offset: cython.Py_ssize_t = COUNT_BYTES
    is_whole: cython.bint = True
    with cython.nogil:
        for column in range(3):
            taken: cython.Py_ssize_t = unpack_words(
                data + offset, size - offset, words + column * count, count
            )
            if taken < 0:
                is_whole = False
                break
            offset += taken
        is_whole = is_whole and offset == size and _gather(state, gathered[0], words, count)
    free(words)
    if not is_whole:
        raise ValueError("a page of changes is damaged, or names an account that is not there")
    return None


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _gather(
    state: cython.pointer[cython.const[LedgerState]],
    gathered: cython.pointer[GatheredChanges],
    words: cython.pointer[cython.const[uint64_t]],
    count: cython.Py_ssize_t,
) -> cython.bint:
    number: cython.Py_ssize_t
    for number in range(count):
        change: cython.pointer[Change] = gathered.changes + gathered.count
        change.tx = words[number]
        change.owner = turn_back(cython.cast(uint32_t, words[count + number]))
        change.amount = cython.cast(int64_t, words[2 * count + number])
        if (
            change.tx > state.tx_max
            or words[count + number] >> 32
            or not is_owner(state, change.owner, change.amount)
        ):
            return False
        gathered.count += 1
    return True


@cython.cfunc
def make_gathered(
    state: cython.pointer[LedgerState], gathered: cython.pointer[cython.pointer[GatheredChanges]]
) -> object:
    """Make the changes that are gathered, if there are any."""
    fault: cython.int
    if gathered[0] == cython.NULL:
        return None
    with cython.nogil:
        _put_in_order(cython.address(state.records.index), gathered[0])
        fault = _make(state, gathered[0].ordered, gathered[0].count)
        gathered[0].count = 0
    if fault == 2:
        raise MemoryError
    if fault:
        raise ValueError("a page of changes names a transaction that has another place")
    return None


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_in_order(
    index: cython.pointer[cython.const[Index]], gathered: cython.pointer[GatheredChanges]
) -> cython.void:
    """Put changes in order of where they go, roughly; those of one record stay in their order."""
    shift: cython.int = POSITION_BITS - STRETCH_BITS
    number: cython.Py_ssize_t
    stretch: uint64_t
    memset(gathered.starts, 0, cython.sizeof(uint32_t) * (STRETCHES + 1))
    for number in range(gathered.count):
        stretch = position_of(hash_key(index, gathered.changes[number].tx)) >> shift
        gathered.starts[stretch + 1] += 1
    for number in range(STRETCHES):
        gathered.starts[number + 1] += gathered.starts[number]
    for number in range(gathered.count):
        stretch = position_of(hash_key(index, gathered.changes[number].tx)) >> shift
        gathered.ordered[gathered.starts[stretch]] = gathered.changes[number]
        gathered.starts[stretch] += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _make(
    state: cython.pointer[LedgerState],
    changes: cython.pointer[cython.const[Change]],
    count: cython.Py_ssize_t,
) -> cython.int:
    """Make changes; give 0, 1 if one of them is impossible, 2 without memory."""
    records: cython.pointer[Records] = cython.address(state.records)
    index: cython.pointer[Index] = cython.address(records.index)
    vacancy: Vacancy
    number: cython.Py_ssize_t
    for number in range(-CHANGES_AHEAD, count):
        # Keys may move before it is their turn, so homes are found again.
        if number + CHANGES_AHEAD < count:
            prefetch_bucket(index, home_of(index, changes[number + CHANGES_AHEAD].tx), cython.sizeof(Record))
        if 0 <= number + CHANGES_AHEAD // 2 < count:
            prefetch_further(
                index, home_of(index, changes[number + CHANGES_AHEAD // 2].tx), cython.sizeof(Record)
            )
        if number < 0:
            continue
        tx: uint64_t = changes[number].tx
        place: cython.int = place_of(records, tx)
        if place == IN_RUN or place == ABSENT:
            return 1
        if place == NOWHERE:
            set_place(records, tx, IN_INDEX)
        if number & 63 == 0 and make_room(index) < 0:
            return 2
        home: Home = home_of(index, tx)
        record: cython.pointer[Record] = find_record(records, tx, home, cython.address(vacancy))
        if record == cython.NULL:
            record = append_record(records, tx, home, cython.address(vacancy))
        record.amount = changes[number].amount
        record.owner = changes[number].owner
    return 0
