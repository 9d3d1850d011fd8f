"""Columns of integers that others own: buffers of any kind and Arrow arrays of any library.

Buffers are what numpy, array.array, ctypes and memoryview lend. Arrow arrays come through the Arrow PyCapsule
interface, so that no Arrow library is needed here. What is found out about a column is where its items are,
how wide they are, and which are null; nothing is copied. The owner that comes with a column has to be kept for as
long as its items are used.

The columns are money, so an error never suggests a conversion that rounds, truncates or wraps: ``astype`` of numpy
does all three without a word.
"""

import sys

import cython
from cython.cimports.cpython.buffer import (
    PyBUF_FORMAT,
    PyBUF_ND,
    PyBUF_SIMPLE,
    PyBuffer_Release,
    PyObject_GetBuffer,
)
from cython.cimports.cpython.pycapsule import PyCapsule_GetPointer, PyCapsule_IsValid
from cython.cimports.holdfast.kernel.arrow.structures import ArrowArray, ArrowSchema
from cython.cimports.libc.stdint import (
    int8_t,
    int16_t,
    int32_t,
    int64_t,
    uint8_t,
    uint16_t,
    uint32_t,
    uint64_t,
)
from cython.cimports.libc.string import memcpy, memset

ARROW_ITEMS_MAX = cython.declare(int64_t, 1 << 56)
"""More items than this, eight bytes each, no memory has."""

_SIGNED = frozenset("bhilqn")
_UNSIGNED = frozenset("BHILQN")
_NATIVE_ORDER = frozenset({"@", "=", "<" if sys.byteorder == "little" else ">"})
# Arrow's letters are the same on all machines: int8 to int64, and the same unsigned.
_FLOATS = frozenset("efdg")
_WAY_TO_COUNT_UNITS = (
    "read amounts as text or Decimal and scale them to units exactly: "
    "array.array('q', [holdfast.units_from(amount) for amount in amounts])"
)
_ARROW_BYTES = {"c": 1, "C": 1, "s": 2, "S": 2, "i": 4, "I": 4, "l": 8, "L": 8}


@cython.cfunc
@cython.exceptval(-1, check=False)
def open_text(text: object, view: cython.pointer[Py_buffer]) -> cython.int:
    """Look into an object that holds bytes.

    Raises:
        BufferError: If they are not side by side.
        TypeError: If it has no buffer.
        ValueError: If it holds something else.
    """
    PyObject_GetBuffer(text, view, PyBUF_ND | PyBUF_FORMAT)
    if view.itemsize != 1:
        PyBuffer_Release(view)
        raise ValueError(f"text is bytes, not items of {view.itemsize} bytes each")
    return 0


@cython.cfunc
def read_column(
    name: str,
    source: object,
    item_bytes_max: cython.Py_ssize_t,
    is_id: cython.bint,
    column: cython.pointer[Column],
) -> object:
    """Find out about a column; give the object that keeps its items where they are.

    Raises:
        TypeError: If it is no contiguous one-dimensional column of such integers; the message says what to
            do.
    """
    memset(column, 0, cython.sizeof(Column))
    owner = (
        _read_arrow(name, source, column)
        if hasattr(source, "__arrow_c_array__")
        else _read_buffer(name, source, column)
    )
    if column.item_bytes > item_bytes_max:
        raise TypeError(
            f"{name}: integers of at most {8 * item_bytes_max} bits are needed, not {8 * column.item_bytes}; "
            f"bytes(column.tolist()) converts them, and refuses what is too large"
        )
    if not is_id and column.item_bytes == 8 and not column.is_signed:
        raise TypeError(
            f"{name}: int64 is needed, and not every uint64 fits; "
            "array.array('q', column.tolist()) converts them, and refuses what is too large"
        )
    return owner


@cython.cfunc
def _read_buffer(name: str, source: object, column: cython.pointer[Column]) -> object:
    buffer: Py_buffer
    # NumPy's masked arrays lend their data without the mask.
    hides_any = getattr(getattr(source, "mask", None), "any", None)
    if hides_any is not None and hides_any():
        raise TypeError(
            f"{name}: {type(source).__name__} hides some items behind a mask, which a buffer cannot tell; "
            "fill them (.filled(VALUE)), or give an Arrow array with nulls"
        )
    try:
        view = memoryview(source)
    except TypeError:
        if hasattr(source, "__arrow_c_stream__"):
            raise TypeError(
                f"{name}: {type(source).__name__} may have its items in several pieces; "
                "make it one array first (pyarrow: .combine_chunks(), polars: .to_arrow())"
            ) from None
        raise TypeError(
            f"{name}: {type(source).__name__} is neither a buffer of integers nor an Arrow array; "
            f"make it one first: {_way_to_make(name)}"
        ) from None
    except (BufferError, ValueError) as error:
        raise TypeError(f"{name}: {type(source).__name__} lends no buffer of integers ({error})") from error
    if view.ndim != 1:
        raise TypeError(
            f"{name}: one dimension is needed, not {view.ndim}; "
            "give one column of it (numpy: .reshape(-1) for all)"
        )
    if not view.c_contiguous:
        raise TypeError(
            f"{name}: the items are not side by side in memory; copy them first (numpy.ascontiguousarray)"
        )
    letter = view.format
    if len(letter) == 2 and letter[0] in _NATIVE_ORDER:
        letter = letter[1]
    if letter not in _SIGNED and letter not in _UNSIGNED:
        raise TypeError(
            f"{name}: integers in this machine's byte order are needed, not items of format {view.format!r}; "
            f"{_way_to_convert(name, view.format)}"
        )
    column.rows = view.shape[0]
    column.item_bytes = view.itemsize
    column.is_signed = letter in _SIGNED
    PyObject_GetBuffer(view, cython.address(buffer), PyBUF_SIMPLE)
    column.items = cython.cast(cython.pointer[cython.const[uint8_t]], buffer.buf)
    # The view holds the memory from here on.
    PyBuffer_Release(cython.address(buffer))
    return view


@cython.cfunc
def _read_arrow(name: str, source: object, column: cython.pointer[Column]) -> object:
    capsules = source.__arrow_c_array__()
    schema_capsule, array_capsule = capsules
    if not PyCapsule_IsValid(schema_capsule, b"arrow_schema") or not PyCapsule_IsValid(
        array_capsule, b"arrow_array"
    ):
        raise TypeError(f"{name}: {type(source).__name__}.__arrow_c_array__() gives no Arrow capsules")
    schema: cython.pointer[ArrowSchema] = cython.cast(
        cython.pointer[ArrowSchema], PyCapsule_GetPointer(schema_capsule, b"arrow_schema")
    )
    array: cython.pointer[ArrowArray] = cython.cast(
        cython.pointer[ArrowArray], PyCapsule_GetPointer(array_capsule, b"arrow_array")
    )
    if schema.release == cython.NULL or array.release == cython.NULL:
        raise TypeError(f"{name}: the Arrow array was given away before; get a new one")
    if schema.format == cython.NULL:
        raise TypeError(f"{name}: the Arrow array does not say what it holds")
    if schema.dictionary != cython.NULL:
        raise TypeError(
            f"{name}: the Arrow array is dictionary-encoded; decode it first (pyarrow: .dictionary_decode())"
        )
    letter = schema.format.decode("utf-8", "backslashreplace")
    if letter not in _ARROW_BYTES or array.n_buffers != 2:
        raise TypeError(
            f"{name}: Arrow integers are needed, not an array of format {letter!r}; "
            f"{_way_to_convert_arrow(name, letter)}"
        )
    column.rows = array.length
    column.item_bytes = _ARROW_BYTES[letter]
    column.is_signed = letter.islower()
    _check_arrow(name, array)
    column.items = cython.cast(cython.pointer[cython.const[uint8_t]], array.buffers[1])
    if column.items != cython.NULL:
        column.items += array.offset * column.item_bytes
    if array.null_count != 0:
        column.validity = cython.cast(cython.pointer[cython.const[uint8_t]], array.buffers[0])
        column.validity_offset = array.offset
    owner: _ArrowOwner = _ArrowOwner.__new__(_ArrowOwner)
    # Taken over as the interface asks for: whoever is given the same capsule again finds nothing to free.
    owner.array = array[0]
    array.release = cython.NULL
    return owner


@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_arrow(name: str, array: cython.pointer[ArrowArray]) -> cython.int:
    """Check what an array says about itself; what its pointers lead to nobody can check."""
    if not 0 <= array.length <= ARROW_ITEMS_MAX or not 0 <= array.offset <= ARROW_ITEMS_MAX:
        raise TypeError(f"{name}: the Arrow array says that it has {array.length} items from {array.offset}")
    if array.buffers == cython.NULL or (array.length and array.buffers[1] == cython.NULL):
        raise TypeError(f"{name}: the Arrow array has no items, but says that it has {array.length}")
    if array.null_count > 0 and array.buffers[0] == cython.NULL:
        raise TypeError(f"{name}: the Arrow array says that {array.null_count} items are null, but not which")
    return 0


@cython.final
@cython.cclass
class _ArrowOwner:
    """An Arrow array that was taken over from its producer."""

    array: ArrowArray

    def __dealloc__(self):
        if self.array.release != cython.NULL:
            self.array.release(cython.address(self.array))


@cython.cfunc
def _way_to_make(name: str) -> str:
    """Say how a column is made of Python's own values."""
    if name == "types":
        return "bytes(numbers) of TransactionType numbers"
    if name == "amounts":
        return f"array.array('q', units); {_WAY_TO_COUNT_UNITS}"
    return "array.array('Q', ids)"


@cython.cfunc
def _way_to_convert(name: str, letter: str) -> str:
    """Say what to do about a buffer of something else: its format is one of the struct module's."""
    bare = letter.lstrip("@=<>!")
    if bare in _SIGNED or bare in _UNSIGNED:
        return "swap its bytes first (numpy: column.astype(column.dtype.newbyteorder('=')))"
    return _way_to_read(name, bare in _FLOATS)


@cython.cfunc
def _way_to_convert_arrow(name: str, letter: str) -> str:
    """Say what to do about an Arrow array of something else: its format is one of Arrow's."""
    if name == "amounts" and letter.startswith("d:"):
        return (
            "give the whole table to process(), which takes decimals, or scale them to units exactly: "
            "array.array('q', [holdfast.units_from(amount) for amount in amounts.to_pylist()])"
        )
    return _way_to_read(name, letter in _FLOATS)


@cython.cfunc
def _way_to_read(name: str, is_float: cython.bint) -> str:
    if name == "types":
        return "give TransactionType numbers, 1 deposit to 5 chargeback: bytes(numbers)"
    if name == "amounts":
        return f"{'floats are not exact: ' if is_float else ''}{_WAY_TO_COUNT_UNITS}"
    if is_float:
        return (
            "floats lose digits of large ids: read the column as integers where it is read "
            "(pandas makes floats of a column with missing values; dtype='Int64' keeps integers)"
        )
    return "read the column as integers: array.array('Q', [int(text) for text in column]) for text"


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_usable_as_it_stands(
    column: cython.pointer[cython.const[Column]], item_bytes: cython.Py_ssize_t
) -> cython.bint:
    """Say whether the items have this width and are aligned."""
    return column.item_bytes == item_bytes and cython.cast(cython.size_t, column.items) % item_bytes == 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def widen(column: cython.pointer[cython.const[Column]], items: cython.pointer[uint64_t]) -> cython.void:
    """Copy the items of a column as 64-bit integers; those of a narrower one can be read as signed or not."""
    row: cython.Py_ssize_t
    if column.item_bytes == 1 and column.is_signed:
        for row in range(column.rows):
            items[row] = cython.cast(uint64_t, cython.cast(int8_t, column.items[row]))
    elif column.item_bytes == 1:
        for row in range(column.rows):
            items[row] = column.items[row]
    elif column.item_bytes == 2:
        _widen_2(column, items)
    elif column.item_bytes == 4:
        _widen_4(column, items)
    elif column.rows:
        memcpy(items, column.items, column.rows * 8)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _widen_2(column: cython.pointer[cython.const[Column]], items: cython.pointer[uint64_t]) -> cython.void:
    row: cython.Py_ssize_t
    item: uint16_t
    for row in range(column.rows):
        memcpy(cython.address(item), column.items + 2 * row, 2)
        items[row] = cython.cast(uint64_t, cython.cast(int16_t, item)) if column.is_signed else item


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _widen_4(column: cython.pointer[cython.const[Column]], items: cython.pointer[uint64_t]) -> cython.void:
    row: cython.Py_ssize_t
    item: uint32_t
    for row in range(column.rows):
        memcpy(cython.address(item), column.items + 4 * row, 4)
        items[row] = cython.cast(uint64_t, cython.cast(int32_t, item)) if column.is_signed else item
