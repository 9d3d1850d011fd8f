from holdfast.kernel.ledger.id_sort cimport Numbered
from holdfast.kernel.ledger.image cimport Image
from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    ACCOUNT_PARTS_BITS = 11
    ACCOUNT_PARTS_MAX = 2048
    # Within a part, keys are put next to each other by these many further bits.
    KEY_BITS = 9
    KEY_PLACES = 512
    # With more keys than this in one place, the ids are not scattered.
    KEYS_TOGETHER_MAX = 16

ctypedef struct AccountRecord:
    uint64_t client
    int64_t available
    int64_t held
    uint64_t is_locked

# Copies of all accounts, in parts: all clients of one part are before all clients of the next one.
ctypedef struct AccountParts:
    AccountRecord *records
    size_t records_bytes
    uint64_t ends[2048]
    uint64_t least  # of all ids
    int shift  # what is above these bits is the number of a part
    Numbered *keys  # room for those of the largest part

cdef int open_parts(AccountParts *parts, Image image) noexcept nogil
cdef void close_parts(AccountParts *parts) noexcept nogil
cdef AccountRecord *sort_part(AccountParts *parts, int part, uint64_t *count) noexcept nogil
