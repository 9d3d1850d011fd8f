"""The front that blocks: one thread, one poll, no asyncio."""

from __future__ import annotations

import select
import socket
import time
from contextlib import nullcontext
from typing import TYPE_CHECKING

from holdfast.client.connection import Limits, make_settings
from holdfast.client.errors import SendError
from holdfast.client.feeds import BLOCK_BYTES, FilesFeed, list_files, take_first
from holdfast.client.link import Link, prepare
from holdfast.client.pump import Call, Open, Pause, Pump, Ready
from holdfast.client.row_buffer import RowBuffer
from holdfast.client.rows import HEADER, TRANSACTION_TYPES, encode_row_groups, encode_rows, grouped
from holdfast.io.compression import open_source

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Iterable
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from holdfast.client.connection import Settings
    from holdfast.client.pump import Request, Requests
    from holdfast.client.report import RefusedRow, SendReport
    from holdfast.domain.transaction import Transaction
    from holdfast.io.compression import InputStream
    from holdfast.io.input_types import Input
    from holdfast.net.address import Address

    Waiting = Callable[[], AbstractContextManager[object]]


def send(
    source: Input | Iterable[Transaction] | list[str],
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

    A stream with a name survives lost connections and restarts of this process: rows that the server has are not
    sent again. Call it again with the same input and name, and it goes on where it ended.

    Args:
        source: A path, bytes, a binary file, an iterable of bytes, compressed or not; or an iterable of transactions;
            or a list of paths, which are one stream, their rows numbered on.
        to: ``host:port``.
        stream: The name under which the server remembers how far the stream got.
        token: What the server wants to see.
        tls: Whether to use TLS and verify the server, or a context that says how (:func:`make_tls_context`).
        decimals: How many decimals the server keeps, for transactions whose amount is given in units.
        on_refused: Is called for each row that is not applied, in order, in between.
        limits: Times and sizes.

    Raises:
        SendError: If not all was taken; its ``report`` says how far it got.
        OSError: If the input cannot be read.
    """
    settings = make_settings(to, stream=stream, token=token, tls=tls, on_refused=on_refused, limits=limits)
    files = list_files(source)
    if files is not None:
        with Channel(settings, FilesFeed(files)) as channel:
            return channel.finish()
    first, rest = take_first(source)
    if isinstance(first, TRANSACTION_TYPES):
        buffer = RowBuffer("<transactions>", header=HEADER, first_row=1, bytes_max=limits.buffer_bytes_max)
        with Channel(settings, buffer) as channel:
            for rows in grouped(rest):  # type: ignore[arg-type]  # the first was one
                buffer.put_rows(encode_rows(rows, decimals), len(rows))
                channel.push()
            return channel.finish()
    with open_source(rest) as bytes_once:  # type: ignore[arg-type]  # no transactions
        return send_once(bytes_once, settings)


def send_once(
    stream: InputStream,
    settings: Settings,
    waiting: Waiting = nullcontext,
    on_step: Callable[[Channel], object] = lambda _: None,
) -> SendReport:
    """Send an input that can be read only once, keeping what is not acknowledged."""
    buffer = RowBuffer(stream.name, header=None, first_row=1, bytes_max=settings.limits.buffer_bytes_max)
    block = memoryview(bytearray(BLOCK_BYTES))
    with Channel(settings, buffer, waiting, on_step) as channel:
        while True:
            with waiting():
                count = stream.readinto(block)
            if not count:
                return channel.finish()
            buffer.put(block[:count])
            if buffer.has_header:
                channel.push()


class Channel:
    """Sends one feed, waiting for whatever it takes; a context manager that closes the connection and the feed.

    Args:
        settings: Where and how.
        feed: The rows.
        waiting: Makes the context that every wait happens in: how a signal ends it.
        on_step: Is called with this after everything that happened.
    """

    def __init__(
        self,
        settings: Settings,
        feed: FilesFeed | RowBuffer,
        waiting: Waiting = nullcontext,
        on_step: Callable[[Channel], object] = lambda _: None,
    ) -> None:
        self.feed = feed
        self.session = settings.session(feed)
        self._settings = settings
        self._waiting = waiting
        self._pump = Pump(self.session, feed, lambda: on_step(self))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def push(self, is_enough: Callable[[], bool] | None = None) -> None:
        """Send what is there, and wait as long as that is not enough: by default, while too much is kept.

        Raises:
            SendError: If the stream ended.
        """
        self.session.wake()
        self._run(self._pump.run_until(is_enough or (lambda: not self.feed.is_full)))

    def finish(self) -> SendReport:
        """End the input, wait until all of it is decided and say what became of it.

        Raises:
            SendError: If that cannot be.
        """
        if isinstance(self.feed, RowBuffer):
            self.feed.end()
        self.session.wake()
        self._run(self._pump.run())
        return self.session.report()

    def close(self) -> None:
        """Close the connection and the input."""
        self._pump.close()
        self.feed.close()

    def _run(self, requests: Requests) -> None:
        try:
            _run(requests, self._answer)
        except SendError as error:
            error.report = self.session.report()
            raise

    def _answer(self, request: Request) -> object:
        match request:
            case Open():
                return self._open()
            case Pause(seconds):
                with self._waiting():
                    time.sleep(seconds)
            case Call(function):
                with self._waiting():
                    return function()
            case Ready(link, seconds, for_room):
                self._wait(link, seconds, for_room=for_room)
        return None

    def _open(self) -> Link:
        deadline = time.monotonic() + self._settings.limits.connect_seconds_max
        host, port = self._settings.address
        with self._waiting():
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        lost: OSError | None = None
        for family, kind, protocol, _, place in found:
            fresh = socket.socket(family, kind, protocol)
            try:
                return self._open_one(fresh, place, deadline)
            except OSError as error:
                lost = error
                fresh.close()
            except BaseException:
                fresh.close()
                raise
        raise lost or OSError(f"{host} has no address")

    def _open_one(self, fresh: socket.socket, place: object, deadline: float) -> Link:
        prepare(fresh)
        fresh.settimeout(max(0.001, deadline - time.monotonic()))
        with self._waiting():
            fresh.connect(place)  # type: ignore[arg-type]  # an address as getaddrinfo gave it
        fresh.setblocking(False)
        link = Link.to(fresh, self._settings.address, self._settings.context)
        for for_room in link.shake_hands():
            seconds = deadline - time.monotonic()
            if seconds <= 0:
                raise TimeoutError("the TLS handshake took too long")
            self._wait(link, seconds, for_room=for_room)
        return link

    def _wait(self, link: Link, seconds: float | None, *, for_room: bool) -> None:
        poll = select.poll()
        poll.register(link, select.POLLIN | select.POLLOUT if for_room else select.POLLIN)
        with self._waiting():
            poll.poll(None if seconds is None else max(1, int(seconds * 1000)))


def _run(requests: Requests, answer: Callable[[Request], object]) -> None:
    try:
        request = next(requests)
        while True:
            try:
                result = answer(request)
            except OSError as error:
                request = requests.throw(error)
            else:
                request = requests.send(result)
    except StopIteration:
        return


class Client:
    """Sends rows as they come about, from one thread; a context manager.

    Rows go out when they are given; they are kept until the server has decided them, and sent again after a lost
    connection if the stream has a name. Nothing is read or sent between calls.

    Args:
        to: ``host:port``.
        stream: The name under which the server remembers how far the stream got.
        first_row: The number of the first row that will be given: those that the server has are left out. None: the
            rows that will be given come behind those that it has (:attr:`resumed_at`).
        header: The columns of rows that are given as bytes.
        decimals: How many decimals the server keeps, for amounts given in units.
        token: What the server wants to see.
        tls: Whether to use TLS and verify the server, or a context that says how.
        on_refused: Is called for each row that is not applied, in order, during the calls.
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
        self._channel = Channel(settings, self._buffer)
        self._header = header
        self._decimals = decimals

    def __enter__(self) -> Self:
        try:
            self._channel.push(lambda: True)
        except BaseException:
            self._channel.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._channel.close()

    @property
    def resumed_at(self) -> int:
        """How many rows the stream had when it was opened."""
        return self._channel.session.resumed_at

    @property
    def acked(self) -> int:
        """The number of the last row that is known to be decided."""
        return self._channel.session.acked

    def send(self, rows: Transaction | Iterable[Transaction] | bytes) -> int:
        """Send rows; wait only while more is kept than may be.

        Args:
            rows: A transaction, several, or rows of CSV as bytes (without a header; the last line end may be missing).

        Returns:
            The number of the last row.

        Raises:
            SendError: If the stream has ended.
        """
        for data, count in encode_row_groups(rows, self._header, self._decimals):
            self._buffer.put_group(data, count)
            self._channel.push()
        return self._buffer.rows

    def flush(self) -> int:
        """Wait until every row that was sent is decided; give the number of the last one.

        Raises:
            SendError: If the stream has ended.
        """
        self._channel.push(lambda: self._buffer.is_settled)
        return self._channel.session.acked

    def close(self) -> SendReport:
        """Wait until every row is decided, end the connection and give the report.

        Raises:
            SendError: If that cannot be.
        """
        try:
            return self.report() if self._channel.session.is_done else self._channel.finish()
        finally:
            self._channel.close()

    def report(self) -> SendReport:
        """Say how far the stream got."""
        return self._channel.session.report()
