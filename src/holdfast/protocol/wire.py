"""What goes over the wire beside the CSV: directives from a sender, replies from a server, one line each.

Both sides use this module, so that what one writes the other reads. Lines end with LF; replies are JSON objects.
"""

from __future__ import annotations

import json
import re
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import STANDARD, make_rules
from holdfast.domain.settings import (
    CLIENT_BITS_DEFAULT,
    DECIMALS_DEFAULT,
    ROW_BYTES_DEFAULT,
    TX_BITS_DEFAULT,
    make_settings,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.domain.settings import Settings

DIRECTIVE_PREFIX = b"#holdfast"
DIRECTIVE_BYTES_MAX = 1024
"""How long a directive may be, without its line end."""
DIRECTIVES_MAX = 2
"""How many directives a connection may begin with."""
REPLY_LINE_BYTES_MAX = 16_384
"""No reply is longer, its line end included."""
ROW_NUMBER_MAX = 2**63 - 1
_MESSAGE_CHARACTERS_MAX = 1000

_STREAM_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_PRINTABLE = re.compile(rb"[ -~]*")
_DIGEST = re.compile(r"[0-9a-f]{16}")


class ErrorCode(StrEnum):
    """Why a server ends a connection before the end of its input."""

    BAD_DIRECTIVE = "BAD_DIRECTIVE"
    """A line that begins with ``#holdfast`` says something that this server does not know."""
    UNAUTHORIZED = "UNAUTHORIZED"
    """The server wants a token, and there was none that it knows."""
    FORBIDDEN_STREAM = "FORBIDDEN_STREAM"
    """The token is good for other streams."""
    STREAM_CHANGED = "STREAM_CHANGED"
    """Other rows were sent under the stream's name before."""
    GAP = "GAP"
    """Rows between where the stream stands and the first row announced would be left out."""
    BAD_HEADER = "BAD_HEADER"
    """The CSV does not begin with a usable header."""
    LINE_TOO_LONG = "LINE_TOO_LONG"
    """A line has not ended after as many bytes as a line may have."""
    LINE_TIMEOUT = "LINE_TIMEOUT"
    """A line was begun and not ended in time."""
    HANDSHAKE_TIMEOUT = "HANDSHAKE_TIMEOUT"
    """The header was not complete in time."""
    IDLE_TIMEOUT = "IDLE_TIMEOUT"
    """No byte came for longer than a connection may be idle."""
    TOO_MANY_CONNECTIONS = "TOO_MANY_CONNECTIONS"
    """As many connections are open as the server allows."""
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    """The server remembers as many stream names as it can."""
    MEMORY_LIMIT = "MEMORY_LIMIT"
    """The server has no memory left for more rows or connections."""
    CONNECTION_MEMORY = "CONNECTION_MEMORY"
    """More bytes would have to be kept for this connection than one may cost."""
    REPLIES_NOT_READ = "REPLIES_NOT_READ"
    """The sender was held back because it does not read its replies, and still did not read them."""
    SUPERSEDED = "SUPERSEDED"
    """A newer connection has opened the same stream."""
    POLICY_ABORT = "POLICY_ABORT"
    """The server's error policy stopped this connection at a row."""
    SHUTTING_DOWN = "SHUTTING_DOWN"
    """The server is being stopped."""
    INTERNAL = "INTERNAL"
    """A bug of the server's."""

    @property
    def is_retryable(self) -> bool:
        """Whether the same sender may have more luck later, with nothing changed but the time."""
        return self in _RETRYABLE


_RETRYABLE = frozenset(
    {
        ErrorCode.TOO_MANY_CONNECTIONS,
        ErrorCode.LINE_TIMEOUT,
        ErrorCode.IDLE_TIMEOUT,
        ErrorCode.HANDSHAKE_TIMEOUT,
        ErrorCode.REPLIES_NOT_READ,
        ErrorCode.SHUTTING_DOWN,
    }
)


class WireError(Exception):
    """What ends a connection: a code for programs and a sentence for people.

    Args:
        code: Which error it is.
        message: What is wrong, where, and what to do about it.
    """

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


class Directive(NamedTuple):
    """What a sender asks for before its CSV."""

    stream: str | None = None
    """The name under which the server remembers how far this stream got; anonymous without one."""
    wants_acks: bool = False
    """Whether to be told as rows are decided."""
    wants_refused: bool = False
    """Whether to be told of each row that is not applied."""
    token: str | None = None
    """What proves that the sender may do this."""
    first_row: int | None = None
    """The number of the first row that will be sent; 1 if not given."""
    digest: int | None = None
    """The sender's digest of the rows before the first one that it will send."""


def parse_directive(line: bytes) -> Directive:
    """Read a directive line, with or without its line end.

    Raises:
        WireError: BAD_DIRECTIVE, if it is not written as a directive has to be.
    """
    text = line.removesuffix(b"\n").removesuffix(b"\r")
    if len(text) > DIRECTIVE_BYTES_MAX:
        raise _bad(f"a directive has at most {DIRECTIVE_BYTES_MAX} bytes")
    if _PRINTABLE.fullmatch(text) is None:
        raise _bad("a directive consists of printable ASCII characters")
    word, *items = text.decode("ascii").split(" ")
    if word != DIRECTIVE_PREFIX.decode():
        raise _bad(f"a directive begins with {DIRECTIVE_PREFIX.decode()} and a space")
    values: dict[str, str] = {}
    for item in filter(None, items):
        key, equals, value = item.partition("=")
        if not equals or not value:
            raise _bad(f"{_shown(item, key)} is not written KEY=VALUE")
        if key not in _KEYS:
            raise _bad(f"there is no key {key!r}; there are {', '.join(_KEYS)}")
        if key in values:
            raise _bad(f"the key {key!r} stands there twice")
        values[key] = value
    if not values:
        raise _bad(
            f"nothing stands behind {DIRECTIVE_PREFIX.decode()}; write for example stream=NAME ack=rows"
        )
    return Directive(
        stream=_parse_stream(values.get("stream")),
        wants_acks=_parse_wish("ack", values),
        wants_refused=_parse_wish("refused", values),
        token=values.get("token"),
        first_row=_parse_row(values.get("from")),
        digest=_parse_digest(values.get("digest")),
    )


def format_directive(directive: Directive) -> bytes:
    """Write a directive as a line.

    Raises:
        WireError: BAD_DIRECTIVE, if it asks for nothing, is too long, or holds what no directive can hold.
    """
    items = [
        f"stream={directive.stream}" if directive.stream is not None else "",
        "ack=rows" if directive.wants_acks else "",
        "refused=rows" if directive.wants_refused else "",
        f"from={directive.first_row}" if directive.first_row is not None else "",
        f"digest={format_digest(directive.digest)}" if directive.digest is not None else "",
        f"token={directive.token}" if directive.token is not None else "",
    ]
    line = " ".join([DIRECTIVE_PREFIX.decode(), *filter(None, items)]).encode(errors="backslashreplace")
    if parse_directive(line) != directive:
        raise _bad("a value holds a space or another character that no directive can hold")
    return line + b"\n"


_KEYS = ("stream", "ack", "refused", "token", "from", "digest")


def _bad(message: str) -> WireError:
    return WireError(ErrorCode.BAD_DIRECTIVE, message)


def _shown(item: str, key: str) -> str:
    """Never the token: what is wrong about it may be one letter of its key."""
    return repr(item) if len(item) <= 40 and "tok" not in key.lower() else repr(f"{key[:20]}…")


def _parse_stream(name: str | None) -> str | None:
    if name is not None and _STREAM_NAME.fullmatch(name) is None:
        raise _bad("a stream's name is 1 to 128 of A-Z a-z 0-9 . _ : / -")
    return name


def _parse_wish(key: str, values: dict[str, str]) -> bool:
    value = values.get(key, "none")
    if value not in {"rows", "none"}:
        raise _bad(f"{key} is rows or none")
    return value == "rows"


def _parse_row(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isdigit() or len(text) > len(str(ROW_NUMBER_MAX)) or not 1 <= int(text) <= ROW_NUMBER_MAX:
        raise _bad("from is the number of a row, the first being 1")
    return int(text)


def format_digest(digest: int) -> str:
    """Write the digest of a stream as 16 hexadecimal digits."""
    return f"{digest:016x}"


def _parse_digest(text: str | None) -> int | None:
    if text is None:
        return None
    if _DIGEST.fullmatch(text) is None:
        raise _bad("digest is 16 hexadecimal digits")
    return int(text, 16)


class StreamSettings(NamedTuple):
    """What a sender has to know of a server's settings to read rows as the server does."""

    decimals: int = DECIMALS_DEFAULT
    """How many decimals an amount keeps."""
    client_bits: int = CLIENT_BITS_DEFAULT
    """How wide client ids are."""
    tx_bits: int = TX_BITS_DEFAULT
    """How wide transaction ids are."""
    row_bytes_max: int = ROW_BYTES_DEFAULT
    """How long a row may be."""
    excess_decimals: str = STANDARD.excess_decimals
    """What becomes of more decimals than are kept."""

    @classmethod
    def of(cls, settings: Settings) -> StreamSettings:
        """Pick them from an engine's settings."""
        return cls(
            settings.decimals,
            settings.client_bits,
            settings.tx_bits,
            settings.row_bytes_max,
            settings.rules.excess_decimals,
        )

    def to_settings(self) -> Settings:
        """Make settings that a decoder takes.

        Raises:
            ValueError: If there can be no such settings.
        """
        rules = make_rules({"excess_decimals": self.excess_decimals})
        return make_settings(rules, **{name: getattr(self, name) for name in self._fields[:-1]})


class Resume(NamedTuple):
    """Where a named stream stands, and how its rows are read: the server's first line."""

    rows: int
    """How many of its rows are decided; the next one has this number plus one."""
    digest: int = 0
    """The digest of these rows."""
    settings: StreamSettings = StreamSettings()
    """How the server reads rows."""

    def to_line(self) -> bytes:
        """Write it as it goes over the wire."""
        return _to_line(
            {"resume": self.rows, "digest": format_digest(self.digest), "settings": self.settings._asdict()}
        )


class Ack(NamedTuple):
    """All rows of the stream up to one are decided."""

    rows: int
    """The number of that row: of the stream, or of the connection if it is anonymous."""
    sequence: int
    """Rows that the engine has decided in all."""

    def to_line(self) -> bytes:
        """Write it as it goes over the wire."""
        return b'{"ack": %d, "sequence": %d}\n' % self


class Refused(NamedTuple):
    """One row was not applied."""

    row: int
    """Its number in the stream, or in the connection if that is anonymous."""
    code: Outcome
    """Why."""

    def to_line(self) -> bytes:
        """Write it as it goes over the wire."""
        return b'{"refused": {"row": %d, "code": "%b"}}\n' % (self.row, self.code.name.encode())


class Failure(NamedTuple):
    """The server ends the connection; always its last line."""

    code: ErrorCode
    """Which error it is."""
    message: str
    """What is wrong, in a sentence."""
    rows: int
    """How many rows of the stream (of the connection, if it is anonymous) are decided and stand."""
    sequence: int
    """Rows that the engine has decided in all."""

    def to_line(self) -> bytes:
        """Write it as it goes over the wire."""
        message = self.message
        if len(message) > _MESSAGE_CHARACTERS_MAX:
            message = message[: _MESSAGE_CHARACTERS_MAX - 1] + "…"
        error = {"code": self.code.value, "message": message}
        return _to_line({"error": error, "rows": self.rows, "sequence": self.sequence})


class Summary(NamedTuple):
    """What became of a connection's rows, after the end of its input; always the server's last line."""

    rows: int
    """Rows of this connection that were decided."""
    applied: int
    """Those of them that were applied."""
    refused_by_outcome: Mapping[Outcome, int]
    """The others, by what they were refused for, in order of precedence."""
    skipped: int
    """Rows that were sent and had been decided before."""
    sequence: int
    """Rows that the engine has decided in all."""
    stream: str | None = None
    """The stream's name, if it has one."""
    resume: int | None = None
    """Where the named stream stands now."""

    @property
    def refused(self) -> int:
        """Rows of this connection that were not applied."""
        return self.rows - self.applied

    def to_line(self) -> bytes:
        """Write it as it goes over the wire."""
        fields: dict[str, object] = {
            "rows": self.rows,
            "applied": self.applied,
            "refused": self.refused,
            "refused_by_code": {outcome.name: count for outcome, count in self.refused_by_outcome.items()},
            "skipped": self.skipped,
            "sequence": self.sequence,
        }
        if self.stream is not None:
            fields |= {"stream": self.stream, "resume": self.resume}
        return _to_line(fields)


Reply = Resume | Ack | Refused | Failure | Summary


def parse_reply(line: bytes) -> Reply:
    """Read a server's reply, with or without its line end.

    Raises:
        ValueError: If it is none; the message shows its beginning.
    """
    try:
        fields = json.loads(line)
        reply = _parse_reply(fields) if isinstance(fields, dict) else None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"{_begin(line)} is no reply of this protocol ({type(error).__name__}: {error})"
        ) from error
    if reply is None:
        raise ValueError(f"{_begin(line)} is no reply of this protocol")
    return reply


def _parse_reply(fields: dict[str, object]) -> Reply | None:
    if "ack" in fields:
        return Ack(_number(fields["ack"]), _number(fields["sequence"]))
    if "refused_by_code" in fields:
        return _parse_summary(fields)
    if "refused" in fields:
        refused = _object(fields["refused"])
        return Refused(_number(refused["row"]), Outcome[_text(refused["code"])])
    if "error" in fields:
        error = _object(fields["error"])
        code = ErrorCode(_text(error["code"]))
        return Failure(code, _text(error["message"]), _number(fields["rows"]), _number(fields["sequence"]))
    return _parse_resume(fields) if "resume" in fields else None


def _parse_resume(fields: dict[str, object]) -> Resume:
    digest = _parse_digest(_text(fields["digest"]))
    given = _object(fields["settings"])
    settings = StreamSettings(
        decimals=_number(given["decimals"]),
        client_bits=_number(given["client_bits"]),
        tx_bits=_number(given["tx_bits"]),
        row_bytes_max=_number(given["row_bytes_max"]),
        excess_decimals=_text(given["excess_decimals"]),
    )
    settings.to_settings()
    return Resume(_number(fields["resume"]), digest or 0, settings)


def _parse_summary(fields: dict[str, object]) -> Summary:
    by_code = _object(fields["refused_by_code"])
    stream = fields.get("stream")
    return Summary(
        rows=_number(fields["rows"]),
        applied=_number(fields["applied"]),
        refused_by_outcome={Outcome[name]: _number(count) for name, count in by_code.items()},
        skipped=_number(fields["skipped"]),
        sequence=_number(fields["sequence"]),
        stream=None if stream is None else _text(stream),
        resume=None if stream is None else _number(fields["resume"]),
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(f"{value!r} is not a whole number")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{value!r} is not a text")
    return value


def _object(value: object) -> dict[str, object]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not an object")
    return value


def _begin(line: bytes) -> str:
    return repr(line if len(line) <= 100 else line[:100] + b"...")


def _to_line(fields: dict[str, object]) -> bytes:
    return json.dumps(fields).encode() + b"\n"
