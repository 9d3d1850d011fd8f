"""The decoder's fast path: objects as most programs write them.

A plain object has the keys type, client, tx and amount in this order, with no blank at all or one space after each colon and
comma, its ids as numbers, its amount as a number or a string, and no amount, null or an empty string if it needs none.

Keys are compared eight bytes at a time. Digits are loaded eight at a time; the first byte that is none tells how many there
are, and three multiplications make a number of them (SWAR). The only branches are those that nearly always go the same way.
Where the next object begins is found by a line end, sixteen bytes at a time, so that the processor reads several at once.

Objects that are not recognised are left to :mod:`row`, the complete path. Both give the same rows.
"""

import cython
from cython.cimports.holdfast.kernel.codes import (
    CLOSE_BRACE,
    COLON,
    COMMA,
    NEWLINE,
    POINT,
    QUOTE,
    RETURN,
    SPACE,
    WITHDRAWAL,
    ZERO,
)
from cython.cimports.holdfast.kernel.csv.plain import PlainColumns, PlainFormat
from cython.cimports.holdfast.kernel.platform import (
    HF_FOURS,
    HF_PAIRS,
    HF_PAST_NINE,
    HF_TOP_BITS,
    HF_ZEROS,
    cbytes,
    hf_check,
    hf_likely,
    hf_load_4,
    hf_load_8,
    hf_newline_bits,
    hf_trailing_zeros,
    hf_unlikely,
)
from cython.cimports.libc.stdint import uint64_t

# The types, found by the low four bits of their fifth letter, which differ: eight bytes of name and quote, up to three more,
# and the bits to set so that letters are compared without their case.
TypeName = cython.struct(
    head=cython.ulonglong,
    head_fold=cython.ulonglong,
    tail=cython.uint,
    tail_fold=cython.uint,
    tail_mask=cython.uint,
    type=cython.ushort,
    length=cython.ushort,
)
type_names = cython.declare(TypeName[16])
# The values of one object.
PlainObject = cython.struct(type=cython.int, client=uint64_t, tx=uint64_t, amount=cython.longlong)
# Where an object is being read, and how it is spaced: 1 or 0 spaces after each comma and colon, and what is before a key and
# before a value.
Place = cython.struct(at=cbytes, spaces=cython.Py_ssize_t, comma=uint64_t, colon=uint64_t)
# Variables, so that each multiplication remains one: constants would become a handful of shifts and additions.
to_pairs = cython.declare(cython.ulonglong)
to_fours = cython.declare(cython.ulonglong)
to_eight = cython.declare(cython.ulonglong)
powers = cython.declare(cython.ulonglong[8])
start_key = cython.declare(cython.ulonglong)
client_key = cython.declare(cython.ulonglong)
amount_key = cython.declare(cython.ulonglong)
tx_key = cython.declare(cython.uint)
null_word = cython.declare(cython.uint)


@cython.cfunc
def _fill_tables():
    global to_pairs, to_fours, to_eight, start_key, client_key, amount_key, tx_key, null_word  # C variables of this module
    to_pairs, to_fours, to_eight = 1 + (10 << 8), 1 + (100 << 16), 1 + (10000 << 32)
    start_key = int.from_bytes(b'{"type":', "little")
    client_key = int.from_bytes(b'"client"', "little")
    amount_key = int.from_bytes(b'"amount"', "little")
    tx_key = int.from_bytes(b'"tx"', "little")
    null_word = int.from_bytes(b"null", "little")
    slot: cython.int
    powers[0] = 1
    for slot in range(1, 8):
        powers[slot] = 10 * powers[slot - 1]
    for slot in range(16):
        # No text equals this name once its letters are folded, so that an empty slot matches nothing.
        type_names[slot] = TypeName(0, 0xFFFFFFFFFFFFFFFF, 0, 0, 0, 0, 0)
    for number, name in enumerate((b'deposit"', b'withdrawal"', b'dispute"', b'resolve"', b'chargeback"'), 1):
        head, tail = name[:8], name[8:]
        type_names[name[4] & 15] = TypeName(
            int.from_bytes(head, "little"),
            int.from_bytes(bytes(0x20 * (byte != QUOTE) for byte in head), "little"),
            int.from_bytes(tail, "little"),
            int.from_bytes(bytes(0x20 * (byte != QUOTE) for byte in tail), "little"),
            (1 << 8 * len(tail)) - 1,
            number,
            len(name),
        )


_fill_tables()


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _other_bits(word: uint64_t) -> uint64_t:
    """Give bits of bytes that are no digits, the lowest of which is right; the bytes were XORed with "0"."""
    return ((word + HF_PAST_NINE) | word) & HF_TOP_BITS


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _eight_digits(word: uint64_t) -> uint64_t:
    """Give the number of eight digits, the first one in the lowest byte: join pairs, then fours, then all."""
    word = (word * to_pairs >> 8) & HF_PAIRS
    word = (word * to_fours >> 16) & HF_FOURS
    return word * to_eight >> 32


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_number(place: cython.pointer[Place], value: cython.pointer[uint64_t]) -> cython.bint:
    """Read 1 to 15 digits, without a zero in front; False if the complete path must read the object."""
    at: cbytes = place.at
    word: uint64_t = hf_load_8(at) ^ HF_ZEROS
    others: uint64_t = _other_bits(word)
    length: cython.Py_ssize_t
    if hf_unlikely(others == 0):
        value[0] = _eight_digits(word)
        word = hf_load_8(at + 8) ^ HF_ZEROS
        others = _other_bits(word)
        if others == 0 or at[0] == ZERO:
            return False
        length = hf_trailing_zeros(others) >> 3
        place.at = at + 8 + length
        if length:
            value[0] = value[0] * powers[length] + _eight_digits(word << (64 - 8 * length))
        return True
    length = hf_trailing_zeros(others) >> 3
    place.at = at + length
    value[0] = _eight_digits(word << (-8 * length & 63))
    return length == 1 or (length != 0 and not hf_unlikely(at[0] == ZERO))


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_key(place: cython.pointer[Place], key: uint64_t) -> cython.bint:
    """Take a comma, a key of eight bytes with its quotes, and its colon; False if something else is there."""
    at: cbytes = place.at
    spaces: cython.Py_ssize_t = place.spaces
    place.at = at + 10 + 2 * spaces
    return not (
        (hf_load_8(at + 1 + spaces) ^ key)
        | (at[0] ^ COMMA)
        | (at[spaces] ^ place.comma)
        | (at[9 + spaces] ^ COLON)
        | (at[9 + 2 * spaces] ^ place.colon)
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_tx_key(place: cython.pointer[Place]) -> cython.bint:
    """Do the same for the key of four bytes."""
    at: cbytes = place.at
    spaces: cython.Py_ssize_t = place.spaces
    place.at = at + 6 + 2 * spaces
    return not (
        cython.cast(uint64_t, hf_load_4(at + 1 + spaces) ^ tx_key)
        | (at[0] ^ COMMA)
        | (at[spaces] ^ place.comma)
        | (at[5 + spaces] ^ COLON)
        | (at[5 + 2 * spaces] ^ place.colon)
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_type(place: cython.pointer[Place]) -> cython.int:
    """Take what an object begins with, up to and with its type in any case; 0 if something else is there."""
    at: cbytes = place.at
    if hf_unlikely(hf_load_8(at) != start_key):
        return 0
    place.spaces = at[8] == SPACE
    place.comma = SPACE if place.spaces else COMMA
    place.colon = SPACE if place.spaces else COLON
    at += 8 + place.spaces
    name: cython.pointer[cython.const[TypeName]] = cython.address(type_names[at[5] & 15])
    if hf_unlikely(
        cython.cast(uint64_t, at[0] ^ QUOTE)
        | ((hf_load_8(at + 1) | name.head_fold) ^ name.head)
        | (((hf_load_4(at + 9) | name.tail_fold) & name.tail_mask) ^ name.tail)
    ):
        return 0
    place.at = at + 1 + name.length
    return name.type


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_amount(
    place: cython.pointer[Place],
    form: cython.pointer[cython.const[PlainFormat]],
    units: cython.pointer[cython.longlong],
) -> cython.bint:
    """Take an amount without a sign, as a number or a string; False if the complete path must read the object."""
    whole: uint64_t
    quotes: cython.Py_ssize_t = place.at[0] == QUOTE
    place.at += quotes
    if hf_unlikely(not _take_number(place, cython.address(whole))) or hf_unlikely(whole > form.whole_max):
        return False
    at: cbytes = place.at
    # The same work with or without decimals, so that there is no branch to predict.
    has_point: cython.Py_ssize_t = at[0] == POINT
    word: uint64_t = hf_load_8(at + 1) ^ HF_ZEROS
    others: uint64_t = _other_bits(word)
    if hf_unlikely(others == 0):
        return False
    length: uint64_t = (hf_trailing_zeros(others) >> 3) & -has_point
    # A point has digits after it.
    if hf_unlikely(length > form.decimals_max) or hf_unlikely(has_point != (length != 0)):
        return False
    word &= (cython.cast(uint64_t, 1) << 8 * length) - 1
    units[0] = whole * form.scale + _eight_digits(word << form.decimals_shift) * form.decimals_scale
    at += has_point + cython.cast(cython.Py_ssize_t, length)
    place.at = at + quotes
    return not quotes or at[0] == QUOTE


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _skip_amount(place: cython.pointer[Place]) -> cython.bint:
    """Take the amount of an object that needs none: it is not there, null, or an empty string."""
    if place.at[0] == CLOSE_BRACE:
        return True
    if not _take_key(place, amount_key):
        return False
    if hf_load_4(place.at) == null_word:
        place.at += 4
        return True
    if place.at[0] == QUOTE and place.at[1] == QUOTE:
        place.at += 2
        return True
    return False


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_object(
    at: cbytes, form: cython.pointer[cython.const[PlainFormat]], row: cython.pointer[PlainObject]
) -> cbytes:
    """Read one object; give what follows its line end, or NULL if the complete path must read it."""
    place: Place
    place.at = at
    row.type = _take_type(cython.address(place))
    if hf_unlikely(row.type == 0):
        return cython.NULL
    if hf_unlikely(not _take_key(cython.address(place), client_key)) or hf_unlikely(
        not _take_number(cython.address(place), cython.address(row.client))
    ):
        return cython.NULL
    if hf_unlikely(not _take_tx_key(cython.address(place))) or hf_unlikely(
        not _take_number(cython.address(place), cython.address(row.tx))
    ):
        return cython.NULL
    if hf_unlikely(row.client > form.client_max) or hf_unlikely(row.tx > form.tx_max):
        return cython.NULL
    row.amount = 0
    if row.type > WITHDRAWAL:
        if hf_unlikely(not _skip_amount(cython.address(place))):
            return cython.NULL
    elif hf_unlikely(not _take_key(cython.address(place), amount_key)) or hf_unlikely(
        not _take_amount(cython.address(place), form, cython.address(row.amount))
    ):
        return cython.NULL
    end: cbytes = place.at + 1
    if hf_unlikely(place.at[0] != CLOSE_BRACE):
        return cython.NULL
    end += end[0] == RETURN
    hf_check(end + 1 - at <= REACH)
    return end + 1 if end[0] == NEWLINE else cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def decode_plain_objects(
    settings: cython.pointer[cython.const[PlainFormat]],
    text: cython.pointer[cbytes],
    last_start: cbytes,
    columns: cython.pointer[cython.const[PlainColumns]],
    offset: uint64_t,
    rows_max: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Decode objects until one is not plain.

    Args:
        settings: The widths.
        text: The beginning of the first object; afterwards, the beginning of the first one that was not decoded.
        last_start: The last byte at which an object may begin: REACH bytes after it may be read.
        columns: Take the rows.
        offset: The byte offset of the first object.
        rows_max: How many rows there is room for.

    Returns:
        How many objects were decoded.
    """
    # Local copies: as far as the compiler knows, writing to the columns could change the originals.
    form: PlainFormat = settings[0]
    to: PlainColumns = columns[0]
    at: cbytes = text[0]
    values: PlainObject
    row: cython.Py_ssize_t = 0
    offset -= cython.cast(uint64_t, at)
    while row < rows_max and at <= last_start:
        line_bits: uint64_t = hf_newline_bits(at + SHORTEST)
        after: cbytes = _take_object(at, cython.address(form), cython.address(values))
        if hf_unlikely(after == cython.NULL):
            break
        to.types[row] = values.type
        to.clients[row] = values.client
        to.txs[row] = values.tx
        to.amounts[row] = values.amount
        to.offsets[row] = offset + cython.cast(uint64_t, at)
        row += 1
        # Found without reading the object, so that the processor begins with the next one before it is done with this one.
        # Both are the same place, unless another thread changes the text meanwhile; both are within REACH.
        at = at + SHORTEST + 1 + hf_trailing_zeros(line_bits) if hf_likely(line_bits != 0) else after
    text[0] = at
    return row
