"""How fast is the decoder alone, and what do blanks after the commas cost it?"""

from __future__ import annotations

import csv
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import Effort, median, seconds, side_by_side
from benchmarks.report import Figure
from benchmarks.stages import decode, read_chunks
from benchmarks.workloads import Workload, csv_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_ROWS = 10_000_000
_YARDSTICK_ROWS = 1_000_000


def answer(effort: Effort) -> Iterator[Figure]:
    """Decode from memory: the same rows written in two ways, then the csv module beside it."""
    rows = effort.size(_ROWS)
    files = {
        separator: list(read_chunks(csv_file(Workload(rows, separator=separator))))
        for separator in (",", ", ")
    }
    times = side_by_side(
        {name: partial(time_decoding, chunks) for name, chunks in files.items()}, effort.repeats
    )
    plain, spaced = median(times[","]), median(times[", "])
    yield Figure(f"{rows:,} plain rows", rows / plain, "rows/s")
    yield Figure(f"{rows:,} plain rows, ', ' / ','", rows / spaced, "rows/s", spaced / plain, "spaced")
    yield _beside_csv_module(effort)


def time_decoding(chunks: Iterable[bytes]) -> float:
    """Time the decoder alone: its batches are dropped."""
    # A deque without room is the fastest way to exhaust an iterator.
    return seconds(deque, decode(chunks), 0)


def _beside_csv_module(effort: Effort) -> Figure:
    """Split rows into text fields with the csv module, which is less than the decoder does."""
    rows = effort.size(_YARDSTICK_ROWS)
    chunks = list(read_chunks(csv_file(Workload(rows))))
    lines = b"".join(chunks).decode().splitlines(keepends=True)
    contenders = {"holdfast": partial(time_decoding, chunks), "csv": partial(_time_csv_module, lines)}
    times = side_by_side(contenders, effort.repeats)
    ours = median(times["holdfast"])
    return Figure(
        f"{rows:,} plain rows, csv.reader / decoder", rows / ours, "rows/s", median(times["csv"]) / ours
    )


def _time_csv_module(lines: list[str]) -> float:
    return seconds(deque, csv.reader(lines), 0)
