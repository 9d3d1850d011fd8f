"""How fast is the command from file to accounts, beside a plain Python program for the same job?"""

from __future__ import annotations

import filecmp
import os
import tempfile
from typing import TYPE_CHECKING

from benchmarks.measure import (
    Cost,
    Effort,
    holdfast_command,
    median,
    naive_command,
    run_command,
    side_by_side,
)
from benchmarks.report import Figure
from benchmarks.workloads import Workload, csv_file

if TYPE_CHECKING:
    from collections.abc import Iterator

_ROWS = 1_000_000
_LARGEST = 10_000_000


def answer(effort: Effort) -> Iterator[Figure]:
    """Vary one parameter at a time around 1 M plain rows of 10,000 clients, and the rows up to 10 M."""
    for rows in (effort.size(full) for full in (1_000, 100_000, _ROWS)):
        yield from _compare(f"{rows:,} plain rows", Workload(rows), effort)
    largest = Workload(effort.size(_LARGEST))
    yield from _compare(f"{largest.rows:,} plain rows", largest, effort, bars=("wall", "cpu"))
    rows = effort.size(_ROWS)
    for clients in (1, 100, 65_536):
        yield from _compare(
            f"{clients:,} client{'s' * (clients > 1)}", Workload(rows, clients=clients), effort
        )
    for mix in ("mixed", "deposit-heavy", "withdrawal-heavy", "dispute-heavy"):
        yield from _compare(mix, Workload(rows, mix=mix), effort)
    yield from _compare("', ' separators", Workload(rows, separator=", "), effort)
    yield from _compare("sparse random ids", Workload(rows, ids="sparse"), effort)
    yield from _compare("Zipf-hot clients", Workload(rows, popularity="zipf"), effort)


def _compare(
    what: str, workload: Workload, effort: Effort, bars: tuple[str, str] | tuple[None, None] = (None, None)
) -> Iterator[Figure]:
    path = csv_file(workload)
    with tempfile.TemporaryDirectory() as directory:
        outputs = [os.path.join(directory, name) for name in ("holdfast", "naive")]
        costs = side_by_side(
            {
                "holdfast": lambda: run_command([*holdfast_command(), "-q", path], outputs[0]),
                "naive": lambda: run_command([*naive_command(), path], outputs[1]),
            },
            effort.repeats,
        )
        # The race counts only if both arrive at the same place.
        assert filecmp.cmp(outputs[0], outputs[1], shallow=False), f"holdfast and naive.py disagree on {path}"
    wall, cpu = _wall(costs["holdfast"]), _cpu(costs["holdfast"])
    yield Figure(
        f"{what}: wall, naive.py / holdfast",
        workload.rows / wall,
        "rows/s",
        _wall(costs["naive"]) / wall,
        bars[0],
    )
    yield Figure(f"{what}: CPU, naive.py / holdfast", cpu, "s", _cpu(costs["naive"]) / cpu, bars[1])


def _wall(costs: list[Cost]) -> float:
    return median(cost.wall for cost in costs)


def _cpu(costs: list[Cost]) -> float:
    return median(cost.cpu for cost in costs)
