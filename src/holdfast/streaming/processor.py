"""Runs any number of sources into one ledger: one after the other, concurrently, to completion or for ever.

There is one writer, the event loop: it decodes and applies a piece of a source as soon as it arrives, before it asks the source
for the next one. So nothing queues between sources and ledger, and a fast sender waits because nobody asks it for more. The only
queue is between a thread that reads a file and the loop: two blocks of 256 KiB a file, for a limited number of files.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterable, Mapping
from contextlib import asynccontextmanager
from itertools import repeat
from typing import TYPE_CHECKING

from holdfast.engine.policy import CompiledPolicy, ErrorPolicy
from holdfast.streaming.pump import Pump
from holdfast.streaming.run import RunLimits, SourceReports, StreamRun
from holdfast.streaming.sources import Source

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from typing import Literal

    from holdfast.domain.outcome import Outcome
    from holdfast.domain.transaction import Transaction
    from holdfast.engine.interface import AnyEngine
    from holdfast.engine.report import Report
    from holdfast.io.rejects import RejectWriter
    from holdfast.streaming.snapshots import Snapshots
    from holdfast.streaming.sources import AnySource
    from holdfast.streaming.statistics import SourceReport

    OnSourceError = Literal["report", "raise"]

SOURCES_MAX = 65_536
READERS_MAX = 16
REPORTS_MAX = 100_000


class StreamProcessor:
    """Runs sources into an engine, into shards, or into another object with an engine's interface.

    A source is a path, bytes, a binary file object, an ``asyncio.StreamReader``, or an iterable or asynchronous iterable of
    bytes, of batches, of transactions or of lists of transactions; or one of these in a :class:`Source`, with a name and a
    policy of its own. Threads read paths and files; the event loop steps all other sources, so an iterable must not wait for
    anything.

    A processor has one run at a time. During a run and after it, :meth:`report` and :attr:`sources` give its counts.

    Args:
        engine: The engine to apply rows to; no one else may apply rows to it during a run.
        policy: What to do about rows that are not applied, for each source separately: each source has its own budget, and a
            policy that stops one source stops no other. By default rows are skipped.
        rejects: Where to list rows that are not applied.
        snapshots: Snapshots to take on their schedule during a run.
        sources_max: How many sources may be open at a time. ``merge`` takes more sources from its iterable as others end.
        readers_max: How many paths and files are read at a time; each costs a thread and two blocks of 256 KiB.
            Those within an adapter do not count: a source that reads several of them would wait for itself.
        reports_max: How many reports of ended sources are kept; the totals still count older sources.

    Raises:
        PolicyError: If the policy cannot be used.
        ValueError: If a limit is not positive.
    """

    def __init__(
        self,
        engine: AnyEngine,
        *,
        policy: ErrorPolicy | None = None,
        rejects: RejectWriter | None = None,
        snapshots: Snapshots | None = None,
        sources_max: int = SOURCES_MAX,
        readers_max: int = READERS_MAX,
        reports_max: int = REPORTS_MAX,
    ) -> None:
        self.engine = engine
        self._policy = CompiledPolicy(policy or ErrorPolicy())
        self._rejects = rejects
        self._snapshots = snapshots
        self._limits = RunLimits(sources_max, readers_max, reports_max)
        self._run: StreamRun | None = None
        self._is_running = False

    @property
    def sources(self) -> Mapping[str, SourceReport]:
        """The reports of the current run's sources, or the last run's, by name."""
        return SourceReports(self._run)

    def report(self) -> Report:
        """Report on all rows of the current run, or of the last one.

        Raises:
            RuntimeError: If there was no run yet.
        """
        if self._run is None:
            raise RuntimeError("there is no report before the first run")
        return self._run.report()

    async def chain(self, *sources: AnySource, on_source_error: OnSourceError = "raise") -> Report:
        """Run sources one after the other, in this order, as if they were one.

        Args:
            sources: The sources.
            on_source_error: ``raise``: a source that fails or is stopped by its policy ends the run, and its error is raised.
                ``report``: the source ends alone, its report says why, and the next one follows.

        Returns:
            Counts of all rows.

        Raises:
            PolicyAbort: If a policy stopped; the exception has the report of the source, :meth:`report` gives that of the run.
            InputError: If a source has no usable header.
            TypeError: If one of them is not a source.
            ValueError: If two sources have the same name.
        """
        async with self._begin(on_source_error) as (run, pump):
            await pump.drive(run.open(source) for source in sources)
            await run.wait_durable()
        return run.report()

    async def merge(
        self,
        sources: Mapping[str, AnySource] | Iterable[AnySource],
        *,
        on_source_error: OnSourceError = "report",
    ) -> Report:
        """Run sources concurrently; the order within each is kept.

        Cancelling it leaves the ledger between two batches, closes generators, and ends threads that read files.

        Args:
            sources: A mapping of names to sources, or an iterable of sources, which are then called 1, 2 and so on. The next
                source is taken from an iterator when there is room for it.
            on_source_error: ``report``: a source that fails or is stopped by its policy ends alone, and its report says why.
                ``raise``: it ends the run, and its error is raised.

        Returns:
            Counts of all rows.

        Raises:
            PolicyAbort: With ``raise``, if a policy stopped.
            InputError: With ``raise``, if a source has no usable header.
            TypeError: If one of them is not a source, or ``sources`` is neither a mapping nor an iterable of sources.
            ValueError: If two sources have the same name.
        """
        named = _named(sources)
        async with self._begin(on_source_error) as (run, pump):
            pump.add_all(named)
            await pump.wait()
            await run.wait_durable()
        return run.report()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Running]:
        """Run sources that are added while others run, for ever if need be.

        Leaving the block waits for all of them to end; leaving it with an exception cancels them. A source that fails or is
        stopped by its policy ends alone, and its report says why.
        """
        async with self._begin("report") as (run, pump):
            yield Running(run, pump)
            await pump.wait()

    @asynccontextmanager
    async def _begin(self, on_source_error: OnSourceError) -> AsyncIterator[tuple[StreamRun, Pump]]:
        if on_source_error not in {"report", "raise"}:
            raise ValueError(f"on_source_error is 'report' or 'raise', not {on_source_error!r}")
        if self._is_running:
            raise RuntimeError(
                "a processor has one run at a time: add sources to the current one, or use another processor"
            )
        self._is_running = True
        run = self._run = StreamRun(self.engine, self._policy, self._rejects, self._limits)
        pump = Pump(run, self._limits.sources_max, raises=on_source_error == "raise")
        snapshots = asyncio.ensure_future(self._snapshots.run()) if self._snapshots is not None else None
        try:
            yield run, pump
        finally:
            try:
                await pump.stop()
            finally:
                run.end()
                self._is_running = False
                if snapshots is not None:
                    snapshots.cancel()
                    await asyncio.wait((snapshots,))


class Running:
    """A run that takes more sources while it lasts; ``StreamProcessor.running`` makes one."""

    def __init__(self, run: StreamRun, pump: Pump) -> None:
        self._run = run
        self._pump = pump

    @property
    def sources(self) -> Mapping[str, SourceReport]:
        """The reports of the sources by name, including sources that have ended."""
        return SourceReports(self._run)

    @property
    def open_sources(self) -> int:
        """How many sources have not ended."""
        return self._pump.open_sources

    def add(self, source: AnySource, *, name: str | None = None) -> str:
        """Start one more source, in the loop's next turn.

        Args:
            source: The source.
            name: Its name; by default its number in the run.

        Returns:
            Its name.

        Raises:
            RuntimeError: If ``sources_max`` sources are open.
            TypeError: If it is not a source.
            ValueError: If the run has a source of this name.
        """
        return self._pump.add(source, name)

    async def process(self, source: AnySource, *, name: str | None = None) -> SourceReport:
        """Run one source and wait for its end; cancelling this call cancels the source.

        Args:
            source: The source.
            name: Its name; by default its number in the run.

        Returns:
            Counts of its rows.

        Raises:
            PolicyAbort: If its policy stopped it.
            InputError: If it has no usable header.
            RuntimeError: If ``sources_max`` sources are open, or the run ends before the source does.
            TypeError: If it is not a source.
            ValueError: If the run has a source of this name.
            Exception: What the source itself raised.
        """
        return await self._pump.process(source, name)

    async def apply(self, transaction: Transaction) -> Outcome:
        """Apply one transaction, between pieces of the sources; no policy is asked about it.

        Returns:
            Its outcome, once that is durable.

        Raises:
            RuntimeError: If the run has ended.
            TypeError: If it is not a transaction.
        """
        self._pump.check_open()
        return await self._run.apply(transaction)

    async def wait(self) -> None:
        """Wait until all sources have ended."""
        await self._pump.wait()

    def report(self) -> Report:
        """Report on all rows so far."""
        return self._run.report()


def _named(
    sources: Mapping[str, AnySource] | Iterable[AnySource],
) -> Iterator[tuple[str | None, AnySource]]:
    if isinstance(sources, Mapping):
        return iter(sources.items())
    if isinstance(sources, str | bytes | bytearray | memoryview | os.PathLike | Source):
        raise TypeError("merge takes a mapping or an iterable of sources: put a single one into a list")
    return zip(repeat(None), sources)
