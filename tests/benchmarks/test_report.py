"""The table and the files of results: what is reached is said, and nothing else."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from benchmarks.bars import BARS, Bar
from benchmarks.report import HEADINGS, Figure, describe_machine, table_line, write_results

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("value", "at_least", "reached"),
    [
        (40, True, "bar"),
        (70, True, "aim"),
        (39.9, True, "no"),
        (41, False, "bar"),
        (10, False, "aim"),
        (71, False, "no"),
    ],
)
def test_bar_is_reached_in_its_own_direction(value: float, at_least: bool, reached: str) -> None:
    """More is better for speed, less for time and memory; the limit itself is good enough."""
    bar = Bar("anything", 40, 70, at_least=True) if at_least else Bar("anything", 70, 40)
    assert bar.reached(value) == ("aim" if reached == "aim" or (not at_least and value <= 40) else reached)


@pytest.mark.parametrize("bar", BARS.values(), ids=BARS)
def test_aims_lie_beyond_their_bars(bar: Bar) -> None:
    """A value that reaches the aim reaches the bar."""
    assert bar.aim is None or (bar.aim > bar.limit) == bar.at_least


def test_figure_is_held_against_its_ratio_or_its_value() -> None:
    """A bar without a unit is for a ratio."""
    assert Figure("wall", 123.0, "rows/s", 71.0, "wall").verdict() == "aim"
    assert Figure("memory", 30.0, "bytes", bar="memory").verdict() == "bar"
    assert Figure("image", 1.5, "ms", bar="image-small").verdict() == "no"
    assert Figure("anything", 1.5, "ms").verdict() == ""
    with pytest.raises(AssertionError):
        Figure("memory in the wrong unit", 30.0, "MiB", bar="memory").verdict()


def test_quick_figures_reach_nothing() -> None:
    """A quick run neither reaches nor misses a bar."""
    assert Figure("wall", 123.0, "rows/s", 71.0, "wall").cells(quick=True)[-1] == "(quick)"


def test_line_has_a_place_for_every_cell() -> None:
    """The heading and the lines below it have the same number of cells."""
    cells = Figure("wall", 123.456, "rows/s", 7.1, "wall").cells()
    assert len(cells) == len(HEADINGS)
    assert table_line(cells).split() == [
        "wall",
        "123",
        "rows/s",
        "7.10",
        "x",
        "≥",
        "40",
        "x",
        "≥",
        "70",
        "x",
        "no",
    ]


def test_results_name_the_machine_they_come_from(tmp_path: Path) -> None:
    """JSON for programs, Markdown for people, both with the machine."""
    machine = describe_machine()
    assert {"date", "commit", "cpu", "cores", "memory_gib", "python", "compiler"} <= machine.keys()
    figures = {"startup": [Figure("a|b", 30.0, "ms", 2.0, "startup")]}
    path = write_results(figures, machine, 5, quick=False, directory=str(tmp_path / "new"))
    with open(path, encoding="utf-8") as file:
        text = file.read()
    assert "| a/b | 30.0 ms | 2.00 x | ≤ 4 x | ≤ 2.5 x | aim |" in text
    with open(path.removesuffix(".md") + ".json", encoding="utf-8") as file:
        document = json.load(file)
    assert document["machine"] == machine
    assert document["figures"][0]["reached"] == "aim"
