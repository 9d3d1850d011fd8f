"""A ledger in PostgreSQL: one writer, connections that are lost, and what is never shown."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast import Deposit, Ledger
from holdfast.storage.failures import LedgerFailedError
from holdfast.storage.ports import (
    Commit,
    StoreBusyError,
    StoredEntry,
    StoredPage,
    StoreError,
    StoreFencedError,
)
from holdfast.storage.stores import open_store
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts
from storage.postgres_tools import CuttingProxy, ask, cut_connections, through

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

psycopg = pytest.importorskip("psycopg")


def test_connections_that_are_lost(postgres_url: str) -> None:
    """The writer's and the readers', again and again: every row is there once, and nobody noticed."""
    rows = draw_rows(2000)
    with Ledger.open(postgres_url, memory_bytes_max=3 << 20) as ledger:
        for end in range(100, 2001, 100):
            ledger.process(csv_of(rows[:end]), stream="day")
            if end % 300 == 0:
                ledger.checkpoint()
            assert cut_connections(postgres_url, "writer") == 1
            cut_connections(postgres_url, "reader")
        assert ledger.durable == 2000
    with Ledger.open(postgres_url) as ledger:
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)
        ledger.verify()


@pytest.fixture
def proxy(postgres_url: str) -> Iterator[CuttingProxy]:
    """Give a proxy before the server."""
    with CuttingProxy(postgres_url) as proxy:
        yield proxy


@pytest.mark.parametrize("way", ["there", "back"])
def test_a_commit_whose_fate_is_not_known(postgres_url: str, proxy: CuttingProxy, way: str) -> None:
    """Cut at any byte of a commit or of its answer, it happens once: the entry's key would refuse a second one."""
    step = int(os.environ.get("HOLDFAST_CUT_BYTES", "41"))
    with open_store(through(postgres_url, proxy)) as store:
        store.create({"settings": b""})
        sequence = 0
        for length in range(0, 700, step):
            proxy.cut_after[way] = length
            page = StoredPage(1, sequence, b"page")
            store.commit(Commit([StoredEntry(sequence, 1, sequence, b"entry")], (), 1, [page]))
            sequence += 1
            assert ask(postgres_url, "SELECT count(*) FROM entries") == [(sequence,)]
        proxy.cut_after[way] = -1
    assert proxy.cuts > 3
    assert ask(postgres_url, "SELECT count(*), count(DISTINCT number) FROM pages") == [(sequence, sequence)]


def test_a_load_that_is_cut(postgres_url: str) -> None:
    """An atomic load is one transaction: nothing of it is there, and the ledger has stopped and says so."""
    ledger = Ledger.open(postgres_url)
    ledger.apply(Deposit(1, 1, "1"))
    load = ledger.atomic()
    load.__enter__()
    ledger.process(csv_of(draw_rows(50)))
    cut_connections(postgres_url, "writer")
    with pytest.raises(LedgerFailedError):
        load.__exit__(None, None, None)
    with pytest.raises(LedgerFailedError):
        ledger.apply(Deposit(1, 2, "1"))
    with pytest.raises(LedgerFailedError):
        ledger.close()
    with Ledger.open(postgres_url) as ledger:
        assert ledger.decided == 1


def test_a_server_that_stays_away(postgres_url: str, proxy: CuttingProxy) -> None:
    """The ledger stops after the time that the URL says, and tells everybody."""
    ledger = Ledger.open(through(postgres_url, proxy).replace("seconds=10", "seconds=1"))
    ledger.apply(Deposit(1, 1, "1"))
    proxy.close()
    began = time.monotonic()
    with pytest.raises(LedgerFailedError, match="refused"):
        ledger.apply(Deposit(1, 2, "1"))
    assert time.monotonic() - began > 0.5
    with contextlib.suppress(LedgerFailedError):
        ledger.close()
    with Ledger.open(postgres_url) as ledger:
        assert ledger.decided == 1


_WRITER = """
import sys
from holdfast import Deposit, Ledger
with Ledger.open(sys.argv[1]) as ledger:
    for tx in range(10**6):
        ledger.apply(Deposit(1, tx, "1"))
        print(tx, flush=True)
"""


def start_writer(url: str) -> subprocess.Popen[str]:
    """Start a process that applies one deposit after the other and says which ones are durable."""
    return subprocess.Popen(
        [sys.executable, "-c", _WRITER, url], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_a_paused_writer_that_wakes_up_late(postgres_url: str) -> None:
    """Its lock is gone with its connection, another process writes: it is fenced, and writes nothing more."""
    with start_writer(postgres_url) as writer:
        assert writer.stdout is not None
        assert writer.stderr is not None
        said = [int(writer.stdout.readline()) for _ in range(20)][-1]
        writer.send_signal(signal.SIGSTOP)
        assert cut_connections(postgres_url, "writer") == 1
        with open_store(postgres_url, may_wait=lambda: True) as store:
            count = ask(postgres_url, "SELECT count(*) FROM entries")
            writer.send_signal(signal.SIGCONT)
            said = max([said, *map(int, writer.stdout)])
            assert writer.wait(30) == 1
            assert "another writer has taken over" in writer.stderr.read()
            assert ask(postgres_url, "SELECT count(*) FROM entries") == count
            store.tidy()
    with Ledger.open(postgres_url) as ledger:
        assert ledger.decided == count[0][0] >= said + 1


def test_two_writers_one_of_them_paused(postgres_url: str) -> None:
    """Paused at any moment, in the middle of a commit too, it wakes up while another one writes: only that one's rows follow."""
    rng = random.Random(11)
    expected = 0
    for number in range(max(2, int(os.environ.get("HOLDFAST_KILLS", "4")) // 10)):
        with start_writer(postgres_url) as writer:
            assert writer.stdout is not None
            assert writer.stderr is not None
            writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.1))
            writer.send_signal(signal.SIGSTOP)
            cut_connections(postgres_url, "writer")
            with Ledger.open(open_store(postgres_url, may_wait=lambda: True)) as ledger:
                former = ledger.decided
                for each in range(20):
                    assert ledger.apply(Deposit(2, 10**7 + 100 * number + each, "1")).is_applied
                    if each == 10:
                        writer.send_signal(signal.SIGCONT)
                said = sum(1 for _ in writer.stdout) + 1
                assert writer.wait(30) == 1
                assert "another writer has taken over" in writer.stderr.read()
                assert ledger.failure is None
                assert ledger.apply(Deposit(2, 10**7 + 100 * number + 20, "1")).is_applied
                assert former - expected >= said
                expected = former + 21
    with Ledger.open(postgres_url) as ledger:
        assert ledger.decided == expected
        ledger.verify()


def test_a_writer_that_is_killed(postgres_url: str) -> None:
    """What it said is there, and at most what it was saying besides."""
    said = -1
    for _ in range(int(os.environ.get("HOLDFAST_KILLS", "4")) // 2):
        with start_writer(postgres_url) as writer:
            assert writer.stdout is not None
            for _ in range(30):
                said = int(writer.stdout.readline())
            writer.kill()
            said = max([said, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        with Ledger.open(open_store(postgres_url, may_wait=lambda: True)) as ledger:
            applied = {tx for tx in range(said + 3) if _has_transaction(ledger, tx)}
            assert applied >= set(range(said + 1))
            assert len(applied) <= said + 2
            total = ledger.account(1).total_units
            assert total == len(applied) * 10_000


def _has_transaction(ledger: Ledger, tx: int) -> bool:
    try:
        ledger.transaction(tx)
    except KeyError:
        return False
    return True


def test_an_epoch_that_has_passed(postgres_url: str) -> None:
    """Every way to write is closed to a writer that another one has followed, lock or not."""
    with open_store(postgres_url) as store:
        store.create({"settings": b""})
        ask(postgres_url, "UPDATE writer SET epoch = epoch + 1")
        for attempt in (
            lambda: store.discard_checkpoints(0),
            lambda: store.prune_entries(0),
            lambda: store.erase_raw_texts(9),
            store.begin_atomic,
            store.sync,
            lambda: store.commit(Commit([StoredEntry(0, 1, 0, b"")])),
        ):
            with pytest.raises(StoreFencedError, match="taken over"):
                attempt()
        assert ask(postgres_url, "SELECT count(*) FROM entries") == [(0,)]


def test_passwords_are_never_shown(postgres_url: str) -> None:
    """Not in names, not in errors, and none is taken from a command line."""
    secret = "s3cret%2Fword"  # noqa: S105  # that it is shown nowhere is the test
    with_password = postgres_url.replace("holdfast@", f"holdfast:{secret}@")
    with Ledger.open(with_password) as ledger:
        assert "s3cret" not in ledger.name + repr(ledger)
        assert ledger.name.startswith("postgresql://holdfast@127.0.0.1")
        with pytest.raises(StoreBusyError) as busy:
            Ledger.open(with_password)
        assert "s3cret" not in str(busy.value)
    for url in (
        with_password.replace("127.0.0.1", "127.0.0.1:1,127.0.0.1").replace("/postgres?", "/nowhere?"),
        f"postgresql://x:{secret}@127.0.0.1:1/x",
        f"postgresql://127.0.0.1:1/x?password={secret}&nonsense=1",
        f"postgresql://127.0.0.1:1/x?password={secret}",
    ):
        with pytest.raises(StoreError) as refused:
            open_store(url)
        assert "s3cret" not in str(refused.value)
        assert "word" not in str(refused.value).replace("password", "")
        for command in (["load", "--data", url, "-"], ["ledger", "info", url], ["serve", "--data", url]):
            refusal = run(*command)
            assert refusal.code == 2
            assert "a password on a command line is seen by everybody" in refusal.errors
            assert "s3cret" not in refusal.errors


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("holdfast_schema=Öäü", "holdfast_schema is a name of small letters"),
        ("holdfast_schema=pg_x", "holdfast_schema is a name of small letters"),
        ("holdfast_schema=a%22;drop", "holdfast_schema is a name of small letters"),
        ("holdfast_reconnect_seconds=-1", "holdfast_reconnect_seconds is a number from 0 to 3600"),
        ("nonsense=1", "nonsense"),
    ],
)
def test_parameters_that_cannot_be_meant(postgres_server: str, query: str, message: str) -> None:
    """One sentence that names them."""
    with pytest.raises(StoreError, match=message):
        open_store(f"{postgres_server}?{query}")


def test_a_schema_of_a_later_version(postgres_url: str) -> None:
    """It is refused politely by writers and readers, unless what is new does not matter."""
    with Ledger.open(postgres_url) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
    ask(postgres_url, "INSERT INTO migrations VALUES (1000, 'more', false)")
    with Ledger.open(postgres_url) as ledger:
        assert ledger.decided == 1
    ask(postgres_url, "INSERT INTO migrations VALUES (1001, 'other', true)")
    for read_only in (False, True):
        with pytest.raises(StoreError, match="a later version of Holdfast"):
            Ledger.open(postgres_url, read_only=read_only)


def test_a_server_without_fsync(postgres_url: str) -> None:
    """It confirms what it may lose, so nothing is written to it."""
    ask(postgres_url, "ALTER SYSTEM SET fsync = off")
    ask(postgres_url, "SELECT pg_reload_conf()")
    try:
        time.sleep(0.2)
        with pytest.raises(StoreError, match="fsync = off"):
            Ledger.open(postgres_url)
    finally:
        ask(postgres_url, "ALTER SYSTEM RESET fsync")
        ask(postgres_url, "SELECT pg_reload_conf()")
        time.sleep(0.2)


def test_the_commands_take_a_url(postgres_url: str, tmp_path: Path) -> None:
    """Load, look, verify, back up to a file, restore from it to another schema; and nothing is made by looking."""
    rows = draw_rows(500)
    source = tmp_path / "rows.csv"
    source.write_bytes(csv_of(rows))
    missing = run("ledger", "unlock", postgres_url, "--client", "1", "--reason", "x")
    assert (missing.code, "there is no ledger here yet" in missing.errors) == (1, True)
    assert ask(postgres_url, "SELECT count(*) FROM pg_namespace WHERE nspname = %s", "public") == [(1,)]
    assert run("load", source, "--data", postgres_url, "--stream", "day", "-q").code == 0
    again = run("load", source, "--data", postgres_url, "--stream", "day")
    assert (again.code, "was loaded already" in again.errors) == (0, True)
    accounts = run("ledger", "accounts", postgres_url).output
    assert accounts == run("process", source, "-q").output
    for action in ("info", "verify", "checkpoint", "compact", "rejects"):
        assert run("ledger", action, postgres_url).code == 0, action
    copy = tmp_path / "copy.db"
    assert run("ledger", "backup", postgres_url, "--to", copy).code == 0
    assert run("ledger", "accounts", copy).output == accounts
    other = postgres_url.replace("holdfast_schema=", "holdfast_schema=other_")
    assert run("ledger", "restore", copy, "--to", other).code == 0
    assert run("ledger", "accounts", other).output == accounts
    assert run("ledger", "restore", copy, "--to", other).code == 1
