"""A clock that goes back, or jumps ahead and comes back: times of entries never go back, and states of times are right."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast import Ledger
from holdfast.storage import journaling
from holdfast.storage.copying import restore_ledger
from holdfast.storage.pruning import prune
from holdfast.storage.view import LedgerView
from storage.conftest import LocatedPlace
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from pathlib import Path

    from storage.conftest import Place

BEGIN = datetime(2026, 11, 27, 10, 0, 0, 123_457, tzinfo=UTC)
CLOCK = (0, 60, 20, 21, 60, 61, 1_000_000, 62, 0, 1_000_000, 1_000_001)
"""What the clock says when each entry is made, in seconds: it goes back, jumps ahead, comes back, and is there at last."""
TIMES = (0, 60, 60, 60, 60, 61, 1_000_000, 1_000_000, 1_000_000, 1_000_000, 1_000_001)
"""What the entries say."""
STEP = 20
BAD_ROW = b"nonsense,%d,1,1\n"
ROWS = draw_rows(STEP * len(CLOCK), txs=200)


def microseconds(seconds: int) -> int:
    """Give a time of the test as entries have it."""
    return (BEGIN - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) + seconds * 1_000_000


def text_of(seconds: int, microsecond: int = 0) -> str:
    """Give a time of the test as people write it."""
    return (BEGIN + timedelta(seconds=seconds, microseconds=microsecond)).isoformat()


@pytest.fixture
def filled(place: Place, monkeypatch: pytest.MonkeyPatch) -> Place:
    """Give a ledger with an entry for each time that the clock said, each with a row that cannot be read."""
    clock = [0]
    monkeypatch.setattr(journaling, "time", SimpleNamespace(time_ns=lambda: microseconds(clock[0]) * 1000))
    for number, clock[0] in enumerate(CLOCK):
        with Ledger.open(place.open(), checkpoints_keep=len(CLOCK)) as ledger:
            rows = ROWS[number * STEP : (number + 1) * STEP]
            ledger.process(csv_of(rows) + BAD_ROW % number)
    monkeypatch.undo()
    return place


def entries_until(seconds: int) -> int:
    """Say how many entries were made at or before a time, looking at each."""
    return sum(each <= seconds for each in TIMES)


def test_times_never_go_back(filled: Place) -> None:
    """Each entry has the time of the clock, or that of the one before it."""
    with filled.open() as store, closing(store.reader()) as reader:
        assert [each.time_us for each in reader.entries(0)] == [microseconds(each) for each in TIMES]


def test_states_of_a_time(filled: Place) -> None:
    """They are those after the last entry that was made at or before it, whatever the clock did in between."""
    with filled.open(read_only=True) as store, LedgerView(store, owns_store=False) as view:
        for seconds in (-1, 0, 1, 20, 21, 59, 60, 61, 62, 999_999, 1_000_000, 1_000_001, 5_000_000):
            count = entries_until(seconds)
            found = view.accounts(as_of_time_us=microseconds(seconds))
            assert found.sequence == count * (STEP + 1), seconds
            assert found_accounts(found) == expected_accounts(ROWS[: count * STEP]), seconds


def test_pruning_by_a_time(filled: Place) -> None:
    """What was made before it goes, and the last entry never does: without it, the next one could be of an earlier time."""
    with filled.open() as store:
        assert prune(store, None, microseconds(60)).entries == 1
        assert prune(store, None, microseconds(61)).entries == 0, "no checkpoint covers less"
    with Ledger.open(filled.open(), checkpoints_keep=1) as ledger:
        ledger.process(csv_of(ROWS[:1]))
    with filled.open() as store:
        last = prune(store, None, microseconds(10**9))
        assert last.entries == len(CLOCK) - 1
        with closing(store.reader()) as reader:
            (entry,) = reader.entries(0)
    with Ledger.open(filled.open()) as ledger:
        assert ledger.decided == ledger.accounts(as_of=ledger.decided).sequence == last.covered
        ledger.verify()
        assert found_accounts(ledger.accounts()) == expected_accounts([*ROWS, ROWS[0]])
    with filled.open() as store, closing(store.reader()) as reader:
        assert list(reader.entries(0)) == [entry]


@pytest.mark.parametrize("seconds", [20, 60, 1_000_000])
def test_the_commands_take_a_time(filled: Place, tmp_path: Path, seconds: int) -> None:
    """``--as-of``, ``restore --until`` and ``redact --before`` count to the microsecond."""
    if not isinstance(filled, LocatedPlace) or "://" in filled.location:
        pytest.skip("once is enough for the commands")
    location = filled.location
    count = entries_until(seconds)
    copy = str(tmp_path / "copy.db")
    restore_ledger(location, copy, None, microseconds(seconds))
    with Ledger.open(copy, read_only=True) as ledger:
        assert ledger.decided == count * (STEP + 1)
    expected = run("ledger", "accounts", copy).output
    assert run("ledger", "accounts", location, "--as-of", text_of(seconds)).output == expected
    assert run("ledger", "restore", location, "--to", copy + "2", "--until", text_of(seconds)).code == 0
    assert run("ledger", "accounts", copy + "2").output == expected
    before = entries_until(seconds - 1)
    redacted = run("ledger", "redact", location, "--before", text_of(seconds))
    assert f"of {before} entries are erased" in redacted.errors, redacted.errors
    with filled.open() as store, closing(store.reader()) as reader:
        texts = [reader.raw_text(each.sequence) for each in reader.entries(0)]
    assert [each is not None and not each.data for each in texts] == [
        number < before for number in range(len(CLOCK))
    ]
    assert run("ledger", "verify", location, "-q").code == 0
