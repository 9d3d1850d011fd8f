from holdfast.kernel.ledger.fold cimport LedgerState, Rows
from libc.stdint cimport int64_t, uint8_t, uint64_t

# Why a row cannot be followed; journaled.py has a sentence for each.
cdef enum:
    FOLLOWED = 0
    NO_MEMORY = 1
    DECIDED_BEFORE = 2
    NO_OUTCOME = 3
    NOT_READABLE = 4
    NO_AMOUNT = 5
    RECORDED_BEFORE = 6
    NOT_RECORDED = 7
    OF_ANOTHER_CLIENT = 8
    UNDER_DISPUTE = 9
    NOT_UNDER_DISPUTE = 10
    NO_ROOM = 11

# One row that is followed.
ctypedef struct JournaledRow:
    int type
    uint64_t client
    uint64_t tx
    int64_t amount
    int outcome

cdef Py_ssize_t follow_rows(LedgerState *state, const Rows *rows, const uint8_t *journaled, Py_ssize_t start, Py_ssize_t stop, int *fault) noexcept nogil
cdef str fault_reason(int fault)
