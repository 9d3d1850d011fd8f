"""What bytes can come from, for annotations. The command imports none of this: typing is slow to import."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol, TypeAlias

Chunk: TypeAlias = bytes | bytearray | memoryview
"""Bytes."""


class Readable(Protocol):
    """A binary file object that gives bytes."""

    def read(self, size: int, /) -> bytes | None:
        """Give up to so many bytes; none at the end."""


class ReadableInto(Protocol):
    """A binary file object that fills a buffer."""

    def readinto(self, buffer: memoryview, /) -> int | None:
        """Fill a buffer and give the number of bytes; 0 at the end."""


class ArrowStreamable(Protocol):
    """What gives a stream of the Arrow C data interface."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """Give a PyCapsule with the stream."""


class ArrowExportable(Protocol):
    """What gives an array of the Arrow C data interface."""

    def __arrow_c_array__(self, requested_schema: object | None = None) -> tuple[object, object]:
        """Give PyCapsules with the schema and the array."""


ArrowTable: TypeAlias = ArrowStreamable | ArrowExportable
"""A table of Polars, pandas, pyarrow, DuckDB, nanoarrow or any other library that speaks the Arrow PyCapsule interface."""

Input: TypeAlias = str | os.PathLike[str] | Chunk | Readable | ReadableInto | Iterable[Chunk]
"""A path, bytes, a binary file object, or an iterable of bytes."""
