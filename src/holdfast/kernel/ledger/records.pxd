# The records of transactions by tx id: the structures, and the inline functions that the fold calls per row; records.py has the rest.

from holdfast.kernel.ledger.change_log cimport ChangeLog, make_log_room, note_change
from holdfast.kernel.ledger.index cimport Home, Index, Vacancy, append, find
from holdfast.kernel.platform cimport hf_check, hf_likely, hf_unlikely
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
    # Side by side, in a run that is not in memory.
    ABSENT = 3
    # This many runs share one mapping of two megabytes, a huge page.
    ARENA_RUNS = 21

# A transaction: its amount and owner never change, except for the state of its dispute in the owner; 0 means no record.
cdef packed struct Record:
    int64_t amount
    uint32_t owner

cdef struct Run:
    Record records[8192]

# What is known of a run beside its records, if changes are followed.
ctypedef struct RunState:
    uint64_t epoch  # in which it was last written; counts cuts
    uint32_t place  # its ids divided by 8,192
    bint is_used  # since the clock came by last
    bint is_in_cut  # the cut that is going on has not taken it yet
    Run *copy  # as it was at that cut, if it was written since

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
    RunState *states  # beside `runs`; NULL unless changes are followed
    uint64_t epoch
    uint64_t done_epoch  # runs written later than this are in no checkpoint
    uint64_t absent_count
    uint64_t copy_count
    uint64_t hand  # of the clock
    Run **spare  # runs that were let go
    uint64_t spare_count
    uint64_t spare_capacity
    ChangeLog log

cdef int open_records(Records *records, int tx_bits, bint is_huge) except -1
cdef void close_records(Records *records) noexcept nogil
cdef uint64_t records_bytes(const Records *records) noexcept nogil
cdef Run *open_run(Records *records, uint64_t tx) noexcept nogil
cdef bint follow_changes(Records *records) noexcept nogil
cdef bint note_all(Records *records) noexcept nogil
cdef void stop_following(Records *records) noexcept nogil
cdef bint note_write(Records *records, uint64_t number) noexcept nogil
cdef bint add_absent(Records *records, uint64_t place) noexcept nogil
cdef Run *bring_back(Records *records, uint64_t place) noexcept nogil
cdef void send_back(Records *records, uint64_t place) noexcept nogil
cdef uint64_t let_go(Records *records, uint64_t bytes_wanted) noexcept nogil

cdef inline int place_of(const Records *records, uint64_t tx) noexcept nogil:
    # Where an id is kept.
    if tx >> 32:
        return IN_INDEX
    return (records.places[tx >> RUN_BITS >> 5] >> ((tx >> RUN_BITS & 31) << 1)) & 3

cdef inline void set_place(Records *records, uint64_t tx, uint64_t place) noexcept nogil:
    # From here on this id and its neighbours are kept there, and nowhere else.
    hf_check(place_of(records, tx) == NOWHERE)
    records.places[tx >> RUN_BITS >> 5] |= place << ((tx >> RUN_BITS & 31) << 1)

cdef inline void change_place(Records *records, uint64_t tx, uint64_t place) noexcept nogil:
    # Move a run out of memory, or back.
    cdef int shift = (tx >> RUN_BITS & 31) << 1
    records.places[tx >> RUN_BITS >> 5] = records.places[tx >> RUN_BITS >> 5] & ~(<uint64_t>3 << shift) | place << shift

cdef inline bint touch_run(Records *records, uint64_t tx) noexcept nogil:
    # Before records of a run may be written: keep what a cut needs of it, and note that it changes. False without memory.
    cdef uint64_t number
    if hf_likely(records.states == NULL):
        return True
    number = records.directory[tx >> RUN_BITS]
    records.states[number].is_used = True
    if hf_likely(records.states[number].epoch == records.epoch):
        return True
    return note_write(records, number)

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
