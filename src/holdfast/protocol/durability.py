"""How many rows of a stream are durable, derived from the engine's watermarks alone."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from holdfast.engine.interface import AnyEngine

MARKS_MAX = 64


class DurableRows:
    """Follows how many rows of one stream are durable.

    While the engine's durable watermark is below the decided one, marks remember which watermark makes how many rows of the
    stream durable. If there are too many marks, the newest one is replaced: its rows then count as durable a little late.

    Args:
        engine: The engine whose watermarks to follow.
    """

    __slots__ = ("_decided_at", "_engine", "_marks", "_rows", "_rows_decided")

    def __init__(self, engine: AnyEngine) -> None:
        self._engine = engine
        self._decided_at = 0
        self._rows_decided = 0
        self._rows = 0
        self._marks: deque[tuple[int, int]] | None = None

    @property
    def decided_at(self) -> int:
        """The engine's watermark that makes all rows durable."""
        return self._decided_at

    def start(self, rows: int, decided_at: int) -> None:
        """Begin with this many rows, which this watermark of the engine makes durable."""
        self._rows_decided = rows
        self._decided_at = decided_at

    def note(self, rows: int) -> None:
        """Note how many rows of the stream are decided now."""
        if rows == self._rows_decided:
            return
        self._rows_decided = rows
        self._decided_at = self._engine.decided
        if self._engine.durable < self._decided_at:
            if self._marks is None:
                self._marks = deque()
            if len(self._marks) == MARKS_MAX:
                self._marks.pop()
            self._marks.append((self._decided_at, rows))

    def is_behind(self) -> bool:
        """Whether there are rows that a crash would lose."""
        return self._engine.durable < self._decided_at

    def count(self) -> int:
        """Say how many rows of the stream a crash would not lose."""
        durable = self._engine.durable
        if durable >= self._decided_at:
            self._marks = None
            self._rows = self._rows_decided
        while self._marks and self._marks[0][0] <= durable:
            self._rows = self._marks.popleft()[1]
        return self._rows
