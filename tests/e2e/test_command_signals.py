"""Signals while a slow sender feeds the command: what stands then, what it leaves behind, how long it takes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from e2e.command import HEADER, OUTPUT_HEADER, PLAIN_COMMAND, TIMEOUT_SECONDS, finish, start

if TYPE_CHECKING:
    from pathlib import Path

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
CLIENTS = 3
ROWS_BEFORE = 300


def row(tx: int) -> bytes:
    """Write a deposit of one unit; clients take turns."""
    return b"deposit,%d,%d,0.0001\n" % (tx % CLIENTS, tx)


def accounts(rows: int) -> bytes:
    """Write the accounts that so many rows come to."""
    lines = []
    for client in range(min(rows, CLIENTS)):
        units = len(range(client, rows, CLIENTS))
        lines.append(b"%d,0.%04d,0.0000,0.%04d,false\n" % (client, units, units))
    return OUTPUT_HEADER + b"".join(lines)


def rows_in(output: bytes) -> int:
    """Say how many rows accounts stand for."""
    return sum(round(float(line.split(b",")[1]) * 10_000) for line in output.splitlines()[1:])


class Feed:
    """Sends rows for as long as somebody reads them: many at once, then one every few milliseconds."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        stdin = self._process.stdin
        assert stdin is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(HEADER + b"".join(row(tx) for tx in range(ROWS_BEFORE)) + b"nonsense\n")
            stdin.flush()
            for tx in range(ROWS_BEFORE, 9_999):
                if self._stopped.wait(0.003):
                    return
                stdin.write(row(tx))
                stdin.flush()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join(TIMEOUT_SECONDS)
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()
        self._process.stdin = None


def wait_for_rows(process: subprocess.Popen[bytes]) -> None:
    """Wait until the first rows were decided: the bad row behind them is logged then."""
    assert process.stderr is not None
    assert b"MALFORMED_ROW" in process.stderr.readline()


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> float:
    """Send a signal and wait for the end; give the seconds in between."""
    before = time.monotonic()
    process.send_signal(number)
    process.wait(TIMEOUT_SECONDS)
    return time.monotonic() - before


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_snapshot_on_signal(number: signal.Signals, code: int) -> None:
    """The accounts are complete and valid, of all rows up to some point not before the last one seen."""
    process = start("-v", "--snapshot-on-signal", "-", stdin=subprocess.PIPE, command=PLAIN_COMMAND)
    with Feed(process):
        wait_for_rows(process)
        seconds = stop(process, number)
    result = finish(process)
    print(f"{number.name}: {seconds * 1000:.0f} ms")
    assert result.code == code
    assert rows_in(result.output) >= ROWS_BEFORE
    assert result.output == accounts(rows_in(result.output))
    assert result.errors == ""
    assert seconds < 1.0


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_without_a_snapshot_there_is_nothing(number: signal.Signals, code: int) -> None:
    """Nobody asked for half the accounts, so there are none."""
    process = start("-v", "-", stdin=subprocess.PIPE, command=PLAIN_COMMAND)
    with Feed(process):
        wait_for_rows(process)
        seconds = stop(process, number)
    assert finish(process) == (code, b"", "")
    assert seconds < 1.0


@pytest.mark.parametrize("options", [(), ("--snapshot-on-signal",)])
def test_files_are_whole_or_untouched(options: tuple[str, ...], tmp_path: Path) -> None:
    """SIGTERM in mid-run: -o has the old file or, with a snapshot, a complete new one; no other file is left."""
    target, rejects, summary = (tmp_path / name for name in ("o.csv", "r.csv", "s.json"))
    target.write_bytes(b"old")
    outputs = ("-o", target, "--rejects", rejects, "--json-summary", summary)
    process = start("-v", "-", *options, *outputs, stdin=subprocess.PIPE)
    with Feed(process):
        wait_for_rows(process)
        # The rejects are being written under another name by now.
        assert any(path.name.endswith(".tmp") for path in tmp_path.iterdir())
        stop(process, signal.SIGTERM)
    assert finish(process) == (143, b"", "")
    assert [path.name for path in tmp_path.iterdir()] == ["o.csv"]
    written = target.read_bytes()
    if options:
        assert rows_in(written) >= ROWS_BEFORE
        assert written == accounts(rows_in(written))
    else:
        assert written == b"old"


def test_a_signal_before_any_input() -> None:
    """A sender that never says anything can be left; the snapshot has no accounts."""
    process = start("-vv", "--snapshot-on-signal", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(HEADER + b"nonsense\n")
    process.stdin.flush()
    wait_for_rows(process)
    assert stop(process, signal.SIGTERM) < 5
    assert finish(process) == (143, OUTPUT_HEADER, "")


def test_blank_lines_without_end_can_be_stopped() -> None:
    """Input that holds no rows at all is no reason not to listen."""
    process = start("-v", "-", stdin=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(HEADER + b"nonsense\n")
    process.stdin.flush()
    wait_for_rows(process)
    feeder = subprocess.Popen(["yes", ""], stdout=process.stdin, stderr=subprocess.DEVNULL)
    process.stdin.close()
    process.stdin = None
    try:
        assert stop(process, signal.SIGTERM) < 5
    finally:
        feeder.kill()
        feeder.wait(TIMEOUT_SECONDS)
    assert finish(process) == (143, b"", "")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("arguments", [("check", "-v"), ("explain", "--tx", "1")])
def test_other_commands_are_stopped_as_well(
    arguments: tuple[str, ...], number: signal.Signals, code: int, tmp_path: Path
) -> None:
    """Check and explain end with the signal's code and say nothing."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    process = start(*arguments, fifo, command=PLAIN_COMMAND)
    # Opening succeeds when the command has opened the other end.
    with fifo.open("wb", buffering=0) as feed:
        feed.write(HEADER + row(1))
        assert stop(process, number) < 5
    assert finish(process) == (code, b"", "")
