"""Turns the signals that ask a process to stop into an exception at a place of the job's own choosing.

- A signal is noted; the job hears of it at its next :meth:`StopSignals.check` or, if it blocks, inside
  :meth:`StopSignals.interruptible`. Nowhere else is a job interrupted.
- The same signal again ends the process at once: its default disposition is back once the first is noted.
- A signal that was ignored when the command started (``nohup``, a background job) stays ignored.
"""

from __future__ import annotations

import signal
from _thread import get_ident

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818  # not an error: somebody asked the job to stop
    """A signal asks the job to stop.

    Args:
        signal_number: Which one.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


class StopSignals:
    """Handles SIGINT, SIGTERM and SIGHUP between :meth:`install` and :meth:`restore`."""

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], object] | int] = {}
        self._main_thread = get_ident()
        self._signal_number: int | None = None
        self._told = False
        self._wait_depth = 0
        self._wait = Wait(self)

    def install(self) -> None:
        """Handle the signals from here on.

        Raises:
            ValueError: Outside the main thread.
        """
        self._main_thread = get_ident()
        self._signal_number = None
        self._told = False
        self._wait_depth = 0
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # None: installed by somebody's C code, which could not be put back.
            if handler is not None and handler is not signal.SIG_IGN:
                signal.signal(number, self._note)
                self._before[number] = handler

    def restore(self) -> None:
        """Put back the handlers found by :meth:`install`."""
        while self._before:
            signal.signal(*self._before.popitem())

    def check(self) -> None:
        """Stop here if a signal has asked for it.

        Raises:
            Interrupted: Every time, once a signal has come.
        """
        if self._signal_number is not None:
            self._told = True
            raise Interrupted(self._signal_number)

    def interruptible(self) -> Wait:
        """Mark a wait that a signal ends at once; see :class:`Wait`."""
        return self._wait

    def enter_wait(self) -> None:
        """Let signals interrupt from here on, beginning with one that has already come."""
        if self._told or get_ident() != self._main_thread:
            return
        # First the mark, then the look: a signal after the mark is raised by the handler, one before it here.
        self._wait_depth += 1
        if self._signal_number is not None:
            self._interrupt(self._signal_number)

    def exit_wait(self) -> None:
        """Let signals no longer interrupt, unless an outer wait does."""
        if self._wait_depth and get_ident() == self._main_thread:
            self._wait_depth -= 1

    def _note(self, number: int, _frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if self._signal_number is None:
            self._signal_number = number
        if self._wait_depth and not self._told:
            self._interrupt(self._signal_number)

    def _interrupt(self, signal_number: int) -> None:
        # The depth is settled here: an exception on its way out of __enter__ passes no __exit__.
        self._wait_depth = 0
        self._told = True
        raise Interrupted(signal_number)


class Wait:
    """A wait that a signal ends at once with :class:`Interrupted`; raised on entering if it came before.

    What was being read when the signal came is lost. A job that has been told once can wait undisturbed while
    it cleans up. In a thread other than the main one, where no signal arrives, nothing is interrupted.

    Args:
        signals: Whose signals.
    """

    __slots__ = ("_signals",)

    def __init__(self, signals: StopSignals) -> None:
        self._signals = signals

    def __enter__(self) -> None:
        self._signals.enter_wait()

    def __exit__(self, *_: object) -> None:
        self._signals.exit_wait()
