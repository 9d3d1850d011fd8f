"""Where does the time go, by function? ``python -m benchmarks.profile [WORKLOAD ...]``.

Samples a run with Linux ``perf``, native code included: the compiled kernel has symbols. Where the machine
has no hardware counters (most virtual ones), a software clock takes the samples.
"""

# ruff: noqa: A005  # run as a module, never imported in the place of the standard one

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import ROOT
from benchmarks.measure import holdfast_command
from benchmarks.workloads import Workload, csv_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_ROWS = 4_000_000
_ROWS_QUICK = 10_000
_FUNCTIONS_SHOWN = 25
_SAMPLES_PER_SECOND = 2500
_MISSING = (
    "benchmarks.profile needs Linux perf, and there is none on this machine's PATH: install it "
    "(Debian: linux-perf; Ubuntu: linux-tools-generic; Fedora: perf) and try again."
)
_COMPILER_SUFFIX = re.compile(r"\.(isra|part|constprop|cold|lto_priv)(\.\d+)?")
_REPORT_LINE = re.compile(
    r"\s*(?P<share>[\d.]+)%\s*\|(?P<object>[^|]*)\|\s*(?:\[(?P<level>.)\] )?(?P<symbol>.*)"
)


class ProfileError(Exception):
    """The profiled command failed, or perf did."""


class Sample(NamedTuple):
    """One function's share of the time: per cent, the program or library that has it, its name."""

    share: float
    object: str
    function: str


@dataclass(frozen=True, slots=True)
class Recipe:
    """One thing to profile.

    Args:
        about: What it shows.
        mix: As in :class:`Workload`.
        ids: The same.
        popularity: The same.
        threads: Whether the whole command runs, with its threads, or the bare kernel in one.
    """

    about: str
    mix: str = "plain"
    ids: str = "dense"
    popularity: str = "uniform"
    threads: bool = False


RECIPES: dict[str, Recipe] = {
    "single-threaded": Recipe("decode, apply and encode in one thread"),
    "multi-threaded": Recipe("the same rows through the command, with all its threads", threads=True),
    "zipf-clients": Recipe("a few clients have most of the transactions", popularity="zipf"),
    "disputes": Recipe("disputes, resolves and chargebacks beside the transfers", mix="dispute-heavy"),
    "lookup-heavy": Recipe("nearly every row refers to an old one", mix="lookup-heavy"),
    "sparse-ids": Recipe("tx ids at random over 32 bits", ids="sparse"),
}


def choose_event() -> str:
    """Give ``cycles`` if this machine counts them, the software clock otherwise."""
    probe = ["perf", "stat", "--field-separator=,", "--event=cycles", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    return "cpu-clock" if done.returncode or "<not " in done.stderr else "cycles"


def record(command: Sequence[str], event: str) -> list[Sample]:
    """Sample a command and give its functions, the most expensive first.

    Raises:
        ProfileError: If the command fails or nothing may be sampled.
    """
    with tempfile.TemporaryDirectory() as directory:
        data = os.path.join(directory, "perf.data")
        sampling = ["perf", "record", "--quiet", f"--event={event}", f"--freq={_SAMPLES_PER_SECOND}"]
        _run([*sampling, f"--output={data}", "--", *command])
        fields = ["--fields=overhead,dso,symbol", "--field-separator=|"]
        report = _run(["perf", "report", f"--input={data}", "--stdio", "--no-children", *fields])
    return sorted(parse_report(report), reverse=True)


def _run(command: Sequence[str]) -> str:
    """Run a command in the repository, and give its output."""
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, errors="replace", check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        raise ProfileError(f"{' '.join(command)} failed: {reason}")
    return done.stdout


def parse_report(text: str) -> Iterator[Sample]:
    """Read the lines of a ``perf report`` of overhead, object and symbol."""
    for line in text.splitlines():
        match = _REPORT_LINE.fullmatch(line)
        if match is not None:
            function = readable(match["symbol"].strip())
            yield Sample(float(match["share"]), match["object"].strip(), function)


def readable(symbol: str) -> str:
    """Turn a symbol of the compiled kernel into the name its source has; leave others as they are.

    Cython puts its prefix, then each part of the qualified name after its length, then the function:
    ``__pyx_f_8holdfast_6kernel_6ledger_6ledger_6Ledger_decide`` is ``kernel.ledger.ledger.LedgerCore.decide``.
    """
    symbol = _COMPILER_SUFFIX.sub("", symbol)
    mangled = re.fullmatch(r"__pyx_(?:f|pf|pw)_(?:f_|pf_)?(.*)", symbol)
    if mangled is None:
        return symbol
    rest, parts = mangled[1], []
    while (length := re.match(r"\d+", rest)) is not None:
        begin, end = length.end(), length.end() + int(length[0])
        if rest[end : end + 1] != "_":
            break
        parts.append(rest[begin:end])
        rest = rest[end + 1 :]
    # Methods that Python can call carry their number before their name.
    parts.append(rest.lstrip("0123456789"))
    return ".".join(part for part in parts if part != "holdfast")


def profile(name: str, rows: int, event: str) -> None:
    """Profile one recipe and print where its time goes."""
    recipe = RECIPES[name]
    workload = Workload(rows, mix=recipe.mix, ids=recipe.ids, popularity=recipe.popularity)
    bare = [sys.executable, "-m", "benchmarks.single_thread"]
    command = [*(holdfast_command() if recipe.threads else bare), csv_file(workload)]
    print(f"\n{name}: {recipe.about} ({rows:,} rows, sampled by {event})", flush=True)
    samples = record(command, event)
    for sample in samples[:_FUNCTIONS_SHOWN]:
        print(f"{sample.share:7.2f} %  {sample.function}  ({sample.object})")
    rest = sum(sample.share for sample in samples[_FUNCTIONS_SHOWN:])
    print(f"{rest:7.2f} %  everything else", flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Profile the workloads named, or all of them."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.profile", description="Where does the time go?"
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD", help=f"default: {', '.join(RECIPES)}")
    parser.add_argument("--rows", type=int, default=_ROWS, help=f"default: {_ROWS}")
    parser.add_argument("--quick", action="store_true", help="few rows: shows that it runs, no more")
    options = parser.parse_args(arguments)
    unknown = set(options.workloads) - set(RECIPES)
    if unknown:
        parser.error(f"no workload {', '.join(sorted(unknown))}; there are {', '.join(RECIPES)}")
    if shutil.which("perf") is None:
        print(_MISSING, file=sys.stderr)
        return 1
    event = choose_event()
    for name in options.workloads or RECIPES:
        try:
            profile(name, _ROWS_QUICK if options.quick else options.rows, event)
        except ProfileError as error:
            print(f"benchmarks.profile: {error}", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
