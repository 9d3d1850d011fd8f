"""The log of changes to records of scattered ids: what a checkpoint writes of them.

The index of such records has no neighbourhoods: rows spread over all of it, and each checkpoint would have to write the whole.
So every new record, and every change of the state of a dispute, is noted here in order; a checkpoint writes what was noted
since the last one, and reading the log from its beginning brings the index back. Chunks never change once they are closed, so a
cut needs no copies: it closes the chunk, and that is its point in time.
"""

import cython
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memmove, memset


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_log(log: cython.pointer[ChangeLog]) -> cython.bint:
    """Begin to note changes; False without memory."""
    memset(log, 0, cython.sizeof(ChangeLog))
    log.chunk = _new_chunk()
    return log.chunk != cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _new_chunk() -> cython.pointer[ChangeChunk]:
    chunk: cython.pointer[ChangeChunk] = cython.cast(
        cython.pointer[ChangeChunk], malloc(cython.sizeof(ChangeChunk))
    )
    if chunk != cython.NULL:
        chunk.count = 0
    return chunk


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_log(log: cython.pointer[ChangeLog]) -> cython.void:
    """Free everything."""
    number: uint64_t
    for number in range(log.closed_count):
        free(log.closed[number])
    free(log.closed)
    free(log.chunk)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_chunk(log: cython.pointer[ChangeLog]) -> cython.bint:
    """Close the chunk unless it is empty, and begin another one; False without memory."""
    if log.chunk == cython.NULL or log.chunk.count == 0:
        return True
    if log.closed_count == log.closed_capacity:
        capacity: uint64_t = max(cython.cast(uint64_t, 16), 2 * log.closed_capacity)
        closed: cython.p_void = realloc(log.closed, capacity * cython.sizeof(cython.p_void))
        if closed == cython.NULL:
            return False
        log.closed = cython.cast(cython.pointer[cython.pointer[ChangeChunk]], closed)
        log.closed_capacity = capacity
    chunk: cython.pointer[ChangeChunk] = _new_chunk()
    if chunk == cython.NULL:
        return False
    log.closed[log.closed_count] = log.chunk
    log.closed_count += 1
    log.next_number += 1
    log.chunk = chunk
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_chunk(log: cython.pointer[ChangeLog]) -> cython.pointer[ChangeChunk]:
    """Take the oldest closed chunk; whoever takes it frees it. NULL if there is none."""
    if log.closed_count == 0:
        return cython.NULL
    chunk: cython.pointer[ChangeChunk] = log.closed[0]
    log.closed_count -= 1
    memmove(log.closed, log.closed + 1, log.closed_count * cython.sizeof(cython.p_void))
    return chunk


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def log_bytes(log: cython.pointer[cython.const[ChangeLog]]) -> uint64_t:
    """Say how much memory the log takes."""
    if log.chunk == cython.NULL:
        return 0
    return (log.closed_count + 1) * cython.sizeof(ChangeChunk) + log.closed_capacity * cython.sizeof(
        cython.p_void
    )
