from holdfast.kernel.ledger.index cimport Home, Index, Vacancy
from holdfast.kernel.ledger.accounts cimport AccountTable
from holdfast.kernel.ledger.records cimport Record, Records
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t

cdef enum:
    # Not an outcome: there was no memory for the row.
    FAILED = 255
    # Of an id that is the number of its account.
    CLIENT_MASK = 0xFFFF

# The rules in the form that the loop uses.
ctypedef struct Knobs:
    bint locked_refuses[6]  # by transaction type
    bint disputes_withdrawals
    bint allows_negative
    bint allows_redispute
    bint burns_ids

# Look-up results for a block of rows before it is applied, so that its memory is prefetched.
ctypedef struct Lookahead:
    Py_ssize_t start
    Py_ssize_t stop
    Record *records[64]  # where the record is or would be, for ids with a run; for all others NULL,
    uint64_t txs[64]  # and what they are,
    Home homes[64]  # and where they belong in the index
    uint64_t generation
    uint64_t clients[64]  # unless clients are reached directly
    Home client_homes[64]
    uint64_t client_generation

# One row, and where its keys belong.
ctypedef struct Step:
    int type
    uint64_t client
    int64_t amount
    const Lookahead *block
    Py_ssize_t place  # of the row within its block

# The result of looking up an id: its record, which in a run is also the place for a new one, or else the place for it in the index.
ctypedef struct Found:
    Record *record
    Vacancy vacancy

# A batch's columns. Python code may change all but the outcomes at any time.
ctypedef struct Rows:
    const uint8_t *types
    const uint64_t *clients
    const uint64_t *txs
    const int64_t *amounts
    uint8_t *outcomes

ctypedef struct LedgerState:
    Knobs knobs
    uint64_t client_max  # the largest ids: 2**16 - 1, 2**32 - 1 or 2**64 - 1, so that they are masks as well
    uint64_t tx_max
    bint is_direct  # a client's id is the number of its account
    AccountTable accounts
    Index client_index  # unless is_direct
    Records records
    uint64_t burned
    uint64_t open_disputes
    int64_t accounts_done_epoch  # pages of accounts that are newer are in no checkpoint
    bint is_cut  # a cut is going on
    Py_ssize_t absent_row  # the row at which preparing ended last, because its record is not in memory; -1 if none

cdef Py_ssize_t apply_rows(LedgerState *ledger, const Rows *rows, Py_ssize_t start, Py_ssize_t stop, Tally tally) noexcept nogil
