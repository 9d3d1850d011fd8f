"""The Arrow C data interface from the other side, with ctypes alone: what a consumer sees, and producers that lie."""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p, py_object
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Schema(Structure):
    """``ArrowSchema``."""


class Array(Structure):
    """``ArrowArray``."""


class Stream(Structure):
    """``ArrowArrayStream``."""


RELEASE_SCHEMA = CFUNCTYPE(None, POINTER(Schema))
RELEASE_ARRAY = CFUNCTYPE(None, POINTER(Array))
RELEASE_STREAM = CFUNCTYPE(None, POINTER(Stream))
GET_SCHEMA = CFUNCTYPE(c_int, POINTER(Stream), POINTER(Schema))
GET_NEXT = CFUNCTYPE(c_int, POINTER(Stream), POINTER(Array))
GET_LAST_ERROR = CFUNCTYPE(c_void_p, POINTER(Stream))

Schema._fields_ = [
    ("format", c_char_p), ("name", c_char_p), ("metadata", c_char_p), ("flags", c_int64), ("n_children", c_int64),
    ("children", POINTER(POINTER(Schema))), ("dictionary", POINTER(Schema)),
    ("release", RELEASE_SCHEMA), ("private_data", c_void_p),
]  # fmt: skip
Array._fields_ = [
    ("length", c_int64), ("null_count", c_int64), ("offset", c_int64), ("n_buffers", c_int64), ("n_children", c_int64),
    ("buffers", POINTER(c_void_p)), ("children", POINTER(POINTER(Array))), ("dictionary", POINTER(Array)),
    ("release", RELEASE_ARRAY), ("private_data", c_void_p),
]  # fmt: skip
Stream._fields_ = [
    ("get_schema", GET_SCHEMA), ("get_next", GET_NEXT), ("get_last_error", GET_LAST_ERROR),
    ("release", RELEASE_STREAM), ("private_data", c_void_p),
]  # fmt: skip

_api: Any = ctypes.pythonapi
_api.PyCapsule_GetPointer.restype = c_void_p
_api.PyCapsule_GetPointer.argtypes = [py_object, c_char_p]
_api.PyCapsule_New.restype = py_object
_api.PyCapsule_New.argtypes = [c_void_p, c_char_p, c_void_p]


def stream_of(capsule: object) -> Stream:
    """Give the stream in a capsule, which stays there."""
    return Stream.from_address(_api.PyCapsule_GetPointer(capsule, b"arrow_array_stream"))


def capsule_of(structure: Structure, name: bytes) -> object:
    """Put a structure into a capsule, which frees nothing; the caller keeps the structure."""
    capsule: object = _api.PyCapsule_New(ctypes.addressof(structure), name, None)
    return capsule


class Producer:
    """A table that a producer gives in parts, column by column, with whatever lies a test wants; it counts its releases.

    Args:
        columns: For each its name, format and buffers; then, of a dictionary, the format, length and buffers of its values.
        rows: How many rows each part has.
        parts: How many parts there are before the end, or before the failure.
        failure: An error code and a message, instead of the end.
        change: Changes a part, and its columns, before it is given.
    """

    def __init__(
        self,
        columns: list[tuple[Any, ...]],
        rows: int,
        parts: int = 1,
        failure: tuple[int, bytes | None] | None = None,
        change: Callable[[Array, list[Array]], None] | None = None,
    ) -> None:
        self.columns, self.rows, self.parts, self.failure, self.change = columns, rows, parts, failure, change
        self.given: list[Array] = []
        self.released = {"schema": 0, "array": 0, "stream": 0}
        self.kept: list[Any] = []
        self.on_next: Callable[[], object] = lambda: None
        self._callbacks = (
            RELEASE_SCHEMA(lambda pointer: self._release("schema", pointer)),
            RELEASE_ARRAY(lambda pointer: self._release("array", pointer)),
            RELEASE_STREAM(lambda pointer: self._release("stream", pointer)),
            GET_SCHEMA(self._get_schema), GET_NEXT(self._get_next), GET_LAST_ERROR(self._get_last_error),
        )  # fmt: skip
        self.stream = Stream(*self._callbacks[3:6], self._callbacks[2], None)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give a capsule with the stream."""
        return capsule_of(self.stream, b"arrow_array_stream")

    def _release(self, what: str, pointer: Any) -> None:
        assert pointer.contents.release, f"{what} is released twice"
        self.released[what] += 1
        pointer.contents.release = type(pointer.contents.release)()

    def _keep(self, thing: Any) -> Any:
        self.kept.append(thing)
        return thing

    def _schema(self, type_: bytes, name: bytes, values: bytes | None = None) -> Schema:
        schema: Schema = self._keep(Schema(format=type_, name=name))
        if values is not None:
            schema.dictionary = ctypes.pointer(self._schema(values, b""))
        return schema

    def _get_schema(self, _stream: Any, out: Any) -> int:
        children = [self._schema(column[1], column[0], *column[3:4]) for column in self.columns]
        pointers = self._keep((POINTER(Schema) * len(children))(*map(ctypes.pointer, children)))
        top: Schema = out.contents
        top.format, top.name, top.n_children = b"+s", b"", len(children)
        top.children = pointers
        top.release = self._callbacks[0]
        return 0

    def array(self, rows: int, buffers: list[bytes | None]) -> Array:
        """Make an array of these buffers, the first being that of nulls."""
        pointers = [
            None
            if buffer is None
            else ctypes.addressof(self._keep(ctypes.create_string_buffer(buffer, len(buffer) + 8)))
            for buffer in buffers
        ]
        array: Array = self._keep(
            Array(length=rows, null_count=0 if buffers[0] is None else -1, n_buffers=len(buffers))
        )
        array.buffers = self._keep((c_void_p * len(buffers))(*pointers))
        return array

    def _get_next(self, _stream: Any, out: Any) -> int:
        self.on_next()
        if len(self.given) == self.parts:
            out.contents.release = RELEASE_ARRAY()
            return 0 if self.failure is None else self.failure[0]
        columns = []
        for _, _, buffers, *dictionary in self.columns:
            column = self.array(self.rows, buffers)
            if dictionary:
                column.dictionary = ctypes.pointer(self.array(dictionary[1], dictionary[2]))
            columns.append(column)
        part: Array = out.contents
        part.length, part.null_count, part.offset = self.rows, 0, 0
        part.n_buffers, part.n_children = 1, len(columns)
        part.buffers = self._keep((c_void_p * 1)(None))
        part.children = self._keep((POINTER(Array) * len(columns))(*map(ctypes.pointer, columns)))
        part.release = self._callbacks[1]
        self.given.append(part)
        if self.change is not None:
            self.change(part, columns)
        return 0

    def _get_last_error(self, _stream: Any) -> int | None:
        message = None if self.failure is None else self.failure[1]
        return None if message is None else ctypes.addressof(self._keep(ctypes.create_string_buffer(message)))
