"""Starts jobs of :class:`holdfast.app.runner.Runner` in processes of their own, as a command would."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import IO

TIMEOUT_SECONDS = 30.0

# Whoever runs the tests may ignore a signal (a shell does for background jobs), and that is inherited.
_PROLOGUE = """
import errno, os, signal, sys, threading
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.SIG_DFL)
from holdfast.app.runner import Interrupted, JobError, StdoutClosedError, Runner
"""
_EPILOGUE = "\nsys.exit(Runner().run(job))\n"


def start(
    job: str,
    *arguments: str,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    redirection: str = "",
    unbuffered: bool = False,
) -> subprocess.Popen[bytes]:
    """Start a process that runs a job and exits with its code.

    Args:
        job: Source of ``def job(runner)``.
        arguments: The process's ``sys.argv[1:]``.
        stdin: Where it reads.
        stdout: Where it writes.
        stderr: Where it says what went wrong.
        redirection: Redirections and pipes behind the command, for a shell.
        unbuffered: Whether print() writes at once, as it often does in a container.
    """
    program = _PROLOGUE + textwrap.dedent(job) + _EPILOGUE
    # The development mode tells of everything that goes wrong at interpreter shutdown.
    command = [sys.executable, "-X", "dev", "-c", program, *arguments]
    if redirection:
        command = ["bash", "-c", f'set -o pipefail; "$@" {redirection}', "bash", *command]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1" if unbuffered else ""}
    return subprocess.Popen(command, stdin=stdin, stdout=stdout, stderr=stderr, env=environment)


def finish(process: subprocess.Popen[bytes]) -> tuple[int, bytes, str]:
    """Wait for a process; give its exit code, its output and what it said on standard error."""
    try:
        output, errors = process.communicate(timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
    return process.returncode, output or b"", (errors or b"").decode()


def run(job: str, *arguments: str, redirection: str = "") -> tuple[int, bytes, str]:
    """Run a job in a process of its own; see :func:`start` and :func:`finish`."""
    return finish(start(job, *arguments, redirection=redirection))


def wait_until_ready(process: subprocess.Popen[bytes]) -> None:
    """Wait until the job has written the line ``ready`` to its standard output."""
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"


def wait_until_blocked(process: subprocess.Popen[bytes]) -> None:
    """Wait until the process sleeps in a system call; there is no event for that."""
    status = Path(f"/proc/{process.pid}/stat")
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while status.exists() and status.read_text().rpartition(")")[2].split()[0] != "S":
        assert time.monotonic() < deadline
        time.sleep(0.002)
