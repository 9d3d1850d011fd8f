"""How long does an honest sender wait for its acks, and what does a connection cost, while others do their worst?"""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from benchmarks import ROOT
from benchmarks.bars import ALL_KINDS
from benchmarks.hostile_senders import KINDS
from benchmarks.load_statistics import Percentiles
from benchmarks.measure import CommandError, median
from benchmarks.report import Figure
from benchmarks.streams_server import SECONDS_MAX, Server, python_command
from benchmarks.workloads import header
from holdfast.protocol.messages import Ack, Directive
from holdfast.protocol.wire import format_directive, parse_reply

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Effort

_CONNECTIONS = 1_000
_CONNECTIONS_QUICK = 50
_SECONDS = 5.0
_SECONDS_QUICK = 0.3
_REPEATS_MAX = 3
_BATCH_ROWS = 10
# Acks of a connection are 10 ms apart at least: at this pace none has to wait for that, nor for a former one that was late.
_PERIOD_SECONDS = 0.05
_TOKENS = 20_000
_FILES_MAX = 1_024
_FILES_MAX_QUICK = 200
_CONNECTIONS_BEYOND_FILES = 1.5
_TOKEN = "honest"  # noqa: S105  # of a server that lives for seconds

_STANDING = frozenset({"slow", "unread acks", "unread refusals", "tiny rows", "half handshakes"})
"""Kinds whose connections stay open: what each of them costs can be measured."""


class Outcome(NamedTuple):
    """What one run came to."""

    latencies: Percentiles
    connection_bytes: float
    log_lines: int


def answer(effort: Effort) -> Iterator[Figure]:
    """Send ten rows every 50 ms on one connection while hostile senders are at work, of one kind after the other."""
    slowest, dearest, log_lines = 0.0, 0.0, 0
    loops = [loop for loop in ("asyncio", "uvloop") if find_spec(loop) is not None]
    for number, loop in enumerate(loops):
        # Quick, each kind is tried on one of the loops.
        for kind in list(KINDS)[number :: len(loops)] if effort.quick else KINDS:
            outcomes = [measure(kind, loop, effort) for _ in range(min(effort.repeats, _REPEATS_MAX))]
            what = f"{kind}, {loop}: ack latency of an honest sender"
            latest = median(each.latencies.max for each in outcomes)
            yield Figure(f"{what}, p99", median(each.latencies.p99 for each in outcomes) * 1e3, "ms")
            yield Figure(f"{what}, slowest", latest * 1e3, "ms", bar="hostile-ack")
            slowest = max(slowest, latest)
            log_lines = max(log_lines, *(each.log_lines for each in outcomes))
            if kind in _STANDING:
                cost = median(each.connection_bytes for each in outcomes)
                dearest = max(dearest, cost)
                yield Figure(f"{kind}, {loop}: a connection", cost / 1024, "KiB")
    yield Figure(f"{ALL_KINDS}: ack latency, slowest", slowest * 1e3, "ms", bar="hostile-ack")
    yield Figure(f"{ALL_KINDS}: a connection, at most", dearest / 1024, "KiB", bar="hostile-connection")
    yield Figure(f"{ALL_KINDS}: lines in the server's log, at most", log_lines, "lines", bar="hostile-log")


def measure(kind: str, loop: str, effort: Effort) -> Outcome:
    """Let one kind of hostile senders loose on a server, and look at an honest one.

    Raises:
        CommandError: If the server does not answer, or the senders do not run.
    """
    seconds = _SECONDS_QUICK if effort.quick else _SECONDS
    connections = _CONNECTIONS_QUICK if effort.quick else _CONNECTIONS
    files_max = None
    if kind == "descriptors":
        files_max = _FILES_MAX_QUICK if effort.quick else _FILES_MAX
        connections = round(files_max * _CONNECTIONS_BEYOND_FILES)
    with tempfile.TemporaryDirectory() as directory:
        options = ["--loop", loop, "--handshake-seconds-max", "1"]
        token = None
        if kind == "token guesses":
            token = _TOKEN
            options += ["--tokens", _write_tokens(directory)]
        with Server(*options, files_max=files_max, token=token) as server:
            before = server.memory_bytes()
            sender = HonestSender(server.port, token)
            command = python_command(
                "benchmarks.hostile_senders", kind, str(server.port), str(connections), str(seconds)
            )
            with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT) as hostile:
                try:
                    latencies = sender.send_while(hostile)
                finally:
                    hostile.kill()
            sender.close()
            if hostile.returncode != 0:
                raise CommandError(f"the hostile senders ended with exit code {hostile.returncode}")
            grown = server.memory_bytes(peak=True) - before
            return Outcome(Percentiles.of(latencies), grown / connections, server.log_lines())


class HonestSender:
    """Sends a few rows at a time on a schedule, and waits for the ack of each.

    Args:
        port: Where the server listens.
        token: What it proves itself with, if anything.
    """

    def __init__(self, port: int, token: str | None) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket.sendall(format_directive(Directive(wants_acks=True, token=token)) + header())
        self._replies = self._socket.makefile("rb")
        self._rows = 0

    def send_while(self, process: subprocess.Popen[bytes]) -> list[float]:
        """Send until a process ends.

        Returns:
            Of each batch the seconds from when it was due to its ack.
        """
        latencies = []
        due = time.monotonic()
        while process.poll() is None:
            time.sleep(max(0.0, due - time.monotonic()))
            self._send_batch()
            latencies.append(time.monotonic() - due)
            due += _PERIOD_SECONDS
        return latencies

    def close(self) -> None:
        """Leave."""
        self._replies.close()
        self._socket.close()

    def _send_batch(self) -> None:
        rows = range(self._rows + 1, self._rows + _BATCH_ROWS + 1)
        self._socket.sendall(b"".join(b"deposit,1,%d,1\n" % row for row in rows))
        self._rows += _BATCH_ROWS
        while True:
            reply = parse_reply(self._replies.readline())
            if not isinstance(reply, Ack):
                raise CommandError(f"holdfast serve answers an honest sender with {reply}")
            if reply.rows >= self._rows:
                return


def _write_tokens(directory: str) -> str:
    path = os.path.join(directory, "tokens")
    with open(path, "w", encoding="ascii") as file:
        for number in range(_TOKENS - 1):
            digest = hashlib.sha256(b"%d" % number).hexdigest()
            print(f"sha256:{digest} orders/{number}/*/paid", file=file)
        file.write(f"sha256:{hashlib.sha256(_TOKEN.encode()).hexdigest()} *\n")
    os.chmod(path, 0o600)
    return path
