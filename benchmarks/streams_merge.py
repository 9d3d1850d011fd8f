"""How fast do many streams in one process go into one ledger, compared with a single stream of as many rows?"""

from __future__ import annotations

import json
import subprocess
from functools import partial
from typing import TYPE_CHECKING

from benchmarks import ROOT
from benchmarks.measure import CommandError, Effort, median, side_by_side
from benchmarks.report import Figure
from benchmarks.streams_inside import Paid, Plan
from benchmarks.streams_server import SECONDS_MAX, connections_of, python_command

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = 1_000_000
_REPEATS_MAX = 3
_KINDS = {
    "disjoint clients, skip": Plan(),
    "hot clients, skip": Plan(clients="hot"),
    "disjoint clients, budget": Plan(policy="budget:1000000"),
    "disjoint clients, skip, each waits": Plan(waits=True),
}
_BAR_KIND, _BAR_SOURCES = "disjoint clients, skip", 10_000


def answer(effort: Effort) -> Iterator[Figure]:
    """Cut the same number of rows into 1 to 10,000 streams, each in its own process."""
    rows, numbers = effort.size(_ROWS), connections_of(quick=effort.quick)
    for kind, like in _KINDS.items():
        plans = {sources: like._replace(sources=sources, rows_each=rows // sources) for sources in numbers}
        paid = side_by_side(
            {str(sources): partial(run_plan, plan) for sources, plan in plans.items()},
            min(effort.repeats, _REPEATS_MAX),
        )
        single = _rate(paid["1"])
        for sources in numbers:
            of_these = paid[str(sources)]
            bar = "merge" if (kind, sources) == (_BAR_KIND, _BAR_SOURCES) else None
            what = f"{sources:,} stream{'s' * (sources > 1)} of {rows // sources:,} rows, {kind}"
            yield Figure(f"{what} / one stream", _rate(of_these), "rows/s", _rate(of_these) / single, bar)
            memory = median(each.memory_bytes for each in of_these)
            yield Figure(f"{what}: memory", memory / 2**20, "MiB")


def run_plan(plan: Plan) -> Paid:
    """Run a plan in a process of its own.

    Raises:
        CommandError: If it fails, or rows are missing.
    """
    command = python_command("benchmarks.streams_inside", json.dumps(plan._asdict()))
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=SECONDS_MAX)
    if done.returncode:
        raise CommandError(f"{' '.join(command)} failed: {done.stderr.strip()[-500:]}")
    paid = Paid(**json.loads(done.stdout))
    if not plan.long_bytes and paid.rows != plan.sources * plan.rows_each:
        raise CommandError(f"{' '.join(command)} decided {paid.rows} rows")
    return paid


def _rate(paid: list[Paid]) -> float:
    return median(each.rows / each.seconds for each in paid)
