# The changes of records that are in the index, in order; change_log.py says why.

from libc.stdint cimport int64_t, uint32_t, uint64_t

cdef enum:
    CHUNK_CHANGES = 8192

ctypedef struct ChangeChunk:
    uint32_t count
    uint64_t txs[8192]
    int64_t amounts[8192]
    uint32_t owners[8192]

ctypedef struct ChangeLog:
    ChangeChunk *chunk  # the changes go here; NULL if changes are not followed
    ChangeChunk **closed  # full chunks and those that a cut has closed, the oldest first
    uint64_t closed_count
    uint64_t closed_capacity
    uint64_t next_number  # of the next chunk that is closed

cdef bint open_log(ChangeLog *log) noexcept nogil
cdef void close_log(ChangeLog *log) noexcept nogil
cdef bint close_chunk(ChangeLog *log) noexcept nogil
cdef ChangeChunk *take_chunk(ChangeLog *log) noexcept nogil
cdef uint64_t log_bytes(const ChangeLog *log) noexcept nogil

cdef inline bint make_log_room(ChangeLog *log, uint32_t changes) noexcept nogil:
    # Make sure that this many changes can be noted; false without memory.
    if log.chunk == NULL or log.chunk.count + changes <= CHUNK_CHANGES:
        return True
    return close_chunk(log)

cdef inline void note_change(ChangeLog *log, uint64_t tx, int64_t amount, uint32_t owner) noexcept nogil:
    cdef ChangeChunk *chunk = log.chunk
    if chunk != NULL:
        chunk.txs[chunk.count] = tx
        chunk.amounts[chunk.count] = amount
        chunk.owners[chunk.count] = owner
        chunk.count += 1
