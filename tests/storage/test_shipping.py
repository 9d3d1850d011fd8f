"""A backup that follows: entries as files, which come to the same ledger, and nothing wrong is ever restored."""

from __future__ import annotations

import signal
import subprocess
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from e2e.command import run, start
from holdfast import Ledger, LedgerError
from holdfast.storage import shipping
from holdfast.storage.copying import restore_ledger
from holdfast.storage.ports import StoreDamagedError, StoreError
from holdfast.storage.pruning import prune
from holdfast.storage.shipping import Shipper
from holdfast.storage.stores import open_store
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.storage.ports import Store
    from storage.conftest import Place

ROWS = draw_rows(2000)


def ship(store: Store, directory: Path) -> shipping.Shipped:
    """Write what is committed now."""
    with closing(Shipper(store, str(directory))) as shipper:
        return shipper.ship()


def test_it_follows_and_is_restored(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside the process that writes; started again, it goes on; any point in time comes back."""
    monkeypatch.setattr(shipping, "_FILE_BYTES_MAX", 2000)
    directory = tmp_path / "shipped"
    with Ledger.open(place.open()) as ledger:
        ledger.process(csv_of(ROWS[:300]) + b"deposit,oops,1,1\n", stream="first")
        with place.open(read_only=True) as beside, closing(Shipper(beside, str(directory))) as shipper:
            assert shipper.ship() == (1, 1, 301)
            assert shipper.ship() == (0, 0, 301)
            for start_row in range(300, 1500, 300):
                ledger.process(csv_of(ROWS[start_row : start_row + 300]), stream=f"from {start_row}")
            shipped = shipper.ship()
            assert shipped.end == 1501
            assert shipped.files > 1
        ledger.process(csv_of(ROWS[1500:]), stream="last")
        with place.open(read_only=True) as beside:
            assert ship(beside, directory).end == 2001
            assert ship(beside, directory) == (0, 0, 2001)
    assert directory.stat().st_mode & 0o777 == 0o700
    for until, rows in ((None, 2000), (301, 300), (1501, 1500), (1800, 1500)):
        copy = str(tmp_path / f"{until}.db")
        restore_ledger(str(directory), copy, until, None)
        with Ledger.open(copy) as ledger:
            assert found_accounts(ledger.accounts()) == expected_accounts(ROWS[:rows])
            assert ledger.verify().raw_texts == 1
            again = ledger.process(csv_of(ROWS[:300]) + b"deposit,oops,1,1\n", stream="first")
            assert again.skipped == 301


def test_every_byte_is_checked(tmp_path: Path) -> None:
    """A file that is altered, cut short, missing or another one's is named, and no ledger is left behind."""
    path, directory = str(tmp_path / "p.db"), tmp_path / "shipped"
    with Ledger.open(path) as ledger:
        for part in range(3):
            ledger.process(csv_of(ROWS[part * 10 : part * 10 + 10]))
            with open_store(path, read_only=True) as store:
                ship(store, directory)
    files = sorted(directory.iterdir())
    assert [file.name for file in files] == [
        *(f"{10 * part:020}.entries" for part in range(3)),
        "ledger.holdfast",
    ]
    target = tmp_path / "copy.db"
    for file in files:
        whole = file.read_bytes()
        wrong = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 7)]
        for data in (*wrong, whole[:-1], whole[:40], b""):
            file.write_bytes(data)
            with pytest.raises(StoreDamagedError, match=file.name):
                restore_ledger(str(directory), str(target), None, None)
            assert not target.exists()
        file.write_bytes(whole)
    files[1].rename(tmp_path / "away")
    with pytest.raises(StoreDamagedError, match=r"missing|follow"):
        restore_ledger(str(directory), str(target), None, None)
    assert not target.exists()


def test_what_a_directory_cannot_be(tmp_path: Path) -> None:
    """Another ledger's, somebody's files, no directory; and a ledger that has dropped entries begins none."""
    path, other, directory = str(tmp_path / "p.db"), str(tmp_path / "o.db"), tmp_path / "shipped"
    for location in (path, other):
        with Ledger.open(location) as ledger:
            for part in range(3):
                ledger.process(csv_of(ROWS[part * 10 : part * 10 + 10]))
                ledger.checkpoint()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_text("mine")
    (tmp_path / "a file").write_text("mine")
    with open_store(path) as store:
        ship(store, directory)
        with open_store(other, read_only=True) as another, pytest.raises(StoreError, match="another ledger"):
            ship(another, directory)
        with pytest.raises(StoreError, match="not empty"):
            ship(store, tmp_path / "mine")
        with pytest.raises(StoreError, match="exists"):
            ship(store, tmp_path / "a file")
        with pytest.raises(StoreError, match="No such file"):
            ship(store, tmp_path / "not" / "there")
        prune(store, 10, None)
        with pytest.raises(StoreError, match="pruned"):
            ship(store, tmp_path / "new")
        assert ship(store, directory).entries == 0
    with pytest.raises(StoreError, match=r"no backup of a ledger: it has no ledger\.holdfast"):
        restore_ledger(str(tmp_path / "mine"), str(tmp_path / "copy.db"), None, None)
    with pytest.raises(LedgerError, match="pruned"):
        restore_ledger(path, str(tmp_path / "copy.db"), None, None)


def test_entries_that_are_gone_between(tmp_path: Path) -> None:
    """A directory that was left behind for too long says so, and nothing is written."""
    path, directory = str(tmp_path / "p.db"), tmp_path / "shipped"
    with Ledger.open(path) as ledger:
        ledger.process(csv_of(ROWS[:10]))
        with open_store(path, read_only=True) as store:
            ship(store, directory)
        for part in range(1, 5):
            ledger.process(csv_of(ROWS[part * 10 : part * 10 + 10]))
            ledger.checkpoint()
    with open_store(path) as store:
        assert prune(store, 20, None).entries == 2
        with pytest.raises(StoreError, match="ends after decision 10, and the ledger goes on elsewhere"):
            ship(store, directory)
    assert len(list(directory.iterdir())) == 2


def test_the_command(tmp_path: Path) -> None:
    """It writes entries within a second or two while the ledger is in use, ends with a signal, and goes on."""
    path, directory, copy = tmp_path / "p.db", tmp_path / "shipped", tmp_path / "copy.db"
    with Ledger.open(path) as ledger:
        ledger.process(csv_of(ROWS[:100]))
        with start(
            "ledger", "backup", path, "--follow", directory, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        ) as follower:
            assert follower.stderr is not None
            assert b"ends after decision 100" in follower.stderr.readline()
            ledger.process(csv_of(ROWS[100:300]))
            assert b"ends after decision 300" in follower.stderr.readline()
            began = time.monotonic()
            follower.send_signal(signal.SIGTERM)
            assert follower.wait(20) == 143
            assert time.monotonic() - began < 5
        ledger.process(csv_of(ROWS[300:400]))
        once = run("ledger", "backup", path, "--follow", directory, "--once")
        assert (once.code, "ends after decision 400" in once.errors) == (0, True)
    assert run("ledger", "restore", directory, "--to", copy, "--until", "300").code == 0
    with Ledger.open(copy) as ledger:
        assert found_accounts(ledger.accounts()) == expected_accounts(ROWS[:300])
    assert run("ledger", "backup", path, "--follow", directory, "--to", copy).code == 2
    assert run("ledger", "backup", path).code == 2
