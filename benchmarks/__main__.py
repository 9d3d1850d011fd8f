"""Answers the engine's questions, or those that are named: ``python -m benchmarks [--quick] [QUESTION ...]``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from importlib import import_module
from typing import TYPE_CHECKING

from benchmarks import ROOT
from benchmarks.measure import CommandError, Effort
from benchmarks.report import HEADINGS, Figure, describe_machine, table_line, write_results

if TYPE_CHECKING:
    from collections.abc import Sequence

QUESTIONS = (
    "end_to_end",
    "decode",
    "ndjson",
    "apply",
    "index",
    "encode",
    "image",
    "memory",
    "growth",
    "startup",
    "ledger",
    "postgres",
)
LARGE_QUESTIONS = ("ledger_large",)
TABLE_QUESTIONS = ("tables",)
"""These need Polars, which the others do without: the dependency group ``tables``."""
STREAM_QUESTIONS = (
    "streams_tcp",
    "streams_latency",
    "streams_idle",
    "streams_merge",
    "streams_snapshots",
    "streams_hostile",
    "ledger_server",
)
STREAMS = "streams"
"""The name for all questions about streams."""
RESULTS = os.path.join(ROOT, "benchmarks", "results")
QUICK_RESULTS = os.path.join(ROOT, ".build", "benchmarks")


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description="Answer the questions of the benchmarks."
    )
    parser.add_argument(
        "questions",
        nargs="*",
        metavar="QUESTION",
        help=f"one of: {', '.join(QUESTIONS)} (default: all of these); {', '.join(STREAM_QUESTIONS)}, or "
        f"{STREAMS} for all of those; {', '.join(LARGE_QUESTIONS)} (15 minutes, 10 GB of disk); "
        f"{', '.join(TABLE_QUESTIONS)} (needs Polars)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="run everything once and tiny: shows that it runs, no more"
    )
    parser.add_argument(
        "--repeats", type=int, default=5, metavar="N", help="runs of each; the median counts (default: 5)"
    )
    parser.add_argument(
        "--results", metavar="DIR", help="where to write (default: benchmarks/results; .build if --quick)"
    )
    options = parser.parse_args(arguments)
    known = (*QUESTIONS, *STREAM_QUESTIONS, *LARGE_QUESTIONS, *TABLE_QUESTIONS, STREAMS)
    unknown = set(options.questions) - set(known)
    if unknown:
        parser.error(f"no question {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    named = options.questions or QUESTIONS
    options.questions = [
        question for name in named for question in (STREAM_QUESTIONS if name == STREAMS else (name,))
    ]
    return options


def answer(question: str, effort: Effort) -> list[Figure]:
    """Answer one question, and print each line of the table as soon as it is known."""
    begin = time.monotonic()
    module = import_module(f"benchmarks.{question}")
    print(f"\n{question}: {module.__doc__}", flush=True)
    figures = []
    for figure in module.answer(effort):
        figures.append(figure)
        print(table_line(figure.cells(effort.quick)), flush=True)
    print(f"({time.monotonic() - begin:.1f} s)", flush=True)
    return figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the questions, print one table, write the results; 1 if any question could not be answered."""
    options = parse_arguments(arguments)
    effort = Effort(repeats=1 if options.quick else max(1, options.repeats), quick=options.quick)
    machine = describe_machine()
    for name, value in machine.items():
        print(f"{name}: {value}")
    print(f"\n{table_line(HEADINGS)}")
    figures, is_complete = {}, True
    for question in options.questions:
        try:
            figures[question] = answer(question, effort)
        except (ImportError, CommandError, AssertionError) as error:
            is_complete = False
            print(f"benchmarks: {question}: {type(error).__name__}: {error}", file=sys.stderr)
    directory = options.results or (QUICK_RESULTS if options.quick else RESULTS)
    path = write_results(figures, machine, effort.repeats, effort.quick, directory)
    print(f"\nwritten: {os.path.relpath(path, ROOT)} and .json")
    return 0 if is_complete else 1


if __name__ == "__main__":
    sys.exit(main())
