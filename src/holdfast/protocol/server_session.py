"""One connection's side of the protocol, sans I/O: bytes in, replies out, the clock passed in.

The common case, rows of a sender that asked for nothing, costs a few calls into the kernel for every read and nothing else:
replies are only built when they are due, and what has to be watched (timeouts) is looked at now and then by
:meth:`Session.check`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.engine.deciding import say_budget_exceeded
from holdfast.engine.policy import Action
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.decoder import HeaderError
from holdfast.protocol.handshake import Opening
from holdfast.protocol.wire import Ack, ErrorCode, Failure, Refused, Summary, WireError

if TYPE_CHECKING:
    from typing import Protocol

    from holdfast.kernel.batch import Batch
    from holdfast.kernel.csv.decoder import CsvDecoder
    from holdfast.protocol.server_context import Intake

    class Outlet(Protocol):
        """Where replies go that no call of the connection's own has asked for."""

        def deliver(self, replies: bytes) -> None:
            """Send the last replies of a session that was ended from outside."""


ACK_SECONDS_MIN = 0.01
"""Acks of a connection are at least so far apart, unless there are many rows to acknowledge."""
ACK_ROWS_MAX = 65_536
"""No more rows than these are decided without an ack."""

# The phases of a session; the one in which it spends its life is false.
_ROWS, _OPENING, _ENDED = range(3)


class Session:
    """Follows one connection from its first byte to its last.

    Args:
        intake: What it shares with the others.
        outlet: Takes the last replies when the session is superseded.
        now: The time, in seconds from any start.
    """

    __slots__ = (
        "_ack_at",
        "_acked",
        "_base",
        "_decoder",
        "_intake",
        "_is_plain",
        "_line_began",
        "_line_bytes",
        "_line_number",
        "_opened_at",
        "_opening",
        "_outlet",
        "_phase",
        "_skip",
        "_tally",
        "received_at",
        "skipped",
        "stream",
        "wake_at",
        "wants_acks",
        "wants_refused",
    )

    def __init__(self, intake: Intake, outlet: Outlet, now: float) -> None:
        self._intake = intake
        self._outlet: Outlet | None = outlet
        self._phase = _OPENING
        self._opening: Opening | None = Opening(intake, self)
        self._decoder: CsvDecoder = intake.decoder.fresh()
        self._tally = intake.policy.tally()
        # Of a named stream: how many rows were decided before this connection, how many of those are still to come again.
        self._base = 0
        self._skip = 0
        self._acked = -1
        self._ack_at = now - ACK_SECONDS_MIN
        self._opened_at = now
        # The length of the partial line, and since when a line of which number has been partial.
        self._line_bytes = 0
        self._line_number = -1
        self._line_began = now
        # Whether rows can be applied without a look at them: nobody wants to be told, and none are skipped.
        self._is_plain = False
        self.stream: str | None = None
        self.wants_acks = False
        self.wants_refused = False
        self.received_at = now
        """When the last bytes came."""
        self.skipped = 0
        """Rows that were sent again."""
        self.wake_at: float | None = None
        """When :meth:`wake` wants to be called; None if there is no need."""

    @property
    def has_ended(self) -> bool:
        """Whether the last line was given."""
        return self._phase == _ENDED

    @property
    def is_opening(self) -> bool:
        """Whether directives may still come."""
        return self._opening is not None

    @property
    def rows(self) -> int:
        """Rows of this connection that were decided."""
        return self._tally.rows

    @property
    def refused(self) -> int:
        """Rows of this connection that were not applied."""
        return self._tally.refused

    @property
    def position(self) -> int:
        """Rows of the stream, or of the connection if it is anonymous, that are decided."""
        return self._base + self._tally.rows

    @property
    def held_bytes(self) -> int:
        """Bytes kept until more come: of a partial line or directive."""
        head = 0 if self._opening is None else len(self._opening.head)
        return head + self._decoder.carried

    def receive(self, data: memoryview, now: float) -> bytes:
        """Take what has come.

        Args:
            data: Any piece of the input, not empty; it is not needed any more when this returns.
            now: The time.

        Returns:
            What is to be sent back, nothing as a rule. When the session :attr:`has_ended`, nothing else follows.
        """
        self.received_at = now
        replies: list[bytes] = []
        try:
            if self._phase:
                self._begin(data, now, replies)
            else:
                self._take(data, now, replies)
        except WireError as error:
            replies.append(self.abort(error))
        return b"".join(replies) if replies else b""

    def end_of_input(self, now: float) -> bytes:
        """Take the end of the input.

        A last line without a line end is a row, unless the sender follows the acks of a named stream: of a sender that was
        killed the system sends an end as well, the half of a row that it left behind is not one to decide, and whoever follows
        acks sends it again.

        Returns:
            The summary, or the error that stands in its place.
        """
        replies: list[bytes] = []
        if self._phase != _ENDED:
            try:
                self._end(now, replies)
            except WireError as error:
                replies.append(self.abort(error))
        return b"".join(replies)

    def wake(self, now: float) -> bytes:
        """Give the ack that is due; see :attr:`wake_at`."""
        if self.wake_at is None or now < self.wake_at:
            return b""
        return self._ack(now)

    def check(self, now: float, *, is_held: bool = False) -> bytes:
        """Look for what has taken too long; to be called every now and then.

        Args:
            now: The time.
            is_held: Whether the transport does not read from this sender, who then cannot be blamed.

        Returns:
            The last lines to send, if something has.
        """
        limits = self._intake.limits
        if self._phase == _OPENING:
            limit = limits.handshake_seconds_max
            text = f"the CSV header was not there after {limit:g} seconds"
            return self._abort_after(now - self._opened_at, limit, ErrorCode.HANDSHAKE_TIMEOUT, text)
        if self._phase == _ENDED:
            return b""
        if is_held:
            self.received_at = self._line_began = now
        if self._decoder.carried == 0:
            self._line_number = -1
            limit = limits.idle_seconds_max
            text = f"nothing came for {limit:g} seconds; a blank line now and then keeps a connection open"
            return self._abort_after(now - self.received_at, limit, ErrorCode.IDLE_TIMEOUT, text)
        if self._line_number != self._decoder.lines:
            self._line_number, self._line_began = self._decoder.lines, now
        limit = limits.line_seconds_max
        text = f"line {self._line_number + 1} was begun and had no end after {limit:g} seconds"
        return self._abort_after(now - self._line_began, limit, ErrorCode.LINE_TIMEOUT, text)

    def _abort_after(self, seconds: float, limit: float, code: ErrorCode, text: str) -> bytes:
        return self.abort(WireError(code, text)) if limit and seconds > limit else b""

    def abort(self, error: WireError) -> bytes:
        """End the session; what was decided stands.

        Returns:
            The last lines to send: an ack, if one is owed, and the error.
        """
        if self._phase == _ENDED:
            return b""
        ack = self._last_ack()
        self._intake.failures[error.code] += 1
        failure = Failure(error.code, error.message, self.position, self._intake.engine.sequence)
        self.leave()
        return ack + failure.to_line()

    def leave(self) -> None:
        """Give back what is shared: the connection is gone."""
        if self._phase == _ENDED:
            return
        self._phase = _ENDED
        self.wake_at = None
        # They refer to this session: thousands of circles would be work for the garbage collector.
        self._outlet = self._opening = None
        self._intake.refused_by_ended += self._tally.refused
        if self.stream is not None:
            self._intake.registry.release(self.stream, self.position)

    def superseded(self) -> None:
        """End the session: a newer connection has opened its stream."""
        error = WireError(
            ErrorCode.SUPERSEDED,
            f"a newer connection has opened stream {self.stream}; a stream has one sender at a time",
        )
        outlet, last = self._outlet, self.abort(error)
        if outlet is not None:
            outlet.deliver(last)

    # --- the rows ---

    def _take(self, data: memoryview, now: float, replies: list[bytes]) -> None:
        decoder, tally = self._decoder, self._tally
        batches = decoder.feed(data)
        last = decoder.flush()
        if last is not None:
            batches.append(last)
        if self._is_plain:
            for batch in batches:
                reached = self._intake.engine.apply_rows(batch, 0, tally)
                if tally.is_stopped:
                    self._decide(batch, reached - 1)
                    self._apply(batch, reached, now, replies)
        else:
            for batch in batches:
                self._apply(batch, self._start(batch), now, replies)
            if self.wants_acks and batches:
                self._ack_soon(now, replies)
        carried = decoder.carried
        if carried > self._intake.row_bytes_max:
            self._measure_line(data)
        else:
            self._line_bytes = carried

    def _start(self, batch: Batch) -> int:
        """Skip what was decided before; give the first row of a batch that was not."""
        start = min(self._skip, batch.rows)
        if start:
            self._skip -= start
            self.skipped += start
            self._settle()
        return start

    def _apply(self, batch: Batch, start: int, now: float, replies: list[bytes]) -> None:
        """Decide the rows of a batch from one on."""
        tally, engine = self._tally, self._intake.engine
        if (
            self.wants_acks
            and self.position + batch.rows - start - max(self._acked, self._base) > ACK_ROWS_MAX
        ):
            replies.append(self._ack(now))
        while start < batch.rows:
            before, refused_before = tally.rows, tally.refused if self.wants_refused else 0
            reached = engine.apply_rows(batch, start, tally)
            if self.wants_refused and tally.refused > refused_before:
                first = self._base + before + 1 - start
                outcomes = batch.outcomes
                replies += [
                    Refused(first + row, Outcome(outcomes[row])).to_line()
                    for row in batch.refused_rows(start, reached)
                ]
            if tally.is_stopped:
                self._decide(batch, reached - 1)
            start = reached

    def _decide(self, batch: Batch, row: int) -> None:
        """Do what the policy wants at the row at which the kernel stopped."""
        outcome = Outcome(batch.outcomes[row])
        policy = self._intake.policy
        action = policy.actions[outcome]
        if action is Action.CALLBACK:
            action = policy.policy.decide(find_rejection(batch, row, outcome, self.stream or "-"))
            if action in {Action.SKIP, Action.SILENT}:
                return
        reason = "is not applied"
        if action is Action.BUDGET:
            reason = f"exceeds the budget of {policy.policy.budget} rows that may go unapplied"
        raise WireError(
            ErrorCode.POLICY_ABORT, f"row {self.position} {reason}: {outcome.name}: {outcome.explanation}"
        )

    def _measure_line(self, data: memoryview) -> None:
        """Follow the length of a line that is too long for a row, of which the decoder keeps no more than a row."""
        newline = bytes(data).rfind(b"\n")
        self._line_bytes = self._line_bytes + len(data) if newline < 0 else len(data) - 1 - newline
        limit = self._intake.limits.line_bytes_max
        if self._line_bytes > limit:
            text = f"line {self._decoder.lines + 1} has no end after {limit} bytes"
            raise WireError(ErrorCode.LINE_TOO_LONG, text)

    # --- the beginning and the end ---

    def _begin(self, data: memoryview, now: float, replies: list[bytes]) -> None:
        """Take bytes as long as the header is not complete."""
        if self._opening is not None:
            data = memoryview(self._open(self._opening, data, replies))
        if self._phase == _OPENING and data:
            try:
                self._take(data, now, replies)
            except HeaderError as error:
                raise WireError(ErrorCode.BAD_HEADER, str(error)) from error
            if self._decoder.has_header:
                self._phase = _ROWS

    def _open(self, opening: Opening, data: memoryview, replies: list[bytes]) -> bytes:
        """Let directives be obeyed; give what is left for the decoder."""
        try:
            return opening.receive(bytes(data), replies)
        finally:
            # Also where it failed: a stream that was claimed has to be given back.
            self._adopt(opening)

    def _adopt(self, opening: Opening) -> None:
        self.stream, self.wants_acks, self.wants_refused, *_ = opening.asked
        self._base, self._skip = opening.position, opening.skip
        if opening.has_ended:
            self._opening = None
            self._settle()

    def _settle(self) -> None:
        self._is_plain = not (self.wants_acks or self.wants_refused or self._skip)

    def _end(self, now: float, replies: list[bytes]) -> None:
        head = b""
        if self._opening is not None:
            head = self._opening.end_of_input()
            self._adopt(self._opening)
        if self.stream is None or not self.wants_acks or not self._decoder.has_header:
            try:
                self._decoder.feed(head)
                batch = self._decoder.finish()
            except HeaderError as error:
                raise WireError(ErrorCode.BAD_HEADER, str(error)) from error
            if batch is not None:
                self._apply(batch, self._start(batch), now, replies)
        if self._tally.exceeds_budget:
            raise WireError(ErrorCode.POLICY_ABORT, say_budget_exceeded(self._tally, self._intake.policy))
        replies += (self._last_ack(), self._summary().to_line())
        self.leave()

    def _summary(self) -> Summary:
        tally = self._tally
        return Summary(
            rows=tally.rows,
            applied=tally.applied,
            refused_by_outcome={Outcome(code): count for code, count in tally.refused_by_code().items()},
            skipped=self.skipped,
            sequence=self._intake.engine.sequence,
            stream=self.stream,
            resume=None if self.stream is None else self.position,
        )

    # --- acks ---

    def _ack_soon(self, now: float, replies: list[bytes]) -> None:
        """Acknowledge what was decided: now, or when enough time has passed since the last ack."""
        if self.position == self._acked:
            return
        due = self._ack_at + ACK_SECONDS_MIN
        if now >= due:
            replies.append(self._ack(now))
        else:
            self.wake_at = due

    def _ack(self, now: float) -> bytes:
        self._acked = self.position
        self._ack_at = now
        self.wake_at = None
        return Ack(self._acked, self._intake.engine.sequence).to_line()

    def _last_ack(self) -> bytes:
        is_owed = self.wants_acks and self._tally.rows > 0 and self.position != self._acked
        return self._ack(self._ack_at) if is_owed else b""
