"""Keys to ordinals: an append-only set of 32- or 64-bit keys that numbers them in order of arrival.

Two parts. A store holds a record per key, by ordinal, in chunks that never move and are never copied. An open-addressed table of
4-byte slots finds the ordinal: an entry is the ordinal plus one, and in the bits that the ordinal leaves free a tag of the key's
hash, so that a probe that meets another key rarely has to look at its record.

Where a key goes: ids are mostly sequential, so the home slot of a key is the key itself within its window (the keys equal
above the table's bits), XORed with a secret number drawn per window. Keys of one window never share a home, and neighbours
share a cache line: a sequential stream writes memory in order. Sparse keys are spread as evenly as they are themselves, and
keys chosen to collide would have to be chosen knowing the secret. A probe searches the 16 slots of the home's cache line, then
a line drawn by a seeded hash of the whole key, then lines at a stride drawn by the same hash.

Costs: the table is between 34 % and 69 % full, so 5.8 to 11.6 bytes a key, 17.5 for as long as it grows; the record comes on top.
A hit costs two cache misses (slot, record), a miss or an insert one, all of which a caller prefetches. Expected probes are
bounded by the load whatever the keys; the worst case, for someone who knows the seed, is linear.

It grows without stopping the world. Well before a table is full, the next one, twice its size, is faulted in a few pages at
a time; when it is needed, new keys go there, and with each block of rows a few old keys are moved, read from the store in
order; the old table serves look-ups until all are moved, and its memory then takes the next records. Nothing is ever done for all
keys at once.
"""

import os

import cython
from cython.cimports.holdfast.kernel.platform import (
    hf_check,
    hf_map_pages,
    hf_prefetch,
    hf_scan_line,
    hf_trailing_zeros,
    hf_unmap_pages,
)
from cython.cimports.libc.stdint import UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, realloc
from cython.cimports.libc.string import memset

KEYS_LIMIT = cython.declare(uint64_t, 2_900_000_000)
KEYS_MAX = KEYS_LIMIT
"""How many keys an index takes: what 32-bit slots can number at their highest load."""


@cython.cfunc
@cython.exceptval(-1, check=False)
def open_index(
    index: cython.pointer[Index],
    key_bits: cython.int,
    chunk_bits: cython.int,
    record_bytes: uint32_t,
    key_offset: uint32_t,
) -> cython.int:
    """Make an empty index whose records have this many bytes, the lower half of their key at this offset."""
    memset(index, 0, cython.sizeof(Index))
    index.store.chunk_bits = chunk_bits
    index.store.chunk_mask = (1 << chunk_bits) - 1
    index.store.record_bytes = record_bytes
    index.store.key_offset = key_offset
    index.store.is_wide = key_bits > 32
    index.seed = int.from_bytes(os.urandom(8), "little") | 1
    index.window_seed = int.from_bytes(os.urandom(8), "little") | 1
    if _open_table(cython.address(index.table), FIRST_BITS, False) < 0:
        raise MemoryError
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_index(index: cython.pointer[Index]) -> cython.void:
    """Give everything back."""
    store: cython.pointer[Store] = cython.address(index.store)
    chunk: uint64_t
    for chunk in range(store.chunk_count):
        hf_unmap_pages(store.chunks[chunk], cython.cast(uint64_t, store.record_bytes) << store.chunk_bits)
        if store.is_wide:
            hf_unmap_pages(store.upper_chunks[chunk], cython.cast(uint64_t, 4) << store.chunk_bits)
    free(store.chunks)
    free(store.upper_chunks)
    _close_table(cython.address(index.table))
    _close_table(cython.address(index.old))
    _close_table(cython.address(index.next))
    _close_table(cython.address(index.retired))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def make_room(index: cython.pointer[Index], keys: uint64_t, share_keys: uint64_t) -> cython.int:
    """Make sure that so many keys can be appended, doing the share of growth that falls to some of them; -1 without memory."""
    if index.count + keys > KEYS_LIMIT or _extend_store(index, index.count + keys) < 0:
        return -1
    slots: uint64_t = index.table.mask + 1
    if index.old.slots != cython.NULL:
        _move(index, share_keys * MOVES_PER_KEY)
    if index.count + keys > slots // 16 * FULL_LOAD:
        return _grow(index)
    if index.count + keys > slots // 16 * READY_LOAD and index.table.bits < BITS_MAX:
        # The next table's bytes, spread over the keys that still come until it takes over, and some more.
        return _make_ready(index, share_keys * (16 // (FULL_LOAD - READY_LOAD)) * 8 * 5 // 4)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def index_bytes(index: cython.pointer[cython.const[Index]]) -> uint64_t:
    """Say how much address space the tables and the store take."""
    record_bytes: uint64_t = index.store.record_bytes + (4 if index.store.is_wide else 0)
    tables: uint64_t = index.table.size + index.old.size + index.next.size + index.retired.size
    return tables + index.store.chunk_count * (record_bytes << index.store.chunk_bits)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _open_table(table: cython.pointer[Table], bits: cython.int, is_huge: cython.bint) -> cython.int:
    table.bits = bits
    table.mask = (cython.cast(uint64_t, 1) << bits) - 1
    table.number_mask = cython.cast(uint32_t, table.mask)
    table.size = (table.mask + 1) * cython.sizeof(uint32_t)
    table.slots = cython.cast(
        cython.pointer[uint32_t], hf_map_pages(table.size, is_huge and table.size >= HUGE_FROM_BYTES)
    )
    return 0 if table.slots != cython.NULL else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _close_table(table: cython.pointer[Table]) -> cython.void:
    if table.slots != cython.NULL:
        hf_unmap_pages(table.slots, table.size)
    memset(table, 0, cython.sizeof(Table))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_retired(table: cython.pointer[Table], size: uint64_t) -> cython.p_void:
    """Take a stretch of a table that nobody needs any more, for records; NULL if there is none of this size."""
    if table.slots == cython.NULL or table.size < size or size % PAGE_BYTES:
        return cython.NULL
    table.size -= size
    start: cython.p_void = cython.cast(cython.pointer[uint8_t], table.slots) + table.size
    if table.size == 0:
        table.slots = cython.NULL
    return start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _is_dense(index: cython.pointer[Index]) -> cython.bint:
    """Say whether the table fills up line by line, as it does for sequential ids, judging by lines drawn at random."""
    draw: uint64_t
    step: cython.int
    clear_cut: cython.int = 0
    for draw in range(SAMPLED_LINES):
        line: uint64_t = hash_key(index, draw) & index.table.mask & ~cython.cast(uint64_t, LINE_MASK)
        used: cython.int = 0
        for step in range(LINE_SLOTS):
            used += index.table.slots[line + step] != 0
        clear_cut += used == 0 or used == LINE_SLOTS
    return clear_cut > SAMPLED_LINES * 3 // 4


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _make_ready(index: cython.pointer[Index], share_bytes: uint64_t) -> cython.int:
    """Map the next table, and touch so many of its bytes that the system gives it memory before rows wait for it.

    Sequential ids touch one page after the other anyway, and some never: for them nothing has to be touched in advance.
    """
    if index.next.slots == cython.NULL:
        if _open_table(cython.address(index.next), index.table.bits + 1, index.is_huge) < 0:
            return -1
        index.ready_bytes = index.next.size if _is_dense(index) else 0
    start: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], index.next.slots)
    until: uint64_t = (
        index.next.size
        if share_bytes > index.next.size - index.ready_bytes
        else index.ready_bytes + share_bytes
    )
    while index.ready_bytes < until:
        start[index.ready_bytes] = 0
        # A whole page at a time; where a slice ends within one, the next slice begins with the following page.
        index.ready_bytes += PAGE_BYTES
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _grow(index: cython.pointer[Index]) -> cython.int:
    """Let the next table take over; its predecessor keeps serving the keys it holds until they are moved."""
    if index.table.bits == BITS_MAX:
        return 0
    if index.old.slots != cython.NULL:
        _move(index, UINT64_MAX)
    if index.retired.slots != cython.NULL:
        _close_table(cython.address(index.retired))
    if _make_ready(index, UINT64_MAX) < 0:
        return -1
    index.old = index.table
    index.table = index.next
    memset(cython.address(index.next), 0, cython.sizeof(Table))
    index.old_count = index.count
    index.old_key_max = index.key_max
    index.moved = 0
    index.generation += 1
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _move(index: cython.pointer[Index], keys: uint64_t) -> cython.void:
    """Move up to so many keys from the old table to its successor, in the order of their ordinals."""
    homes: uint64_t[BLOCK_KEYS]
    hashes: uint64_t[BLOCK_KEYS]
    block: cython.int
    position: cython.int
    while keys and index.moved < index.old_count:
        block = cython.cast(
            cython.int, min(min(keys, index.old_count - index.moved), cython.cast(uint64_t, BLOCK_KEYS))
        )
        for position in range(block):
            key: uint64_t = key_at(cython.address(index.store), index.moved + position)
            hashes[position] = hash_key(index, key)
            homes[position] = home_slot(index, cython.address(index.table), key)
            hf_prefetch(index.table.slots + homes[position])
        for position in range(block):
            _put(cython.address(index.table), index.moved + position, hashes[position], homes[position])
        index.moved += block
        keys -= block
    if index.moved == index.old_count:
        index.retired = index.old
        memset(cython.address(index.old), 0, cython.sizeof(Table))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put(table: cython.pointer[Table], ordinal: uint64_t, hash_: uint64_t, home: uint64_t) -> cython.void:
    """Enter a key that is known not to be there."""
    slot: cython.pointer[uint32_t] = table.slots + home
    first: uint64_t = home & ~cython.cast(uint64_t, LINE_MASK)
    empty: uint32_t = 0
    turn: cython.int = 0
    if slot[0] != 0:
        while True:
            hf_scan_line(table.slots + first, 0, 0, cython.address(empty))
            if empty:
                break
            first = next_line(table, first, hash_, turn)
            turn = 1
        slot = table.slots + first + hf_trailing_zeros(empty)
    slot[0] = (cython.cast(uint32_t, hash_ >> 32) & ~table.number_mask) | cython.cast(uint32_t, ordinal + 1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _extend_store(index: cython.pointer[Index], records: uint64_t) -> cython.int:
    """Add chunks until there is room for so many records."""
    store: cython.pointer[Store] = cython.address(index.store)
    while store.chunk_count << store.chunk_bits < records:
        if store.chunk_count == store.chunk_capacity and _extend_directory(store) < 0:
            return -1
        chunk_bytes: uint64_t = cython.cast(uint64_t, store.record_bytes) << store.chunk_bits
        # Memory that was in use already is worth more than fresh pages, which the system has to find and clear.
        chunk: cython.p_void = _take_retired(cython.address(index.retired), chunk_bytes)
        if chunk == cython.NULL:
            # An engine that records little shall not pay a huge page for its first record.
            chunk = hf_map_pages(
                chunk_bytes, index.is_huge and store.chunk_count > 0 and chunk_bytes >= HUGE_FROM_BYTES
            )
        if chunk == cython.NULL:
            return -1
        if store.is_wide:
            upper: cython.p_void = hf_map_pages(cython.cast(uint64_t, 4) << store.chunk_bits, False)
            if upper == cython.NULL:
                hf_unmap_pages(chunk, chunk_bytes)
                return -1
            store.upper_chunks[store.chunk_count] = cython.cast(cython.pointer[uint32_t], upper)
        store.chunks[store.chunk_count] = cython.cast(cython.pointer[uint8_t], chunk)
        store.chunk_count += 1
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _extend_directory(store: cython.pointer[Store]) -> cython.int:
    capacity: uint64_t = max(cython.cast(uint64_t, 16), store.chunk_capacity * 2)
    chunks: cython.p_void = realloc(store.chunks, capacity * cython.sizeof(cython.p_void))
    if chunks == cython.NULL:
        return -1
    store.chunks = cython.cast(cython.pointer[cython.pointer[uint8_t]], chunks)
    upper: cython.p_void = realloc(store.upper_chunks, capacity * cython.sizeof(cython.p_void))
    if upper == cython.NULL:
        return -1
    store.upper_chunks = cython.cast(cython.pointer[cython.pointer[uint32_t]], upper)
    store.chunk_capacity = capacity
    return 0


@cython.cclass
class KeyIndex:
    """An index by itself: what the ledger uses for transactions and wide client ids, open to tests and benchmarks.

    Args:
        key_bits: 32 or 64; of wider keys, only the lower 32 bits count in an index of 32.
    """

    index: Index

    def __cinit__(self, key_bits: cython.int = 64):
        if key_bits not in (32, 64):
            raise ValueError(f"keys are 32 or 64 bits wide, not {key_bits}")
        open_index(cython.address(self.index), key_bits, 16, 4, 0)

    def __dealloc__(self):
        close_index(cython.address(self.index))

    def __len__(self) -> int:
        return self.index.count

    @property
    def size_bytes(self) -> int:
        """How much address space the tables and the store take."""
        return index_bytes(cython.address(self.index))

    def insert_all(self, keys) -> int:
        """Insert keys (uint64, shape (n,)) that are not there yet; give how many that were.

        Raises:
            MemoryError: If there is no memory for them; those before stay inserted.
        """
        return self._for_each(keys, True)

    def count_present(self, keys) -> int:
        """Count those of the keys (uint64, shape (n,)) that are there."""
        return self._for_each(keys, False)

    def ordinal(self, key: uint64_t) -> int | None:
        """Give the number of a key, counted from 0 in order of arrival, or None."""
        vacancy: cython.pointer[uint32_t] = cython.NULL
        home: uint64_t = home_slot(cython.address(self.index), cython.address(self.index.table), key)
        ordinal: int64_t = find(
            cython.address(self.index),
            key,
            hash_key(cython.address(self.index), key),
            home,
            cython.address(vacancy),
        )
        return ordinal if ordinal >= 0 else None

    @cython.cfunc
    def _for_each(self, keys: cython.const[uint64_t][::1], insert: cython.bint) -> object:
        start: cython.Py_ssize_t = 0
        touched: cython.Py_ssize_t = 0
        failed: cython.bint = False
        with cython.nogil:
            while start < keys.shape[0]:
                rows: cython.int = cython.cast(
                    cython.int, min(keys.shape[0] - start, cython.cast(cython.Py_ssize_t, BLOCK_KEYS))
                )
                if insert and make_room(cython.address(self.index), rows, rows) < 0:
                    failed = True
                    break
                touched += _block(cython.address(self.index), cython.address(keys[start]), rows, insert)
                start += rows
        if failed:
            raise MemoryError
        return touched


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _block(
    index: cython.pointer[Index],
    keys: cython.pointer[cython.const[uint64_t]],
    rows: cython.int,
    insert: cython.bint,
) -> cython.int:
    """Look up a block of keys, inserting those that are not there if asked to; give how many were inserted or found."""
    homes: uint64_t[BLOCK_KEYS]
    hashes: uint64_t[BLOCK_KEYS]
    row: cython.int
    found: cython.int = 0
    vacancy: cython.pointer[uint32_t] = cython.NULL
    find_homes(index, keys, rows, homes, hashes)
    for row in range(rows):
        prefetch_slots(index, keys[row], homes[row])
    for row in range(rows):
        if find(index, keys[row], hashes[row], homes[row], cython.address(vacancy)) >= 0:
            found += 1
        elif insert:
            append(index, keys[row], hashes[row], vacancy)
    hf_check(found <= rows)
    return rows - found if insert else found
