"""When to connect again and when to give up."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Uniform = Callable[[float, float], float]

_DOUBLINGS_MAX = 60


class Backoff:
    """Gives the wait before each attempt: exponential, with full jitter, so that a thousand clients do not return at once.

    Args:
        seconds: The upper bound of the first wait.
        seconds_max: Where the doubling ends.
        uniform: Gives a number between two others.
    """

    def __init__(self, seconds: float, seconds_max: float, uniform: Uniform = random.uniform) -> None:
        self._seconds = seconds
        self._seconds_max = seconds_max
        self._uniform = uniform
        self._attempts = 0

    def next_seconds(self) -> float:
        """Give the next wait."""
        bound = min(self._seconds_max, self._seconds * 2.0 ** min(self._attempts, _DOUBLINGS_MAX))
        self._attempts += 1
        return self._uniform(0.0, bound)

    def reset(self) -> None:
        """Begin again after progress."""
        self._attempts = 0


class RetryBudget:
    """Counts the time that is spent without progress because connections fail.

    Progress is a row acknowledged that was never acknowledged before: rows that a server has forgotten and decides again
    are none. The time of a connection that owes no reply is not counted.

    Args:
        seconds_max: How much may be spent; 0: the first failure is the last.
        backoff: Gives the waits.
        clock: Gives seconds, from any start.
    """

    def __init__(
        self, seconds_max: float, backoff: Backoff, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._seconds_max = seconds_max
        self._backoff = backoff
        self._clock = clock
        self._highest = 0
        self._spent = 0.0
        self._since = clock()

    def note_progress(self, row: int) -> None:
        """Learn that rows up to this one are acknowledged."""
        if row > self._highest:
            self._highest = row
            self._spent = 0.0
            self._since = self._clock()
            self._backoff.reset()

    def note_idle(self) -> None:
        """Learn that nothing was due until now."""
        self._since = self._clock()

    def next_seconds(self) -> float | None:
        """Give the wait before the next attempt; None if the time is used up."""
        now = self._clock()
        self._spent += now - self._since
        self._since = now
        seconds = self._backoff.next_seconds()
        if self._seconds_max <= 0 or self._spent + seconds > self._seconds_max:
            return None
        return seconds

    @property
    def spent_seconds(self) -> float:
        """How much of the time is used up."""
        return self._spent
