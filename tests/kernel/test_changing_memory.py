"""Memory that Python code changes while the kernel works on it: other outcomes at worst, and never the end of the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import changing_memory
from holdfast.kernel.batch import Batch

PROGRAM = Path(changing_memory.__file__)


@pytest.mark.parametrize("scenario", changing_memory.SCENARIOS)
def test_changed_memory_ends_nothing(scenario: str) -> None:
    """Columns and text that another thread changes: the process goes on, and the ledger is whole."""
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(PROGRAM), scenario, "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    assert run.returncode == 0, f"{run.stdout[-100:]}\n{run.stderr}"


@pytest.mark.parametrize("name", ["types", "clients", "txs", "amounts", "outcomes"])
def test_batch_columns_cannot_be_written(name: str) -> None:
    """What a batch lends is read-only, its outcomes above all: nobody checks these again."""
    import numpy as np  # noqa: PLC0415  # only here

    columns = changing_memory.Columns(16, 32, 1)
    view = getattr(Batch.from_columns(*columns.all()), name)
    assert view.readonly
    with pytest.raises(TypeError):
        view[0] = 1
    with pytest.raises(ValueError, match=r"WRITEABLE|writeable"):
        np.asarray(view).flags.writeable = True
