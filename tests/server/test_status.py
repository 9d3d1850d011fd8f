"""What the server says about itself: the line, the numbers, and the line on a terminal between log lines."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING

from holdfast import Engine, Resolve
from holdfast.protocol.server_context import ServerContext
from holdfast.protocol.server_session import Session
from holdfast.server.status import Statistics, Status, dump
from holdfast.server.tcp.server import TcpServer

if TYPE_CHECKING:
    import pytest

    from holdfast.protocol.messages import Event


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
    statistics = Statistics(TcpServer(ServerContext(engine)), lambda: now)
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
    assert Statistics(TcpServer(intake)).to_json()["refused"] == 2


def test_dump_is_logged_whatever_the_level(caplog: pytest.LogCaptureFixture) -> None:
    """Numbers that somebody asks for are JSON in the message, and fields for machines."""
    logger = logging.getLogger("holdfast.server")
    before = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        dump(Statistics(TcpServer(ServerContext(Engine()))))
    finally:
        logger.setLevel(before)
    (record,) = caplog.records
    numbers = json.loads(record.getMessage().removeprefix("statistics "))
    assert numbers["connections"] == 0
    assert record.__dict__["statistics"]["durable"] == 0
