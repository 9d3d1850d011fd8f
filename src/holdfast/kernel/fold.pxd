from holdfast.kernel.index cimport Index
from holdfast.kernel.pages cimport AccountTable
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
    const Lookahead *block
    Py_ssize_t place  # of the row within its block

# A batch's columns.
ctypedef struct Rows:
    const uint8_t *types
    const uint64_t *clients
    const uint64_t *txs
    const int64_t *amounts
    uint8_t *outcomes

ctypedef struct LedgerState:
    Knobs knobs
    bint is_direct  # a client's id is the number of its account
    AccountTable accounts
    Index client_index  # unless is_direct
    Index tx_index
    uint8_t **disputes  # by chunk of records: two bits for each, NULL where nothing was ever disputed
    uint64_t dispute_chunks
    uint64_t burned
    uint64_t open_disputes

cdef Py_ssize_t apply_rows(LedgerState *ledger, const Rows *rows, Py_ssize_t start, Py_ssize_t stop, Tally tally) noexcept nogil
