"""How long is it from a batch's due time to its ack, on a schedule that a stalled server does not delay?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.load_generator import Load
from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams
from benchmarks.load_statistics import LoadReport, Percentiles
from benchmarks.load_target import Target
from benchmarks.measure import median
from benchmarks.report import Figure
from benchmarks.streams_server import SECONDS_MAX, Server, check, connections_of, put, says

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.load_rows import StreamRows
    from benchmarks.measure import Effort

_PEAK_ROWS = 2_000_000
_SCHEDULE_SECONDS = 2.0
_REPEATS_MAX = 3
_SCHEDULE_SECONDS_QUICK = 0.5
_SPARE_SECONDS = 10.0
_BATCH_ROWS = 500
_BATCH_ROWS_QUICK = 100
_SHARES = (0.5, 0.9)


def answer(effort: Effort) -> Iterator[Figure]:
    """Find out how fast the server is with acks, then send at half and at nine tenths of that."""
    for connections in connections_of(quick=effort.quick):
        yield from _measure(connections, effort)


def _measure(connections: int, effort: Effort) -> Iterator[Figure]:
    batch_rows = _BATCH_ROWS_QUICK if effort.quick else _BATCH_ROWS
    rows = _make_rows(connections, max(1, effort.size(_PEAK_ROWS) // connections), batch_rows)
    with Server() as server:
        cost = put(server, rows, acks=True)
    peak = rows.rows / cost.seconds
    yield Figure(f"{says(connections)}, acks, as fast as it goes", peak, "rows/s")
    for share in _SHARES:
        yield from _measure_at(connections, share, peak, effort)


def _measure_at(connections: int, share: float, peak: float, effort: Effort) -> Iterator[Figure]:
    batch_rows = _BATCH_ROWS_QUICK if effort.quick else _BATCH_ROWS
    seconds = _SCHEDULE_SECONDS_QUICK if effort.quick else _SCHEDULE_SECONDS
    batches_each = max(2, round(peak * share * seconds / batch_rows / connections))
    rows = _make_rows(connections, batches_each * batch_rows, batch_rows)
    cpu_seconds, reports = [], []
    for _ in range(min(effort.repeats, _REPEATS_MAX)):
        with Server() as server:
            before = server.cpu_seconds()
            reports.append(run_schedule(server, rows, peak * share))
            # Beside rows: opening and ending connections, and an ack for nearly every batch.
            cpu_seconds.append(server.cpu_seconds() - before)
    what = f"{says(connections)} at {share:.0%}"
    yield Figure(f"{what}: CPU for 1 M rows, acks and all", median(cpu_seconds) / rows.rows * 1e6, "s")
    yield from _tell(what, reports, "ack-slowest" if share == _SHARES[0] else None)


def _make_rows(connections: int, rows_each: int, batch_rows: int) -> StreamRows:
    workload = StreamWorkload(connections, rows_each)
    return render_streams(make_stream_columns(workload), connections, batch_rows)


def run_schedule(server: Server, rows: StreamRows, rate: float) -> LoadReport:
    """Send on a schedule, and compare the rows that the server decided with those that were sent.

    Raises:
        CommandError: If a row was lost, or a connection.
    """
    with Load(rows, Target("127.0.0.1", server.port, wants_acks=True)) as load:
        load.open()
        server.settle()
        load.send_on_schedule(rate, _SPARE_SECONDS)
        load.end(SECONDS_MAX)
    check(load.report)
    return load.report


def _tell(what: str, reports: list[LoadReport], bar: str | None) -> Iterator[Figure]:
    found = [Percentiles.of(report.latencies) for report in reports]
    yield Figure(f"{what}: ack latency, median", median(each.p50 for each in found) * 1e3, "ms")
    for name, field in (("p99", "p99"), ("p99.9", "p999"), ("slowest", "max")):
        late = median(getattr(each, field) for each in found)
        ratio = median(getattr(each, field) / each.p50 for each in found)
        held_against = bar if name == "slowest" else None
        yield Figure(f"{what}: ack latency, {name} / median", late * 1e3, "ms", ratio, held_against)
    apart = median(max(report.latencies_from_sending()) for report in reports)
    yield Figure(f"{what}: slowest, from when it was sent", apart * 1e3, "ms")
    lag = median(Percentiles.of(report.lags).p999 for report in reports)
    yield Figure(f"{what}: lateness of the load generator itself, p99.9", lag * 1e3, "ms")
