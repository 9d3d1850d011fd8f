"""Account columns to CSV bytes: ``client,available,held,total,locked``, sorted by client."""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.holdfast.kernel.ledger.image import AccountRow, Image
from cython.cimports.holdfast.kernel.platform import hf_check
from cython.cimports.libc.stdint import int64_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy

from holdfast.domain.settings import DECIMALS_MAX

HEADER = b"client,available,held,total,locked\n"
CHUNK_ROWS = 8192
"""How many accounts are encoded at a time, without the GIL."""
# The longest row: a client of 20 digits, three amounts of 19 digits with sign and point, "false", four commas
# and a line end.
ROW_BYTES = cython.declare(cython.Py_ssize_t, 96)


def encode_accounts(image: Image, decimals: int = 4):
    """Write an image as CSV, a chunk at a time.

    Args:
        image: The accounts.
        decimals: How many decimals every amount is written with, 0 to 9.

    Yields:
        The header, then chunks of whole rows.

    Raises:
        ValueError: For decimals out of range.
    """
    if not 0 <= decimals <= DECIMALS_MAX:
        raise ValueError(f"decimals is 0 to {DECIMALS_MAX}, not {decimals}")
    return _encode(image, decimals)


def _encode(image: Image, decimals: int):
    yield HEADER
    for start in range(0, len(image), CHUNK_ROWS):
        yield _encode_chunk(image, start, min(start + CHUNK_ROWS, len(image)), decimals)


@cython.cfunc
def _encode_chunk(
    image: Image, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, decimals: cython.int
) -> bytes:
    image.sort()
    text: cython.p_char = cython.cast(cython.p_char, malloc((stop - start) * ROW_BYTES))
    if text == cython.NULL:
        raise MemoryError
    end: cython.p_char = text
    position: cython.Py_ssize_t
    row: AccountRow
    with cython.nogil:
        for position in range(start, stop):
            image.read(position, cython.address(row))
            end = _put_row(end, cython.address(row), decimals)
    hf_check(end - text <= (stop - start) * ROW_BYTES)
    try:
        return PyBytes_FromStringAndSize(text, end - text)
    finally:
        free(text)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_row(
    text: cython.p_char, row: cython.pointer[cython.const[AccountRow]], decimals: cython.int
) -> cython.p_char:
    text = _put_number(text, row.client, 0)
    text = _put_amount(text, row.available, decimals)
    text = _put_amount(text, row.held, decimals)
    text = _put_amount(text, row.available + row.held, decimals)
    if row.is_locked:
        memcpy(text, b",true\n", 6)
        return text + 6
    memcpy(text, b",false\n", 7)
    return text + 7


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_amount(text: cython.p_char, units: int64_t, decimals: cython.int) -> cython.p_char:
    text[0] = 44
    text += 1
    magnitude: uint64_t = cython.cast(uint64_t, units)
    if units < 0:
        text[0] = 45
        text += 1
        # Unsigned arithmetic, so that the smallest number has a magnitude too.
        magnitude = 0 - magnitude
    return _put_number(text, magnitude, decimals)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_number(text: cython.p_char, number: uint64_t, decimals: cython.int) -> cython.p_char:
    """Write a number with a point before its last digits, at least one digit before the point."""
    digits: cython.char[24]
    length: cython.int = 0
    position: cython.int
    for position in range(decimals):
        digits[length] = cython.cast(cython.char, 48 + number % 10)
        number //= 10
        length += 1
    if decimals:
        digits[length] = 46
        length += 1
    while True:
        digits[length] = cython.cast(cython.char, 48 + number % 10)
        number //= 10
        length += 1
        if number == 0:
            break
    for position in range(length):
        text[position] = digits[length - 1 - position]
    return text + length
