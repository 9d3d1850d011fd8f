"""When the commit thread writes: at once, when whoever leads says so, and what it puts off while somebody waits."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Ledger
from holdfast.engine.rows import to_row
from holdfast.kernel.batch import Batch
from holdfast.storage import committer
from holdfast.storage.listeners import Signal
from holdfast.storage.sqlite import store as sqlite_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

RUN = 8192


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
    """Give a ledger whose commit thread does nothing unless it is woken."""
    monkeypatch.setattr(committer, "_IDLE_SECONDS", 30.0)
    with Ledger.open(tmp_path / "p.db") as made:
        yield made


def decide(ledger: Ledger, tx: int) -> None:
    """Decide a row, and wait for nothing."""
    row = to_row(Deposit(client=1, tx=tx, amount="1"), ledger.settings)
    ledger.decide(Batch.from_rows([row]), 0, 1, None, None, 0)


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that the commit thread does, for a bounded time."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def test_a_signal_is_set_once() -> None:
    """However often it is set before somebody waits, that wakes one wait."""
    signal = Signal()
    assert not signal.wait(0)
    signal.set()
    signal.set()
    assert signal.wait(0)
    assert not signal.wait(0.001)


def test_rows_are_committed_at_once_unless_somebody_leads(ledger: Ledger) -> None:
    """Rows that nobody waits for are not on disk before they are due; all decided until then share one entry."""
    decide(ledger, 1)
    until(lambda: ledger.durable == 1)
    ledger._committer.run_between_commits(lambda: None)  # what that commit tells is told
    told, durable = threading.Event(), 1
    stop = ledger.on_durable(told.set, leads=True)
    # A commit thread that is still awake takes the rows of an attempt along, so one of several counts.
    for attempt in range(10):
        until(lambda: ledger.durable == ledger.decided)
        time.sleep(0.02 * (attempt + 1))
        told.clear()
        durable = ledger.decided
        for tx in range(5):
            decide(ledger, 2 + 5 * attempt + tx)
        if not told.wait(0.1):
            break
    assert (ledger.durable, ledger.decided) == (durable, durable + 5)
    ledger.commit_now()
    assert told.wait(10)
    assert ledger.durable == durable + 5
    with Ledger.open(ledger.name, read_only=True) as view:
        assert view.decided == durable + 5
    stop()
    decide(ledger, 1_000)
    until(lambda: ledger.durable == durable + 6)


def test_whoever_waits_leads_too(ledger: Ledger) -> None:
    """A thread or a coroutine that waits for its rows does not wait until the leader thinks of them."""
    ledger.on_durable(lambda: None, leads=True)
    decide(ledger, 1)
    assert ledger.wait_durable(timeout_seconds=10)
    decide(ledger, 2)
    asyncio.run(asyncio.wait_for(ledger.wait_durable_async(), 10))
    assert ledger.durable == 2
    ledger.apply(Deposit(client=1, tx=3, amount="1"))
    assert ledger.durable == 3


def test_a_checkpoint_goes_page_by_page_while_rows_come(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit that somebody waits for has one page of it; many at a time go when no rows come any more."""
    monkeypatch.setattr(committer, "_QUIET_SECONDS", 30.0)
    pages = 12
    stop = ledger.on_durable(lambda: None, leads=True)
    for page in range(pages):
        decide(ledger, RUN * page)
    ledger.wait_durable()
    making = ledger._checkpointer
    making.demand()
    for number in range(4):
        decide(ledger, RUN * number + 1)
        ledger.wait_durable()
        ledger.commit_now()
        until(lambda wanted=number + 1: making.progress[0] >= wanted)  # type: ignore[misc]  # it takes none
        time.sleep(0.01)
        assert making.progress[0] == number + 1
    stop()
    assert ledger.checkpoint() == pages + 4


def test_a_checkpoint_that_rows_wait_for_is_made_at_once(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory is short until it is published: then nothing is gained by waiting until no rows come."""
    monkeypatch.setattr(committer, "_QUIET_SECONDS", 30.0)
    ledger.on_durable(lambda: None, leads=True)
    for page in range(12):
        decide(ledger, RUN * page)
    ledger.wait_durable()
    making = ledger._checkpointer
    making.demand()
    making.is_pressed = True
    ledger.commit_now()
    until(lambda: making.sequence == 12)
    assert not making.is_pressed


def test_the_log_is_copied_in_pieces_while_somebody_waits(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A commit waits for such a copy: it is short then."""
    monkeypatch.setattr(committer, "_QUIET_SECONDS", 30.0)
    monkeypatch.setattr(sqlite_store, "_LOG_BYTES_URGENT", 0)
    store = ledger._store
    for leads in (False, True):
        stop = ledger.on_durable(lambda: None) if leads else lambda: None
        decide(ledger, 1 + leads)
        ledger.wait_durable()
        until(lambda wanted=leads: (store._log_bytes == 0) is wanted)  # type: ignore[attr-defined, misc]  # one in SQLite
        stop()
