"""The other ends of the client's connections: scripted servers, a proxy that cuts, the real server in a process."""

from __future__ import annotations

import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from holdfast.client import Limits
from holdfast.domain.settings import Settings
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.protocol.messages import Resume, StreamSettings
from holdfast.protocol.wire import encode

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

HEADER = b"type,client,tx,amount\n"
TIMEOUT_SECONDS = 20.0
QUICK = Limits(
    connect_seconds_max=5.0,
    reply_seconds_max=5.0,
    retry_seconds_max=10.0,
    backoff_seconds=0.002,
    backoff_seconds_max=0.01,
    deadline_seconds=TIMEOUT_SECONDS,
)
"""Limits for tests: nothing waits long."""


def deposits(count: int, first: int = 1) -> bytes:
    """Give so many rows without a header."""
    return b"".join(b"deposit,%d,%d,%d.5\n" % (tx % 7, tx, tx % 13 + 1) for tx in range(first, first + count))


def rows_of(data: bytes) -> list[tuple[int, int, int, int, int]]:
    """Decode a stream."""
    decoder = CsvDecoder()
    batches = [*decoder.feed(data), decoder.finish()]
    return [
        row
        for batch in batches
        if batch is not None
        for row in zip(batch.types, batch.clients, batch.txs, batch.amounts, batch.outcomes, strict=True)
    ]


def digest_of(data: bytes, rows: int, settings: Settings = Settings()) -> int:  # noqa: B008  # a tuple
    """Give the digest of the first rows of a stream, one at a time."""
    decoder = CsvDecoder(settings)
    digest = before = 0
    for batch in [*decoder.feed(data), decoder.finish()]:
        if batch is not None:
            for row in range(min(batch.rows, rows - before)):
                digest += batch.digest(row, row + 1, before + row)
            before += batch.rows
    return digest % 2**64


def resume(rows: int, data: bytes = b"", **settings: int | str) -> bytes:
    """Give a server's first line for a stream of which it has so many rows of some data; no line end."""
    digest = digest_of(data, rows) if rows else 0
    return encode(Resume(rows, digest, StreamSettings()._replace(**settings))).rstrip()  # type: ignore[arg-type]  # as a test gives them


class Peer:
    """One connection of a scripted server, as its script sees it."""

    def __init__(self, connection: socket.socket) -> None:
        self._socket = connection
        self._file = connection.makefile("rb")

    def line(self) -> bytes:
        """Read a line."""
        return self._file.readline()

    def rest(self) -> bytes:
        """Read to the end."""
        return self._file.read()

    def say(self, *lines: bytes) -> None:
        """Write lines."""
        self._socket.sendall(b"".join(line + b"\n" for line in lines))

    def write(self, data: bytes) -> None:
        """Write bytes."""
        self._socket.sendall(data)

    def reset(self) -> None:
        """End the connection without a goodbye."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def close(self) -> None:
        """End the connection."""
        self._file.close()
        self._socket.close()


@contextmanager
def scripted(*scripts: Callable[[Peer], object]) -> Iterator[str]:
    """Serve one connection after the other, each by its script; give the address. What a script raises fails the test."""
    errors: list[BaseException] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(TIMEOUT_SECONDS)

        def serve() -> None:
            try:
                for script in scripts:
                    connection, _ = listener.accept()
                    connection.settimeout(TIMEOUT_SECONDS)
                    peer = Peer(connection)
                    try:
                        script(peer)
                    finally:
                        peer.close()
            except BaseException as error:  # noqa: BLE001  # raised again where the test sees it
                errors.append(error)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield f"127.0.0.1:{listener.getsockname()[1]}"
        finally:
            thread.join(TIMEOUT_SECONDS)
    assert not thread.is_alive()
    if errors:
        raise errors[0]


class CuttingProxy:
    """Passes bytes between a client and a server, and cuts some connections after a number of bytes.

    Args:
        target: The server's port.
        cuts: After how many bytes of the client's each connection is cut, one after the other; those that come
            later are left alone.
        seed: What decides how it is cut: closed or reset, before or after the server's last replies.
    """

    def __init__(self, target: int, cuts: list[int], seed: int) -> None:
        self._target = target
        self._cuts = list(cuts)
        self._random = random.Random(seed)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._stopped = False
        self._passing: list[threading.Thread] = []
        self.connections = 0
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        self._thread = threading.Thread(target=self._serve)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        for thread in [self._thread, *self._passing]:
            thread.join(TIMEOUT_SECONDS)
        self._listener.close()

    def _serve(self) -> None:
        while not self._stopped:
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            self.connections += 1
            cut = self._cuts.pop(0) if self._cuts else None
            passing = threading.Thread(target=self._pass_all, args=(client, cut))
            self._passing.append(passing)
            passing.start()

    def _pass_all(self, client: socket.socket, left: int | None) -> None:
        with client, suppress(OSError), socket.create_connection(("127.0.0.1", self._target)) as server:
            self._pass(client, server, left)

    def _pass(self, client: socket.socket, server: socket.socket, left: int | None) -> None:
        open_ends = [client, server]
        while open_ends and not self._stopped:
            for source in select.select(open_ends, [], [], 0.05)[0]:
                other = server if source is client else client
                data = source.recv(4096 if left is None else max(1, min(4096, left)))
                if not data:
                    open_ends.remove(source)
                    other.shutdown(socket.SHUT_WR)
                    continue
                other.sendall(data)
                if source is client and left is not None:
                    left -= len(data)
                    if left <= 0:
                        self._cut(client, server)
                        return

    def _cut(self, client: socket.socket, server: socket.socket) -> None:
        time.sleep(self._random.choice((0.0, 0.0, 0.02)))
        for end in (client, server):
            if self._random.random() < 0.5:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


class RealServer:
    """``holdfast serve`` in a process of its own.

    Args:
        folder: Where it writes.
        options: Its further options.
        port: Where it listens; any if not given.
    """

    def __init__(self, folder: os.PathLike[str], *options: str, port: int = 0) -> None:
        self._accounts = f"{folder}/served.csv"
        self._log = f"{folder}/served.log"
        port_file = f"{folder}/served.port"
        with suppress(FileNotFoundError):
            os.unlink(port_file)
        command = [sys.executable, "-m", "holdfast", "serve", "--listen", f"127.0.0.1:{port}"]
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [*command, "--port-file", port_file, "-o", self._accounts, "--grace", "0", *options],
                stderr=log,
            )
        self.port = self._wait_for_port(port_file)
        self.address = f"127.0.0.1:{self.port}"

    def stop(self) -> bytes:
        """Stop it; give the accounts that it ended with."""
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(TIMEOUT_SECONDS) == 0, self._said()
        with open(self._accounts, "rb") as file:
            return file.read()

    def kill(self) -> None:
        """End it at once, if it runs."""
        self._process.kill()
        self._process.wait()

    def _wait_for_port(self, port_file: str) -> int:
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while self._process.poll() is None and time.monotonic() < deadline:
            with suppress(OSError, ValueError), open(port_file, encoding="ascii") as file:
                return int(file.read())
            time.sleep(0.01)
        self.kill()
        raise AssertionError(self._said())

    def _said(self) -> str:
        with open(self._log, encoding="utf-8") as file:
            return file.read()


@contextmanager
def real_server(folder: os.PathLike[str], *options: str, port: int = 0) -> Iterator[RealServer]:
    """Run ``holdfast serve``; whatever happens, it is gone in the end."""
    server = RealServer(folder, *options, port=port)
    try:
        yield server
    finally:
        server.kill()
