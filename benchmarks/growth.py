"""Does the ledger ever stop the world while it grows?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.measure import Effort, median
from benchmarks.report import Figure
from benchmarks.stages import make_batches, make_ledger
from benchmarks.workloads import BATCH_ROWS, make_deposits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

_ROWS = 50_000_000


def answer(effort: Effort) -> Iterator[Figure]:
    """Time every batch of deposits while 50 M of them are recorded."""
    rows = effort.size(_ROWS)
    for ids in ("dense", "sparse"):
        runs = [_time_batches(rows, ids) for _ in range(effort.repeats)]
        worst = median(float(run.max() / np.median(run)) for run in runs)
        slowest = median(float(run.max()) for run in runs)
        yield Figure(
            f"{rows:,} recorded, {ids} ids, median batch",
            median(float(np.median(run)) for run in runs) * 1e3,
            "ms",
        )
        yield Figure(
            f"{rows:,} recorded, {ids} ids, slowest / median batch", slowest * 1e3, "ms", worst, "growth"
        )
        # The machine's own work hits other batches in every run; the ledger's hits the same ones.
        steady = np.min(runs, axis=0)
        again = float(steady.max() / np.median(steady))
        yield Figure(
            f"{rows:,} recorded, {ids} ids, the batch that is slow in every run",
            float(steady.max()) * 1e3,
            "ms",
            again,
        )


def _time_batches(rows: int, ids: str) -> NDArray[np.float64]:
    """Give the seconds of every full batch; making the next batch is not timed."""
    # As in an embedded engine: a program that cares about the slowest batch does not use huge pages.
    ledger = make_ledger(huge_pages=False)
    times = []
    for start in range(0, rows - BATCH_ROWS + 1, BATCH_ROWS):
        (batch,) = make_batches(make_deposits(start, start + BATCH_ROWS, ids=ids))
        begin = time.perf_counter()
        ledger.decide(batch)
        times.append(time.perf_counter() - begin)
    return np.array(times)
