"""Keys to values: an append-only table of 32- or 64-bit keys, each stored together with a small value.

Keys and values are in buckets of 64 bytes, a cache line: first the keys, so that a few instructions compare a key with all of
them, then the values. The last four bytes of a value are never 0, which marks a slot as used. With values of 12 bytes a bucket
has 4 slots (6 in a bucket of twice the size if keys are wide), with values of 4 bytes 8 (5). A key whose bucket is full goes to
the next one.

Buckets are in segments of 64 KB, by extendible hashing after Fagin, Nievergelt, Pippenger and Strong (TODS 4, 1979): a
directory says which segment has the keys whose position begins with these bits. A segment that is seven tenths full is split
in two by one more bit: its keys are read in order, and written in order to the same place of one half or the other. So a key
moves once or twice in its life at any size, and the only thing ever done for all keys at once is to double the directory, 4
bytes for some 2,000 keys.

The position of a key is a seeded hash, so that nobody can choose colliding keys without knowing the seed. The hash is not even:
the first positions get twice as many keys as the last, falling off in between. Segments with equal shares would all be full at
the same moment; this way each fills at its own time, and the load is the same at all times, as in spiral storage (Martin,
Spiral Storage: Incrementally Augmentable Hash Addressed Storage, Warwick 1979). 64 neighbouring keys share a segment and go to
one bucket after the other: sequential keys use the same few pages.

Costs: half of the slots are in use, 0.35 to 0.7 by segment. That is 33 bytes for a 32-bit key with a value of 12 bytes (43 for
a wide key), 16 with a value of 4 (26). Fuller segments would take less memory and more time, since the next bucket would be
needed more often. A look-up costs one cache miss, which a caller prefetches, and a second one for about every fourth key, which
can be prefetched too. The load bounds the expected probes for any keys. In the worst case, for someone who knows the seed, a
look-up searches a whole segment, and the table takes no more keys once the directory has 2^24 entries.
"""

import os

import cython
from cython.cimports.holdfast.kernel.platform import hf_check, hf_map_pages, hf_unlikely, hf_unmap_pages
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc, realloc
from cython.cimports.libc.string import memcpy, memset

FULL_PERCENT = cython.declare(uint32_t, 70)
"""The share of used slots at which a segment is split."""


@cython.cfunc
@cython.exceptval(-1, check=False)
def open_index(index: cython.pointer[Index], key_bits: cython.int, value_bytes: uint32_t) -> cython.int:
    """Make an empty index whose values have this many bytes, the last four of which are never 0."""
    memset(index, 0, cython.sizeof(Index))
    index.is_wide = key_bits > 32
    index.value_bytes = value_bytes
    shape: Shape = shape_of(index.is_wide, value_bytes)
    index.segment_bits = SEGMENT_BITS - shape.bucket_bits
    slots: uint32_t = shape.slots << index.segment_bits
    index.full_keys = slots * FULL_PERCENT // 100
    hf_check(index.full_keys + ROOM_KEYS < slots)
    index.seed = int.from_bytes(os.urandom(8), "little") | 1
    index.group_seed = int.from_bytes(os.urandom(8), "little")
    index.directory = cython.cast(cython.pointer[uint32_t], malloc(cython.sizeof(uint32_t)))
    if index.directory == cython.NULL or not add_segment(index):
        raise MemoryError
    index.directory[0] = 0
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_index(index: cython.pointer[Index]) -> cython.void:
    """Free everything."""
    arena: uint64_t
    for arena in range(index.segment_capacity // ARENA_SEGMENTS):
        hf_unmap_pages(index.arenas[arena], ARENA_BYTES)
    free(index.arenas)
    free(index.segments)
    free(index.directory)
    free(index.moved)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def index_bytes(index: cython.pointer[cython.const[Index]]) -> uint64_t:
    """Say how much memory the segments and the directory take, and the keys of one segment while they move."""
    directory_bytes: uint64_t = cython.cast(uint64_t, cython.sizeof(uint32_t)) << index.depth
    moved_bytes: uint64_t = SEGMENT_SLOTS_MAX * cython.sizeof(Moved) if index.moved != cython.NULL else 0
    if index.directory == cython.NULL:
        return 0
    return (
        index.segment_count * SEGMENT_BYTES
        + index.segment_capacity * cython.sizeof(Segment)
        + directory_bytes
        + moved_bytes
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def split_full(index: cython.pointer[Index]) -> cython.int:
    """Split the segments that are full; -1 without memory, and the rest is split the next time."""
    while index.full_count:
        number: uint32_t = index.full[index.full_count - 1]
        # One half of a split may be full again if the keys happen to stay together.
        while index.segments[number].count >= index.full_keys:
            if not _split(index, number):
                return -1
            if index.segments[index.segment_count - 1].count >= index.full_keys:
                number = index.full[index.full_count - 1] = cython.cast(uint32_t, index.segment_count - 1)
        index.full_count -= 1
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _split(index: cython.pointer[Index], number: uint32_t) -> cython.bint:
    """Split a segment by the next bit of its keys' positions; the new one is the last. False without memory."""
    if index.segments[number].depth == index.depth and not _double_directory(index):
        return False
    if index.moved == cython.NULL:
        index.moved = cython.cast(cython.pointer[Moved], malloc(SEGMENT_SLOTS_MAX * cython.sizeof(Moved)))
    if index.moved == cython.NULL or not add_segment(index):
        return False
    segment: cython.pointer[Segment] = index.segments + number
    other: cython.pointer[Segment] = index.segments + (index.segment_count - 1)
    segment.depth += 1
    segment.prefix <<= 1
    other.depth = segment.depth
    other.prefix = segment.prefix | 1
    first: uint64_t = cython.cast(uint64_t, other.prefix) << (index.depth - other.depth)
    entry: uint64_t
    for entry in range(first, first + (cython.cast(uint64_t, 1) << (index.depth - other.depth))):
        index.directory[entry] = cython.cast(uint32_t, index.segment_count - 1)
    index.generation += 1
    _distribute(index, number, cython.cast(uint32_t, index.segment_count - 1))
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _double_directory(index: cython.pointer[Index]) -> cython.bint:
    entries: uint64_t = cython.cast(uint64_t, 1) << index.depth
    if index.depth == DEPTH_MAX:
        return False
    directory: cython.pointer[uint32_t] = cython.cast(
        cython.pointer[uint32_t], malloc(2 * entries * cython.sizeof(uint32_t))
    )
    if directory == cython.NULL:
        return False
    entry: uint64_t
    for entry in range(entries):
        directory[2 * entry] = directory[2 * entry + 1] = index.directory[entry]
    free(index.directory)
    index.directory = directory
    index.depth += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def add_segment(index: cython.pointer[Index]) -> cython.bint:
    """Add an empty segment; False without memory."""
    if index.segment_count == index.segment_capacity and not _add_arena(index):
        return False
    memset(index.segments + index.segment_count, 0, cython.sizeof(Segment))
    index.segment_count += 1
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _add_arena(index: cython.pointer[Index]) -> cython.bint:
    number: uint64_t = index.segment_capacity // ARENA_SEGMENTS
    segments: cython.p_void = realloc(
        index.segments, (index.segment_capacity + ARENA_SEGMENTS) * cython.sizeof(Segment)
    )
    if segments == cython.NULL:
        return False
    index.segments = cython.cast(cython.pointer[Segment], segments)
    arenas: cython.p_void = realloc(index.arenas, (number + 1) * cython.sizeof(cython.p_void))
    if arenas == cython.NULL:
        return False
    index.arenas = cython.cast(cython.pointer[cython.pointer[uint8_t]], arenas)
    # An index of few keys must not pay for a huge page.
    arena: cython.p_void = hf_map_pages(ARENA_BYTES, index.is_huge and number > 0)
    if arena == cython.NULL:
        return False
    index.arenas[number] = cython.cast(cython.pointer[uint8_t], arena)
    index.segment_capacity += ARENA_SEGMENTS
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _distribute(index: cython.pointer[Index], number: uint32_t, other: uint32_t) -> cython.void:
    """Move the keys of a segment to where they belong now: in the segment, or in its empty new half."""
    if index.value_bytes > cython.sizeof(uint32_t):
        if index.is_wide:
            _put_all(index, number, other, shape_of(True, VALUE_BYTES_MAX))
        else:
            _put_all(index, number, other, shape_of(False, VALUE_BYTES_MAX))
    elif index.is_wide:
        _put_all(index, number, other, shape_of(True, cython.sizeof(uint32_t)))
    else:
        _put_all(index, number, other, shape_of(False, cython.sizeof(uint32_t)))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_all(index: cython.pointer[Index], number: uint32_t, other: uint32_t, shape: Shape) -> cython.void:
    """Take the keys out of a segment and put each into one of the two halves.

    Separate counters say how far each bucket is filled: reading back what was just written in smaller pieces would make the
    processor wait.
    """
    fills: uint8_t[HALVES_BUCKETS_MAX]
    vacancy: Vacancy
    moved: uint32_t
    others: uint32_t = 0
    keys: uint32_t = _take_all(index, number, shape)
    first: cython.pointer[uint8_t] = bucket_at(index, cython.cast(uint64_t, number) << index.segment_bits)
    first_of_other: cython.pointer[uint8_t] = bucket_at(
        index, cython.cast(uint64_t, other) << index.segment_bits
    )
    other_bit: cython.int = POSITION_BITS - index.segments[other].depth
    memset(fills, 0, HALVES_BUCKETS_MAX)
    for moved in range(keys):
        key: uint64_t = index.moved[moved].key
        hash_: uint64_t = hash_key(index, key)
        is_other: uint64_t = (position_of(hash_) >> other_bit) & 1
        place: uint64_t = place_in_segment(index, key, hash_)
        fill: cython.pointer[uint8_t] = fills + is_other * SEGMENT_BUCKETS_MAX
        while hf_unlikely(fill[place] == shape.slots):
            place = (place + 1) & bucket_mask(index)
        vacancy.bucket = (first_of_other if is_other else first) + (place << shape.bucket_bits)
        vacancy.slot = fill[place]
        fill[place] += 1
        others += cython.cast(uint32_t, is_other)
        put_key(cython.address(vacancy), key, shape)
        _copy_value(
            value_at(vacancy.bucket, vacancy.slot, shape), index.moved[moved].value, shape.value_bytes
        )
    hf_check(keys == index.segments[number].count)
    index.segments[number].count = keys - others
    index.segments[other].count = others


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_all(index: cython.pointer[Index], number: uint32_t, shape: Shape) -> uint32_t:
    """Take all keys out of a segment; give how many there are."""
    place: uint64_t
    slot: uint32_t
    keys: uint32_t = 0
    start: cython.pointer[uint8_t] = bucket_at(index, cython.cast(uint64_t, number) << index.segment_bits)
    for place in range(bucket_mask(index) + 1):
        bucket: cython.pointer[uint8_t] = start + (place << shape.bucket_bits)
        for slot in range(shape.slots):
            moved: cython.pointer[Moved] = index.moved + keys
            moved.key = (
                cython.cast(cython.pointer[uint64_t], bucket)[slot]
                if shape.is_wide
                else cython.cast(cython.pointer[uint32_t], bucket)[slot]
            )
            _copy_value(moved.value, value_at(bucket, slot, shape), shape.value_bytes)
            # Always written, and kept or overwritten, so that no branch depends on it.
            keys += is_used(bucket, slot, shape)
    memset(start, 0, SEGMENT_BYTES)
    return keys


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_value(target: cython.p_void, source: cython.p_void, value_bytes: uint32_t) -> cython.void:
    # Each has a constant size, so that it compiles to a few instructions and no call.
    if value_bytes == VALUE_BYTES_MAX:
        memcpy(target, source, VALUE_BYTES_MAX)
    else:
        memcpy(target, source, cython.sizeof(uint32_t))


@cython.cclass
class KeyIndex:
    """An index by itself, which numbers its keys, as the ledger uses it for wide client ids; for tests and benchmarks.

    Args:
        key_bits: 32 or 64; of wider keys, only the lower 32 bits count in an index of 32.
    """

    index: Index
    is_busy: cython.bint

    def __cinit__(self, key_bits: cython.int = 64):
        if key_bits not in (32, 64):
            raise ValueError(f"keys are 32 or 64 bits wide, not {key_bits}")
        open_index(cython.address(self.index), key_bits, cython.sizeof(uint32_t))

    def __dealloc__(self):
        close_index(cython.address(self.index))

    def __len__(self) -> int:
        return self.index.count

    @property
    def memory_bytes(self) -> int:
        """How much memory the table takes."""
        return index_bytes(cython.address(self.index))

    def insert_all(self, keys) -> int:
        """Insert the keys (uint64, shape (n,)) that are not there yet; give the number of new keys.

        Raises:
            MemoryError: If there is no memory for them; earlier keys stay inserted.
            RuntimeError: If another thread is using the index.
        """
        return self._for_each(keys, True)

    def count_present(self, keys) -> int:
        """Count how many of the keys (uint64, shape (n,)) are there.

        Raises:
            RuntimeError: If another thread is using the index.
        """
        return self._for_each(keys, False)

    def ordinal(self, key: uint64_t) -> int | None:
        """Give the number of a key, counted from 0 in order of arrival, or None.

        Raises:
            RuntimeError: If another thread is using the index.
        """
        vacancy: Vacancy
        self._check_idle()
        index: cython.pointer[Index] = cython.address(self.index)
        if not index.is_wide:
            key = cython.cast(uint32_t, key)
        number: int64_t = find_number(index, key, home_of(index, key), cython.address(vacancy))
        return number if number >= 0 else None

    @cython.cfunc
    def _for_each(self, keys: cython.const[uint64_t][::1], insert: cython.bint) -> object:
        start: cython.Py_ssize_t = 0
        touched: cython.Py_ssize_t = 0
        failed: cython.bint = False
        self._check_idle()
        self.is_busy = True
        with cython.nogil:
            while start < keys.shape[0]:
                rows: cython.int = cython.cast(
                    cython.int, min(keys.shape[0] - start, cython.cast(cython.Py_ssize_t, BLOCK_KEYS))
                )
                if insert and make_room(cython.address(self.index)) < 0:
                    failed = True
                    break
                touched += _block(cython.address(self.index), cython.address(keys[start]), rows, insert)
                start += rows
        self.is_busy = False
        if failed:
            raise MemoryError
        return touched

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def _check_idle(self) -> cython.int:
        if self.is_busy:
            raise RuntimeError("another thread is at work on this index")
        return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _block(
    index: cython.pointer[Index],
    keys: cython.pointer[cython.const[uint64_t]],
    rows: cython.int,
    insert: cython.bint,
) -> cython.int:
    """Look up a block of keys, inserting missing ones if asked to; give how many were inserted or found."""
    homes: Home[BLOCK_KEYS]
    row: cython.int
    found: cython.int = 0
    vacancy: Vacancy
    known: uint64_t[BLOCK_KEYS]
    for row in range(rows):
        known[row] = keys[row] if index.is_wide else cython.cast(uint32_t, keys[row])
        homes[row] = home_of(index, known[row])
        prefetch_bucket(index, homes[row], cython.sizeof(uint32_t))
    for row in range(rows):
        prefetch_further(index, homes[row], cython.sizeof(uint32_t))
    for row in range(rows):
        if find_number(index, known[row], homes[row], cython.address(vacancy)) >= 0:
            found += 1
        elif insert:
            append_number(index, known[row], homes[row], cython.address(vacancy))
    hf_check(found <= rows)
    return rows - found if insert else found
