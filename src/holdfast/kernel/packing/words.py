"""Columns of 64-bit integers in few bytes: frame of reference or differences, bit-packed, block by block.

A packed column is one block after the other, of 1,024 values each but for the last, which has what is left. A block is:

* one byte: the width of its words in bits, 0 to 64; 128 is added if the words are differences,
* eight bytes: the base, little-endian,
* the words, each of that width, in ``ceil(count * width / 8)`` bytes: bit ``i * width`` of these is the lowest bit of word ``i``,
  where bit ``n`` is bit ``n % 8`` of byte ``n // 8``; unused bits are 0.

A value is the base plus its word, modulo 2**64. With differences, this sum is the difference from the value before instead;
before the first value of a column there is a 0. The base is the least value or difference, taken as a signed number, so every
word is as small as it can be; the packer takes the narrower form, as far as the first differences tell, and else values.
"""

import cython
from cython.cimports.holdfast.kernel.platform import (
    cbytes,
    hf_bit_length,
    hf_load_8,
    hf_store_8,
)
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t, uint64_t


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pack_words(
    values: cython.pointer[cython.const[uint64_t]],
    count: cython.Py_ssize_t,
    target: cython.pointer[uint8_t],
) -> cython.Py_ssize_t:
    """Pack a column; give how many bytes that took. The target has room for ``packed_bytes_max(count)``."""
    words: uint64_t[BLOCK_WORDS]
    end: cython.pointer[uint8_t] = target
    start: cython.Py_ssize_t
    before: uint64_t = 0
    for start in range(0, count, 1024):
        size: cython.Py_ssize_t = min(count - start, cython.cast(cython.Py_ssize_t, BLOCK_WORDS))
        end = _pack_block(values + start, size, before, words, end)
        before = values[start + size - 1]
    return end - target


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _pack_block(
    values: cython.pointer[cython.const[uint64_t]],
    count: cython.Py_ssize_t,
    before: uint64_t,
    words: cython.pointer[uint64_t],
    target: cython.pointer[uint8_t],
) -> cython.pointer[uint8_t]:
    number: cython.Py_ssize_t
    base: uint64_t
    width: cython.int = _span(values, count, cython.address(base))
    delta_base: uint64_t
    delta_width: cython.int = 65
    words[0] = values[0] - before
    # A few differences tell whether the others are worth a look: of most columns, they are wider than the values.
    sample: cython.Py_ssize_t = min(count, cython.cast(cython.Py_ssize_t, SAMPLE_WORDS))
    for number in range(1, sample):
        words[number] = values[number] - values[number - 1]
    if _span(words, sample, cython.address(delta_base)) < width:
        for number in range(sample, count):
            words[number] = values[number] - values[number - 1]
        delta_width = _span(words, count, cython.address(delta_base))
    if delta_width < width:
        for number in range(count):
            words[number] -= delta_base
        target[0] = cython.cast(uint8_t, IS_DELTA | delta_width)
        hf_store_8(target + 1, delta_base)
        return _put_bits(words, count, delta_width, target + BLOCK_HEADER_BYTES)
    for number in range(count):
        words[number] = values[number] - base
    target[0] = cython.cast(uint8_t, width)
    hf_store_8(target + 1, base)
    return _put_bits(words, count, width, target + BLOCK_HEADER_BYTES)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _span(
    values: cython.pointer[cython.const[uint64_t]], count: cython.Py_ssize_t, base: cython.pointer[uint64_t]
) -> cython.int:
    """Find the least of the values, as signed numbers, and how many bits the others are above it."""
    number: cython.Py_ssize_t = 0
    least: int64_t = INT64_MAX
    most: int64_t = INT64_MIN
    other_least: int64_t = INT64_MAX
    other_most: int64_t = INT64_MIN
    value: int64_t
    # Two at a time, so that one comparison need not wait for the other.
    while number + 1 < count:
        value = cython.cast(int64_t, values[number])
        least = min(least, value)
        most = max(most, value)
        value = cython.cast(int64_t, values[number + 1])
        other_least = min(other_least, value)
        other_most = max(other_most, value)
        number += 2
    if number < count:
        value = cython.cast(int64_t, values[number])
        least = min(least, value)
        most = max(most, value)
    least = min(least, other_least)
    most = max(most, other_most)
    base[0] = cython.cast(uint64_t, least)
    return hf_bit_length(cython.cast(uint64_t, most) - cython.cast(uint64_t, least))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_bits(
    words: cython.pointer[cython.const[uint64_t]],
    count: cython.Py_ssize_t,
    width: cython.int,
    target: cython.pointer[uint8_t],
) -> cython.pointer[uint8_t]:
    """Write words side by side; what is written past their end is overwritten by what follows."""
    number: cython.Py_ssize_t = 0
    gathered: uint64_t = 0
    filled: cython.int = 0
    word: uint64_t
    end: cython.pointer[uint8_t] = target + ((count * width + 7) >> 3)
    if width == 0:
        return target
    if width <= 32:
        # Two at a time: half as many tests whether eight bytes are full.
        while number + 1 < count:
            word = words[number] | words[number + 1] << width
            gathered |= word << filled
            filled += 2 * width
            if filled >= 64:
                hf_store_8(target, gathered)
                target += 8
                filled -= 64
                gathered = word >> (2 * width - filled) if filled else 0
            number += 2
    while number < count:
        word = words[number]
        gathered |= word << filled
        filled += width
        if filled >= 64:
            hf_store_8(target, gathered)
            target += 8
            filled -= 64
            gathered = word >> (width - filled) if filled else 0
        number += 1
    if filled:
        hf_store_8(target, gathered)
    return end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unpack_words(
    source: cbytes, size: cython.Py_ssize_t, values: cython.pointer[uint64_t], count: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Unpack a column; give how many bytes it took, or -1 if the bytes are no packed column of so many values."""
    offset: cython.Py_ssize_t = 0
    start: cython.Py_ssize_t
    number: cython.Py_ssize_t
    before: uint64_t = 0
    for start in range(0, count, 1024):
        block: cython.Py_ssize_t = min(count - start, cython.cast(cython.Py_ssize_t, BLOCK_WORDS))
        if size - offset < BLOCK_HEADER_BYTES:
            return -1
        width: cython.int = source[offset] & WIDTH_MASK
        is_delta: cython.bint = source[offset] & IS_DELTA != 0
        base: uint64_t = hf_load_8(source + offset + 1)
        offset += BLOCK_HEADER_BYTES
        packed: cython.Py_ssize_t = (block * width + 7) >> 3
        if width > 64 or size - offset < packed:
            return -1
        _take_bits(source + offset, size - offset, values + start, block, width)
        offset += packed
        if is_delta:
            for number in range(start, start + block):
                before += base + values[number]
                values[number] = before
        else:
            for number in range(start, start + block):
                values[number] += base
            before = values[start + block - 1]
    return offset


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_bits(
    source: cbytes,
    size: cython.Py_ssize_t,
    words: cython.pointer[uint64_t],
    count: cython.Py_ssize_t,
    width: cython.int,
) -> cython.void:
    number: cython.Py_ssize_t
    position: cython.Py_ssize_t
    if width == 0:
        for number in range(count):
            words[number] = 0
        return
    mask: uint64_t = ~cython.cast(uint64_t, 0) >> (64 - width)
    # Words whose bytes lie within the source together with the seven bytes that a load may reach beyond them.
    safe: cython.Py_ssize_t = 0
    if width <= 56 and size >= 8:
        safe = min(count, ((size - 8) << 3) // width + 1)
    for number in range(safe):
        position = number * width
        words[number] = hf_load_8(source + (position >> 3)) >> (position & 7) & mask
    for number in range(safe, count):
        words[number] = _take_word(source, number * width, width) & mask


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_word(source: cbytes, position: cython.Py_ssize_t, width: cython.int) -> uint64_t:
    """Take one word of any width, byte by byte."""
    word: uint64_t = 0
    taken: cython.int = 0
    while taken < width:
        shift: cython.int = (position + taken) & 7
        word |= cython.cast(uint64_t, source[(position + taken) >> 3] >> shift) << taken
        taken += 8 - shift
    return word
