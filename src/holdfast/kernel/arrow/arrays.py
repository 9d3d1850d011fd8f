"""What a producer says about the columns of its table, checked as far as it can be, before any of it is read.

How long buffers are nobody says, but for those of views. Everything that can be compared is: lengths with the table's, offsets
with each other, and counts with pointers.
"""

import cython
from cython.cimports.holdfast.kernel.arrow.structures import ArrowArray
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.string import memset

ITEMS_MAX = cython.declare(int64_t, 1 << 56)
"""More items than this no memory has."""


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_column(
    column: cython.pointer[TableColumn], array: cython.pointer[ArrowArray], first: int64_t, rows: int64_t
) -> cython.pointer[cython.const[cython.char]]:
    """Check an array and find its items.

    Args:
        column: What is known from the schema.
        array: The column of one part of the table.
        first: Its first row, from the array's own beginning.
        rows: How many rows are needed.

    Returns:
        NULL, or what is wrong with it.
    """
    if column.index_bytes == 0:
        return _open_items(column.kind, column.item_bytes, array, first, rows, cython.address(column.items))
    fault: cython.pointer[cython.const[cython.char]] = _open_items(
        INTEGERS, column.index_bytes, array, first, rows, cython.address(column.indices)
    )
    if fault != cython.NULL:
        return fault
    if array.dictionary == cython.NULL:
        return b"it has no dictionary, and its schema has one"
    if array.dictionary.length < 0:
        return b"its dictionary has a length below 0"
    return _open_items(
        column.kind,
        column.item_bytes,
        array.dictionary,
        0,
        array.dictionary.length,
        cython.address(column.items),
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _open_items(
    kind: cython.int,
    item_bytes: cython.int,
    array: cython.pointer[ArrowArray],
    first: int64_t,
    rows: int64_t,
    items: cython.pointer[Items],
) -> cython.pointer[cython.const[cython.char]]:
    memset(items, 0, cython.sizeof(Items))
    items.count = rows
    length: int64_t = array.length
    offset: int64_t = array.offset
    if not 0 <= length <= ITEMS_MAX or not 0 <= offset <= ITEMS_MAX:
        return b"its length or its offset is below 0 or larger than any memory"
    if length - first < rows:
        return b"it is shorter than its table"
    if kind == NULLS:
        return cython.NULL
    start: int64_t = offset + first
    buffers: int64_t = array.n_buffers
    if array.buffers == cython.NULL or buffers < (3 if kind == TEXT or kind == VIEWS else 2):
        return b"it has fewer buffers than its type needs"
    if array.null_count != 0:
        items.validity = cython.cast(cbytes, array.buffers[0])
        items.validity_offset = start
        if items.validity == cython.NULL and array.null_count > 0:
            return b"it says that some items are null, but not which"
    items.start = cython.cast(cbytes, array.buffers[1])
    if rows == 0:
        return cython.NULL
    if items.start == cython.NULL:
        return b"it has no items, but says that it has some"
    items.start += start * item_bytes
    if kind == TEXT:
        items.text = cython.cast(cbytes, array.buffers[2])
        # The end of the last item is all that is said about how much text there is.
        items.text_bytes = offset_at(items.start, item_bytes, rows)
        if items.text_bytes < 0 or (items.text_bytes and items.text == cython.NULL):
            return b"its offsets lead outside of its text"
    elif kind == VIEWS:
        items.piece_count = buffers - 3
        items.pieces = array.buffers + 2
        items.piece_bytes = cython.cast(cython.pointer[cython.const[int64_t]], array.buffers[buffers - 1])
        if items.piece_count and items.piece_bytes == cython.NULL:
            return b"it does not say how long its buffers are"
    return cython.NULL
