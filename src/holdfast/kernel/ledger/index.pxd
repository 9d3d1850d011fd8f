# The structures of the index and the functions of its hot path, inline; index.py says how it works and does the rest.

from holdfast.kernel.platform cimport hf_check, hf_equal_32, hf_equal_64, hf_likely, hf_prefetch, hf_trailing_zeros, hf_unlikely
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    SEGMENT_BITS = 16
    SEGMENT_BYTES = 65536
    # This many segments share one mapping of two megabytes, a huge page.
    ARENA_SEGMENTS = 32
    ARENA_BITS = 21
    ARENA_BYTES = 2097152
    ARENA_MASK = 2097151
    # The most buckets that a segment has, and slots that a bucket has.
    SEGMENT_BUCKETS_MAX = 1024
    HALVES_BUCKETS_MAX = 2048
    SEGMENT_SLOTS_MAX = 8192
    # Neighbouring keys, equal above this many bits, go to neighbouring buckets.
    GROUP_BITS = 6
    POSITION_BITS = 62
    DEPTH_MAX = 24
    VALUE_BYTES_MAX = 12
    # How many keys are looked up together, and how many may be appended before room must be made again.
    BLOCK_KEYS = 64
    ROOM_KEYS = 192
    PAGE_BYTES = 4096

# A key and its value on their way from one bucket to another.
ctypedef struct Moved:
    uint64_t key
    uint32_t value[3]

# A part of the keys: those whose position begins with the `depth` bits of `prefix`.
ctypedef struct Segment:
    uint32_t count
    uint32_t depth
    uint32_t prefix

ctypedef struct Index:
    uint64_t count
    uint64_t generation  # changes whenever keys are moved
    uint32_t *directory  # the segment of every position, by its first `depth` bits
    uint32_t depth
    uint8_t **arenas  # the buckets of the segments
    Segment *segments
    uint64_t segment_count
    uint64_t segment_capacity
    uint32_t full[192]  # segments to be split before more keys come
    uint32_t full_count
    uint32_t full_keys  # this many keys make a segment full
    Moved *moved  # the keys of a segment that is being split
    int segment_bits  # of a bucket's number, those that count within its segment
    uint32_t value_bytes
    bint is_wide
    bint is_huge  # huge pages: less work for the processor in all, in bigger pieces
    uint64_t seed
    uint64_t group_seed

# Where things are in a bucket.
ctypedef struct Shape:
    bint is_wide
    int bucket_bits
    uint32_t slots
    uint32_t values_offset
    uint32_t value_bytes

# The bucket that a key belongs to. Buckets never move: after keys moved it is still a bucket, but maybe of other keys.
ctypedef struct Home:
    uint64_t number
    uint8_t *bucket

# Where a key may go that is not there.
ctypedef struct Vacancy:
    uint8_t *bucket
    uint32_t slot

cdef int open_index(Index *index, int key_bits, uint32_t value_bytes) except -1
cdef void close_index(Index *index) noexcept nogil
cdef int split_full(Index *index) noexcept nogil
cdef uint64_t index_bytes(const Index *index) noexcept nogil
cdef bint add_segment(Index *index) noexcept nogil

cdef inline uint64_t bucket_mask(const Index *index) noexcept nogil:
    return (<uint64_t>1 << index.segment_bits) - 1

cdef inline uint8_t *bucket_at(const Index *index, uint64_t number) noexcept nogil:
    hf_check(number >> index.segment_bits < index.segment_count)
    cdef uint64_t offset = number << (SEGMENT_BITS - index.segment_bits)
    return index.arenas[offset >> ARENA_BITS] + (offset & ARENA_MASK)

cdef inline uint64_t hash_key(const Index *index, uint64_t key) noexcept nogil:
    # Of a key and its neighbours. Two multiplications with a fold between them, by a secret odd number and as in Steele, Lea and
    # Flood's SplitMix (OOPSLA 2014). The upper bits are good.
    cdef uint64_t word = ((key >> GROUP_BITS) ^ index.group_seed) * index.seed
    return (word ^ (word >> 32)) * <uint64_t>0x4CF5AD432745937F

cdef inline uint64_t position_of(uint64_t hash) noexcept nogil:
    # u(2 + u)/3 of the 31 upper bits: twice as many keys at the first positions as at the last.
    return (hash >> 33) * ((<uint64_t>1 << 32) + (hash >> 33)) // 3

cdef inline uint64_t place_in_segment(const Index *index, uint64_t key, uint64_t hash) noexcept nogil:
    # Which of its buckets, by bits that the position has no use for; neighbours go to neighbours.
    return ((hash >> 20) + key) & bucket_mask(index)

cdef inline Home home_of(const Index *index, uint64_t key) noexcept nogil:
    cdef Home home
    cdef uint64_t hash = hash_key(index, key)
    cdef uint64_t segment = index.directory[position_of(hash) >> (POSITION_BITS - index.depth)]
    home.number = segment << index.segment_bits | place_in_segment(index, key, hash)
    home.bucket = bucket_at(index, home.number)
    return home

cdef inline Home next_home(const Index *index, Home home) noexcept nogil:
    home.number = home.number & ~bucket_mask(index) | (home.number + 1) & bucket_mask(index)
    home.bucket = bucket_at(index, home.number)
    return home

cdef inline Shape shape_of(bint is_wide, uint32_t value_bytes) noexcept nogil:
    # The layout of a bucket. Code that calls this with constants is compiled with them built in.
    cdef Shape shape
    cdef uint32_t key_bytes = 8 if is_wide else 4
    shape.is_wide = is_wide
    # A cache line, or two where one would have very few slots.
    shape.bucket_bits = 6 if key_bytes + value_bytes <= 16 else 7
    shape.slots = (<uint32_t>1 << shape.bucket_bits) // (key_bytes + value_bytes)
    shape.values_offset = shape.slots * key_bytes
    shape.value_bytes = value_bytes
    return shape

cdef inline uint8_t *value_at(uint8_t *bucket, uint32_t slot, Shape shape) noexcept nogil:
    return bucket + shape.values_offset + slot * shape.value_bytes

cdef inline uint64_t key_at(const uint8_t *bucket, uint32_t slot, Shape shape) noexcept nogil:
    return (<const uint64_t *>bucket)[slot] if shape.is_wide else (<const uint32_t *>bucket)[slot]

cdef inline bint is_used(uint8_t *bucket, uint32_t slot, Shape shape) noexcept nogil:
    # A value's last four bytes are never 0.
    return (<uint32_t *>(value_at(bucket, slot, shape) + shape.value_bytes - 4))[0] != 0

cdef inline uint32_t slots_with(const uint8_t *bucket, uint64_t key, Shape shape) noexcept nogil:
    # A bit for each slot of a bucket that has this key; for key 0 the empty ones are among them.
    if shape.is_wide:
        return hf_equal_64(<const uint64_t *>bucket, shape.slots, key)
    return hf_equal_32(<const uint32_t *>bucket, shape.slots, <uint32_t>key)

cdef inline uint8_t *search(const Index *index, uint64_t key, Home home, Vacancy *vacancy, Shape shape) noexcept nogil:
    # The value of a key, or NULL and a slot where it may go. Nothing is ever deleted, so a bucket with a vacancy ends the search.
    cdef uint32_t slots
    while True:
        vacancy.bucket = home.bucket
        slots = slots_with(home.bucket, key, shape)
        while slots:
            vacancy.slot = hf_trailing_zeros(slots)
            if hf_likely(is_used(home.bucket, vacancy.slot, shape)):
                return value_at(home.bucket, vacancy.slot, shape)
            slots &= slots - 1
        slots = slots_with(home.bucket, 0, shape)
        while hf_likely(slots != 0):
            vacancy.slot = hf_trailing_zeros(slots)
            if hf_likely(not is_used(home.bucket, vacancy.slot, shape)):
                return NULL
            # Key 0 itself.
            slots &= slots - 1
        home = next_home(index, home)

cdef inline void put_key(const Vacancy *vacancy, uint64_t key, Shape shape) noexcept nogil:
    if shape.is_wide:
        (<uint64_t *>vacancy.bucket)[vacancy.slot] = key
    else:
        (<uint32_t *>vacancy.bucket)[vacancy.slot] = <uint32_t>key

# For other modules: called with a constant number of bytes, so that each has a path for both widths of keys.

cdef inline uint8_t *find(const Index *index, uint64_t key, Home home, Vacancy *vacancy, uint32_t value_bytes) noexcept nogil:
    if index.is_wide:
        return search(index, key, home, vacancy, shape_of(True, value_bytes))
    return search(index, key, home, vacancy, shape_of(False, value_bytes))

cdef inline uint8_t *append(Index *index, uint64_t key, Home home, const Vacancy *vacancy, uint32_t value_bytes) noexcept nogil:
    # Give the value of a new key, to be written at once. Only after make_room(), which is what can fail.
    cdef Segment *segment = index.segments + (home.number >> index.segment_bits)
    cdef Shape shape = shape_of(index.is_wide, value_bytes)
    hf_check(not is_used(vacancy.bucket, vacancy.slot, shape))
    put_key(vacancy, key, shape)
    index.count += 1
    segment.count += 1
    if hf_unlikely(segment.count == index.full_keys):
        hf_check(index.full_count < ROOM_KEYS)
        index.full[index.full_count] = <uint32_t>(home.number >> index.segment_bits)
        index.full_count += 1
    return value_at(vacancy.bucket, vacancy.slot, shape)

cdef inline int make_room(Index *index) noexcept nogil:
    # Make sure that ROOM_KEYS keys can be appended; -1 without memory.
    return split_full(index) if hf_unlikely(index.full_count != 0) else 0

cdef inline void prefetch_bucket(const Index *index, Home home, uint32_t value_bytes) noexcept nogil:
    hf_prefetch(home.bucket)
    if index.is_wide and shape_of(True, value_bytes).bucket_bits > 6:
        hf_prefetch(home.bucket + 64)

cdef inline void prefetch_further(const Index *index, Home home, uint32_t value_bytes) noexcept nogil:
    # Once a bucket is in the cache: the next one, if it is full. Without a branch, since nobody can predict that.
    cdef Shape shape = shape_of(index.is_wide, value_bytes)
    hf_prefetch(home.bucket + (<uint64_t>is_used(home.bucket, shape.slots - 1, shape) << shape.bucket_bits))

# Keys that are numbered in order of arrival: the value is the number plus one.

cdef inline int64_t find_number(const Index *index, uint64_t key, Home home, Vacancy *vacancy) noexcept nogil:
    # The number of a key, or -1 and a slot where it may go.
    cdef uint8_t *value = find(index, key, home, vacancy, sizeof(uint32_t))
    return <int64_t>(<uint32_t *>value)[0] - 1 if value != NULL else -1

cdef inline int64_t append_number(Index *index, uint64_t key, Home home, const Vacancy *vacancy) noexcept nogil:
    # Number a new key, on the terms of append().
    cdef uint8_t *value = append(index, key, home, vacancy, sizeof(uint32_t))
    (<uint32_t *>value)[0] = <uint32_t>index.count
    return <int64_t>index.count - 1
