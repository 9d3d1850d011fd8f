"""The complete path for one row of text: quotes, blanks, any column order, any form of amount, a code for every fault.

It reads the rows that the decoder's fast path does not recognise, and is correct for every row. It goes through a
row from left to right a bounded number of times, whatever the row contains, and allocates nothing.
"""

import cython
from cython.cimports.holdfast.kernel.codes import (
    AMOUNT_OUT_OF_RANGE,
    AMOUNT_TOO_PRECISE,
    INVALID_AMOUNT,
    INVALID_CLIENT,
    INVALID_TX,
    MALFORMED_ROW,
    MINUS,
    MISSING_AMOUNT,
    NINE,
    PLUS,
    QUOTE,
    SPACE,
    TAB,
    UNDECIDED,
    UNKNOWN_TYPE,
    WITHDRAWAL,
    ZERO,
)
from cython.cimports.holdfast.kernel.csv.dialect_format import DialectFormat
from cython.cimports.holdfast.kernel.platform import HF_ONES, HF_TOP_BITS, cbytes, hf_check, hf_load_8
from cython.cimports.libc.stdint import INT64_MAX, UINT64_MAX, int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memchr, memcmp

# An amount while it is read: the units so far, and the state of the digits that are not kept.
Digits = cython.struct(
    units=uint64_t, overflow=cython.bint, count=cython.Py_ssize_t, next_digit=cython.int, rest=cython.bint
)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def decode_row(
    format: cython.pointer[cython.const[RowFormat]],
    text: cbytes,
    length: cython.Py_ssize_t,
    row: cython.pointer[Row],
) -> cython.int:
    """Decode a row without its line end; give UNDECIDED for a transaction or the code of a fault."""
    fields: Field[4]
    column: cython.int
    for column in range(4):
        fields[column].start = cython.NULL
        fields[column].length = 0
        fields[column].is_whole = False
    row.type = row.client = row.tx = row.amount = 0
    if not is_text(text, length) or not _split(format, text, length, fields):
        return MALFORMED_ROW
    return decode_fields(format, fields, row)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def decode_fields(
    format: cython.pointer[cython.const[RowFormat]],
    fields: cython.pointer[Field],
    row: cython.pointer[Row],
) -> cython.int:
    """Decode the four needed fields, of which those that are not there begin nowhere; the row is all zero."""
    if (
        fields[TYPE].start == cython.NULL
        or fields[CLIENT].start == cython.NULL
        or fields[TX].start == cython.NULL
    ):
        return MALFORMED_ROW
    row.type = read_type(fields[TYPE])
    if row.type == 0 and format.dialect != cython.NULL:
        row.type = _further_type(format.dialect, fields[TYPE])
    if row.type == 0:
        return UNKNOWN_TYPE
    if not read_id(fields[CLIENT], format.client_max, cython.address(row.client)):
        return INVALID_CLIENT
    if not read_id(fields[TX], format.tx_max, cython.address(row.tx)):
        return INVALID_TX
    if row.type > WITHDRAWAL:
        return UNDECIDED
    if fields[AMOUNT].length == 0:
        return MISSING_AMOUNT
    return read_amount(format, fields[AMOUNT], cython.address(row.amount))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_blank(text: cbytes, length: cython.Py_ssize_t) -> cython.bint:
    """Say whether the text has only spaces and tabs."""
    position: cython.Py_ssize_t
    for position in range(length):
        if text[position] != SPACE and text[position] != TAB:
            return False
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_blank(format: cython.pointer[cython.const[RowFormat]], byte: uint8_t) -> cython.bint:
    return byte == SPACE or byte == format.tab


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_text(text: cbytes, length: cython.Py_ssize_t) -> cython.bint:
    """Say whether the bytes are UTF-8 without NUL.

    That is RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF.
    """
    position: cython.Py_ssize_t = 0
    following: cython.Py_ssize_t
    low: uint8_t
    high: uint8_t
    while position < length:
        if length - position >= 8:
            # Mostly ASCII: eight bytes at once, none of them NUL and none above 127.
            word: uint64_t = hf_load_8(text + position)
            if ((word - HF_ONES) | word) & HF_TOP_BITS == 0:
                position += 8
                continue
        lead: uint8_t = text[position]
        position += 1
        if 0 < lead < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= lead <= 0xDF:
            following = 1
        elif 0xE0 <= lead <= 0xEF:
            following = 2
            low = 0xA0 if lead == 0xE0 else 0x80
            high = 0x9F if lead == 0xED else 0xBF
        elif 0xF0 <= lead <= 0xF4:
            following = 3
            low = 0x90 if lead == 0xF0 else 0x80
            high = 0x8F if lead == 0xF4 else 0xBF
        else:
            return False
        if length - position < following:
            return False
        # Only the first byte after the lead has a special range.
        if not low <= text[position] <= high:
            return False
        if following > 1 and text[position + 1] >> 6 != 2:
            return False
        if following > 2 and text[position + 2] >> 6 != 2:
            return False
        position += following
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _split(
    format: cython.pointer[cython.const[RowFormat]],
    text: cbytes,
    length: cython.Py_ssize_t,
    fields: cython.pointer[Field],
) -> cython.bint:
    """Find the needed fields by the header's columns; False for a misplaced quote or too many fields."""
    end: cbytes = text + length
    column: cython.Py_ssize_t = 0
    field: Field
    while True:
        if column == format.columns:
            return False
        text = _take_field(format, text, end, cython.address(field))
        if text == cython.NULL:
            return False
        if format.roles[column] <= AMOUNT:
            if format.decimal_sign == format.delimiter and not field.is_whole:
                # Where a row must have its last field, a comma too many is a field too many.
                field.is_whole = format.roles[format.columns - 1] <= AMOUNT or not _has_digits(
                    format, text, end
                )
            fields[format.roles[column]] = field
        if text == end:
            return True
        text += 1
        column += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _has_digits(format: cython.pointer[cython.const[RowFormat]], text: cbytes, end: cbytes) -> cython.bint:
    """Say whether the field after a delimiter, or after nothing, is digits without quotes: it could be decimals."""
    text += text < end
    while text < end and _is_blank(format, text[0]):
        text += 1
    start: cbytes = text
    while text < end and ZERO <= text[0] <= NINE:
        text += 1
    if text == start:
        return False
    while text < end and _is_blank(format, text[0]):
        text += 1
    return text == end or text[0] == format.delimiter


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_field(
    format: cython.pointer[cython.const[RowFormat]], text: cbytes, end: cbytes, field: cython.pointer[Field]
) -> cbytes:
    """Find one field's content; give the place of its delimiter or of the row's end, or NULL for a misplaced quote."""
    hf_check(text <= end)
    while text < end and _is_blank(format, text[0]):
        text += 1
    if text < end and text[0] == QUOTE:
        return _take_quoted_field(format, text + 1, end, field)
    field.start = text
    field.is_whole = False
    delimiter: uint8_t = format.delimiter
    while text < end and text[0] != delimiter:
        if text[0] == QUOTE:
            return cython.NULL
        text += 1
    field.length = _length_without_blanks(format, field.start, text)
    return text


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_quoted_field(
    format: cython.pointer[cython.const[RowFormat]], text: cbytes, end: cbytes, field: cython.pointer[Field]
) -> cbytes:
    """Find the content between quotes. Doubled quotes stay doubled: nothing valid has one either way."""
    field.start = text
    field.is_whole = True
    while True:
        text = cython.cast(cbytes, memchr(text, QUOTE, end - text))
        if text == cython.NULL:
            return cython.NULL
        if text + 1 < end and text[1] == QUOTE:
            text += 2
            continue
        break
    while field.start < text and _is_blank(format, field.start[0]):
        field.start += 1
    field.length = _length_without_blanks(format, field.start, text)
    text += 1
    while text < end and _is_blank(format, text[0]):
        text += 1
    return text if text == end or text[0] == format.delimiter else cython.NULL


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _length_without_blanks(
    format: cython.pointer[cython.const[RowFormat]], start: cbytes, end: cbytes
) -> cython.Py_ssize_t:
    while end > start and _is_blank(format, (end - 1)[0]):
        end -= 1
    return end - start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def trim(field: cython.pointer[Field]) -> cython.void:
    """Leave out the blanks around a field's content."""
    end: cbytes = field.start + field.length
    while field.start < end and is_blank(field.start, 1):
        field.start += 1
    while end > field.start and is_blank(end - 1, 1):
        end -= 1
    field.length = end - field.start


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_type(field: Field) -> cython.int:
    """Read a type in any case; 0 if it is not a type."""
    if _is_word(field, b"deposit", 7):
        return 1
    if _is_word(field, b"withdrawal", 10):
        return 2
    if _is_word(field, b"dispute", 7):
        return 3
    if _is_word(field, b"resolve", 7):
        return 4
    if _is_word(field, b"chargeback", 10):
        return 5
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _further_type(dialect: cython.pointer[cython.const[DialectFormat]], field: Field) -> cython.int:
    """Find a type by the words of a dialect, in any case of ASCII; 0 if it is none of them."""
    number: cython.int
    position: cython.Py_ssize_t
    for number in range(dialect.words):
        if field.length != dialect.word[number].length:
            continue
        for position in range(field.length):
            byte: uint8_t = field.start[position]
            if 65 <= byte <= 90:
                byte |= 0x20
            if byte != dialect.word[number].start[position]:
                break
        else:
            return dialect.word[number].type
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _is_word(field: Field, word: cython.p_char, length: cython.Py_ssize_t) -> cython.bint:
    position: cython.Py_ssize_t
    if field.length != length:
        return False
    for position in range(length):
        # The word has only letters, and only ASCII letters become equal to them with this bit.
        if field.start[position] | 0x20 != word[position]:
            return False
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_id(field: Field, largest: uint64_t, value: cython.pointer[uint64_t]) -> cython.bint:
    """Read digits as a number up to the largest, with any number of leading zeros."""
    number: uint64_t = 0
    position: cython.Py_ssize_t
    if field.length == 0:
        return False
    for position in range(field.length):
        digit: uint64_t = cython.cast(uint64_t, field.start[position]) - ZERO
        if digit > 9 or number > (UINT64_MAX - digit) // 10:
            return False
        number = number * 10 + digit
    if number > largest:
        return False
    value[0] = number
    return True


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_amount(
    format: cython.pointer[cython.const[RowFormat]], field: Field, amount: cython.pointer[int64_t]
) -> cython.int:
    """Read a plain decimal as units; give UNDECIDED or the code of its first fault."""
    text: cbytes = field.start
    end: cbytes = text + field.length
    digits: Digits
    if format.decimal_sign == format.delimiter and not field.is_whole:
        # This may be what is before the comma, and the next field what is after it.
        return INVALID_AMOUNT
    digits.units = digits.overflow = digits.count = digits.next_digit = digits.rest = 0
    negative: cython.bint = text[0] == MINUS
    if negative or text[0] == PLUS:
        text += 1
    if format.dialect == cython.NULL or format.dialect.separators == 0:
        text = _take_digits(text, end, INT64_MAX, cython.address(digits))
    else:
        text = _take_groups(format.dialect, text, end, cython.address(digits))
        if text == cython.NULL:
            return INVALID_AMOUNT
    places: cython.Py_ssize_t = 0
    if text < end and text[0] == format.decimal_sign:
        before: cython.Py_ssize_t = digits.count
        text = _take_digits(text + 1, end, format.decimals, cython.address(digits))
        places = min(digits.count - before, cython.cast(cython.Py_ssize_t, format.decimals))
    if text != end or digits.count == 0:
        return INVALID_AMOUNT
    while places < format.decimals:
        _append_digit(cython.address(digits), 0)
        places += 1
    if digits.next_digit or digits.rest:
        if format.excess_decimals == REFUSE:
            return AMOUNT_TOO_PRECISE
        if format.excess_decimals == HALF_EVEN and _rounds_up(cython.address(digits)):
            digits.units += 1
    if digits.overflow or digits.units > INT64_MAX:
        return AMOUNT_OUT_OF_RANGE
    amount[0] = -cython.cast(int64_t, digits.units) if negative else cython.cast(int64_t, digits.units)
    return UNDECIDED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_groups(
    dialect: cython.pointer[cython.const[DialectFormat]],
    text: cbytes,
    end: cbytes,
    digits: cython.pointer[Digits],
) -> cbytes:
    """Read digits, all together or in groups of three after a first one of up to three; NULL if they are grouped otherwise."""
    start: cbytes = text
    length: cython.Py_ssize_t
    text = _take_digits(text, end, INT64_MAX, digits)
    length = _separator(dialect, text, end)
    if length and not 1 <= text - start <= 3:
        return cython.NULL
    while length:
        start = text + length
        text = _take_digits(start, end, INT64_MAX, digits)
        if text - start != 3:
            return cython.NULL
        length = _separator(dialect, text, end)
    return text


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _separator(
    dialect: cython.pointer[cython.const[DialectFormat]], text: cbytes, end: cbytes
) -> cython.Py_ssize_t:
    """Give the length of the sign between thousands that comes next, 0 if none does."""
    number: cython.int
    for number in range(dialect.separators):
        length: cython.Py_ssize_t = dialect.separator[number].length
        if end - text >= length and memcmp(text, dialect.separator[number].start, length) == 0:
            return length
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_digits(text: cbytes, end: cbytes, kept_max: int64_t, digits: cython.pointer[Digits]) -> cbytes:
    """Read digits up to the first other byte; digits beyond the kept ones count only for rounding."""
    kept: int64_t = 0
    while text < end and ZERO <= text[0] <= NINE:
        digit: cython.int = text[0] - ZERO
        if kept < kept_max:
            _append_digit(digits, digit)
        elif kept == kept_max:
            digits.next_digit = digit
        elif digit:
            digits.rest = True
        kept += 1
        digits.count += 1
        text += 1
    return text


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _append_digit(digits: cython.pointer[Digits], digit: cython.int) -> cython.void:
    # One more digit after this many units exceeds 64 bits, whatever follows.
    if digits.units > cython.cast(uint64_t, INT64_MAX) // 10:
        digits.overflow = True
    else:
        digits.units = digits.units * 10 + digit


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _rounds_up(digits: cython.pointer[Digits]) -> cython.bint:
    """Say whether the digits that are not kept round the last kept one away from zero, half to even."""
    if digits.next_digit != 5:
        return digits.next_digit > 5
    return digits.rest or digits.units & 1 == 1
