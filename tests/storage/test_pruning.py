"""Old entries are dropped: never one that a verified checkpoint does not cover, and what is left can be trusted as before."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast import Ledger, LedgerError
from holdfast.storage.ports import StoreDamagedError, StoreError
from holdfast.storage.pruning import prune
from holdfast.storage.stores import open_store
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from pathlib import Path

    from storage.conftest import Place

ROWS = draw_rows(3000)


def fill(place: Place) -> None:
    """Make a ledger of ten entries, with checkpoints after 900, 1,800 and 2,700 rows, of which two stay, and one at the end."""
    with Ledger.open(place.open(), checkpoints_keep=3) as ledger:
        for end in range(300, 3001, 300):
            ledger.process(csv_of(ROWS[:end]), stream="day")
            if end % 900 == 0:
                ledger.checkpoint()


@pytest.mark.parametrize(
    ("keep", "entries"), [(0, 0), (299, 0), (300, 1), (1000, 3), (1800, 6), (2000, 6), (10**9, 6)]
)
def test_what_goes(place: Place, keep: int, entries: int) -> None:
    """Whole entries, as far as the oldest checkpoint reaches; state, verification and later rows are what they were."""
    fill(place)
    with place.open() as store:
        found = prune(store, keep, None)
        assert (found.entries, found.decisions, found.covered) == (entries, 300 * entries, 1800)
        store.compact()
    with Ledger.open(place.open()) as ledger:
        assert found_accounts(ledger.accounts()) == expected_accounts(ROWS)
        assert ledger.verify().entries == 10 - entries
        assert found_accounts(ledger.accounts(as_of=2500)) == expected_accounts(ROWS[:2500])
        if entries:
            with pytest.raises(LedgerError, match="were pruned"):
                ledger.accounts(as_of=100)
            with pytest.raises(LedgerError, match="were pruned"):
                ledger.history(1)
        assert ledger.process(csv_of(ROWS), stream="day").skipped == 3000
    with place.open() as store:
        prune(store, 10**9, None)
    if entries:
        with pytest.raises(StoreDamagedError, match="pruned"):
            Ledger.open(place.open(), checkpoint=0)


def test_a_checkpoint_that_is_damaged_lets_nothing_go(tmp_path: Path) -> None:
    """Whatever it is that is wrong: the entries are what is left of the truth."""
    path = tmp_path / "p.db"
    with Ledger.open(path) as ledger:
        for end in (300, 600, 900):
            ledger.process(csv_of(ROWS[:end]), stream="day")
            ledger.checkpoint()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE pages SET data = x'00' WHERE kind = 1 AND checkpoint = 2")
        connection.commit()
        entries = connection.execute("SELECT count(*) FROM entries").fetchone()
    done = run("ledger", "compact", path, "--keep", "900")
    assert (done.code, "checkpoint 2" in done.errors) == (1, True)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT count(*) FROM entries").fetchone() == entries


def test_the_command_archives_first(tmp_path: Path) -> None:
    """The archive is a ledger that ends there; one that is there already is never replaced, and then nothing is dropped."""
    path, archive = tmp_path / "p.db", tmp_path / "old.db"
    with Ledger.open(path) as ledger:
        for end in (300, 600, 900):
            ledger.process(csv_of(ROWS[:end]) + b"deposit,oops,1,1\n", stream=f"day {end}")
            ledger.checkpoint()
    archive.write_bytes(b"mine")
    refused = run("ledger", "compact", path, "--keep", "700", "--archive", archive)
    assert (refused.code, archive.read_bytes()) == (1, b"mine")
    assert "give the path of a file that is not there yet" in refused.errors
    archive.unlink()
    done = run("ledger", "compact", path, "--keep", "1000", "--archive", archive)
    assert (done.code, done.errors) == (0, "holdfast: 2 entries with 902 decisions are dropped\n"), done
    with Ledger.open(archive) as ledger:
        assert ledger.decided == 902
        assert ledger.verify().raw_texts == 2
    again = run("ledger", "compact", path, "--keep", "1000")
    assert (again.code, "no entry is dropped" in again.errors) == (0, True)
    assert run("ledger", "verify", path).code == 0
    assert run("ledger", "rejects", path).code == 0
    for wrong in (("--keep", "yesterday"), ("--archive", archive)):
        assert run("ledger", "compact", path, *wrong).code == 2


def test_pruning_by_time(place: Place) -> None:
    """What was made since then stays."""
    fill(place)
    with place.open() as store:
        with closing(store.reader()) as reader:
            times = [entry.time_us for entry in reader.entries(0)]
        assert prune(store, None, times[0]).entries == 0
        kept = [time for time in times if time >= times[4]]
        prune(store, None, times[4])
        with closing(store.reader()) as reader:
            assert [entry.time_us for entry in reader.entries(0)] == kept


def test_checkpoints_that_stay(tmp_path: Path) -> None:
    """As many as the command says, at least one."""
    source = tmp_path / "rows.csv"
    path = tmp_path / "p.db"
    for end in (300, 600, 900, 1200):
        source.write_bytes(csv_of(ROWS[:end]))
        assert run("load", source, "--data", path, "--stream", "day", "--checkpoints-keep", "3").code == 0
    with Ledger.open(path, read_only=True) as ledger, ledger._view() as view:
        assert [each.sequence for each in view.info().checkpoints] == [1200, 900, 600]
    assert run("load", source, "--data", path, "--checkpoints-keep", "0").code == 2
    with open_store(path) as store, pytest.raises(StoreError, match="not there yet"):
        prune(store, 600, None, str(path))
