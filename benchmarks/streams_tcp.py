"""How much does a server compute for a row that comes over one of many connections, beside the command on the same rows?"""

from __future__ import annotations

import os
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams, stream_file
from benchmarks.measure import Effort, holdfast_command, median, run_command, side_by_side
from benchmarks.report import Figure
from benchmarks.streams_server import Cost, Server, connections_of, put, says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

_ROWS = 4_000_000
_REPEATS_MAX = 3
_BATCH_ROWS = 500
_BARS = {1_000: "tcp-1000", 10_000: "tcp-10000"}
_PLAIN = "skip"
_SERVERS: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    "disjoint": {
        _PLAIN: ("--on-error", "skip"),
        "budget": ("--on-error", "budget:1000000"),
        "uvloop": ("--loop", "uvloop"),
    },
    "hot": {_PLAIN: ("--on-error", "skip")},
}
"""By the kind of clients; without ``--loop``, a server runs on asyncio's own event loop."""


def answer(effort: Effort) -> Iterator[Figure]:
    """Send the same number of rows over 1 to 10,000 connections; the command reads them from one file in between."""
    for clients, servers in _SERVERS.items():
        for connections in connections_of(quick=effort.quick):
            rows_each = max(1, effort.size(_ROWS) // connections)
            yield from _compare(StreamWorkload(connections, rows_each, clients=clients), servers, effort)


def _compare(
    workload: StreamWorkload, servers: Mapping[str, tuple[str, ...]], effort: Effort
) -> Iterator[Figure]:
    rows = render_streams(make_stream_columns(workload), workload.connections, _BATCH_ROWS)
    path = stream_file(workload)
    repeats = min(effort.repeats, _REPEATS_MAX)
    # uvloop is an extra: measure it if it is installed.
    names = [name for name in servers if name != "uvloop" or find_spec("uvloop") is not None]
    costs: dict[str, list[Cost]] = {name: [] for name in names}
    command: list[float] = []

    def serve(name: str) -> None:
        with Server(*servers[name]) as server:
            costs[name].append(put(server, rows))

    contenders: dict[str, Callable[[], None]] = {name: partial(serve, name) for name in names}
    contenders["command"] = lambda: command.append(run_command([*holdfast_command(), "-q", path]).cpu)
    side_by_side(contenders, repeats)
    os.unlink(path)
    for name, paid in costs.items():
        yield from _tell(workload, name, paid, median(command))


def _tell(workload: StreamWorkload, policy: str, costs: list[Cost], command: float) -> Iterator[Figure]:
    connections, millions = workload.connections, workload.rows / 1e6
    what = f"{says(connections)}, {workload.clients} clients, {policy}"
    cpu = median(cost.cpu_seconds for cost in costs)
    bar = _BARS.get(connections) if (workload.clients, policy) == ("disjoint", _PLAIN) else None
    yield Figure(f"{what}: rows", median(workload.rows / cost.seconds for cost in costs), "rows/s")
    yield Figure(f"{what}: CPU for 1 M rows / the command's", cpu / millions, "s", cpu / command, bar)
    beside = median(cost.cpu_seconds_beside for cost in costs)
    yield Figure(f"{what}: CPU to open and end one", beside / connections * 1e6, "us")
    yield Figure(f"{what}: peak memory", median(cost.memory_bytes for cost in costs) / 2**20, "MiB")
