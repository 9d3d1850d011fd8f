"""How to measure: commands as processes of their own, functions by the clock, contenders side by side."""

from __future__ import annotations

import gc
import mmap
import os
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from benchmarks import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

Result = TypeVar("Result")

_LAUNCHER = (
    sys.executable,
    "-I",
    "-S",
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "launch.py"),
)
_QUICK_DIVISOR = 1000
_QUICK_LEAST = 1000


@dataclass(frozen=True, slots=True)
class Effort:
    """How thoroughly to measure.

    Args:
        repeats: How often each contender runs; the median counts.
        quick: Whether to run everything once with tiny sizes, to see that it works; the figures then mean nothing.
    """

    repeats: int = 5
    quick: bool = False

    def size(self, full: int) -> int:
        """Give the number of rows (accounts, keys) to use for a full number."""
        return full if not self.quick else max(min(full, _QUICK_LEAST), full // _QUICK_DIVISOR)


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one run of a command: wall seconds, CPU seconds of all its threads, peak memory in bytes."""

    wall: float
    cpu: float
    peak_memory: int


class CommandError(Exception):
    """A measured command failed."""


def run_command(
    command: Sequence[str], output: str = os.devnull, chunks: Iterable[bytes] | None = None
) -> Cost:
    """Run a command to its end.

    Args:
        command: The program's full path and its arguments.
        output: The file that takes its standard output.
        chunks: What to feed to its standard input, while it runs; nothing by default.

    Raises:
        CommandError: If its exit code is not 0.
    """
    launched = [*_LAUNCHER, output, *command]
    with subprocess.Popen(launched, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.writelines(chunks or ())
            process.stdin.close()
        except BrokenPipeError as error:
            raise CommandError(f"{' '.join(command)} stopped before its input ended") from error
        report = process.stdout.read().split()
    if process.returncode:
        raise CommandError(f"{' '.join(command)} failed with exit code {process.returncode}")
    wall, cpu, peak_memory = report
    return Cost(float(wall), float(cpu), int(peak_memory))


def holdfast_command() -> list[str]:
    """Give the ``holdfast`` of this interpreter's environment: the installed script, or else the module."""
    script = os.path.join(os.path.dirname(sys.executable), "holdfast")
    return [script] if os.path.exists(script) else [sys.executable, "-m", "holdfast"]


def naive_command() -> list[str]:
    """Give the command of naive.py, the yardstick."""
    return [sys.executable, os.path.join(ROOT, "benchmarks", "naive.py")]


def side_by_side(contenders: Mapping[str, Callable[[], Result]], repeats: int) -> dict[str, list[Result]]:
    """Run each contender once per round, every other round in reverse, so that a noisy minute hits all of them."""
    results: dict[str, list[Result]] = {name: [] for name in contenders}
    for turn in range(repeats):
        for name in list(contenders)[:: -1 if turn % 2 else 1]:
            results[name].append(contenders[name]())
    return results


def seconds(work: Callable[..., object], *arguments: Any) -> float:
    """Time one call, with the garbage collector off."""
    gc.collect()
    gc.disable()
    try:
        begin = time.perf_counter()
        work(*arguments)
        return time.perf_counter() - begin
    finally:
        gc.enable()


def bring_memory(size_bytes: int) -> None:
    """Touch memory and free it, so that the system has it ready for the next timed run.

    The host of a virtual machine takes back memory that was free for some seconds, and the first touch after that costs twenty
    times as much. Whether that happens between two runs is chance, and would decide which contender wins. The system's own
    work at a first touch, a fault and clearing the page, remains part of the timing.
    """
    with mmap.mmap(-1, size_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        for page in range(0, size_bytes, mmap.PAGESIZE):
            memory[page] = 1


def median(samples: Iterable[float]) -> float:
    """Give the median."""
    return statistics.median(samples)
