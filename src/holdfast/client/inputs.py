"""Tells inputs apart: those that can be read again, pipes, and Python objects."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from holdfast.io.raw import STDIN_NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from typing_extensions import TypeIs

    File = str | os.PathLike[str] | bytes | bytearray | memoryview

BLOCK_BYTES = 256 * 1024
"""How much is read at a time."""


def list_files(source: object) -> list[File] | None:
    """Give what can be read again: bytes, the path of a regular file, or a list of such paths; None for anything else.

    Raises:
        OSError: If there is no such file.
        TypeError: If there are several, and one is a pipe.
    """
    if isinstance(source, list) and len(source) > 1 and is_path(source[0]):
        files = [_as_file(each) for each in source]
        if None in files:
            pipe = source[files.index(None)]
            raise TypeError(f"{pipe}: only regular files are sent together; send a pipe alone")
        return [file for file in files if file is not None]
    file = _as_file(_only(source))
    return None if file is None else [file]


def find_pipe(source: object) -> str | None:
    """Give the path of an input that is a path and cannot be read again; None for anything else."""
    one = _only(source)
    return os.fsdecode(one) if is_path(one) and _as_file(one) is None else None


def is_path(source: object) -> TypeIs[str | os.PathLike[str]]:
    """Whether a source is a path."""
    return isinstance(source, str | os.PathLike)


def take_first(source: object) -> tuple[object, object]:
    """Look at the first item of an iterable; give it, and something to read everything from."""
    is_file = hasattr(source, "read") or hasattr(source, "readinto")
    if is_file or not isinstance(source, Iterable):
        return None, source
    items = iter(source)
    first = next(items, None)
    return first, chain([] if first is None else [first], items)


class PipeInput:
    """A pipe or a terminal that is read only when there is something to read.

    Args:
        path: Where it is; None for standard input.
        wait: Waits until a descriptor can be read; false if the input is not wanted any more.

    Raises:
        OSError: If it cannot be opened.
    """

    def __init__(self, path: str | None, wait: Callable[[int], bool]) -> None:
        self.name = STDIN_NAME if path is None else path
        self._wait = wait
        try:
            self._file = io.FileIO(0, closefd=False) if path is None else _open_without_waiting(path)
        except OSError as error:
            error.filename = self.name
            raise

    def readinto(self, buffer: memoryview) -> int:
        """Wait until there is something and read it.

        Raises:
            NotWantedError: If the input is not wanted any more.
            OSError: If it cannot be read.
        """
        while True:
            if not self._wait(self._file.fileno()):
                raise NotWantedError
            try:
                return os.readv(self._file.fileno(), [buffer])
            except BlockingIOError:
                # Another reader of the same pipe was faster.
                continue
            except OSError as error:
                error.filename = self.name
                raise

    def close(self) -> None:
        """Close it; standard input stays open."""
        self._file.close()


def _open_without_waiting(path: str) -> io.FileIO:
    """Open a FIFO before there is a writer: it can be polled until one comes."""
    return io.FileIO(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC))


class NotWantedError(Exception):
    """Nobody wants the rest of an input."""


def _only(source: object) -> object:
    return source[0] if isinstance(source, list) and len(source) == 1 and is_path(source[0]) else source


def _as_file(source: object) -> File | None:
    if isinstance(source, bytes | bytearray | memoryview):
        return source
    return source if is_path(source) and stat.S_ISREG(os.stat(source).st_mode) else None
