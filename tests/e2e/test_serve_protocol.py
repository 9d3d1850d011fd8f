"""The transcripts of docs/protocol.md, replayed against a real server over real sockets."""

from __future__ import annotations

import re
import shlex
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from e2e.serving import Serving, receive_line, serving
from holdfast.protocol.limits import ServerLimits
from holdfast.protocol.messages import ErrorCode
from holdfast.server.tokens import format_entry

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
TOKEN = "transcript-token"  # noqa: S105  # no secret
_STEP = re.compile(r"([A-Z]?)([<>])(?: (.*))?")
_LONG_LINE = re.compile(r"\(([0-9,]+) bytes without a line end\)")


def page() -> str:
    """Give the text of the page."""
    return (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")


def transcripts() -> list[str]:
    """List the transcripts of the page."""
    return re.findall(r"^```transcript\n(.*?)^```$", page(), re.DOTALL | re.MULTILINE)


class Replay:
    """Plays one transcript.

    Args:
        server: Against whom.
    """

    def __init__(self, server: Serving) -> None:
        self._server = server
        self._connections: dict[str, socket.socket] = {}
        self._unsent: dict[str, bytes] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for connection in self._connections.values():
            connection.close()

    def play(self, steps: Iterator[str]) -> None:
        """Send what it says, and hold against it what comes."""
        for step in steps:
            match = _STEP.fullmatch(step)
            assert match is not None, step
            name, direction, text = match[1], match[2], match[3] or ""
            if direction == ">":
                self._send(name, text)
            else:
                self._expect(name, text)

    def _connection(self, name: str) -> socket.socket:
        if name not in self._connections:
            self._connections[name] = self._server.connect()
        return self._connections[name]

    def _send(self, name: str, text: str) -> None:
        """Lines up to the next reply go in one piece."""
        connection = self._connection(name)
        long_line = _LONG_LINE.fullmatch(text)
        if text == "(end of input)":
            self._flush(name)
            connection.shutdown(socket.SHUT_WR)
        elif text == "(SIGTERM to the server)":
            self._flush(name)
            self._server.process.send_signal(signal.SIGTERM)
        elif long_line is not None:
            self._unsent[name] = self._unsent.get(name, b"") + b"x" * int(long_line[1].replace(",", ""))
        else:
            line = text.replace("TOKEN", TOKEN).encode()
            line = line[:-1] if line.endswith(b"\\") else line + b"\n"
            self._unsent[name] = self._unsent.get(name, b"") + line

    def _flush(self, name: str) -> None:
        if self._unsent.get(name):
            self._connection(name).sendall(self._unsent.pop(name))

    def _expect(self, name: str, text: str) -> None:
        self._flush(name)
        line = receive_line(self._connection(name))
        if text == "(closed)":
            assert line == b""
            return
        # What the page leaves out may be anything.
        pattern = ".*".join(map(re.escape, text.split("…"))) + "\n"
        assert re.fullmatch(pattern, line.decode()), line


@pytest.mark.parametrize("transcript", transcripts(), ids=lambda text: text.splitlines()[-2][:60])
def test_transcript(transcript: str, tmp_path: Path) -> None:
    """The server says, byte for byte, what the page says it does."""
    steps = transcript.splitlines()
    options: list[str] = []
    if steps[0].startswith("$ "):
        options = shlex.split(steps.pop(0).removeprefix("$ holdfast serve"))
    if "FILE" in options:
        tokens = tmp_path / "tokens"
        tokens.write_text(format_entry(TOKEN, ["orders/*"]) + "\n")
        options[options.index("FILE")] = str(tokens)
    with serving(tmp_path, *options) as server, Replay(server) as replay:
        replay.play(iter(steps))


def test_every_code_is_in_the_table() -> None:
    """The table of errors has every code, in order, and says which ones may be tried again."""
    rows = re.findall(r"^\| `([A-Z_]+)` \| (yes|no) \|", page(), re.MULTILINE)
    assert rows == [(code.value, "yes" if code.is_retryable else "no") for code in ErrorCode]


def test_limits_are_those_of_the_code() -> None:
    """The limits that the page names are the defaults."""
    limits = ServerLimits()
    for text in (
        f"{limits.line_bytes_max // 1024} KiB; up to there",
        f"{limits.line_seconds_max:g} seconds after its first byte",
        f"{limits.handshake_seconds_max:g} seconds after the connection",
        f"nothing arrived for {limits.idle_seconds_max:g} seconds",
        f"{limits.connections_max:,} connections are open",
        f"{limits.streams_max:,} names",
        f"more than {limits.connection_bytes_max // 1024} KiB, mostly for unread replies",
        f"paused for {limits.replies_seconds_max:g} seconds",
        f"at most {limits.linger_seconds_max:g} seconds and {limits.linger_bytes_max // 1024**2} MiB",
    ):
        assert text in page(), text
