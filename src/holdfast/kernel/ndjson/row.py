"""The complete path for one JSON object: keys in any order, escapes, blanks, nested values, a code for every fault.

It reads what the decoder's fast path does not recognise, and is correct for every line. It goes through a line from left to right
once, whatever the line contains, and allocates nothing: the caller lends it as many bytes as the line has. They hold the needed
texts without their escapes and, while a nested value is skipped, what its brackets are closed by. So nothing here calls itself,
and a line may be nested as deeply as it is long.

What is valid is what RFC 8259 says, to the letter. The values are then read as the fields of a CSV row are.
"""

import cython
from cython.cimports.holdfast.kernel.codes import (
    BACKSLASH,
    CLOSE_BRACE,
    COLON,
    COMMA,
    MALFORMED_ROW,
    MINUS,
    NINE,
    OPEN_BRACE,
    OPEN_BRACKET,
    PLUS,
    POINT,
    QUOTE,
    RETURN,
    SPACE,
    TAB,
    ZERO,
)
from cython.cimports.holdfast.kernel.csv.row import AMOUNT, CLIENT, TX, TYPE, Field, decode_fields, is_text
from cython.cimports.holdfast.kernel.ndjson.escapes import escape_length, unescape
from cython.cimports.holdfast.kernel.platform import (
    HF_TOP_BITS,
    cbytes,
    hf_check,
    hf_load_8,
    hf_trailing_zeros,
)
from cython.cimports.libc.stdint import uint8_t, uint64_t
from cython.cimports.libc.string import memcmp

# Where a line is being read, what is lent, and all bytes of its strings so far, ORed together.
Reader = cython.struct(
    at=cbytes, end=cbytes, scratch=cython.pointer[uint8_t], scratch_end=cython.pointer[uint8_t], seen=uint64_t
)
# What is between the quotes of a string, and whether there are escapes in it.
Text = cython.struct(start=cbytes, length=cython.Py_ssize_t, has_escapes=cython.bint)

# In each of eight bytes: a quote, a backslash, the first byte that is no control character, and 1.
QUOTES = cython.declare(uint64_t, 0x2222222222222222)
BACKSLASHES = cython.declare(uint64_t, 0x5C5C5C5C5C5C5C5C)
SPACES = cython.declare(uint64_t, 0x2020202020202020)
ONES = cython.declare(uint64_t, 0x0101010101010101)
IGNORED = cython.declare(cython.int, 4)  # what a key that nobody needs is
INVALID = cython.declare(cython.int, -1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def decode_object(
    format: cython.pointer[cython.const[RowFormat]],
    text: cbytes,
    length: cython.Py_ssize_t,
    scratch: cython.pointer[uint8_t],
    row: cython.pointer[Row],
) -> cython.int:
    """Decode a line without its line end; give UNDECIDED for a transaction or the code of a fault.

    Args:
        format: The widths.
        text: The line.
        length: How long it is.
        scratch: Room for as many bytes.
        row: Takes the values.
    """
    fields: Field[4]
    reader: Reader
    role: cython.int
    for role in range(4):
        fields[role].start = cython.NULL
        fields[role].length = 0
    row.type = row.client = row.tx = row.amount = 0
    reader.at, reader.end, reader.seen = text, text + length, 0
    reader.scratch, reader.scratch_end = scratch, scratch + length
    if not _take_object(cython.address(reader), fields):
        return MALFORMED_ROW
    # Only strings have bytes that are not ASCII.
    if reader.seen & HF_TOP_BITS and not is_text(text, length):
        return MALFORMED_ROW
    return decode_fields(format, fields, row)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _skip_blanks(reader: cython.pointer[Reader]) -> cython.void:
    while reader.at < reader.end and (reader.at[0] == SPACE or reader.at[0] == TAB or reader.at[0] == RETURN):
        reader.at += 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_byte(reader: cython.pointer[Reader], byte: uint8_t) -> cython.bint:
    """Take a byte, with the blanks before and after it; False if another one is there."""
    _skip_blanks(reader)
    if reader.at == reader.end or reader.at[0] != byte:
        return False
    reader.at += 1
    _skip_blanks(reader)
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_object(reader: cython.pointer[Reader], fields: cython.pointer[Field]) -> cython.bint:
    """Take the object that the whole line is; find the needed values. False if it is none, or has a needed key twice."""
    if not _take_byte(reader, OPEN_BRACE):
        return False
    if not _take_byte(reader, CLOSE_BRACE):
        while True:
            role: cython.int = _take_key(reader)
            if role == INVALID:
                return False
            if role == IGNORED:
                if not _skip_value(reader):
                    return False
            elif fields[role].start != cython.NULL or not _take_needed(reader, cython.address(fields[role])):
                return False
            if _take_byte(reader, CLOSE_BRACE):
                break
            if not _take_byte(reader, COMMA):
                return False
    return reader.at == reader.end


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_key(reader: cython.pointer[Reader]) -> cython.int:
    """Take a key and its colon; give which needed value it names, IGNORED if none, INVALID if it is no key."""
    text: Text
    if not _take_string(reader, cython.address(text)) or not _take_byte(reader, COLON):
        return INVALID
    if text.has_escapes:
        # Whatever is there is overwritten later: keys are not kept.
        hf_check(reader.scratch + text.length <= reader.scratch_end)
        text.length = unescape(text.start, text.length, reader.scratch)
        text.start = reader.scratch
    if text.length == 2:
        return TX if _is_name(text.start, b"tx", 2) else IGNORED
    if text.length == 4:
        return TYPE if _is_name(text.start, b"type", 4) else IGNORED
    if text.length == 6:
        if _is_name(text.start, b"client", 6):
            return CLIENT
        if _is_name(text.start, b"amount", 6):
            return AMOUNT
    return IGNORED


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_name(text: cbytes, name: cython.p_char, length: cython.Py_ssize_t) -> cython.bint:
    position: cython.Py_ssize_t
    for position in range(length):
        # The name has only letters, and only ASCII letters become equal to them with this bit.
        if text[position] | 0x20 != name[position]:
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_needed(reader: cython.pointer[Reader], field: cython.pointer[Field]) -> cython.bint:
    """Take a value as a field: a string without the blanks at its ends, a number or a word as it is written, null as nothing."""
    text: Text
    if reader.at == reader.end:
        return False
    if reader.at[0] != QUOTE:
        field.start = reader.at
        if not _take_scalar(reader):
            return False
        field.length = 0 if field.start[0] == 0x6E else reader.at - field.start  # the n of null
        return True
    if not _take_string(reader, cython.address(text)):
        return False
    if text.has_escapes:
        hf_check(reader.scratch + text.length <= reader.scratch_end)
        text.length = unescape(text.start, text.length, reader.scratch)
        text.start = reader.scratch
        reader.scratch += text.length
    while text.length and (text.start[0] == SPACE or text.start[0] == TAB):
        text.start += 1
        text.length -= 1
    while text.length and (text.start[text.length - 1] == SPACE or text.start[text.length - 1] == TAB):
        text.length -= 1
    field.start, field.length = text.start, text.length
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _skip_value(reader: cython.pointer[Reader]) -> cython.bint:
    """Take a value that nobody needs, whatever it contains; False if it is none."""
    text: Text
    # For each bracket that is open, what closes it. Each of them was a byte of the line.
    closing: cython.pointer[uint8_t] = reader.scratch
    while True:
        if reader.at == reader.end:
            return False
        byte: uint8_t = reader.at[0]
        if byte == OPEN_BRACE or byte == OPEN_BRACKET:
            close: uint8_t = byte + 2
            _take_byte(reader, byte)
            if not _take_byte(reader, close):
                hf_check(closing < reader.scratch_end)
                closing[0] = close
                closing += 1
                if close == CLOSE_BRACE and not _take_any_key(reader):
                    return False
                continue
        elif byte == QUOTE:
            if not _take_string(reader, cython.address(text)):
                return False
        elif not _take_scalar(reader):
            return False
        # A value has ended, and with it maybe what it is in.
        while closing > reader.scratch and _take_byte(reader, (closing - 1)[0]):
            closing -= 1
        if closing == reader.scratch:
            return True
        if not _take_byte(reader, COMMA):
            return False
        if (closing - 1)[0] == CLOSE_BRACE and not _take_any_key(reader):
            return False


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_any_key(reader: cython.pointer[Reader]) -> cython.bint:
    text: Text
    return _take_string(reader, cython.address(text)) and _take_byte(reader, COLON)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_string(reader: cython.pointer[Reader], text: cython.pointer[Text]) -> cython.bint:
    """Take a string; give what is between its quotes. False if it is none, or has a control character or an unknown escape."""
    at: cbytes = reader.at
    end: cbytes = reader.end
    if at == end or at[0] != QUOTE:
        return False
    at += 1
    text.start, text.has_escapes = at, False
    while True:
        at = _skip_plain(reader, at)
        if at == end:
            return False
        if at[0] == QUOTE:
            break
        if at[0] != BACKSLASH:
            return False
        text.has_escapes = True
        length: cython.Py_ssize_t = escape_length(at, end)
        if length == 0:
            return False
        at += length
    text.length = at - text.start
    reader.at = at + 1
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _skip_plain(reader: cython.pointer[Reader], at: cbytes) -> cbytes:
    """Give the next byte that is a quote, a backslash or a control character, or the end; note what is before it."""
    while reader.end - at >= 8:
        word: uint64_t = hf_load_8(at)
        quotes: uint64_t = word ^ QUOTES
        backslashes: uint64_t = word ^ BACKSLASHES
        # The lowest bit that is set is right; borrows only reach higher ones.
        found: uint64_t = (
            ((word - SPACES) & ~word) | ((quotes - ONES) & ~quotes) | ((backslashes - ONES) & ~backslashes)
        ) & HF_TOP_BITS
        if found:
            length: cython.Py_ssize_t = hf_trailing_zeros(found) >> 3
            if length:
                reader.seen |= word << (64 - 8 * length)
            return at + length
        reader.seen |= word
        at += 8
    while at < reader.end and at[0] != QUOTE and at[0] != BACKSLASH and at[0] >= SPACE:
        # Any of the eight top bits will do.
        reader.seen |= at[0]
        at += 1
    return at


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_scalar(reader: cython.pointer[Reader]) -> cython.bint:
    """Take a number, true, false or null; False for everything else, NaN and Infinity among it."""
    byte: uint8_t = reader.at[0]
    if byte == MINUS or ZERO <= byte <= NINE:
        return _take_number(reader)
    if byte == 0x74:
        return _take_word(reader, b"true", 4)
    if byte == 0x66:
        return _take_word(reader, b"false", 5)
    return byte == 0x6E and _take_word(reader, b"null", 4)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_word(reader: cython.pointer[Reader], word: cython.p_char, length: cython.Py_ssize_t) -> cython.bint:
    if reader.end - reader.at < length or memcmp(reader.at, word, length) != 0:
        return False
    reader.at += length
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_number(reader: cython.pointer[Reader]) -> cython.bint:
    """Take a number as JSON has them: no plus, no zero in front, digits on both sides of a point."""
    if reader.at[0] == MINUS:
        reader.at += 1
    if reader.at < reader.end and reader.at[0] == ZERO:
        reader.at += 1
    elif not _take_digits(reader):
        return False
    if reader.at < reader.end and reader.at[0] == POINT:
        reader.at += 1
        if not _take_digits(reader):
            return False
    if reader.at < reader.end and reader.at[0] | 0x20 == 0x65:  # e
        reader.at += 1
        if reader.at < reader.end and (reader.at[0] == PLUS or reader.at[0] == MINUS):
            reader.at += 1
        return _take_digits(reader)
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_digits(reader: cython.pointer[Reader]) -> cython.bint:
    """Take digits; False if there is none."""
    start: cbytes = reader.at
    while reader.at < reader.end and ZERO <= reader.at[0] <= NINE:
        reader.at += 1
    return reader.at > start
