"""Lines that are added to files: all of each, or nothing."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from commands import TIMEOUT_SECONDS
from holdfast.io.outputs import append_line


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_line_is_added(tmp_path: Path) -> None:
    """A new file is for its owner alone; an existing one keeps its permissions, and its last line gets its end."""
    path = tmp_path / "tokens"
    append_line(str(path), b"one")
    assert (path.read_bytes(), _mode(path)) == (b"one\n", 0o600)
    path.write_bytes(b"zero")
    path.chmod(0o640)
    append_line(str(path), b"one")
    append_line(str(path), b"two")
    assert (path.read_bytes(), _mode(path)) == (b"zero\none\ntwo\n", 0o640)


def test_a_link_to_a_file_of_lines_is_followed(tmp_path: Path) -> None:
    """The file it leads to gets the line, also one that is not there yet."""
    (tmp_path / "link").symlink_to("real")
    append_line(str(tmp_path / "link"), b"one")
    append_line(str(tmp_path / "link"), b"two")
    assert (tmp_path / "real").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "missing"])
def test_what_takes_no_lines(tmp_path: Path, kind: str) -> None:
    """Anything but a regular file is an error that names it, without a wait."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    path = {"fifo": fifo, "device": "/dev/full", "directory": tmp_path, "missing": tmp_path / "no" / "file"}[
        kind
    ]
    with pytest.raises(OSError, match=r"regular file|directory") as caught:
        append_line(str(path), b"one")
    assert caught.value.filename == str(path)


def test_half_a_line_is_none(tmp_path: Path) -> None:
    """A disk that is full after half of the line: the file is as it was."""
    path = tmp_path / "tokens"
    path.write_bytes(b"zero\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            append_line(str(path), b"one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"zero\n"


def test_lines_of_many_writers(tmp_path: Path) -> None:
    """Writers that come at one time take turns: every line is there, and whole."""
    path = tmp_path / "tokens"
    program = """if True:
        import sys
        from holdfast.io.outputs import append_line
        for _ in range(50):
            append_line(sys.argv[1], sys.argv[2].encode() * 200)
    """
    writers = [subprocess.Popen([sys.executable, "-c", program, path, letter]) for letter in "abcd"]
    for writer in writers:
        assert writer.wait(60) == 0
    lines = path.read_bytes().splitlines()
    assert sorted(lines) == sorted(letter * 200 for letter in (b"a", b"b", b"c", b"d") for _ in range(50))


def test_a_line_waits_for_the_writer_before_it(tmp_path: Path) -> None:
    """A writer that has the lock and is half-way through its line is waited for."""
    path = tmp_path / "tokens"
    program = "import sys; from holdfast.io.outputs import append_line; append_line(sys.argv[1], b'second')"
    with path.open("wb", buffering=0) as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        first.write(b"fir")
        with subprocess.Popen([sys.executable, "-c", program, path]) as second:
            wait_until_locked(second, path)
            first.write(b"st\n")
            fcntl.flock(first, fcntl.LOCK_UN)
            assert second.wait(60) == 0
    assert path.read_bytes() == b"first\nsecond\n"


def wait_until_locked(process: subprocess.Popen[bytes], path: Path) -> None:
    """Wait until the system has a process wait for the lock of a file."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    waiting = re.compile(rf"^\d+: -> FLOCK .* {process.pid} .*:{path.stat().st_ino} ", re.MULTILINE)
    while not waiting.search(Path("/proc/locks").read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_new_file_of_lines_is_on_disk_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced, and its directory where the name is new."""
    synced: list[bool] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    append_line(str(tmp_path / "tokens"), b"one")
    append_line(str(tmp_path / "tokens"), b"two")
    assert synced == [False, True, False]
