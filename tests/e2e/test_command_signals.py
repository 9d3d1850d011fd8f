"""Signals while a slow sender feeds the command: what stands then, what it leaves behind, how long it takes."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from commands import wait_until_blocked
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
    """SIGTERM in mid-run: -o has the old file or, with a snapshot, a new one with the others beside it."""
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
    written = target.read_bytes()
    if not options:
        assert [path.name for path in tmp_path.iterdir()] == ["o.csv"]
        assert written == b"old"
        return
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "r.csv", "s.json"]
    assert rows_in(written) >= ROWS_BEFORE
    assert written == accounts(rows_in(written))
    assert [line.rpartition(b",")[2] for line in rejects.read_bytes().splitlines()] == [b"row", b'"nonsense"']
    report = json.loads(summary.read_text())
    assert (report["rows"], report["applied"]) == (rows_in(written) + 1, rows_in(written))


def write_many_accounts(path: Path) -> bytes:
    """Write deposits for more clients than a pipe takes the accounts of; give the accounts."""
    clients = range(20_000)
    path.write_bytes(HEADER + b"".join(b"deposit,%d,%d,1\n" % (client, client) for client in clients))
    return OUTPUT_HEADER + b"".join(b"%d,1.0000,0.0000,1.0000,false\n" % client for client in clients)


def start_and_block(*arguments: str | Path) -> subprocess.Popen[bytes]:
    """Start the command and wait until it writes accounts and nobody reads on."""
    process = start(*arguments, command=PLAIN_COMMAND)
    assert process.stdout is not None
    select.select([process.stdout], [], [], TIMEOUT_SECONDS)
    wait_until_blocked(process)
    return process


def test_a_snapshot_that_is_being_written_is_finished(tmp_path: Path) -> None:
    """A signal while the accounts are written to a slow reader cuts nothing, and the exit code still tells of it."""
    source, summary = tmp_path / "t.csv", tmp_path / "s.json"
    expected = write_many_accounts(source)
    process = start_and_block(source, "--snapshot-on-signal", "--json-summary", summary)
    process.send_signal(signal.SIGTERM)
    assert finish(process) == (143, expected, "")
    assert json.loads(summary.read_text())["accounts"] == expected.count(b"\n") - 1


def test_without_a_snapshot_writing_stops(tmp_path: Path) -> None:
    """Nobody asked for the rest, so a reader who does not read is not waited for."""
    source, summary = tmp_path / "t.csv", tmp_path / "s.json"
    expected = write_many_accounts(source)
    process = start_and_block(source, "--json-summary", summary)
    assert stop(process, signal.SIGTERM) < 5
    code, output, errors = finish(process)
    assert (code, errors) == (143, "")
    assert len(output) < len(expected)
    assert expected.startswith(output)
    assert not summary.exists()


def test_a_second_signal_ends_a_snapshot_that_nobody_reads(tmp_path: Path) -> None:
    """Whoever asks twice does not want to wait."""
    source = tmp_path / "t.csv"
    write_many_accounts(source)
    process = start_and_block(source, "--snapshot-on-signal")
    process.send_signal(signal.SIGINT)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(0.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(TIMEOUT_SECONDS) == -signal.SIGINT
    assert finish(process).errors == ""


def test_rejects_that_are_read_slowly_are_whole_with_a_snapshot(tmp_path: Path) -> None:
    """A signal while rejects block in a pipe: they, the accounts and the summary tell of the same rows."""
    source, fifo, summary = tmp_path / "t.csv", tmp_path / "fifo", tmp_path / "s.json"
    source.write_bytes(HEADER + b"deposit,1,1,1\n" + b"nonsense\n" * 200_000)
    os.mkfifo(fifo)
    outputs = ("--rejects", fifo, "--json-summary", summary)
    process = start(source, "--snapshot-on-signal", *outputs, command=PLAIN_COMMAND)
    with fifo.open("rb") as reader:
        select.select([reader], [], [], TIMEOUT_SECONDS)
        wait_until_blocked(process)
        process.send_signal(signal.SIGTERM)
        listed = reader.read().count(b"MALFORMED_ROW")
    assert finish(process) == (143, OUTPUT_HEADER + b"1,1.0000,0.0000,1.0000,false\n", "")
    report = json.loads(summary.read_text())
    assert 0 < listed < 200_000
    assert (report["refused"], report["applied"]) == (listed, 1)


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
