"""What is recorded of transactions: immutable, found by tx id, never moved.

Ids are mostly sequential, by sender if not over all. So ids are taken in runs of 8,192 neighbours, and a run of which enough ids
are in use has its records side by side in the order of the ids: 12 bytes each (amount, owner) and two bits for the state of its
dispute, found by three loads, without a hash and without an index that has to grow, and written in the order in which a stream
brings them. A directory (2 MB of address space, in memory only where it was looked at) says where a run of 32-bit ids is.

All other ids are in an index (:mod:`index`): 16 bytes a record (20 for wide ids) and 6 to 12 of table, 17.5 for as long as it
grows. Which run gets a place is decided when its first id arrives, and stays so: as long as a third of the space of all runs is
in use, or there are only a few, a new one is opened; otherwise the run is marked, by one bit, as one whose ids are in the index.
So sequential ids cost 12 to 13 bytes and ids scattered at random 22 to 28. Whoever scatters his ids to waste runs gets 37 bytes
a record and, in 1,024 runs more, a page of memory for each id, and no further.

The states of the disputes of indexed records are two bits each as well, in chunks that exist only where something was disputed.
"""

import cython
from cython.cimports.holdfast.kernel.index import PAGE_BYTES, close_index, index_bytes, open_index
from cython.cimports.holdfast.kernel.platform import hf_map_pages, hf_unmap_pages
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, realloc
from cython.cimports.libc.string import memset

ARENA_BYTES = cython.declare(uint64_t, 2 << 20)
DIRECTORY_BYTES = cython.declare(uint64_t, 4 * DIRECTORY_RUNS)
INDEXED_BYTES = cython.declare(uint64_t, DIRECTORY_RUNS // 8)


@cython.cfunc
@cython.exceptval(-1, check=False)
def open_records(records: cython.pointer[Records], tx_bits: cython.int, is_huge: cython.bint) -> cython.int:
    """Make an empty table for ids of this width."""
    memset(records, 0, cython.sizeof(Records))
    records.is_huge = is_huge
    open_index(
        cython.address(records.index),
        tx_bits,
        RECORD_CHUNK_BITS,
        cython.sizeof(Record) + cython.sizeof(uint32_t),
        cython.sizeof(Record),
    )
    records.index.is_huge = is_huge
    records.directory = cython.cast(
        cython.pointer[uint32_t], hf_map_pages(DIRECTORY_BYTES + INDEXED_BYTES, False)
    )
    if records.directory == cython.NULL:
        raise MemoryError
    records.indexed = cython.cast(cython.pointer[uint64_t], records.directory + DIRECTORY_RUNS)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_records(records: cython.pointer[Records]) -> cython.void:
    """Give everything back."""
    number: uint64_t
    for number in range(records.arena_count):
        hf_unmap_pages(records.arenas[number], ARENA_BYTES)
    for number in range(records.dispute_chunks):
        free(records.disputes[number])
    free(records.arenas)
    free(records.runs)
    free(records.disputes)
    if records.directory != cython.NULL:
        hf_unmap_pages(records.directory, DIRECTORY_BYTES + INDEXED_BYTES)
    close_index(cython.address(records.index))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def records_bytes(records: cython.pointer[cython.const[Records]]) -> uint64_t:
    """Say how much memory the runs take at most, a page for each record and one for a run's disputes, and the index."""
    touched: uint64_t = (records.in_runs + records.run_count) * PAGE_BYTES
    return min(records.arena_count * ARENA_BYTES, touched) + index_bytes(cython.address(records.index))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_run(records: cython.pointer[Records], tx: uint64_t) -> cython.pointer[Run]:
    """Open a run for an id that may have one; NULL without memory, and the id goes to the index."""
    if records.arena_runs == 0 and not _add_arena(records):
        return cython.NULL
    if records.run_count == records.run_capacity:
        capacity: uint64_t = max(cython.cast(uint64_t, 2 * RUNS_SPARE), records.run_capacity * 2)
        runs: cython.p_void = realloc(records.runs, capacity * cython.sizeof(cython.p_void))
        if runs == cython.NULL:
            return cython.NULL
        records.runs = cython.cast(cython.pointer[cython.pointer[Run]], runs)
        records.run_capacity = capacity
    run: cython.pointer[Run] = cython.cast(cython.pointer[Run], records.arena)
    records.arena += cython.sizeof(Run)
    records.arena_runs -= 1
    records.runs[records.run_count] = run
    records.run_count += 1
    records.directory[tx >> RUN_BITS] = cython.cast(uint32_t, records.run_count)
    return run


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _add_arena(records: cython.pointer[Records]) -> cython.bint:
    arenas: cython.p_void = realloc(records.arenas, (records.arena_count + 1) * cython.sizeof(cython.p_void))
    if arenas == cython.NULL:
        return False
    records.arenas = cython.cast(cython.pointer[cython.pointer[uint8_t]], arenas)
    # An engine that records little shall not pay a huge page for its first record, and scattered ids none for each.
    is_filled: cython.bint = records.in_runs * 2 > records.arena_count * ARENA_RUNS * RUN_RECORDS
    arena: cython.p_void = hf_map_pages(ARENA_BYTES, records.is_huge and is_filled)
    if arena == cython.NULL:
        return False
    records.arenas[records.arena_count] = cython.cast(cython.pointer[uint8_t], arena)
    records.arena_count += 1
    records.arena = cython.cast(cython.pointer[uint8_t], arena)
    records.arena_runs = ARENA_RUNS
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def reserve_disputes(records: cython.pointer[Records], ordinal: uint64_t) -> cython.pointer[uint8_t]:
    """Give the byte that holds the state of the dispute of an indexed record; NULL if there is no memory for it."""
    chunk: uint64_t = ordinal >> RECORD_CHUNK_BITS
    if chunk >= records.dispute_chunks:
        chunks: uint64_t = max(chunk + 1, records.dispute_chunks * 2)
        disputes: cython.p_void = realloc(records.disputes, chunks * cython.sizeof(cython.p_void))
        if disputes == cython.NULL:
            return cython.NULL
        records.disputes = cython.cast(cython.pointer[cython.pointer[uint8_t]], disputes)
        memset(
            records.disputes + records.dispute_chunks,
            0,
            (chunks - records.dispute_chunks) * cython.sizeof(cython.p_void),
        )
        records.dispute_chunks = chunks
    if records.disputes[chunk] == cython.NULL:
        records.disputes[chunk] = cython.cast(
            cython.pointer[uint8_t], calloc(1 << (RECORD_CHUNK_BITS - 2), 1)
        )
        if records.disputes[chunk] == cython.NULL:
            return cython.NULL
    return records.disputes[chunk] + ((ordinal & RECORD_CHUNK_MASK) >> 2)
