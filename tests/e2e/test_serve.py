"""``holdfast serve`` as a process: senders of all kinds, signals, files, and what it refuses to do."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import socket
import stat
import struct
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest

from e2e.command import HEADER, OUTPUT_HEADER, TIMEOUT_SECONDS, run
from e2e.serving import deposits, error_code, receive_line, replies, serving
from holdfast.app.signals import SAME_SIGNAL_SECONDS

if TYPE_CHECKING:
    from pathlib import Path


def accounts_of(rows: int) -> bytes:
    """Write the accounts after so many deposits of one unit by client 1."""
    units = b"%d.%04d" % divmod(rows, 10_000)
    return OUTPUT_HEADER + b"1,%b,0.0000,%b,false\n" % (units, units)


def test_netcat_is_a_client(tmp_path: Path) -> None:
    """CSV in, end of input, one line out; the accounts are written when the server ends."""
    accounts = tmp_path / "accounts.csv"
    with serving(tmp_path, "-o", accounts) as server:
        (summary,) = server.exchange(HEADER + deposits(1, 1000) + b"nonsense\n")
        assert summary == {
            "rows": 1001,
            "applied": 1000,
            "refused": 1,
            "refused_by_code": {"MALFORMED_ROW": 1},
            "skipped": 0,
            "sequence": 1001,
        }
        assert "listening on 127.0.0.1:" in server.log.read_text()
        assert server.stop() == 0
    assert accounts.read_bytes() == accounts_of(1000)


def test_killed_sender(tmp_path: Path) -> None:
    """Of a sender that is killed in the middle of a row, whole rows stand; a named one goes on where it stood."""
    sender = """
        import socket, sys, time
        connection = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
        connection.sendall(b"#holdfast stream=a ack=rows\\ntype,client,tx,amount\\ndeposit,1,1,1\\ndeposit,1,2,1")
        while b"ack" not in connection.recv(1000):
            pass
        print("acknowledged", flush=True)
        time.sleep(60)
    """
    with serving(tmp_path) as server:
        process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(sender), str(server.port)], stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"acknowledged\n"
        process.kill()
        process.communicate(timeout=TIMEOUT_SECONDS)
        resume, summary = server.exchange(
            b"#holdfast stream=a\n" + HEADER + b"deposit,1,1,1\ndeposit,1,2,10\n"
        )
        assert resume["resume"] == 1
        assert (summary["rows"], summary["skipped"], summary["sequence"]) == (1, 1, 2)


def test_hostile_bytes(tmp_path: Path) -> None:
    """Senders of junk of all kinds, who leave in all kinds of ways, do nothing to a sender of rows."""
    source = random.Random(7)
    beginnings = [
        b"",
        b"#holdfast",
        b"#holdfast ",
        b"#holdfast stream=a\n",
        HEADER,
        b"\xff\xfe",
        b"\x16\x03\x01\x02\x00\x01",
    ]
    with serving(tmp_path) as server, server.connect(b"#holdfast ack=rows\n" + HEADER) as good:
        for number in range(150):
            junk = source.choice(
                [b"", b"\n", source.randbytes(source.randrange(3000)), b",,,\n" * 500, b"\0" * 9000]
            )
            bad = server.connect(source.choice(beginnings) + junk)
            if number % 3 == 0:
                bad.shutdown(socket.SHUT_WR)
                # One line at least, each of them of the protocol.
                assert all(isinstance(reply, dict) for reply in replies(bad))
            elif number % 3 == 1:
                bad.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            bad.close()
            good.sendall(deposits(number, 1))
            ack = json.loads(receive_line(good))
            assert ack["ack"] == number + 1
        good.shutdown(socket.SHUT_WR)
        assert replies(good)[-1]["applied"] == 150
        assert server.stop() == 0
    log = server.log.read_text()
    assert "Traceback" not in log
    assert "ERROR" not in log


def test_stop_under_load(tmp_path: Path) -> None:
    """Stopped while many send, the server tells each how far it got, and the accounts are exactly those rows."""
    accounts = tmp_path / "accounts.csv"
    told: dict[int, int] = {}

    def send(number: int, port: int, started: threading.Barrier) -> None:
        with socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(b"#holdfast stream=s%d\n" % number + HEADER)
            receive_line(connection)
            started.wait(TIMEOUT_SECONDS)
            with contextlib.suppress(OSError):
                for tx in range(number * 1_000_000, (number + 1) * 1_000_000, 50):
                    connection.sendall(deposits(tx, 50))
            (last,) = replies(connection)
            assert error_code(last) == "SHUTTING_DOWN"
            told[number] = int(str(last["rows"]))

    with serving(tmp_path, "-o", accounts, "--grace", "0.3") as server:
        started = threading.Barrier(9)
        threads = [threading.Thread(target=send, args=(number, server.port, started)) for number in range(8)]
        for thread in threads:
            thread.start()
        started.wait(TIMEOUT_SECONDS)
        time.sleep(0.2)
        assert server.stop(signal.SIGINT) == 0
        for thread in threads:
            thread.join(TIMEOUT_SECONDS)
    assert sorted(told) == list(range(8))
    assert all(told.values())
    assert accounts.read_bytes() == accounts_of(sum(told.values()))


def test_connections_may_finish_within_the_grace(tmp_path: Path) -> None:
    """A sender that is busy when the server is stopped, and ends in time, gets its summary."""
    with serving(tmp_path, "--grace", "20") as server, server.connect(HEADER) as connection:
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("stopping: 1 connections")
        with pytest.raises(OSError, match=r"."):
            server.connect()
        for tx in range(20):
            connection.sendall(deposits(tx, 1))
            time.sleep(0.05)
        connection.shutdown(socket.SHUT_WR)
        (summary,) = replies(connection)
        assert summary["rows"] == 20
        assert server.process.wait(10) == 0


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_second_signal_stops_at_once(number: int, code: int, tmp_path: Path) -> None:
    """Whoever cannot wait for the grace says so twice: nothing is written, and the exit code says why."""
    accounts = tmp_path / "accounts.csv"
    with serving(tmp_path, "-o", accounts, "--grace", "60") as server, server.connect(HEADER + b"dep"):
        server.process.send_signal(signal.SIGTERM)
        server.wait_for_log("stopping: ")
        time.sleep(2 * SAME_SIGNAL_SECONDS)
        assert server.stop(number) == code
    assert not accounts.exists()
    assert "Traceback" not in server.log.read_text()


def test_a_signal_that_is_sent_twice_is_one(tmp_path: Path) -> None:
    """``timeout`` sends it to the server and at once to its group: the accounts are written all the same."""
    accounts = tmp_path / "accounts.csv"
    with serving(tmp_path, "-o", accounts) as server:
        server.exchange(HEADER + deposits(0, 3))
        server.process.send_signal(signal.SIGTERM)
        assert server.stop(signal.SIGTERM) == 0
    assert accounts.read_bytes() == accounts_of(3)


def test_snapshots(tmp_path: Path) -> None:
    """SIGHUP takes a snapshot, and so does the end; the oldest files go."""
    pattern = tmp_path / "accounts-{sequence}.csv"
    with serving(tmp_path, "--snapshot", pattern, "--snapshot-keep", "2") as server:
        for number in range(3):
            server.exchange(HEADER + deposits(number * 10, 10))
            server.process.send_signal(signal.SIGHUP)
            server.wait_for_log(f"snapshot at row {number * 10 + 10}")
        server.exchange(HEADER + deposits(30, 10))
        assert server.stop() == 0
    found = sorted(path.name for path in tmp_path.glob("accounts-*"))
    assert found == ["accounts-30.csv", "accounts-40.csv"]
    assert (tmp_path / "accounts-40.csv").read_bytes() == accounts_of(40)


def test_periodic_snapshots(tmp_path: Path) -> None:
    """A snapshot is taken every so often, while a sender is connected."""
    target = tmp_path / "accounts.csv"
    options = ("--snapshot", target, "--snapshot-every", "0.1")
    with serving(tmp_path, *options) as server, server.connect(HEADER + deposits(1, 5)):
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not target.exists() or target.read_bytes() != accounts_of(5):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert server.stop() == 0


def test_statistics_on_request(tmp_path: Path) -> None:
    """SIGUSR1 logs all numbers, though the server is told to be quiet."""
    with serving(tmp_path, "-q", "--log-format", "json") as server:
        server.exchange(HEADER + deposits(1, 5) + b"x\n")
        server.exchange(b"x\n")
        server.process.send_signal(signal.SIGUSR1)
        log = server.wait_for_log("statistics")
        numbers = json.loads(log.splitlines()[-1])["statistics"]
        assert (numbers["durable"], numbers["refused"], numbers["accounts"]) == (6, 1, 1)
        assert (numbers["connections"], numbers["connections_accepted"]) == (0, 2)
        assert numbers["errors_by_code"] == {"BAD_HEADER": 1}


def test_status_is_logged(tmp_path: Path) -> None:
    """Every so often the log says how the server is doing."""
    with serving(tmp_path, "--status-every", "0.1") as server, server.connect(HEADER + deposits(1, 5)):
        server.wait_for_log("1 connections, 5 rows, ")


def test_descriptor_limit_is_told(tmp_path: Path) -> None:
    """Where the system does not allow as many files as there may be connections, the log says so, and how to change it."""
    limited = ("bash", "-c", 'ulimit -n 200; exec "$@"', "bash", sys.executable, "-m", "holdfast")
    with serving(tmp_path, command=limited) as server:
        server.wait_for_log("files for 72 connections, not for the 12000 of --connections-max")
        assert server.exchange(HEADER)[0]["rows"] == 0


def test_port_file_is_for_scripts(tmp_path: Path) -> None:
    """With several addresses the file has the port of each, in their order."""
    with serving(tmp_path, "--listen", "[::1]:0") as server:
        first, second = (tmp_path / "port").read_text().split()
        assert f"listening on 127.0.0.1:{first}" in server.wait_for_log(f"listening on [::1]:{second}")
        with socket.create_connection(("::1", int(second)), timeout=TIMEOUT_SECONDS) as connection:
            connection.sendall(HEADER)
            connection.shutdown(socket.SHUT_WR)
            assert replies(connection)[0]["rows"] == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--listen", "0.0.0.0:0"], "others than this machine could send there"),
        (["--listen", ":0"], "others than this machine could send there"),
        (["--listen", "7070"], "is not HOST:PORT"),
        (["--listen", "::1:7070"], "write an IPv6 address in brackets"),
        (["--listen", "127.0.0.1:70000"], "a port from 0 to 65,535"),
        (["--on-error", "panic"], "--on-error: 'panic' is no action"),
        (["--line-bytes-max", "1000"], "line_bytes_max is 1000, too little"),
        (["--connections-max", "0"], "connections_max is greater than 0"),
        (["--idle-seconds-max", "-1"], "'-1' is not a number of seconds"),
        (["--idle-seconds-max", "soon"], "'soon' is not a number of seconds"),
        (["--snapshot-every", "1"], "--snapshot says where"),
        (["--snapshot", "a.parquet"], "a snapshot is written as one of .csv"),
        (["--snapshot", "a.csv", "--snapshot-keep", "2"], "write {sequence}"),
        (["--tls-key", "key.pem"], "go with --tls-cert"),
        (["-o", "a.csv", "--snapshot", "a.csv"], "also the file of -o"),
        (["--rules", "strict"], "strict"),
    ],
)
def test_usage_errors(options: list[str], said: str) -> None:
    """What cannot be is refused before the server listens, with exit code 2."""
    result = run("serve", "--listen", "127.0.0.1:0", *options)
    assert (result.code, said in result.errors) == (2, True), result.errors


def test_insecure_says_so(tmp_path: Path) -> None:
    """An address that others can reach is listened on if somebody insists."""
    with serving(tmp_path, "--listen", "0.0.0.0:0", "--insecure") as server:
        server.wait_for_log("listening on 0.0.0.0:")


@pytest.mark.parametrize("option", ["--tokens", "--tls-cert"])
def test_files_that_cannot_be_read(option: str, tmp_path: Path) -> None:
    """A file that is not there is an error that names it."""
    missing = tmp_path / "missing"
    result = run("serve", "--listen", "127.0.0.1:0", option, missing)
    assert result.code == 1
    assert f"{missing}: No such file or directory" in result.errors


def test_address_that_is_taken() -> None:
    """An address that another process listens on is an error that names it."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("serve", "--listen", f"127.0.0.1:{port}")
    assert result.code == 1
    assert f"127.0.0.1:{port}: cannot listen there (Address already in use)" in result.errors


def test_token_command(tmp_path: Path) -> None:
    """The token that the command makes is good for the file that it makes, which others may not read."""
    tokens = tmp_path / "tokens"
    token = run("token", "orders/*", "--append", tokens).output.decode().strip()
    assert stat.S_IMODE(tokens.stat().st_mode) == 0o600
    printed = run("token").output.decode()
    with tokens.open("a") as file:
        file.write(printed.splitlines()[1].split(": ", maxsplit=1)[1] + " # printed\n")
    with serving(tmp_path, "--tokens", tokens) as server:
        first = f"#holdfast token={token} stream=orders/1\n".encode()
        assert server.exchange(first + HEADER)[0]["resume"] == 0
        anonymous = f"#holdfast token={printed.splitlines()[0].split()[1]}\n".encode()
        assert server.exchange(anonymous + HEADER)[0]["rows"] == 0


def test_tokens_are_read_again(tmp_path: Path) -> None:
    """SIGHUP lets new tokens in; a file with a mistake changes nothing."""
    tokens = tmp_path / "tokens"
    old = run("token", "*", "--append", tokens).output.decode().strip()
    with serving(tmp_path, "--tokens", tokens) as server:
        new = run("token", "*", "--append", tokens).output.decode().strip()
        ask = f"#holdfast token={new}\n".encode() + HEADER
        assert error_code(server.exchange(ask)[0]) == "UNAUTHORIZED"
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("read again")
        assert server.exchange(ask)[0]["rows"] == 0
        tokens.write_text("secret\n")
        server.process.send_signal(signal.SIGHUP)
        log = server.wait_for_log("stay as they were")
        assert "line 1 is not sha256:HEX PATTERN" in log
        assert "secret" not in log
        assert server.exchange(f"#holdfast token={old}\n".encode() + HEADER)[0]["rows"] == 0
