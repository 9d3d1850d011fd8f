"""The escapes of JSON strings: backslashes and what is after them."""

import cython
from cython.cimports.holdfast.kernel.codes import BACKSLASH, NINE, QUOTE, RETURN, TAB, ZERO
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.libc.stdint import uint8_t, uint32_t


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def escape_length(at: cbytes, end: cbytes) -> cython.Py_ssize_t:
    """Give the length of the escape that begins with this backslash, 0 if it is none."""
    digit: cython.int
    if end - at < 2:
        return 0
    name: uint8_t = at[1]
    if name == 0x75:  # u
        if end - at < 6:
            return 0
        for digit in range(2, 6):
            if not (ZERO <= at[digit] <= NINE or 0x61 <= at[digit] | 0x20 <= 0x66):
                return 0
        return 6
    return 2 if _plain_escape(name) else 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _plain_escape(name: uint8_t) -> uint8_t:
    """Give the byte that a letter after a backslash stands for, 0 for none."""
    if name == QUOTE or name == BACKSLASH or name == 0x2F:
        return name
    if name == 0x62:  # b
        return 8
    if name == 0x66:  # f
        return 12
    if name == 0x6E:  # n
        return 10
    if name == 0x72:  # r
        return RETURN
    return TAB if name == 0x74 else 0  # t


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def unescape(text: cbytes, length: cython.Py_ssize_t, target: cython.pointer[uint8_t]) -> cython.Py_ssize_t:
    """Write a text that was checked without its escapes, as UTF-8; give its length, which is never more than before.

    Half of a surrogate pair by itself is valid in JSON and no character: it becomes U+FFFD, which no needed value has.
    """
    end: cbytes = text + length
    start: cython.pointer[uint8_t] = target
    while text < end:
        # Python code may have changed the text since it was checked, so every length is looked at again.
        if text[0] != BACKSLASH or end - text < 2:
            target[0] = text[0]
            target += 1
            text += 1
        elif text[1] != 0x75 or end - text < 6:
            target[0] = _plain_escape(text[1])
            target += 1
            text += 2
        else:
            character: uint32_t = _hex(text + 2)
            text += 6
            if 0xD800 <= character < 0xE000:
                low: uint32_t = 0
                if character < 0xDC00 and end - text >= 6 and text[0] == BACKSLASH and text[1] == 0x75:
                    low = _hex(text + 2)
                if 0xDC00 <= low < 0xE000:
                    character = 0x10000 + ((character - 0xD800) << 10) + (low - 0xDC00)
                    text += 6
                else:
                    character = 0xFFFD
            target += _put_character(character, target)
    return target - start


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _hex(text: cbytes) -> uint32_t:
    """Read four hexadecimal digits."""
    number: uint32_t = 0
    digit: cython.int
    for digit in range(4):
        byte: uint32_t = text[digit]
        # Letters have the bit of 64, and their last four bits count from 1.
        number = number << 4 | ((byte & 15) + 9 * (byte >> 6) & 15)
    return number


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_character(character: uint32_t, target: cython.pointer[uint8_t]) -> cython.int:
    """Write a character as UTF-8; give how many bytes that took."""
    if character < 0x80:
        target[0] = character
        return 1
    if character < 0x800:
        target[0] = 0xC0 | character >> 6
        target[1] = 0x80 | character & 63
        return 2
    if character < 0x10000:
        target[0] = 0xE0 | character >> 12
        target[1] = 0x80 | character >> 6 & 63
        target[2] = 0x80 | character & 63
        return 3
    target[0] = 0xF0 | character >> 18
    target[1] = 0x80 | character >> 12 & 63
    target[2] = 0x80 | character >> 6 & 63
    target[3] = 0x80 | character & 63
    return 4
