"""Writes to open descriptors: errors name the output, and waits behave as the caller says.

A write to a pipe waits for as long as its reader does not read. A command wants a signal to end such a wait; a
library has no opinion. So the caller that opens an output gives :class:`Waits`, and nothing here knows about signals.
"""

from __future__ import annotations

import errno
import io
import os

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    from contextlib import AbstractContextManager
    from typing import Protocol

    from _typeshed import ReadableBuffer, SupportsWrite

    class Waits(Protocol):
        """Gives the context in which a write waits; the context may end the wait with an exception of its own."""

        def interruptible(self) -> AbstractContextManager[None]:
            """Give the context for a write that somebody else may hold up: a pipe, a terminal."""

        def undisturbed(self) -> AbstractContextManager[None]:
            """Give the context for a write that must not be torn: a file on disk, an output asked for whole."""


BUFFER_BYTES = 256 * 1024


class _Plain:
    """A context in which nothing special holds."""

    __slots__ = ()

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        pass


class PlainWaits:
    """Waits that nothing ends; the default of every output."""

    __slots__ = ()

    def interruptible(self) -> _Plain:
        """Give the context for a write that somebody else may hold up."""
        return _Plain()

    def undisturbed(self) -> _Plain:
        """Give the context for a write that must not be torn."""
        return _Plain()


PLAIN_WAITS = PlainWaits()


class RawOutput(io.FileIO):
    """An open descriptor without a buffer.

    After an exception of the waits' own, every further write raises it again: how much of the interrupted write got
    through is unknown, so what is written after it could come twice.

    Args:
        descriptor: Where it goes.
        label: What errors call it.
        wait: The context of every write.
        closefd: Whether closing this closes the descriptor.
    """

    def __init__(
        self, descriptor: int, label: str, wait: AbstractContextManager[None], *, closefd: bool = True
    ) -> None:
        super().__init__(descriptor, "wb", closefd=closefd)
        self._label = label
        self._wait = wait
        self._torn: BaseException | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        """Write as much as the system takes at once; wait if that is nothing.

        Raises:
            OSError: If it fails; the error names the output.
        """
        if self._torn is not None:
            raise self._torn
        try:
            return self._write(data)
        except BrokenPipeError as error:
            name_error(error, self._label)
            error.strerror = "its reader left before everything was written"
            raise
        except OSError as error:
            name_error(error, self._label)
            raise
        except BaseException as error:
            self._torn = error
            raise

    def _write(self, data: ReadableBuffer) -> int:
        while True:
            with self._wait:
                try:
                    return os.write(self.fileno(), data)
                except BlockingIOError:
                    # The process that gave us the descriptor left it non-blocking.
                    _wait_until_writable(self.fileno())


def buffered(raw: RawOutput) -> io.BufferedWriter:
    """Put a large buffer before a descriptor."""
    return io.BufferedWriter(raw, BUFFER_BYTES)


def write_whole(file: SupportsWrite[bytes], data: bytes) -> None:
    """Write all of it, also to a file without a buffer, which may take less at a time.

    Raises:
        BlockingIOError: If the file is non-blocking and takes nothing now.
        OSError: If it cannot be written.
    """
    if not isinstance(file, io.RawIOBase):
        file.write(data)
        return
    rest = memoryview(data)
    while rest:
        count = file.write(rest)
        if not count:
            raise BlockingIOError(
                errno.EAGAIN, "the file takes nothing now; open it with a buffer, or blocking"
            )
        rest = rest[count:]


def discard(file: io.BufferedWriter) -> None:
    """Close a file without writing what its buffer still holds, now or at interpreter shutdown."""
    file.raw.close()


def name_error(error: OSError, path: str) -> None:
    """Let an error speak of the name that the caller knows, instead of a temporary one or none."""
    error.filename = path
    if error.filename2 is not None:
        # Set to None, it would be written as a second name.
        del error.filename2


def _wait_until_writable(descriptor: int) -> None:
    import select  # noqa: PLC0415  # rarely needed

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()
