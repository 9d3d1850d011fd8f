"""What a connection sends: replies, encrypted if it has TLS, and the end of the server's half."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio

    from holdfast.net.tls import TlsChannel

REPLY_BYTES_HIGH = 16 * 1024
"""A sender whose unsent replies are more than this is not read from."""
REPLY_BYTES_LOW = 4 * 1024
"""It is read from again when they are no more than this."""


class ReplyOutput:
    """The sending side of a connection.

    Args:
        transport: Where bytes go.
        tls: Encrypts them; None for a connection without TLS.
    """

    __slots__ = ("_tls", "_transport")

    def __init__(self, transport: asyncio.Transport, tls: TlsChannel | None) -> None:
        transport.set_write_buffer_limits(REPLY_BYTES_HIGH, REPLY_BYTES_LOW)
        self._transport = transport
        self._tls = tls

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the system has not taken."""
        return self._transport.get_write_buffer_size()

    @property
    def is_full(self) -> bool:
        """Whether nothing else should be answered now.

        uvloop sends at the end of the loop's turn, and only then calls ``pause_writing``: until then this alone is true.
        """
        return self._transport.get_write_buffer_size() > REPLY_BYTES_HIGH

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if self._tls is None:
            self._transport.write(data)
        else:
            self._tls.write(data)
            self.flush()

    def flush(self) -> None:
        """Send what TLS has to say by itself."""
        if self._tls is not None:
            data = self._tls.take_outgoing()
            if data:
                self._transport.write(data)

    def say_farewell(self) -> None:
        """End the server's half of the connection, as soon as the last line can be sent."""
        if self._tls is not None:
            self._tls.end_output()
            self.flush()
            if not self._tls.is_open:
                return
        # Reset or closed meanwhile, it says so in connection_lost.
        with contextlib.suppress(OSError, RuntimeError):
            self._transport.write_eof()

    def close(self) -> None:
        """Close the connection when everything is sent."""
        if self._tls is not None:
            self._tls.end_output()
            self.flush()
        self._transport.close()
