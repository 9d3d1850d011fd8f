"""The handshake: up to two directives before the CSV header, each answered as it arrives."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.domain.origin import Actor, Origin
from holdfast.protocol.messages import Directive, ErrorCode, Resume, StreamSettings, WireError
from holdfast.protocol.registry import Position
from holdfast.protocol.wire import DIRECTIVE_BYTES_MAX, DIRECTIVE_PREFIX, DIRECTIVES_MAX, parse_directive

if TYPE_CHECKING:
    from holdfast.protocol.messages import Event
    from holdfast.protocol.registry import Owner
    from holdfast.protocol.server_context import ServerContext

_LINE_BYTES_MAX = DIRECTIVE_BYTES_MAX + len(b"\r\n")
# How a client that speaks TLS begins. Taken for a line, it might not end, and the client would wait for the time limit.
_TLS_HANDSHAKE = b"\x16\x03"


class Handshake:
    """Takes the first bytes of a connection, up to the first one that belongs to no directive.

    Args:
        context: Has the tokens and the streams.
        owner: Becomes the owner of a named stream.
        address: Where the sender is.
    """

    __slots__ = (
        "_address",
        "_context",
        "_directives",
        "_owner",
        "actor",
        "asked",
        "digest_before",
        "has_ended",
        "head",
        "position",
        "skip",
    )

    def __init__(self, context: ServerContext, owner: Owner, address: str = "") -> None:
        self._context = context
        self._address = address
        self._owner = owner
        self._directives = 0
        self.head = b""
        """Bytes that may be the beginning of a directive."""
        self.asked = Directive()
        """The first directive; its stream is claimed."""
        self.actor = ""
        """What the journal calls whoever has the sender's token; empty without a token."""
        self.position = Position()
        """The named stream's position before this connection."""
        self.skip = 0
        """How many of the rows to come were decided before."""
        self.digest_before: int | None = 0
        """The digest of the rows before the first one to come; None if the sender did not give it."""
        self.has_ended = False

    def receive(self, data: bytes, replies: list[Event]) -> bytes:
        """Take input and carry out its directives.

        Args:
            data: Bytes of the input.
            replies: The list to which answers are added.

        Returns:
            The rest of the input, for the decoder, once :attr:`has_ended` is true.

        Raises:
            WireError: If a directive is invalid, or asks for something that is not allowed.
        """
        data = self.head + data
        self.head = b""
        if self._directives == 0 and data.startswith(_TLS_HANDSHAKE):
            raise WireError(
                ErrorCode.BAD_HEADER, "this is TLS, which this server does not use; send without it"
            )
        while data:
            if not data.startswith(DIRECTIVE_PREFIX[: len(data)]):
                self._end()
                break
            line, end, rest = data.partition(b"\n")
            if not end and len(data) <= _LINE_BYTES_MAX:
                self.head = data
                return b""
            self._obey(line, replies)
            data = rest
        return data

    @property
    def origin(self) -> str | Origin | None:
        """Where the rows come from: the stream's name, or more, if more is known and the engine keeps it."""
        if not self.actor or not self._context.keeps_actors:
            return self.asked.stream
        return Origin(self.asked.stream, actor=Actor(self.actor, self._address))

    def end_of_input(self) -> bytes:
        """Take the end of the input during the handshake; give the bytes that are left for the decoder.

        Raises:
            WireError: If the input ends in the middle of a directive, or a token was required.
        """
        if self.head.startswith(DIRECTIVE_PREFIX):
            raise WireError(ErrorCode.BAD_DIRECTIVE, "the directive has no line end; end it with a line feed")
        self._end()
        return self.head

    def _end(self) -> None:
        if self._directives == 0 and self._context.authorizer is not None:
            raise _unauthorized("this server requires a token")
        self.has_ended = True

    def _obey(self, line: bytes, replies: list[Event]) -> None:
        """Carry out a directive, and answer it."""
        if self._directives == DIRECTIVES_MAX:
            raise WireError(ErrorCode.BAD_DIRECTIVE, f"a connection has at most {DIRECTIVES_MAX} directives")
        directive = parse_directive(line)
        self._directives += 1
        if self._directives == 1:
            self._authorize(directive)
            if directive.stream is not None:
                self.position = self._context.registry.claim(directive.stream, self._owner)
                self.skip = self.position.rows
                settings = StreamSettings.of(self._context.engine.settings)
                replies.append(Resume(self.position.rows, self.position.digest, settings))
            self.asked = directive
        elif directive != Directive(first_row=directive.first_row, digest=directive.digest):
            raise WireError(
                ErrorCode.BAD_DIRECTIVE, "the second directive may only have from=ROW and digest=DIGEST"
            )
        if directive.first_row is not None:
            self._start_from(directive.first_row, directive.digest)
        elif directive.digest is not None:
            raise WireError(
                ErrorCode.BAD_DIRECTIVE,
                "digest=DIGEST needs from=ROW: it is the digest of the rows before that row",
            )

    def _authorize(self, directive: Directive) -> None:
        authorizer = self._context.authorizer
        if authorizer is None:
            return
        if directive.token is None:
            raise _unauthorized("this server requires a token")
        grant = authorizer.find(directive.token)
        if grant is None:
            raise _unauthorized("this server does not know this token")
        if not grant.allows(directive.stream):
            what = "anonymous streams" if directive.stream is None else f"stream {directive.stream}"
            raise WireError(ErrorCode.FORBIDDEN_STREAM, f"this token does not allow {what}")
        self.actor = grant.id

    def _start_from(self, first_row: int, digest: int | None) -> None:
        wanted = self.position.rows + 1
        if first_row > wanted:
            name = "an anonymous stream" if self.asked.stream is None else f"stream {self.asked.stream}"
            left_out = f"rows {wanted} to {first_row - 1}" if first_row > wanted + 1 else f"row {wanted}"
            raise WireError(
                ErrorCode.GAP,
                f"{name} is at row {self.position.rows}: with from={first_row}, {left_out} would be left out; "
                f"send from={wanted} or less",
            )
        if first_row == 1 and digest:
            raise WireError(
                ErrorCode.BAD_DIRECTIVE, "no rows come before from=1: leave digest out, or write 16 zeros"
            )
        self.skip = wanted - first_row
        self.digest_before = 0 if first_row == 1 else digest
        if self.skip == 0 and digest is not None and digest != self.position.digest:
            raise stream_changed(self.asked.stream, self.position.rows)


def stream_changed(stream: str | None, rows: int) -> WireError:
    """Make the error for a stream's name that was used for other rows before."""
    return WireError(
        ErrorCode.STREAM_CHANGED,
        f"stream {stream} is at row {rows}, and its rows up to there differ from those that are sent now; "
        "send a different input under a different name",
    )


def ended_too_early(stream: str | None, rows: int, missing: int) -> WireError:
    """Make the error for an input that cannot be the one that was sent under this name before."""
    ended = "1 row" if missing == 1 else f"{missing} rows"
    return WireError(
        ErrorCode.STREAM_CHANGED,
        f"stream {stream} is at row {rows}, and the input ended {ended} before that; "
        "send all of it, or a different input under a different name",
    )


def _unauthorized(message: str) -> WireError:
    return WireError(
        ErrorCode.UNAUTHORIZED, f"{message}; begin with a directive that has one: #holdfast token=TOKEN"
    )


def ledger_full() -> WireError:
    """Make the error for senders while the ledger's disk has too little room left."""
    return WireError(
        ErrorCode.LEDGER_FULL,
        "the server's disk has too little room left, and no rows are decided until there is more; send the rest again later",
    )


def ledger_failed() -> WireError:
    """Make the error for senders whose rows can no longer be made durable."""
    return WireError(
        ErrorCode.LEDGER_FAILED,
        "the server cannot write its ledger and stops; rows that are not acknowledged have to be sent again",
    )
