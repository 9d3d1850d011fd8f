from holdfast.kernel.ledger.fold cimport LedgerState

cdef tuple digest_state(const LedgerState *state)
