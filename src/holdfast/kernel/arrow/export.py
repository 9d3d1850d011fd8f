"""Tables that go out: streams of the Arrow C data interface, in PyCapsules.

Whoever takes a stream asks it for its schema and for one table after the other, in whatever thread. Each of these structures
belongs to the taker, who calls its release callback once. Columns may be taken out of a table and live on without it, so each has
memory of its own, and giving it back needs no interpreter. A capsule whose stream was not taken releases it.
"""

import cython
from cython.cimports.cpython.pycapsule import PyCapsule_GetPointer, PyCapsule_New
from cython.cimports.cpython.ref import Py_DECREF, Py_INCREF
from cython.cimports.holdfast.kernel.arrow.structures import (
    ArrowArray,
    ArrowArrayStream,
    ArrowSchema,
    hf_count,
)
from cython.cimports.holdfast.kernel.platform import hf_check, hf_map_pages, hf_unmap_pages
from cython.cimports.libc.errno import EIO, ENOMEM
from cython.cimports.libc.stdint import int64_t
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.libc.string import memset, strdup

MAPPED_BYTES = cython.declare(cython.size_t, 1 << 20)
"""Buffers from this size on are mapped, in huge pages if possible: touching small pages costs more than filling them."""

live = cython.declare(int64_t)


def live_exports() -> int:
    """Say how many exported structures were not given back yet, each schema, column, table and stream being one; for tests."""
    return hf_count(cython.address(live), 0)


@cython.cclass
class TableSource:
    """One pass over a table; a subclass fills one part of it after the other."""

    def __init__(self):
        raise TypeError("a TableSource is made by the table that it is of")

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def fill(self, table: cython.pointer[ArrowArray]) -> cython.int:  # noqa: ARG002  # for subclasses
        """Make the next part, with :func:`open_table`; give 0 after the last one."""
        return 0


# ------------------------------------------------------------------------------------------------------------------ schemas


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _release_schema(schema: cython.pointer[ArrowSchema]) -> cython.void:
    number: int64_t
    for number in range(schema.n_children):
        child: cython.pointer[ArrowSchema] = schema.children[number]
        if child.release != cython.NULL:
            child.release(child)
    free(cython.cast(cython.p_void, schema.format))
    free(cython.cast(cython.p_void, schema.name))
    free(schema.private_data)
    schema.release = cython.NULL
    hf_count(cython.address(live), -1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _open_schema(
    schema: cython.pointer[ArrowSchema],
    name: cython.pointer[cython.const[cython.char]],
    format: cython.pointer[cython.const[cython.char]],
    flags: int64_t,
) -> cython.int:
    """Fill a schema without children; -1 without memory."""
    memset(schema, 0, cython.sizeof(ArrowSchema))
    schema.format = strdup(format)
    schema.name = strdup(name)
    schema.flags = flags
    schema.release = _release_schema
    hf_count(cython.address(live), 1)
    if schema.format == cython.NULL or schema.name == cython.NULL:
        _release_schema(schema)
        return -1
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _fill_schema(source: TableSource, schema: cython.pointer[ArrowSchema]) -> cython.int:
    """Describe a table: a struct with a child for each column."""
    if _open_schema(schema, b"", b"+s", 0) < 0:
        raise MemoryError
    columns: cython.size_t = len(source.fields)
    memory: cython.p_void = calloc(columns or 1, cython.sizeof(cython.p_void) + cython.sizeof(ArrowSchema))
    if memory == cython.NULL:
        _release_schema(schema)
        raise MemoryError
    schema.private_data = memory
    schema.children = cython.cast(cython.pointer[cython.pointer[ArrowSchema]], memory)
    children: cython.pointer[ArrowSchema] = cython.cast(
        cython.pointer[ArrowSchema], schema.children + columns
    )
    name: bytes
    type_: bytes
    for name, type_, may_be_null in source.fields:
        child: cython.pointer[ArrowSchema] = children + schema.n_children
        if _open_schema(child, name, type_, NULLABLE if may_be_null else 0) < 0:
            _release_schema(schema)
            raise MemoryError
        schema.children[schema.n_children] = child
        schema.n_children += 1
    return 0


# ------------------------------------------------------------------------------------------------------------------- tables


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _release_column(column: cython.pointer[ArrowArray]) -> cython.void:
    memory: cython.pointer[ColumnMemory] = cython.cast(cython.pointer[ColumnMemory], column.private_data)
    number: cython.int
    for number in range(BUFFERS_MAX):
        if memory.mapped_bytes[number]:
            hf_unmap_pages(cython.cast(cython.p_void, memory.buffers[number]), memory.mapped_bytes[number])
        else:
            free(cython.cast(cython.p_void, memory.buffers[number]))
    free(memory)
    column.release = cython.NULL
    hf_count(cython.address(live), -1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _release_table(table: cython.pointer[ArrowArray]) -> cython.void:
    number: int64_t
    for number in range(table.n_children):
        # A column that was taken out has no release callback here any more.
        child: cython.pointer[ArrowArray] = table.children[number]
        if child.release != cython.NULL:
            child.release(child)
    free(table.private_data)
    table.release = cython.NULL
    hf_count(cython.address(live), -1)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_table(table: cython.pointer[ArrowArray], rows: int64_t, columns: cython.int) -> cython.int:
    """Make a table of columns that have no buffers yet; -1 without memory. Its release callback frees everything."""
    memset(table, 0, cython.sizeof(ArrowArray))
    number: cython.int
    # A struct has one buffer, for nulls; then come the children.
    memory: cython.p_void = calloc(columns + 1, 2 * cython.sizeof(cython.p_void) + cython.sizeof(ArrowArray))
    if memory == cython.NULL:
        return -1
    table.length = rows
    table.n_buffers = 1
    table.private_data = memory
    table.buffers = cython.cast(cython.pointer[cython.pointer[cython.const[cython.void]]], memory)
    table.children = cython.cast(cython.pointer[cython.pointer[ArrowArray]], table.buffers + 1)
    table.release = _release_table
    hf_count(cython.address(live), 1)
    children: cython.pointer[ArrowArray] = cython.cast(cython.pointer[ArrowArray], table.children + columns)
    for number in range(columns):
        column: cython.pointer[ArrowArray] = children + number
        buffers: cython.pointer[ColumnMemory] = cython.cast(
            cython.pointer[ColumnMemory], calloc(1, cython.sizeof(ColumnMemory))
        )
        if buffers == cython.NULL:
            _release_table(table)
            return -1
        column.length = rows
        column.n_buffers = 2
        column.buffers = buffers.buffers
        column.private_data = buffers
        column.release = _release_column
        hf_count(cython.address(live), 1)
        table.children[number] = column
        table.n_children += 1
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def add_buffer(column: cython.pointer[ArrowArray], number: cython.int, size: cython.size_t) -> cython.p_void:
    """Give memory for a buffer of a column that open_table() made; NULL without memory."""
    memory: cython.pointer[ColumnMemory] = cython.cast(cython.pointer[ColumnMemory], column.private_data)
    hf_check(number < BUFFERS_MAX and memory.buffers[number] == cython.NULL)
    buffer: cython.p_void
    if size < MAPPED_BYTES:
        buffer = malloc(size or 1)
    else:
        buffer = hf_map_pages(size, True)
        memory.mapped_bytes[number] = size if buffer != cython.NULL else 0
    memory.buffers[number] = buffer
    return buffer


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def is_mapped(column: cython.pointer[cython.const[ArrowArray]], number: cython.int) -> cython.bint:
    """Say whether a buffer is mapped, and so has zeros where nothing was written."""
    memory: cython.pointer[ColumnMemory] = cython.cast(cython.pointer[ColumnMemory], column.private_data)
    return memory.mapped_bytes[number] != 0


# ------------------------------------------------------------------------------------------------------------------ streams


@cython.cfunc
@cython.with_gil
@cython.exceptval(check=False)
def _get_schema(stream: cython.pointer[ArrowArrayStream], schema: cython.pointer[ArrowSchema]) -> cython.int:
    source: TableSource = cython.cast(TableSource, stream.private_data)
    schema.release = cython.NULL
    try:
        _fill_schema(source, schema)
    except BaseException as error:  # noqa: BLE001  # no exception crosses C
        return _fail(source, error)
    return 0


@cython.cfunc
@cython.with_gil
@cython.exceptval(check=False)
def _get_next(stream: cython.pointer[ArrowArrayStream], table: cython.pointer[ArrowArray]) -> cython.int:
    source: TableSource = cython.cast(TableSource, stream.private_data)
    table.release = cython.NULL
    try:
        source.fill(table)
    except BaseException as error:  # noqa: BLE001  # no exception crosses C
        if table.release != cython.NULL:
            table.release(table)
        return _fail(source, error)
    return 0


@cython.cfunc
@cython.exceptval(check=False)
def _fail(source: TableSource, error: object) -> cython.int:
    try:
        source.failure = f"{type(error).__name__}: {error}".encode(errors="replace").replace(b"\0", b"?")
    except BaseException:  # noqa: BLE001  # the error of an error
        source.failure = b"an error that cannot be told"
    return ENOMEM if isinstance(error, MemoryError) else EIO


@cython.cfunc
@cython.with_gil
@cython.exceptval(check=False)
def _get_last_error(
    stream: cython.pointer[ArrowArrayStream],
) -> cython.pointer[cython.const[cython.char]]:
    source: TableSource = cython.cast(TableSource, stream.private_data)
    if source.failure is None:
        return cython.NULL
    return source.failure


@cython.cfunc
@cython.with_gil
@cython.exceptval(check=False)
def _release_stream(stream: cython.pointer[ArrowArrayStream]) -> cython.void:
    source: TableSource = cython.cast(TableSource, stream.private_data)
    stream.private_data = cython.NULL
    stream.release = cython.NULL
    hf_count(cython.address(live), -1)
    # The stream's own reference.
    Py_DECREF(source)


@cython.cfunc
@cython.exceptval(check=False)
def _free_capsule(capsule: object) -> cython.void:
    stream: cython.pointer[ArrowArrayStream] = cython.cast(
        cython.pointer[ArrowArrayStream], PyCapsule_GetPointer(capsule, b"arrow_array_stream")
    )
    if stream.release != cython.NULL:
        stream.release(stream)
    free(stream)


@cython.cfunc
def export_table(source: TableSource) -> object:
    """Give a capsule with a stream of the table."""
    stream: cython.pointer[ArrowArrayStream] = cython.cast(
        cython.pointer[ArrowArrayStream], calloc(1, cython.sizeof(ArrowArrayStream))
    )
    if stream == cython.NULL:
        raise MemoryError
    try:
        capsule: object = PyCapsule_New(stream, b"arrow_array_stream", _free_capsule)
    except BaseException:
        free(stream)
        raise
    stream.get_schema = _get_schema
    stream.get_next = _get_next
    stream.get_last_error = _get_last_error
    stream.private_data = cython.cast(cython.p_void, source)
    Py_INCREF(source)
    stream.release = _release_stream
    hf_count(cython.address(live), 1)
    return capsule
