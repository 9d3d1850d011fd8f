"""Messages of a broker's partition as the inputs of a run: which of them are left, and at which of them each row is."""

from __future__ import annotations

from holdfast.domain.origin import SourceRows
from holdfast.domain.picklable import Picklable

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from typing import NamedTuple

    from holdfast.domain.origin import SourcePosition
    from holdfast.kernel.inlet import Inlet
else:
    from holdfast.domain.named_tuples import NamedTuple


class SourceMessages(NamedTuple):
    """Says that inputs are consecutive messages of a broker's partition."""

    topic: str
    partition: int
    offsets: Sequence[int]
    """The offset of each message, one for each input; they grow, and may have gaps."""


class MessageChangedError(Picklable, Exception):
    """A message is not the one of which rows were decided; nothing of it was decided now.

    Args:
        topic: The topic.
        partition: The partition.
        offset: The message's offset.
        row: How many rows of it were decided.
    """

    def __init__(self, topic: str, partition: int, offset: int, row: int) -> None:
        super().__init__(
            f"the message at offset {offset} of partition {partition} of topic {topic!r} has fewer rows than the {row} that were "
            "decided of it: it is another message; look for who has changed the topic"
        )
        self.offset = offset


class MessageRun:
    """Follows a run through messages.

    Args:
        messages: The messages.
        known: How far the partition is decided; None if nothing of it is.

    Raises:
        ValueError: If offsets do not grow, or there can be no such partition.
    """

    __slots__ = ("_is_first", "_left", "_row", "first", "rows")

    def __init__(self, messages: SourceMessages, known: SourcePosition | None) -> None:
        self.rows = SourceRows(messages.topic, messages.partition)
        offsets = messages.offsets
        if list(offsets) != sorted(set(offsets)):
            raise ValueError("the offsets of messages grow from one to the next")
        self.first = 0 if known is None else sum(offset < known.next_offset for offset in offsets)
        """How many of the messages are decided already."""
        self._left: Iterator[int] = iter(offsets[self.first :])
        self._row = known.row if known is not None and known.next_offset in offsets else 0
        self._is_first = True

    def begin(self, inlet: Inlet) -> None:
        """Take note that the next message begins; let the inlet skip the rows of it that are decided."""
        offset = next(self._left)
        self.rows.begin(offset, 0 if self._is_first else inlet.position)
        if self._is_first and self._row:
            inlet.follow(inlet.stream, self._row, 0)
            inlet.skip_rows(self._row, 0)
        self._is_first = False

    def end(self, inlet: Inlet) -> None:
        """Take note that the message has ended.

        Raises:
            MessageChangedError: If it has fewer rows than were decided of it.
        """
        if inlet.rows_to_skip:
            position = self.rows.position_after(0)
            raise MessageChangedError(self.rows.topic, self.rows.partition, position.next_offset, self._row)
