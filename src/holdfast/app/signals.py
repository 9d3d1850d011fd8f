"""Turns the signals that ask a process to stop into an exception at a place that the job chooses.

- A signal is noted; the job hears of it at its next :meth:`StopSignals.check` or, if it blocks, inside
  :meth:`StopSignals.interruptible`. A job is interrupted nowhere else, and never inside
  :meth:`StopSignals.undisturbed`.
- The same signal again ends the process at once, unless it comes together with the first: ``timeout`` and process
  groups send it twice.
- A job may set an alarm, for a time after which it wants to stop: that is one more signal.
- A signal that was ignored when the command started (``nohup``, a background job) stays ignored.
"""

from __future__ import annotations

import os
import signal
from _thread import get_ident
from time import monotonic

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

SAME_SIGNAL_SECONDS = 0.05
"""Two signals within so little time are one that was sent twice."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):  # noqa: N818  # not an error: somebody asked the job to stop
    """A signal asks the job to stop.

    Args:
        signal_number: Which one.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number

    def __reduce__(self) -> tuple[type[Interrupted], tuple[int]]:
        return type(self), (self.signal_number,)


class StopSignals:
    """Handles SIGINT, SIGTERM and SIGHUP between :meth:`install` and :meth:`restore`."""

    def __init__(self) -> None:
        self._before: dict[int, Callable[[int, FrameType | None], object] | int] = {}
        self._main_thread = get_ident()
        self._signal_number: int | None = None
        self._noted_at: dict[int, float] = {}
        self._told = False
        self._wait_depth = 0
        self._undisturbed_depth = 0
        self._wait = Region(self._enter_wait, self._exit_wait)
        self._undisturbed = Region(self._enter_undisturbed, self._exit_undisturbed)

    def install(self) -> None:
        """Handle the signals from here on.

        Raises:
            ValueError: Outside the main thread.
        """
        self._main_thread = get_ident()
        self._signal_number = None
        self._noted_at.clear()
        self._told = False
        self._wait_depth = 0
        self._undisturbed_depth = 0
        for number in _SIGNALS:
            handler = signal.getsignal(number)
            # None: installed by somebody's C code, which could not be put back.
            if handler is not None and handler is not signal.SIG_IGN:
                signal.signal(number, self._note)
                self._before[number] = handler

    def set_alarm(self, seconds: float) -> None:
        """Let SIGALRM come after so many seconds, and ask the job to stop; 0: not any more."""
        self._before.setdefault(signal.SIGALRM, signal.getsignal(signal.SIGALRM) or signal.SIG_DFL)
        signal.signal(signal.SIGALRM, self._note)
        signal.setitimer(signal.ITIMER_REAL, seconds)

    def restore(self) -> None:
        """Put back the handlers found by :meth:`install`; an alarm does not come any more."""
        if signal.SIGALRM in self._before:
            signal.setitimer(signal.ITIMER_REAL, 0)
        while self._before:
            signal.signal(*self._before.popitem())

    def check(self) -> None:
        """Stop here if a signal has asked for it.

        Raises:
            Interrupted: Every time, once a signal has come; never inside :meth:`undisturbed`.
        """
        if self._signal_number is not None and not self._undisturbed_depth:
            self._told = True
            raise Interrupted(self._signal_number)

    def interruptible(self) -> Region:
        """Mark a wait that a signal ends at once with :class:`Interrupted`; raised on entering if it came before.

        What was being read when the signal came is lost. A job that has been told once can wait undisturbed while
        it cleans up. In a thread other than the main one, where no signal arrives, nothing is interrupted.
        """
        return self._wait

    def undisturbed(self) -> Region:
        """Mark work that a signal neither stops nor tears: the signal is heard at the next check after it.

        The same signal again still ends the process at once. In a thread other than the main one it changes nothing.
        """
        return self._undisturbed

    def _enter_wait(self) -> None:
        """Let signals interrupt from here on, beginning with one that has already come."""
        if self._told or self._undisturbed_depth or get_ident() != self._main_thread:
            return
        # First the mark, then the look: a signal after the mark is raised by the handler, one before it here.
        self._wait_depth += 1
        if self._signal_number is not None:
            self._interrupt(self._signal_number)

    def _exit_wait(self) -> None:
        """Let signals no longer interrupt, unless an outer wait does."""
        if self._wait_depth and not self._undisturbed_depth and get_ident() == self._main_thread:
            self._wait_depth -= 1

    def _enter_undisturbed(self) -> None:
        """Let signals wait from here on."""
        if get_ident() == self._main_thread:
            self._undisturbed_depth += 1

    def _exit_undisturbed(self) -> None:
        """Let signals be heard again, unless something around it is undisturbed as well; a wait around it hears at once."""
        if get_ident() != self._main_thread:
            return
        # As on entering a wait: first the mark, then the look.
        self._undisturbed_depth -= 1
        if (
            self._wait_depth
            and not self._undisturbed_depth
            and not self._told
            and self._signal_number is not None
        ):
            self._interrupt(self._signal_number)

    def _note(self, number: int, _frame: FrameType | None) -> None:
        noted_at = self._noted_at.setdefault(number, now := monotonic())
        if noted_at != now:
            if now - noted_at >= SAME_SIGNAL_SECONDS:
                signal.signal(number, signal.SIG_DFL)
                os.kill(os.getpid(), number)
            return
        if self._signal_number is None:
            self._signal_number = number
        if self._wait_depth and not self._told and not self._undisturbed_depth:
            self._interrupt(self._signal_number)

    def _interrupt(self, signal_number: int) -> None:
        # The depth is settled here: an exception on its way out of __enter__ passes no __exit__.
        self._wait_depth = 0
        self._told = True
        raise Interrupted(signal_number)


class Region:
    """A stretch of work in which signals are treated in a way of its own; see the methods that give one.

    Args:
        enter: Called on entering.
        leave: Called on leaving, however that happens.
    """

    __slots__ = ("_enter", "_leave")

    def __init__(self, enter: Callable[[], None], leave: Callable[[], None]) -> None:
        self._enter = enter
        self._leave = leave

    def __enter__(self) -> None:
        self._enter()

    def __exit__(self, *_: object) -> None:
        self._leave()
