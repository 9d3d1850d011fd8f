"""Every way in which an output can fail, made for real: pipes, full file systems, mounts, permissions."""

from __future__ import annotations

import functools
import os
import shutil
import socket
import subprocess
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, NamedTuple

import pytest

from e2e.command import COMMAND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


class Fault(NamedTuple):
    """An output that will fail."""

    path: str
    """Its name, for the command line."""
    reason: str
    """What the error line says of it."""
    pass_fds: tuple[int, ...] = ()
    """Descriptors that the command inherits."""
    command: tuple[str, ...] = COMMAND
    """How the command is started."""


OLD = b"old\n"


@contextmanager
def reader_gone(_directory: Path) -> Iterator[Fault]:
    """Give a pipe whose reader has left."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        reason = "its reader left before everything was written"
        yield Fault(f"/dev/fd/{write_end}", reason, (write_end,))
    finally:
        os.close(write_end)


@contextmanager
def full_device(_directory: Path) -> Iterator[Fault]:
    """Give a device that takes no byte; it is written through and never replaced."""
    yield Fault("/dev/full", "No space left on device")


@contextmanager
def mounted(directory: Path, *options: str) -> Iterator[Path]:
    """Mount a small file system of its own."""
    directory.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", *options, "tmpfs", directory], capture_output=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        yield directory
    finally:
        subprocess.run(["umount", directory], check=True)


@contextmanager
def full_disk(directory: Path) -> Iterator[Fault]:
    """Give a file on a file system that has room for a name and for no byte; the former file must stay."""
    with mounted(directory / "full", "-o", "size=64k") as place:
        target = place / "output.csv"
        # As large as a page: nothing more fits into its last one.
        target.write_bytes(OLD * 1024)
        with (place / "filler").open("wb", buffering=0) as filler:
            _write_until(OSError, lambda: filler.write(b"x" * 4096))
        yield Fault(str(target), "No space left on device")
        assert target.read_bytes() == OLD * 1024
        assert sorted(path.name for path in place.iterdir()) == ["filler", "output.csv"]


@contextmanager
def no_directory(directory: Path) -> Iterator[Fault]:
    """Give a file in a directory that is not there."""
    yield Fault(str(directory / "gone" / "output.csv"), "there is no directory")


@contextmanager
def file_for_a_directory(directory: Path) -> Iterator[Fault]:
    """Give a file below a file."""
    (directory / "file").write_bytes(OLD)
    yield Fault(str(directory / "file" / "output.csv"), "Not a directory")


@contextmanager
def is_directory(directory: Path) -> Iterator[Fault]:
    """Give a directory."""
    (directory / "output.csv").mkdir()
    yield Fault(str(directory / "output.csv"), "Is a directory")


@contextmanager
def is_socket(directory: Path) -> Iterator[Fault]:
    """Give a socket."""
    before = os.getcwd()
    with socket.socket(socket.AF_UNIX) as listener:
        # Addresses of sockets are short.
        os.chdir(directory)
        try:
            listener.bind("output.csv")
        finally:
            os.chdir(before)
        yield Fault(str(directory / "output.csv"), "this is a socket")


@contextmanager
def mount_point(directory: Path) -> Iterator[Fault]:
    """Give a file that is a mount point, as in a container with a mounted file."""
    target, source = directory / "output.csv", directory / "mounted.csv"
    for path in (target, source):
        path.write_bytes(OLD)
    done = subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        yield Fault(str(target), "mount its directory instead")
        assert target.read_bytes() == OLD
    finally:
        subprocess.run(["umount", target], check=True)


@contextmanager
def read_only(directory: Path) -> Iterator[Fault]:
    """Give a file on a file system that is mounted for reading."""
    with mounted(directory / "fixed", "-o", "ro") as place:
        yield Fault(str(place / "output.csv"), "Read-only file system")


@contextmanager
def closed_directory(directory: Path) -> Iterator[Fault]:
    """Give a file in a directory that the command may not write to."""
    place = directory / "closed"
    place.mkdir(mode=0o555)
    yield Fault(str(place / "output.csv"), "Permission denied", command=_without_privileges())


@contextmanager
def write_protected(directory: Path) -> Iterator[Fault]:
    """Give a file that the command may not write to, in a directory where it may."""
    target = directory / "output.csv"
    target.write_bytes(OLD)
    target.chmod(0o444)
    yield Fault(str(target), "Permission denied", command=_without_privileges())
    assert target.read_bytes() == OLD


def _without_privileges() -> tuple[str, ...]:
    """Start the command so that permissions hold for it, root or not."""
    if os.geteuid() != 0:
        return COMMAND
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        pytest.skip("root cannot give up its privileges here")
    return (setpriv, "--bounding-set", "-dac_override,-dac_read_search", *COMMAND)


FOUND_BEFORE = (
    no_directory, file_for_a_directory, is_directory, is_socket, mount_point, read_only, closed_directory,
    write_protected,
)  # fmt: skip
"""Faults that are found before the work."""
MET_AFTER = (reader_gone, full_device, full_disk)
"""Faults that are met when the output is written."""


def _write_until(error: type[OSError], write: Callable[[], object]) -> None:
    while True:
        try:
            write()
        except error:
            return


@contextmanager
def stalled_reader() -> Iterator[int]:
    """Give the end of a full pipe that nobody reads."""
    with ExitStack() as stack:
        read_end, write_end = os.pipe()
        stack.callback(os.close, read_end)
        stack.callback(os.close, write_end)
        os.set_blocking(write_end, False)
        for size in (4096, 1):
            _write_until(BlockingIOError, functools.partial(os.write, write_end, b"x" * size))
        os.set_blocking(write_end, True)
        yield write_end
