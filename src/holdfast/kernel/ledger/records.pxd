# The records of transactions by tx id: the structures, and the inline functions that the fold calls per row; records.py has the rest.

from holdfast.kernel.ledger.index cimport Home, Index, Vacancy, append, find
from holdfast.kernel.platform cimport hf_check
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    # A record's owner: the number of its account plus one, the state of its dispute, and whether it is a withdrawal.
    ACCOUNT_MASK = 0x1FFFFFFF
    DISPUTE_MASK = 0x60000000
    OPEN = 0x20000000
    RESOLVED = 0x40000000
    CHARGED_BACK = 0x60000000
    IS_WITHDRAWAL = 0x80000000
    # In the place of an owner: the id was burned by a refusal.
    BURNED = 0x1FFFFFFF
    # The largest number of an account plus one.
    ACCOUNTS_LIMIT = 0x1FFFFFFE
    # A run has the records of this many consecutive ids; the directory has an entry for each run of 32-bit ids.
    RUN_BITS = 13
    RUN_RECORDS = 8192
    RUN_MASK = 8191
    DIRECTORY_RUNS = 524288
    # Runs are opened while a third of their records is in use, and this many in any case: as many senders may each be at the
    # beginning of a run.
    RUNS_SPARE = 256
    RUN_SPACE_PER_RECORD = 3
    # Where the ids of a run are kept: that is not decided yet, side by side, or in the index.
    NOWHERE = 0
    IN_RUN = 1
    IN_INDEX = 2
    # This many runs share one mapping of two megabytes, a huge page.
    ARENA_RUNS = 21

# A transaction: its amount and owner never change, except for the state of its dispute in the owner; 0 means no record.
cdef packed struct Record:
    int64_t amount
    uint32_t owner

cdef struct Run:
    Record records[8192]

ctypedef struct Records:
    uint32_t *directory  # for each run of ids that is kept side by side its number
    uint64_t *places  # two bits for each run of ids: small enough to stay in the cache
    Run **runs
    uint64_t run_count
    uint64_t run_capacity
    uint8_t *arena  # where the next runs go,
    uint64_t arena_runs  # and how many more
    uint8_t **arenas
    uint64_t arena_count
    uint64_t in_runs  # records in runs
    Index index  # the others, by tx id
    bint is_huge

cdef int open_records(Records *records, int tx_bits, bint is_huge) except -1
cdef void close_records(Records *records) noexcept nogil
cdef uint64_t records_bytes(const Records *records) noexcept nogil
cdef Run *open_run(Records *records, uint64_t tx) noexcept nogil

cdef inline int place_of(const Records *records, uint64_t tx) noexcept nogil:
    # Where an id is kept.
    if tx >> 32:
        return IN_INDEX
    return (records.places[tx >> RUN_BITS >> 5] >> ((tx >> RUN_BITS & 31) << 1)) & 3

cdef inline void set_place(Records *records, uint64_t tx, uint64_t place) noexcept nogil:
    # From here on this id and its neighbours are kept there, and nowhere else.
    hf_check(place_of(records, tx) == NOWHERE)
    records.places[tx >> RUN_BITS >> 5] |= place << ((tx >> RUN_BITS & 31) << 1)

cdef inline Run *run_of(const Records *records, uint64_t tx) noexcept nogil:
    # The run of an id that is in one.
    hf_check(place_of(records, tx) == IN_RUN)
    return records.runs[records.directory[tx >> RUN_BITS]]

cdef inline Run *take_run(Records *records, uint64_t tx) noexcept nogil:
    # For an id that is nowhere yet and may be recorded: open a run, or else leave it and its neighbours to the index: NULL.
    cdef Run *run = NULL
    if records.run_count * RUN_RECORDS <= RUN_SPACE_PER_RECORD * records.in_runs + RUNS_SPARE * RUN_RECORDS:
        run = open_run(records, tx)
    set_place(records, tx, IN_INDEX if run == NULL else IN_RUN)
    return run

# For an id in the index.

cdef inline Record *find_record(const Records *records, uint64_t tx, Home home, Vacancy *vacancy) noexcept nogil:
    return <Record *>find(&records.index, tx, home, vacancy, sizeof(Record))

cdef inline Record *append_record(Records *records, uint64_t tx, Home home, const Vacancy *vacancy) noexcept nogil:
    return <Record *>append(&records.index, tx, home, vacancy, sizeof(Record))
