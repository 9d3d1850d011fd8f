"""The interpreter ends, or is forked, at any moment of reading ahead, and nothing crashes or hangs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import ending

PROGRAM = Path(ending.__file__)
RUNS = 12


@pytest.mark.parametrize("scenario", ending.SCENARIOS)
def test_the_interpreter_ends_in_peace(scenario: str) -> None:
    """Each run has its moment; each ends with 0 and says nothing."""
    for seed in range(RUNS):
        run = subprocess.run(
            [sys.executable, "-W", "ignore", "-X", "faulthandler", str(PROGRAM), scenario, str(seed)],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert (run.returncode, run.stderr) == (0, ""), f"seed {seed}: {run.returncode} {run.stderr}"
