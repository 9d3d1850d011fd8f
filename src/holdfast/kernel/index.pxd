# The structures of the index and the functions of its hot path, inline; index.py says how it works and does the rest.

from holdfast.kernel.platform cimport hf_check, hf_likely, hf_prefetch, hf_scan_line, hf_trailing_zeros
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    LINE_SLOTS = 16  # a cache line of slots
    LINE_MASK = 15
    FIRST_BITS = 12
    BITS_MAX = 32
    # In sixteenths of the slots: from where on the next table is made ready, and when it takes over.
    READY_LOAD = 10
    FULL_LOAD = 11
    # How many old keys are moved for every new one there may be, and how many keys are looked at together.
    MOVES_PER_KEY = 8
    BLOCK_KEYS = 64
    HUGE_FROM_BYTES = 2097152
    PAGE_BYTES = 4096
    SAMPLED_LINES = 128

# Append-only records by ordinal, in chunks that never move. A record holds the lower half of its key; the upper halves stand in
# chunks of their own, which exist only where keys are wider than 32 bits.
ctypedef struct Store:
    uint8_t **chunks
    uint32_t **upper_chunks
    uint64_t chunk_count
    uint64_t chunk_capacity
    int chunk_bits
    uint32_t chunk_mask
    uint32_t record_bytes
    uint32_t key_offset
    bint is_wide

# Open-addressed slots: 0, or the ordinal of a key plus one in the lower `bits` bits and a tag of its hash in the others.
ctypedef struct Table:
    uint32_t *slots
    uint64_t mask
    uint32_t number_mask
    int bits
    uint64_t size

ctypedef struct Index:
    Store store
    uint64_t count
    Table table  # takes new keys
    Table old  # holds the keys below old_count while they are moved
    Table next  # being made ready for the next growth
    Table retired  # nobody needs it: its memory takes the next records
    uint64_t old_count
    uint64_t old_key_max  # no key in the old table is larger
    uint64_t key_max
    uint64_t moved
    uint64_t ready_bytes
    uint64_t generation  # changes with the table
    bint is_huge  # huge pages: less to do for the processor, in bigger pieces
    uint64_t seed
    uint64_t window_seed

cdef int open_index(Index *index, int key_bits, int chunk_bits, uint32_t record_bytes, uint32_t key_offset) except -1
cdef void close_index(Index *index) noexcept nogil
cdef int make_room(Index *index, uint64_t keys, uint64_t share_keys) noexcept nogil
cdef uint64_t index_bytes(const Index *index) noexcept nogil

cdef inline uint64_t hash_key(const Index *index, uint64_t key) noexcept nogil:
    # Two rounds of multiply and fold by a secret odd number, after Steele, Lea and Flood's SplitMix (OOPSLA 2014).
    cdef uint64_t word = (key ^ (key >> 29) ^ index.window_seed) * index.seed
    word = (word ^ (word >> 32)) * <uint64_t>0x4CF5AD432745937F
    return word ^ (word >> 28)

cdef inline uint64_t home_slot(const Index *index, const Table *table, uint64_t key) noexcept nogil:
    # Keys of one window (equal above the table's bits) keep their order and never meet; windows are laid over each other at random.
    cdef uint64_t window = ((key >> table.bits) * index.window_seed)
    return (key ^ (window >> 32) ^ (window >> 7)) & table.mask if key >> table.bits else key & table.mask

cdef inline void find_homes(const Index *index, const uint64_t *keys, Py_ssize_t count, uint64_t *homes, uint64_t *hashes) noexcept nogil:
    # Where keys belong. The secrets and the table are copied, so that the compiler need not read them anew for each key.
    cdef Index known
    cdef Py_ssize_t key
    known.seed = index.seed
    known.window_seed = index.window_seed
    known.table = index.table
    for key in range(count):
        homes[key] = home_slot(&known, &known.table, keys[key])
        hashes[key] = hash_key(&known, keys[key])

cdef inline uint8_t *record_at(const Store *store, uint64_t ordinal) noexcept nogil:
    hf_check(ordinal >> store.chunk_bits < store.chunk_count)
    return store.chunks[ordinal >> store.chunk_bits] + (ordinal & store.chunk_mask) * store.record_bytes

cdef inline uint64_t key_at(const Store *store, uint64_t ordinal) noexcept nogil:
    cdef uint64_t key = (<uint32_t *>(record_at(store, ordinal) + store.key_offset))[0]
    if store.is_wide:
        key |= <uint64_t>store.upper_chunks[ordinal >> store.chunk_bits][ordinal & store.chunk_mask] << 32
    return key

cdef inline void set_key(Store *store, uint64_t ordinal, uint64_t key) noexcept nogil:
    (<uint32_t *>(record_at(store, ordinal) + store.key_offset))[0] = <uint32_t>key
    if store.is_wide:
        store.upper_chunks[ordinal >> store.chunk_bits][ordinal & store.chunk_mask] = <uint32_t>(key >> 32)

cdef inline uint64_t next_line(const Table *table, uint64_t line, uint64_t hash, int turn) noexcept nogil:
    # Behind its home line a key goes to a line drawn by its hash, and from there on by an odd stride drawn by it: that reaches
    # every line, and does not walk along the full lines that a sequential stream leaves behind.
    cdef uint64_t stride = ((hash >> 40) | 1) * LINE_SLOTS
    return (hash if turn == 0 else line + stride) & table.mask & ~<uint64_t>LINE_MASK

cdef inline int64_t find_in(const Index *index, const Table *table, uint64_t key, uint64_t hash, uint64_t home, uint32_t **vacancy) noexcept nogil:
    # The ordinal of the key, or -1 and a slot where it may go. Nothing is ever deleted, so a line with a vacancy ends the search.
    cdef uint32_t tag_mask = ~table.number_mask
    cdef uint32_t tag = <uint32_t>(hash >> 32) & tag_mask
    cdef uint32_t entry = table.slots[home]
    cdef uint32_t *line
    cdef uint32_t tagged, empty
    cdef uint64_t first
    cdef int turn = 0
    hf_check(home <= table.mask)
    if hf_likely(entry == 0):
        vacancy[0] = table.slots + home
        return -1
    if (entry & tag_mask) == tag and key_at(&index.store, (entry & table.number_mask) - 1) == key:
        return (entry & table.number_mask) - 1
    first = home & ~<uint64_t>LINE_MASK
    while True:
        line = table.slots + first
        tagged = hf_scan_line(line, tag, tag_mask, &empty)
        while tagged:
            entry = line[hf_trailing_zeros(tagged)] & table.number_mask
            if key_at(&index.store, entry - 1) == key:
                return entry - 1
            tagged &= tagged - 1
        if hf_likely(empty != 0):
            vacancy[0] = line + hf_trailing_zeros(empty)
            return -1
        first = next_line(table, first, hash, turn)
        turn = 1

cdef inline int64_t find(const Index *index, uint64_t key, uint64_t hash, uint64_t home, uint32_t **vacancy) noexcept nogil:
    cdef uint32_t *ignored
    cdef int64_t ordinal = find_in(index, &index.table, key, hash, home, vacancy)
    # A sequential stream's new keys are larger than all old ones, and searching the old table in vain is what is slow.
    if ordinal < 0 and index.old.slots != NULL and key <= index.old_key_max:
        ordinal = find_in(index, &index.old, key, hash, home_slot(index, &index.old, key), &ignored)
    return ordinal

cdef inline uint64_t append(Index *index, uint64_t key, uint64_t hash, uint32_t *vacancy) noexcept nogil:
    # Only after make_room(), which is what can fail.
    cdef uint64_t ordinal = index.count
    hf_check(vacancy[0] == 0)
    hf_check((ordinal + 1) <= index.table.number_mask)
    set_key(&index.store, ordinal, key)
    vacancy[0] = (<uint32_t>(hash >> 32) & ~index.table.number_mask) | <uint32_t>(ordinal + 1)
    index.count = ordinal + 1
    index.key_max = key if key > index.key_max else index.key_max
    return ordinal

cdef inline void prefetch_slots(const Index *index, uint64_t key, uint64_t home) noexcept nogil:
    hf_prefetch(index.table.slots + home)
    if index.old.slots != NULL and key <= index.old_key_max:
        hf_prefetch(index.old.slots + home_slot(index, &index.old, key))
