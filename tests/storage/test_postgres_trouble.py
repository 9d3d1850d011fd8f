"""A ledger in PostgreSQL whose server crashes, whose connections are lost at odd moments, whose role may do little."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Ledger
from holdfast.storage.ports import CheckpointRecord, Commit, StoredEntry, StoredPage, StoreError
from holdfast.storage.stores import open_store
from storage.postgres_tools import CuttingProxy, ask, cut_connections, through

if TYPE_CHECKING:
    from collections.abc import Iterator

psycopg = pytest.importorskip("psycopg")


@pytest.fixture
def lazy_writer(postgres_url: str) -> Iterator[int]:
    """Stop the process that writes the server's log for those who do not wait for it; give its id."""
    process = stop_while_idle(postgres_url)
    yield process
    with contextlib.suppress(ProcessLookupError):
        os.kill(process, signal.SIGCONT)


def stop_while_idle(url: str) -> int:
    """Stop the server's log writer while it holds no lock of the log, for which everybody else would wait; give its id."""
    look = "SELECT pid, coalesce(wait_event, '') FROM pg_stat_activity WHERE backend_type = 'walwriter'"
    until = time.monotonic() + 10
    while time.monotonic() < until:
        process: int
        [(process, _)] = ask(url, look)
        os.kill(process, signal.SIGSTOP)
        while ") T " not in Path(f"/proc/{process}/stat").read_text():
            time.sleep(0.001)
        if ask(url, look) == [(process, "WalWriterMain")]:
            return process
        os.kill(process, signal.SIGCONT)
        time.sleep(0.01)
    raise AssertionError("the server's log writer never idles")


def crash(url: str, lazy_writer: int) -> None:
    """Kill one of the server's processes: all others are told to end, their memory is gone, and the server recovers."""
    with psycopg.connect(url.partition("?")[0]) as connection:
        os.kill(connection.info.backend_pid, signal.SIGKILL)
        until = time.monotonic() + 10
        while not _is_told_to_end(lazy_writer):
            assert time.monotonic() < until
            time.sleep(0.005)
    os.kill(lazy_writer, signal.SIGCONT)


def _is_told_to_end(process: int) -> bool:
    status = Path(f"/proc/{process}/status").read_text()
    pending = int(status.partition("ShdPnd:")[2].split()[0], 16)
    return bool(pending >> (signal.SIGQUIT - 1) & 1)


def entry(number: int) -> Commit:
    """Make a commit of one entry."""
    return Commit([StoredEntry(number, 1, number, b"entry")])


@pytest.mark.parametrize("then", ["sync", "commit"])
def test_commits_that_a_crash_took_away(postgres_url: str, lazy_writer: int, then: str) -> None:
    """Without ``sync`` they may go; but a later sync does not confirm them, and no later commit leaves a gap."""
    with open_store(postgres_url) as store:
        store.create({"settings": b""})
        store.commit(entry(0))
        for number in range(1, 20):
            store.commit(entry(number), sync=False)
        crash(postgres_url, lazy_writer)
        with pytest.raises(StoreError, match="the server crashed and lost the last commits"):
            store.commit(entry(20)) if then == "commit" else store.sync()
    with open_store(postgres_url) as store:
        reader = store.reader()
        kept = [each.sequence for each in reader.entries(0)]
        reader.close()
        assert kept == [0]
        store.commit(entry(1))


def test_commits_that_a_crash_did_not_take_away(postgres_url: str, lazy_writer: int) -> None:
    """After a crash, what was synced is there, and the ledger goes on without a word; so it does if housekeeping is lost."""
    with open_store(postgres_url) as store:
        store.create({"settings": b""})
        for number in (1, 2):
            record = CheckpointRecord(number, 1, b"")
            pages = [StoredPage(1, page, b"page") for page in range(3)]
            store.commit(Commit((), (), number, pages, record))
        store.drop_checkpoint(1)
        for number in range(5):
            store.commit(entry(number))
        store.tidy()
        crash(postgres_url, lazy_writer)
        store.commit(entry(5))
        store.sync()
        assert ask(postgres_url, "SELECT count(*) FROM entries") == [(6,)]


def test_housekeeping_whose_answer_is_lost(postgres_url: str) -> None:
    """Cut at any byte of the answer, it is done in the end, and the store goes on."""
    with CuttingProxy(postgres_url) as proxy, open_store(through(postgres_url, proxy)) as store:
        store.create({"settings": b""})
        for number in range(1, 8):
            record = CheckpointRecord(number, 1, b"")
            store.commit(Commit((), (), number, [StoredPage(1, 7, b"page")], record))
        for number, length in enumerate(range(0, 200, 40), 1):
            store.drop_checkpoint(number)
            proxy.cut_after["back"] = length
            store.tidy()
            proxy.cut_after["back"] = -1
            store.tidy()
            assert ask(postgres_url, "SELECT count(*) FROM pages") == [(7 - number,)]
        assert proxy.cuts > 2


def test_a_commit_is_one_round_trip(postgres_url: str) -> None:
    """A server in another building answers once for each commit, whatever is in it."""
    with CuttingProxy(postgres_url) as proxy, open_store(through(postgres_url, proxy)) as store:
        store.create({"settings": b""})
        before = proxy.answers
        for number in range(10):
            pages = [StoredPage(1, page, b"page") for page in range(5)]
            store.commit(Commit([StoredEntry(number, 1, number, b"entry")], (), number, pages))
        assert proxy.answers - before < 15


def test_a_statement_that_fails(postgres_url: str) -> None:
    """Nothing of its transaction is there, and the connection is as good as before: housekeeping may fail."""
    with open_store(postgres_url) as store:
        store.create({"settings": b""})
        store.commit(entry(0))
        ask(postgres_url, "ALTER TABLE entries ADD CONSTRAINT few CHECK (sequence < 0) NOT VALID")
        with pytest.raises(StoreError, match="few"):
            store.commit(Commit([StoredEntry(1, 1, 1, b"")], (), 1, [StoredPage(1, 7, b"page")]))
        with pytest.raises(StoreError, match="nothing is written after a commit that failed"):
            store.commit(entry(1))
    assert ask(postgres_url, "SELECT (SELECT count(*) FROM entries), (SELECT count(*) FROM pages)") == [
        (1, 0)
    ]
    with open_store(postgres_url) as store:
        ask(postgres_url, "ALTER TABLE pages RENAME TO elsewhere")
        with pytest.raises(StoreError, match="pages"):
            store.discard_checkpoints(0)
        ask(postgres_url, "ALTER TABLE elsewhere RENAME TO pages")
        store.discard_checkpoints(0)


def test_work_outside_of_commits_after_a_lost_connection(postgres_url: str) -> None:
    """Compacting, and looking for superseded pages, are begun again over another connection."""

    def cut(_done: int, _all: int) -> None:
        cut_connections(postgres_url, "writer")

    with open_store(postgres_url) as store:
        store.create({"settings": b""})
        store.commit(Commit((), (), 1, [StoredPage(1, 7, b"page")], CheckpointRecord(1, 1, b"")))
        assert cut_connections(postgres_url, "writer") == 1
        store.compact(cut)
        cut_connections(postgres_url, "writer")
        store.discard_unpublished()
        assert ask(postgres_url, "SELECT count(*) FROM pages") == [(1,)]


_QUIET = """
import sys
from holdfast import Deposit, Ledger
with Ledger.open(sys.argv[1]) as ledger:
    for tx in range(3):
        print(ledger.apply(Deposit(1, tx, "1")), flush=True)
        sys.stdin.readline()
"""


def test_a_lost_connection_is_nobodys_concern(postgres_url: str) -> None:
    """A program that has not set up logging has nothing of it on its standard error."""
    with subprocess.Popen(
        [sys.executable, "-c", _QUIET, postgres_url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for _ in range(3):
            assert process.stdout.readline()
            assert cut_connections(postgres_url, "writer") == 1
            process.stdin.write("\n")
            process.stdin.flush()
        _, errors = process.communicate()
        assert (process.returncode, errors) == (0, "")


def test_an_atomic_load_after_a_lost_connection(postgres_url: str) -> None:
    """A connection that was lost while nothing was going on is made anew; nothing of the load has been sent yet."""
    with Ledger.open(postgres_url) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
        assert cut_connections(postgres_url, "writer") == 1
        with ledger.atomic():
            ledger.process(b"type,client,tx,amount\ndeposit,1,2,1\n")
        assert ledger.durable >= 2
    with Ledger.open(postgres_url) as ledger:
        assert str(ledger.account(1).total) == "2.0000"


def test_a_standby_whose_connection_is_lost(postgres_url: str) -> None:
    """It goes on waiting over another connection, and takes over."""
    first = open_store(postgres_url)
    asked = 0

    def may_wait() -> bool:
        nonlocal asked
        asked += 1
        return True

    taken: list[str] = []

    def wait() -> None:
        with open_store(postgres_url, may_wait=may_wait) as second:
            taken.append(second.name)

    thread = threading.Thread(target=wait)
    thread.start()
    try:
        for times in (1, 3):
            until = time.monotonic() + 10
            while asked < times and time.monotonic() < until:
                time.sleep(0.01)
            cut = ask(
                postgres_url,
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'holdfast writer %%' "
                "AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted)",
            )
            assert len(cut) == 1
        assert not taken
    finally:
        first.close()
        thread.join(20)
    assert taken == [first.name]


@pytest.fixture
def modest_url(postgres_url: str) -> Iterator[str]:
    """Give the URL of a ledger for a role that owns a schema, may create nothing besides, and has limits for queries."""
    schema = postgres_url.partition("holdfast_schema=")[2].partition("&")[0]
    role = f"role_of_{schema}"
    ask(postgres_url, f"CREATE ROLE {role} LOGIN")
    ask(postgres_url, f"ALTER ROLE {role} SET idle_in_transaction_session_timeout = '10ms'")
    ask(postgres_url, f"CREATE SCHEMA {schema} AUTHORIZATION {role}")
    yield postgres_url.replace("holdfast@", f"{role}@")
    ask(postgres_url, f"DROP SCHEMA {schema} CASCADE")
    ask(postgres_url, f"DROP ROLE {role}")


def test_a_role_with_nothing_but_a_schema(modest_url: str) -> None:
    """It makes a ledger in its schema, opens it again, and loads for longer than its queries may take."""
    for tx in (1, 10):
        with Ledger.open(modest_url) as ledger:
            ledger.apply(Deposit(1, tx, "1"))
            with ledger.atomic():
                ledger.apply(Deposit(1, tx + 1, "1"))
                time.sleep(0.05)
                ledger.apply(Deposit(1, tx + 2, "1"))
    with Ledger.open(modest_url, read_only=True) as view:
        assert str(view.account(1).total) == "6.0000"
