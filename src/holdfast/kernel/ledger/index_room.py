"""Room in an empty index for as many keys as it is going to get, so that none of them moves later.

An index that grows moves each key once or twice, since its segments split as they fill. Of a state that is restored, the number
of keys is known: the segments that it would come to are made at once, in the order of the positions of their keys. So a restore
that puts keys in order of their positions goes through memory from one end to the other, and another thread can have the system
clear that memory meanwhile.
"""

import cython
from cython.cimports.holdfast.kernel.ledger.index import (
    ARENA_BYTES,
    ARENA_SEGMENTS,
    DEPTH_MAX,
    POSITION_BITS,
    Index,
    add_segment,
)
from cython.cimports.holdfast.kernel.platform import hf_touch_pages
from cython.cimports.libc.stdint import uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy

EXPECTED_PERCENT = cython.declare(uint64_t, 93)
"""Of the keys that make a segment full, so many are expected at most: by chance, there will be some more."""
HASH_BITS = cython.declare(cython.int, 31)
"""So many bits of a key's hash make its position."""


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def expect_keys(index: cython.pointer[Index], keys: uint64_t) -> cython.bint:
    """Make room for so many keys, if there is none yet; False without memory, and the index is empty as it was."""
    if index.count or index.segment_count != 1:
        return True
    index.segment_count = 0
    is_there: cython.bint = _add_segments(index, 0, 0, keys) and _fill_directory(index)
    if not is_there:
        index.segment_count = 1
        index.segments[0].depth = index.segments[0].prefix = 0
    return is_there


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _add_segments(
    index: cython.pointer[Index], depth: uint32_t, prefix: uint64_t, keys: uint64_t
) -> cython.bint:
    """Add segments for the keys whose positions begin with these bits, in order; False without memory."""
    first: uint64_t = _hash_at(prefix << (POSITION_BITS - depth))
    stop: uint64_t = _hash_at((prefix + 1) << (POSITION_BITS - depth))
    expected: uint64_t = (keys * (stop - first)) >> HASH_BITS
    if depth < DEPTH_MAX and 100 * expected > EXPECTED_PERCENT * index.full_keys:
        return _add_segments(index, depth + 1, prefix << 1, keys) and _add_segments(
            index, depth + 1, prefix << 1 | 1, keys
        )
    if not add_segment(index):
        return False
    index.segments[index.segment_count - 1].depth = depth
    index.segments[index.segment_count - 1].prefix = cython.cast(uint32_t, prefix)
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hash_at(position: uint64_t) -> uint64_t:
    """Say which hash has a position: what position_of() does, backwards. Hashes are even, positions are not."""
    square: uint64_t = (cython.cast(uint64_t, 1) << POSITION_BITS) + 3 * position
    root: uint64_t = 0
    bit: cython.int
    if position >> POSITION_BITS:
        return cython.cast(uint64_t, 1) << HASH_BITS
    for bit in range(31, -1, -1):
        more: uint64_t = root | (cython.cast(uint64_t, 1) << bit)
        if more * more <= square:
            root = more
    return root - (cython.cast(uint64_t, 1) << HASH_BITS)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _fill_directory(index: cython.pointer[Index]) -> cython.bint:
    number: uint64_t
    entry: uint64_t
    depth: uint32_t = 0
    for number in range(index.segment_count):
        depth = max(depth, index.segments[number].depth)
    directory: cython.pointer[uint32_t] = cython.cast(
        cython.pointer[uint32_t], malloc(cython.sizeof(uint32_t) << depth)
    )
    if directory == cython.NULL:
        return False
    entry = 0
    for number in range(index.segment_count):
        # In order, each segment begins where the one before it ends.
        stop: uint64_t = entry + (cython.cast(uint64_t, 1) << (depth - index.segments[number].depth))
        while entry < stop:
            directory[entry] = cython.cast(uint32_t, number)
            entry += 1
    free(index.directory)
    index.directory = directory
    index.depth = depth
    index.generation += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def list_arenas(index: cython.pointer[cython.const[Index]]) -> cython.pointer[cython.pointer[uint8_t]]:
    """List the mappings of the segments, which stay until the index is closed; the list is to be freed. NULL without memory."""
    size: cython.size_t = arena_count(index) * cython.sizeof(cython.p_void)
    arenas: cython.pointer[cython.pointer[uint8_t]] = cython.cast(
        cython.pointer[cython.pointer[uint8_t]], malloc(size)
    )
    if arenas != cython.NULL:
        memcpy(arenas, index.arenas, size)
    return arenas


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def arena_count(index: cython.pointer[cython.const[Index]]) -> uint64_t:
    """Say how many mappings the segments are in."""
    return index.segment_capacity // ARENA_SEGMENTS


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def touch_arena(arena: cython.pointer[uint8_t]) -> cython.void:
    """Have the system give a mapping its memory."""
    hf_touch_pages(arena, ARENA_BYTES)
