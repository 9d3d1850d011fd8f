"""Figures, the table that shows them, and the files that store them together with a description of the machine."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from benchmarks import ROOT
from benchmarks.bars import BARS

if TYPE_CHECKING:
    from collections.abc import Sequence

HEADINGS = ("what", "value", "ratio", "bar", "aim", "reached")
WIDTHS = (74, 18, 9, 10, 10, 8)
_SEPARATOR = "  "


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Args:
        what: What was measured, and what the ratio is against.
        value: The median.
        unit: What the value counts; ``rows/s``, ``ms``.
        ratio: Against what ran beside it, if anything did.
        bar: The key of the bar to compare it with, if there is one.
    """

    what: str
    value: float
    unit: str
    ratio: float | None = None
    bar: str | None = None

    def verdict(self) -> str:
        """Say what it reaches: ``aim``, ``bar`` or ``no``; nothing without a bar."""
        if self.bar is None:
            return ""
        bar = BARS[self.bar]
        held = self.ratio if bar.unit == "x" else self.value
        assert held is not None, f"{self.what}: the bar {self.bar} is for a ratio"
        assert bar.unit in {"x", self.unit}, f"{self.what}: the bar {self.bar} is in {bar.unit}"
        return bar.reached(held)

    def cells(self, quick: bool = False) -> tuple[str, ...]:
        """Give the cells of its line; a quick run neither reaches nor misses a bar."""
        bar = BARS[self.bar] if self.bar else None
        sign = "≥" if bar and bar.at_least else "≤"
        return (
            self.what,
            f"{_number(self.value)} {self.unit}",
            "" if self.ratio is None else f"{_number(self.ratio)} x",
            f"{sign} {bar.limit:g} {bar.unit}" if bar else "",
            f"{sign} {bar.aim:g} {bar.unit}" if bar and bar.aim is not None else "",
            "(quick)" if bar and quick else self.verdict(),
        )


def _number(value: float) -> str:
    """Write a number with three significant digits, without an exponent."""
    magnitude = abs(value)
    if magnitude >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if magnitude >= 10 else f"{value:.2f}" if magnitude >= 0.1 else f"{value:.4f}"


def table_line(cells: Sequence[str]) -> str:
    """Lay out one line of the table on a terminal."""
    first, *others = (
        cell.ljust(width) if position == 0 else cell.rjust(width)
        for position, (cell, width) in enumerate(zip(cells, WIDTHS, strict=True))
    )
    return _SEPARATOR.join([first, *others]).rstrip()


def describe_machine() -> dict[str, str | int]:
    """Describe the origin of the figures: machine, system, interpreter, compiler, commit."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "commit": _first_line("git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude=*"),
        "cpu": _cpu_model(),
        "cores": os.cpu_count() or 1,
        "memory_gib": round(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "compiler": _first_line("cc", "--version"),
    }


def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.partition(":")[2].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or "unknown"


def _first_line(*command: str) -> str:
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return (done.stdout.splitlines() or ["unknown"])[0]


def write_results(
    figures: dict[str, list[Figure]], machine: dict[str, str | int], repeats: int, quick: bool, directory: str
) -> str:
    """Write all figures as JSON and as a Markdown table, and give the path of the latter.

    Args:
        figures: By question.
        machine: What :func:`describe_machine` said.
        repeats: Of how many runs the values are medians.
        quick: Whether this was a quick run.
        directory: Where to write; it is made if need be.
    """
    os.makedirs(directory, exist_ok=True)
    moment = str(machine["date"]).replace("-", "").replace(":", "")[:13]
    stem = os.path.join(directory, f"{moment}-{machine['commit']}")
    document = {
        "machine": machine,
        "repeats": repeats,
        "quick": quick,
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "figures": [
            {"question": question, **asdict(figure), "reached": "" if quick else figure.verdict()}
            for question, answers in figures.items()
            for figure in answers
        ],
    }
    with open(f"{stem}.json", "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")
    with open(f"{stem}.md", "w", encoding="utf-8") as file:
        file.write(_markdown(figures, machine, repeats, quick))
    return f"{stem}.md"


def _markdown(
    figures: dict[str, list[Figure]], machine: dict[str, str | int], repeats: int, quick: bool
) -> str:
    kind = (
        "one tiny run of each: it shows that everything runs, and nothing else"
        if quick
        else f"medians of {repeats}"
    )
    lines = [f"# Benchmarks: {kind}", "", *(f"- {name}: {value}" for name, value in machine.items())]
    for question, answers in figures.items():
        lines += ["", f"## {question}", "", _markdown_row(HEADINGS), "|---|--:|--:|--:|--:|--:|"]
        lines += [_markdown_row(figure.cells(quick)) for figure in answers]
    return "\n".join(lines) + "\n"


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"
