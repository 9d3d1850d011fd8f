# Changes of records in the index as pages of bytes, and back; change_pages.py says how they are put back.

from holdfast.kernel.ledger.change_log cimport ChangeChunk
from holdfast.kernel.ledger.fold cimport LedgerState
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    # So many changes are put in order of their places and then made.
    GATHERED_CHANGES = 524288
    # By so many bits of their places at most.
    STRETCH_BITS = 10
    STRETCHES = 1024

ctypedef struct Change:
    uint64_t tx
    int64_t amount
    uint32_t owner

ctypedef struct GatheredChanges:
    uint32_t count
    Change changes[524288]
    Change ordered[524288]
    uint32_t starts[1025]

cdef bytes pack_changes(const ChangeChunk *chunk)
cdef object gather_changes(LedgerState *state, GatheredChanges **gathered, cbytes data, Py_ssize_t size)
cdef object make_gathered(LedgerState *state, GatheredChanges **gathered)
