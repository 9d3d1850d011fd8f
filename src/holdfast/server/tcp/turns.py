"""Shares the time of the event loop: connections with much to do take turns, those with little to do never wait.

A turn of the loop has a budget. Once it is spent, a connection whose piece of input was expensive is paused and joins a
queue; each following turn lets as many of the queue go on as its budget allows. So a turn stays short however many senders
send at full speed, and a small batch of rows is decided in the turn in which it comes. Time is that of the CPU: what other
processes take is nobody's fault here.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Waiting(Protocol):
        """A connection that waits for its turn."""

        piece_seconds: float
        """CPU time that its next piece of input will cost, as far as the last one tells."""

        def take_turn(self) -> None:
            """Go on: with input that is left over, or by reading again."""


TURN_SECONDS = 0.005
"""The budget of a turn."""
CHEAP_SECONDS = 0.25e-3
"""A connection whose piece of input costs no more than this, and was all there was, never waits."""
_ROUND_SECONDS = 0.1
_PIECE_SECONDS_MIN = CHEAP_SECONDS
_PIECE_SECONDS_MAX = 2e-3
_SECONDS_PER_BYTE_FIRST = 4e-9
_LEARNT_BYTES_MIN = 1024
_LEARNT_SHARE = 0.1


class Turns:
    """The turns of one event loop.

    Args:
        is_blocked: Says whether nobody may go on for now; :meth:`go_on` is called when that has changed.
    """

    __slots__ = (
        "_is_scheduled",
        "_queue",
        "_spent_seconds",
        "is_blocked",
        "piece_began",
        "piece_bytes_max",
        "seconds_per_byte",
    )

    def __init__(self, is_blocked: Callable[[], bool]) -> None:
        self.is_blocked = is_blocked
        self._queue: deque[Waiting] = deque()
        self._spent_seconds = 0.0
        self._is_scheduled = False
        self.piece_began = 0.0
        """The CPU time at which the piece of input that is being read began."""
        self.piece_bytes_max = 0
        """How long that piece may be."""
        self.seconds_per_byte = _SECONDS_PER_BYTE_FIRST
        """What input costs, a moving average over all connections."""

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def is_spent(self) -> bool:
        """Whether the budget of this turn is spent."""
        return self._spent_seconds >= TURN_SECONDS

    @property
    def is_crowded(self) -> bool:
        """Whether a connection with much to do has to queue."""
        return bool(self._queue) or self._spent_seconds >= TURN_SECONDS

    @property
    def piece_seconds(self) -> float:
        """How long the next piece of input of a connection should take: the less, the more of them wait."""
        return max(_PIECE_SECONDS_MIN, min(_PIECE_SECONDS_MAX, _ROUND_SECONDS / (len(self._queue) + 1)))

    def spend(self, seconds: float) -> None:
        """Count time that was spent in this turn."""
        self._spent_seconds += seconds
        if self._spent_seconds >= TURN_SECONDS:
            self._schedule()

    def learn(self, count: int, seconds: float) -> None:
        """Note what a piece of input of so many bytes cost."""
        # In a short one the cost of the read itself prevails.
        if count >= _LEARNT_BYTES_MIN:
            self.seconds_per_byte += (seconds / count - self.seconds_per_byte) * _LEARNT_SHARE

    def wait(self, connection: Waiting) -> None:
        """Put a connection at the end of the queue."""
        self._queue.append(connection)
        self._schedule()

    def go_on(self) -> None:
        """Let those that wait go on, in their turn, if nothing blocks them any more."""
        if self._queue:
            self._schedule()

    def clear(self) -> None:
        """Let nobody go on."""
        self._queue.clear()

    def _schedule(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            # Called before the events of the next turn.
            asyncio.get_running_loop().call_soon(self._begin_turn)

    def _begin_turn(self) -> None:
        self._is_scheduled = False
        self._spent_seconds = 0.0
        if self.is_blocked():
            return
        # What those that go on will read is known only when they have read it.
        promised_seconds = 0.0
        for _ in range(len(self._queue)):
            if self._spent_seconds + promised_seconds >= TURN_SECONDS:
                break
            connection = self._queue.popleft()
            promised_seconds += connection.piece_seconds
            connection.take_turn()
        if self._queue:
            self._schedule()
