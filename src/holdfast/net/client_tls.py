"""TLS, sans I/O: ciphertext in and out as bytes, so that both fronts share it, and so that a sender can end its side.

The protocol ends its input by closing one direction. Sockets wrapped by ``ssl`` and asyncio's TLS transports
cannot: they stop reading when they say that they are done. Over memory it can be done, as TLS 1.3 allows it.
"""

from __future__ import annotations

import ssl


class Tls:
    """One TLS connection, the client's side.

    Args:
        context: Whom to trust.
        host: The name that the certificate has to be for.
    """

    def __init__(self, context: ssl.SSLContext, host: str) -> None:
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self._object = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)

    def shake_hands(self) -> bool:
        """Go on with the handshake; whether it is done.

        Raises:
            ssl.SSLError: If it failed.
        """
        try:
            self._object.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    def feed(self, ciphertext: bytes) -> None:
        """Take bytes from the peer; none at their end."""
        if ciphertext:
            self._incoming.write(ciphertext)
        else:
            self._incoming.write_eof()

    def read(self) -> tuple[bytes, bool]:
        """Give what the peer said and whether it said that this is all.

        Raises:
            ssl.SSLError: If the connection was tampered with or ended without saying so.
        """
        parts: list[bytes] = []
        while True:
            try:
                part = self._object.read(64 * 1024)
            except ssl.SSLWantReadError:
                return b"".join(parts), False
            except ssl.SSLZeroReturnError:
                part = b""
            except ssl.SSLEOFError:
                if not parts:
                    raise
                return b"".join(parts), False
            if not part:
                return b"".join(parts), True
            parts.append(part)

    def write(self, data: bytes | memoryview) -> None:
        """Encrypt bytes for the peer."""
        if len(data):
            self._object.write(data)

    def end(self) -> None:
        """Say that nothing more will come. What the peer sent has to be read before."""
        try:
            self._object.unwrap()
        except ssl.SSLError:
            # It wants to read the peer's own end, which comes after its last reply.
            return

    def outgoing(self) -> bytes:
        """Give the ciphertext that has to be sent."""
        return self._outgoing.read()
