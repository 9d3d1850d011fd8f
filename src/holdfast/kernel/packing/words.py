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
from cython.cimports.holdfast.kernel.packing.bits import (
    GROUP_SLACK_BYTES,
    GROUP_WORDS,
    hf_put_bytes,
    hf_put_words,
    hf_take_bytes,
    hf_take_words,
)
from cython.cimports.holdfast.kernel.platform import cbytes, hf_bit_length, hf_load_8, hf_store_8
from cython.cimports.libc.stdint import INT64_MAX, INT64_MIN, int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memcpy, memset

# A one in each of eight bytes.
EACH_BYTE = cython.declare(uint64_t, 0x0101010101010101)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pack_words(
    values: cython.pointer[cython.const[uint64_t]],
    count: cython.Py_ssize_t,
    target: cython.pointer[uint8_t],
) -> cython.Py_ssize_t:
    """Pack a column; give how many bytes that took. The target has room for ``packed_bytes_max(count)``."""
    end: cython.pointer[uint8_t] = target
    start: cython.Py_ssize_t
    before: uint64_t = 0
    for start in range(0, count, 1024):
        size: cython.Py_ssize_t = min(count - start, cython.cast(cython.Py_ssize_t, BLOCK_WORDS))
        end = _pack_block(values + start, size, before, end)
        before = values[start + size - 1]
    return end - target


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pack_bytes(
    values: cbytes, count: cython.Py_ssize_t, target: cython.pointer[uint8_t]
) -> cython.Py_ssize_t:
    """Pack a column of values of one byte: the same bytes as :func:`pack_words` makes of them."""
    wide: uint64_t[BLOCK_WORDS]
    end: cython.pointer[uint8_t] = target
    start: cython.Py_ssize_t
    number: cython.Py_ssize_t
    before: uint64_t = 0
    for start in range(0, count, 1024):
        size: cython.Py_ssize_t = min(count - start, cython.cast(cython.Py_ssize_t, BLOCK_WORDS))
        least: uint8_t = 255
        most: uint8_t = 0
        for number in range(start, start + size):
            least = min(least, values[number])
            most = max(most, values[number])
        width: cython.int = hf_bit_length(most - least)
        sample: cython.Py_ssize_t = min(size, cython.cast(cython.Py_ssize_t, SAMPLE_WORDS))
        for number in range(sample):
            wide[number] = values[start + number]
        if _difference_width(wide, sample, before) < width:
            for number in range(size):
                wide[number] = values[start + number]
            end = _pack_block(wide, size, before, end)
        else:
            end = _put_header(end, cython.cast(uint8_t, width), least)
            end = _put_bytes(values + start, size, least, width, end)
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
    target: cython.pointer[uint8_t],
) -> cython.pointer[uint8_t]:
    words: uint64_t[BLOCK_WORDS]
    number: cython.Py_ssize_t
    base: uint64_t = 0
    delta_base: uint64_t
    sample: cython.Py_ssize_t = min(count, cython.cast(cython.Py_ssize_t, SAMPLE_WORDS))
    sample_width: cython.int = _difference_width(values, sample, before)
    # The first values and the last one: all of them together are no narrower.
    width: cython.int = _width_at_least(values, sample, values[count - 1])
    is_known: cython.bint = sample_width >= width
    if is_known:
        width = _span(values, count, cython.address(base))
    # A few differences tell whether the others are worth a look: of most columns, they are wider than the values.
    if sample_width < width:
        words[0] = values[0] - before
        for number in range(1, count):
            words[number] = values[number] - values[number - 1]
        delta_width: cython.int = _span(words, count, cython.address(delta_base))
        if delta_width >= width and not is_known:
            width = _span(values, count, cython.address(base))
        if delta_width < width:
            target = _put_header(target, cython.cast(uint8_t, IS_DELTA | delta_width), delta_base)
            return _put_words(words, count, delta_base, delta_width, target)
    target = _put_header(target, cython.cast(uint8_t, width), base)
    return _put_words(values, count, base, width, target)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _difference_width(
    values: cython.pointer[cython.const[uint64_t]], count: cython.Py_ssize_t, before: uint64_t
) -> cython.int:
    """Say how wide the differences of a few values are."""
    words: uint64_t[SAMPLE_WORDS]
    number: cython.Py_ssize_t
    base: uint64_t
    words[0] = values[0] - before
    for number in range(1, count):
        words[number] = values[number] - values[number - 1]
    return _span(words, count, cython.address(base))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _width_at_least(
    values: cython.pointer[cython.const[uint64_t]], count: cython.Py_ssize_t, last: uint64_t
) -> cython.int:
    """Say how wide a few values and another one are."""
    base: uint64_t
    width: cython.int = _span(values, count, cython.address(base))
    ends: uint64_t[2]
    ends[0] = base
    ends[1] = last
    return max(width, _span(ends, 2, cython.address(base)))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_header(target: cython.pointer[uint8_t], form: uint8_t, base: uint64_t) -> cython.pointer[uint8_t]:
    target[0] = form
    hf_store_8(target + 1, base)
    return target + BLOCK_HEADER_BYTES


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
def _put_words(
    values: cython.pointer[cython.const[uint64_t]],
    count: cython.Py_ssize_t,
    base: uint64_t,
    width: cython.int,
    target: cython.pointer[uint8_t],
) -> cython.pointer[uint8_t]:
    """Write words side by side; what is written past their end is overwritten by what follows."""
    last: uint64_t[GROUP_WORDS]
    number: cython.Py_ssize_t
    groups: cython.Py_ssize_t = count // GROUP_WORDS
    done: cython.Py_ssize_t = groups * GROUP_WORDS
    if width == 0:
        return target
    hf_put_words(values, groups, base, target, width)
    if done < count:
        for number in range(8):
            last[number] = values[done + number] if done + number < count else base
        hf_put_words(last, 1, base, target + groups * width, width)
    return target + ((count * width + 7) >> 3)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_bytes(
    values: cbytes,
    count: cython.Py_ssize_t,
    base: uint8_t,
    width: cython.int,
    target: cython.pointer[uint8_t],
) -> cython.pointer[uint8_t]:
    """Write words side by side as _put_words() does."""
    last: uint8_t[GROUP_WORDS]
    groups: cython.Py_ssize_t = count // GROUP_WORDS
    done: cython.Py_ssize_t = groups * GROUP_WORDS
    if width == 0:
        return target
    hf_put_bytes(values, groups, base * EACH_BYTE, target, width)
    if done < count:
        memset(last, base, GROUP_WORDS)
        memcpy(last, values + done, count - done)
        hf_put_bytes(last, 1, base * EACH_BYTE, target + groups * width, width)
    return target + ((count * width + 7) >> 3)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unpack_words(
    source: cbytes, size: cython.Py_ssize_t, values: cython.pointer[uint64_t], count: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Unpack a whole column; give how many bytes it took, or -1 if the bytes are no packed column of so many values."""
    column: PackedColumn
    open_column(cython.address(column), source, size, count)
    return column.source - source if take_words(cython.address(column), values, count) else -1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_words(
    column: cython.pointer[PackedColumn], values: cython.pointer[uint64_t], count: cython.Py_ssize_t
) -> cython.bint:
    """Unpack the next values of a column; False if it has fewer, or its bytes are no packed column."""
    taken: cython.Py_ssize_t
    while count:
        if column.held_start < column.held_stop:
            taken = min(count, column.held_stop - column.held_start)
            memcpy(values, column.held + column.held_start, 8 * taken)
            column.held_start += taken
        else:
            taken = min(column.left, cython.cast(cython.Py_ssize_t, BLOCK_WORDS))
            if taken == 0:
                return False
            if taken > count:
                if not _unpack_block(column, column.held, taken):
                    return False
                column.held_start = 0
                column.held_stop = taken
                continue
            if not _unpack_block(column, values, taken):
                return False
        values += taken
        count -= taken
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_bytes(
    column: cython.pointer[PackedColumn], values: cython.pointer[uint8_t], count: cython.Py_ssize_t
) -> cython.bint:
    """Unpack the next values of a column; False also if one of them has more than one byte."""
    words: uint64_t[BLOCK_WORDS]
    number: cython.Py_ssize_t
    while count:
        taken: cython.Py_ssize_t = min(count, cython.cast(cython.Py_ssize_t, BLOCK_WORDS))
        # Blocks are mostly asked for as a whole; only then can they be unpacked without a detour.
        is_block: cython.bint = column.held_start == column.held_stop and taken == min(
            column.left, cython.cast(cython.Py_ssize_t, BLOCK_WORDS)
        )
        if not (is_block and _unpack_bytes(column, values, taken)):
            if not take_words(column, words, taken):
                return False
            many: uint64_t = 0
            for number in range(taken):
                many |= words[number]
                values[number] = cython.cast(uint8_t, words[number])
            if many > 255:
                return False
        values += taken
        count -= taken
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unpack_bytes(
    column: cython.pointer[PackedColumn], values: cython.pointer[uint8_t], count: cython.Py_ssize_t
) -> cython.bint:
    """Unpack a block straight to values of one byte; False, and nothing is done, if it is not as simple as that."""
    number: cython.Py_ssize_t
    if column.end - column.source < BLOCK_HEADER_BYTES:
        return False
    width: cython.int = column.source[0]
    base: uint64_t = hf_load_8(column.source + 1)
    packed: cython.Py_ssize_t = (count * width + 7) >> 3
    if width > 8 or base > 255 or base + (1 << width) > 256:
        return False
    if column.end - column.source - BLOCK_HEADER_BYTES < packed:
        return False
    source: cbytes = column.source + BLOCK_HEADER_BYTES
    if width == 0:
        memset(values, cython.cast(cython.int, base), count)
    else:
        groups: cython.Py_ssize_t = _groups_within(column.end - source, count, width)
        hf_take_bytes(source, groups, base * EACH_BYTE, values, width)
        for number in range(groups * GROUP_WORDS, count):
            values[number] = cython.cast(uint8_t, base + _take_word(source, number * width, width))
    column.source = source + packed
    column.left -= count
    column.before = values[count - 1]
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _unpack_block(
    column: cython.pointer[PackedColumn], values: cython.pointer[uint64_t], count: cython.Py_ssize_t
) -> cython.bint:
    """Unpack the next block, which has so many values; False if it does not."""
    number: cython.Py_ssize_t
    if column.end - column.source < BLOCK_HEADER_BYTES:
        return False
    width: cython.int = column.source[0] & WIDTH_MASK
    base: uint64_t = hf_load_8(column.source + 1)
    source: cbytes = column.source + BLOCK_HEADER_BYTES
    packed: cython.Py_ssize_t = (count * width + 7) >> 3
    if width > 64 or column.end - source < packed:
        return False
    if width == 0:
        for number in range(count):
            values[number] = base
    else:
        groups: cython.Py_ssize_t = _groups_within(column.end - source, count, width)
        hf_take_words(source, groups, base, values, width)
        for number in range(groups * GROUP_WORDS, count):
            values[number] = base + _take_word(source, number * width, width)
    if column.source[0] & IS_DELTA:
        before: uint64_t = column.before
        for number in range(count):
            before += values[number]
            values[number] = before
    column.source = source + packed
    column.left -= count
    column.before = values[count - 1]
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _groups_within(size: cython.Py_ssize_t, count: cython.Py_ssize_t, width: cython.int) -> cython.Py_ssize_t:
    """Say how many whole groups of words can be taken at once: those that, with what is read past them, are within the source."""
    if size < GROUP_SLACK_BYTES:
        return 0
    return min(count // GROUP_WORDS, (size - GROUP_SLACK_BYTES) // width)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_word(source: cbytes, position: cython.Py_ssize_t, width: cython.int) -> uint64_t:
    """Take one word of any width but 0, byte by byte."""
    word: uint64_t = 0
    taken: cython.int = 0
    while taken < width:
        shift: cython.int = (position + taken) & 7
        word |= cython.cast(uint64_t, source[(position + taken) >> 3] >> shift) << taken
        taken += 8 - shift
    return word & (~cython.cast(uint64_t, 0) >> (64 - width))
