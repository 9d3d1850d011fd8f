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
"""

import cython
from cython.cimports.holdfast.kernel.ledger.index import (
    ARENA_BYTES,
    PAGE_BYTES,
    close_index,
    index_bytes,
    open_index,
)
from cython.cimports.holdfast.kernel.platform import hf_map_pages, hf_unmap_pages
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memset

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
    entries: uint64_t = records.run_count * (PAGE_BYTES + cython.sizeof(cython.p_void))
    return (
        min(records.arena_count * ARENA_BYTES, touched)
        + min(DIRECTORY_BYTES + PLACES_BYTES + records.run_capacity * cython.sizeof(cython.p_void), entries)
        + index_bytes(cython.address(records.index))
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_run(records: cython.pointer[Records], tx: uint64_t) -> cython.pointer[Run]:
    """Open a run for an id that may have one; NULL without memory, so that the id goes to the index."""
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
    records.directory[tx >> RUN_BITS] = cython.cast(uint32_t, records.run_count)
    records.run_count += 1
    return run


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
