"""``holdfast serve`` at the edges of its process: no descriptors left, a log that nobody reads, files that fail."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from e2e.command import COMMAND, HEADER, PLAIN_COMMAND, TIMEOUT_SECONDS
from e2e.serving import Serving, deposits, receive_line, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPS = ("asyncio", "uvloop")
LOG_LINES_MAX = 100


def limited(files: int) -> tuple[str, ...]:
    """Give the command for a process that may open so many files."""
    return ("bash", "-c", f'ulimit -n {files}; exec "$@"', "bash", *PLAIN_COMMAND)


@pytest.fixture(autouse=True)
def _loops(request: pytest.FixtureRequest) -> None:
    if getattr(request.node, "callspec", None) and "uvloop" in request.node.callspec.params.values():
        pytest.importorskip("uvloop")


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("files", [40, 200])
def test_more_connections_than_descriptors(loop: str, files: int, tmp_path: Path) -> None:
    """At the limit of files a sender that is connected is served, the log says so once, and others are served when some leave."""
    options = ("--loop", loop, "--handshake-seconds-max", "60")
    with serving(tmp_path, *options, command=limited(files)) as server:
        honest = server.connect(b"#holdfast ack=rows\n" + HEADER)
        crowd = [server.connect() for _ in range(2 * files)]
        for number in range(100):
            honest.sendall(deposits(number, 1))
            assert json.loads(receive_line(honest))["ack"] == number + 1
        if files == 40:
            log = server.wait_for_log("no connections are accepted (Too many open files)")
            assert log.count("no connections are accepted") == 1
        for connection in crowd:
            connection.close()
        honest.close()
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while "error" in (reply := _try_exchange(server)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert reply["rows"] == 0
        if files == 40:
            server.wait_for_log("connections are accepted again")
        assert server.stop() == 0
    log = server.log.read_text()
    assert len(log.splitlines()) <= LOG_LINES_MAX
    assert "ERROR" not in log


def _try_exchange(server: Serving) -> dict[str, object]:
    try:
        return server.exchange(HEADER)[0]
    except (OSError, IndexError):
        return {"error": "the connection was closed without a word"}


@contextmanager
def serving_into_a_pipe(tmp_path: Path, *options: str) -> Iterator[tuple[Serving, int]]:
    """Start a server whose standard error is a pipe with little room; give the pipe's other end too."""
    ports = tmp_path / "port"
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    command = [
        *COMMAND,
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--port-file",
        str(ports),
        "--grace",
        "1",
        *options,
    ]
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=write)
    os.close(write)
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not ports.exists():
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        yield Serving(process, int(ports.read_text()), tmp_path / "none"), read
    finally:
        process.kill()
        process.wait()
        os.close(read)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_log_reader_that_stands_still(loop: str, tmp_path: Path) -> None:
    """With a log that nobody reads the server serves, hears SIGTERM and writes its accounts; the exit code says what is lost."""
    accounts = tmp_path / "accounts.csv"
    with serving_into_a_pipe(tmp_path, "-v", "--loop", loop, "-o", str(accounts)) as (server, _):
        for number in range(200):
            assert server.exchange(HEADER + deposits(number, 1))[0]["applied"] == 1
        assert server.stop(signal.SIGTERM) == 1
    assert accounts.read_text().splitlines()[1].startswith("1,0.0200,")


def test_a_log_reader_that_goes_on(tmp_path: Path) -> None:
    """What was queued for a reader that stood still arrives when it reads again, in order, and each line is whole."""
    with serving_into_a_pipe(tmp_path, "-v", "--log-format", "json") as (server, read):
        for number in range(100):
            server.exchange(HEADER + deposits(number, 1))
        server.process.send_signal(signal.SIGTERM)
        text = b""
        while piece := os.read(read, 65_536):
            text += piece
        assert server.process.wait(TIMEOUT_SECONDS) == 0
    messages = [json.loads(line)["message"] for line in text.splitlines()]
    assert sum("connection lost after 1 rows" in message for message in messages) == 100
    assert messages[-1].startswith("stopped: 0 connections, 100 rows")


@pytest.mark.parametrize(
    ("options", "warns"),
    [((), True), (("-o", "accounts.csv"), False), (("--snapshot", "accounts-{sequence}.csv"), False)],
)
def test_a_server_that_forgets_says_so(options: tuple[str, ...], *, warns: bool, tmp_path: Path) -> None:
    """Without a file for the accounts the log begins with a warning that they are lost at the end."""
    options = tuple(str(tmp_path / each) if each.endswith(".csv") else each for each in options)
    with serving(tmp_path, *options) as server:
        log = server.wait_for_log("listening on")
        assert ("are lost when this server ends" in log) is warns
        assert server.stop() == 0


@pytest.mark.parametrize("option", ["--tokens", "--tls-cert"])
def test_a_fifo_is_no_file_of_secrets(option: str, tmp_path: Path) -> None:
    """At the start, too, a FIFO is refused at once, with what to do."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    command = [*PLAIN_COMMAND, "serve", "--listen", "127.0.0.1:0", option, str(fifo)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 1
    assert f"{fifo}: this is not a regular file; name a file that can be read again" in done.stderr


def test_connections_beyond_the_limit_learn_it(tmp_path: Path) -> None:
    """A few connections beyond the limit are told why they may not stay; a flood of them costs the log nothing."""
    with serving(
        tmp_path, "--connections-max", "2", "--linger-seconds-max", "30", command=PLAIN_COMMAND
    ) as server:
        kept = [server.connect(b"#holdfast ack=rows\n" + HEADER) for _ in range(2)]
        kept[0].sendall(deposits(1, 1))
        receive_line(kept[0])
        beyond = [server.connect() for _ in range(300)]
        first = json.loads(receive_line(beyond[0]))
        assert first["error"]["code"] == "TOO_MANY_CONNECTIONS"
        with socket.create_connection(("127.0.0.1", server.port), timeout=TIMEOUT_SECONDS) as last:
            assert _end_of(last)
        for number in range(50):
            kept[1].sendall(deposits(100 + number, 1))
            assert json.loads(receive_line(kept[1]))["ack"] == number + 1
        server.process.send_signal(signal.SIGUSR1)
        log = server.wait_for_log("connections_turned_away")
        assert json.loads(log.partition("statistics ")[2].splitlines()[0])["connections_turned_away"] > 200
        for each in (*kept, *beyond):
            each.close()
    assert len(server.log.read_text().splitlines()) <= LOG_LINES_MAX


def _end_of(connection: socket.socket) -> bool:
    """Whether a connection was closed without a word."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True
