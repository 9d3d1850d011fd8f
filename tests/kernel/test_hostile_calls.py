"""Nothing that Python code can call or build out of the compiled classes ends the process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import hostile_calls

PROGRAM = Path(hostile_calls.__file__)
SUBJECTS = (*(kind.__name__ for kind in hostile_calls.CLASSES), "functions")


def test_all_compiled_classes_are_met() -> None:
    """The walk knows the classes there are, and a new one without a word here."""
    names = {kind.__name__ for kind in hostile_calls.CLASSES}
    assert names >= {"Batch", "CsvDecoder", "Image", "KeyIndex", "LedgerCore", "Tally"}
    functions = {function.__name__ for function in hostile_calls.compiled_functions()}
    assert functions >= {"encode_accounts", "split", "gather"}


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("number", range(len(SUBJECTS)), ids=SUBJECTS)
def test_no_call_ends_the_process(number: int, seed: int) -> None:
    """Half-made objects, odd arguments, pickle and copy: an exception at worst, and a TypeError for the last two."""
    run = subprocess.run(
        [sys.executable, "-X", "faulthandler", str(PROGRAM), str(number), str(seed)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    last = run.stdout.rstrip().rpartition("\n")[2]
    assert run.returncode == 0, f"{last}\n{run.stderr}"
    assert last
