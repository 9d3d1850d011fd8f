"""What does a ledger in PostgreSQL cost: loading beside a program by hand, tables that follow, a commit beside a bare sync?"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING

import psycopg

from benchmarks.measure import Effort, holdfast_command, median, run_command, side_by_side
from benchmarks.postgres_server import find_binaries, running_server
from benchmarks.report import Figure
from benchmarks.workloads import Workload, csv_file
from holdfast.domain.transaction import Deposit
from holdfast.storage.ledger import Ledger
from holdfast.storage.ports import Commit, StoredEntry
from holdfast.storage.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Cost

_ROWS = 10_000_000
_ROWS_BY_HAND = 200_000
_ROWS_FOLLOWED = 5_000_000
_LAGS = 50
_COMMITS = 100
_ENTRY_BYTES = (4096, 1_500_000)


def answer(effort: Effort) -> Iterator[Figure]:
    """Load 10 M plain rows, and 0.2 M by hand; have tables follow 5 M; commit entries one by one.

    Raises:
        ImportError: If there is no server.
    """
    binaries = find_binaries()
    if binaries is None:
        raise ImportError("there is no PostgreSQL server here")
    with running_server(binaries) as url:
        yield from _load(url, effort)
        yield from _follow(url, effort)
        for entry_bytes in _ENTRY_BYTES:
            yield _commit(url, entry_bytes, 5 if effort.quick else _COMMITS)


def _load(url: str, effort: Effort) -> Iterator[Figure]:
    rows, by_hand = effort.size(_ROWS), effort.size(_ROWS_BY_HAND)
    path, short = csv_file(Workload(rows)), csv_file(Workload(by_hand))
    with tempfile.TemporaryDirectory() as directory:
        output, other = os.path.join(directory, "accounts"), os.path.join(directory, "others")

        def load() -> Cost:
            _drop(url, "SCHEMA IF EXISTS holdfast")
            return run_command([*holdfast_command(), "load", "-q", path, "--data", url, "--stream", "s"])

        def load_by_hand() -> Cost:
            _drop(url, "TABLE IF EXISTS accounts")
            return run_command([sys.executable, "-m", "benchmarks.naive_postgres", short, url], output)

        costs = side_by_side({"load": load, "by hand": load_by_hand}, effort.repeats)
        _drop(url, "SCHEMA IF EXISTS holdfast")
        run_command([*holdfast_command(), "load", "-q", short, "--data", url, "--stream", "s"])
        run_command([*holdfast_command(), "ledger", "accounts", url], other)
        with open(output, "rb") as ours, open(other, "rb") as theirs:
            assert ours.read() == theirs.read(), "the two programs come to different accounts"
    walls = {name: median(each.wall for each in found) for name, found in costs.items()}
    rate, rate_by_hand = rows / walls["load"], by_hand / walls["by hand"]
    what = f"{rows:,} plain rows loaded into PostgreSQL"
    yield Figure(f"{what}, checkpoint and close included", rate, "rows/s", None, "postgres")
    yield Figure(f"{by_hand:,} plain rows by naive_postgres.py", rate_by_hand, "rows/s")
    yield Figure(f"{what}: rate, over that", rate, "rows/s", rate / rate_by_hand, "postgres-by-hand")


def _follow(url: str, effort: Effort) -> Iterator[Figure]:
    rows = effort.size(_ROWS_FOLLOWED)
    path = csv_file(Workload(rows))

    def load() -> float:
        _drop(url, "SCHEMA IF EXISTS holdfast")
        load = [*holdfast_command(), "load", "-q", path, "--data", url, "--stream", "s"]
        follow = [*holdfast_command(), "ledger", "follow", "-q", "--once", url]
        return run_command(load).wall + run_command(follow).wall

    wall = median(load() for _ in range(effort.repeats))
    what = f"{rows:,} plain rows loaded into PostgreSQL"
    yield Figure(f"{what}, then the tables caught up", rows / wall, "rows/s", None, "postgres-followed")
    lags = []
    follow = [*holdfast_command(), "ledger", "follow", "-q", url]
    with (
        Ledger.open(url) as ledger,
        subprocess.Popen(follow) as following,
        psycopg.connect(url, autocommit=True) as connection,
    ):
        # The first one waits until the follower has started.
        for tx in range(1 << 31, (1 << 31) + 1 + (5 if effort.quick else _LAGS)):
            ledger.apply(Deposit(1, tx, "1"))
            began = time.perf_counter()
            while not connection.execute("SELECT FROM holdfast.transactions WHERE tx = %s", (tx,)).fetchall():
                time.sleep(0.001)
            lags.append(1000 * (time.perf_counter() - began))
        following.terminate()
    yield Figure("from an acknowledged transaction to the table, at rest", median(lags[1:]), "ms")


def _commit(url: str, entry_bytes: int, count: int) -> Figure:
    """Commit entries one after the other, and write the same bytes to a file with fdatasync."""
    _drop(url, "SCHEMA IF EXISTS holdfast")
    data = os.urandom(entry_bytes)
    commits, syncs = [], []
    with open_store(url) as store, tempfile.TemporaryFile() as file:
        store.create({"settings": b""})
        for number in range(count):
            began = time.perf_counter()
            store.commit(Commit([StoredEntry(number, 1, number, data)]))
            commits.append(time.perf_counter() - began)
            began = time.perf_counter()
            os.write(file.fileno(), data)
            os.fdatasync(file.fileno())
            syncs.append(time.perf_counter() - began)
    return Figure(
        f"a commit of {entry_bytes:,} bytes to PostgreSQL, over fdatasync of as many in a file",
        1000 * median(commits),
        "ms",
        median(commits) / median(syncs),
    )


def _drop(url: str, what: str) -> None:
    with psycopg.connect(url, autocommit=True, options="-c client_min_messages=error") as connection:
        connection.execute(f"DROP {what} CASCADE".encode())
