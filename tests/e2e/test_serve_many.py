"""Ten thousand connections at once, each with rows of its own, in pieces of any size."""

from __future__ import annotations

import random
import resource
import selectors
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.command import HEADER, OUTPUT_HEADER, PLAIN_COMMAND
from e2e.serving import Serving, serving
from holdfast.domain.amount import format_units
from holdfast.domain.model import Model
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from collections.abc import Iterator

CONNECTIONS = 10_000
ROWS = 12
RSS_BYTES_MAX = 200 * 2**20
DEADLINE_SECONDS = 60.0
TYPES = {type_.name.lower(): type_ for type_ in TransactionType}


@pytest.fixture
def many_files() -> Iterator[None]:
    """Let this process open as many files as there are connections; what starts from it may as well."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = CONNECTIONS + 200
    if hard != resource.RLIM_INFINITY and hard < needed:
        pytest.skip(f"the system allows a process {hard} files, and {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def rows_of(number: int, source: random.Random) -> list[tuple[str, int, int, int]]:
    """Generate rows of a client whom no other connection knows, about transactions that no other one names."""
    rows = []
    for _ in range(ROWS):
        kind = source.choice(["deposit", "deposit", "withdrawal", "dispute", "resolve", "chargeback"])
        rows.append((kind, number, number * ROWS + source.randrange(ROWS // 2), source.randrange(1, 90_000)))
    return rows


def text_of(rows: list[tuple[str, int, int, int]]) -> bytes:
    """Write rows as CSV."""
    return (
        HEADER
        + "".join(
            f"{kind},{client},{tx},{format_units(units)}\n" for kind, client, tx, units in rows
        ).encode()
    )


def expected_accounts(all_rows: list[list[tuple[str, int, int, int]]]) -> bytes:
    """Let the model decide. Rows of different connections have nothing to do with each other: any order of them will do."""
    model = Model()
    for rows in all_rows:
        for kind, client, tx, units in rows:
            model.apply(TYPES[kind], client, tx, units)
    lines = [
        f"{each.client},{each.available},{each.held},{each.total},{str(each.locked).lower()}\n"
        for each in model.accounts()
    ]
    return OUTPUT_HEADER + "".join(lines).encode()


def rss_bytes(server: Serving) -> int:
    """Say how much memory the server has now."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def send_all(connections: list[socket.socket], unsent: list[bytes], source: random.Random) -> None:
    """Send the rest of everything, connections taking turns at random with pieces of random size."""
    turns = list(range(len(connections)))
    while turns:
        source.shuffle(turns)
        for number in turns:
            piece = unsent[number][: source.choice([1, 7, 40, 150, 10_000])]
            sent = connections[number].send(piece)
            unsent[number] = unsent[number][sent:]
            if not unsent[number]:
                connections[number].shutdown(socket.SHUT_WR)
        turns = [number for number in turns if unsent[number]]


def receive_summaries(connections: list[socket.socket]) -> list[bytes]:
    """Receive from all until all have ended."""
    received = [b""] * len(connections)
    deadline = time.monotonic() + DEADLINE_SECONDS
    with selectors.DefaultSelector() as selector:
        for number, connection in enumerate(connections):
            connection.setblocking(False)
            selector.register(connection, selectors.EVENT_READ, number)
        while selector.get_map():
            assert time.monotonic() < deadline
            for key, _ in selector.select(1):
                piece = connections[key.data].recv(65536)
                received[key.data] += piece
                if not piece:
                    selector.unregister(key.fileobj)
    return received


@pytest.mark.slow
@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.usefixtures("many_files")
def test_ten_thousand_connections(loop: str, tmp_path: Path) -> None:
    """All are open at once, within bounded memory, and the accounts are the model's to the last unit."""
    if loop == "uvloop":
        pytest.importorskip("uvloop")
    source = random.Random(4)
    all_rows = [rows_of(number, source) for number in range(CONNECTIONS)]
    accounts = tmp_path / "accounts.csv"
    connections: list[socket.socket] = []
    try:
        with serving(tmp_path, "-o", accounts, "--loop", loop, command=PLAIN_COMMAND) as server:
            unsent = [text_of(rows) for rows in all_rows]
            for number in range(CONNECTIONS):
                connection = server.connect(unsent[number][:30])
                unsent[number] = unsent[number][30:]
                connections.append(connection)
            assert rss_bytes(server) < RSS_BYTES_MAX
            send_all(connections, unsent, source)
            summaries = receive_summaries(connections)
            assert all(summary.startswith(b'{"rows": %d, ' % ROWS) for summary in summaries)
            assert rss_bytes(server) < RSS_BYTES_MAX
            assert server.stop() == 0
    finally:
        for connection in connections:
            connection.close()
    assert accounts.read_bytes() == expected_accounts(all_rows)
