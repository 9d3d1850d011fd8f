"""Runs one job of a command and turns whatever becomes of it into an exit code.

An error is one line on standard error; a traceback is printed for a bug of ours only. Nothing here knows what
the job does. Every command pays for the imports of this module, so they are few: ``typing``, ``contextlib``
and ``tempfile`` are left out on purpose.
"""

from __future__ import annotations

import os

from holdfast.app.outputs import (
    STDOUT_NAME,
    AtomicOutput,
    OutputClosedError,
    discard,
    flush_text_stdout,
    has_stdout_reader_left,
    open_buffered,
    reserve_standard_descriptors,
)
from holdfast.app.signals import Interrupted, StopSignals

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from holdfast.app.signals import Region

__all__ = ["EXIT_BUG", "EXIT_DONE", "EXIT_ERROR", "Interrupted", "JobError", "OutputClosedError", "Runner"]

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_BUG = 70
_EXIT_SIGNAL_BASE = 128


class JobError(Exception):
    """What the person at the command line has to know and can do something about.

    Args:
        message: One line: what went wrong and what to do about it.
        exit_code: What the command ends with.
    """

    def __init__(self, message: str, exit_code: int = EXIT_ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Runner:
    """Runs one job at a time, in the main thread.

    Args:
        program: The name that error messages begin with.

    Attributes:
        format_error: Makes the line that is written of an error message; the job may change it.
    """

    def __init__(self, program: str = "holdfast") -> None:
        self.format_error: Callable[[str], str] = lambda message: f"{program}: {message}"
        self._signals = StopSignals()
        self._stdout: io.BufferedWriter | None = None

    def run(self, job: Callable[[Runner], int]) -> int:
        """Run a job to its end, whatever that is.

        Args:
            job: Gets this runner and gives the exit code.

        Returns:
            The job's own exit code, or: 1 after an error, 70 after a bug, 128 and the signal's number after a
            signal. A reader of the output who has left is no error.

        Raises:
            ValueError: Outside the main thread, where no signal can be handled.
        """
        self._signals.install()
        try:
            return self._run(job)
        finally:
            self._signals.restore()

    @property
    def stdout(self) -> io.BufferedWriter:
        """Standard output for bytes, behind one large buffer that is written out when the job is done."""
        if self._stdout is None:
            self._stdout = open_buffered(self._signals, 1, STDOUT_NAME, closefd=False)
        return self._stdout

    def check(self) -> None:
        """Stop here if a signal has asked for it; to be called between batches.

        Raises:
            Interrupted: Every time, once a signal has come; never inside :meth:`undisturbed`.
        """
        self._signals.check()

    def interruptible(self) -> Region:
        """Mark a wait that a signal ends at once: ``with runner.interruptible(): stream.readinto(buffer)``.

        :class:`Interrupted` is raised on entering if the signal came before, and once only: a job that was
        told can wait undisturbed while it cleans up. What was being read when the signal came is lost.
        """
        return self._signals.interruptible()

    def undisturbed(self) -> Region:
        """Mark what has to be finished once it is begun: ``with runner.undisturbed(): write(snapshot)``.

        A signal that comes meanwhile is heard at the next :meth:`check` behind it; the same one again still ends
        the process at once.
        """
        return self._signals.undisturbed()

    def atomic_output(self, path: str, *, whole: bool = False) -> AtomicOutput:
        """Open a file that appears under its name complete and safely on disk, or not at all.

        Args:
            path: Where it goes; a special file (a FIFO, /dev/stdout) is written to directly.
            whole: Whether a signal waits for whoever reads a special file, so that it is never cut.
        """
        return AtomicOutput(self._signals, path, whole=whole)

    def _run(self, job: Callable[[Runner], int]) -> int:
        code, message = self._attempt(lambda: self._start(job))
        flush_code, flush_message = self._attempt(self._flush)
        if message is not None:
            self._complain(message)
        # An error that the job met in its output is met again by the flush: it is said once.
        if flush_message is not None and flush_message != message:
            self._complain(flush_message)
        return code or flush_code

    def _start(self, job: Callable[[Runner], int]) -> int:
        reserve_standard_descriptors()
        return job(self)

    def _flush(self) -> int:
        try:
            flush_text_stdout()
            if self._stdout is not None and not self._stdout.closed:
                self._stdout.flush()
        finally:
            self._discard_stdout()
        return EXIT_DONE

    def _discard_stdout(self) -> None:
        if self._stdout is not None:
            discard(self._stdout)
            self._stdout = None

    def _attempt(self, action: Callable[[], int]) -> tuple[int, str | None]:
        """Run an action and give its exit code and what there is to say about it."""
        try:
            return action(), None
        except Interrupted as stop:
            # Its reader may be the very reason why somebody stopped us: do not wait for it again.
            self._discard_stdout()
            return _EXIT_SIGNAL_BASE + stop.signal_number, None
        except BrokenPipeError as error:
            # An unbuffered print() fails by itself and names nothing.
            printed = error.filename is None and has_stdout_reader_left()
            return (EXIT_DONE, None) if printed or isinstance(error, OutputClosedError) else _explain(error)
        except SystemExit as end:
            return _exit_code(end)
        except Exception as error:  # noqa: BLE001  # the last stop: whatever else is a bug of ours
            return _explain(error)

    def _complain(self, text: str) -> None:
        """Write to standard error past its buffer: what a full disk left there would fail again."""
        try:  # noqa: SIM105  # contextlib is slow to import
            os.write(2, f"{self.format_error(text)}\n".encode(errors="backslashreplace"))
        except OSError:
            # There is nobody left to tell.
            pass


def _explain(error: Exception) -> tuple[int, str]:
    """Give the exit code of an error and what there is to say about it."""
    if isinstance(error, JobError):
        return error.exit_code, _one_line(str(error))
    if isinstance(error, MemoryError):
        return EXIT_ERROR, "out of memory"
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        named = reason if error.filename is None else f"{_text(error.filename)}: {reason}"
        return EXIT_ERROR, _one_line(named)
    return EXIT_BUG, _bug_report(error)


def _exit_code(end: SystemExit) -> tuple[int, str | None]:
    """What ``sys.exit`` was given: nothing, a code or a message."""
    if end.code is None:
        return EXIT_DONE, None
    return (end.code, None) if isinstance(end.code, int) else (EXIT_ERROR, _one_line(str(end.code)))


def _bug_report(error: Exception) -> str:
    import traceback  # noqa: PLC0415  # never needed, if all goes well

    summary = _one_line(f"{type(error).__name__}: {error}")
    trace = "".join(traceback.format_exception(error)).rstrip("\n")
    return f"internal error, {summary}; please report it with what follows\n{trace}"


def _text(filename: object) -> str:
    return os.fsdecode(filename) if isinstance(filename, bytes) else str(filename)


def _one_line(text: str) -> str:
    """Keep what a name may hold (line ends, escape sequences) from a terminal and from forging lines."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
