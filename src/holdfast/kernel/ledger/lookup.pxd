from holdfast.kernel.ledger.fold cimport Knobs, LedgerState
from libc.stdint cimport int64_t, uint64_t

cdef int64_t number_of(LedgerState *state, uint64_t client) noexcept
cdef object find_transaction(LedgerState *state, uint64_t tx)
cdef object find_account(LedgerState *state, uint64_t client)
cdef int take_rules(Knobs *knobs, object rules) except -1
