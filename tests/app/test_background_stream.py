"""A stream that never makes its writer wait: what is written, what is dropped, and how it ends."""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from holdfast.app.background_stream import BackgroundStream

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECONDS_MAX = 20.0


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    """Make a pipe with little room."""
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    yield read, write
    for each in (read, write):
        with contextlib.suppress(OSError):
            os.close(each)


def describe(count: int) -> str:
    """Write the line about dropped texts."""
    return f"{count} dropped\n"


def read_all(descriptor: int) -> bytes:
    """Read up to the end."""
    pieces = []
    while piece := os.read(descriptor, 65_536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("is_blocking", [True, False])
def test_everything_is_written_in_order(pipe: tuple[int, int], *, is_blocking: bool) -> None:
    """With a reader every text arrives, also where the descriptor is one that does not wait."""
    read, write = pipe
    os.set_blocking(write, is_blocking)
    stream = BackgroundStream(write, describe)
    texts = [f"line {number}\n" for number in range(5000)]
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(read)))
    reader.start()
    for text in texts:
        assert stream.write(text) == len(text)
    assert stream.close(SECONDS_MAX)
    os.close(write)
    reader.join(SECONDS_MAX)
    assert received == ["".join(texts).encode()]


def test_a_reader_that_stands_still(pipe: tuple[int, int]) -> None:
    """Text waits up to a limit, the rest is dropped and counted; a reader that goes on is told how much."""
    read, write = pipe
    stream = BackgroundStream(write, describe, queued_bytes_max=20_000)
    for _ in range(1000):
        stream.write("x" * 99 + "\n")
    dropped = stream.dropped
    # The pipe, what the thread holds, and the queue.
    assert 1000 - (4096 + 20_000 + 20_000) // 100 <= dropped <= 1000 - 20_000 // 100
    assert not stream.close(0.05)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(read_all(read)))
    reader.start()
    assert not stream.close(SECONDS_MAX)
    os.close(write)
    reader.join(SECONDS_MAX)
    lines = received[0].decode().splitlines()
    assert lines[-1] == f"{dropped} dropped"
    assert len(lines) == 1000 - dropped + 1


def test_a_reader_that_has_left(pipe: tuple[int, int]) -> None:
    """Nothing waits, and what is lost is remembered."""
    read, write = pipe
    stream = BackgroundStream(write, describe)
    os.close(read)
    for _ in range(1000):
        stream.write("x" * 1000)
    assert not stream.close(SECONDS_MAX)
    assert stream.has_lost
    assert stream.write("more") == 4


def test_a_disk_that_has_room_again(tmp_path: Path) -> None:
    """What could not be written is counted, and told of once something can be written."""
    path = tmp_path / "log"
    with path.open("wb") as file, open("/dev/full", "wb", buffering=0) as full:
        descriptor = os.dup(full.fileno())
        stream = BackgroundStream(descriptor, describe)
        for number in range(3):
            stream.write(f"lost {number}\n")
        while stream.is_behind:
            time.sleep(0.001)
        os.dup2(file.fileno(), descriptor)
        stream.write("written\n")
        stream.close(SECONDS_MAX)
        os.close(descriptor)
    assert path.read_text() == "written\n3 dropped\n"


def test_text_that_cannot_be_encoded(pipe: tuple[int, int]) -> None:
    """Half a surrogate pair, from a file name for example, is escaped."""
    read, write = pipe
    stream = BackgroundStream(write, describe)
    stream.write("a\udcff\n")
    assert stream.close(SECONDS_MAX)
    assert os.read(read, 100) == b"a\\udcff\n"
