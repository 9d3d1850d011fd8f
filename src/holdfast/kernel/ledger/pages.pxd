# State pages as bytes, and back; pages.py says how they look.

from holdfast.kernel.ledger.accounts cimport AccountPage
from holdfast.kernel.ledger.change_log cimport ChangeChunk
from holdfast.kernel.ledger.fold cimport LedgerState
from holdfast.kernel.ledger.records cimport Run
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport int64_t, uint64_t

cdef enum:
    PAGE_OF_ACCOUNTS = 1
    PAGE_OF_RUN = 2
    PAGE_OF_CHANGES = 3

cdef bytes pack_accounts(const AccountPage *page)
cdef bytes pack_run(const Run *run)
cdef bytes pack_changes(const ChangeChunk *chunk)
cdef object load_accounts(LedgerState *state, uint64_t number, cbytes data, Py_ssize_t size)
cdef object load_run(LedgerState *state, Run *run, cbytes data, Py_ssize_t size)
cdef object load_changes(LedgerState *state, cbytes data, Py_ssize_t size)
cdef object number_clients(LedgerState *state, uint64_t numbers, bint is_direct)
