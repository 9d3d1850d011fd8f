"""What a ledger remembers beside its accounts and transactions: how far streams and partitions are, answered requests."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.engine.streams import KnownStream
from holdfast.storage.requests import KnownRequest, Requests
from holdfast.storage.sources import Sources
from holdfast.storage.streams import Streams

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.domain.origin import SourcePosition
    from holdfast.storage.entry import Entry
    from holdfast.storage.requests import RequestRecords


class RememberedState(NamedTuple):
    """All of it at one point in time, as a checkpoint holds it."""

    streams: Mapping[str, KnownStream]
    sources: tuple[SourcePosition, ...] = ()
    requests: tuple[RequestRecords, ...] = ()


class Remembered:
    """What a ledger remembers; it moves on with every decision.

    Args:
        state: What is known so far.
    """

    def __init__(self, state: RememberedState | None = None) -> None:
        self.streams = Streams(None if state is None else state.streams)
        self.sources = Sources(() if state is None else state.sources)
        self.requests = Requests(() if state is None else state.requests)

    def has_content_of(self, other: Remembered) -> bool:
        """Say whether both know the same; when it was decided is told by the journal alone."""
        streams, others = (
            {name: known[:4] for name, known in each.streams.copy().items()} for each in (self, other)
        )
        return (
            streams == others
            and set(self.sources.copy()) == set(other.sources.copy())
            and self.requests.content() == other.requests.content()
        )

    def copy(self) -> RememberedState:
        """Copy all of it; within the core's lock, that is a consistent picture."""
        return RememberedState(self.streams.copy(), self.sources.copy(), self.requests.copy())

    def follow(self, entry: Entry, outcomes: Mapping[int, int]) -> None:
        """Move on by what the journal says of an entry's rows.

        Args:
            entry: The entry.
            outcomes: The outcome codes of the rows of requests, by their number in the entry; those that were decided.
        """
        segments = entry.sections.segments
        for number, segment in enumerate(segments):
            if segment.stream is not None:
                end = segments[number + 1].first_row if number + 1 < len(segments) else entry.count
                rows = segment.position + end - segment.first_row
                state = KnownStream(rows, segment.digest, segment.budgeted, segment.stopped, entry.end)
                self.streams.restore(segment.stream, state)
        for _, position in entry.sections.sources:
            self.sources.restore(position)
        for each in entry.sections.requests:
            span = range(*each.span)
            codes = bytes(outcomes[row] for row in span if row in outcomes)
            if len(codes) == each.rows:
                known = KnownRequest(each.fingerprint, codes, entry.sequence + span.stop, entry.time_us)
                self.requests.remember(each.key, known, each.rows_before)
