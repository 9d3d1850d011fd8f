"""The server's side of one connection, sans I/O: bytes and the time in, events out.

In the common case, a sender that asked for no replies, a piece of input costs one call into the kernel and nothing else: events
are made only when they are due, and :meth:`Session.check` looks for timeouts now and then.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import proxy

from holdfast.domain.outcome import Outcome
from holdfast.kernel.csv.header import HeaderError
from holdfast.kernel.inlet import PIECE_BYTES
from holdfast.protocol.durability import DurableRows
from holdfast.protocol.handshake import Handshake, ended_too_early, stream_changed
from holdfast.protocol.input_clock import InputClock
from holdfast.protocol.messages import Ack, ErrorCode, Failure, RefusedRows, Summary, WireError
from holdfast.protocol.registry import Position

if TYPE_CHECKING:
    from typing import Protocol

    from holdfast.kernel.batch import Batch
    from holdfast.kernel.inlet import Inlet
    from holdfast.protocol.messages import Event
    from holdfast.protocol.server_context import ServerContext

    class Outlet(Protocol):
        """Takes events that no call of the connection's own asked for."""

        def deliver(self, events: list[Event]) -> None:
            """Send the last events of a session that another connection ended."""


ACK_SECONDS_MIN = 0.01
"""The least time between acks of a connection, unless there are many rows to acknowledge."""
ACK_ROWS_MAX = 65_536
"""At most this many rows are decided without an ack."""
# A row has two bytes at least, so a piece has at most half as many rows as bytes.
_ACK_ROWS = ACK_ROWS_MAX - PIECE_BYTES // 2
REFUSED_PIECE_BYTES = 512
"""How much input is taken at a time if the sender wants refused rows: at most 256 rows, and as many lines of replies."""

# The phases of a session. ROWS, by far the most frequent, is falsy. FINISHED: all rows are decided, but not yet durable.
_ROWS, _OPENING, _FINISHED, _ENDED = range(4)


class Session:
    """Follows one connection from its first byte to its last.

    Args:
        context: The state that it shares with the other sessions.
        outlet: Takes the last events when the session is superseded.
        now: The time, in seconds since any fixed point.
        address: Where the sender is, for the journal.
    """

    __slots__ = (
        "__weakref__",
        "_ack_at",
        "_acked",
        "_checks_digest",
        "_clock",
        "_context",
        "_durable",
        "_events",
        "_handshake",
        "_inlet",
        "_is_finishing",
        "_lags",
        "_outlet",
        "_phase",
        "_position",
        "_withholds",
        "stream",
        "wake_at",
        "wants_acks",
        "wants_refused",
    )

    def __init__(self, context: ServerContext, outlet: Outlet, now: float, address: str = "") -> None:
        self._context = context
        self._outlet: Outlet | None = outlet
        self._phase = _OPENING
        self._handshake: Handshake | None = Handshake(context, self, address)
        self._inlet: Inlet | None = None
        # Whether the end of the input was decoded, and its rows wait.
        self._is_finishing = False
        self._events: list[Event] = []
        # The named stream's position before this connection.
        self._position = Position()
        # Whether the digest of rows that are sent again is known, so that it can be compared with that of the decided rows.
        self._checks_digest = False
        self._acked = -1
        self._ack_at = now - ACK_SECONDS_MIN
        self._durable = DurableRows(context.engine)
        # Whether there are rows that an ack would name if they were durable; whether events wait until a position is durable.
        self._lags = False
        self._withholds = False
        self._clock = InputClock(now)
        self.stream: str | None = None
        self.wants_acks = False
        self.wants_refused = False
        self.wake_at: float | None = None
        """When to call :meth:`wake`; None if there is no need."""

    @property
    def has_ended(self) -> bool:
        """Whether the session has given its last event."""
        return self._phase == _ENDED

    @property
    def received_at(self) -> float:
        """When the last bytes arrived."""
        return self._clock.received_at

    @property
    def is_opening(self) -> bool:
        """Whether directives may still come."""
        return self._handshake is not None

    @property
    def piece_bytes(self) -> int:
        """How much input :meth:`receive` takes at a time, so that its work and its replies are bounded."""
        return REFUSED_PIECE_BYTES if self.wants_refused else PIECE_BYTES

    @property
    def rows(self) -> int:
        """How many rows of this connection are decided."""
        return 0 if self._inlet is None else self._inlet.rows

    @property
    def refused(self) -> int:
        """How many rows of this connection were not applied."""
        return 0 if self._inlet is None else self._inlet.refused

    @property
    def position(self) -> int:
        """How many rows of the stream, or of the connection if it is anonymous, are decided."""
        return self._position.rows + self.rows

    @property
    def held_bytes(self) -> int:
        """How many bytes of a partial line or directive are kept until more arrive."""
        head = 0 if self._handshake is None else len(self._handshake.head)
        return head + (0 if self._inlet is None else self._inlet.carried_bytes)

    def receive(self, data: memoryview, now: float) -> list[Event]:
        """Take a piece of the input.

        Args:
            data: The piece, not empty; its memory may be reused after this call.
            now: The time.

        Returns:
            The events to send, usually none. Once the session :attr:`has_ended`, no more follow.
        """
        self._clock.received_at = now
        try:
            if self._phase:
                self._begin(data, now)
            elif self._inlet is not None:
                self._take(self._inlet, data, now)
        except WireError as error:
            return self.abort(error)
        return self._take_events(now) if self._events else []

    @property
    def wants_pages(self) -> bool:
        """Whether rows wait for what is not in memory: no more input may come before :meth:`go_on`."""
        return self._inlet is not None and self._inlet.is_parked

    def wanted_pages(self) -> list[int]:
        """List what the first rows that wait need; have it loaded, and call :meth:`go_on`."""
        batch = None if self._inlet is None else self._inlet.first_parked()
        return [] if batch is None else self._context.engine.wanted_pages(batch, 0, batch.rows)

    def go_on(self, now: float) -> list[Event]:
        """Decide rows that wait, as far as what they need is in memory now.

        Each call decides a row at least: what was loaded may have left memory again, and is then waited for.
        """
        inlet = self._inlet
        if inlet is None or self._phase == _ENDED:
            return []
        try:
            before = inlet.parked_rows
            inlet.go_on()
            if inlet.parked_rows == before:
                inlet.go_on(waits=False)
            if self.wants_acks:
                self._ack_soon(now)
        except WireError as error:
            return self.abort(error)
        return self._take_events(now)

    def end_of_input(self, now: float) -> list[Event]:
        """Take the end of the input.

        A last line without a line end is a row, unless the stream is named and the sender wants acks. When a sender is killed,
        its system ends the input too, and half a row must not be decided; such a sender sends it again.

        Returns:
            The summary, or an error in its place. Nothing while rows are not durable yet: :meth:`wake` gives it later. Nothing
            either if the session :attr:`wants_pages` then: call this again after :meth:`go_on`.
        """
        if self._phase not in {_FINISHED, _ENDED}:
            try:
                self._end(now)
            except WireError as error:
                return self.abort(error)
        return self._take_events(now)

    def wake(self, now: float) -> list[Event]:
        """Give an ack or the summary that is due; see :attr:`wake_at`. Call it also when the durable watermark moves."""
        if self._phase == _FINISHED:
            self._sum_up(now)
        elif self.wants_acks and self.wake_at is not None and (self._lags or now >= self.wake_at):
            self._ack(now)
        return self._take_events(now)

    def check(self, now: float, *, is_held: bool = False) -> list[Event]:
        """Check the time limits; call it now and then.

        Args:
            now: The time.
            is_held: Whether the transport does not read from this sender, so that it is not the sender's fault.

        Returns:
            The last events, if a limit was exceeded.
        """
        limits, inlet = self._context.limits, self._inlet
        late = None
        if self._phase == _OPENING:
            late = self._clock.find_late_header(limits, now)
        elif self._phase == _ROWS and inlet is not None:
            late = self._clock.find_late_input(limits, inlet, now, is_held=is_held)
        return [] if late is None else self.abort(late)

    def abort(self, error: WireError) -> list[Event]:
        """End the session; decided rows stand.

        Returns:
            The last events: an ack, if one is owed, and the error.
        """
        if self._phase == _ENDED:
            return []
        self.settle()
        if self._withholds:
            # The sender does not know yet where its stream is: it is not told before a crash could no longer change that.
            self._events.clear()
            self._withholds = False
        self._durable.note(self.position)
        self._ack_if_owed()
        self._context.failures[error.code] += 1
        durable, sequence = self._durable.count(), self._context.engine.durable
        self._events.append(Failure(error.code, error.message, durable, sequence))
        self.leave()
        return self._take_events(self.received_at)

    def settle(self) -> None:
        """Decide the rows that wait, whatever that takes: rows that came stand, also if the connection ends."""
        if self._inlet is not None and self._inlet.is_parked:
            # The policy has nobody to tell any more, and what fails is found by the next connection.
            with suppress(Exception):
                self._inlet.go_on(waits=False)

    def leave(self) -> None:
        """Release what is shared, because the connection is gone."""
        if self._phase == _ENDED:
            return
        self._phase = _ENDED
        self.wake_at = None
        # They refer to this session, and thousands of reference cycles would be work for the garbage collector.
        self._outlet = self._handshake = None
        inlet = self._inlet
        if self.stream is not None:
            digest = self._position.digest if inlet is None else inlet.digest
            self._durable.note(self.position)
            position = Position(self.position, digest, self._durable.decided_at)
            self._context.registry.release(self.stream, position)
        if inlet is not None:
            inlet.release()

    def superseded(self) -> None:
        """End the session, because a newer connection has opened its stream."""
        error = WireError(
            ErrorCode.SUPERSEDED,
            f"a newer connection has opened stream {self.stream}; a stream has one sender at a time",
        )
        outlet, last = self._outlet, self.abort(error)
        if outlet is not None:
            outlet.deliver(last)

    # --- called by the inlet ---

    def on_stopped(self, batch: Batch, row: int) -> None:
        """Ask the policy what to do about a row at which it stopped.

        Raises:
            WireError: POLICY_ABORT, if it ends the session.
        """
        review = self._context.review
        stop = review.ask(batch, row, self.stream or "-", self.position)
        if stop is not None:
            outcome = Outcome(batch.outcomes[row])
            raise WireError(
                ErrorCode.POLICY_ABORT,
                f"row {self.position}: {stop.reason}: {outcome.name}: {outcome.explanation}",
            )

    def on_refused(self, batch: Batch, start: int, stop: int, position: int) -> None:
        """Report rows that were not applied to the sender."""
        outcomes = batch.outcomes
        rows = batch.refused_rows(start, stop)
        numbers = [position + 1 + row - start for row in rows]
        self._events.append(RefusedRows(numbers, [outcomes[row] for row in rows]))

    def on_skipped(self, batch: Batch, row: int) -> None:  # noqa: ARG002  # as the inlet gives them
        """Compare the digest of the rows that were sent again with that of the decided rows.

        Raises:
            WireError: STREAM_CHANGED, if they differ.
        """
        inlet = self._inlet
        if self._checks_digest and inlet is not None and inlet.skipped_digest != self._position.digest:
            raise stream_changed(self.stream, self._position.rows)

    # --- the rows ---

    def _take(self, inlet: Inlet, data: memoryview, now: float) -> None:
        """Take text, in pieces that an inlet takes at once."""
        for start in range(0, len(data), PIECE_BYTES):
            piece = data[start : start + PIECE_BYTES]
            inlet.take(piece)
            if self.wants_acks:
                self._ack_soon(now)
            context = self._context
            too_long = self._clock.measure_line(
                inlet, piece, context.engine.settings.row_bytes_max, context.limits.line_bytes_max
            )
            if too_long is not None:
                raise too_long

    # --- the beginning and the end ---

    def _begin(self, data: memoryview, now: float) -> None:
        """Take input while the header is incomplete."""
        if self._handshake is not None:
            data = memoryview(self._shake_hands(self._handshake, data))
        inlet = self._inlet
        if self._phase == _OPENING and inlet is not None and data:
            try:
                self._take(inlet, data, now)
            except HeaderError as error:
                raise WireError(ErrorCode.BAD_HEADER, error.fact) from error
            if inlet.has_header:
                self._phase = _ROWS

    def _shake_hands(self, handshake: Handshake, data: memoryview) -> bytes:
        """Take directives; give the bytes that are left for the decoder."""
        try:
            return handshake.receive(bytes(data), self._events)
        finally:
            # Also if it failed: a stream that was claimed must be released.
            self._adopt(handshake)

    def _adopt(self, handshake: Handshake) -> None:
        self.stream, self.wants_acks, self.wants_refused, *_ = handshake.asked
        self._position = handshake.position
        self._durable.start(self._position.rows, self._position.decided_at)
        self._withholds = self._durable.is_behind()
        if handshake.has_ended:
            self._handshake = None
            self._checks_digest = handshake.digest_before is not None
            # A weak reference: the inlet must not keep a session alive whose connection is gone.
            self._inlet = self._context.open_inlet(handshake.origin, proxy(self), shows=self.wants_refused)
            if self.stream is not None:
                self._inlet.follow(handshake.origin, self._position.rows, self._position.digest)
                self._inlet.skip_rows(handshake.skip, handshake.digest_before or 0)

    def _end(self, now: float) -> None:
        head = b""
        if self._handshake is not None:
            head = self._handshake.end_of_input()
            self._adopt(self._handshake)
        inlet = self._inlet
        if inlet is None:
            raise WireError(ErrorCode.BAD_HEADER, "the input is empty")
        # A row that was decided before is only compared, whether or not its line has an end.
        if self.stream is None or not self.wants_acks or not inlet.has_header or inlet.rows_to_skip:
            try:
                if not self._is_finishing:
                    inlet.take(head)
                    inlet.finish()
            except HeaderError as error:
                raise WireError(ErrorCode.BAD_HEADER, error.fact) from error
            if inlet.is_parked:
                self._is_finishing = True
                return
        if inlet.rows_to_skip and inlet.skipped:
            raise ended_too_early(self.stream, self._position.rows, inlet.rows_to_skip)
        if inlet.exceeds_budget:
            raise WireError(
                ErrorCode.POLICY_ABORT, self._context.review.say_budget_exceeded(inlet.rows, inlet.refused)
            )
        self._durable.note(self.position)
        self._phase = _FINISHED
        self._sum_up(now)

    def _sum_up(self, now: float) -> None:
        """End with a summary, once all rows are durable."""
        if self._durable.count() < self.position:
            self.wake_at = now + ACK_SECONDS_MIN
            return
        self._ack_at = now
        self._ack_if_owed()
        inlet = self._inlet
        refused = {} if inlet is None else inlet.refused_by_code()
        self._events.append(
            Summary(
                rows=self.rows,
                applied=self.rows - self.refused,
                refused_by_outcome={Outcome(code): count for code, count in refused.items()},
                skipped=0 if inlet is None else inlet.skipped,
                sequence=self._context.engine.durable,
                stream=self.stream,
                resume=None if self.stream is None else self.position,
            )
        )
        self.leave()

    # --- acks ---

    def _ack_soon(self, now: float) -> None:
        """Acknowledge durable rows: now, soon after the last ack, or once they are durable."""
        self._durable.note(self.position)
        if self.position == self._acked or self._inlet is None or not (self.rows or self._inlet.skipped):
            return
        due = self._ack_at + ACK_SECONDS_MIN
        if now >= due or self.position - max(self._acked, self._position.rows) > _ACK_ROWS:
            self._ack(now)
        else:
            self.wake_at = due
            self._lags = self._durable.is_behind()  # and the commit that covers them wakes the session

    def _ack(self, now: float) -> None:
        self._lags = self._durable.is_behind()  # first: the ack names what becomes durable meanwhile
        durable = self._durable.count()
        self.wake_at = now + ACK_SECONDS_MIN if self._lags else None
        if durable > max(self._acked, 0):
            self._acked = durable
            self._ack_at = now
            self._events.append(Ack(durable, self._context.engine.durable))

    def _ack_if_owed(self) -> None:
        if self.wants_acks and self.rows:
            self._ack(self._ack_at)

    def _take_events(self, now: float) -> list[Event]:
        """Give the events, unless they begin with where a stream is and that is not durable yet."""
        if self._withholds:
            self._withholds = self._context.engine.durable < self._position.decided_at
            if self._withholds:
                self.wake_at = now + ACK_SECONDS_MIN
                return []
        events, self._events = self._events, []
        return events
