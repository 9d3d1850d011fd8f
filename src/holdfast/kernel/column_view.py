"""Columns for Python code: read-only memoryviews that keep their owner alive."""

import cython
from cython.cimports.cpython.buffer import PyBuffer_FillInfo


@cython.final
@cython.cclass
class _Column:
    """One column as a buffer; it keeps its owner alive while a view of it exists."""

    owner: object
    start: cython.p_void
    rows: cython.Py_ssize_t
    item_bytes: cython.Py_ssize_t

    def __getbuffer__(self, view: cython.pointer[Py_buffer], flags: cython.int):
        PyBuffer_FillInfo(view, self, self.start, self.rows * self.item_bytes, 1, flags)


@cython.cfunc
def column_view(
    owner: object, rows: cython.Py_ssize_t, start: cython.p_void, item_bytes: cython.Py_ssize_t, code: str
) -> object:
    """Make the view of a column of this many items, each of this width and format."""
    column: _Column = _Column.__new__(_Column)
    column.owner = owner
    column.start = start if start != cython.NULL else cython.cast(cython.p_void, "")
    column.rows = rows
    column.item_bytes = item_bytes
    return memoryview(column).cast("B").cast(code)
