from holdfast.kernel.ledger.fold cimport LedgerState
from libc.stdint cimport uint64_t

cdef bytes pack_counters(const LedgerState *state, uint64_t decided, uint64_t numbers)
cdef uint64_t count_indexed(bytes counters) except? 0
cdef object restore_counters(LedgerState *state, bytes counters)
