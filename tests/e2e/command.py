"""Runs ``python -m holdfast`` for tests: to its end, or under their eyes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import os

TIMEOUT_SECONDS = 60.0
HEADER = b"type,client,tx,amount\n"
OUTPUT_HEADER = b"client,available,held,total,locked\n"
# The development mode tells of everything that goes wrong at interpreter shutdown.
COMMAND = (sys.executable, "-X", "dev", "-m", "holdfast")
PLAIN_COMMAND = (sys.executable, "-m", "holdfast")


class Result(NamedTuple):
    """What a command ended with."""

    code: int
    output: bytes
    errors: str


def start(
    *arguments: str | os.PathLike[str],
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stdout: int | IO[bytes] = subprocess.PIPE,
    stderr: int | IO[bytes] = subprocess.PIPE,
    command: tuple[str, ...] = COMMAND,
    pass_fds: tuple[int, ...] = (),
) -> subprocess.Popen[bytes]:
    """Start the command."""
    return subprocess.Popen(
        [*command, *arguments], stdin=stdin, stdout=stdout, stderr=stderr, pass_fds=pass_fds
    )


def finish(process: subprocess.Popen[bytes], data: bytes | None = None) -> Result:
    """Give the command its input, if it has any, and wait for its end."""
    try:
        output, errors = process.communicate(data, timeout=TIMEOUT_SECONDS)
    finally:
        process.kill()
        process.wait()
    return Result(process.returncode, output or b"", (errors or b"").decode())


def run(*arguments: str | os.PathLike[str], data: bytes | None = None) -> Result:
    """Run the command to its end, with ``data`` on its standard input."""
    return finish(start(*arguments, stdin=subprocess.DEVNULL if data is None else subprocess.PIPE), data)


def run_in_shell(script: str, *arguments: str | os.PathLike[str]) -> Result:
    """Run a shell script in which ``holdfast`` is the command and ``$1`` the first argument."""
    prologue = f'set -o pipefail; holdfast() {{ {" ".join(COMMAND)} "$@"; }}; '
    process = subprocess.Popen(
        ["bash", "-c", prologue + script, "bash", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    return finish(process)


def wait_until_it_waits(process: subprocess.Popen[bytes]) -> None:
    """Wait until the command handles signals and sleeps in a system call."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    asleep = 0
    while asleep < 10:
        assert time.monotonic() < deadline
        assert process.poll() is None
        status = Path(f"/proc/{process.pid}/status").read_text()
        caught = int(re.search(r"^SigCgt:\s*([0-9a-f]+)", status, re.MULTILINE)[1], 16)  # type: ignore[index]  # it is there
        is_asleep = re.search(r"^State:\s*S", status, re.MULTILINE) and caught >> (signal.SIGTERM - 1) & 1
        asleep = asleep + 1 if is_asleep else 0
        time.sleep(0.01)
