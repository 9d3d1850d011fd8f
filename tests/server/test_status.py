"""What the server says about itself: the line, the numbers, and the line on a terminal between log lines."""

from __future__ import annotations

import io
import json
import logging
import os
import pty
from typing import TYPE_CHECKING

import pytest

from holdfast import Engine, Resolve
from holdfast.protocol.server_context import ServerContext
from holdfast.protocol.server_session import Session
from holdfast.server.status import Statistics, Status, StatusLine, dump
from holdfast.server.tcp.server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.protocol.messages import Event


@pytest.fixture
def terminal() -> Iterator[tuple[int, io.TextIOWrapper]]:
    """Open a terminal: the side that a person sees, and the one that a program writes to."""
    seen, written = pty.openpty()
    with os.fdopen(written, "w") as stream:
        yield seen, stream
    os.close(seen)


def test_status_line_text() -> None:
    """The line has everything, with its unit."""
    status = Status(
        connections=1200, rows=5_000_000, refused=17, rows_per_second=1_234_567, lag_seconds=0.0042
    )
    assert str(status) == "1,200 connections, 5,000,000 rows, 1,234,567 rows/s, 17 refused, lag 4.2 ms"


def test_rate_is_that_since_the_last_time() -> None:
    """Rows by second are those of the time between two looks."""
    now = 100.0
    engine = Engine()
    statistics = Statistics(Server(ServerContext(engine)), lambda: now)
    now = 110.0
    for _ in range(1000):
        engine.apply(Resolve(client=1, tx=1))
    assert statistics.status().rows_per_second == 100
    now = 111.0
    assert statistics.status().rows_per_second == 0
    assert statistics.status().rows == 1000


def test_refused_rows_are_those_of_all_sessions() -> None:
    """Sessions that have ended count as those that have not."""
    intake = ServerContext(Engine())

    class Nowhere:
        def deliver(self, events: list[Event]) -> None:
            """Nobody supersedes anybody here."""

    session = Session(intake, Nowhere(), 0.0)
    session.receive(memoryview(b"type,client,tx,amount\njunk\njunk\n"), 0.0)
    session.end_of_input(0.0)
    assert Statistics(Server(intake)).to_json()["refused"] == 2


def test_dump_is_logged_whatever_the_level(caplog: pytest.LogCaptureFixture) -> None:
    """Numbers that somebody asks for are JSON in the message, and fields for machines."""
    logger = logging.getLogger("holdfast.server")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        dump(Statistics(Server(ServerContext(Engine()))))
    finally:
        logger.setLevel(before)
    (record,) = caplog.records
    numbers = json.loads(record.getMessage().removeprefix("statistics "))
    assert numbers["connections"] == 0
    assert record.__dict__["statistics"]["sequence"] == 0


def test_log_lines_stand_above_the_status_line(terminal: tuple[int, io.TextIOWrapper]) -> None:
    """A log line first removes the status line, so that neither is mixed into the other."""
    seen, stream = terminal
    logger = logging.getLogger("holdfast")
    handler = logging.StreamHandler(stream)
    logger.addHandler(handler)
    try:
        line = StatusLine(stream)
        line.stay_below_log()
        line.show(Status(1, 2, 3, 4, 0.0))
        logger.error("something happened")
        line.show(Status(5, 6, 7, 8, 0.0))
    finally:
        logger.removeHandler(handler)
    text = ""
    while not text.endswith("lag 0.0 ms") or text.count("lag") < 2:
        text += os.read(seen, 10_000).decode()
    drawn = "\r1 connections, 2 rows, 4 rows/s, 3 refused, lag 0.0 ms"
    assert text.startswith(f"{drawn}\r{' ' * (len(drawn) - 1)}\rsomething happened\r\n\r5 connections")


def test_nothing_is_drawn_elsewhere() -> None:
    """A file is no terminal."""
    stream = io.StringIO()
    StatusLine(stream).show(Status(1, 2, 3, 4, 0.0))
    assert stream.getvalue() == ""
