"""The client's side of one connection, sans I/O: bytes from the server in, events out, as in h11.

::

    session = ClientSession(Directive(stream="orders", wants_acks=True))
    write(session.open())
    session.receive(read())
    while (event := session.next_event()) is not None:
        ...     # Resume, Ack, Refused, Summary, Failure

    NEW --open()--> OPENING --Resume--> OPEN --start()--> STREAMING --end()--> ENDING --Summary--> CLOSED

An anonymous stream is OPEN at once. A Failure closes a session in every state. Whatever the server says that it cannot
mean (a row that was not sent, a sum that does not add up) is a :class:`RemoteProtocolError`.
"""

from __future__ import annotations

import re
from collections import deque
from enum import Enum
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.protocol.messages import Ack, Directive, Failure, Refused, Resume, Summary
from holdfast.protocol.wire import REPLY_LINE_BYTES_MAX, format_directive, parse_reply

if TYPE_CHECKING:
    from holdfast.protocol.messages import Reply

# The one kind of reply that may come by the million, as servers write it: ten times as fast as JSON.
_REFUSED = re.compile(rb'\{"refused": \{"row": ([0-9]{1,18}), "code": "([A-Z_]+)"\}\}')
_OUTCOMES = {outcome.name.encode(): outcome for outcome in Outcome}
# What a TLS server sends to a client that does not speak TLS: an alert or handshake record.
_TLS_RECORDS = (b"\x15\x03", b"\x16\x03")


class RemoteProtocolError(Exception):
    """The server's replies are not those of a Holdfast server, or contradict each other or what was sent."""


class TlsRecordError(RemoteProtocolError):
    """The server speaks TLS, and this connection does not."""


class _State(Enum):
    NEW = "new"
    OPENING = "opening"
    OPEN = "open"
    STREAMING = "streaming"
    ENDING = "ending"
    CLOSED = "closed"


class ClientSession:
    """One connection's replies.

    Rows have their numbers in the stream. An anonymous connection counts from 1; here the rows before it are added.

    Args:
        directive: The stream's name, the token, and which replies are wanted.
        rows_before: Rows of an anonymous stream that connections before this one have sent.
    """

    def __init__(self, directive: Directive, *, rows_before: int = 0) -> None:
        self._directive = directive
        self._state = _State.NEW
        self._base = 0 if directive.stream is not None else rows_before
        self._partial = b""
        self._lines: deque[bytes] = deque()
        self._has_replied = self._has_started = False
        self._sent = self._start = self._acked = self._base
        self._sequence = 0
        self._refused: dict[Outcome, int] = {}
        self._refused_last = 0

    @property
    def is_open(self) -> bool:
        """Whether :meth:`start` may be called."""
        return self._state is _State.OPEN

    @property
    def has_started(self) -> bool:
        """Whether :meth:`start` was called."""
        return self._has_started

    @property
    def is_streaming(self) -> bool:
        """Whether rows may be sent."""
        return self._state is _State.STREAMING

    @property
    def is_ending(self) -> bool:
        """Whether everything is sent and the summary is to come."""
        return self._state is _State.ENDING

    @property
    def is_closed(self) -> bool:
        """Whether the last reply has come."""
        return self._state is _State.CLOSED

    @property
    def is_reply_due(self) -> bool:
        """Whether the server owes a reply to what it was sent so far."""
        if self._state is _State.STREAMING:
            return self._sent > self._acked
        return self._state in {_State.OPENING, _State.ENDING}

    @property
    def has_sent_rows(self) -> bool:
        """Whether the server may have decided a row of this connection."""
        return self._sent > self._start

    def open(self) -> bytes:
        """Give the directive that begins the connection."""
        self._expect(_State.NEW)
        self._state = _State.OPENING if self._directive.stream is not None else _State.OPEN
        return format_directive(self._directive)

    def start(self, first_row: int, digest: int | None = None) -> bytes:
        """Say which row will be sent first; give the second directive, none for an anonymous stream.

        Args:
            first_row: Its number in the stream.
            digest: The digest of all rows before it, if it is known.
        """
        self._expect(_State.OPEN)
        self._state = _State.STREAMING
        self._has_started = True
        self._start = self._sent = self._acked = first_row - 1
        if self._directive.stream is None:
            return b""
        return format_directive(Directive(first_row=first_row, digest=digest))

    def rows_sent(self, row: int) -> None:
        """Learn that rows up to this one were sent, and no further ones."""
        self._sent = max(self._sent, row)

    def end(self) -> None:
        """Learn that everything was sent."""
        self._expect(_State.STREAMING)
        self._state = _State.ENDING

    def receive(self, data: bytes) -> None:
        """Take bytes from the server; :meth:`next_event` gives what they mean.

        Raises:
            RemoteProtocolError: If a line does not end.
        """
        if not self._has_replied and (self._partial + data).startswith(_TLS_RECORDS):
            raise TlsRecordError("the server speaks TLS, and this connection does not")
        *lines, self._partial = (self._partial + data).split(b"\n")
        self._has_replied = self._has_replied or bool(lines)
        self._lines.extend(lines)
        if len(self._partial) >= REPLY_LINE_BYTES_MAX:
            raise RemoteProtocolError(
                f"the server's reply does not end after {REPLY_LINE_BYTES_MAX:,} bytes: is this a Holdfast server?"
            )

    def next_event(self) -> Reply | None:
        """Give the next reply, its rows numbered in the stream; None until more bytes have come.

        Nothing follows a summary or a failure.

        Raises:
            RemoteProtocolError: If it is no reply, or one that cannot be true.
        """
        if not self._lines or self._state is _State.CLOSED:
            return None
        reply = _parse(self._lines.popleft())
        match reply:
            case Refused():
                return self._take_refused(reply._replace(row=self._base + reply.row))
            case Ack():
                return self._take_ack(reply._replace(rows=self._base + reply.rows))
            case Resume():
                return self._take_resume(reply)
            case Summary():
                return self._take_summary(reply)
            case Failure():
                return self._take_failure(reply._replace(rows=self._base + reply.rows))

    def _take_resume(self, resume: Resume) -> Resume:
        if self._state is not _State.OPENING:
            raise RemoteProtocolError(
                f"the server says that the stream is at row {resume.rows:,}, out of turn"
            )
        self._state = _State.OPEN
        return resume

    def _take_ack(self, ack: Ack) -> Ack:
        self._require_rows("acknowledged", ack.rows)
        if ack.rows < self._acked:
            raise RemoteProtocolError(f"the server acknowledged row {ack.rows:,} after row {self._acked:,}")
        self._check_sequence(ack.sequence)
        self._acked = ack.rows
        return ack

    def _take_refused(self, refused: Refused) -> Refused:
        if not self._directive.wants_refused:
            raise RemoteProtocolError("the server names refused rows that were not asked for")
        self._require_rows("refused", refused.row)
        if refused.row <= max(self._acked, self._refused_last):
            raise RemoteProtocolError(f"the server refused row {refused.row:,} out of order")
        self._refused_last = refused.row
        self._refused[refused.code] = self._refused.get(refused.code, 0) + 1
        return refused

    def _take_summary(self, summary: Summary) -> Summary:
        if self._state is not _State.ENDING:
            raise RemoteProtocolError("the server ended the stream before the input did")
        problems = self._compare(summary)
        if problems:
            raise RemoteProtocolError(
                f"the server's summary does not match what was sent: {'; '.join(problems)}"
            )
        self._check_sequence(summary.sequence)
        self._acked = self._sent
        self._state = _State.CLOSED
        return summary

    def _compare(self, summary: Summary) -> list[str]:
        """List how a summary differs from what this side knows."""
        sent = self._sent - self._start
        told = sum(summary.refused_by_outcome.values())
        named = self._directive.stream is not None
        facts = (
            ("stream", summary.stream, self._directive.stream),
            ("rows", summary.rows, sent),
            ("skipped", summary.skipped, 0),
            ("resume", summary.resume, self._sent if named else None),
            ("applied and refused rows", summary.applied + told, sent),
        )
        problems = [
            f"it says {name} {said!r}, but it is {true!r}" for name, said, true in facts if said != true
        ]
        if self._directive.wants_refused and dict(summary.refused_by_outcome) != self._refused:
            problems.append("it counts other refused rows than were named one by one")
        return problems

    def _take_failure(self, failure: Failure) -> Failure:
        # Before the first row was announced, this is where the stream is, which may be anywhere.
        if self._has_started and failure.rows > self._sent:
            raise RemoteProtocolError(
                f"the server says that row {failure.rows:,} is decided, but only {self._sent:,} rows were sent "
                f"({failure.code}: {failure.message})"
            )
        self._state = _State.CLOSED
        return failure

    def _require_rows(self, verb: str, row: int) -> None:
        if self._state not in {_State.STREAMING, _State.ENDING}:
            raise RemoteProtocolError(f"the server {verb} row {row:,} before there was one")
        if row > self._sent:
            raise RemoteProtocolError(
                f"the server {verb} row {row:,}, but only {self._sent:,} rows were sent"
            )

    def _check_sequence(self, sequence: int) -> None:
        if sequence < self._sequence:
            raise RemoteProtocolError(
                f"the server's sequence went back from {self._sequence:,} to {sequence:,}"
            )
        self._sequence = sequence

    def _expect(self, state: _State) -> None:
        if self._state is not state:
            raise RuntimeError(f"the session is {self._state.value}, not {state.value}")


def _parse(line: bytes) -> Reply:
    match = _REFUSED.fullmatch(line)
    if match is not None and match[2] in _OUTCOMES:
        return Refused(int(match[1]), _OUTCOMES[match[2]])
    if len(line) >= REPLY_LINE_BYTES_MAX:
        raise RemoteProtocolError(f"the server's reply is longer than {REPLY_LINE_BYTES_MAX:,} bytes")
    try:
        return parse_reply(line)
    except ValueError as error:
        raise RemoteProtocolError(f"{error}: is this a Holdfast server?") from error
