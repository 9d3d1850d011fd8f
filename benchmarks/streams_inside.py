"""One in-process run of many streams, in a process of its own: ``python -m benchmarks.streams_inside PLAN``.

The plan is a JSON object with the fields of :class:`Plan`; what the run cost is printed as another.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import tempfile
import time
from array import array
from typing import TYPE_CHECKING, Any, NamedTuple

from benchmarks.load_rows import StreamWorkload, make_stream_columns, render_streams
from benchmarks.load_statistics import Percentiles
from benchmarks.workloads import churn, header
from holdfast.engine.engine import Engine
from holdfast.engine.policy import parse_policy
from holdfast.streaming import Snapshots, StreamProcessor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_PIECE_BYTES = 65_536


class Plan(NamedTuple):
    """The plan of one run.

    Args:
        sources: How many streams.
        rows_each: How many rows each of them has.
        clients: Whether they have clients of their own (``disjoint``) or the same few (``hot``).
        policy: What to do about rows that are not applied.
        waits: Whether a source lets the others go first before each piece, as one does that waits for a network.
        long_bytes: Instead of all that: one stream of this many bytes that records little.
        snapshot_seconds: How often a snapshot is written; never if 0.
    """

    sources: int = 1
    rows_each: int = 1
    clients: str = "disjoint"
    policy: str = "skip"
    waits: bool = False
    long_bytes: int = 0
    snapshot_seconds: float = 0.0


class Paid(NamedTuple):
    """The cost of one run.

    Args:
        rows: How many rows were decided.
        seconds: Wall-clock time.
        cpu_seconds: Computing, of all threads.
        memory_bytes: The most it held, over what it held with all text made and nothing begun.
        batch_seconds_p999: How long applying one batch took; of 1,000, one took longer.
        snapshots: How many were written.
    """

    rows: int
    seconds: float
    cpu_seconds: float
    memory_bytes: int
    batch_seconds_p999: float
    snapshots: int


class _TimedEngine(Engine):
    """Keeps how long each batch took."""

    def __init__(self) -> None:
        super().__init__()
        self.batch_seconds = array("d")
        decide = self.decide

        def timed(*arguments: Any) -> int:
            begin = time.perf_counter()
            reached = decide(*arguments)
            self.batch_seconds.append(time.perf_counter() - begin)
            return reached

        self.decide = timed


def make_sources(plan: Plan) -> list[AsyncIterator[memoryview]]:
    """Make the streams of a plan, each with its header."""
    workload = StreamWorkload(plan.sources, plan.rows_each, clients=plan.clients)
    rows = render_streams(make_stream_columns(workload), plan.sources, plan.rows_each)
    texts = [header() + rows.text[rows.begin(number) : rows.end(number)] for number in range(plan.sources)]
    return [_pieces(memoryview(text), plan.waits) for text in texts]


async def _pieces(text: memoryview, waits: bool) -> AsyncIterator[memoryview]:
    for start in range(0, len(text), _PIECE_BYTES):
        if waits:
            await asyncio.sleep(0)
        yield text[start : start + _PIECE_BYTES]


async def _long_stream(total_bytes: int) -> AsyncIterator[bytes]:
    """Give one block over and over, so that the cost is the ledger's, not that of making text."""
    blocks: Iterator[bytes] = churn(total_bytes, deposits=60_000)
    for block in blocks:
        for start in range(0, len(block), _PIECE_BYTES):
            yield block[start : start + _PIECE_BYTES]


def run(plan: Plan) -> Paid:
    """Run a plan in this process."""
    engine = _TimedEngine() if plan.long_bytes else Engine()
    if plan.long_bytes:
        sources: list[AsyncIterator[memoryview]] | list[AsyncIterator[bytes]] = [
            _long_stream(plan.long_bytes)
        ]
    else:
        sources = make_sources(plan)
    with tempfile.TemporaryDirectory() as directory:
        return asyncio.run(_run(plan, engine, sources, directory))


async def _run(
    plan: Plan,
    engine: Engine,
    sources: list[AsyncIterator[memoryview]] | list[AsyncIterator[bytes]],
    directory: str,
) -> Paid:
    snapshots = None
    if plan.snapshot_seconds:
        target = os.path.join(directory, "accounts-{sequence}.csv")
        snapshots = Snapshots(engine, target, every_seconds=plan.snapshot_seconds)
    processor = StreamProcessor(engine, policy=parse_policy(plan.policy), snapshots=snapshots)
    gc.collect()
    _forget_peak()
    before, begin, cpu = _memory_bytes("VmRSS"), time.perf_counter(), time.process_time()
    report = await processor.merge(sources)
    seconds, cpu = time.perf_counter() - begin, time.process_time() - cpu
    p999 = Percentiles.of(getattr(engine, "batch_seconds", ())).p999
    written = sum(name.startswith("accounts-") for name in os.listdir(directory))
    return Paid(report.rows, seconds, cpu, _memory_bytes("VmHWM") - before, p999, written)


def _forget_peak() -> None:
    """Reset the peak memory: making the text took more than the streams will."""
    with open("/proc/self/clear_refs", "w", encoding="ascii") as file:
        file.write("5")


def _memory_bytes(name: str) -> int:
    with open("/proc/self/status", encoding="ascii") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))


if __name__ == "__main__":
    print(json.dumps(run(Plan(**json.loads(sys.argv[1])))._asdict()))
