"""When to try again: exponential backoff with full jitter, so that a thousand senders do not come back at once."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    Uniform = Callable[[float, float], float]

_DOUBLINGS_MAX = 60


class Backoff:
    """Gives the wait before each attempt: any time up to a bound that doubles.

    Args:
        seconds: The bound of the first wait.
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
        """Begin again: there was progress."""
        self._attempts = 0
