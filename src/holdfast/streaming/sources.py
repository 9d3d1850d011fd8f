"""Sources of bytes, batches or transactions, opened as iterators of pieces.

A source that may wait for a disk or a pipe is read on a thread of its own; the event loop steps all others.
"""

from __future__ import annotations

import asyncio
import io
import os
import threading
from collections import deque
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.io.compression import InputStream, open_source
from holdfast.kernel.inlet import PIECE_BYTES

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
    from typing import TypeAlias

    from holdfast.engine.policy import ErrorPolicy
    from holdfast.streaming.source_types import SourceData

    AnySource: TypeAlias = "Source | SourceData"
    """What a processor takes."""

    Pieces = tuple[AsyncIterator[Any] | None, Iterator[Any] | None]
    """An open source: an asynchronous or a plain iterator; the other one is None."""

BLOCK_BYTES = 256 * 1024
"""How much a thread reads at a time. A thread has two blocks: it fills one while the rows of the other are applied."""
_BLOCKS = 2


class Source(NamedTuple):
    """A source with a name or a policy of its own."""

    data: SourceData
    """Where the bytes, batches or transactions come from."""
    name: str | None = None
    """Its name in reports; its number if it has none."""
    policy: ErrorPolicy | None = None
    """What to do about its rows that are not applied; by default the processor's policy."""


def open_pieces(data: object, readers: asyncio.Semaphore) -> Pieces:
    """Open a source.

    Args:
        data: A path, bytes, a binary file object, an ``asyncio.StreamReader``, or an iterable or asynchronous iterable of bytes,
            batches or transactions.
        readers: Limits how many threads read at a time.

    Returns:
        Its pieces: an asynchronous iterator if the source may wait, otherwise an iterator.

    Raises:
        TypeError: If it is none of these, such as a file in text mode.
    """
    return find_opener(type(data))(data, readers)  # type: ignore[arg-type]  # classes are hashable


@lru_cache(maxsize=256)
def find_opener(kind: type[Any]) -> Callable[[Any, asyncio.Semaphore], Pieces]:
    """Tell from its class how to open a source. Cached: finding out costs as much as fifty rows."""
    is_file = (
        issubclass(kind, str | os.PathLike | InputStream)
        or hasattr(kind, "readinto")
        or hasattr(kind, "read")
    )
    open_kind: Callable[[Any, asyncio.Semaphore], Pieces] = _open_wrapper
    if issubclass(kind, asyncio.StreamReader):
        open_kind = _open_stream
    elif hasattr(kind, "__aiter__"):
        open_kind = _open_waiting
    elif issubclass(kind, bytes | bytearray | memoryview):
        open_kind = _open_bytes
    elif issubclass(kind, io.TextIOBase):
        open_kind = _refuse_text
    elif is_file:
        open_kind = _open_file
    elif hasattr(kind, "__iter__") and not hasattr(kind, "__getattr__"):
        open_kind = _open_ready
    return open_kind


def _open_stream(data: asyncio.StreamReader, _: asyncio.Semaphore) -> Pieces:
    return _read_stream(data), None


def _open_waiting(data: AsyncIterable[Any], _: asyncio.Semaphore) -> Pieces:
    return data.__aiter__(), None


def _open_bytes(data: bytes | bytearray | memoryview, _: asyncio.Semaphore) -> Pieces:
    return None, iter((data,)) if type(data) is bytes and len(data) <= PIECE_BYTES else _cut(data)


def _open_ready(data: Iterable[Any], _: asyncio.Semaphore) -> Pieces:
    return None, iter(data)


def _open_wrapper(data: Any, readers: asyncio.Semaphore) -> Pieces:
    """Open an object that may have attributes that its class lacks, such as a wrapper around a file."""
    if hasattr(data, "readinto") or hasattr(data, "read"):
        return _open_file(data, readers)
    if hasattr(data, "__iter__"):
        return None, iter(data)
    raise TypeError(
        "a source is a path, bytes, a binary file, an asyncio.StreamReader, or an iterable or asynchronous iterable of bytes, "
        f"batches or transactions, not {type(data).__name__}"
    )


def _refuse_text(data: Any, _: asyncio.Semaphore) -> Pieces:
    raise TypeError(f"{data!r} gives text; open the file in binary mode ('rb')")


def _open_file(data: Any, readers: asyncio.Semaphore) -> Pieces:
    return (_read_on_thread(data, readers), None)


def _cut(data: bytes | bytearray | memoryview) -> Iterator[memoryview]:
    view = memoryview(data).cast("B")
    # Zero bytes still give one empty piece: text without a header differs from a source without transactions.
    for start in range(0, max(len(view), 1), PIECE_BYTES):
        yield view[start : start + PIECE_BYTES]


async def _read_stream(reader: asyncio.StreamReader) -> AsyncIterator[bytes]:
    chunk = await reader.read(PIECE_BYTES)
    yield chunk
    while chunk:
        chunk = await reader.read(PIECE_BYTES)
        yield chunk


async def _read_on_thread(data: Any, readers: asyncio.Semaphore) -> AsyncIterator[memoryview]:
    async with readers:
        reader = ThreadReader(data)
        try:
            block = await reader.next_block()
            if not block:
                yield block
            while block:
                for start in range(0, len(block), PIECE_BYTES):
                    yield block[start : start + PIECE_BYTES]
                block = await reader.next_block()
        finally:
            await reader.stop()


class ThreadReader:
    """Reads a file on a thread, at most two blocks ahead of the loop.

    A thread that waits for a pipe's next byte cannot be woken: it ends with that byte, or with the process.

    Args:
        data: A path, a binary file object, or an open input.
    """

    def __init__(self, data: Any) -> None:
        self._data = data
        self._loop = asyncio.get_running_loop()
        self._shared = threading.Condition()
        self._free: deque[bytearray] = deque(bytearray(BLOCK_BYTES) for _ in range(_BLOCKS))
        self._stopped = False
        self._never_waits = False
        self._stream: InputStream | None = None
        # All of these belong to the loop.
        self._taken: bytearray | None = None
        self._filled: deque[tuple[bytearray, int]] = deque()
        self._wake = asyncio.Event()
        self._ended = asyncio.Event()
        self._error: BaseException | None = None
        threading.Thread(target=self._read, name="holdfast-source", daemon=True).start()

    async def next_block(self) -> memoryview:
        """Give the next block, an empty one at the end; the thread may then reuse the block before it."""
        if self._taken is not None:
            with self._shared:
                self._free.append(self._taken)
                self._shared.notify()
            self._taken = None
        while not self._filled and not self._ended.is_set():
            self._wake.clear()
            await self._wake.wait()
        if self._filled:
            self._taken, count = self._filled.popleft()
            return memoryview(self._taken)[:count]
        if self._error is not None:
            raise self._error
        return memoryview(b"")

    async def stop(self) -> None:
        """Stop the thread, and wait for it unless it may be waiting for a pipe."""
        with self._shared:
            self._stopped = True
            self._shared.notify()
            if self._stream is not None:
                self._stream.cancel()
        if self._never_waits:
            await self._ended.wait()

    def _read(self) -> None:
        error: BaseException | None = None
        try:
            # A path may be a pipe that nobody has opened for writing yet: opening it waits as well.
            with self._data if isinstance(self._data, InputStream) else open_source(self._data) as stream:
                with self._shared:
                    self._stream = stream
                self._never_waits = stream.raw_size is not None
                while (buffer := self._next_free()) is not None and (count := stream.readinto(buffer)):
                    self._tell(self._take, buffer, count)
        except BaseException as failure:  # noqa: BLE001  # raised again on the loop
            error = failure
        self._tell(self._end, error)

    def _next_free(self) -> bytearray | None:
        with self._shared:
            while not self._free and not self._stopped:
                self._shared.wait()
            return None if self._stopped else self._free.popleft()

    def _tell(self, what: Any, *arguments: object) -> None:
        try:
            self._loop.call_soon_threadsafe(what, *arguments)
        except RuntimeError:
            # The loop is closed, and nobody waits any more.
            self._stopped = True

    def _take(self, buffer: bytearray, count: int) -> None:
        self._filled.append((buffer, count))
        self._wake.set()

    def _end(self, error: BaseException | None) -> None:
        self._error = error
        self._ended.set()
        self._wake.set()
