"""How much memory does a server hold for connections that are open and send nothing?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.load_generator import Load
from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams
from benchmarks.load_target import Target
from benchmarks.report import Figure
from benchmarks.streams_server import SECONDS_MAX, Server, check

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Effort

_CONNECTIONS = 10_000
_CONNECTIONS_QUICK = 200


def answer(effort: Effort) -> Iterator[Figure]:
    """Open many connections, send one row on each, and look at the server when it has nothing to do."""
    connections = _CONNECTIONS_QUICK if effort.quick else _CONNECTIONS
    rows = render_streams(make_stream_columns(StreamWorkload(connections, 1, "deposits")), connections, 1)
    with Server() as server:
        before = server.memory_bytes()
        with Load(rows, Target("127.0.0.1", server.port)) as load:
            load.open()
            load.send_all(SECONDS_MAX)
            server.settle()
            idle = server.memory_bytes()
            load.end(SECONDS_MAX)
        check(load.report)
    yield Figure("no connection", before / 2**20, "MiB")
    yield Figure(f"{connections:,} idle connections", idle / 1e6, "MB", bar="idle")
    yield Figure("an idle connection", (idle - before) / connections / 1024, "KiB")
