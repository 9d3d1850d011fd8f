"""Adapters: asynchronous generators around a source, which a processor takes in the source's place.

An adapter takes any source that a processor takes. It asks the source for the next piece only when the processor asks for one
(``batched``: while it holds less than its limits), and closes the source when it is closed.
"""

from __future__ import annotations

import asyncio
import inspect
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from holdfast.domain.outcome import Outcome
from holdfast.engine.rows import to_rows
from holdfast.io.formats.detection import choose_decoder
from holdfast.io.rejects import RejectWriter, find_rejection
from holdfast.kernel.batch import Batch
from holdfast.streaming.sources import Source, open_pieces

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

    from holdfast.engine.interface import AnyEngine
    from holdfast.io.rejects import Rejection
    from holdfast.streaming.sources import AnySource

    RejectSink = RejectWriter | Callable[[Rejection], Awaitable[None] | None]

_BYTES_TYPES = (bytes, bytearray, memoryview)


async def batched(
    source: AnySource, *, rows_max: int = 4096, bytes_max: int = 65_536, seconds_max: float = 0.05
) -> AsyncIterator[bytes | list[Any] | Batch]:
    """Join small pieces: transactions into lists, chunks of bytes into larger ones; batches pass through.

    A piece is ready when it holds ``rows_max`` transactions or ``bytes_max`` bytes, ``seconds_max`` after its first part came, or
    when the source ends, whichever comes first. While it waits to be taken, at most one more part of the source is held.

    Args:
        source: Any source that a processor takes.
        rows_max: How many transactions make a piece.
        bytes_max: How many bytes make a piece; the last part may exceed this.
        seconds_max: How long the first part of a piece waits for others.

    Yields:
        ``bytes``, lists of transactions, or batches.

    Raises:
        ValueError: If a limit is not positive.
    """
    if rows_max < 1 or bytes_max < 1 or not seconds_max > 0:
        raise ValueError("rows_max and bytes_max are 1 or more, seconds_max is above 0")
    group = _Group(rows_max, bytes_max)
    # The source runs in one task from beginning to end, even if the waits here are cancelled.
    filling = asyncio.ensure_future(group.fill(source))
    try:
        while await group.wait(seconds_max):
            yield group.take()
        await filling
    finally:
        filling.cancel()
        await asyncio.wait((filling,))


class _Group:
    """The piece that is being joined: a task fills it, a generator takes it."""

    def __init__(self, rows_max: int, bytes_max: int) -> None:
        self._rows_max = rows_max
        self._bytes_max = bytes_max
        self._items: list[Any] = []
        self._size = 0
        self._kind: type | None = None
        self._has_ended = False
        self._some = asyncio.Event()  # there is something to take, or the source has ended
        self._whole = asyncio.Event()  # nothing more goes in
        self._room = asyncio.Event()  # something was taken

    async def fill(self, source: AnySource) -> None:
        """Put the source's pieces in; wait while the group is whole."""
        try:
            async with _opened(source) as items:
                async for item in items:
                    for part in item if isinstance(item, list | tuple) else (item,):
                        await self._put(part)
        finally:
            self._has_ended = True
            self._whole.set()
            self._some.set()

    async def wait(self, seconds_max: float) -> bool:
        """Wait until there is a group to take; False if there will be none."""
        await self._some.wait()
        if not self._whole.is_set():
            try:
                async with asyncio.timeout(seconds_max):
                    await self._whole.wait()
            except TimeoutError:
                pass
        return bool(self._items)

    def take(self) -> bytes | list[Any] | Batch:
        """Take the group."""
        items, self._items = self._items, []
        self._size = 0
        if not self._has_ended:
            self._some.clear()
            self._whole.clear()
        self._room.set()
        if self._kind is bytes:
            return b"".join(items)
        return items[0] if isinstance(items[0], Batch) else items

    async def _put(self, part: Any) -> None:
        if isinstance(part, _BYTES_TYPES):
            # A copy: its owner may reuse the memory for the next piece.
            part = bytes(part)
        kind = type(part) if isinstance(part, bytes | Batch) else None
        if self._items and kind is not self._kind:
            self._whole.set()
        while self._whole.is_set():
            self._room.clear()
            await self._room.wait()
        self._kind = kind
        self._items.append(part)
        self._size += len(part) if kind is bytes else 1
        self._some.set()
        if kind is Batch or self._size >= (self._bytes_max if kind is bytes else self._rows_max):
            self._whole.set()


async def throttled(
    source: AnySource,
    *,
    rows_per_second: float | None = None,
    bytes_per_second: float | None = None,
    burst: float | None = None,
) -> AsyncIterator[Any]:
    """Limit a source to a rate.

    Pieces are not split. A piece that exceeds what the rate allows by now waits until it is allowed, so the rate holds over
    time, whatever the size of the pieces. Rows of text are counted by line ends, including the header's.

    Args:
        source: Any source that a processor takes.
        rows_per_second: The rate in rows; give this or ``bytes_per_second``.
        bytes_per_second: The rate in bytes of text; not for sources of batches or transactions.
        burst: How much may pass at once after a pause, in rows or bytes; one second's worth by default.

    Yields:
        The source's pieces.

    Raises:
        ValueError: Unless exactly one rate is given, and the rate and the burst are above 0.
        TypeError: If ``bytes_per_second`` is given for a source without text.
    """
    rate = rows_per_second if rows_per_second is not None else bytes_per_second
    if rate is None or (rows_per_second is not None and bytes_per_second is not None):
        raise ValueError("give one rate: rows_per_second or bytes_per_second")
    most = burst if burst is not None else rate
    if not rate > 0 or not most > 0:
        raise ValueError("a rate and a burst are above 0")
    size = _rows_in if rows_per_second is not None else _bytes_in
    clock = asyncio.get_running_loop().time
    allowance, before = most, clock()
    async with _opened(source) as items:
        async for item in items:
            now = clock()
            allowance = min(most, allowance + (now - before) * rate) - size(item)
            before = now
            if allowance < 0:
                await asyncio.sleep(-allowance / rate)
            yield item


def _rows_in(item: Any) -> int:
    if isinstance(item, _BYTES_TYPES):
        return bytes(item).count(b"\n")
    return len(item) if isinstance(item, list | tuple | Batch) else 1


def _bytes_in(item: Any) -> int:
    if not isinstance(item, _BYTES_TYPES):
        raise TypeError(f"{type(item).__name__} has no bytes of text to count: give rows_per_second")
    return len(item)


async def decoded(
    source: AnySource,
    *,
    engine: AnyEngine,
    format: str | None = None,  # noqa: A002  # its name wherever a format is said
) -> AsyncIterator[Batch]:
    """Decode a source of text: what a source needs that is not CSV.

    Its batches keep their text, so that rejections show it.

    Args:
        source: Any source of bytes that a processor takes.
        engine: The engine whose settings to decode with; no rows are applied to it here.
        format: ``csv`` or ``ndjson``; by default the first bytes tell.

    Yields:
        Batches.

    Raises:
        HeaderError: If it is CSV and does not begin with a usable header.
        TypeError: If the source gives something other than bytes.
        ValueError: If there is no such format.
    """
    decoder = choose_decoder(format, "", engine.new_decoder(keep_source=True), engine.settings)
    async with _opened(source) as items:
        async for item in items:
            if not isinstance(item, _BYTES_TYPES):
                raise TypeError(f"only bytes are decoded, and the source gave {type(item).__name__}")
            for batch in (*decoder.feed(item), decoder.flush()):
                if batch is not None:
                    yield batch
    last = decoder.finish()
    if last is not None:
        yield last


async def tee_rejects(
    source: AnySource,
    sink: RejectSink,
    *,
    engine: AnyEngine,
    name: str = "source",
    format: str | None = None,  # noqa: A002  # its name wherever a format is said
) -> AsyncIterator[Batch]:
    """Report a source's rows that were not applied to a sink.

    The source's text is decoded here and passed on as batches that keep it. The consumer must decide a batch before it asks
    for the next one, as a processor does: by then the outcomes are in the batch, and this generator reports the refused rows in
    order. A slow sink slows the source down.

    If a policy stops the source, the sink also gets the row at which it stopped, and perhaps malformed rows right after it.

    Args:
        source: Any source that a processor takes.
        sink: A RejectWriter, or a function that takes a Rejection and may be a coroutine function.
        engine: The engine whose settings to decode with; no rows are applied to it here.
        name: The source's name in rejections.
        format: As for :func:`decoded`.

    Yields:
        Batches.

    Raises:
        HeaderError: If the source is CSV and does not begin with a usable header.
        ValueError: If there is no such format.
    """
    tell: Callable[[Rejection], Awaitable[None] | None] = (
        sink.write if isinstance(sink, RejectWriter) else sink
    )
    decoder = choose_decoder(format, "", engine.new_decoder(keep_source=True), engine.settings)
    has_text = False
    rows = 0
    async with _opened(source) as items:
        async for item in items:
            batches: list[Batch | None]
            if isinstance(item, Batch):
                batches = [item]
            elif isinstance(item, _BYTES_TYPES):
                has_text = True
                batches = [*decoder.feed(item), decoder.flush()]
            else:
                transactions = item if isinstance(item, list | tuple) else (item,)
                batches = [Batch.from_rows(to_rows(transactions, engine.settings))]
            for batch in batches:
                if batch is not None:
                    try:
                        yield batch
                    finally:
                        await _tell(batch, tell, name, rows, engine.settings.decimals)
                    rows += batch.rows
    last = decoder.finish() if has_text else None
    if last is not None:
        try:
            yield last
        finally:
            await _tell(last, tell, name, rows, engine.settings.decimals)


async def _tell(
    batch: Batch,
    tell: Callable[[Rejection], Awaitable[None] | None],
    name: str,
    position: int,
    decimals: int,
) -> None:
    outcomes = bytes(batch.outcomes)
    undecided = outcomes.find(0)
    for row in batch.refused_rows(0, undecided if undecided >= 0 else batch.rows):
        outcome = Outcome(outcomes[row])
        number = position + 1 + row
        waiting = tell(find_rejection(batch, row, outcome, name, number=number, decimals=decimals))
        if inspect.isawaitable(waiting):
            await waiting


@asynccontextmanager
async def _opened(source: AnySource) -> AsyncIterator[AsyncIterator[Any]]:
    """Open a source as an asynchronous iterator, and close it at the end of the block."""
    waiting, ready = open_pieces(source.data if isinstance(source, Source) else source, asyncio.Semaphore(1))
    items = waiting if waiting is not None else _step(ready or iter(()))
    try:
        yield items
    finally:
        close = getattr(items, "aclose", None)
        if close is not None:
            await close()
        close = getattr(ready, "close", None)
        if close is not None:
            close()


async def _step(items: Iterator[Any]) -> AsyncIterator[Any]:
    for item in items:
        yield item
