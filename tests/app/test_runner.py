"""The runner: exit codes, error messages, standard output, and what a command costs to start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest

from commands import finish, run, start, wait_until_blocked, wait_until_ready
from holdfast.app.runner import Runner

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]


def test_exit_code_is_the_jobs_own() -> None:
    """What a job gives is what the process ends with."""
    assert run("def job(runner): return 0") == (0, b"", "")
    assert run("def job(runner): return 5") == (5, b"", "")


def test_output_is_delivered_when_the_job_is_done() -> None:
    """Bytes written to the buffer arrive, in order, without the job flushing anything."""
    job = """
        def job(runner):
            for number in range(200_000):
                runner.stdout.write(b"%d\\n" % number)
            return 3
    """
    assert run(job) == (3, b"".join(b"%d\n" % number for number in range(200_000)), "")


def test_output_is_buffered() -> None:
    """Small writes stay in the buffer: nothing arrives while the job is still running."""
    job = """
        def job(runner):
            runner.stdout.write(b"x" * 60_000)
            os.write(1, b"ready\\n")
            return 0
    """
    assert run(job)[1] == b"ready\n" + b"x" * 60_000


@pytest.mark.parametrize(
    ("raised", "code", "message"),
    [
        ("JobError('no header')", 1, "holdfast: no header\n"),
        ("JobError('too many refused rows', exit_code=3)", 3, "holdfast: too many refused rows\n"),
        ("OSError(errno.ENOSPC, 'No space left on device', 'out.csv')", 1,
         "holdfast: out.csv: No space left on device\n"),
        ("FileNotFoundError(errno.ENOENT, 'No such file or directory', b'a.csv')", 1,
         "holdfast: a.csv: No such file or directory\n"),
        ("OSError(errno.EIO, 'Input/output error')", 1, "holdfast: Input/output error\n"),
        ("OSError('no number')", 1, "holdfast: no number\n"),
        ("OSError()", 1, "holdfast: OSError\n"),
        ("BrokenPipeError(errno.EPIPE, 'Broken pipe')", 1, "holdfast: Broken pipe\n"),
        ("MemoryError()", 1, "holdfast: out of memory\n"),
        ("JobError('a\\nb\\x1b[2J\\udcff \u00e9')", 1, "holdfast: a\\nb\\x1b[2J\\udcff \u00e9\n"),
        ("SystemExit()", 0, ""),
        ("SystemExit(2)", 2, ""),
        ("SystemExit('bad usage')", 1, "holdfast: bad usage\n"),
        ("StdoutClosedError(errno.EPIPE, 'Broken pipe', '<stdout>')", 0, ""),
    ],
)  # fmt: skip
def test_errors_are_one_line(raised: str, code: int, message: str) -> None:
    """Every foreseen way to fail has its exit code and one line without control characters, or none."""
    job = f"def job(runner):\n    runner.stdout.write(b'before')\n    raise {raised}"
    assert run(job) == (code, b"before", message)


def test_a_bug_is_reported_with_its_traceback() -> None:
    """What nobody foresaw ends with 70, one line that asks for a report, and the traceback."""
    code, output, errors = run("def job(runner):\n    runner.stdout.write(b'before')\n    return [1][5]")
    first, *rest = errors.splitlines()
    assert (code, output) == (70, b"before")
    assert first.startswith("holdfast: internal error, IndexError: list index out of range; please report")
    assert rest[0] == "Traceback (most recent call last):"
    assert rest[-1] == "IndexError: list index out of range"


def test_the_program_is_named() -> None:
    """Messages begin with the name given."""
    job = """
        def job(runner): raise JobError("no")
        sys.exit(Runner("other").run(job))
    """
    assert run(job) == (1, b"", "other: no\n")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_ends_a_blocked_read(number: signal.Signals, code: int) -> None:
    """A job that waits for a pipe in which nothing ever comes is stopped, with nothing on standard error."""
    job = """
        def job(runner):
            os.write(1, b"ready\\n")
            with runner.interruptible():
                os.read(0, 1)
            return 0
    """
    process = start(job, stdin=subprocess.PIPE)
    wait_until_ready(process)
    wait_until_blocked(process)
    process.send_signal(number)
    assert process.wait(30) == code
    assert finish(process) == (code, b"", "")


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_is_heard_at_the_next_check(number: signal.Signals, code: int) -> None:
    """A job between two batches is stopped by check(), not before."""
    job = f"""
        def job(runner):
            runner.check()
            os.kill(os.getpid(), {int(number)})
            os.write(1, b"the batch was finished")
            runner.check()
            return 0
    """
    assert run(job) == (code, b"the batch was finished", "")


def test_what_an_interrupted_job_left_in_the_buffer_is_not_waited_for() -> None:
    """A job blocked by a reader that has stopped reading ends with the signal, its buffer full as it is."""
    job = """
        def job(runner):
            os.write(2, b"ready\\n")
            while True:
                runner.stdout.write(b"x" * 100_000)
    """
    process = start(job)
    assert process.stderr is not None
    assert process.stderr.readline() == b"ready\n"
    wait_until_blocked(process)
    process.terminate()
    assert process.wait(30) == 143
    assert finish(process)[2] == ""


def test_a_signal_ends_a_blocked_last_flush() -> None:
    """The job is done, its output is not: a signal ends the wait for the reader."""
    job = """
        def job(runner):
            runner.stdout.write(b"x" * 200_000)
            os.write(2, b"ready\\n")
            return 0
    """
    process = start(job)
    assert process.stderr is not None
    assert process.stderr.readline() == b"ready\n"
    wait_until_blocked(process)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert finish(process)[2] == ""


def test_an_interrupted_job_does_not_flush() -> None:
    """What is still in the buffer when a job is stopped is not written: its reader may never read."""
    job = """
        def job(runner):
            runner.stdout.write(b"x" * 200_000)
            os.kill(os.getpid(), signal.SIGTERM)
            runner.check()
    """
    process = start(job)
    assert process.wait(30) == 143
    assert finish(process) == (143, b"", "")


def test_handlers_are_put_back() -> None:
    """After the job, the process handles its signals as before; the next job starts afresh."""
    before = [signal.getsignal(number) for number, _ in SIGNALS]
    seen = []
    runner = Runner()

    def job(runner: Runner) -> int:
        seen.append([signal.getsignal(number) for number, _ in SIGNALS])
        os.kill(os.getpid(), signal.SIGTERM)
        runner.check()
        return 0

    def quiet(runner: Runner) -> int:
        runner.check()
        return 0

    assert [runner.run(job), runner.run(quiet), runner.run(job)] == [143, 0, 143]
    assert [signal.getsignal(number) for number, _ in SIGNALS] == before
    assert before[1] not in seen[0]


def test_only_the_main_thread_runs_jobs() -> None:
    """In another thread, where no signal can be handled, run() refuses at once."""
    refused = []

    def body() -> None:
        with pytest.raises(ValueError, match="main thread"):
            Runner().run(lambda _: 0)
        refused.append(True)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join(30)
    assert refused == [True]


LOTS = """
    def job(runner):
        for _ in range(100):
            runner.stdout.write(b"line\\n" * 20_000)
        return 0
"""
LITTLE = "def job(runner):\n    runner.stdout.write(b'line\\n')\n    return 0"
PRINT = "def job(runner):\n    import argparse\n    argparse.ArgumentParser().parse_args(['--help'])"


@pytest.mark.parametrize("unbuffered", [False, True])
@pytest.mark.parametrize("job", [LOTS, LITTLE, PRINT])
def test_a_reader_that_leaves_is_no_error(job: str, unbuffered: bool) -> None:
    """A closed pipe ends the job quietly, whether it is met while the job runs or by the last flush."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    process = start(job, stdout=write_end, unbuffered=unbuffered)
    os.close(write_end)
    assert finish(process) == (0, b"", "")


def test_head() -> None:
    """The real thing."""
    assert run(LOTS, redirection="| head -n 1") == (0, b"line\n", "")


@pytest.mark.parametrize("job", [LOTS, LITTLE, PRINT])
def test_a_full_disk_is_one_line(job: str) -> None:
    """No space for the output is an error that names it, said once."""
    assert run(job, redirection="> /dev/full") == (1, b"", "holdfast: <stdout>: No space left on device\n")


def test_the_jobs_own_error_comes_first() -> None:
    """An output that fails after the job has failed is said too, and does not change the exit code."""
    job = "def job(runner):\n    runner.stdout.write(b'x')\n    raise JobError('no', exit_code=4)"
    code, _, errors = run(job, redirection="> /dev/full")
    assert code == 4
    assert errors == "holdfast: no\nholdfast: <stdout>: No space left on device\n"


@pytest.mark.parametrize("job", [LOTS, LITTLE])
def test_output_closed_at_the_start(job: str) -> None:
    """Without a standard output, writing to it is an error that names it."""
    assert run(job, redirection=">&-") == (1, b"", "holdfast: <stdout>: Bad file descriptor\n")


def test_output_closed_but_not_needed() -> None:
    """Without a standard output, a job that writes nothing is fine, even with all three closed."""
    assert run("def job(runner): return 0", redirection="<&- >&-") == (0, b"", "")
    assert run("def job(runner): raise JobError('nobody hears')", redirection="<&- >&- 2>&-") == (1, b"", "")


def test_files_do_not_become_standard_output(tmp_path: os.PathLike[str]) -> None:
    """With standard output closed, no file that the job opens takes its number, and with it its bytes."""
    path = os.path.join(tmp_path, "file")
    job = """
        def job(runner):
            file = open(sys.argv[1], "wb")
            file.write(b"own")
            file.close()
            file = open(sys.argv[1], "r+b")
            try:
                os.write(1, b"stray")
            except OSError:
                return 7
            finally:
                file.close()
    """
    assert run(job, path, redirection=">&-")[0] == 7
    with open(path, "rb") as file:
        assert file.read() == b"own"


def test_a_full_standard_error_changes_nothing() -> None:
    """An error that cannot be said still has its exit code."""
    assert run("def job(runner): raise JobError('no')", redirection="2> /dev/full")[0] == 1


def test_a_non_blocking_output_is_waited_for() -> None:
    """A pipe that somebody made non-blocking takes everything, as if it were not."""
    read_end, write_end = os.pipe()
    os.set_blocking(write_end, False)
    process = start(LOTS, stdout=write_end)
    os.close(write_end)
    with open(read_end, "rb") as reader:
        received = reader.read()
    assert finish(process) == (0, b"", "")
    assert received == b"line\n" * 2_000_000


def test_importing_the_runner_is_cheap() -> None:
    """The modules that make a command slow to start are not among those it imports."""
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
before = set(sys.modules)
import holdfast.app.runner
print(*set(sys.modules) - before)
"""
    command = [sys.executable, "-I", "-B", "-c", program]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True).stdout.split()
    assert "holdfast.app.runner" in listed
    assert not {"typing", "contextlib", "tempfile", "pathlib", "shutil", "logging", "traceback"} & set(listed)
