"""One run of a stream processor: its sources by name, how each is decided, and the counts of all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.engine.policy import CompiledPolicy
from holdfast.engine.rows import to_row
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import Tally
from holdfast.streaming.source_run import SourceGroup, SourceRun
from holdfast.streaming.sources import Source, find_opener
from holdfast.streaming.statistics import SourceReport, SourceState, add_counts, make_report

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from holdfast.domain.transaction import Transaction
    from holdfast.engine.interface import AnyEngine
    from holdfast.engine.policy import ErrorPolicy
    from holdfast.engine.report import Report
    from holdfast.io.rejects import RejectWriter
    from holdfast.streaming.sources import Pieces

    Opened = tuple[SourceRun, Pieces]

# Looking a member of an enumeration up costs as much as some rows.
_RUNNING, _FAILED, _CANCELLED = SourceState.RUNNING, SourceState.FAILED, SourceState.CANCELLED
_DURABLE_SECONDS = 0.001
"""How often to check whether a transaction is durable."""
_ROOM_SECONDS = 0.001
_log = logging.getLogger("holdfast.streaming")


class RunLimits:
    """Limits of a run.

    Args:
        sources_max: Sources that were added and have not ended.
        readers_max: Files that are read at a time, each by a thread with two blocks of its own.
        reports_max: Ended sources whose reports are kept; the totals still count older ones.

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


class StreamRun:
    """Opens sources, notes how they ended, and adds up their counts.

    Args:
        engine: The engine to apply rows to.
        policy: What to do about rows that are not applied, for sources without a policy of their own.
        rejects: Where to list them.
        limits: The limits of the run.
    """

    def __init__(
        self, engine: AnyEngine, policy: CompiledPolicy, rejects: RejectWriter | None, limits: RunLimits
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self.streams: dict[str, SourceRun] = {}
        self._clock = clock_of(self.loop)
        self._readers = asyncio.Semaphore(limits.readers_max)
        self._reports_max = limits.reports_max
        self._engine = engine
        self._policy = policy
        self._rejects = rejects
        self._number = 0
        self._ended: deque[SourceRun] = deque()
        self._failed = 0
        # Keyed by the engine that gets their rows. A source with its own policy has its own group, and keeps it while it runs.
        self._groups: dict[int, SourceGroup] = {}
        # The counts of such sources that have ended.
        self._private_rows = self._private_bytes = 0
        self._private_refused: dict[int, int] = {}
        self._group = None if engine.spreads_sources else self._group_of("", None)
        # The next source is nearly always of the same class as the one before.
        self._known_kind: type[Any] | None = None
        self._open_known: Callable[[Any, asyncio.Semaphore], Pieces] | None = None
        self._applied = Tally()
        self._start = self._clock()
        self._end: float | None = None

    def open(self, source: object, name: str | None = None) -> Opened:
        """Open a source; without a name it is called by its number.

        Raises:
            TypeError: If it is not a source.
            ValueError: If the run has a source of this name.
            PolicyError: If its own policy cannot be used.
        """
        self._number += 1
        group = self._group
        if group is None or type(source) is not self._known_kind:
            return self._open_other(source, name)
        pieces = self._open_known(source, self._readers)  # type: ignore[misc]  # known as well as the class
        return self._enter(name, group), pieces

    def close(self, stream: SourceRun, state: SourceState, error: Exception | None = None) -> None:
        """Note how a source ended, and log it if it failed."""
        if stream.state is not _RUNNING:
            return
        if stream.close(state, error).is_private:
            self._private_rows += stream.inlet.rows
            self._private_bytes += stream.inlet.input_bytes
            add_counts(self._private_refused, stream.inlet.refused_by_code())
        if state is _FAILED:
            self._failed += 1
            _log.error("source %s failed: %s", stream.name, _said(error), extra={"source": stream.name})
        ended = self._ended
        ended.append(stream)
        if len(ended) > self._reports_max:
            del self.streams[ended.popleft().name]

    async def apply(self, transaction: Transaction) -> Outcome:
        """Apply one transaction beside the sources; give its outcome once that is durable.

        Raises:
            TypeError: If it is not a transaction.
        """
        batch = Batch.from_rows([to_row(transaction, self._engine.settings)])
        self._engine.decide(batch, 0, 1, self._applied, None, 0)
        decided = self._engine.decided
        while self._engine.durable < decided:  # a watermark gives no signal when it moves
            self.check_failure()
            await asyncio.sleep(_DURABLE_SECONDS)
        return Outcome(batch.outcome(0))

    @property
    def is_congested(self) -> bool:
        """Whether so much is decided and not durable that the sources should wait."""
        return self._engine.is_congested

    async def wait_for_room(self) -> None:
        """Wait while so much is decided and not durable that the sources should not bring more."""
        while self._engine.is_congested:  # a few milliseconds, until the next commit
            self.check_failure()
            await asyncio.sleep(_ROOM_SECONDS)

    async def wait_durable(self) -> None:
        """Wait until all that is decided is durable.

        Raises:
            Exception: Why it never will be.
        """
        if self._engine.durable < self._engine.decided:
            await asyncio.to_thread(self._engine.wait_durable)

    def check_failure(self) -> None:
        """Raise the reason if nothing becomes durable any more.

        Raises:
            Exception: The reason.
        """
        if self._engine.failure is not None:
            raise self._engine.failure

    def end(self) -> None:
        """Stop the clock; mark sources that have not ended as cancelled."""
        for stream in self._running():
            self.close(stream, _CANCELLED)
        self._end = self._clock()

    def report(self) -> Report:
        """Report on all rows so far."""
        pools = [group.pool for group in self._groups.values()]
        running = [stream.inlet for stream in self._running()]
        refused = dict(self._private_refused)
        for counts in (
            self._applied.refused_by_code(),
            *(pool.ended_refused_by_code() for pool in pools),
            *(inlet.refused_by_code() for inlet in running),
        ):
            add_counts(refused, counts)
        end = self._end if self._end is not None else self._clock()
        return make_report(
            self._engine.totals(),
            rows=self._applied.rows
            + self._private_rows
            + sum(pool.ended_rows for pool in pools)
            + sum(inlet.rows for inlet in running),
            refused_by_code=refused,
            input_bytes=self._private_bytes
            + sum(pool.ended_input_bytes for pool in pools)
            + sum(inlet.input_bytes for inlet in running),
            seconds=end - self._start,
            failed=self._failed,
        )

    def source_report(self, name: str) -> SourceReport:
        """Report on one source so far.

        Raises:
            KeyError: If there is no source of this name, or it ended so long ago that only the totals count it.
        """
        return self.streams[name].report()

    def _open_other(self, source: object, name: str | None) -> Opened:
        """Open a source with a name or a policy of its own, of another class than the one before, or for shards."""
        policy = None
        is_wrapped = isinstance(source, Source)
        if isinstance(source, Source):
            source, own_name, policy = source
            name = name if name is not None else own_name
        open_kind = find_opener(type(source))  # type: ignore[arg-type]  # classes are hashable
        pieces = open_kind(source, self._readers)
        known_as = name if name is not None else str(self._number)
        group = (
            self._group if self._group is not None and policy is None else self._group_of(known_as, policy)
        )
        if not is_wrapped:
            self._known_kind, self._open_known = type(source), open_kind
        return self._enter(name, group), pieces

    def _enter(self, stream: str | None, group: SourceGroup) -> SourceRun:
        """Note a source; one without a name of its own is called by its number, and is no named stream."""
        streams = self.streams
        name = str(self._number) if stream is None else stream
        if name in streams:
            raise ValueError(f"two sources are named {name!r}: give one of them another name")
        source = streams[name] = SourceRun(name, group, stream)
        return source

    def _group_of(self, name: str, policy: ErrorPolicy | None) -> SourceGroup:
        target = self._engine.engine_of(name)
        if policy is None and id(target) in self._groups:
            return self._groups[id(target)]
        compiled = self._policy if policy is None else CompiledPolicy(policy)
        group = SourceGroup(
            self._engine, target, compiled, self._rejects, self._clock, is_private=policy is not None
        )
        if policy is None:
            self._groups[id(target)] = group
        return group

    def _running(self) -> list[SourceRun]:
        if len(self.streams) == len(self._ended):
            return []
        return [stream for stream in self.streams.values() if not stream.has_ended]


def clock_of(loop: asyncio.AbstractEventLoop) -> Callable[[], float]:
    """Give the function that tells a loop's time; for the standard library's loop, the one that the loop itself calls."""
    return time.monotonic if getattr(type(loop), "time", None) is asyncio.BaseEventLoop.time else loop.time


def _said(error: Exception | None) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


class SourceReports(Mapping[str, SourceReport]):
    """The reports of a run's sources by name; each is made when it is looked up."""

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
