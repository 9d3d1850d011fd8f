"""Runs one job of a command and turns whatever becomes of it into an exit code.

The exit code is 0 only if everything that was asked for is there. The job's own verdict is never changed by an output
that fails: such an output costs no other one, is said in one line at the end, and turns 0 into 1. A reader of standard
output that leaves early (``| head``) is no failure.

An error is one line on standard error; a traceback is printed for a bug of ours only. Nothing here knows what
the job does. Every command pays for the imports of this module, so they are few: ``typing``, ``contextlib``
and ``tempfile`` are left out on purpose.
"""

from __future__ import annotations

import os

from holdfast.app.escaping import one_line
from holdfast.app.signals import Interrupted, StopSignals
from holdfast.app.standard_streams import (
    StandardError,
    StdoutClosedError,
    flush_text_stderr,
    flush_text_stdout,
    open_stdout,
    reserve_standard_descriptors,
    stdout_is_closed_error,
)
from holdfast.io.descriptors import discard
from holdfast.io.outputs import Output

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    import io
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

    from holdfast.app.signals import Region

__all__ = [
    "EXIT_BUG", "EXIT_DIFFERS", "EXIT_DONE", "EXIT_ERROR", "EXIT_REFUSED", "STDOUT_PATH", "CommandOutput", "Interrupted",
    "JobError", "Runner", "StdoutClosedError",
]  # fmt: skip

EXIT_DONE = 0
EXIT_ERROR = 1
EXIT_REFUSED = 3
EXIT_DIFFERS = 4
EXIT_BUG = 70
_EXIT_SIGNAL_BASE = 128
STDOUT_PATH = "-"
"""What stands for standard output on a command line."""


class JobError(Exception):
    """What the person at the command line has to know and can do something about.

    Args:
        message: One line: what went wrong and what to do about it.
        exit_code: What the command ends with.
    """

    def __init__(self, message: str, exit_code: int = EXIT_ERROR) -> None:
        super().__init__(message)
        self.exit_code = exit_code

    def __reduce__(self) -> tuple[type[JobError], tuple[str, int]]:
        return type(self), (str(self), self.exit_code)


class CommandOutput:
    """One output of a command, as a context manager: its failure is noted for the end, and costs no other output.

    What is written after a failure is dropped.

    Args:
        opened: Gives the file, and puts it in its place on leaving.
        note: Is told of a failure.

    Attributes:
        has_failed: Whether there is no point in writing more.
    """

    def __init__(
        self, opened: AbstractContextManager[io.BufferedWriter], note: Callable[[OSError], None]
    ) -> None:
        self._opened = opened
        self._note = note
        self._file: io.BufferedWriter | None = None
        self._stop: BaseException | None = None
        self.has_failed = False

    def __enter__(self) -> Self:
        try:
            self._file = self._opened.__enter__()
        except OSError as error:
            self._fail(error)
        return self

    def write(self, data: bytes, /) -> int:
        """Write bytes, or drop them after a failure.

        Raises:
            Interrupted: If a signal has ended a blocked write, this one or one before.
        """
        if self._stop is not None:
            raise self._stop
        if self._file is not None:
            try:
                self._file.write(data)
            except OSError as error:
                self._file = None
                self._opened.__exit__(type(error), error, None)
                self._fail(error)
            except BaseException as error:
                # A signal ended a blocked write: what is in the buffer would block again on leaving.
                self._stop, self._file = error, None
                self.has_failed = True
                self._opened.__exit__(type(error), error, None)
                raise
        return len(data)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._file is None:
            return
        self._file = None
        try:
            self._opened.__exit__(kind, error, trace)
        except OSError as failure:
            self._fail(failure)

    def _fail(self, error: OSError) -> None:
        self.has_failed = True
        self._note(error)


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
        self._stderr: StandardError | None = None
        self._closed_at_start: set[int] = set()
        self._failures: list[OSError] = []

    def run(self, job: Callable[[Runner], int]) -> int:
        """Run a job to its end, whatever that is.

        Args:
            job: Gets this runner and gives the exit code.

        Returns:
            The job's own exit code, or: 1 after an error, 70 after a bug, 128 and the signal's number after a
            signal. Where the job gives 0: 1 if an output has failed.

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
            self._stdout = open_stdout(self._signals)
        return self._stdout

    @property
    def stderr(self) -> StandardError:
        """Standard error for text. What cannot be written is dropped, and turns exit code 0 into 1."""
        if self._stderr is None:
            self._stderr = StandardError(self._signals)
            self._stderr.is_open = 2 not in self._closed_at_start
        return self._stderr

    def check_stdout(self) -> None:
        """Find out before the work that there is no standard output.

        Raises:
            OSError: If the command was started without one.
        """
        if 1 in self._closed_at_start:
            raise stdout_is_closed_error()

    def check(self) -> None:
        """Stop here if a signal has asked for it; to be called between batches.

        Raises:
            Interrupted: Every time, once a signal has come; never inside :meth:`undisturbed`.
        """
        self._signals.check()

    def stop_after(self, seconds: float) -> None:
        """Let the job be stopped as if by a signal, SIGALRM, after so many seconds, also where it blocks; 0: not any more."""
        self._signals.set_alarm(seconds)

    def interruptible(self) -> Region:
        """Mark a wait that a signal ends at once: ``with runner.interruptible(): stream.readinto(buffer)``.

        :class:`Interrupted` is raised on entering if the signal came before, and once only: a job that was
        told can wait undisturbed while it cleans up. What was being read when the signal came is lost.
        """
        return self._signals.interruptible()

    def undisturbed(self) -> Region:
        """Mark what has to be finished once it is begun: ``with runner.undisturbed(): write(snapshot)``.

        A signal that comes meanwhile is heard at the next :meth:`check` after it; the same one again still ends
        the process at once.
        """
        return self._signals.undisturbed()

    def output(self, path: str, *, whole: bool = False) -> CommandOutput:
        """Give an output whose failure costs no other: see :class:`CommandOutput`.

        Args:
            path: Where it goes, as for :class:`~holdfast.io.outputs.Output`; ``-`` is standard output.
            whole: Whether a signal waits for the reader of a special file, so that it is never cut.
        """
        if path == STDOUT_PATH:
            if whole and self._stdout is None:
                self._stdout = open_stdout(self._signals, whole=True)
            return CommandOutput(_Stdout(self), self._note_stdout)
        return CommandOutput(Output(path, waits=self._signals, whole=whole), self.note_failure)

    def note_failure(self, error: OSError) -> None:
        """Note that an output has failed: it is said at the end, and the exit code is not 0."""
        self._failures.append(error)

    def _note_stdout(self, error: OSError) -> None:
        self.discard_stdout()
        if not isinstance(error, StdoutClosedError):
            self.note_failure(error)

    def discard_stdout(self) -> None:
        """Drop what was written to standard output and has not got there."""
        if self._stdout is not None:
            discard(self._stdout)
            self._stdout = None

    def _run(self, job: Callable[[Runner], int]) -> int:
        self._failures.clear()
        code, message = self._attempt(lambda: self._start(job))
        flush_code, flush_message = self._attempt(self._flush)
        messages = [message, *(_explain(error)[1] for error in self._failures), flush_message]
        said: set[str] = set()
        for each in messages:
            # An error that the job met in its output may be met again by the flush: it is said once.
            if each is not None and each not in said:
                said.add(each)
                self.stderr.write(f"{self.format_error(each)}\n")
        flush_text_stderr()
        return code or flush_code or self._outputs_code()

    def _start(self, job: Callable[[Runner], int]) -> int:
        self._closed_at_start = reserve_standard_descriptors()
        return job(self)

    def _outputs_code(self) -> int:
        """Give the exit code of a job that has done its part."""
        stderr = self._stderr
        if stderr is not None and stderr.stopped_by is not None:
            return _EXIT_SIGNAL_BASE + stderr.stopped_by
        return EXIT_ERROR if self._failures or (stderr is not None and stderr.has_lost) else EXIT_DONE

    def _flush(self) -> int:
        try:
            flush_text_stdout()
            if self._stdout is not None and not self._stdout.closed:
                self._stdout.flush()
        finally:
            self.discard_stdout()
        return EXIT_DONE

    def _attempt(self, action: Callable[[], int]) -> tuple[int, str | None]:
        """Run an action and give its exit code and what there is to say about it."""
        try:
            return action(), None
        except Interrupted as stop:
            # Its reader may be the very reason why somebody stopped us: do not wait for it again.
            self.discard_stdout()
            return _EXIT_SIGNAL_BASE + stop.signal_number, None
        except StdoutClosedError:
            return EXIT_DONE, None
        except SystemExit as end:
            return _exit_code(end)
        except Exception as error:  # noqa: BLE001  # the last stop: whatever else is a bug of ours
            return _explain(error)


class _Stdout:
    """Standard output as an output among others: flushed at the end, so that its failure is found where it belongs."""

    def __init__(self, runner: Runner) -> None:
        self._runner = runner

    def __enter__(self) -> io.BufferedWriter:
        return self._runner.stdout

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._runner.stdout.flush()


def _explain(error: Exception) -> tuple[int, str]:
    """Give the exit code of an error and what there is to say about it."""
    if isinstance(error, JobError):
        return error.exit_code, one_line(str(error))
    if isinstance(error, MemoryError):
        return EXIT_ERROR, "out of memory"
    if isinstance(error, OSError):
        reason = error.strerror or str(error) or type(error).__name__
        named = reason if error.filename is None else f"{_text(error.filename)}: {reason}"
        return EXIT_ERROR, one_line(named)
    return EXIT_BUG, _bug_report(error)


def _exit_code(end: SystemExit) -> tuple[int, str | None]:
    """What ``sys.exit`` was given: nothing, a code or a message."""
    if end.code is None:
        return EXIT_DONE, None
    return (end.code, None) if isinstance(end.code, int) else (EXIT_ERROR, one_line(str(end.code)))


def _bug_report(error: Exception) -> str:
    import traceback  # noqa: PLC0415  # never needed, if all goes well

    summary = one_line(f"{type(error).__name__}: {error}")
    trace = "".join(traceback.format_exception(error)).rstrip("\n")
    return f"internal error, {summary}; please report it with what follows\n{trace}"


def _text(filename: object) -> str:
    return os.fsdecode(filename) if isinstance(filename, bytes) else str(filename)
