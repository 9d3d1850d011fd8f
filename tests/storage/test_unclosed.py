"""A ledger that nobody closed: a warning says so, what was decided is there, and the ledger can be opened again."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Ledger
from holdfast.kernel.batch import Batch
from holdfast.storage.ports import StoreBusyError

if TYPE_CHECKING:
    from pathlib import Path

    from storage.conftest import Place


def commit_threads() -> list[threading.Thread]:
    """List the threads that write to ledgers."""
    return [each for each in threading.enumerate() if each.name == "holdfast-commit"]


def drop(ledgers: list[Ledger]) -> None:
    """Forget ledgers, so that they are garbage."""
    ledgers.clear()
    gc.collect()


def open_again(place: Place) -> Ledger:
    """Open a ledger as soon as it is free."""
    until = time.monotonic() + 20
    while True:
        try:
            return Ledger.open(place.open())
        except StoreBusyError:
            assert time.monotonic() < until
            time.sleep(0.01)


def test_a_ledger_that_was_dropped(place: Place) -> None:
    """What was decided last, and waited for by nobody, is written; then the thread ends and the place is free."""
    ledger = Ledger.open(place.open())
    name = ledger.name
    assert ledger.apply(Deposit(1, 1, "1")).is_applied
    batch = Batch.from_rows([(1, 1, tx, 10_000, 0) for tx in range(2, 5000)])
    ledger.decide(batch, 0, batch.rows, None, None, 0)
    ledgers = [ledger]
    del ledger
    with pytest.warns(ResourceWarning, match=r"was never closed: close\(\) it") as warned:
        drop(ledgers)
    assert [name in str(each.message) for each in warned] == [True]
    until = time.monotonic() + 20
    while commit_threads():
        assert time.monotonic() < until
        time.sleep(0.01)
    with open_again(place) as ledger:
        assert ledger.decided == 4999
        ledger.verify()


def test_a_reader_that_was_dropped(place: Place) -> None:
    """The same warning; there is nothing to write."""
    with Ledger.open(place.open()) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
    readers = [Ledger.open(place.open(read_only=True), read_only=True)]
    assert readers[0].decided == 1
    with pytest.warns(ResourceWarning, match="was never closed"):
        drop(readers)


def test_a_ledger_that_was_closed_or_never_open(place: Place) -> None:
    """No warning, which would be an error here."""
    with Ledger.open(place.open()):
        with pytest.raises(ValueError, match="durability"):
            Ledger.open(place.open() if not place.is_durable else "x", durability="never")
        gc.collect()
    gc.collect()


_EXITS = """
import sys
from holdfast import Ledger
from holdfast.kernel.batch import Batch
ledger = Ledger.open(sys.argv[1])
batch = Batch.from_rows([(1, 1, tx, 1, 0) for tx in range(5000)])
ledger.decide(batch, 0, batch.rows, None, None, 0)
"""


def test_a_program_that_ends(tmp_path: Path) -> None:
    """In the development mode it hears of it; in any case what it decided is there."""
    path = str(tmp_path / "p.db")
    for options, says in ((("-X", "dev"), True), ((), False)):
        done = subprocess.run(
            [sys.executable, *options, "-c", _EXITS, path], capture_output=True, text=True, check=True
        )
        assert (f"ResourceWarning: {path} was never closed" in done.stderr) is says, done.stderr
        with Ledger.open(path) as ledger:
            assert ledger.decided == 5000 * (2 - says)


_FORKS = """
import os, sys
from holdfast import Deposit, Ledger
ledger = Ledger.open(sys.argv[1])
ledger.apply(Deposit(1, 1, "1"))
view = Ledger.open(sys.argv[1], read_only=True)
if os.fork() == 0:
    sys.stdin.read(1)
    sys.exit()
os.close(0)
ledger.close()
view.close()
ledger = Ledger.open(sys.argv[1])
for tx in range(2, 20):
    ledger.apply(Deposit(1, tx, "1"))
os.write(1, b"x")
os.kill(os.getpid(), 9)
"""
_FORKS_WITH_A_CONNECTION = """
import os, sys
from holdfast.storage.sqlite.schema import connect_writer
connection = connect_writer(sys.argv[1])
connection.execute("CREATE TABLE t (a)")
if os.fork() == 0:
    sys.stdin.read(1)
    sys.exit()
os.close(0)
connection.close()
connection = connect_writer(sys.argv[1])
connection.execute("INSERT INTO t VALUES (1)")
os.write(1, b"x")
os.kill(os.getpid(), 9)
"""


def outlive(script: str, path: str) -> None:
    """Run a script that forks off a child and is killed; the child ends after it, as a program does."""
    child_waits, parent_lets_go = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-X", "dev", "-c", script, path],
        stdin=child_waits,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        os.close(child_waits)
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read(1) == b"x", process.stderr.read()
        assert process.wait(20) == -signal.SIGKILL
        assert os.path.getsize(path + "-wal") > 0, "there is nothing that a child could take away"
        os.close(parent_lets_go)
        # The child has the other end of this pipe until it ends.
        assert process.stdout.read() == b""
        assert b"was never closed" not in process.stderr.read()


def test_a_child_that_outlives_its_parent(tmp_path: Path) -> None:
    """It takes nothing with it at its end: what was acknowledged since is there, and nobody has the lock."""
    path = str(tmp_path / "p.db")
    outlive(_FORKS, path)
    with Ledger.open(path) as ledger:
        assert ledger.decided == 19


def test_a_connection_of_a_child_that_outlives_its_parent(tmp_path: Path) -> None:
    """SQLite would delete the log by its name when the child ends: that of whoever has written since."""
    path = str(tmp_path / "p.db")
    outlive(_FORKS_WITH_A_CONNECTION, path)
    assert os.path.getsize(path + "-wal") > 0
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
