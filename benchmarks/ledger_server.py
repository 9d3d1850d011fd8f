"""What does it cost a server that acks name rows on disk: rows a second beside memory, ack latency beside a bare sync?"""

from __future__ import annotations

import os
import sqlite3
import tempfile
import time
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import ROOT
from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams
from benchmarks.load_statistics import Percentiles
from benchmarks.measure import holdfast_command, median, side_by_side
from benchmarks.report import Figure
from benchmarks.streams_latency import run_schedule
from benchmarks.streams_server import Server, put, python_command, says

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from benchmarks.load_rows import StreamRows
    from benchmarks.measure import Effort

_CONNECTIONS = 1_000
_CONNECTIONS_QUICK = 50
_ROWS = 4_000_000
_BATCH_ROWS = 500
_BATCH_ROWS_QUICK = 100
# Long enough for checkpoints, which begin after 8 M decisions at the latest.
_SCHEDULE_SECONDS = 6.0
_SCHEDULE_SECONDS_QUICK = 0.3
_REPEATS_MAX = 3
_SHARES = (0.5, 0.9)
_SYNCS = 200
_SYNCS_QUICK = 5


class _Latency(NamedTuple):
    """What one schedule came to."""

    latencies: Percentiles
    lags: Percentiles
    entry_bytes: int
    """Of the median commit."""
    sync_seconds: float
    """What a bare write and sync of as many bytes takes, at the same place."""
    checkpoints: int
    """The number of the last one, before the one at the end."""


def answer(effort: Effort) -> Iterator[Figure]:
    """Send rows over 1,000 connections, with acks: as fast as it goes, and at half and nine tenths of that."""
    connections = _CONNECTIONS_QUICK if effort.quick else _CONNECTIONS
    rows = _make_rows(connections, max(1, effort.size(_ROWS) // connections), effort)
    rates = side_by_side(
        {"memory": lambda: _put_in_memory(rows), "ledger": lambda: _put_in_ledger(rows)},
        min(effort.repeats, _REPEATS_MAX),
    )
    memory, peak = median(rates["memory"]), median(rates["ledger"])
    what = f"{says(connections)}, acks"
    yield Figure(f"{what}, in memory", memory, "rows/s")
    yield Figure(f"{what}, durable: rate, over in memory", peak, "rows/s", peak / memory, "served")
    for share in _SHARES:
        yield from _schedule(connections, share, peak, effort)


def _make_rows(connections: int, rows_each: int, effort: Effort) -> StreamRows:
    columns = make_stream_columns(StreamWorkload(connections, rows_each))
    return render_streams(columns, connections, _BATCH_ROWS_QUICK if effort.quick else _BATCH_ROWS)


def _directory() -> tempfile.TemporaryDirectory[str]:
    """Make a directory on the disk of this tree: the system's own for temporary files may be memory."""
    os.makedirs(os.path.join(ROOT, ".build"), exist_ok=True)
    return tempfile.TemporaryDirectory(dir=os.path.join(ROOT, ".build"))


def _put_in_memory(rows: StreamRows) -> float:
    with Server() as server:
        return rows.rows / put(server, rows, acks=True).seconds


def _put_in_ledger(rows: StreamRows) -> float:
    with _directory() as directory, Server("--data", os.path.join(directory, "p.db")) as server:
        return rows.rows / put(server, rows, acks=True).seconds


def _schedule(connections: int, share: float, peak: float, effort: Effort) -> Iterator[Figure]:
    seconds = _SCHEDULE_SECONDS_QUICK if effort.quick else _SCHEDULE_SECONDS
    batch_rows = _BATCH_ROWS_QUICK if effort.quick else _BATCH_ROWS
    batches_each = max(2, round(peak * share * seconds / batch_rows / connections))
    rows = _make_rows(connections, batches_each * batch_rows, effort)
    commands = {
        "with": holdfast_command(),
        "without": python_command("benchmarks.without_checkpoints"),
    }
    runs = side_by_side(
        {
            name: partial(_run, rows, peak * share, command, _SYNCS_QUICK if effort.quick else _SYNCS)
            for name, command in commands.items()
        },
        min(effort.repeats, _REPEATS_MAX),
    )
    yield from _tell(f"{says(connections)} at {share:.0%}, durable", runs["with"], runs["without"], share)


def _run(rows: StreamRows, rate: float, command: Sequence[str], syncs: int) -> _Latency:
    with _directory() as directory:
        path = os.path.join(directory, "p.db")
        with Server("--data", path, command=command) as server:
            report = run_schedule(server, rows, rate)
            checkpoints = _ask(path, "SELECT coalesce(max(number), 0) FROM checkpoints")[0]
        sizes = sorted(_ask(path, "SELECT length(data) FROM entries"))
        entry_bytes = sizes[len(sizes) // 2]
        return _Latency(
            Percentiles.of(report.latencies),
            Percentiles.of(report.lags),
            entry_bytes,
            _sync_seconds(os.path.join(directory, "bare"), entry_bytes, syncs),
            checkpoints,
        )


def _ask(path: str, query: str) -> list[int]:
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return [number for (number,) in connection.execute(query)]
    finally:
        connection.close()


def _sync_seconds(path: str, count_bytes: int, syncs: int) -> float:
    """Append bytes to a file and sync it, some times; give the median of what that takes."""
    data, taken = os.urandom(count_bytes), []
    with open(path, "wb", buffering=0) as file:
        for _ in range(syncs):
            began = time.perf_counter()
            file.write(data)
            os.fdatasync(file.fileno())
            taken.append(time.perf_counter() - began)
    return median(taken)


def _tell(what: str, runs: list[_Latency], without: list[_Latency], share: float) -> Iterator[Figure]:
    is_half = share == _SHARES[0]
    found = [each.latencies for each in runs]
    p50 = median(each.p50 for each in found)
    sync = median(each.sync_seconds for each in runs)
    entry_bytes = median(each.entry_bytes for each in runs)
    yield Figure(f"{what}: bytes of the median commit", entry_bytes, "bytes")
    yield Figure(f"{what}: a bare fdatasync of as many", sync * 1e3, "ms")
    yield Figure(
        f"{what}: ack latency, median, over that",
        p50 * 1e3,
        "ms",
        p50 / sync,
        "ack-sync" if is_half else None,
    )
    yield Figure(f"{what}: ack latency, p99", median(each.p99 for each in found) * 1e3, "ms")
    late, late_without = (median(each.latencies.p999 for each in some) for some in (runs, without))
    yield Figure(
        f"{what}: ack latency, p99.9, over without checkpoints",
        late * 1e3,
        "ms",
        late / late_without,
        "ack-checkpoints" if is_half else None,
    )
    yield Figure(f"{what}: ack latency, slowest", median(each.max for each in found) * 1e3, "ms")
    yield Figure(f"{what}: checkpoints meanwhile", median(each.checkpoints for each in runs), "")
    lag = median(each.lags.p999 for each in runs)
    yield Figure(f"{what}: lateness of the load generator itself, p99.9", lag * 1e3, "ms")
