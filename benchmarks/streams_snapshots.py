"""What does a snapshot every second cost the streams that run at full speed beside it?"""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING

from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams
from benchmarks.load_statistics import Percentiles
from benchmarks.measure import Effort, median, side_by_side
from benchmarks.report import Figure
from benchmarks.streams_inside import Plan
from benchmarks.streams_latency import run_schedule
from benchmarks.streams_merge import run_plan
from benchmarks.streams_server import Server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load_rows import StreamRows

_REPEATS_MAX = 3
_LONG_BYTES = 2_400_000_000
_LONG_BYTES_QUICK = 10_000_000
_CONNECTIONS = 100
_BATCH_ROWS = 500
_RATE = 1_000_000
_SECONDS = 4.0
_RATE_QUICK = 50_000
_SECONDS_QUICK = 0.5


def answer(effort: Effort) -> Iterator[Figure]:
    """Run the same stream with and without snapshots, in process; and ask how late acks get over TCP."""
    yield from _inside(effort)
    yield from _outside(effort)


def _inside(effort: Effort) -> Iterator[Figure]:
    every = 0.02 if effort.quick else 1.0
    without = Plan(long_bytes=_LONG_BYTES_QUICK if effort.quick else _LONG_BYTES)
    paid = side_by_side(
        {
            "without": lambda: run_plan(without),
            "with": lambda: run_plan(without._replace(snapshot_seconds=every)),
        },
        min(effort.repeats, _REPEATS_MAX),
    )
    rate, rate_without = (
        median(each.rows / each.seconds for each in paid[name]) for name in ("with", "without")
    )
    # The machine's other work delays one batch in 1,000 in most runs; a snapshot does so in all of them.
    late, late_without = (min(each.batch_seconds_p999 for each in paid[name]) for name in ("with", "without"))
    yield Figure("one stream, no snapshot", rate_without, "rows/s")
    yield Figure(
        "one stream, a snapshot every second / none", rate, "rows/s", rate / rate_without, "snapshot-rate"
    )
    yield Figure("seconds of a run", median(each.seconds for each in paid["with"]), "s")
    yield Figure("snapshots in that time", median(each.snapshots for each in paid["with"]), "files")
    yield Figure(
        "applying a batch, p99.9 of the best run, a snapshot every second / none",
        late * 1e3,
        "ms",
        late / late_without,
        "snapshot-batch",
    )


def _outside(effort: Effort) -> Iterator[Figure]:
    rate, seconds = (_RATE_QUICK, _SECONDS_QUICK) if effort.quick else (_RATE, _SECONDS)
    workload = StreamWorkload(_CONNECTIONS, max(1, round(rate * seconds / _CONNECTIONS)))
    rows = render_streams(make_stream_columns(workload), _CONNECTIONS, _BATCH_ROWS)
    with tempfile.TemporaryDirectory() as directory:
        options = [
            "--snapshot",
            f"{directory}/accounts.csv",
            "--snapshot-every",
            "0.1" if effort.quick else "1",
        ]
        found = side_by_side(
            {"without": lambda: _latency(rows, rate), "with": lambda: _latency(rows, rate, *options)},
            min(effort.repeats, _REPEATS_MAX),
        )
    for name in ("p50", "p999", "max"):
        late, late_without = (
            median(getattr(each, name) for each in found[which]) for which in ("with", "without")
        )
        what = f"TCP, {rate:,} rows/s: ack latency, {name.replace('999', '99.9')}"
        yield Figure(f"{what}, a snapshot every second / none", late * 1e3, "ms", late / late_without)


def _latency(rows: StreamRows, rate: float, *options: str) -> Percentiles:
    with Server(*options) as server:
        return Percentiles.of(run_schedule(server, rows, rate).latencies)
