"""The measuring itself: costs belong to the command measured and to nobody else."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from benchmarks.measure import CommandError, Effort, run_command, side_by_side

if TYPE_CHECKING:
    from pathlib import Path

MIB = 2**20


def python(program: str) -> list[str]:
    """Give the command that runs a program text."""
    return [sys.executable, "-c", program]


def test_peak_memory_is_the_commands_own() -> None:
    """Memory of the command is counted, memory of the benchmark itself is not."""
    ballast = bytearray(300 * MIB)
    ballast[::4096] = b"x" * len(ballast[::4096])
    idle = run_command(python("pass")).peak_memory
    busy = run_command(python("b = b'x' * (200 << 20)")).peak_memory
    assert idle < 100 * MIB
    assert busy - idle == pytest.approx(200 * MIB, abs=20 * MIB)
    assert len(ballast) == 300 * MIB


def test_cpu_and_wall_are_told_apart() -> None:
    """Sleep costs wall time alone."""
    cost = run_command(python("import time; time.sleep(0.5)"))
    assert cost.wall >= 0.5
    assert cost.cpu < 0.4


def test_input_is_fed_and_output_kept(tmp_path: Path) -> None:
    """Chunks arrive on standard input; standard output is in the file."""
    output = tmp_path / "output"
    program = "import sys; sys.stdout.buffer.write(sys.stdin.buffer.read().upper())"
    run_command(python(program), str(output), [b"one ", b"two"])
    assert output.read_bytes() == b"ONE TWO"


def test_failure_is_an_error() -> None:
    """A command that fails has no cost."""
    with pytest.raises(CommandError, match="exit code 3"):
        run_command(python("raise SystemExit(3)"))


def test_contenders_take_turns() -> None:
    """Every other round runs in reverse order."""
    order: list[str] = []
    contenders = {name: lambda name=name: order.append(name) for name in "ab"}
    side_by_side(contenders, 3)
    assert "".join(order) == "abbaab"


def test_quick_sizes_are_tiny() -> None:
    """Small ones stay as they are, large ones shrink."""
    sizes = (100, 1000, 1_000_000, 50_000_000)
    assert [Effort(quick=True).size(size) for size in sizes] == [100, 1000, 1000, 50_000]
    assert [Effort().size(size) for size in sizes] == list(sizes)
