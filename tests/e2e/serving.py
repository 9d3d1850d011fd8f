"""Runs ``holdfast serve`` for tests, and speaks to it over real sockets."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from e2e.command import COMMAND, HEADER, TIMEOUT_SECONDS, start

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator
    from pathlib import Path


class Serving(NamedTuple):
    """A server that listens."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def connect(self, first: bytes = b"") -> socket.socket:
        """Open a connection, and send something at once."""
        connection = socket.create_connection(("127.0.0.1", self.port), timeout=TIMEOUT_SECONDS)
        connection.sendall(first)
        return connection

    def exchange(self, data: bytes) -> list[dict[str, object]]:
        """Send all there is to send, end the input, and give the replies."""
        with self.connect(data) as connection:
            connection.shutdown(socket.SHUT_WR)
            return replies(connection)

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Stop the server and give its exit code."""
        self.process.send_signal(number)
        return self.process.wait(TIMEOUT_SECONDS)

    def wait_for_log(self, text: str) -> str:
        """Wait until the log has a text; give the log."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while text not in (log := self.log.read_text()):
            assert time.monotonic() < deadline, log
            assert self.process.poll() is None, log
            time.sleep(0.01)
        return log


@contextmanager
def serving(
    directory: Path,
    *options: str | os.PathLike[str],
    command: tuple[str, ...] = COMMAND,
    stdout: int = subprocess.DEVNULL,
    stderr: int | None = None,
    pass_fds: tuple[int, ...] = (),
) -> Iterator[Serving]:
    """Start a server on a free port; end it if the test has not. Its log is a file, unless ``stderr`` says where it goes."""
    log, ports = directory / "serve.log", directory / "port"
    ports.unlink(missing_ok=True)
    arguments = ["serve", "--listen", "127.0.0.1:0", "--port-file", ports, "--grace", "2", *options]
    with log.open("wb") as errors:
        process = start(
            *arguments,
            stdout=stdout,
            stderr=errors if stderr is None else stderr,
            command=command,
            pass_fds=pass_fds,
        )
    try:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while not ports.exists():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.005)
        yield Serving(process, int(ports.read_text().splitlines()[0]), log)
    finally:
        process.kill()
        process.wait()


def receive_line(connection: socket.socket) -> bytes:
    """Receive one line and not a byte more; nothing at the end."""
    line = b""
    while not line.endswith(b"\n"):
        byte = connection.recv(1)
        if not byte:
            break
        line += byte
    return line


def receive_all(connection: socket.socket) -> bytes:
    """Receive up to the end."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def replies(connection: socket.socket) -> list[dict[str, object]]:
    """Receive up to the end, as JSON."""
    return [json.loads(line) for line in receive_all(connection).splitlines()]


def error_code(reply: dict[str, object]) -> str:
    """Give the code of an error line."""
    error = reply["error"]
    assert isinstance(error, dict)
    return str(error["code"])


def deposits(first_tx: int, count: int, client: int = 1) -> bytes:
    """Write deposits of one unit."""
    return b"".join(b"deposit,%d,%d,0.0001\n" % (client, tx) for tx in range(first_tx, first_tx + count))


__all__ = [
    "HEADER", "Serving", "deposits", "error_code", "receive_all", "receive_line", "replies", "serving",
]  # fmt: skip
