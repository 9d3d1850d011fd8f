"""How far the partitions of brokers are decided: the positions from which their consumers go on."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.storage.failures import SourceBusyError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from holdfast.domain.origin import SourcePosition, SourceRows


class SourcePositionError(ValueError):
    """Rows of a partition came that are decided already."""


class Sources:
    """The positions of all partitions that rows came from, in memory: some 300 bytes for each.

    Args:
        known: The positions so far.
    """

    def __init__(self, known: Iterable[SourcePosition] = ()) -> None:
        self._positions = {(each.topic, each.partition): each for each in known}
        self._lock = threading.Lock()
        self._in_use: set[tuple[str, int]] = set()

    def copy(self) -> tuple[SourcePosition, ...]:
        """Copy all positions; within the core's lock, that is a consistent picture."""
        return tuple(self._positions.values())

    def find(self, topic: str, partition: int) -> SourcePosition | None:
        """Give the position of a partition; None if no row of it is decided."""
        return self._positions.get((topic, partition))

    def check_position(self, source: SourceRows, row: int) -> None:
        """Refuse rows that are decided already, before they are decided again.

        Args:
            source: The messages that the rows are.
            row: The first of the rows.

        Raises:
            SourcePositionError: If they are.
            ValueError: If no message has begun.
        """
        position = source.position_after(row)
        known = self.find(source.topic, source.partition)
        if known is not None and position < known:
            raise SourcePositionError(
                f"partition {known.partition} of topic {known.topic!r} is decided up to row {known.row} of the message at "
                f"offset {known.next_offset}, so row {position.row} of that at offset {position.next_offset} cannot be the "
                "next one; ask source_position() where to go on"
            )

    def advance(self, source: SourceRows, row: int) -> SourcePosition:
        """Move a partition on; give its new position.

        Args:
            source: The messages that the rows are.
            row: How many of their rows are decided.
        """
        position = source.position_after(row)
        self.restore(position)
        return position

    def restore(self, position: SourcePosition) -> None:
        """Set a position that the journal tells."""
        self._positions[position.topic, position.partition] = position

    @contextmanager
    def claimed(self, topic: str, partition: int) -> Iterator[None]:
        """Bring rows of a partition, and let nobody else do so meanwhile.

        Raises:
            SourceBusyError: If somebody else does so now.
        """
        with self._lock:
            if (topic, partition) in self._in_use:
                raise SourceBusyError(topic, partition)
            self._in_use.add((topic, partition))
        try:
            yield
        finally:
            with self._lock:
                self._in_use.discard((topic, partition))
