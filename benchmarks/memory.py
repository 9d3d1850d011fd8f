"""How much memory does a recorded transaction take, and does a stream that records little take any?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.measure import Effort, holdfast_command, median, run_command
from benchmarks.report import Figure
from benchmarks.workloads import Workload, churn, csv_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROWS = 10_000_000
_LONG_STREAM_BYTES = 1_000_000_000
_SHORT_STREAM_BYTES = 10_000_000
# Memory hardly varies from run to run, unlike time.
_REPEATS_MAX = 3


def answer(effort: Effort) -> Iterator[Figure]:
    """Compare the peak memory of the command with that of a run on no rows; each run is its own process."""
    repeats = min(effort.repeats, _REPEATS_MAX)
    empty = _peak([csv_file(Workload(0))], repeats)
    yield Figure("an empty run", empty / 2**20, "MiB")
    rows = effort.size(_ROWS)
    for ids, bar in (("dense", "memory"), ("sparse", "memory")):
        peak = _peak([csv_file(Workload(rows, mix="deposits", ids=ids))], repeats)
        yield Figure(
            f"{rows:,} recorded transactions, {ids} ids, each", (peak - empty) / rows, "bytes", bar=bar
        )
    yield from _streams(effort, repeats)


def _streams(effort: Effort, repeats: int) -> Iterator[Figure]:
    sizes = [_SHORT_STREAM_BYTES, _LONG_STREAM_BYTES]
    if effort.quick:
        sizes = [size // 100 for size in sizes]
    short, long = (_peak(["-"], repeats, size) for size in sizes)
    yield Figure(f"a stream of {sizes[0] / 1e6:,g} MB that records little", short / 2**20, "MiB")
    yield Figure(
        f"a stream of {sizes[1] / 1e6:,g} MB, over that", (long - short) / 2**20, "MiB", bar="stream"
    )


def _peak(arguments: list[str], repeats: int, stream_bytes: int = 0) -> float:
    def chunks() -> Iterable[bytes]:
        return churn(stream_bytes) if stream_bytes else ()

    command = [*holdfast_command(), *arguments]
    return median(run_command(command, chunks=chunks()).peak_memory for _ in range(repeats))
