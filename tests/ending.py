"""Ends the interpreter, or forks it, at any moment of reading ahead.

Run as a program by engine/test_ending.py: python ending.py SCENARIO SEED.
"""

from __future__ import annotations

import os
import random
import sys
import threading
import time
from typing import TYPE_CHECKING

from holdfast import Engine
from holdfast.domain.settings import make_settings
from holdfast.engine import pipeline
from holdfast.io.compression import open_source
from holdfast.kernel.csv.decoder import CsvDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from holdfast.kernel.batch import Batch

HEADER = b"type,client,tx,amount\n"
# Blank lines and rows that only the complete path takes, so that every path of the decoder is at work.
LINES = b'deposit,1,7,1.5\n\n"deposit",1,8,2\n \nnonsense\n' * 20_000


class EndError(Exception):
    """Raised to end a run."""


def pipe_of(data: bytes, *, is_open: bool) -> int:
    """Give a pipe's reading end, written to by a thread; it may stay open after the last byte."""
    reading, writing = os.pipe()

    def write() -> None:
        with open(writing, "wb", closefd=not is_open) as file:
            try:
                file.write(data)
            except OSError:
                return

    threading.Thread(target=write, daemon=True).start()
    return reading


def raise_in_progress(random_source: random.Random) -> None:
    """Let the listener raise somewhere in a pipe that then stays open, and end with that."""
    left = random_source.randrange(1, 30)

    def on_progress(*_: int) -> None:
        nonlocal left
        left -= 1
        if left <= 0:
            raise EndError

    reading = pipe_of(HEADER + LINES * 4, is_open=True)
    Engine().process(open(reading, "rb"), on_progress=on_progress)  # noqa: SIM115  # ends with the process


def keep_the_generator(random_source: random.Random) -> None:
    """End while an input is read that nobody has closed."""
    batches = read(pipe_of(HEADER + LINES * 4, is_open=True), random_source.choice((1, 2, 4)))
    KEPT.append(batches)
    for _ in range(random_source.randrange(1, 12)):
        next(batches)
    time.sleep(random_source.random() * 0.01)


def read(reading: int, threads: int) -> Generator[Batch]:
    """Read a pipe ahead, with so many threads."""
    file = open(reading, "rb")  # noqa: SIM115  # ends with the process
    return pipeline.read_batches(open_source(file), CsvDecoder(make_settings(), keep_source=True), threads)


def fork_in_the_middle(random_source: random.Random) -> None:
    """Fork while an input is read: the child says that it cannot go on, and ends; the parent goes on."""
    batches = read(pipe_of(HEADER + LINES, is_open=False), random_source.choice((1, 2, 4)))
    rows = len(next(batches))
    child = os.fork()
    if not child:
        try:
            list(batches)
        except RuntimeError as error:
            sys.exit(7 if "forked" in str(error) else 8)
        sys.exit(9)
    rows += sum(len(batch) for batch in batches)
    assert rows == 60_000
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


KEPT: list[object] = []
SCENARIOS: dict[str, Callable[[random.Random], None]] = {
    "raise": raise_in_progress,
    "keep": keep_the_generator,
    "fork": fork_in_the_middle,
}


def main() -> None:
    """Run one scenario; an end that was asked for is a good one."""
    try:
        SCENARIOS[sys.argv[1]](random.Random(int(sys.argv[2])))
    except EndError as error:
        # As a program does that keeps what it could not handle.
        KEPT.append(error)


if __name__ == "__main__":
    main()
