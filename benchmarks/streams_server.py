"""A server in its own process, observed from outside: its CPU time, its memory, and when it is done."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from typing import TYPE_CHECKING, NamedTuple, Self

from benchmarks import ROOT
from benchmarks.load_generator import Load
from benchmarks.load_target import Target, allow_files
from benchmarks.measure import CommandError, holdfast_command
from benchmarks.workloads import header
from holdfast.protocol.messages import Ack, Directive
from holdfast.protocol.wire import format_directive, parse_reply

if TYPE_CHECKING:
    from collections.abc import Sequence
    from types import TracebackType

    from benchmarks.load_rows import StreamRows
    from benchmarks.load_statistics import LoadReport

CONNECTIONS = (1, 10, 100, 1_000, 10_000)
CONNECTIONS_QUICK = (1, 100)
SECONDS_MAX = 60.0

_FILES_MAX = 12_000
_START_SECONDS_MAX = 20.0
_START_SAMPLE_SECONDS = 0.005
_QUIET_SECONDS = 0.05
# A server's regular work for open connections takes less.
_BUSY_SHARE = 0.2
# It is refused, changes nothing, and is counted.
_PROBE_ROW = b"dispute,0,0,\n"


class Server:
    """``holdfast serve`` on a port of its own choice, until the end of the ``with``.

    Args:
        options: What to say to it beside where to listen.
        files_max: How many files the system lets it open; as many as this process may if not given.
        token: What this process proves itself with, if the server wants a token.
        command: The program to run in place of ``holdfast``.

    Raises:
        CommandError: If it does not start, or did not end well.
    """

    def __init__(
        self,
        *options: str,
        files_max: int | None = None,
        token: str | None = None,
        command: Sequence[str] | None = None,
    ) -> None:
        allow_files(_FILES_MAX)
        self._directory = tempfile.TemporaryDirectory()
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed at the end of the with
        self._port_file = os.path.join(self._directory.name, "port")
        listening = ["--listen", "127.0.0.1:0", "--port-file", self._port_file]
        command = [
            *(command or holdfast_command()),
            "serve",
            *listening,
            "--status-every",
            "0",
            "--loop",
            "asyncio",
            *options,
        ]
        if files_max is not None:
            command = ["bash", "-c", f'ulimit -n {files_max}; exec "$@"', "bash", *command]
        self._token = token
        self._process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self._log, stderr=self._log, cwd=ROOT
        )
        self.port = 0

    def __enter__(self) -> Self:
        deadline = time.monotonic() + _START_SECONDS_MAX
        while not (port := self._read_port()):
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._said().decode(errors="replace").strip()
                self._stop()
                raise CommandError(f"holdfast serve did not start: {said[-500:] or 'it says nothing'}")
            time.sleep(_START_SAMPLE_SECONDS)
        self.port = port
        self._probe = socket.create_connection(("127.0.0.1", port), SECONDS_MAX)
        self._probe_replies = self._probe.makefile("rb")
        self._probe.sendall(format_directive(Directive(wants_acks=True, token=self._token)) + header())
        self._probes = 0
        self.settle()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        said = self._stop()
        if error is None and self._process.returncode:
            raise CommandError(
                f"holdfast serve failed with exit code {self._process.returncode}: {said[-500:]}"
            )

    def cpu_seconds(self) -> float:
        """Give the CPU seconds of all its threads so far, user and system."""
        # The clock of another process has this number, as clock_getcpuclockid(3) gives it.
        return time.clock_gettime((~self._process.pid << 3) | 2)

    def memory_bytes(self, *, peak: bool = False) -> int:
        """Give its memory now, or its peak."""
        name = "VmHWM" if peak else "VmRSS"
        with open(f"/proc/{self._process.pid}/status", encoding="ascii") as file:
            return next(int(line.split()[1]) * 1024 for line in file if line.startswith(name))

    def log_lines(self) -> int:
        """Count the lines that it has logged."""
        with os.fdopen(os.dup(self._log.fileno()), "rb") as file:
            file.seek(0)
            return sum(1 for _ in file)

    def decided(self) -> int:
        """Ask how many rows it has decided, over a separate connection, without the rows of that connection."""
        self._probe.sendall(_PROBE_ROW)
        self._probes += 1
        while True:
            reply = parse_reply(self._probe_replies.readline())
            if not isinstance(reply, Ack):
                raise CommandError(f"holdfast serve answers a row with {reply}")
            if reply.rows == self._probes:
                return reply.sequence - self._probes

    def wait_for(self, rows: int) -> None:
        """Wait until it has decided this many rows.

        Raises:
            CommandError: If it does not get there.
        """
        deadline = time.monotonic() + SECONDS_MAX
        while (decided := self.decided()) < rows:
            if time.monotonic() > deadline:
                raise CommandError(f"holdfast serve has decided {decided} of {rows} rows")

    def settle(self) -> None:
        """Wait until it has next to nothing to do."""
        deadline = time.monotonic() + SECONDS_MAX
        cpu = self.cpu_seconds()
        while time.monotonic() < deadline:
            time.sleep(_QUIET_SECONDS)
            before, cpu = cpu, self.cpu_seconds()
            if cpu - before < _BUSY_SHARE * _QUIET_SECONDS:
                return

    def _read_port(self) -> int:
        try:
            with open(self._port_file, encoding="ascii") as file:
                line = file.readline()
        except FileNotFoundError:
            return 0
        return int(line) if line.endswith("\n") else 0

    def _said(self) -> bytes:
        return os.pread(self._log.fileno(), 65_536, 0)

    def _stop(self) -> str:
        if self.port:
            self._probe_replies.close()
            self._probe.close()
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(SECONDS_MAX)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
        said = self._said().decode(errors="replace")
        self._log.close()
        self._directory.cleanup()
        return said


class Cost(NamedTuple):
    """What one load cost a server."""

    seconds: float
    """From the first row sent to the last one decided."""
    cpu_seconds: float
    """CPU seconds of the server in that time."""
    cpu_seconds_beside: float
    """CPU seconds of the server for opening and ending the connections."""
    memory_bytes: int
    """Peak memory of the server."""
    report: LoadReport
    """The senders' report."""


def put(server: Server, rows: StreamRows, *, acks: bool = False) -> Cost:
    """Send everything as fast as possible; opening and ending connections are counted separately.

    Raises:
        CommandError: If a row was lost, or a connection.
    """
    target = Target("127.0.0.1", server.port, wants_acks=acks)
    with Load(rows, target) as load:
        first = server.cpu_seconds()
        load.open()
        server.settle()
        decided = server.decided()
        opened, begin = server.cpu_seconds(), time.perf_counter()
        load.send_all(SECONDS_MAX)
        server.wait_for(decided + rows.rows)
        end, sent = time.perf_counter(), server.cpu_seconds()
        memory_bytes = server.memory_bytes(peak=True)
        load.end(SECONDS_MAX)
        server.settle()
        ended = server.cpu_seconds()
    check(load.report)
    return Cost(end - begin, sent - opened, ended - sent + opened - first, memory_bytes, load.report)


def check(report: LoadReport) -> None:
    """Compare the rows that the server decided with those that were sent.

    Raises:
        CommandError: If a row was lost, or a connection.
    """
    errors = dict(+report.errors)
    if errors or report.rows_decided != report.rows:
        raise CommandError(
            f"of {report.rows} rows {report.rows_decided} were decided; connections ended by {errors}"
        )


def connections_of(*, quick: bool) -> tuple[int, ...]:
    """Give the numbers of connections to measure."""
    return CONNECTIONS_QUICK if quick else CONNECTIONS


def says(connections: int) -> str:
    """Write a number of connections."""
    return f"{connections:,} connection{'s' * (connections > 1)}"


def python_command(module: str, *arguments: str) -> list[str]:
    """Give the command that runs a module of the benchmarks in a process of its own."""
    return [sys.executable, "-m", module, *arguments]
