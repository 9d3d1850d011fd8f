"""The status line of a server on a terminal, between log lines."""

from __future__ import annotations

import logging
import os
import pty
from typing import TYPE_CHECKING

import pytest

from holdfast.app.background_stream import BackgroundStream
from holdfast.app.status_line import StatusLine
from holdfast.server.status import Status

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def terminal() -> Iterator[tuple[int, BackgroundStream]]:
    """Open a terminal: the side that a person sees, and the one that a program writes to."""
    seen, written = pty.openpty()
    stream = BackgroundStream(written, str)
    yield seen, stream
    stream.close(10)
    os.close(written)
    os.close(seen)


def show(line: StatusLine, stream: BackgroundStream, status: Status) -> None:
    """Draw a line once the former text is written."""
    while stream.is_behind:
        pass
    line.show(status)


def test_log_lines_are_above_the_status_line(terminal: tuple[int, BackgroundStream]) -> None:
    """A log line first removes the status line, so that neither is mixed into the other."""
    seen, stream = terminal
    logger = logging.getLogger("holdfast")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        line = StatusLine(stream)
        line.stay_below_log()
        show(line, stream, Status(1, 2, 3, 4, 0.0))
        logger.error("something happened")
        show(line, stream, Status(5, 6, 7, 8, 0.0))
        line.show(None)
    finally:
        logger.removeHandler(handler)
    text = ""
    while not text.endswith("\r") or text.count("lag") < 2:
        text += os.read(seen, 10_000).decode()
    drawn = "\r1 connections, 2 rows, 4 rows/s, 3 refused, lag 0.0 ms"
    assert text.startswith(f"{drawn}\r{' ' * (len(drawn) - 1)}\rsomething happened\r\n\r5 connections")


def test_nothing_is_drawn_elsewhere() -> None:
    """A pipe is no terminal."""
    read, written = os.pipe()
    stream = BackgroundStream(written, str)
    StatusLine(stream).show(Status(1, 2, 3, 4, 0.0))
    assert stream.close(10)
    os.close(written)
    assert os.read(read, 100) == b""
    os.close(read)
