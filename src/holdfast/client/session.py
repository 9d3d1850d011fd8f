"""The client's side of the protocol, sans I/O: what to do next, what a reply means, where to go on after a loss.

A front asks for the next step, does it, and says what came of it::

    WAITING --Connect--> GREETING --{"resume": N}--> SEEKING --Seek--> STREAMING --End--> ENDING --summary--> DONE
       ^                    |                          |                   |                 |
       +---- a loss, or an error that may pass: after a wait --------------+-----------------+

An anonymous stream is not greeted, and goes on after a loss only if nothing of it can have been decided.
Another part of the input (a further file) is another connection: WAITING again, without a wait.
"""

from __future__ import annotations

import logging
import re
import time
from enum import Enum
from typing import TYPE_CHECKING

from holdfast.client.errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    ServerError,
)
from holdfast.client.report import RefusedRow, SendReport
from holdfast.client.retry import Backoff
from holdfast.client.steps import Connect, Done, End, Read, Seek, Sleep, Wait, Write
from holdfast.client.told import Told
from holdfast.domain.outcome import Outcome
from holdfast.protocol.messages import Ack, Directive, Failure, Refused, Resume, Summary
from holdfast.protocol.wire import REPLY_LINE_BYTES_MAX, format_directive, parse_reply

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.client.connection import Limits
    from holdfast.client.feeds import Feed
    from holdfast.client.steps import Step
    from holdfast.protocol.messages import Reply

# The one kind of reply that may come by the million, as servers write it: ten times as fast as JSON.
_REFUSED = re.compile(rb'\{"refused": \{"row": ([0-9]{1,18}), "code": "([A-Z_]+)"\}\}')
_OUTCOMES = {outcome.name.encode(): outcome for outcome in Outcome}
_LOGGER = logging.getLogger("holdfast.client")


class _Phase(Enum):
    WAITING = "waiting"
    CONNECTING = "connecting"
    GREETING = "greeting"
    SEEKING = "seeking"
    STREAMING = "streaming"
    ENDING = "ending"
    DONE = "done"


_CONNECTED = frozenset({_Phase.GREETING, _Phase.SEEKING, _Phase.STREAMING, _Phase.ENDING})


class ClientSession:
    """One stream to one server, over as many connections as it takes.

    Args:
        feed: The rows.
        limits: Times.
        directive: The stream's name, the token, and whether refused rows are wanted.
        on_refused: Is called for each row that was not applied.
        on_lost: Is called with a reason and the seconds until the next attempt; by default that is logged.
        clock: Gives seconds, from any start.
        backoff: Gives the waits before reconnecting.
    """

    def __init__(
        self,
        feed: Feed,
        limits: Limits,
        directive: Directive,
        *,
        on_refused: Callable[[RefusedRow], object] | None = None,
        on_lost: Callable[[str, float], object] | None = None,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        self._feed = feed
        self._limits = limits
        self._directive = directive._replace(wants_acks=True, wants_refused=on_refused is not None)
        self._greeting = format_directive(self._directive)
        self._on_refused = on_refused
        self._on_lost = on_lost or _log_loss
        self._clock = clock
        self._backoff = backoff or Backoff(limits.backoff_seconds, limits.backoff_seconds_max)
        self._started = self._moved = self._progressed = self._connect_at = clock()
        self._phase = _Phase.WAITING
        self._output: bytes | memoryview = b""
        self._has_input = True
        self._replies = b""
        self._is_end_sent = False
        self._sent_rows_bytes = 0
        self.acked = 0
        """Rows of the stream that are known to be decided."""
        # What an anonymous connection counts from: the rows of the parts before.
        self._base = 0
        self._start_row: int | None = None
        self._refused_last = 0
        self._told = Told(knows_refused=on_refused is not None)
        self._skipped = 0
        self._sequence = 0
        self._sent_bytes = 0
        self._losses = 0
        self._restarts = 0

    @property
    def is_connected(self) -> bool:
        """Whether the connection that was made still counts."""
        return self._phase in _CONNECTED

    @property
    def is_streaming(self) -> bool:
        """Whether rows can be sent right now."""
        return self._phase is _Phase.STREAMING

    @property
    def is_done(self) -> bool:
        """Whether everything is decided."""
        return self._phase is _Phase.DONE

    @property
    def resumed_at(self) -> int:
        """How many rows the stream had when it was first opened."""
        return self._start_row or 0

    @property
    def refused_count(self) -> int:
        """Rows that the server said it did not apply, on this connection and those before."""
        return sum(self._told.refused.values())

    def next_step(self) -> Step:  # noqa: PLR0911  # one for each phase
        """Say what to do.

        Raises:
            DeadlineError: If it is too late for it.
        """
        self._check_deadline()
        if self._output:
            output, self._output = self._output, b""
            return Write(output)
        match self._phase:
            case _Phase.WAITING:
                seconds = self._connect_at - self._clock()
                if seconds > 0:
                    return Sleep(self._until_deadline(seconds))
                self._phase = _Phase.CONNECTING
                return Connect()
            case _Phase.SEEKING:
                return Seek(self.acked + 1)
            case _Phase.STREAMING:
                return Read() if self._has_input else Wait()
            case _Phase.ENDING if not self._is_end_sent:
                self._is_end_sent = True
                return End()
            case _Phase.DONE:
                return Done()
            case _Phase.CONNECTING | _Phase.GREETING | _Phase.ENDING:
                return Wait()

    def connected(self) -> None:
        """Learn that there is a connection."""
        self._moved = self._clock()
        self._replies = b""
        self._refused_last = 0
        self._is_end_sent = False
        self._sent_rows_bytes = 0
        self._has_input = True
        self._output = self._greeting
        self._told.begin(self.acked)
        named = self._directive.stream is not None
        self._phase = _Phase.GREETING if named else _Phase.SEEKING
        if not named:
            self._base = self.acked
            self._start_row = 0

    def positioned(self) -> None:
        """Learn that the feed is where it was sent."""
        if self._phase is _Phase.SEEKING:
            self._phase = _Phase.STREAMING
            self._moved = self._clock()
            if self._directive.stream is not None:
                self._output = format_directive(Directive(first_row=self.acked + 1))

    def take_input(self, data: bytes | memoryview | None) -> None:
        """Take what the feed gave: bytes, none of them at the end, None if there are none yet."""
        if self._phase is not _Phase.STREAMING:
            return
        if data is None:
            self._has_input = False
        elif data:
            self._output = data
            self._sent_rows_bytes += len(data)
        else:
            self._phase = _Phase.ENDING
            self._moved = self._clock()

    def wake(self) -> None:
        """Learn that the feed may have more."""
        self._has_input = True

    def written(self, count: int) -> None:
        """Learn that bytes of the last :class:`Write` are on their way."""
        self._sent_bytes += count
        self._moved = self._clock()

    def receive(self, data: bytes) -> None:
        """Take bytes from the server.

        Raises:
            SendError: If they end the stream for good.
        """
        self._moved = self._clock()
        if not self.is_connected:
            return
        *lines, self._replies = (self._replies + data).split(b"\n")
        for line in lines:
            self._take(_parse(line))
            if self._phase not in _CONNECTED:
                # What stands behind the last line of a connection means nothing.
                return
        if len(self._replies) >= REPLY_LINE_BYTES_MAX:
            raise ProtocolError(
                f"the server's reply does not end after {REPLY_LINE_BYTES_MAX:,} bytes: is this a Holdfast server?"
            )

    def connection_lost(self, reason: str) -> None:
        """Learn that connecting failed, or that the connection ended before the last reply.

        Raises:
            SendError: If that is the end.
        """
        if self._phase in {_Phase.WAITING, _Phase.DONE}:
            return
        may_be_decided = self._sent_rows_bytes > 0 if self.is_connected else False
        self._lose(reason, may_be_decided=may_be_decided)

    def seconds_left(self, *, is_writing: bool = False) -> float | None:
        """How long to wait at most before :meth:`on_time` has to be called; None: for ever."""
        now = self._clock()
        times = []
        if self._limits.deadline_seconds is not None:
            times.append(self._started + self._limits.deadline_seconds - now)
        if is_writing or self._is_answer_due():
            times.append(self._moved + self._limits.reply_seconds_max - now)
        elif self._phase is _Phase.STREAMING:
            times.append(self._moved + self._limits.keep_alive_seconds - now)
        return max(0.0, min(times)) if times else None

    def on_time(self, *, is_writing: bool = False) -> None:
        """Do what the time asks for.

        Args:
            is_writing: Whether bytes are waiting that the connection does not take.

        Raises:
            SendError: If it is the end.
        """
        self._check_deadline()
        if not self.is_connected:
            return
        silent_seconds = self._clock() - self._moved
        if is_writing or self._is_answer_due():
            if silent_seconds >= self._limits.reply_seconds_max:
                self.connection_lost(f"nothing moved for {self._limits.reply_seconds_max:g} seconds")
        elif self._phase is _Phase.STREAMING and silent_seconds >= self._limits.keep_alive_seconds:
            self._output = b"\n"

    def report(self) -> SendReport:
        """Say how far the stream got."""
        refused = self._told.refused
        return SendReport(
            stream=self._directive.stream,
            rows=self.acked - (self._start_row or 0),
            applied=self._told.applied,
            refused_by_outcome={outcome: refused[outcome] for outcome in Outcome if outcome in refused},
            skipped=self._skipped,
            sequence=self._sequence,
            sent_bytes=self._sent_bytes,
            reconnects=self._losses,
            restarts=self._restarts,
            seconds=self._clock() - self._started,
        )

    def _take(self, reply: Reply) -> None:
        match reply:
            case Refused(row, code):
                self._take_refused(RefusedRow(self._base + row, code))
            case Ack(rows, sequence):
                self._sequence = sequence
                self._take_ack(self._base + rows)
            case Resume(rows):
                self._take_resume(rows)
            case Summary():
                self._take_summary(reply)
            case Failure():
                self._take_failure(reply)

    def _take_resume(self, rows: int) -> None:
        if self._phase is not _Phase.GREETING:
            raise ProtocolError(f"the server says that the stream stands at row {rows:,}, out of turn")
        if self._start_row is None:
            self._start_row = rows
            self._skipped = rows
        elif rows < self.acked:
            _LOGGER.warning(
                "the server has forgotten rows of the stream: going on from where it stands",
                extra={"stream": self._directive.stream, "acknowledged": self.acked, "resume": rows},
            )
            self._restarts += 1
            self._start_row = self._skipped = min(self._start_row, rows)
            self._told.forget()
        if rows != self.acked:
            self._progress(rows)
        self._told.begin(rows)
        self._phase = _Phase.SEEKING

    def _take_ack(self, row: int) -> None:
        self._check_streaming("acknowledges a row")
        if row < self.acked:
            raise ProtocolError(f"the server acknowledged row {row:,} after row {self.acked:,}")
        self._feed.take_ack(row)
        if row > self.acked:
            self._progress(row)

    def _take_refused(self, refused: RefusedRow) -> None:
        self._check_streaming("refuses a row")
        if self._on_refused is None:
            raise ProtocolError("the server names refused rows that were not asked for")
        if refused.row <= max(self.acked, self._refused_last):
            raise ProtocolError(f"the server refused row {refused.row:,} out of order")
        self._refused_last = refused.row
        self._told.refuse(refused.outcome)
        self._on_refused(refused)

    def _take_summary(self, summary: Summary) -> None:
        if self._phase is not _Phase.ENDING:
            raise ProtocolError("the server ended the stream before the input did")
        if summary.stream != self._directive.stream:
            raise ProtocolError(f"the server sums up the stream {summary.stream!r}, which is another one")
        end = self._base + summary.rows if summary.resume is None else summary.resume
        if end < self.acked:
            raise ProtocolError(f"the server ends at row {end:,} after acknowledging row {self.acked:,}")
        self._sequence = summary.sequence
        self._skipped += summary.skipped
        has_more = self._feed.end_part(end)
        self._progress(end)
        self._told.sum_up(summary.applied, summary.refused_by_outcome)
        self._phase = _Phase.WAITING if has_more else _Phase.DONE
        self._connect_at = self._clock()

    def _take_failure(self, failure: Failure) -> None:
        self._sequence = failure.sequence
        row = self._base + failure.rows
        if self._phase is not _Phase.GREETING and row > self.acked:
            self._feed.take_ack(row)
            self._progress(row)
        if not failure.code.is_retryable:
            self._told.lose()
            raise ServerError(failure.code, failure.message, failure.rows, failure.sequence)
        self._lose(f"{failure.code}: {failure.message}", may_be_decided=failure.rows > 0)

    def _check_streaming(self, what: str) -> None:
        if self._phase not in {_Phase.STREAMING, _Phase.ENDING}:
            raise ProtocolError(f"the server {what} before there was one")

    def _progress(self, row: int) -> None:
        self.acked = row
        self._told.ack(row)
        self._progressed = self._clock()
        self._backoff.reset()

    def _lose(self, reason: str, *, may_be_decided: bool) -> None:
        """Go back to waiting, or give up."""
        self._told.lose()
        self._losses += 1
        self._output = b""
        self._phase = _Phase.WAITING
        if may_be_decided and self._directive.stream is None:
            raise ConnectionLostError(
                f"{reason}; {self.acked - self._base:,} rows were acknowledged. A stream without a name cannot "
                "be resumed: give it one"
            )
        now = self._clock()
        seconds = self._backoff.next_seconds()
        silent_seconds = now + seconds - self._progressed
        if silent_seconds > self._limits.retry_seconds_max or self._limits.retry_seconds_max <= 0:
            raise ConnectionLostError(f"{reason}; gave up after {now - self._progressed:.1f} seconds")
        self._on_lost(reason, seconds)
        self._connect_at = now + seconds

    def _is_answer_due(self) -> bool:
        if self._phase is _Phase.STREAMING:
            sent = self._feed.sent_row
            return sent is not None and sent > self.acked
        return self._phase in {_Phase.GREETING, _Phase.ENDING}

    def _until_deadline(self, seconds: float) -> float:
        limit = self._limits.deadline_seconds
        return seconds if limit is None else max(0.0, min(seconds, self._started + limit - self._clock()))

    def _check_deadline(self) -> None:
        limit = self._limits.deadline_seconds
        if limit is not None and self._phase is not _Phase.DONE and self._clock() - self._started >= limit:
            raise DeadlineError(f"not done after {limit:g} seconds; {self.acked:,} rows are acknowledged")


def _log_loss(reason: str, seconds: float) -> None:
    _LOGGER.warning("connection lost", extra={"reason": reason, "retry_seconds": round(seconds, 3)})


def _parse(line: bytes) -> Reply:
    match = _REFUSED.fullmatch(line)
    if match is not None and match[2] in _OUTCOMES:
        return Refused(int(match[1]), _OUTCOMES[match[2]])
    if len(line) >= REPLY_LINE_BYTES_MAX:
        raise ProtocolError(f"the server's reply is longer than {REPLY_LINE_BYTES_MAX:,} bytes")
    try:
        return parse_reply(line)
    except ValueError as error:
        raise ProtocolError(f"{error}: is this a Holdfast server?") from error
