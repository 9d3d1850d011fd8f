"""What a ledger remembers beside its accounts and transactions: how far streams and partitions are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.engine.streams import KnownStream
from holdfast.storage.sources import Sources
from holdfast.storage.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.domain.origin import SourcePosition
    from holdfast.storage.entry import Entry


class RememberedState(NamedTuple):
    """All of it at one point in time, as a checkpoint holds it."""

    streams: Mapping[str, KnownStream]
    sources: tuple[SourcePosition, ...] = ()

    def has_content_of(self, other: RememberedState) -> bool:
        """Say whether both know the same; when it was decided is told by the journal alone."""
        streams, others = (
            {name: each[:4] for name, each in state.streams.items()} for state in (self, other)
        )
        return streams == others and set(self.sources) == set(other.sources)


class Remembered:
    """What a ledger remembers; it moves on with every decision.

    Args:
        state: What is known so far.
    """

    def __init__(self, state: RememberedState | None = None) -> None:
        self.streams = Streams(None if state is None else state.streams)
        self.sources = Sources(() if state is None else state.sources)

    def copy(self) -> RememberedState:
        """Copy all of it; within the core's lock, that is a consistent picture."""
        return RememberedState(self.streams.copy(), self.sources.copy())

    def follow(self, entry: Entry) -> None:
        """Move on by what the journal says of an entry's rows."""
        segments = entry.sections.segments
        for number, segment in enumerate(segments):
            if segment.stream is not None:
                end = segments[number + 1].first_row if number + 1 < len(segments) else entry.count
                rows = segment.position + end - segment.first_row
                state = KnownStream(rows, segment.digest, segment.budgeted, segment.stopped, entry.end)
                self.streams.restore(segment.stream, state)
        for _, position in entry.sections.sources:
            self.sources.restore(position)
