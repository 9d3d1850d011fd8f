"""What a sender may say before its CSV header: up to two directives, obeyed as they come."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.protocol.messages import Directive, ErrorCode, Resume, StreamSettings, WireError
from holdfast.protocol.registry import Position
from holdfast.protocol.wire import DIRECTIVE_BYTES_MAX, DIRECTIVE_PREFIX, DIRECTIVES_MAX, parse_directive

if TYPE_CHECKING:
    from holdfast.protocol.messages import Event
    from holdfast.protocol.registry import Owner
    from holdfast.protocol.server_context import ServerContext

_LINE_BYTES_MAX = DIRECTIVE_BYTES_MAX + len(b"\r\n")


class Handshake:
    """Takes the first bytes of a connection until one comes that belongs to no directive.

    Args:
        context: Knows the tokens and the streams.
        owner: Who becomes the owner of a named stream.
    """

    __slots__ = (
        "_context",
        "_directives",
        "_owner",
        "asked",
        "digest_before",
        "has_ended",
        "head",
        "position",
        "skip",
    )

    def __init__(self, context: ServerContext, owner: Owner) -> None:
        self._context = context
        self._owner = owner
        self._directives = 0
        self.head = b""
        """What may be the beginning of a directive."""
        self.asked = Directive()
        """The first directive; its stream is claimed."""
        self.position = Position()
        """Where the named stream was."""
        self.skip = 0
        """How many of the rows that will come were decided before."""
        self.digest_before: int | None = 0
        """The digest of the rows before the first one that will come; None if the sender did not say."""
        self.has_ended = False

    def receive(self, data: bytes, replies: list[Event]) -> bytes:
        """Obey what are directives.

        Args:
            data: What has come.
            replies: Answers are added here.

        Returns:
            What is left for the decoder, once :attr:`has_ended` is true.

        Raises:
            WireError: If a directive is not understood, or asks for what it may not have.
        """
        data = self.head + data
        self.head = b""
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

    def end_of_input(self) -> bytes:
        """Take the end of the input before that of the directives; give what is left for the decoder.

        Raises:
            WireError: If it is in the middle of a directive, or a token was needed.
        """
        if self.head.startswith(DIRECTIVE_PREFIX):
            raise WireError(ErrorCode.BAD_DIRECTIVE, "the directive has no line end")
        self._end()
        return self.head

    def _end(self) -> None:
        if self._directives == 0 and self._context.authorizer is not None:
            raise _unauthorized("this server wants a token")
        self.has_ended = True

    def _obey(self, line: bytes, replies: list[Event]) -> None:
        """Do what a directive says, and answer it."""
        if self._directives == DIRECTIVES_MAX:
            raise WireError(ErrorCode.BAD_DIRECTIVE, f"there are at most {DIRECTIVES_MAX} directives")
        directive = parse_directive(line)
        self._directives += 1
        if self._directives == 1:
            self._authorize(directive)
            if directive.stream is not None:
                self.position = self._context.registry.claim(directive.stream, self._owner)
                self.skip = self.position.rows
                settings = StreamSettings.of(self._context.engine.settings)
                replies.append(Resume(*self.position, settings))
            self.asked = directive
        elif directive != Directive(first_row=directive.first_row, digest=directive.digest):
            raise WireError(
                ErrorCode.BAD_DIRECTIVE, "the second directive holds from=ROW, digest=DIGEST and nothing else"
            )
        if directive.first_row is not None:
            self._start_from(directive.first_row, directive.digest)
        elif directive.digest is not None:
            raise WireError(
                ErrorCode.BAD_DIRECTIVE, "digest=DIGEST is of the rows before from=ROW: give both"
            )

    def _authorize(self, directive: Directive) -> None:
        authorizer = self._context.authorizer
        if authorizer is None:
            return
        if directive.token is None:
            raise _unauthorized("this server wants a token")
        grant = authorizer.find(directive.token)
        if grant is None:
            raise _unauthorized("this server does not know this token")
        if not grant.allows(directive.stream):
            what = "anonymous streams" if directive.stream is None else f"stream {directive.stream}"
            raise WireError(ErrorCode.FORBIDDEN_STREAM, f"this token does not allow {what}")

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
        self.skip = wanted - first_row
        self.digest_before = 0 if first_row == 1 else digest
        if self.skip == 0 and digest is not None and digest != self.position.digest:
            raise stream_changed(self.asked.stream, self.position.rows)


def stream_changed(stream: str | None, rows: int) -> WireError:
    """Say that a stream's name was used for other rows before."""
    return WireError(
        ErrorCode.STREAM_CHANGED,
        f"stream {stream} is at row {rows}, and its rows up to there are not those that are sent now; "
        "send another input under another name",
    )


def _unauthorized(message: str) -> WireError:
    return WireError(
        ErrorCode.UNAUTHORIZED, f"{message}; begin with a directive that has one: #holdfast token=TOKEN"
    )
