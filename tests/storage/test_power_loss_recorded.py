"""Power loss at any moment, through the driver that ships: what a real run told the system is replayed up to any call.

strace records the run's writes, truncations, syncs and deletions. HOLDFAST_STATES=all replays every prefix of them.
"""

from __future__ import annotations

import os
import random
import sys
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Ledger
from storage import recorded_run
from storage.ledgers import expected_accounts, found_accounts
from storage.recorded_run import COUNT, ROWS
from storage.system_calls import can_record, record, what_is_left

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.skipif(not can_record(), reason="there is no strace that may look at processes here")

STATES = os.environ.get("HOLDFAST_STATES", "30")


def test_every_state_that_system_calls_leave(tmp_path: Path) -> None:
    """It opens to a prefix of the rows with all that was acknowledged, and goes on, whichever writes did not arrive."""
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    events = record(recorded, tmp_path / "log", sys.executable, recorded_run.__file__, str(recorded / "p.db"))
    kinds = [each.what for each in events]
    assert kinds.count("say") == COUNT // recorded_run.STEP
    assert kinds.count("write") > 100
    assert kinds.count("sync") > 20
    assert {"unlink", "truncate", "sync-directory"} <= set(kinds)
    whole = what_is_left(events, random.Random(), "all")
    assert whole == {"p.db": (recorded / "p.db").read_bytes()}, "the record is not what happened"
    rng = random.Random(int(os.environ.get("HOLDFAST_SEED", "1")))
    lengths = range(len(events) + 1)
    for length in lengths if STATES == "all" else sorted(rng.sample(lengths, int(STATES))):
        said = [each.data for each in events[:length] if each.what == "say"]
        acknowledged = int(said[-1].split()[1]) if said else 0
        for mode in ("all", "synced", "some"):
            directory = tmp_path / f"{length}-{mode}"
            directory.mkdir()
            for name, content in what_is_left(events[:length], rng, mode).items():
                (directory / name).write_bytes(content)
            check(str(directory / "p.db"), acknowledged, rng, f"{length} {mode}")
            for path in directory.iterdir():
                path.unlink()


def check(path: str, acknowledged: int, rng: random.Random, what: str) -> None:
    """Open a ledger as a power loss has left it, and go on with it."""
    with Ledger.open(path) as ledger:
        assert acknowledged <= ledger.decided <= COUNT, what
        assert found_accounts(ledger.accounts()) == expected_accounts(ROWS[: ledger.decided]), what
        if rng.random() < 0.2:
            ledger.verify()
        assert ledger.apply(Deposit(1, 10**9, "1")).is_applied
