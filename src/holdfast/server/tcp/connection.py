"""One connection: it reads from a transport into a session, sends what the session answers, and pauses when it has to."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
from time import monotonic, thread_time
from typing import TYPE_CHECKING

from holdfast.engine.interface import EngineFullError
from holdfast.net.tls import NEED_MORE, TlsChannel
from holdfast.protocol.handshake import ledger_failed, ledger_full
from holdfast.protocol.messages import ErrorCode, WireError
from holdfast.protocol.server_session import REFUSED_PIECE_BYTES, Session
from holdfast.protocol.wire import encode_all
from holdfast.server.tcp.output import ReplyOutput
from holdfast.server.tcp.reading import (
    READ_BYTES,
    SHORT_BYTES,
    SMALL_READ_BYTES,
    TLS_READ_BYTES,
    choose_read_bytes,
    next_read_bytes,
    read_peer_address,
    read_received,
)
from holdfast.server.tcp.turns import CHEAP_SECONDS

if TYPE_CHECKING:
    from typing import Protocol

    from holdfast.protocol.messages import Event
    from holdfast.protocol.server_context import ServerContext
    from holdfast.server.tcp.turns import Turns

    class Host(Protocol):
        """What the connections of a server share."""

        context: ServerContext
        tls: ssl.SSLContext | None
        turns: Turns
        buffer: memoryview
        tls_buffer: memoryview

        def admit(self, connection: Connection) -> WireError | None:
            """Count a connection in; give the reason if it cannot stay."""

        def forget(self, connection: Connection) -> None:
            """Count a connection out."""

        def wake_later(self, connection: Connection) -> None:
            """Wake a connection when its session wants to be."""

        def load_pages(self, connection: Connection) -> None:
            """Bring what its session wants into memory, and call :meth:`Connection.pages_loaded`."""


# Why a connection is not read from: bits, because several reasons can hold at a time.
_UNREAD_REPLIES, _DISCARDED_ENOUGH, _WAITS_FOR_TURN, _WAITS_FOR_PAGES = 1, 2, 4, 8

_OPEN, _LINGERING, _CLOSING, _LOST = range(4)

_NOTHING = memoryview(b"")

_log = logging.getLogger("holdfast.server")


class Connection(asyncio.BufferedProtocol):
    """Reads into the server's shared buffer, passes input to the session, and sends what the session answers.

    This is the one place that pauses and resumes reading.

    Args:
        host: The server, whose buffers, limits and turns it uses.
    """

    __slots__ = (
        "_closes_at",
        "_discarded",
        "_has_eof",
        "_holds",
        "_host",
        "_output",
        "_read_bytes",
        "_rest",
        "_state",
        "_tls",
        "_transport",
        "_unread_since",
        "has_ack_due",
        "piece_seconds",
        "session",
    )

    _output: ReplyOutput
    _transport: asyncio.Transport

    def __init__(self, host: Host) -> None:
        self._host = host
        self._state = _OPEN
        self._holds = 0
        self._unread_since = self._closes_at = 0.0
        self._discarded = 0
        self._tls = None if host.tls is None else TlsChannel(host.tls)
        # How much is read next, as far as that is known.
        self._read_bytes = 0
        # What was read and has to wait: for its turn, or for replies to be sent.
        self._rest = b""
        self._has_eof = False
        self.piece_seconds = 0.0
        """What the next piece of input will cost, as far as the last one tells."""
        self.has_ack_due = False
        """Whether the server has it on its list of connections to wake."""
        self.session: Session

    # --- called by the event loop ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, or say why not."""
        began = thread_time()
        # uvloop's transports have all of asyncio.Transport's methods and do not derive from it.
        self._transport = transport  # type: ignore[assignment]  # see above
        self._output = ReplyOutput(self._transport, self._tls)
        address = read_peer_address(self._transport) if self._host.context.keeps_actors else ""
        self.session = Session(self._host.context, self, monotonic(), address)
        refusal = self._host.admit(self)
        if refusal is not None:
            self.end(refusal)
        self._host.turns.spend(thread_time() - began)

    def connection_lost(self, exc: Exception | None) -> None:
        """End: whole rows that came stand, half a row is gone."""
        _log.debug("connection lost after %d rows: %s", self.session.rows, exc or "closed")
        self._state = _LOST
        self._rest = b""
        self.session.settle()
        self.session.leave()
        self._host.forget(self)

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Give a part of the buffer that all connections share: it is empty again when buffer_updated returns."""
        host, turns = self._host, self._host.turns
        size = choose_read_bytes(self._read_bytes, self._read_bytes_max, turns)
        # The system's work for a read counts: for a sender on the same machine it is more than that for its rows.
        turns.piece_began, turns.piece_bytes_max = thread_time(), size
        return (host.buffer if self._tls is None else host.tls_buffer)[:size]

    def buffer_updated(self, count: int) -> None:
        """Take what was read."""
        if self._state != _OPEN:
            self._discard(count)
            return
        self._receive(count)
        self._account(thread_time() - self._host.turns.piece_began, count)

    def eof_received(self) -> bool:
        """Take the end of the input; what is still to be said is said before the connection is closed."""
        if self._state != _OPEN:
            self._transport.close()
        elif not self._has_eof:
            self._has_eof = True
            if self._host.turns.is_spent:
                self._wait_for_turn()
            elif not self._holds:
                began = thread_time()
                self._finish()
                self._host.turns.spend(thread_time() - began)
        return True

    def pause_writing(self) -> None:
        """Stop reading from a sender who does not read."""
        self._unread_since = monotonic()
        self._hold(_UNREAD_REPLIES)

    def resume_writing(self) -> None:
        """Go on with a sender who reads again, when it is its turn."""
        if self._state == _OPEN and self._host.turns.is_crowded:
            self._wait_for_turn()
        began = thread_time()
        self._release(_UNREAD_REPLIES)
        self._host.turns.spend(thread_time() - began)

    # --- called by the server and the session ---

    @property
    def is_open(self) -> bool:
        """Whether rows are taken."""
        return self._state == _OPEN

    @property
    def held_bytes(self) -> int:
        """Bytes kept for this connection."""
        return self.session.held_bytes + len(self._rest) + self._output.unsent_bytes

    def take_turn(self) -> None:
        """Go on after a wait for the others."""
        began = thread_time()
        self._release(_WAITS_FOR_TURN)
        self._host.turns.spend(thread_time() - began)

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
        elif self._host.context.engine.failure is not None:
            reason = ledger_failed()
        elif isinstance(error, EngineFullError):
            reason = ledger_full()
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
        limit = self._host.context.limits.replies_seconds_max
        if self._holds & _UNREAD_REPLIES and now - self._unread_since > limit:
            text = f"the replies were not read for {limit:g} seconds; read them while you send"
            self.end(WireError(ErrorCode.REPLIES_NOT_READ, text))
        else:
            self._reply(self.session.check(now, is_held=self._holds != 0))
            if self._has_eof and self._state == _OPEN and not self._holds:
                # Its summary waits until its rows are durable.
                self._reply(self.session.wake(now))

    def is_quiet(self, now: float, seconds: float) -> bool:
        """Say whether nothing came for a while and no line is in the middle."""
        return (
            now - self.session.received_at >= seconds
            and not self._rest
            and not self._has_eof
            and not self._holds & (_WAITS_FOR_TURN | _WAITS_FOR_PAGES)
            and self.session.held_bytes == 0
        )

    def drain(self) -> None:
        """Take what the system has received by now."""
        if not self._holds & _UNREAD_REPLIES:
            self._release(_WAITS_FOR_TURN)
        if self._state != _OPEN or self._holds:
            return
        descriptor = self._transport.get_extra_info("socket").fileno()
        buffer = self._host.buffer if self._tls is None else self._host.tls_buffer
        for count in read_received(descriptor, buffer[: self._read_bytes_max]):
            self._receive(count)
            if self._state != _OPEN or self._holds:
                return

    def abort(self) -> None:
        """Close at once, whatever is unsent."""
        self._transport.abort()

    # --- input ---

    def _receive(self, count: int) -> None:
        try:
            if self._tls is None:
                self._take(self._host.buffer[:count])
            else:
                self._decrypt(self._tls, self._host.tls_buffer[:count])
        except Exception as error:  # noqa: BLE001  # one connection's trouble is not the others'
            self.fail(error)

    def _take(self, data: memoryview) -> None:
        """Let the session take input; keep what is left when its replies have to be sent first."""
        session = self.session
        taken = 0
        # A transport that was reset is closing; it has not said so yet.
        while taken < len(data) and self._state == _OPEN and not self._transport.is_closing():
            if self._is_verbose and self._has_to_wait(len(data) - taken):
                self._rest = bytes(data[taken:])
                if not self._holds:
                    self._wait_for_turn()
                break
            piece = data[taken : taken + (REFUSED_PIECE_BYTES if self._is_verbose else session.piece_bytes)]
            taken += len(piece)
            self._reply(session.receive(piece, monotonic()))
            if session.wants_pages:
                self._rest = bytes(data[taken:])
                self._wait_for_pages()
                break
        self._wake_if_due()

    def _wait_for_pages(self) -> None:
        """Take no more before what rows need is in memory; the others go on."""
        self._hold(_WAITS_FOR_PAGES)
        self._host.load_pages(self)

    def pages_loaded(self, failure: Exception | None) -> None:
        """Go on with the rows that waited for pages."""
        if self._state != _OPEN:
            return
        if failure is not None:
            self.fail(failure)
            return
        began = thread_time()
        try:
            self._reply(self.session.go_on(monotonic()))
            if self._state == _OPEN:
                if self.session.wants_pages:
                    self._host.load_pages(self)
                else:
                    self._release(_WAITS_FOR_PAGES)
                    self._wake_if_due()
        except Exception as error:  # noqa: BLE001  # one connection's trouble is not the others'
            self.fail(error)
        self._host.turns.spend(thread_time() - began)

    def _wake_if_due(self) -> None:
        if self.session.wake_at is not None and not self.has_ack_due:
            self._host.wake_later(self)

    @property
    def _is_verbose(self) -> bool:
        """Whether each row may have a reply, as far as is known."""
        return self.session.wants_refused or self.session.is_opening

    def _has_to_wait(self, count: int) -> bool:
        """Say whether so many bytes of a verbose connection have to wait."""
        is_late = count > SHORT_BYTES and self._host.turns.is_spent
        return is_late or self._holds != 0 or self._output.is_full

    def _decrypt(self, tls: TlsChannel, data: memoryview) -> None:
        """Take what there is in plain text; what has to wait stays encrypted."""
        try:
            # Without any, the former ones go on; TLS would take none for the end.
            if data:
                tls.feed(data)
            while self._state == _OPEN and not self._holds and not self._has_eof:
                if self._output.is_full:
                    self._wait_for_turn()
                    break
                plain = self._host.buffer[: REFUSED_PIECE_BYTES if self._is_verbose else READ_BYTES]
                count = tls.read_into(plain)
                if count == NEED_MORE:
                    break
                if count == 0:
                    self._end_input()
                else:
                    self._take(plain[:count])
        except ssl.SSLError as error:
            _log.debug("TLS failed: %s", error)
            self._close()
        self._output.flush()

    def _finish(self) -> None:
        """Take the end of the input."""
        try:
            if self._tls is None:
                self._end_input()
            else:
                # The end of a TLS connection without its farewell may be an attacker's doing: nothing else is decided.
                self._close()
        except Exception as error:  # noqa: BLE001  # as in buffer_updated
            self.fail(error)

    def _end_input(self) -> None:
        self._has_eof = True
        self._reply(self.session.end_of_input(monotonic()))
        if self._state == _OPEN and self.session.wants_pages:
            self._wait_for_pages()
        self._wake_if_due()

    def _discard(self, count: int) -> None:
        """Throw away what comes after the end, but for a handshake that has to be done before the sender can be told."""
        tls = self._tls
        if tls is not None and not tls.is_open and self._state == _LINGERING:
            try:
                tls.feed(self._host.tls_buffer[:count])
            except ssl.SSLError as error:
                _log.debug("TLS failed: %s", error)
                self._close()
                return
            self._output.say_farewell()
        self._discarded += count
        if self._discarded > self._host.context.limits.linger_bytes_max:
            self._hold(_DISCARDED_ENOUGH)

    # --- output ---

    def _reply(self, events: list[Event]) -> None:
        """Send events, the last ones included."""
        if not events:
            return
        self._output.send(encode_all(events))
        if self.session.has_ended:
            (self._close if self._has_eof else self._linger)()
        elif (held := self.held_bytes) > (limit := self._host.context.limits.connection_bytes_max):
            text = f"more than {limit} bytes of replies are not read"
            self.end(WireError(ErrorCode.CONNECTION_MEMORY, text))
            if held > 2 * limit:
                # Nor would this be read; so many bytes are not kept for the sake of a last line.
                self._transport.abort()

    # --- who waits ---

    def _account(self, seconds: float, count: int) -> None:
        """Count what a piece of input cost; choose how much is read next, and whether that has to wait for the others."""
        turns = self._host.turns
        turns.spend(seconds)
        turns.learn(count, seconds)
        # One piece that was slow by chance is not held against a sender.
        is_expensive = seconds > CHEAP_SECONDS and self.piece_seconds > CHEAP_SECONDS
        self.piece_seconds = seconds
        if self._state != _OPEN:
            return
        is_filled = count >= turns.piece_bytes_max
        if is_filled or seconds > turns.piece_seconds:
            self._read_bytes = next_read_bytes(count, seconds, turns.piece_seconds, self._read_bytes_max)
            self.piece_seconds = seconds * self._read_bytes / count
        if not self._holds and (turns.is_blocked() or (turns.is_crowded and (is_filled or is_expensive))):
            self._wait_for_turn()

    @property
    def _read_bytes_max(self) -> int:
        if self._is_verbose:
            return SMALL_READ_BYTES
        return READ_BYTES if self._tls is None else TLS_READ_BYTES

    def _wait_for_turn(self) -> None:
        if not self._holds & _WAITS_FOR_TURN:
            self._hold(_WAITS_FOR_TURN)
            self._host.turns.wait(self)

    def _hold(self, reason: int) -> None:
        if not self._holds and not self._has_eof:
            # While it is closing, nothing is read any more anyway.
            with contextlib.suppress(RuntimeError):
                self._transport.pause_reading()
        self._holds |= reason

    def _release(self, reasons: int) -> None:
        if not self._holds & reasons:
            return
        self._holds &= ~reasons
        if not self._holds:
            self._go_on()
        if not self._holds and not self._has_eof:
            with contextlib.suppress(RuntimeError):
                self._transport.resume_reading()

    def _go_on(self) -> None:
        """Take what was left over, before anything else is read."""
        if self._state != _OPEN:
            return
        try:
            if self._rest:
                rest, self._rest = self._rest, b""
                self._take(memoryview(rest))
            if self._tls is not None and not self._holds:
                self._decrypt(self._tls, _NOTHING)
        except Exception as error:  # noqa: BLE001  # as in buffer_updated
            self.fail(error)
        if self._has_eof and self._state == _OPEN and not self._holds:
            self._finish()

    # --- the end ---

    def _linger(self) -> None:
        """Let the last line arrive: closed at once, with input unread, the connection would be reset, and the line lost."""
        self._state = _LINGERING
        self._rest = b""
        self._closes_at = monotonic() + self._host.context.limits.linger_seconds_max
        self._output.say_farewell()
        self._release(_UNREAD_REPLIES | _WAITS_FOR_TURN | _WAITS_FOR_PAGES)

    def _close(self) -> None:
        """Close when what was said is sent, and not much later if nobody reads it."""
        self._state = _CLOSING
        self._rest = b""
        self._closes_at = monotonic() + self._host.context.limits.replies_seconds_max
        self.session.leave()
        self._output.close()
