cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.index cimport Index
from holdfast.kernel.pages cimport AccountPage, AccountTable
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    # What a record's owner says beside the number of its account.
    ACCOUNT_MASK = 0x3FFFFFFF
    IS_WITHDRAWAL = 0x40000000
    # The states of a transaction's dispute, two bits each.
    NEVER_DISPUTED = 0
    OPEN = 1
    RESOLVED = 2
    CHARGED_BACK = 3
    RECORD_CHUNK_BITS = 17  # two megabytes of records: a huge page
    RECORD_CHUNK_MASK = 0x1FFFF
    CLIENT_CHUNK_BITS = 16
    # No outcome: there was no memory for the row.
    FAILED = 255

# What is recorded of a transaction; the upper half of a wide tx id stands beside it in the index's store. The owner is an account's
# number, IS_WITHDRAWAL, and in the top bit whether the id was burned by a refusal.
ctypedef struct Record:
    int64_t amount
    uint32_t owner
    uint32_t tx

# The rules, as the loop asks them.
ctypedef struct Knobs:
    bint locked_refuses[6]  # by transaction type
    bint disputes_withdrawals
    bint allows_negative
    bint allows_redispute
    bint burns_ids

# What is worked out for a block of rows before it is applied, so that the memory it needs is on its way.
ctypedef struct Lookahead:
    Py_ssize_t start
    Py_ssize_t stop
    uint64_t homes[64]
    uint64_t hashes[64]
    uint64_t generation
    uint64_t client_homes[64]
    uint64_t client_hashes[64]
    uint64_t client_generation

# One row, and where its keys belong.
ctypedef struct Step:
    int type
    uint64_t client
    uint64_t tx
    int64_t amount
    uint64_t home
    uint64_t hash
    uint64_t client_home
    uint64_t client_hash

cdef class Ticket:
    cdef uint64_t epoch
    cdef bint is_live

@cython.final
cdef class Ledger:
    cdef Knobs knobs
    cdef bint is_direct  # a client's id is the number of its account
    cdef bint is_busy
    cdef uint64_t client_max
    cdef uint64_t tx_max
    cdef AccountTable accounts_table
    cdef Index client_index  # unless is_direct
    cdef Index tx_index
    cdef uint8_t **disputes  # by chunk of records: two bits for each, NULL where nothing was ever disputed
    cdef uint64_t dispute_chunks
    cdef uint64_t burned
    cdef uint64_t open_disputes_count
    cdef list tickets

    cdef int sweep(self) except -1
    cdef Py_ssize_t apply_rows(self, Batch batch, Py_ssize_t start, Py_ssize_t stop, Tally tally) noexcept nogil
    cdef Py_ssize_t apply_block(self, Batch batch, Lookahead *block, Lookahead *following, Lookahead *later, Tally tally) noexcept nogil
    cdef void look_ahead(self, Batch batch, Py_ssize_t place, Lookahead *following, Lookahead *later) noexcept nogil
    cdef void prefetch_reference(self, uint64_t home) noexcept nogil
    cdef void prefetch_account(self, uint64_t number) noexcept nogil
    cdef void find_homes(self, Batch batch, Lookahead *block) noexcept nogil
    cdef int reserve(self, uint64_t rows) noexcept nogil
    cdef int64_t open_account(self, const Step *step) noexcept nogil
    cdef int transfer(self, const Step *step) noexcept nogil
    cdef int refer(self, const Step *step) noexcept nogil
    cdef int dispute(self, uint64_t ordinal, const Record *record, AccountPage *page, uint64_t slot) noexcept nogil
    cdef int settle(self, int type, uint64_t ordinal, const Record *record, AccountPage *page, uint64_t slot) noexcept nogil
    cdef void record(self, const Step *step, uint32_t *vacancy, uint32_t owner) noexcept nogil
    cdef int dispute_state(self, uint64_t ordinal) noexcept nogil
    cdef int reserve_dispute(self, uint64_t ordinal) noexcept nogil
    cdef void set_dispute_state(self, uint64_t ordinal, int state) noexcept nogil
