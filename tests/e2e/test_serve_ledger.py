"""``holdfast serve --data``: money that is accepted is there after the server's end, and nothing else is acknowledged."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e.command import HEADER, run
from e2e.output_faults import mounted
from e2e.serving import replies, serving
from holdfast import Ledger
from holdfast.net.address import Address
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def rows_of_stream(name: str, rows: bytes, *, first: int | None = None) -> bytes:
    """Write what a sender of a named stream with acks sends."""
    from_row = b"" if first is None else f"#holdfast from={first}\n".encode()
    return f"#holdfast ack=rows stream={name}\n".encode() + from_row + rows


def test_a_stream_goes_on_after_the_server_was_started_again(tmp_path: Path) -> None:
    """Positions come from the ledger, and the accounts are those of all rows, once."""
    rows = draw_rows(4000)
    data = str(tmp_path / "p.db")
    with serving(tmp_path, "--data", data) as server:
        first = server.exchange(rows_of_stream("day", csv_of(rows[:1500])))
        assert first[0]["resume"] == 0
        assert first[-1]["resume"] == 1500
        assert first[-2] == {"ack": 1500, "sequence": 1500}
        assert server.stop() == 0
    with serving(tmp_path, "--data", data) as server:
        second = server.exchange(rows_of_stream("day", csv_of(rows[1500:]), first=1501))
        assert second[0]["resume"] == 1500
        assert second[0]["digest"] == first[-1].get("digest", second[0]["digest"])
        assert second[-1]["resume"] == 4000
        again = server.exchange(rows_of_stream("day", csv_of(rows)))
        assert (again[-1]["rows"], again[-1]["skipped"]) == (0, 4000)
        changed = server.exchange(rows_of_stream("day", csv_of([(1, 1, 9_999_999, 1), *rows[1:]])))
        assert "STREAM_CHANGED" in str(changed[-1]) or changed[-1].get("skipped") == 4000
        assert server.stop() == 0
    with Ledger.open(data) as ledger:
        assert ledger.decided == 4000
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)


def test_many_streams_at_a_time(tmp_path: Path) -> None:
    """Hundreds of senders with acks share commits; each ends with its rows in the ledger."""
    data = str(tmp_path / "p.db")
    with serving(tmp_path, "--data", data) as server:
        connections = [server.connect() for _ in range(200)]
        for number, connection in enumerate(connections):
            rows = b"".join(b"deposit,%d,%d,1\n" % (number, number * 1000 + row) for row in range(50))
            connection.sendall(rows_of_stream(f"s{number}", HEADER + rows))
            connection.shutdown(socket.SHUT_WR)
        for connection in connections:
            assert replies(connection)[-1]["resume"] == 50
            connection.close()
        assert server.stop() == 0
    with Ledger.open(data) as ledger:
        assert ledger.decided == 10_000
        assert ledger.verify().entries < 3000
        assert {account.available_units for account in ledger.accounts()} == {500_000}


def test_an_ack_comes_with_its_commit(tmp_path: Path) -> None:
    """A sender that waits for each ack gets it at once, not after a timer."""
    data = str(tmp_path / "p.db")
    with serving(tmp_path, "--data", data) as server, server.connect() as connection:
        connection.sendall(rows_of_stream("day", HEADER))
        lines = connection.makefile("rb")
        assert b'"resume": 0' in lines.readline()
        for row in range(300):
            connection.sendall(b"deposit,1,%d,1\n" % row)
            assert lines.readline() == b'{"ack": %d, "sequence": %d}\n' % (row + 1, row + 1)
        lines.close()


@pytest.mark.parametrize("keeps", [True, False])
def test_the_journal_says_whose_token_sent_a_row(tmp_path: Path, keeps: bool) -> None:
    """Two senders whose rows share entries; their addresses, unless no texts are kept; redact erases them, verify passes."""
    data, tokens = str(tmp_path / "p.db"), tmp_path / "tokens"
    secrets = [run("token", "--append", tokens).output.decode().strip() for _ in range(2)]
    ids = [f"token:{hashlib.sha256(secret.encode()).hexdigest()[:16]}" for secret in secrets]
    options = ("--data", data, "--tokens", tokens, "--durability", "interval:50")
    with serving(tmp_path, *options, *(() if keeps else ("--keep-raw", "none"))) as server:
        senders = [server.connect() for _ in secrets]
        addresses = [str(Address(*each.getsockname())) for each in senders]
        for number, (sender, secret) in enumerate(zip(senders, secrets, strict=True)):
            stream = f" stream=s{number} ack=rows" if number else ""
            sender.sendall(f"#holdfast token={secret}{stream}\n".encode() + HEADER)
        for row in range(40):
            senders[row % 2].sendall(b"deposit,%d,%d,1\n" % (row % 2, row) + b"broken\n" * (row == 7))
        for sender in senders:
            sender.shutdown(socket.SHUT_WR)
            assert int(str(replies(sender)[-1]["rows"])) >= 20
            sender.close()
        assert server.stop() == 0
    for number in (0, 1):
        history = run("ledger", "history", data, "--client", str(number)).output.decode().splitlines()
        found = {tuple(line.split(",")[-2:]) for line in history[1:]}
        assert found == {(ids[number], addresses[number] if keeps else "")}
    rejects = run("ledger", "rejects", data).output.decode().splitlines()
    assert rejects[1].split(",")[-2:] == [ids[1], addresses[1] if keeps else ""]
    sequence = rejects[1].split(",")[0]
    actor = f"actor         {ids[1]}" + (f", from {addresses[1]}" if keeps else "")
    explained = ("ledger", "explain", data, "--decision", sequence)
    assert f"{actor}\n" in run(*explained).output.decode()
    assert run("ledger", "redact", data, "--before", "1000", "-q").code == 0
    assert f"actor         {ids[1]}\n" in run(*explained).output.decode()
    verified = run("ledger", "verify", data).output.decode()
    assert ("the texts and addresses of" in verified) is keeps
    assert not any(address.encode() in (tmp_path / "p.db").read_bytes() for address in addresses)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Give a directory on a disk of 3 MB."""
    with mounted(tmp_path / "small", "-o", "size=3m") as directory:
        yield directory


def test_a_full_disk_acknowledges_nothing(tmp_path: Path, small_disk: Path) -> None:
    """The server ends with the reason; what it acknowledged is there, and everything is decided once in the end."""
    rows = draw_rows(300_000, txs=300_000)
    data = str(small_disk / "p.db")
    unwatched = ("--data", data, "--disk-bytes-min", "0")
    # Less than the rows take, however many of them share a commit.
    subprocess.run(["mount", "-o", "remount,size=1500k", str(small_disk)], check=True)
    with serving(tmp_path, *unwatched) as server, server.connect() as connection:
        with contextlib.suppress(OSError):
            connection.sendall(rows_of_stream("day", csv_of(rows)))
            connection.shutdown(socket.SHUT_WR)
        told = replies(connection)
        acknowledged = max([int(str(reply["ack"])) for reply in told if "ack" in reply], default=0)
        assert server.process.wait(60) == 1
        assert "the disk is full" in server.log.read_text()
    assert acknowledged < len(rows)
    assert "resume" not in told[-1]
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    with Ledger.open(data, disk_bytes_min=0) as ledger:
        state = ledger.find_stream("day")
        decided = 0 if state is None else state.rows
        assert acknowledged <= decided < len(rows)
        assert found_accounts(ledger.accounts()) == expected_accounts(rows[:decided])
        ledger.process(csv_of(rows), stream="day")
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)


@pytest.mark.parametrize("kibibytes", [200, 400, 700, 1000, 1500])
def test_a_load_onto_a_full_disk(tmp_path: Path, small_disk: Path, kibibytes: int) -> None:
    """Wherever the disk is full: one sentence, exit 1, and a ledger that opens and goes on when there is room.

    If all that finds no room is the copy of SQLite's log at the end, everything is there, and the load has succeeded.
    """
    rows = draw_rows(60_000, txs=60_000)
    source = tmp_path / "rows.csv"
    source.write_bytes(csv_of(rows))
    data = str(small_disk / "p.db")
    subprocess.run(["mount", "-o", f"remount,size={kibibytes}k", str(small_disk)], check=True)
    full = run("load", source, "--data", data, "--stream", "day", "-q", "--disk-bytes-min", "0")
    if full.code == 0 and kibibytes >= 1500:
        with Ledger.open(data, read_only=True) as ledger:
            assert found_accounts(ledger.accounts()) == expected_accounts(rows)
    else:
        assert full.code == 1, full
        assert "disk is full" in full.errors or "cannot be made" in full.errors
        assert full.errors.count("\n") == 1
    subprocess.run(["mount", "-o", "remount,size=60m", str(small_disk)], check=True)
    assert run("load", source, "--data", data, "--stream", "day", "-q", "--disk-bytes-min", "0").code == 0
    with Ledger.open(data) as ledger:
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)
