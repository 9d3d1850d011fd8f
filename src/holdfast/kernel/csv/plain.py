"""The decoder's fast path: plain rows, many at a time.

A plain row is ``type,client,tx,amount`` in this order, without quotes, with no space after its commas or one after each, and
with or without its last comma if it needs no amount.

First, sixteen bytes are compared at once, which gives one bit for each byte of the row that may end a field; bit scans then find
the ends of fields. Reading a row from field to field instead, each beginning where the one before it ended, would be one long
chain of steps that wait for each other; this way the processor reads several rows and fields at the same time. The digits of a
field are loaded eight at a time, checked all at once, and turned into a number with three multiplications (SWAR). The only
branches are those that nearly always go the same way.

Rows that are not recognised are left to :mod:`row`, the complete path. Both give the same rows.
"""

import cython
from cython.cimports.holdfast.kernel.codes import COMMA, POINT, RETURN, SPACE, WITHDRAWAL
from cython.cimports.holdfast.kernel.platform import (
    HF_FOURS,
    HF_LAST_BITS,
    HF_PAIRS,
    HF_PAST_EIGHT,
    HF_PAST_NINE,
    HF_TOP_BITS,
    HF_ZEROS,
    cbytes,
    hf_load_4,
    hf_load_8,
    hf_row_bits,
    hf_trailing_zeros,
    hf_unlikely,
)
from cython.cimports.libc.stdint import INT64_MAX, uint64_t

# The words a row begins with, found by the low four bits of their fifth letter, which differ: eight bytes of type and comma,
# up to four more, and the bits to set so that letters are compared without their case.
Word = cython.struct(
    head=cython.ulonglong,
    head_fold=cython.ulonglong,
    tail=cython.uint,
    tail_fold=cython.uint,
    tail_mask=cython.uint,
    type=cython.ushort,
    length=cython.ushort,
)
words = cython.declare(Word[16])
# The values of one row.
PlainRow = cython.struct(type=cython.int, client=uint64_t, tx=uint64_t, amount=cython.longlong)
# Variables, so that each multiplication remains one: constants would become a handful of shifts and additions.
to_pairs = cython.declare(cython.ulonglong)
to_fours = cython.declare(cython.ulonglong)
to_eight = cython.declare(cython.ulonglong)


@cython.cfunc
def _fill_tables():
    global to_pairs, to_fours, to_eight  # C variables of this module
    to_pairs, to_fours, to_eight = 1 + (10 << 8), 1 + (100 << 16), 1 + (10000 << 32)
    slot: cython.int
    for slot in range(16):
        # No text equals this word once its letters are folded, so that an empty slot matches nothing.
        words[slot] = Word(0, 0xFFFFFFFFFFFFFFFF, 0, 0, 0, 0, 0)
    for number, name in enumerate((b"deposit,", b"withdrawal,", b"dispute,", b"resolve,", b"chargeback,"), 1):
        head, tail = name[:8], name[8:]
        words[name[4] & 15] = Word(
            int.from_bytes(head, "little"),
            int.from_bytes(bytes(0x20 * (byte != COMMA) for byte in head), "little"),
            int.from_bytes(tail, "little"),
            int.from_bytes(bytes(0x20 * (byte != COMMA) for byte in tail), "little"),
            (1 << 8 * len(tail)) - 1,
            number,
            len(name),
        )


_fill_tables()


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _has_others(word: uint64_t) -> cython.bint:
    """Say whether a word whose bytes were XORed with "0" has anything but digits."""
    return ((word + HF_PAST_NINE) | word) & HF_TOP_BITS != 0


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
def _last_digits(end: cbytes, length: cython.Py_ssize_t) -> uint64_t:
    """Load the 1 to 8 digits before a byte, with zeros in front."""
    shift: cython.int = (-8 * length) & 63
    return (hf_load_8(end - 8) ^ HF_ZEROS) >> shift << shift


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_word(text: cbytes, word: cython.pointer[cython.const[Word]]) -> cython.bint:
    """Say whether a row begins with this word, in any case."""
    return not (
        ((hf_load_8(text) | word.head_fold) ^ word.head)
        | (((hf_load_4(text + 8) | word.tail_fold) & word.tail_mask) ^ word.tail)
    )


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_blank(text: cbytes, end: cbytes) -> cython.bint:
    """Say whether there is nothing here, or one space."""
    return text == end or (text[0] == SPACE and text + 1 == end)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _number(end: cbytes, length: cython.Py_ssize_t, value: cython.pointer[uint64_t]) -> cython.bint:
    """Read the 1 to 16 digits before a byte; False if the complete path must read the row."""
    word: uint64_t
    if hf_unlikely(cython.cast(uint64_t, length - 1) > 7):
        if cython.cast(uint64_t, length - 9) > 7:
            return False
        word = _last_digits(end - 8, length - 8)
        last: uint64_t = hf_load_8(end - 8) ^ HF_ZEROS
        value[0] = _eight_digits(word) * 100_000_000 + _eight_digits(last)
        return not (_has_others(word) or _has_others(last))
    word = _last_digits(end, length)
    value[0] = _eight_digits(word)
    return not _has_others(word)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _amount(
    start: cbytes,
    point: cbytes,
    end: cbytes,
    form: cython.pointer[cython.const[PlainFormat]],
    units: cython.pointer[cython.longlong],
) -> cython.bint:
    """Read an amount without a sign; False if the complete path must read the row.

    Args:
        start: Its first byte.
        point: Its first byte that is not a digit: its point, or its end.
        end: The first byte after it.
        form: The widths.
        units: Takes the amount.
    """
    whole: uint64_t
    if hf_unlikely(not _number(point, point - start, cython.address(whole))) or hf_unlikely(
        whole > form.whole_max
    ):
        return False
    # The same work with or without decimals, so that there is no branch to predict.
    has_point: cython.int = point[0] == POINT
    length: uint64_t = end - point - has_point
    if hf_unlikely(has_point != (point != end)) or hf_unlikely(length > form.decimals_max):
        return False
    word: uint64_t = (hf_load_8(point + 1) ^ HF_ZEROS) & ((cython.cast(uint64_t, 1) << 8 * length) - 1)
    units[0] = whole * form.scale + _eight_digits(word << form.decimals_shift) * form.decimals_scale
    return not hf_unlikely(_has_others(word))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def set_plain_format(
    format: cython.pointer[PlainFormat], client_max: uint64_t, tx_max: uint64_t, decimals: cython.int
) -> cython.void:
    """Say how wide ids are and how many decimals an amount keeps, 0 to 9."""
    scale: uint64_t = 1
    for _ in range(decimals):
        scale *= 10
    format.client_max = client_max
    format.tx_max = tx_max
    format.scale = scale
    format.whole_max = INT64_MAX // scale - 1
    # One load has seven decimals beside the point; rows with more of them take the complete path.
    format.decimals_max = min(decimals, 7)
    # Always read eight digits: zeros in front put the first digit into the right place.
    format.decimals_shift = 8 * (8 - decimals) & 63 if decimals < 9 else 0
    format.decimals_scale = 10 if decimals == 9 else 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _plain_row(
    at: cbytes,
    line_end: cbytes,
    end_bits: uint64_t,
    form: cython.pointer[cython.const[PlainFormat]],
    row: cython.pointer[PlainRow],
) -> cython.bint:
    """Read one row; False if the complete path must read it.

    Args:
        at: Its first byte.
        line_end: Its line end.
        end_bits: A bit for each byte that may end a field.
        form: The widths.
        row: Takes its values.
    """
    word: cython.pointer[Word] = cython.address(words[at[4] & 15])
    if hf_unlikely(not _is_word(at, word)):
        return False
    # Only now that the row is known to have a type: an empty row has no last byte.
    row_end: cbytes = line_end - ((line_end - 1)[0] == RETURN)
    # All positions below count from the byte after the type's comma.
    field: cbytes = at + word.length
    # The text may belong to Python code that changes it, so that the bits no longer match it. With these extra bits they never
    # run out, so that what is read ends within REACH.
    end_bits = end_bits >> word.length | HF_LAST_BITS
    spaces: cython.int = field[0] == SPACE
    if spaces:
        end_bits &= end_bits - 1
    client_end: cython.Py_ssize_t = hf_trailing_zeros(end_bits)
    end_bits &= end_bits - 1
    if hf_unlikely(field[client_end] != COMMA) or hf_unlikely(
        not _number(field + client_end, client_end - spaces, cython.address(row.client))
    ):
        return False
    if spaces:
        if hf_unlikely(field[client_end + 1] != SPACE):
            return False
        end_bits &= end_bits - 1
    tx_end: cython.Py_ssize_t = hf_trailing_zeros(end_bits)
    end_bits &= end_bits - 1
    if hf_unlikely(not _number(field + tx_end, tx_end - client_end - 1 - spaces, cython.address(row.tx))):
        return False
    row.type = word.type
    row.amount = 0
    if hf_unlikely(row.client > form.client_max) or hf_unlikely(row.tx > form.tx_max):
        return False
    field += tx_end
    if word.type > WITHDRAWAL:
        return field == row_end or (field[0] == COMMA and _is_blank(field + 1, row_end))
    if hf_unlikely(field[0] != COMMA) or (spaces and hf_unlikely(field[1] != SPACE)):
        return False
    if spaces:
        end_bits &= end_bits - 1
    point: cbytes = field + (hf_trailing_zeros(end_bits) - tx_end)
    return _amount(field + 1 + spaces, point, row_end, form, cython.address(row.amount))


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def decode_plain_rows(
    settings: cython.pointer[cython.const[PlainFormat]],
    text: cython.pointer[cbytes],
    last_start: cbytes,
    columns: cython.pointer[cython.const[PlainColumns]],
    offset: uint64_t,
    rows_max: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Decode rows until one is not plain.

    Args:
        settings: The widths.
        text: The beginning of the first row; afterwards, the beginning of the first row that was not decoded.
        last_start: The last byte at which a row may begin: REACH bytes after it may be read.
        columns: Take the rows.
        offset: The byte offset of the first row.
        rows_max: How many rows there is room for.

    Returns:
        How many rows were decoded.
    """
    # Local copies: as far as the compiler knows, writing to the columns could change the originals.
    form: PlainFormat = settings[0]
    to: PlainColumns = columns[0]
    at: cbytes = text[0]
    values: PlainRow
    row: cython.Py_ssize_t = 0
    line_bits: uint64_t  # one for each line end in the next bytes,
    end_bits: uint64_t  # and one for each byte that may end a field
    offset -= cython.cast(uint64_t, at)
    while row < rows_max and at <= last_start:
        hf_row_bits(at, cython.address(line_bits), cython.address(end_bits))
        # No plain row is shorter, so its last byte is not before the text, even if Python code changes the text.
        line_bits &= HF_PAST_EIGHT
        if hf_unlikely(line_bits == 0):
            break
        line_end: cbytes = at + hf_trailing_zeros(line_bits)
        if hf_unlikely(not _plain_row(at, line_end, end_bits, cython.address(form), cython.address(values))):
            break
        to.types[row] = values.type
        to.clients[row] = values.client
        to.txs[row] = values.tx
        to.amounts[row] = values.amount
        to.offsets[row] = offset + cython.cast(uint64_t, at)
        row += 1
        at = line_end + 1
    text[0] = at
    return row
