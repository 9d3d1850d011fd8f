"""Outputs of a job: signals, descriptors, and failures that cost no other output."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING

import pytest

from commands import finish, run, start, wait_until_blocked, wait_until_ready

if TYPE_CHECKING:
    from pathlib import Path


def test_a_full_device_is_said_once() -> None:
    """A device is written through; when it is full, one line names it."""
    job = """
        def job(runner):
            with runner.output("/dev/full") as file:
                file.write(b"x")
            return 0
    """
    assert run(job) == (1, b"", "holdfast: /dev/full: No space left on device\n")


def test_a_size_limit_leaves_what_was_there(tmp_path: Path) -> None:
    """A regular file that cannot grow any further is removed, and the former one kept."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    job = """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        def job(runner):
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
            with runner.output(sys.argv[1]) as file:
                for _ in range(10):
                    file.write(b"x" * 100_000)
            return 0
    """
    assert run(job, str(target)) == (1, b"", f"holdfast: {target}: File too large\n")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_signal_removes_the_temporary_file(tmp_path: Path) -> None:
    """A job stopped by SIGTERM half-way leaves the former file and no other."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    job = """
        def job(runner):
            with runner.output(sys.argv[1]) as file:
                file.write(b"x" * 1_000_000)
                os.write(1, b"ready\\n")
                with runner.interruptible():
                    os.read(0, 1)
            return 0
    """
    process = start(job, str(target), stdin=subprocess.PIPE)
    wait_until_ready(process)
    assert len(list(tmp_path.iterdir())) == 2
    process.terminate()
    assert process.wait(30) == 143
    assert finish(process) == (143, b"", "")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_signal_ends_the_wait_for_a_fifos_reader(tmp_path: Path) -> None:
    """Opening a named pipe that nobody reads blocks; a signal ends that too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    job = """
        def job(runner):
            os.write(1, b"ready\\n")
            with runner.output(sys.argv[1]) as file:
                file.write(b"x")
            return 0
    """
    process = start(job, str(fifo))
    wait_until_ready(process)
    wait_until_blocked(process)
    process.terminate()
    assert finish(process) == (143, b"", "")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_inherited_descriptors_are_appended_to(tmp_path: Path, name: str) -> None:
    """/dev/stdout redirected to a file goes on where others left off and does not replace the file."""
    target = tmp_path / "file"
    job = """
        def job(runner):
            os.write(1, b"before,")
            with runner.output(sys.argv[1]) as file:
                file.write(b"between,")
            os.write(1, b"after")
            return 0
    """
    with target.open("wb") as file:
        assert finish(start(job, name, stdout=file)) == (0, b"", "")
    assert target.read_bytes() == b"before,between,after"


def test_a_whole_output_is_not_cut_by_a_signal(tmp_path: Path) -> None:
    """A slow reader of a FIFO gets all of it where that is asked for; the job hears of the signal behind it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    job = """
        def job(runner):
            with runner.output(sys.argv[1], whole=True) as file:
                os.write(1, b"ready\\n")
                file.write(b"x" * 1_000_000)
            runner.check()
    """
    process = start(job, str(fifo))
    with fifo.open("rb") as reader:
        wait_until_ready(process)
        wait_until_blocked(process)
        process.terminate()
        assert reader.read() == b"x" * 1_000_000
    assert finish(process) == (143, b"", "")


def test_a_write_to_a_file_is_not_torn_by_a_signal(tmp_path: Path) -> None:
    """A file on disk waits for nobody: a signal that came before the write is heard at the next check only."""
    target = tmp_path / "accounts.csv"
    job = """
        def job(runner):
            with runner.output(sys.argv[1]) as file:
                os.kill(os.getpid(), signal.SIGTERM)
                file.write(b"x" * 1_000_000)
            runner.check()
    """
    assert run(job, str(target)) == (143, b"", "")
    assert target.read_bytes() == b"x" * 1_000_000


def test_nothing_is_written_after_an_interrupted_write(tmp_path: Path) -> None:
    """How much of an interrupted write got through is unknown: a job that goes on anyway is stopped again."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    job = """
        def job(runner):
            with runner.output(sys.argv[1]) as file:
                os.write(1, b"ready\\n")
                try:
                    file.write(b"x" * 1_000_000)
                except Interrupted:
                    file.write(b"y" * 1_000_000)
            return 0
    """
    process = start(job, str(fifo))
    wait_until_ready(process)
    wait_until_blocked(process)
    process.terminate()
    assert process.wait(30) == 143
    received = b"".join(iter(lambda: os.read(reader, 65_536), b""))
    os.close(reader)
    assert finish(process)[2] == ""
    assert set(received) == {ord("x")}


FAILING = """
        def job(runner):
            with runner.output("/dev/full") as first, runner.output(sys.argv[1]) as second:
                for _ in range(10):
                    first.write(b"x" * 100_000)
                    second.write(b"y" * 100_000)
            with runner.output(sys.argv[1] + "/below") as third:
                third.write(b"z")
            runner.stdout.write(b"%d%d%d" % (first.has_failed, second.has_failed, third.has_failed))
"""


@pytest.mark.parametrize(
    ("end", "code"),
    [
        ("return 0", 1),
        ("return 3", 3),
        ("raise JobError('no', exit_code=1)", 1),
        ("raise SystemExit(2)", 2),
        ("runner.stdout.flush(); os.kill(os.getpid(), signal.SIGTERM); runner.check()", 143),
    ],
)
def test_failed_outputs_cost_no_other_and_no_verdict(tmp_path: Path, end: str, code: int) -> None:
    """Each failure is one line; the other output is whole; the exit code is the job's own, unless that is 0."""
    target = tmp_path / "file"
    found, output, errors = run(f"{FAILING}            {end}", str(target))
    assert (found, output) == (code, b"101")
    assert target.read_bytes() == b"y" * 1_000_000
    lines = [line for line in errors.splitlines() if line != "holdfast: no"]
    assert lines == [
        "holdfast: /dev/full: No space left on device",
        f"holdfast: {target}/below: Not a directory",
    ]


@pytest.mark.parametrize(("end", "code"), [("return 0", 0), ("return 3", 3), ("raise JobError('no')", 1)])
def test_a_reader_of_standard_output_that_leaves_costs_nothing_else(
    tmp_path: Path, end: str, code: int
) -> None:
    """The other output is whole, and the verdict is the job's own, 0 as well."""
    target = tmp_path / "file"
    job = f"""
        def job(runner):
            for path in ("-", sys.argv[1]):
                with runner.output(path) as file:
                    file.write(b"x" * 1_000_000)
            {end}
    """
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start(job, str(target), stdout=write_end)
    os.close(write_end)
    found, _, errors = finish(process)
    assert (found, errors) == (code, "holdfast: no\n" if "no" in end else "")
    assert target.read_bytes() == b"x" * 1_000_000


@pytest.mark.parametrize("path", ["/dev/stdout", "/dev/fd/1"])
def test_a_descriptor_that_is_named_loses_its_reader(path: str) -> None:
    """Somebody who names /dev/stdout asks for all of it: a reader that leaves is a failure."""
    job = """
        def job(runner):
            with runner.output(sys.argv[1]) as file:
                file.write(b"x" * 1_000_000)
            return 0
    """
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start(job, path, stdout=write_end)
    os.close(write_end)
    assert finish(process) == (
        1, b"", f"holdfast: {path}: its reader left before everything was written\n",
    )  # fmt: skip


def test_standard_output_that_fails_is_said_once() -> None:
    """A full device is met by the output and not again by the last flush."""
    job = """
        def job(runner):
            with runner.output("-") as file:
                file.write(b"x" * 1_000_000)
            return 0
    """
    assert run(job, redirection="> /dev/full") == (1, b"", "holdfast: <stdout>: No space left on device\n")


LOG = """
        def job(runner):
            for _ in range(100):
                runner.stderr.write("line\\n" * 10_000)
            import argparse
            argparse.ArgumentParser().print_usage(sys.stderr)
            return {code}
"""


@pytest.mark.parametrize(("code", "ends_with"), [(0, 1), (3, 3)])
@pytest.mark.parametrize("redirection", ["2> /dev/full", "2> >(true)"])
def test_a_lost_log_is_no_success(code: int, ends_with: int, redirection: str) -> None:
    """What was to be said on standard error and could not be turns 0 into 1, and no other code into anything."""
    assert run(LOG.format(code=code), redirection=redirection)[:2] == (ends_with, b"")


@pytest.mark.parametrize("code", [0, 3])
def test_a_standard_error_closed_at_the_start_is_nobodys_loss(code: int) -> None:
    """``2>&-`` says that nobody wants to hear it."""
    job = f"def job(runner):\n    runner.stderr.write('x')\n    return {code}"
    assert run(job, redirection="2>&-") == (code, b"", "")


@pytest.mark.parametrize("check", ["runner.check()", "pass"])
def test_a_signal_ends_a_blocked_log(check: str) -> None:
    """Nobody reads the log: the job goes on to its next check, or its end, and ends with the signal there."""
    job = f"""
        def job(runner):
            os.write(1, b"ready\\n")
            runner.stderr.write("x" * 1_000_000)
            os.write(1, b"after")
            {check}
            return 0
    """
    read_end, write_end = os.pipe()
    process = start(job, stderr=write_end)
    os.close(write_end)
    wait_until_ready(process)
    wait_until_blocked(process)
    process.terminate()
    assert process.wait(30) == 143
    os.close(read_end)
    assert finish(process)[1] == b"after"


def test_a_standard_output_that_was_closed_is_found_before_the_work() -> None:
    """A job can ask first."""
    job = "def job(runner):\n    runner.check_stdout()\n    return 0"
    assert run(job, redirection=">&-") == (1, b"", "holdfast: <stdout>: Bad file descriptor\n")
    assert run(job) == (0, b"", "")
