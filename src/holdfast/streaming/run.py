"""The books of a run: its sources by name, how each is decided, what became of them all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from holdfast.engine.deciding import Decider
from holdfast.engine.policy import CompiledPolicy, ErrorPolicy
from holdfast.streaming.books import Books
from holdfast.streaming.sources import Source, find_opener
from holdfast.streaming.statistics import Counts, SourceReport, SourceState
from holdfast.streaming.stream import Lane, Stream, describe_row

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.engine.report import Report
    from holdfast.io.rejects import RejectWriter
    from holdfast.streaming.sharding import RowTarget
    from holdfast.streaming.sources import Pieces


class Limits:
    """How much of everything a run may have at a time.

    Args:
        sources_max: Sources that were added and have not ended.
        readers_max: Files that are read at a time, each by a thread with two blocks of its own.
        reports_max: Ended sources whose reports are kept; of older ones the counts stay in the totals.

    Raises:
        ValueError: If one of them is not positive.
    """

    __slots__ = ("readers_max", "reports_max", "sources_max")

    def __init__(self, sources_max: int, readers_max: int, reports_max: int) -> None:
        if min(sources_max, readers_max, reports_max) < 1:
            raise ValueError("sources_max, readers_max and reports_max are 1 or more")
        self.sources_max = sources_max
        self.readers_max = readers_max
        self.reports_max = reports_max


class StreamRun(Books):
    """One run of a stream processor.

    Args:
        target: What the rows go to.
        policy: What to do about rows that are not applied, where a source says nothing else.
        rejects: Where to list them.
        limits: How much there may be at a time.
    """

    def __init__(
        self, target: RowTarget, policy: CompiledPolicy, rejects: RejectWriter | None, limits: Limits
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._clock = clock_of(self.loop)
        super().__init__(
            self._clock, SourceState.RUNNING, asyncio.Semaphore(limits.readers_max), limits.reports_max
        )
        self._target = target
        self._policy = policy
        self._rejects = rejects
        self._lanes: dict[int, Lane] = {}
        self._one_lane = None if target.spreads_sources else self._new_lane(policy, "")
        self._start = self._clock()
        self._end: float | None = None

    def open_other(self, source: object, name: str | None) -> tuple[Stream, Pieces]:
        """Open a source with a name or a policy of its own, or of another class than the one before."""
        policy = None
        is_plain = not isinstance(source, Source)
        if isinstance(source, Source):
            source, own_name, policy = source
            name = name if name is not None else own_name
        open_kind = find_opener(type(source))  # type: ignore[arg-type]  # classes are hashable
        pieces = open_kind(source, self.readers)
        lane = self._one_lane
        if lane is None or policy is not None:
            name = name if name is not None else str(self.number)
            lane = self._lane(name, policy)
        elif is_plain:
            self.expect(type(source), open_kind, lane.like)
        return self.enter(name, pieces, lane.like)

    def end(self) -> None:
        """Stop the clock; sources that have not ended were cancelled."""
        for stream in self.running_streams():
            self.close(stream, SourceState.CANCELLED)
        self._end = self._clock()

    def report(self) -> Report:
        """Say what became of all rows so far."""
        counts = Counts()
        counts.rows = self.totals.rows
        counts.input_bytes = self.totals.input_bytes
        counts.add_refused(self.totals.refused_by_code())
        for stream in self.running_streams():
            stream.count_into(counts)
        end = self._end if self._end is not None else self._clock()
        return counts.report(self._target, end - self._start)

    def source_report(self, name: str) -> SourceReport:
        """Say what became of one source so far.

        Raises:
            KeyError: If there is none of this name, or it ended so long ago that only the totals know of it.
        """
        return self.streams[name].report(self._clock())

    def _lane(self, name: str, policy: ErrorPolicy | None) -> Lane:
        """Find the lane of a source that is not decided as all the others are."""
        if policy is not None:
            # Not kept: there may be as many policies as there are sources, and for ever new ones.
            return self._new_lane(CompiledPolicy(policy), name)
        key = id(self._target.engine_of(name))
        if key not in self._lanes:
            self._lanes[key] = self._new_lane(self._policy, name)
        return self._lanes[key]

    def _new_lane(self, policy: CompiledPolicy, name: str) -> Lane:
        engine = self._target.engine_of(name)
        decider = Decider(engine, policy, self._rejects, describe_row)
        decoder = self._target.new_decoder(keep_source=decider.needs_text)
        return Lane(
            decider, policy, decoder, self._target, engine=engine, clock=self._clock, totals=self.totals
        )


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Give what tells a loop's time; a loop of the standard library only passes the question on."""
    return time.monotonic if getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time else loop.time


class SourceReports(Mapping[str, SourceReport]):
    """The reports of a run's sources by name, each made when it is looked at."""

    def __init__(self, run: StreamRun | None) -> None:
        self._run = run

    def __getitem__(self, name: str) -> SourceReport:
        if self._run is None:
            raise KeyError(name)
        return self._run.source_report(name)

    def __iter__(self) -> Iterator[str]:
        return iter(() if self._run is None else list(self._run.streams))

    def __len__(self) -> int:
        return 0 if self._run is None else len(self._run.streams)
