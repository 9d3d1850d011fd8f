"""The front that is awaited, on any event loop of asyncio's interface; threads only for files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable
from typing import TYPE_CHECKING

from holdfast.client.buffered import BufferedSender
from holdfast.client.file_rows import FileRows
from holdfast.client.inputs import BLOCK_BYTES, find_pipe, list_files, take_first
from holdfast.client.options import Limits, make_options
from holdfast.client.rows import HEADER, TRANSACTION_TYPES, EncodedRows, encode_any, encode_rows, group_rows
from holdfast.client.sender import Hooks, Sender, call_in_thread
from holdfast.io.compression import open_source

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncGenerator, Callable, Iterable
    from types import TracebackType
    from typing import Self

    from holdfast.client.report import RefusedRow, SendReport
    from holdfast.domain.transaction import Transaction
    from holdfast.io.input_types import Input
    from holdfast.net.address import Address


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
    options = make_options(to, stream=stream, token=token, tls=tls, limits=limits)
    hooks = Hooks(on_refused=on_refused)
    files = list_files(source)
    if files is not None:
        return await Sender(options, FileRows(files), hooks).run()
    pipe = find_pipe(source)
    if pipe is not None:
        raise TypeError(f"{pipe}: this is no regular file; read it with asyncio and give the StreamReader")
    pieces = _pieces(source, decimals)
    first = await anext(pieces, None)
    is_csv = first is None or first.rows is None
    name, header = ("<bytes>", None) if is_csv else ("<transactions>", HEADER)
    buffered = BufferedSender(options, name, header=header, first_row=1, hooks=hooks)
    try:
        piece = first
        while piece is not None:
            await buffered.put(piece)
            piece = await anext(pieces, None)
        return await buffered.finish()
    finally:
        await buffered.close()
        await pieces.aclose()


async def _pieces(source: object, decimals: int) -> AsyncGenerator[EncodedRows, None]:
    """Give bytes, or transactions as rows, from whatever they come from."""
    if isinstance(source, asyncio.StreamReader):
        while data := await source.read(BLOCK_BYTES):
            yield EncodedRows(data)
    elif isinstance(source, AsyncIterable):
        async for item in source:
            is_bytes = isinstance(item, bytes | bytearray | memoryview)
            yield EncodedRows(bytes(item)) if is_bytes else encode_rows([item], decimals)
    else:
        first, rest = take_first(source)
        if isinstance(first, TRANSACTION_TYPES):
            for rows in group_rows(rest, decimals):  # type: ignore[arg-type]  # the first was one
                yield rows
            return
        with open_source(rest) as stream:  # type: ignore[arg-type]  # no transactions
            buffer = memoryview(bytearray(BLOCK_BYTES))
            while count := await call_in_thread(lambda: stream.readinto(buffer)):
                yield EncodedRows(bytes(buffer[:count]))


class AsyncClient:
    """Sends rows as they come about; an asynchronous context manager.

    Rows go out when they are given; they are kept until the server has decided them, and sent again after a lost
    connection if the stream has a name. A task of its own keeps the connection: it reads replies, reconnects and
    keeps an idle stream alive.

    Args:
        to: ``host:port``.
        stream: The name under which the server remembers how far the stream got.
        first_row: The number of the first row that will be given: those that the server has are compared and left out.
            None: the rows that will be given come after those that it has (:attr:`resumed_at`).
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
        options = make_options(to, stream=stream, token=token, tls=tls, limits=limits)
        hooks = Hooks(on_refused=on_refused)
        self._buffered = BufferedSender(options, "<rows>", header=header, first_row=first_row, hooks=hooks)
        self._state = self._buffered.sender.state
        self._header = header
        self._decimals = decimals

    async def __aenter__(self) -> Self:
        try:
            await self._buffered.open()
        except BaseException:
            await self._buffered.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                await self.close()
        finally:
            await self._buffered.close()

    @property
    def resumed_at(self) -> int:
        """How many rows the stream had when it was opened."""
        return self._state.resumed_at

    @property
    def acked(self) -> int:
        """The number of the last row that is known to be decided."""
        return self._state.acked

    async def send(self, rows: Transaction | Iterable[Transaction] | bytes) -> int:
        """Send rows; wait only while more is kept than may be.

        Args:
            rows: A transaction, several, or rows of CSV as bytes (without a header; the last line end may be missing).

        Returns:
            The number of the last row.

        Raises:
            SendError: If the stream has ended.
        """
        for encoded in encode_any(rows, self._header, self._decimals):
            await self._buffered.put(encoded)
        return self._buffered.buffer.rows

    async def flush(self) -> int:
        """Wait until every row that was sent is decided; give the number of the last one.

        Raises:
            SendError: If the stream has ended.
        """
        return await self._buffered.flush()

    async def close(self) -> SendReport:
        """Wait until every row is decided, end the connection and give the report.

        Raises:
            SendError: If that cannot be.
        """
        try:
            return await self._buffered.finish()
        finally:
            await self._buffered.close()

    def report(self) -> SendReport:
        """Say how far the stream got."""
        return self._buffered.sender.report()
