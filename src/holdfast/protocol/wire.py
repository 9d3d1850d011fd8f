"""The lines on the wire beside the CSV: directives from a sender, replies from a server.

Both sides use this module, so each reads what the other writes. Lines end with LF; replies are JSON objects.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.protocol.messages import (
    Ack,
    Directive,
    ErrorCode,
    Failure,
    Refused,
    RefusedRows,
    Resume,
    StreamSettings,
    Summary,
    WireError,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.protocol.messages import Event, Reply

DIRECTIVE_PREFIX = b"#holdfast"
DIRECTIVE_BYTES_MAX = 1024
"""How long a directive may be, without its line end."""
DIRECTIVES_MAX = 2
"""How many directives a connection may begin with."""
REPLY_LINE_BYTES_MAX = 16_384
"""How long a reply may be, including its line end."""
ROW_NUMBER_MAX = 2**63 - 1
_MESSAGE_CHARACTERS_MAX = 1000

_STREAM_NAME = re.compile(r"[A-Za-z0-9._:/-]{1,128}")
_PRINTABLE = re.compile(rb"[ -~]*")
_DIGEST = re.compile(r"[0-9a-f]{16}")
# These replies may be sent by the million.
_REFUSED_LINES = {
    int(code): b'{"refused": {"row": %%d, "code": "%b"}}\n' % code.name.encode()
    for code in Outcome
    if not code.is_applied
}


def parse_directive(line: bytes) -> Directive:
    """Read a directive line, with or without its line end.

    Raises:
        WireError: BAD_DIRECTIVE, if it is not a valid directive.
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
            raise _bad(f"{key!r} is not a key; the keys are {', '.join(_KEYS)}")
        if key in values:
            raise _bad(f"the key {key!r} is given twice")
        values[key] = value
    if not values:
        raise _bad(f"nothing follows {DIRECTIVE_PREFIX.decode()}; write, for example, stream=NAME ack=rows")
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
        WireError: BAD_DIRECTIVE, if it asks for nothing, is too long, or has a value that a directive cannot have.
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
        raise _bad("a value has a space or another character that a directive cannot have")
    return line + b"\n"


_KEYS = ("stream", "ack", "refused", "token", "from", "digest")


def _bad(message: str) -> WireError:
    return WireError(ErrorCode.BAD_DIRECTIVE, message)


def _shown(item: str, key: str) -> str:
    """Quote an item, but never a token: its key may have a typing error."""
    return repr(item) if len(item) <= 40 and "tok" not in key.lower() else repr(f"{key[:20]}…")


def _parse_stream(name: str | None) -> str | None:
    if name is not None and _STREAM_NAME.fullmatch(name) is None:
        raise _bad("a stream's name has 1 to 128 of the characters A-Z a-z 0-9 . _ : / -")
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
        raise _bad("from is the number of a row, 1 or more")
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


def encode(message: Event | Reply) -> bytes:
    """Write a message as one line, or as one line per refused row."""
    match message:
        case Ack():
            return b'{"ack": %d, "sequence": %d}\n' % message
        case RefusedRows(rows, codes):
            return b"".join([_REFUSED_LINES[code] % row for row, code in zip(rows, codes, strict=True)])
        case Refused(row, code):
            return _REFUSED_LINES[code] % row
        case Resume(rows, digest, settings):
            return _to_line({"resume": rows, "digest": format_digest(digest), "settings": settings._asdict()})
        case Failure():
            return _encode_failure(message)
        case Summary():
            return _encode_summary(message)


def encode_all(messages: Iterable[Event | Reply]) -> bytes:
    """Write several messages, in their order."""
    return b"".join(map(encode, messages))


def _encode_failure(failure: Failure) -> bytes:
    text = failure.message
    if len(text) > _MESSAGE_CHARACTERS_MAX:
        text = text[: _MESSAGE_CHARACTERS_MAX - 1] + "…"
    error = {"code": failure.code.value, "message": text}
    return _to_line({"error": error, "rows": failure.rows, "sequence": failure.sequence})


def _encode_summary(summary: Summary) -> bytes:
    fields: dict[str, object] = {
        "rows": summary.rows,
        "applied": summary.applied,
        "refused": summary.refused,
        "refused_by_code": {outcome.name: count for outcome, count in summary.refused_by_outcome.items()},
        "skipped": summary.skipped,
        "sequence": summary.sequence,
    }
    if summary.stream is not None:
        fields |= {"stream": summary.stream, "resume": summary.resume}
    return _to_line(fields)


def parse_reply(line: bytes) -> Reply:
    """Read a server's reply, with or without its line end.

    Raises:
        ValueError: If it is not a reply; the message shows its beginning.
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
