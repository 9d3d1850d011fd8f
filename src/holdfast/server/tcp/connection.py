"""One connection: a session on one side, a transport on the other, and between them who may go on and who has to wait."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import logging
import os
import ssl
import struct
import termios
from time import monotonic
from typing import TYPE_CHECKING

from holdfast.net.tls import NEED_MORE, TlsChannel
from holdfast.protocol.messages import ErrorCode, WireError
from holdfast.protocol.server_session import Session
from holdfast.protocol.wire import encode_all

if TYPE_CHECKING:
    from holdfast.protocol.messages import Event
    from holdfast.server.tcp.server import Server

REPLY_BYTES_HIGH = 16 * 1024
"""A sender whose unread replies are more than this is not read from."""
REPLY_BYTES_LOW = 4 * 1024
"""It is read from again when they are no more than this."""

# Why a connection is not read from: bits, so that reasons come and go without knowing of each other.
_UNREAD_REPLIES, _DISCARDED_ENOUGH = 1, 2

_OPEN, _LINGERING, _CLOSING, _LOST = range(4)

_NOTHING = memoryview(b"")

_log = logging.getLogger("holdfast.server")


class Connection(asyncio.BufferedProtocol):
    """Reads into the server's shared buffer, lets the session take what came, sends what the session answers.

    This is the one place that pauses and resumes reading.

    Args:
        server: Whose buffers, limits and clock it uses.
    """

    __slots__ = (
        "_buffer",
        "_closes_at",
        "_discarded",
        "_held_since",
        "_holds",
        "_plain",
        "_server",
        "_state",
        "_tls",
        "_transport",
        "has_ack_due",
        "session",
    )

    _transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._state = _OPEN
        self._holds = 0
        self._held_since = self._closes_at = 0.0
        self._discarded = 0
        self._tls = None if server.tls is None else TlsChannel(server.tls)
        # Replies to what one read brings are bounded by the read: it is small until it is known that nobody wants many.
        self._plain = server.small_buffer
        self._buffer = server.small_buffer if self._tls is None else server.tls_buffer
        self.has_ack_due = False
        """Whether the server has it on its list of connections to wake."""
        self.session: Session

    # --- called by the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or say why not."""
        # uvloop's transports have all of asyncio.Transport's methods and do not derive from it.
        self._transport = transport  # type: ignore[assignment]  # see above
        self._transport.set_write_buffer_limits(REPLY_BYTES_HIGH, REPLY_BYTES_LOW)
        self.session = Session(self._server.intake, self, monotonic())
        refusal = self._server.admit(self)
        if refusal is not None:
            self.end(refusal)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: whole rows that came stand, half a row is gone."""
        _log.debug("connection lost after %d rows: %s", self.session.rows, exc or "closed")
        self._state = _LOST
        self.session.leave()
        self._server.forget(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Give the buffer that all connections of the loop read into: it is empty again when buffer_updated returns."""
        return self._buffer

    def buffer_updated(self, count: int) -> None:
        """Take what was read."""
        if self._state != _OPEN:
            self._discard(count)
            return
        try:
            if self._tls is None:
                self._take(self._buffer[:count])
            else:
                self._decrypt(self._tls, self._buffer[:count])
        except Exception as error:  # noqa: BLE001  # one connection's trouble is not the others'
            self.fail(error)

    def eof_received(self) -> bool:
        """Take the end of the input; what is still to be said is said before the connection is closed."""
        if self._state != _OPEN:
            self._transport.close()
        elif self._tls is not None:
            # The end of a TLS connection without its farewell may be an attacker's doing: nothing else is decided.
            self._close()
        else:
            try:
                self._end_input()
            except Exception as error:  # noqa: BLE001  # as in buffer_updated
                self.fail(error)
        return True

    def pause_writing(self) -> None:
        """Stop reading from a sender who does not read."""
        self._hold(_UNREAD_REPLIES)

    def resume_writing(self) -> None:
        """Go on with a sender who reads again."""
        self._release(_UNREAD_REPLIES)

    # --- called by the server and the session ---

    @property
    def is_open(self) -> bool:
        """Whether rows are taken."""
        return self._state == _OPEN

    @property
    def held_bytes(self) -> int:
        """Bytes kept for this connection."""
        return self.session.held_bytes + self._transport.get_write_buffer_size()

    def deliver(self, events: list[Event]) -> None:
        """Send the last events of a session that was ended from outside."""
        self._reply(events)

    def end(self, error: WireError) -> None:
        """End the connection with an error."""
        if self._state == _OPEN:
            self._reply(self.session.abort(error))

    def fail(self, error: Exception) -> None:
        """End the connection because of a bug, or for lack of memory; the others go on."""
        if isinstance(error, MemoryError):
            reason = WireError(ErrorCode.MEMORY_LIMIT, "the server is out of memory")
        else:
            _log.error("a connection ends with an internal error", exc_info=error)
            reason = WireError(ErrorCode.INTERNAL, "internal error; the server's log has more")
        try:
            self.end(reason)
        except Exception:  # noqa: BLE001  # it cannot even be told
            self._transport.abort()

    def wake(self, now: float) -> None:
        """Send the ack that is due."""
        self.has_ack_due = False
        if self._state == _OPEN:
            self._reply(self.session.wake(now))

    def check(self, now: float) -> None:
        """Look for what has taken too long."""
        if self._state != _OPEN:
            if now > self._closes_at:
                self._transport.abort()
            return
        limit = self._server.intake.limits.replies_seconds_max
        if self._holds & _UNREAD_REPLIES and now - self._held_since > limit:
            text = f"replies were not read for {limit:g} seconds, while no more rows were taken"
            self.end(WireError(ErrorCode.REPLIES_NOT_READ, text))
        else:
            self._reply(self.session.check(now, is_held=self._holds != 0))

    def is_quiet(self, now: float, seconds: float) -> bool:
        """Say whether nothing came for a while and no line is in the middle."""
        return now - self.session.received_at >= seconds and self.session.held_bytes == 0

    def drain(self) -> None:
        """Take what the system has received by now."""
        descriptor = self._transport.get_extra_info("socket").fileno()
        (left,) = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0\0\0\0"))
        while left > 0 and self._state == _OPEN and not self._holds:
            try:
                count = os.readv(descriptor, [self._buffer[:left]])
            except OSError:
                return
            if count == 0:
                return
            left -= count
            self.buffer_updated(count)

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        self._transport.abort()

    # --- input ---

    def _take(self, data: memoryview) -> None:
        session = self.session
        size = session.piece_bytes
        for start in range(0, len(data), size):
            self._reply(session.receive(data[start : start + size], monotonic()))
        if session.wake_at is not None and not self.has_ack_due:
            self._server.wake_later(self)
        if self._plain is self._server.small_buffer and not session.is_opening and not session.wants_refused:
            self._plain = self._server.buffer
            if self._tls is None:
                self._buffer = self._plain

    def _decrypt(self, tls: TlsChannel, data: memoryview) -> None:
        """Take what there is in plain text, as long as nothing holds the sender back."""
        try:
            tls.feed(data)
            while self._state == _OPEN and not self._holds:
                count = tls.read_into(self._plain)
                if count == NEED_MORE:
                    break
                if count == 0:
                    self._end_input()
                else:
                    self._take(self._plain[:count])
        except ssl.SSLError as error:
            _log.debug("TLS failed: %s", error)
            self._close()
        self._flush_tls()

    def _end_input(self) -> None:
        self._send(encode_all(self.session.end_of_input(monotonic())))
        self._close()

    def _discard(self, count: int) -> None:
        """Throw away what comes behind the end, but for a handshake that has to be done before the sender can be told."""
        tls = self._tls
        if tls is not None and not tls.is_open and self._state == _LINGERING:
            try:
                tls.feed(self._buffer[:count])
            except ssl.SSLError as error:
                _log.debug("TLS failed: %s", error)
                self._close()
                return
            self._say_farewell()
        self._discarded += count
        if self._discarded > self._server.intake.limits.linger_bytes_max:
            self._hold(_DISCARDED_ENOUGH)

    # --- output ---

    def _reply(self, events: list[Event]) -> None:
        """Send events, the last ones included."""
        if not events:
            return
        self._send(encode_all(events))
        if self.session.has_ended:
            self._linger()
        elif (held := self.held_bytes) > (limit := self._server.intake.limits.connection_bytes_max):
            text = f"more than {limit} bytes of replies are not read"
            self.end(WireError(ErrorCode.CONNECTION_MEMORY, text))
            if held > 2 * limit:
                # Nor would this be read; so many bytes are not kept for the sake of a last line.
                self._transport.abort()

    def _send(self, data: bytes) -> None:
        if self._tls is None:
            self._transport.write(data)
        else:
            self._tls.write(data)
            self._flush_tls()

    def _flush_tls(self) -> None:
        if self._tls is not None:
            data = self._tls.take_outgoing()
            if data:
                self._transport.write(data)

    # --- who waits ---

    def _hold(self, reason: int) -> None:
        if not self._holds:
            self._held_since = monotonic()
            # While it is closing, nothing is read any more anyway.
            with contextlib.suppress(RuntimeError):
                self._transport.pause_reading()
        self._holds |= reason

    def _release(self, reason: int) -> None:
        self._holds &= ~reason
        if not self._holds and self._tls is not None and self._state == _OPEN:
            # What was decrypted in part comes before what has not been read.
            try:
                self._decrypt(self._tls, _NOTHING)
            except Exception as error:  # noqa: BLE001  # as in buffer_updated
                self.fail(error)
        if not self._holds:
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()

    # --- the end ---

    def _linger(self) -> None:
        """Let the last line arrive: closed at once, with input unread, the connection would be reset, and the line lost."""
        self._state = _LINGERING
        self._closes_at = monotonic() + self._server.intake.limits.linger_seconds_max
        self._say_farewell()
        self._release(_UNREAD_REPLIES)

    def _say_farewell(self) -> None:
        """End the server's half of the connection, as soon as the last line can be sent."""
        if self._tls is not None:
            self._tls.end_output()
            self._flush_tls()
            if not self._tls.is_open:
                return
        # Reset or closed meanwhile, it says so in connection_lost.
        with contextlib.suppress(OSError, RuntimeError):
            self._transport.write_eof()

    def _close(self) -> None:
        """Close when what was said is sent, and not much later if nobody reads it."""
        self._state = _CLOSING
        self._closes_at = monotonic() + self._server.intake.limits.replies_seconds_max
        self.session.leave()
        if self._tls is not None:
            self._tls.end_output()
            self._flush_tls()
        self._transport.close()
