from holdfast.kernel.batch cimport Batch
from holdfast.kernel.ledger.fold cimport Knobs, LedgerState
from libc.stdint cimport int64_t, uint64_t

cdef int64_t number_of(LedgerState *state, uint64_t client) noexcept
cdef object find_transaction(LedgerState *state, uint64_t tx)
cdef object find_account(LedgerState *state, uint64_t client)
cdef bint is_absent(LedgerState *state, uint64_t number) noexcept
cdef list list_absent(LedgerState *state)
cdef list find_wanted(LedgerState *state, Batch batch, Py_ssize_t start, Py_ssize_t stop, Py_ssize_t pages_max)
cdef int take_rules(Knobs *knobs, object rules) except -1
