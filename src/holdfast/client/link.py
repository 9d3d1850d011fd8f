"""A non-blocking TCP connection, with TLS or without, that writes and reads at the same time."""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Self

    from holdfast.net.address import Address
    from holdfast.net.client_tls import Tls

_READ_BYTES = 64 * 1024
_TLS_WRITE_BYTES = 64 * 1024


class Link:
    """A connection to the server.

    Args:
        connected: The socket.
        tls: What encrypts it, its handshake not yet done; None for plain TCP.
    """

    def __init__(self, connected: socket.socket, tls: Tls | None) -> None:
        self._socket = connected
        self._tls = tls
        self._cipher = memoryview(b"")

    @classmethod
    def to(cls, connected: socket.socket, address: Address, context: ssl.SSLContext | None) -> Self:
        """Make the link to a server; with TLS, for which the handshake comes next, if there is a context."""
        if context is None:
            return cls(connected, None)
        from holdfast.net.client_tls import Tls  # noqa: PLC0415  # only who uses it pays for it

        return cls(connected, Tls(context, address.host))

    def write_some(self, data: memoryview) -> int:
        """Take as much of the data as the connection does at once; 0 if none.

        Raises:
            OSError: If the connection is lost.
        """
        if self._tls is None:
            return self._send(data)
        if not self._flush() or not data:
            return 0
        piece = data[:_TLS_WRITE_BYTES]
        self._tls.write(piece)
        self._cipher = memoryview(self._tls.outgoing())
        self._flush()
        return len(piece)

    @property
    def is_flushed(self) -> bool:
        """Whether nothing that was taken is left to send."""
        return not self._cipher

    def read_some(self) -> bytes | None:
        """Give what has come; None if nothing has, no bytes at the end.

        Raises:
            OSError: If the connection is lost.
        """
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return None
        if self._tls is None:
            return data
        self._tls.feed(data)
        plain, is_end = self._tls.read()
        return plain if plain or is_end or not data else None

    def end(self) -> None:
        """Close the sending side.

        Raises:
            OSError: If the connection is lost.
        """
        if self._tls is None:
            self._socket.shutdown(socket.SHUT_WR)
        else:
            self._tls.end()
            self._cipher = memoryview(self._tls.outgoing())

    def fileno(self) -> int:
        """Give the socket's descriptor, to wait for it."""
        return self._socket.fileno()

    def shake_hands(self) -> Iterator[bool]:
        """Do the TLS handshake, if there is one to do: give, as often as it has to wait, whether that is for room to write.

        Raises:
            OSError: If it fails.
        """
        if self._tls is None:
            return
        is_done = False
        while True:
            is_done = is_done or self._tls.shake_hands()
            self._cipher = memoryview(bytes(self._cipher) + self._tls.outgoing())
            if self._flush() and is_done:
                return
            yield bool(self._cipher)
            if not is_done:
                self._receive_handshake(self._tls)

    def _receive_handshake(self, tls: Tls) -> None:
        try:
            data = self._socket.recv(_READ_BYTES)
        except BlockingIOError:
            return
        if not data:
            raise ConnectionResetError("the server closed the connection during the TLS handshake")
        tls.feed(data)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _flush(self) -> bool:
        while self._cipher:
            count = self._send(self._cipher)
            if not count:
                return False
            self._cipher = self._cipher[count:]
        return True

    def _send(self, data: memoryview) -> int:
        if not data:
            return 0
        try:
            return self._socket.send(data)
        except BlockingIOError:
            return 0


def prepare(fresh: socket.socket) -> None:
    """Set what both fronts want: single rows leave at once, a peer that has gone is found out."""
    fresh.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    fresh.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def say_loss(error: OSError) -> str:
    """Put a lost connection into words."""
    if isinstance(error, ssl.SSLError):
        return f"TLS: {error.reason or error}"
    return error.strerror or str(error) or type(error).__name__
