"""The records of transactions: found by tx id, never removed, unchanged but for the two bits of their dispute.

Most ids are sequential, within each sender if not over all. So ids are grouped into runs of 8,192 neighbours. The records of an
open run lie side by side in the order of the ids: 12 bytes each (amount, owner), found with three loads, without a hash and
without an index that has to grow, and written in the order of the stream. A directory (2 MB of address space, in memory only
where it was used) says where a run of 32-bit ids is.

The records of all other ids are values of an index (:mod:`index`): 33 bytes each, 43 for wide ids. Where a run's records go is
decided once, when its first id arrives: while at least a third of the space of all runs is in use, or there are only a few, the
run is opened; otherwise its ids go to the index. Two bits for each run of 32-bit ids say which, and fit into a processor's
cache. So sequential ids cost 12 bytes and ids scattered at random 33. A sender that scatters its ids on purpose, to waste runs,
costs at most 36 bytes a record and 256 extra runs, in which each id takes a page of memory.

The state of a transaction's dispute is two bits of the owner's word, so a dispute finds it together with the transaction.

If changes are followed, each run is stamped with the epoch in which it was last written, and a cut begins a new one. So a
checkpoint knows which runs it has to write, and a run that is in a checkpoint as it is may leave memory. A run that is written
while a cut still needs it is copied first; it stays where it is, since rows that are being decided point into it.
"""

import cython
from cython.cimports.holdfast.kernel.ledger.change_log import (
    ChangeLog,
    close_log,
    log_bytes,
    make_log_room,
    note_change,
    open_log,
)
from cython.cimports.holdfast.kernel.ledger.index import (
    ARENA_BYTES,
    PAGE_BYTES,
    SEGMENT_BITS,
    VALUE_BYTES_MAX,
    Index,
    Shape,
    bucket_at,
    close_index,
    index_bytes,
    is_used,
    key_at,
    open_index,
    shape_of,
    value_at,
)
from cython.cimports.holdfast.kernel.platform import hf_check, hf_forget_pages, hf_map_pages, hf_unmap_pages
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc, realloc
from cython.cimports.libc.string import memcpy, memset

DIRECTORY_BYTES = cython.declare(uint64_t, 4 * DIRECTORY_RUNS)
PLACES_BYTES = cython.declare(uint64_t, DIRECTORY_RUNS // 4)


@cython.cfunc
@cython.exceptval(-1, check=False)
def open_records(records: cython.pointer[Records], tx_bits: cython.int, is_huge: cython.bint) -> cython.int:
    """Make an empty table for ids of this width."""
    memset(records, 0, cython.sizeof(Records))
    records.is_huge = is_huge
    open_index(cython.address(records.index), tx_bits, cython.sizeof(Record))
    records.index.is_huge = is_huge
    records.directory = cython.cast(
        cython.pointer[uint32_t], hf_map_pages(DIRECTORY_BYTES + PLACES_BYTES, False)
    )
    if records.directory == cython.NULL:
        raise MemoryError
    records.places = cython.cast(cython.pointer[uint64_t], records.directory + DIRECTORY_RUNS)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_records(records: cython.pointer[Records]) -> cython.void:
    """Free everything."""
    number: uint64_t
    for number in range(records.arena_count):
        hf_unmap_pages(records.arenas[number], ARENA_BYTES)
    stop_following(records)
    free(records.spare)
    free(records.arenas)
    free(records.runs)
    if records.directory != cython.NULL:
        hf_unmap_pages(records.directory, DIRECTORY_BYTES + PLACES_BYTES)
    close_index(cython.address(records.index))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def records_bytes(records: cython.pointer[cython.const[Records]]) -> uint64_t:
    """Say how much memory the runs take at most (a page for each record), with the directory and the index."""
    touched: uint64_t = records.in_runs * PAGE_BYTES
    resident: uint64_t = (records.run_count - records.absent_count) * cython.sizeof(Run)
    entries: uint64_t = records.run_count * (PAGE_BYTES + cython.sizeof(cython.p_void))
    states: uint64_t = 0 if records.states == cython.NULL else records.run_capacity * cython.sizeof(RunState)
    return (
        min(min(records.arena_count * ARENA_BYTES, resident + ARENA_BYTES), touched)
        + min(DIRECTORY_BYTES + PLACES_BYTES + records.run_capacity * cython.sizeof(cython.p_void), entries)
        + index_bytes(cython.address(records.index))
        + states
        + records.copy_count * cython.sizeof(Run)
        + log_bytes(cython.address(records.log))
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_run(records: cython.pointer[Records], tx: uint64_t) -> cython.pointer[Run]:
    """Open a run for an id that may have one; NULL without memory, so that the id goes to the index."""
    if not _make_room_for_run(records):
        return cython.NULL
    run: cython.pointer[Run] = _take_space(records)
    if run == cython.NULL:
        return cython.NULL
    _enter_run(records, tx >> RUN_BITS, run)
    return run


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _make_room_for_run(records: cython.pointer[Records]) -> cython.bint:
    """Make sure that the lists of runs have room for one more."""
    if records.run_count < records.run_capacity:
        return True
    capacity: uint64_t = max(cython.cast(uint64_t, 2 * RUNS_SPARE), records.run_capacity * 2)
    if records.states != cython.NULL:
        states: cython.p_void = realloc(records.states, capacity * cython.sizeof(RunState))
        if states == cython.NULL:
            return False
        records.states = cython.cast(cython.pointer[RunState], states)
    runs: cython.p_void = realloc(records.runs, capacity * cython.sizeof(cython.p_void))
    if runs == cython.NULL:
        return False
    records.runs = cython.cast(cython.pointer[cython.pointer[Run]], runs)
    records.run_capacity = capacity
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_space(records: cython.pointer[Records]) -> cython.pointer[Run]:
    """Give zeroed memory for a run; NULL without memory."""
    run: cython.pointer[Run]
    if records.spare_count:
        records.spare_count -= 1
        return records.spare[records.spare_count]
    if records.arena_runs == 0 and not _add_arena(records):
        return cython.NULL
    run = cython.cast(cython.pointer[Run], records.arena)
    records.arena += cython.sizeof(Run)
    records.arena_runs -= 1
    return run


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _enter_run(records: cython.pointer[Records], place: uint64_t, run: cython.pointer[Run]) -> cython.void:
    """Put a run, or NULL for one that is absent, at the end of the lists, which have room."""
    number: uint64_t = records.run_count
    records.runs[number] = run
    records.directory[place] = cython.cast(uint32_t, number)
    records.run_count += 1
    if records.states != cython.NULL:
        memset(records.states + number, 0, cython.sizeof(RunState))
        records.states[number].place = cython.cast(uint32_t, place)
        records.states[number].epoch = 0 if run == cython.NULL else records.epoch
        records.states[number].is_used = True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def follow_changes(records: cython.pointer[Records]) -> cython.bint:
    """Begin to follow changes: everything that is there counts as changed. False without memory."""
    number: uint64_t
    place: uint64_t
    places: uint64_t = DIRECTORY_RUNS
    if records.states != cython.NULL:
        return True
    records.epoch = 1
    if records.run_capacity == 0 and not _make_room_for_run(records):
        return False
    states: cython.pointer[RunState] = cython.cast(
        cython.pointer[RunState], calloc(records.run_capacity, cython.sizeof(RunState))
    )
    if states == cython.NULL or not open_log(cython.address(records.log)):
        free(states)
        return False
    for place in range(places):
        if place_of(records, place << RUN_BITS) == IN_RUN:
            number = records.directory[place]
            states[number].place = cython.cast(uint32_t, place)
            states[number].epoch = records.epoch
    records.states = states
    if not note_all(records):
        close_log(cython.address(records.log))
        memset(cython.address(records.log), 0, cython.sizeof(ChangeLog))
        free(records.states)
        records.states = cython.NULL
        return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def stop_following(records: cython.pointer[Records]) -> cython.void:
    """Follow changes no longer; all runs are in memory."""
    number: uint64_t
    for number in range(records.run_count if records.states != cython.NULL else 0):
        free(records.states[number].copy)
    free(records.states)
    records.states = cython.NULL
    records.copy_count = records.done_epoch = 0
    close_log(cython.address(records.log))
    memset(cython.address(records.log), 0, cython.sizeof(ChangeLog))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_all(records: cython.pointer[Records]) -> cython.bint:
    """Note every record of the index as a change; False without memory."""
    index: cython.pointer[Index] = cython.address(records.index)
    shape: Shape = shape_of(index.is_wide, VALUE_BYTES_MAX)
    number: uint64_t
    slot: uint32_t
    for number in range(index.segment_count << (SEGMENT_BITS - shape.bucket_bits)):
        bucket: cython.pointer[uint8_t] = bucket_at(index, number)
        if not make_log_room(cython.address(records.log), shape.slots):
            return False
        for slot in range(shape.slots):
            if is_used(bucket, slot, shape):
                record: cython.pointer[Record] = cython.cast(
                    cython.pointer[Record], value_at(bucket, slot, shape)
                )
                tx: uint64_t = key_at(bucket, slot, shape)
                note_change(cython.address(records.log), tx, record.amount, record.owner)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def note_write(records: cython.pointer[Records], number: uint64_t) -> cython.bint:
    """Stamp a run that is about to be written for the first time in this epoch; False without memory for a copy."""
    state: cython.pointer[RunState] = records.states + number
    if state.is_in_cut and state.copy == cython.NULL:
        state.copy = cython.cast(cython.pointer[Run], malloc(cython.sizeof(Run)))
        if state.copy == cython.NULL:
            return False
        memcpy(state.copy, records.runs[number], cython.sizeof(Run))
        records.copy_count += 1
    state.epoch = records.epoch
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def add_absent(records: cython.pointer[Records], place: uint64_t) -> cython.bint:
    """Enter a run that is in the store alone; False without memory."""
    if not _make_room_for_run(records):
        return False
    _enter_run(records, place, cython.NULL)
    set_place(records, place << RUN_BITS, ABSENT)
    records.absent_count += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def bring_back(records: cython.pointer[Records], place: uint64_t) -> cython.pointer[Run]:
    """Give an absent run memory, to be filled at once; NULL without memory."""
    number: uint64_t = records.directory[place]
    run: cython.pointer[Run] = _take_space(records)
    hf_check(place_of(records, place << RUN_BITS) == ABSENT)
    if run != cython.NULL:
        records.runs[number] = run
        records.states[number].is_used = True
        change_place(records, place << RUN_BITS, IN_RUN)
        records.absent_count -= 1
    return run


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def send_back(records: cython.pointer[Records], place: uint64_t) -> cython.void:
    """Undo what :func:`bring_back` did: the run could not be filled."""
    number: uint64_t = records.directory[place]
    if _free_space(records, records.runs[number]):
        records.runs[number] = cython.NULL
        change_place(records, place << RUN_BITS, ABSENT)
        records.absent_count += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def let_go(records: cython.pointer[Records], bytes_wanted: uint64_t) -> uint64_t:
    """Free runs that are in the store as they are and were not used lately; give how many bytes that frees.

    The hand of a clock goes round at most twice: it passes over runs that were used since it came by last.
    """
    freed: uint64_t = 0
    steps: uint64_t
    for steps in range(2 * records.run_count):
        if freed >= bytes_wanted:
            break
        if records.hand >= records.run_count:
            records.hand = 0
        number: uint64_t = records.hand
        records.hand += 1
        state: cython.pointer[RunState] = records.states + number
        if records.runs[number] == cython.NULL or state.is_in_cut or state.epoch > records.done_epoch:
            continue
        if state.is_used:
            state.is_used = False
            continue
        if not _free_space(records, records.runs[number]):
            break
        records.runs[number] = cython.NULL
        change_place(records, cython.cast(uint64_t, state.place) << RUN_BITS, ABSENT)
        records.absent_count += 1
        freed += cython.sizeof(Run)
    return freed


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _free_space(records: cython.pointer[Records], run: cython.pointer[Run]) -> cython.bint:
    """Give the memory of a run back to the system, and keep its place for another; False without memory for a note."""
    if records.spare_count == records.spare_capacity:
        capacity: uint64_t = max(cython.cast(uint64_t, 256), 2 * records.spare_capacity)
        spare: cython.p_void = realloc(records.spare, capacity * cython.sizeof(cython.p_void))
        if spare == cython.NULL:
            return False
        records.spare = cython.cast(cython.pointer[cython.pointer[Run]], spare)
        records.spare_capacity = capacity
    hf_forget_pages(run, cython.sizeof(Run))
    records.spare[records.spare_count] = run
    records.spare_count += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _add_arena(records: cython.pointer[Records]) -> cython.bint:
    arenas: cython.p_void = realloc(records.arenas, (records.arena_count + 1) * cython.sizeof(cython.p_void))
    if arenas == cython.NULL:
        return False
    records.arenas = cython.cast(cython.pointer[cython.pointer[uint8_t]], arenas)
    # An engine with few records must not pay for a huge page, and scattered ids must not pay for one each.
    is_filled: cython.bint = records.in_runs * 2 > records.arena_count * ARENA_RUNS * RUN_RECORDS
    arena: cython.p_void = hf_map_pages(ARENA_BYTES, records.is_huge and is_filled)
    if arena == cython.NULL:
        return False
    records.arenas[records.arena_count] = cython.cast(cython.pointer[uint8_t], arena)
    records.arena_count += 1
    records.arena = cython.cast(cython.pointer[uint8_t], arena)
    records.arena_runs = ARENA_RUNS
    return True
