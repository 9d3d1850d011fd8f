"""Sorts by 64-bit ids, in place: by the first bits in which the ids differ, then each part by itself, in the cache.

That is the American flag sort of McIlroy, Bostic and McIlroy (Engineering Radix Sort, Computing Systems 6, 1993). The range
of the ids of a part decides which bits come next, so parts of ids that are close together take no more steps than those of
scattered ones; each step takes at least four bits, so that there are at most sixteen, whatever the ids.
"""

import cython
from cython.cimports.holdfast.kernel.platform import hf_bit_length
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.string import memset

FEW = cython.declare(uint64_t, 24)
"""So many are sorted by inserting one after the other."""


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def sort_by_id(rows: cython.pointer[Numbered], count: uint64_t) -> cython.void:
    """Sort rows by their ids; those with equal ids come in no particular order."""
    ends: uint64_t[256]
    nexts: uint64_t[256]
    place: uint64_t
    digit: cython.int
    if count <= FEW:
        _insert_all(rows, count)
        return
    least: uint64_t = rows[0].id
    most: uint64_t = least
    for place in range(1, count):
        least = min(least, rows[place].id)
        most = max(most, rows[place].id)
    if least == most:
        return
    digits_bits: cython.int = min(8, max(4, hf_bit_length(count) - 3))
    shift: cython.int = max(0, hf_bit_length(most - least) - digits_bits)
    digits: cython.int = 1 << digits_bits
    memset(ends, 0, digits * cython.sizeof(uint64_t))
    for place in range(count):
        ends[(rows[place].id - least) >> shift] += 1
    total: uint64_t = 0
    for digit in range(digits):
        nexts[digit] = total
        total += ends[digit]
        ends[digit] = total
    _permute(rows, least, shift, digits, nexts, ends)
    if shift == 0:
        return
    total = 0
    for digit in range(digits):
        if ends[digit] - total > 1:
            sort_by_id(rows + total, ends[digit] - total)
        total = ends[digit]


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _permute(
    rows: cython.pointer[Numbered],
    least: uint64_t,
    shift: cython.int,
    digits: cython.int,
    nexts: cython.pointer[uint64_t],
    ends: cython.pointer[uint64_t],
) -> cython.void:
    """Put every row into the part that its digit names: each goes to the next place there, and what was there goes on."""
    digit: uint64_t
    for digit in range(cython.cast(uint64_t, digits)):
        while nexts[digit] < ends[digit]:
            row: Numbered = rows[nexts[digit]]
            target: uint64_t = (row.id - least) >> shift
            while target != digit:
                other: Numbered = rows[nexts[target]]
                rows[nexts[target]] = row
                nexts[target] += 1
                row = other
                target = (row.id - least) >> shift
            rows[nexts[digit]] = row
            nexts[digit] += 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _insert_all(rows: cython.pointer[Numbered], count: uint64_t) -> cython.void:
    place: uint64_t
    for place in range(1, count):
        row: Numbered = rows[place]
        target: uint64_t = place
        while target > 0 and rows[target - 1].id > row.id:
            rows[target] = rows[target - 1]
            target -= 1
        rows[target] = row
