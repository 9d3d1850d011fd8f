"""Standard output for bytes, and standard error for text, as the runner uses them."""

from __future__ import annotations

import errno
import os
import sys

from holdfast.app.signals import Interrupted
from holdfast.io.descriptors import RawOutput, buffered, name_error

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    import io
    from typing import TextIO

    from _typeshed import ReadableBuffer

    from holdfast.app.signals import StopSignals

STDOUT_NAME = "<stdout>"
_STDERR_NAME = "<stderr>"
_STDOUT, _STDERR = 1, 2


class StdoutClosedError(BrokenPipeError):
    """Nobody reads standard output any more (``| head``): no error of the job's, but no reason to go on writing there."""


class _RawStdout(RawOutput):
    def write(self, data: ReadableBuffer, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError as error:
            raise StdoutClosedError(error.errno, error.strerror, STDOUT_NAME) from error


def open_stdout(signals: StopSignals, *, whole: bool = False) -> io.BufferedWriter:
    """Put a large buffer before standard output; a signal ends a blocked write, unless the output is asked for whole."""
    wait = signals.undisturbed() if whole else signals.interruptible()
    return buffered(_RawStdout(_STDOUT, STDOUT_NAME, wait, closefd=False))


class StandardError:
    """Standard error for log lines and messages, written to at once.

    What cannot be written is dropped and remembered: a log never stops the job that it tells of.

    Args:
        signals: What ends a blocked write.

    Attributes:
        is_open: Whether the command was started with a standard error (not ``2>&-``). Without one, dropping is no loss.
        has_lost: Whether anything was lost.
        stopped_by: The number of the signal that ended a blocked write.
    """

    def __init__(self, signals: StopSignals) -> None:
        self.is_open = True
        self.has_lost = False
        self.stopped_by: int | None = None
        self._raw = RawOutput(_STDERR, _STDERR_NAME, signals.interruptible(), closefd=False)

    def write(self, text: str) -> int:
        """Write text, or drop it. After a signal has ended a blocked write, what would block again is dropped."""
        data = text.encode(errors="backslashreplace")
        try:
            if self.stopped_by is not None:
                _write_if_ready(_STDERR, data)
            elif self.is_open:
                self._write_all(memoryview(data))
        except Interrupted as stop:
            # The job hears of the signal at its next check, at a place of its own choosing.
            self.stopped_by = stop.signal_number
            self.has_lost = True
        except OSError:
            self.has_lost = True
        return len(text)

    def flush(self) -> None:
        """Do nothing: everything is written at once."""

    def _write_all(self, rest: memoryview) -> None:
        while rest:
            rest = rest[self._raw.write(rest) :]


def reserve_standard_descriptors() -> set[int]:
    """Keep files that are opened later from becoming standard descriptors closed at the start (``>&-``).

    Each becomes /dev/null, opened the wrong way round: using it is an error, and not using it is none.

    Returns:
        The numbers of those that were closed.
    """
    closed = set()
    for descriptor, flags in ((0, os.O_WRONLY), (_STDOUT, os.O_RDONLY), (_STDERR, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is the one just found closed.
            os.open(os.devnull, flags)
            closed.add(descriptor)
    return closed


def stdout_is_closed_error() -> OSError:
    """Make the error of a command that needs a standard output and was started without one."""
    return OSError(errno.EBADF, os.strerror(errno.EBADF), STDOUT_NAME)


def flush_text_stdout() -> None:
    """Write out what was printed (``--help``): a failure is an ordinary error here, not one at shutdown.

    Raises:
        StdoutClosedError: If nobody reads it any more.
        OSError: If it cannot be written.
    """
    try:
        _flush(sys.stdout)
    except BrokenPipeError as error:
        raise StdoutClosedError(error.errno, error.strerror, STDOUT_NAME) from error
    except OSError as error:
        name_error(error, STDOUT_NAME)
        raise


def flush_text_stderr() -> None:
    """Write out what argparse and others printed; what cannot be written must not change the exit code at shutdown."""
    try:  # noqa: SIM105  # contextlib is slow to import
        _flush(sys.stderr)
    except OSError:
        # There is nobody left to tell.
        pass


def _write_if_ready(descriptor: int, data: bytes) -> None:
    """Write as much as certainly fits at once, or nothing."""
    import select  # noqa: PLC0415  # rarely needed

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    if poll.poll(0):
        os.write(descriptor, data[: select.PIPE_BUF])


def _flush(stream: TextIO | None) -> None:
    if stream is None or stream.closed:
        return
    try:
        stream.flush()
    except OSError:
        try:  # noqa: SIM105  # contextlib is slow to import
            stream.close()
        except OSError:
            # The same error once more; what is closed is flushed by nobody.
            pass
        raise
