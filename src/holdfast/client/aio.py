"""The front that is awaited, on any event loop of asyncio's interface; threads only for files."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING, TypeVar

from holdfast.client.connection import Limits, make_settings
from holdfast.client.errors import SendError
from holdfast.client.feeds import BLOCK_BYTES, FilesFeed, is_path, list_files, take_first
from holdfast.client.link import Link, prepare
from holdfast.client.pump import Call, Open, Pause, Pump, Ready
from holdfast.client.row_buffer import RowBuffer
from holdfast.client.rows import HEADER, TRANSACTION_TYPES, encode_row_groups, encode_rows, grouped
from holdfast.io.compression import open_source

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from holdfast.client.connection import Settings
    from holdfast.client.pump import Request, Requests
    from holdfast.client.report import RefusedRow, SendReport
    from holdfast.domain.transaction import Transaction
    from holdfast.io.input_types import Input
    from holdfast.net.address import Address

_Result = TypeVar("_Result")


async def send_async(
    source: Input | Iterable[Transaction] | AsyncIterable[Transaction] | AsyncIterable[bytes] | list[str],
    to: str | Address,
    *,
    stream: str | None = None,
    token: str | None = None,
    tls: bool | ssl.SSLContext = False,
    decimals: int = 4,
    on_refused: Callable[[RefusedRow], object] | None = None,
    limits: Limits = Limits(),  # noqa: B008  # a tuple
) -> SendReport:
    """Send an input and wait until the server has decided all of it.

    As :func:`holdfast.client.send`, which says what the arguments are; beside those inputs it takes asynchronous
    iterables of transactions or of bytes, an ``asyncio.StreamReader`` above all. Files are read in threads.

    Raises:
        SendError: If not all was taken; its ``report`` says how far it got.
        OSError: If the input cannot be read.
        TypeError: If it is the path of a pipe, whose reading could not be cancelled.
    """
    settings = make_settings(to, stream=stream, token=token, tls=tls, on_refused=on_refused, limits=limits)
    files = list_files(source)
    if files is not None:
        channel = _Channel(settings, FilesFeed(files))
        try:
            return await channel.run()
        finally:
            channel.close()
    if is_path(source):
        raise TypeError(f"{source}: this is no regular file; read it with asyncio and give the StreamReader")
    pieces = _pieces(source)
    first = await anext(pieces, None)
    name, header = ("<bytes>", None) if isinstance(first, bytes) else ("<transactions>", HEADER)
    buffer = RowBuffer(name, header=header, first_row=1, bytes_max=limits.buffer_bytes_max)
    pushing = _Pushing(settings, buffer)
    try:
        piece = first
        while piece is not None:
            if isinstance(piece, bytes):
                await pushing.put(piece, 0)
            else:
                await pushing.put(encode_rows(piece, decimals), len(piece))
            piece = await anext(pieces, None)
        return await pushing.finish()
    finally:
        await pushing.close()
        await pieces.aclose()


async def _pieces(source: object) -> AsyncGenerator[bytes | list[Transaction], None]:
    """Give bytes, or lists of transactions, from whatever they come from."""
    if isinstance(source, asyncio.StreamReader):
        while data := await source.read(BLOCK_BYTES):
            yield data
    elif isinstance(source, AsyncIterable):
        async for item in source:
            yield bytes(item) if isinstance(item, bytes | bytearray | memoryview) else [item]
    else:
        first, rest = take_first(source)
        if isinstance(first, TRANSACTION_TYPES):
            for rows in grouped(rest):  # type: ignore[arg-type]  # the first was one
                yield rows
            return
        with open_source(rest) as stream:  # type: ignore[arg-type]  # no transactions
            buffer = memoryview(bytearray(BLOCK_BYTES))
            while count := await _call_in_thread(lambda: stream.readinto(buffer)):
                yield bytes(buffer[:count])


class AsyncClient:
    """Sends rows as they come about; an asynchronous context manager.

    Rows go out when they are given; they are kept until the server has decided them, and sent again after a lost
    connection if the stream has a name. A task of its own keeps the connection: it reads replies, reconnects and
    keeps an idle stream alive.

    Args:
        to: ``host:port``.
        stream: The name under which the server remembers how far the stream got.
        first_row: The number of the first row that will be given: those that the server has are left out. None: the
            rows that will be given come behind those that it has (:attr:`resumed_at`).
        header: The columns of rows that are given as bytes.
        decimals: How many decimals the server keeps, for amounts given in units.
        token: What the server wants to see.
        tls: Whether to use TLS and verify the server, or a context that says how.
        on_refused: Is called for each row that is not applied, in order, on the event loop.
        limits: Times and sizes.
    """

    def __init__(
        self,
        to: str | Address,
        *,
        stream: str | None = None,
        first_row: int | None = None,
        header: bytes = HEADER,
        decimals: int = 4,
        token: str | None = None,
        tls: bool | ssl.SSLContext = False,
        on_refused: Callable[[RefusedRow], object] | None = None,
        limits: Limits = Limits(),  # noqa: B008  # a tuple
    ) -> None:
        settings = make_settings(
            to, stream=stream, token=token, tls=tls, on_refused=on_refused, limits=limits
        )
        self._buffer = RowBuffer(
            "<rows>", header=header, first_row=first_row, bytes_max=limits.buffer_bytes_max
        )
        self._pushing = _Pushing(settings, self._buffer)
        self._session = self._pushing.channel.session
        self._header = header
        self._decimals = decimals

    async def __aenter__(self) -> Self:
        try:
            await self._pushing.wait_until(lambda: self._session.is_streaming)
        except BaseException:
            await self._pushing.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.close()
        finally:
            await self._pushing.close()

    @property
    def resumed_at(self) -> int:
        """How many rows the stream had when it was opened."""
        return self._session.resumed_at

    @property
    def acked(self) -> int:
        """The number of the last row that is known to be decided."""
        return self._session.acked

    async def send(self, rows: Transaction | Iterable[Transaction] | bytes) -> int:
        """Send rows; wait only while more is kept than may be.

        Args:
            rows: A transaction, several, or rows of CSV as bytes (without a header; the last line end may be missing).

        Returns:
            The number of the last row.

        Raises:
            SendError: If the stream has ended.
        """
        for data, count in encode_row_groups(rows, self._header, self._decimals):
            await self._pushing.put(data, count)
        return self._buffer.rows

    async def flush(self) -> int:
        """Wait until every row that was sent is decided; give the number of the last one.

        Raises:
            SendError: If the stream has ended.
        """
        await self._pushing.wait_until(lambda: self._buffer.is_settled)
        return self._session.acked

    async def close(self) -> SendReport:
        """Wait until every row is decided, end the connection and give the report.

        Raises:
            SendError: If that cannot be.
        """
        try:
            return self.report() if self._session.is_done else await self._pushing.finish()
        finally:
            await self._pushing.close()

    def report(self) -> SendReport:
        """Say how far the stream got."""
        return self._session.report()


class _Pushing:
    """A channel that runs in a task of its own, beside whoever gives it rows."""

    def __init__(self, settings: Settings, buffer: RowBuffer) -> None:
        self.channel = _Channel(settings, buffer, self._tell)
        self._buffer = buffer
        self._task: asyncio.Task[SendReport] | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    async def put(self, data: bytes, rows: int) -> None:
        """Give rows and wait while there are too many."""
        self._buffer.put_group(data, rows)
        if not self._buffer.has_header:
            return
        self.channel.wake()
        # The task that sends has its turn after every piece, not only when the buffer is full.
        await asyncio.sleep(0)
        await self.wait_until(lambda: not self._buffer.is_full)

    async def wait_until(self, is_enough: Callable[[], bool]) -> None:
        """Wait for something to become true while rows are sent.

        Raises:
            SendError: If the stream has ended.
        """
        task = self._running_task()
        while not task.done() and not is_enough():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        if task.done():
            task.result()

    async def finish(self) -> SendReport:
        """End the input and wait until all of it is decided."""
        self._buffer.end()
        self.channel.wake()
        task = self._running_task()
        await self.wait_until(task.done)
        return task.result()

    async def close(self) -> None:
        """Stop, whatever is left to do."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
            if not self._task.cancelled():
                # Whoever waited for it has seen what it ended with.
                self._task.exception()
        self.channel.close()

    def _running_task(self) -> asyncio.Task[SendReport]:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.channel.run())
            self._task.add_done_callback(lambda _: self._tell())
        return self._task

    def _tell(self) -> None:
        for waiter in self._waiters:
            _set(waiter)


class _Channel:
    """Sends one feed, awaiting whatever it takes."""

    def __init__(
        self,
        settings: Settings,
        feed: FilesFeed | RowBuffer,
        on_step: Callable[[], object] = lambda: None,
    ) -> None:
        self.session = settings.session(feed)
        self._feed = feed
        self._settings = settings
        self._pump = Pump(self.session, feed, on_step)
        self._waker: asyncio.Future[None] | None = None

    async def run(self) -> SendReport:
        """Send everything and wait until it is decided."""
        try:
            await _run(self._pump.run(), self._answer)
        except SendError as error:
            error.report = self.session.report()
            raise
        finally:
            self._pump.close()
        return self.session.report()

    def wake(self) -> None:
        """Say that the feed has more."""
        self.session.wake()
        if self._waker is not None:
            _set(self._waker)

    def close(self) -> None:
        """Close the connection and the input."""
        self._pump.close()
        self._feed.close()

    async def _answer(self, request: Request) -> object:
        match request:
            case Open():
                return await self._open()
            case Pause(seconds):
                await asyncio.sleep(seconds)
            case Call(function, does_block):
                return await _call_in_thread(function) if does_block else function()
            case Ready(link, seconds, for_room):
                await self._wait(link, seconds, for_room=for_room)
        return None

    async def _open(self) -> Link:
        try:
            async with asyncio.timeout(self._settings.limits.connect_seconds_max):
                return await self._open_any()
        except TimeoutError as error:
            # asyncio's own says nothing.
            raise TimeoutError("it took too long") from error

    async def _open_any(self) -> Link:
        host, port = self._settings.address
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        lost: OSError | None = None
        for family, kind, protocol, _, place in found:
            fresh = socket.socket(family, kind, protocol)
            try:
                return await self._open_one(fresh, place)
            except OSError as error:
                lost = error
                fresh.close()
            except BaseException:
                fresh.close()
                raise
        raise lost or OSError(f"{host} has no address")

    async def _open_one(self, fresh: socket.socket, place: object) -> Link:
        prepare(fresh)
        fresh.setblocking(False)
        await asyncio.get_running_loop().sock_connect(fresh, place)  # type: ignore[arg-type]  # as getaddrinfo gave it
        link = Link.to(fresh, self._settings.address, self._settings.context)
        for for_room in link.shake_hands():
            await self._wait(link, None, for_room=for_room)
        return link

    async def _wait(self, link: Link, seconds: float | None, *, for_room: bool) -> None:
        loop = asyncio.get_running_loop()
        self._waker = waker = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _set, waker)
        descriptor = link.fileno()
        loop.add_reader(descriptor, _set, waker)
        if for_room:
            loop.add_writer(descriptor, _set, waker)
        try:
            await waker
        finally:
            self._waker = None
            loop.remove_reader(descriptor)
            if for_room:
                loop.remove_writer(descriptor)
            if timer is not None:
                timer.cancel()


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


async def _call_in_thread(function: Callable[[], _Result]) -> _Result:
    """Call what reads a file; a cancellation waits for the read, so that nobody closes the file under it."""
    future = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        if not future.cancelled():
            future.exception()
        raise


async def _run(requests: Requests, answer: Callable[[Request], Awaitable[object]]) -> None:
    try:
        request = next(requests)
        while True:
            try:
                result = await answer(request)
            except OSError as error:
                request = requests.throw(error)
            else:
                request = requests.send(result)
    except StopIteration:
        return
