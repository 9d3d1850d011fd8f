# What is recorded of transactions, by tx id: the structures and what the fold calls for every row, inline; records.py has the rest.

from holdfast.kernel.index cimport Index
from holdfast.kernel.platform cimport hf_check
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    # What a record's owner says beside the number of its account plus one.
    ACCOUNT_MASK = 0x3FFFFFFF
    IS_WITHDRAWAL = 0x40000000
    # A run is the records of so many consecutive ids; the directory has an entry for each run of 32-bit ids.
    RUN_BITS = 13
    RUN_RECORDS = 8192
    RUN_MASK = 8191
    DIRECTORY_RUNS = 524288
    # Runs are opened as long as a third of their records is in use, but for so many: as many senders may each be at the beginning
    # of a run of his own.
    RUNS_SPARE = 1024
    RUN_SPACE_PER_RECORD = 3
    # So many runs share one mapping of two megabytes, a huge page.
    ARENA_RUNS = 20
    # The others' store: so many records in a mapping of two megabytes.
    RECORD_CHUNK_BITS = 17
    RECORD_CHUNK_MASK = 0x1FFFF

# The owner is an account's number plus one, IS_WITHDRAWAL, and in the top bit whether the id was burned by a refusal; 0 says that
# nothing is recorded here. The index's store keeps the tx id behind it.
cdef packed struct Record:
    int64_t amount
    uint32_t owner

cdef packed struct Run:
    Record records[8192]
    uint8_t disputes[2048]  # two bits for each record

ctypedef struct Records:
    uint32_t *directory  # for each run of ids the number of its place plus one, or 0
    uint64_t *indexed  # a bit for each run of ids of which some are in the index: small enough to stay in the cache
    Run **runs
    uint64_t run_count
    uint64_t run_capacity
    uint8_t *arena  # where the next runs go,
    uint64_t arena_runs  # so many more
    uint8_t **arenas
    uint64_t arena_count
    uint64_t in_runs  # records in runs
    Index index  # the records that are in none
    uint8_t **disputes  # theirs, by chunk of the index's store: two bits for each, NULL where nothing was ever disputed
    uint64_t dispute_chunks
    bint is_huge

# Where the state of a record's dispute is: two bits of a byte.
ctypedef struct DisputeCell:
    uint8_t *byte
    int shift

cdef int open_records(Records *records, int tx_bits, bint is_huge) except -1
cdef void close_records(Records *records) noexcept nogil
cdef uint64_t records_bytes(const Records *records) noexcept nogil
cdef Run *open_run(Records *records, uint64_t tx) noexcept nogil
cdef uint8_t *reserve_disputes(Records *records, uint64_t ordinal) noexcept nogil

cdef inline bint is_indexed(const Records *records, uint64_t tx) noexcept nogil:
    # Whether an id can only be in the index.
    return tx >> 32 or (records.indexed[tx >> RUN_BITS >> 6] >> (tx >> RUN_BITS & 63)) & 1

cdef inline Run *run_of(const Records *records, uint64_t tx) noexcept nogil:
    # The run of an id, or NULL if there is none.
    cdef uint32_t number
    if is_indexed(records, tx):
        return NULL
    number = records.directory[tx >> RUN_BITS]
    return records.runs[number - 1] if number else NULL

cdef inline bint may_open_run(const Records *records, uint64_t tx) noexcept nogil:
    # Whether a run may be opened for an id that has none.
    if is_indexed(records, tx):
        return False
    return records.run_count * RUN_RECORDS <= RUN_SPACE_PER_RECORD * records.in_runs + RUNS_SPARE * RUN_RECORDS

cdef inline void note_indexed(Records *records, uint64_t tx) noexcept nogil:
    # From here on no run is opened for the neighbours of this id, which is in the index.
    if not is_indexed(records, tx):
        hf_check(records.directory[tx >> RUN_BITS] == 0)
        records.indexed[tx >> RUN_BITS >> 6] |= <uint64_t>1 << (tx >> RUN_BITS & 63)

cdef inline uint8_t *run_disputes(Record *record, uint64_t tx) noexcept nogil:
    # The byte that holds the state of the dispute of a record in a run.
    return (<Run *>(record - (tx & RUN_MASK))).disputes + ((tx & RUN_MASK) >> 2)
