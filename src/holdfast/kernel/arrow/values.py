"""From the columns of an Arrow table to those of a batch: types, ids and amounts, a piece at a time.

The memory is somebody else's. arrays.py has checked lengths and offsets of arrays; each offset of a text and each index of a
dictionary is checked when it is used. Each is read once, so that what was checked is what is used, even if somebody changes it
meanwhile. A producer that lies gets an error; the wrong value of a row is an
outcome of that row.
"""

import cython
from cython.cimports.holdfast.kernel.arrow.arrays import (
    DECIMALS,
    INTEGERS,
    NO_COLUMN,
    NULLS,
    VIEWS,
    Items,
    TableColumn,
    hf_units,
    offset_at,
)
from cython.cimports.holdfast.kernel.codes import (
    AMOUNT_OUT_OF_RANGE,
    AMOUNT_TOO_PRECISE,
    CHARGEBACK,
    MISSING_AMOUNT,
    UNDECIDED,
    UNKNOWN_TYPE,
    WITHDRAWAL,
)
from cython.cimports.holdfast.kernel.csv.row import (
    AMOUNT,
    CLIENT,
    TYPE,
    Field,
    RowFormat,
    read_amount,
    read_id,
    read_type,
    trim,
)
from cython.cimports.holdfast.kernel.platform import cbytes, hf_load_4, hf_load_8
from cython.cimports.libc.stdint import (
    INT64_MAX,
    INT64_MIN,
    int8_t,
    int16_t,
    int32_t,
    int64_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
)
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy

ALL_GOOD = cython.declare(int64_t, -1)
LIE = cython.declare(cython.int, -1)
"""An offset or an index leads outside of what the producer said it has."""
# Words of types, eight letters at a time.
lower_8 = cython.declare(uint64_t, 0x2020202020202020)
withdraw = cython.declare(uint64_t, int.from_bytes(b"withdraw", "little"))
thdrawal = cython.declare(uint64_t, int.from_bytes(b"thdrawal", "little"))
chargeba = cython.declare(uint64_t, int.from_bytes(b"chargeba", "little"))
argeback = cython.declare(uint64_t, int.from_bytes(b"argeback", "little"))
TOP_BIT = cython.declare(uint64_t, 1 << 63)

# --------------------------------------------------------------------------------------------------------------- single items


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _integer_at(start: cbytes, item_bytes: cython.int, is_signed: cython.bint, number: int64_t) -> uint64_t:
    """Give an integer of any width, sign and all, as 64 bits."""
    one: uint8_t
    two: uint16_t
    four: uint32_t
    eight: uint64_t
    if item_bytes == 8:
        memcpy(cython.address(eight), start + 8 * number, 8)
        return eight
    if item_bytes == 4:
        memcpy(cython.address(four), start + 4 * number, 4)
        return cython.cast(uint64_t, cython.cast(int64_t, cython.cast(int32_t, four))) if is_signed else four
    if item_bytes == 2:
        memcpy(cython.address(two), start + 2 * number, 2)
        return cython.cast(uint64_t, cython.cast(int64_t, cython.cast(int16_t, two))) if is_signed else two
    one = start[number]
    return cython.cast(uint64_t, cython.cast(int64_t, cython.cast(int8_t, one))) if is_signed else one


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_null(items: cython.pointer[cython.const[Items]], number: int64_t) -> cython.bint:
    bit: int64_t = items.validity_offset + number
    return items.validity != cython.NULL and not items.validity[bit >> 3] >> (bit & 7) & 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_row_null(column: cython.pointer[cython.const[TableColumn]], row: int64_t) -> cython.bint:
    bit: int64_t = column.rows_validity_offset + row
    return column.rows_validity != cython.NULL and not column.rows_validity[bit >> 3] >> (bit & 7) & 1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def item_of(column: cython.pointer[cython.const[TableColumn]], row: int64_t) -> int64_t:
    """Give the item of a row; -1 if there is none, -2 if its index leads outside of the dictionary."""
    item: int64_t = row
    if _is_row_null(column, row):
        return -1
    if column.index_bytes:
        if _is_null(cython.address(column.indices), row):
            return -1
        index: uint64_t = _integer_at(column.indices.start, column.index_bytes, column.index_is_signed, row)
        if index >= cython.cast(uint64_t, column.items.count):
            return -2
        item = cython.cast(int64_t, index)
    return -1 if column.kind == NULLS or _is_null(cython.address(column.items), item) else item


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def find_text(
    column: cython.pointer[cython.const[TableColumn]], item: int64_t, field: cython.pointer[Field]
) -> cython.bint:
    """Find the text of an item; False if the producer lies about where it is."""
    if column.kind == VIEWS:
        return _find_view(cython.address(column.items), item, field)
    begin: int64_t = offset_at(column.items.start, column.item_bytes, item)
    end: int64_t = offset_at(column.items.start, column.item_bytes, item + 1)
    field.start = column.items.text + begin
    field.length = end - begin
    return 0 <= begin <= end <= column.items.text_bytes


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _find_view(
    items: cython.pointer[cython.const[Items]], item: int64_t, field: cython.pointer[Field]
) -> cython.bint:
    view: cbytes = items.start + VIEW_BYTES * item
    parts: int32_t[4]
    memcpy(parts, view, VIEW_BYTES)
    length: int32_t = parts[0]
    field.length = length
    field.start = view + 4
    if 0 <= length <= VIEW_INLINE_MAX:
        return True
    piece: int32_t = parts[2]
    begin: int64_t = parts[3]
    if length < 0 or begin < 0 or not 0 <= piece < items.piece_count:
        return False
    field.start = cython.cast(cbytes, items.pieces[piece])
    if field.start == cython.NULL or begin + length > items.piece_bytes[piece]:
        return False
    field.start += begin
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _type_at(column: cython.pointer[cython.const[TableColumn]], item: int64_t) -> cython.int:
    """Give a type, 0 for none of the five, or LIE."""
    field: Field
    if column.kind == INTEGERS:
        type_: uint8_t = column.items.start[item]
        return type_ if type_ <= CHARGEBACK else 0
    if not find_text(column, item, cython.address(field)):
        return LIE
    found: cython.int = _common_type(field)
    if found == 0:
        trim(cython.address(field))
        found = read_type(field)
    return found


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _common_type(field: Field) -> cython.int:
    """Give a type that has no blanks around it; 0 for any other text. Only letters become lower-case letters by this bit."""
    if field.length == 7:
        first: uint32_t = hf_load_4(field.start) | LOWER_4
        last: uint32_t = hf_load_4(field.start + 3) | LOWER_4
        if first == DEPO:
            return 1 if last == OSIT else 0
        if first == DISP:
            return 3 if last == PUTE else 0
        return 4 if first == RESO and last == OLVE else 0
    if field.length == 10:
        begin: uint64_t = hf_load_8(field.start) | lower_8
        end: uint64_t = hf_load_8(field.start + 2) | lower_8
        if begin == withdraw:
            return 2 if end == thdrawal else 0
        return 5 if begin == chargeba and end == argeback else 0
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _id_at(
    column: cython.pointer[cython.const[TableColumn]],
    item: int64_t,
    largest: uint64_t,
    value: cython.pointer[uint64_t],
) -> cython.int:
    """Read an id: 1, or 0 if it is none, or LIE."""
    field: Field
    value[0] = 0
    if column.kind == INTEGERS:
        number: uint64_t = _integer_at(column.items.start, column.item_bytes, column.is_signed, item)
        if number > largest or (column.is_signed and number & TOP_BIT):
            return 0
        value[0] = number
        return 1
    if not find_text(column, item, cython.address(field)):
        return LIE
    trim(cython.address(field))
    return read_id(field, largest, value)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _amount_at(
    column: cython.pointer[cython.const[TableColumn]],
    item: int64_t,
    format: cython.pointer[cython.const[RowFormat]],
    units: cython.pointer[int64_t],
) -> cython.int:
    """Read an amount: UNDECIDED, its code, or LIE."""
    field: Field
    fault: cython.int
    units[0] = 0
    if column.kind == DECIMALS:
        fault = hf_units(
            column.items.start + item * column.item_bytes,
            column.item_bytes,
            cython.address(column.scale),
            format.excess_decimals,
            units,
        )
        if fault == 0:
            return UNDECIDED
        return AMOUNT_TOO_PRECISE if fault == 1 else AMOUNT_OUT_OF_RANGE
    if column.kind == INTEGERS:
        number: uint64_t = _integer_at(column.items.start, column.item_bytes, column.is_signed, item)
        if not column.is_signed and number > cython.cast(uint64_t, INT64_MAX):
            return AMOUNT_OUT_OF_RANGE
        if cython.cast(int64_t, number) == INT64_MIN:
            return AMOUNT_OUT_OF_RANGE
        units[0] = cython.cast(int64_t, number)
        return UNDECIDED
    if not find_text(column, item, cython.address(field)):
        return LIE
    trim(cython.address(field))
    if field.length == 0:
        return MISSING_AMOUNT
    return read_amount(format, field, units)


# --------------------------------------------------------------------------------------------------------------- dictionaries


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def know_dictionary(
    column: cython.pointer[TableColumn],
    role: cython.int,
    format: cython.pointer[cython.const[RowFormat]],
    rows: int64_t,
) -> cython.int:
    """Read a dictionary's items once, unless it has more of them than there are rows; 1 if it lies, -1 without memory."""
    item: int64_t
    units: int64_t
    count: int64_t = column.items.count
    code: cython.int = 0
    if column.index_bytes == 0 or count > max(rows, cython.cast(int64_t, SMALL_DICTIONARY)):
        return 0
    column.known = cython.cast(cython.pointer[uint64_t], malloc(9 * count or 1))
    if column.known == cython.NULL:
        return -1
    column.known_codes = cython.cast(cython.pointer[uint8_t], column.known + count)
    for item in range(count):
        column.known[item] = 0
        if column.kind == NULLS or _is_null(cython.address(column.items), item):
            # What is not there is no type, no id, and a missing amount.
            code = MISSING_AMOUNT if role == AMOUNT else 1
        elif role == TYPE:
            code = _type_at(column, item)
            column.known[item] = max(0, code)
            code = LIE if code < 0 else code == 0
        elif role == AMOUNT:
            code = _amount_at(column, item, format, cython.address(units))
            column.known[item] = cython.cast(uint64_t, units)
        else:
            largest: uint64_t = format.client_max if role == CLIENT else format.tx_max
            code = _id_at(column, item, largest, column.known + item)
            code = LIE if code < 0 else code == 0
        if code < 0:
            return 1
        column.known_codes[item] = cython.cast(uint8_t, code)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def forget_dictionary(column: cython.pointer[TableColumn]) -> cython.void:
    """Free what was known of a dictionary."""
    free(column.known)
    column.known = cython.NULL


# ------------------------------------------------------------------------------------------------------------ pieces of columns


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_types(
    column: cython.pointer[TableColumn],
    first: int64_t,
    rows: cython.Py_ssize_t,
    types: cython.pointer[uint8_t],
    outcomes: cython.pointer[uint8_t],
) -> int64_t:
    """Read the types of some rows, and write the codes of those that have none; give a row that is a lie, or ALL_GOOD."""
    row: cython.Py_ssize_t
    item: int64_t
    type_: cython.int
    for row in range(rows):
        item = item_of(column, first + row) if _needs_look(column) else first + row
        if item == -2:
            return first + row
        if item < 0:
            type_ = 0
        elif column.known != cython.NULL:
            type_ = cython.cast(cython.int, column.known[item])
        else:
            type_ = _type_at(column, item)
        if type_ < 0:
            return first + row
        types[row] = cython.cast(uint8_t, type_)
        if type_ == 0:
            outcomes[row] = UNKNOWN_TYPE
    return ALL_GOOD


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _needs_look(column: cython.pointer[cython.const[TableColumn]]) -> cython.bint:
    """Say whether an item is anything else than the row of its number."""
    return (
        column.index_bytes != 0
        or column.items.validity != cython.NULL
        or column.rows_validity != cython.NULL
        or column.kind == NULLS
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_ids(
    column: cython.pointer[TableColumn],
    first: int64_t,
    rows: cython.Py_ssize_t,
    largest: uint64_t,
    code: uint8_t,
    ids: cython.pointer[uint64_t],
    outcomes: cython.pointer[uint8_t],
) -> int64_t:
    """Read the ids of some rows as :func:`read_types` reads types; the code is that of a row without a valid one."""
    row: cython.Py_ssize_t
    item: int64_t
    found: cython.int
    if column.kind == INTEGERS and not _needs_look(column) and _copy_ids(column, first, rows, largest, ids):
        return ALL_GOOD
    for row in range(rows):
        item = item_of(column, first + row)
        found = 0
        if item >= 0:
            if column.known != cython.NULL:
                found = column.known_codes[item] == 0
                ids[row] = column.known[item]
            else:
                found = _id_at(column, item, largest, ids + row)
        if item == -2 or found < 0:
            return first + row
        if found == 0:
            ids[row] = 0
            if outcomes[row] == UNDECIDED:
                outcomes[row] = code
    return ALL_GOOD


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_ids(
    column: cython.pointer[cython.const[TableColumn]],
    first: int64_t,
    rows: cython.Py_ssize_t,
    largest: uint64_t,
    ids: cython.pointer[uint64_t],
) -> cython.bint:
    """Copy integers as they are; say whether all of them are valid ids."""
    row: cython.Py_ssize_t
    too_large: uint64_t = ~largest | (TOP_BIT if column.is_signed else 0)
    found: uint64_t = 0
    start: cbytes = column.items.start + first * column.item_bytes
    if column.item_bytes == 8:
        memcpy(ids, start, 8 * rows)
    elif column.item_bytes == 4 and not column.is_signed:
        for row in range(rows):
            ids[row] = _integer_at(start, 4, False, row)
    else:
        for row in range(rows):
            ids[row] = _integer_at(start, column.item_bytes, column.is_signed, row)
    for row in range(rows):
        found |= ids[row]
    return found & too_large == 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def read_amounts(
    column: cython.pointer[TableColumn],
    first: int64_t,
    rows: cython.Py_ssize_t,
    format: cython.pointer[cython.const[RowFormat]],
    types: cython.pointer[cython.const[uint8_t]],
    amounts: cython.pointer[int64_t],
    outcomes: cython.pointer[uint8_t],
) -> int64_t:
    """Read the amounts of rows that have one, as :func:`read_types` reads types; all others are 0."""
    row: cython.Py_ssize_t
    item: int64_t
    code: cython.int
    if (
        column.kind == INTEGERS
        and not _needs_look(column)
        and _copy_units(column, first, rows, types, amounts)
    ):
        return ALL_GOOD
    for row in range(rows):
        amounts[row] = 0
        if outcomes[row] != UNDECIDED or types[row] > WITHDRAWAL:
            continue
        item = -1 if column.kind == NO_COLUMN else item_of(column, first + row)
        if item == -2:
            return first + row
        if item < 0:
            code = MISSING_AMOUNT
        elif column.known != cython.NULL:
            code = column.known_codes[item]
            amounts[row] = cython.cast(int64_t, column.known[item])
        else:
            code = _amount_at(column, item, format, amounts + row)
        if code < 0:
            return first + row
        outcomes[row] = cython.cast(uint8_t, code)
    return ALL_GOOD


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_units(
    column: cython.pointer[cython.const[TableColumn]],
    first: int64_t,
    rows: cython.Py_ssize_t,
    types: cython.pointer[cython.const[uint8_t]],
    amounts: cython.pointer[int64_t],
) -> cython.bint:
    """Copy units as they are; say whether none is out of range. The one that is, is below zero."""
    row: cython.Py_ssize_t
    signs: int64_t = 0
    if column.item_bytes != 8:
        return False
    memcpy(amounts, column.items.start + 8 * first, 8 * rows)
    for row in range(rows):
        amounts[row] &= -cython.cast(int64_t, types[row] <= WITHDRAWAL)
        signs |= amounts[row]
    return signs >= 0
