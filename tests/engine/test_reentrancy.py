"""Coming back to an engine or a decoder that is at work gives an answer or an error, and never waits for itself."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import reentering
from holdfast import Engine
from holdfast.domain.settings import make_settings

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAM = Path(reentering.__file__)
# Where there is certainly a moment at which the other one is at work. Since Python 3.12 the collector runs between
# instructions alone, so never within the kernel (https://docs.python.org/3/whatsnew/3.12.html, "gc").
MEETS_AN_ERROR = {"feeders"} if sys.version_info >= (3, 12) else {"finalizer", "feeders", "decoder"}


@pytest.mark.parametrize("scenario", reentering.SCENARIOS)
def test_nobody_waits_for_himself(scenario: str) -> None:
    """From a signal handler, a finalizer, other threads, a child process: the program ends."""
    run = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-X", "faulthandler", str(PROGRAM), scenario],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (run.returncode, run.stderr) == (0, "")
    got = ast.literal_eval(run.stdout)
    assert got["answer"] > 0
    if scenario in MEETS_AN_ERROR:
        assert got["RuntimeError"] > 0


@pytest.mark.parametrize("make", [Engine, make_settings])
@pytest.mark.parametrize("name", ["client_bits", "tx_bits", "decimals", "row_bytes_max", "batch_rows"])
@pytest.mark.parametrize("number", [-1, 2**40, 2**64, -(2**70), 10**400])
def test_absurd_settings_are_refused_at_once(make: Callable[..., object], name: str, number: int) -> None:
    """A width is checked before anything is shifted by it, and no memory is asked for."""
    with pytest.raises(ValueError, match=name if "bits" not in name else "16, 32 or 64 bits"):
        make(**{name: number})
