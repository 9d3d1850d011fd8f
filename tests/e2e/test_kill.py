"""A ledger whose process is killed at any moment: what was acknowledged is there, once, and the accounts are the model's.

HOLDFAST_KILLS says how many kills there are for each way in; ``make torture`` sets it high.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import sys
import threading
import time
from typing import TYPE_CHECKING

import pytest

from e2e.command import PLAIN_COMMAND, run, start
from holdfast import Ledger
from holdfast.storage.shipping import DESCRIPTION, ShippedEntries
from holdfast.storage.stores import open_store
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    import subprocess
    from pathlib import Path

    from scenarios import TransactionRow

KILLS = int(os.environ.get("HOLDFAST_KILLS", "5"))
ROWS = 120_000
HEADER = b"type,client,tx,amount\n"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")


def check(data: str, rows: list[TransactionRow], acknowledged: int) -> int:
    """Open a ledger after a kill: it holds a prefix of the rows, with all that was acknowledged. Give its length."""
    # A server may not have noticed yet that its writer was killed.
    with Ledger.open(open_store(data, may_wait=lambda: True)) as ledger:
        state = ledger.find_stream("day")
        decided = 0 if state is None else state.rows
        assert decided == ledger.decided
        assert acknowledged <= decided <= len(rows)
        assert found_accounts(ledger.accounts()) == expected_accounts(rows[:decided])
        ledger.verify()
    return decided


def kill(process: subprocess.Popen[bytes]) -> None:
    """End a process as the system would."""
    process.send_signal(signal.SIGKILL)
    process.wait()
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()


@pytest.mark.parametrize("durability", ["always", "none"])
def test_loads_that_are_killed(tmp_path: Path, durability: str) -> None:
    """Load, kill, load again, until all is there: every row once."""
    rng = random.Random(5)
    rows = draw_rows(ROWS, txs=ROWS)
    source = tmp_path / "rows.csv"
    source.write_bytes(csv_of(rows))
    data = str(tmp_path / "p.db")
    command = ("load", str(source), "--data", data, "--stream", "day", "-q", "--durability", durability)
    decided = kills = 0
    while kills < KILLS:
        process = start(*command, "--state-bytes-max", "4M", command=PLAIN_COMMAND)
        with contextlib.suppress(Exception):
            process.wait(rng.uniform(0.02, 0.6))
        kill(process)
        kills += 1
        decided = check(data, rows, decided)
        if decided == len(rows):
            decided = 0
            for path in tmp_path.glob("p.db*"):
                path.unlink()
    assert run(*command).code == 0
    assert check(data, rows, 0) == len(rows)


class Sender:
    """Sends rows of a named stream to a server, and remembers the last ack; it ends when the connection does."""

    def __init__(self, port: int, rows: list[TransactionRow]) -> None:
        self.acknowledged = 0
        self._socket = socket.create_connection(("127.0.0.1", port))
        self._socket.sendall(b"#holdfast ack=rows stream=day\n")
        self._lines = self._socket.makefile("rb")
        self.resumed = int(self._lines.readline().split(b'"resume": ')[1].split(b",")[0].split(b"}")[0])
        self.acknowledged = self.resumed
        self._threads = [
            threading.Thread(target=self._send, args=(csv_of(rows[self.resumed :]),)),
            threading.Thread(target=self._listen),
        ]
        for thread in self._threads:
            thread.start()

    def _send(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._socket.sendall(f"#holdfast from={self.resumed + 1}\n".encode())
            for begin in range(0, len(data), 20_000):
                self._socket.sendall(data[begin : begin + 20_000])
            self._socket.shutdown(socket.SHUT_WR)

    def _listen(self) -> None:
        with contextlib.suppress(OSError, IndexError, ValueError):
            for line in self._lines:
                if line.startswith(b'{"ack"'):
                    self.acknowledged = int(line.split(b'"ack": ')[1].split(b",")[0].split(b"}")[0])

    def end(self) -> None:
        """Wait for the end."""
        for thread in self._threads:
            thread.join()
        self._lines.close()
        self._socket.close()


def port_of(path: Path) -> int:
    """Wait until a server has written its port."""
    for _ in range(2000):
        with contextlib.suppress(OSError, ValueError):
            return int(path.read_text())
        time.sleep(0.01)
    raise AssertionError("the server does not listen")


@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_a_server_that_is_killed(tmp_path: Path, request: pytest.FixtureRequest, store: str) -> None:
    """Rows come over TCP with acks; after each kill the sender goes on where the server says, and nothing is doubled."""
    rng = random.Random(7)
    rows = draw_rows(ROWS, txs=ROWS)
    place = str(tmp_path / "p") if store == "sqlite" else request.getfixturevalue("postgres_url")
    ports = tmp_path / "port"
    acknowledged = decided = kills = rounds = 0
    some_acks = False
    options = ("--state-bytes-max", "3M", "--checkpoints-keep", "1", "-q")
    while kills < KILLS:
        data = f"{place}_{rounds}" if store == "sqlite" else place.replace("ledger_", f"ledger_{rounds}_")
        ports.unlink(missing_ok=True)
        listen = ("--listen", "127.0.0.1:0", "--port-file", str(ports))
        waits = ("--standby",) if store == "postgres" else ()
        process = start("serve", *listen, *waits, "--data", data, *options, command=PLAIN_COMMAND)
        sender = Sender(port_of(ports), rows)
        assert sender.resumed == decided
        time.sleep(rng.uniform(0.0, 0.3))
        kill(process)
        kills += 1
        sender.end()
        some_acks |= sender.acknowledged > sender.resumed
        acknowledged = max(acknowledged, sender.acknowledged)
        decided = check(data, rows, acknowledged)
        if decided == len(rows):
            acknowledged = decided = 0
            rounds += 1
    assert some_acks


def shipped_rows(directory: Path) -> int:
    """Say how many rows a backup that follows holds; what it has is whole, whenever it was killed."""
    if not (directory / DESCRIPTION).exists():
        return 0
    with contextlib.closing(ShippedEntries(str(directory))) as shipped:
        last = shipped.last_entry()
        return 0 if last is None else last.sequence + last.count


def test_a_ledger_that_is_maintained(tmp_path: Path) -> None:
    """Loads in little memory, a backup that follows, pruning and compacting are killed, at any moment of each."""
    rng = random.Random(9)
    rows = draw_rows(ROWS, txs=ROWS)
    source, copy = tmp_path / "rows.csv", str(tmp_path / "copy.db")
    source.write_bytes(csv_of(rows))
    data, directory = str(tmp_path / "p.db"), tmp_path / "shipped"
    load = ("load", str(source), "--data", data, "--stream", "day", "-q")
    kept = ("--state-bytes-max", "3M", "--checkpoints-keep", "1")
    follow = ("ledger", "backup", data, "--follow", str(directory), "-q")
    decided = kills = 0
    while kills < KILLS:
        processes = [start(*load, *kept, command=PLAIN_COMMAND)]
        if decided:
            processes.append(start(*follow, command=PLAIN_COMMAND))
        time.sleep(rng.uniform(0.3, 1.5))
        for process in rng.sample(processes, len(processes)):
            kill(process)
        kills += 1
        decided = check(data, rows, decided)
        shipped = shipped_rows(directory)
        assert shipped <= decided
        if kills % 3 == 0 and decided:
            assert run(*follow, "--once").code == 0
            compact = start(
                "ledger",
                "compact",
                data,
                "--keep",
                str(decided - rng.randrange(decided)),
                command=PLAIN_COMMAND,
            )
            time.sleep(rng.uniform(0.3, 1.2))
            kill(compact)
            kills += 1
            assert check(data, rows, decided) == decided
    assert run(*load).code == 0
    assert run(*follow, "--once").code == 0
    assert run("ledger", "restore", directory, "--to", copy, "-q").code == 0
    for location in (data, copy):
        assert check(location, rows, 0) == len(rows)
