"""How long does the command take when there is next to nothing to do?"""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import Effort, holdfast_command, median, run_command, side_by_side
from benchmarks.report import Figure
from benchmarks.workloads import Workload, csv_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_RUNS_PER_REPEAT = 5


def answer(effort: Effort) -> Iterator[Figure]:
    """Run the command on ten rows beside an interpreter that does nothing."""
    repeats = effort.repeats if effort.quick else effort.repeats * _RUNS_PER_REPEAT
    commands = {
        "python": [sys.executable, "-c", "pass"],
        "holdfast": [*holdfast_command(), csv_file(Workload(10))],
    }
    costs = side_by_side({name: partial(run_command, command) for name, command in commands.items()}, repeats)
    python, holdfast = (median(cost.wall for cost in costs[name]) for name in ("python", "holdfast"))
    yield Figure("python -c pass", python * 1e3, "ms")
    yield Figure("holdfast on 10 rows / python -c pass", holdfast * 1e3, "ms", holdfast / python, "startup")
