"""A TCP connection on asyncio, with TLS or without it, that reads and writes at the same time.

It uses the event loop for waiting alone and calls the socket itself. An asyncio transport throws away what the server has
sent as soon as a write fails, and the server's last line says why it ended the connection.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from holdfast.net.tls import NEED_MORE, TlsChannel

if TYPE_CHECKING:
    import ssl
    from typing import Self

    from holdfast.net.address import Address

_READ_BYTES = 64 * 1024
_TLS_WRITE_BYTES = 64 * 1024


class ClientConnection:
    """One connection to a server; :meth:`open` makes it.

    Args:
        connected: A connected, non-blocking socket.
        tls: Encrypts what goes through it; None for plain TCP.
    """

    def __init__(self, connected: socket.socket, tls: TlsChannel | None) -> None:
        self._socket = connected
        self._tls = tls
        self._outgoing = memoryview(b"")
        self._plain = memoryview(b"" if tls is None else bytearray(_READ_BYTES))
        self._waiter: asyncio.Future[None] | None = None
        self._is_woken = False

    @classmethod
    async def open(cls, address: Address, context: ssl.SSLContext | None, seconds_max: float) -> Self:
        """Connect to one of the addresses of a host and do the TLS handshake, if there is a context.

        Raises:
            OSError: If none can be reached in time, or TLS fails.
        """
        try:
            async with asyncio.timeout(seconds_max):
                return await cls._open_any(address, context, asyncio.get_running_loop().time() + seconds_max)
        except TimeoutError as error:
            # asyncio's own says nothing.
            raise TimeoutError(f"no answer in {seconds_max:g} seconds") from error

    @classmethod
    async def _open_any(cls, address: Address, context: ssl.SSLContext | None, until: float) -> Self:
        failure: OSError | None = None
        found = await _resolve(address)
        for index, (family, kind, protocol, _, target) in enumerate(found):
            # Each has its share of the time: one that never answers must not keep from the others.
            share = (until - asyncio.get_running_loop().time()) / (len(found) - index)
            opened = socket.socket(family, kind, protocol)
            try:
                async with asyncio.timeout(share):
                    return await cls._open_one(opened, target, address, context)
            except OSError as error:
                failure = error
                opened.close()
            except BaseException:
                opened.close()
                raise
        raise failure or OSError(f"{address.host} has no address")

    @classmethod
    async def _open_one(
        cls, opened: socket.socket, target: object, address: Address, context: ssl.SSLContext | None
    ) -> Self:
        # Single rows leave at once, and a server whose machine is gone is found out.
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        opened.setblocking(False)
        await asyncio.get_running_loop().sock_connect(opened, target)  # type: ignore[arg-type]  # as getaddrinfo gave it
        connection = cls(opened, None if context is None else TlsChannel(context, address.host))
        await connection._shake_hands()  # its own class
        return connection

    @property
    def is_flushed(self) -> bool:
        """Whether the socket has taken everything that :meth:`write` took."""
        return not self._outgoing

    def write(self, data: memoryview) -> int:
        """Take as much of the data as there is room for; 0 if there is none.

        Raises:
            OSError: If the connection is lost.
        """
        if self._tls is None:
            return self._send(data)
        if not self._flush() or not data:
            return 0
        piece = data[:_TLS_WRITE_BYTES]
        self._tls.write(piece)
        self._flush_tls(self._tls)
        return len(piece)

    def read(self) -> bytes | None:
        """Give what has come; None if nothing has, no bytes at the end.

        Raises:
            OSError: If the connection is lost.
        """
        if self._tls is not None and (count := self._tls.read_into(self._plain)) != NEED_MORE:
            return bytes(self._plain[:count])
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        if self._tls is None:
            return data
        self._tls.feed(data)
        count = self._tls.read_into(self._plain)
        return None if count == NEED_MORE else bytes(self._plain[:count])

    def end_output(self) -> None:
        """Close the sending side. With TLS, everything that has come has to be read before.

        Raises:
            OSError: If the connection is lost.
        """
        if self._tls is None:
            self._socket.shutdown(socket.SHUT_WR)
        else:
            self._tls.end_output()
            self._flush_tls(self._tls)

    async def wait(self, seconds: float | None, *, for_input: bool, for_room: bool) -> None:
        """Wait until there is something to read or room to write, for a call of :meth:`wake`, or for so many seconds."""
        if self._is_woken:
            self._is_woken = False
            return
        loop = asyncio.get_running_loop()
        self._waiter = waiter = loop.create_future()
        timer = None if seconds is None else loop.call_later(seconds, _set, waiter)
        descriptor = self._socket.fileno()
        if for_input:
            loop.add_reader(descriptor, _set, waiter)
        if for_room:
            loop.add_writer(descriptor, _set, waiter)
        try:
            await waiter
        finally:
            self._waiter = None
            self._is_woken = False
            if for_input:
                loop.remove_reader(descriptor)
            if for_room:
                loop.remove_writer(descriptor)
            if timer is not None:
                timer.cancel()

    def wake(self) -> None:
        """End the wait that goes on, or the next one."""
        self._is_woken = True
        if self._waiter is not None:
            _set(self._waiter)

    def close(self) -> None:
        """Close the connection, whatever is unsent."""
        self._socket.close()

    async def _shake_hands(self) -> None:
        tls = self._tls
        if tls is None:
            return
        tls.shake_hands()
        while True:
            is_flushed = self._flush_tls(tls)
            if is_flushed and tls.is_open:
                return
            await self.wait(None, for_input=not tls.is_open, for_room=not is_flushed)
            if not tls.is_open:
                self._receive_handshake(tls)

    def _receive_handshake(self, tls: TlsChannel) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError("the server closed the connection during the TLS handshake")
        tls.feed(data)

    def _flush_tls(self, tls: TlsChannel) -> bool:
        outgoing = tls.take_outgoing()
        if outgoing:
            self._outgoing = memoryview(bytes(self._outgoing) + outgoing)
        return self._flush()

    def _flush(self) -> bool:
        while self._outgoing:
            count = self._send(self._outgoing)
            if not count:
                return False
            self._outgoing = self._outgoing[count:]
        return True

    def _send(self, data: memoryview) -> int:
        if not data:
            return 0
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0


async def _resolve(address: Address) -> list[Any]:
    """Look up a host. No executor: at its end a program would wait for the answer, however long that takes."""
    with suppress(OSError, UnicodeError):
        return socket.getaddrinfo(*address, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    loop = asyncio.get_running_loop()
    future: asyncio.Future[list[Any]] = loop.create_future()

    def look_up() -> None:
        try:
            found: list[Any] | Exception = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)
        except UnicodeError:
            # A label that no host name can have.
            found = socket.gaierror(socket.EAI_NONAME, "this is no host name")
        except OSError as error:
            found = error
        # The loop may be closed by now.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(_settle, future, found)

    threading.Thread(target=look_up, name="holdfast-resolver", daemon=True).start()
    return await future


def _settle(future: asyncio.Future[list[Any]], found: list[Any] | Exception) -> None:
    if future.done():
        return
    if isinstance(found, Exception):
        future.set_exception(found)
    else:
        future.set_result(found)


def _set(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
