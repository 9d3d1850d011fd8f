# The digest of a stream: the sum, modulo 2**64, of a hash of each row and its number. So it does not depend on how the rows are cut
# into batches, can be resumed at any row, and two parts of a stream add up. It detects accidents, not forgery.
#
# The hash multiplies 64 by 64 bits and folds the halves of the product, as wyhash does.

from holdfast.kernel.platform cimport cbytes, hf_load_8, hf_mix
from libc.stdint cimport int64_t, uint8_t, uint64_t
from libc.string cimport memcpy

from holdfast.kernel.codes cimport WITHDRAWAL, is_unreadable

cdef enum:
    # The start values of a hash: they tell text that could not be decoded from fields.
    OF_FIELDS = 1
    OF_TEXT = 2

cdef inline uint64_t hash_text(cbytes text, Py_ssize_t length) noexcept nogil:
    # The hash of a row that could not be decoded, without its line end.
    cdef uint8_t rest[8]
    cdef Py_ssize_t left = length
    cdef uint64_t result = hf_mix(<uint64_t>length ^ 0x9E3779B97F4A7C15ULL, 0xD6E8FEB86659FD93ULL)
    while left >= 8:
        result = hf_mix(result ^ hf_load_8(text), 0xA0761D6478BD642FULL)
        text += 8
        left -= 8
    if left:
        rest[:] = [0, 0, 0, 0, 0, 0, 0, 0]
        memcpy(rest, text, left)
        result = hf_mix(result ^ hf_load_8(rest), 0xE7037ED1A0B428DBULL)
    return result

cdef inline uint64_t hash_row(uint64_t kind, uint64_t type, uint64_t client, uint64_t tx, uint64_t amount, uint64_t number) noexcept nogil:
    # The hash of a row with its number in the stream, the first being 1. Of text that could not be decoded, its hash is in the amount.
    cdef uint64_t result = hf_mix(client ^ 0x8EBC6AF09C88C6E3ULL, tx ^ 0x589965CC75374CC3ULL)
    result = hf_mix(result ^ amount, (type << 8 | kind) ^ 0x1D8E4E27C47D124FULL)
    return hf_mix(result ^ number, 0xEB44ACCAB455D165ULL)

cdef inline uint64_t hash_decoded_row(uint8_t type, uint64_t client, uint64_t tx, int64_t amount, int code, uint64_t number) noexcept nogil:
    # The hash of a row of a batch; the code is UNDECIDED in one that was not decoded from text.
    if is_unreadable(code):
        return hash_row(OF_TEXT, 0, 0, 0, <uint64_t>amount, number)
    return hash_row(OF_FIELDS, type, client, tx, <uint64_t>amount if type <= WITHDRAWAL else 0, number)
