"""Drives the sources of a run concurrently, in as few tasks as possible.

One task per source would cost as much as the hundred rows of a short source. So a worker, which is a task, runs one source after
the other, each to its end. While no source waits, one worker does everything. Before it begins, the worker schedules a call on
the loop. If a source waits, the loop gets to that call, which starts helpers: workers that take over the sources that do not run
yet, and schedule such a call in their turn. So a source that waits keeps a task of its own until it ends, and delays no other.
A worker that only gives way returns at once, most likely to the next source; it gets help when its source takes another turn.

A source runs in one task from its beginning to its end, so ``asyncio.current_task``, ``asyncio.timeout`` and cancellation work in
it as its code expects, on every version of Python. (Stepping its coroutines by hand until they wait, and then giving them to a
task, would show them two tasks.) One consequence of workers: the sources that a worker runs later see the context variables that
an earlier one has set.

A source that never waits gives way after its turn: 64 KiB of text, or work that takes as long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any

from holdfast.engine.run import PolicyAbort
from holdfast.io.raw import InputError
from holdfast.kernel.csv.header import HeaderError
from holdfast.streaming.statistics import SourceState

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.streaming.run import Opened, StreamRun
    from holdfast.streaming.source_run import SourceRun
    from holdfast.streaming.sources import Pieces
    from holdfast.streaming.statistics import SourceReport

# Looking a member of an enumeration up costs as much as some rows.
_CANCELLED, _ENDED = SourceState.CANCELLED, SourceState.ENDED

TURN_BYTES = 64 * 1024
"""How much text, or work that takes as long, a source may take before the others get their turn."""
_HELPERS_MAX = 64
"""How many workers start at a time when one has to wait: first one, then twice as many each time, up to this."""


class Pump:
    """The workers of a run.

    Args:
        run: Opens the sources, and notes how they end.
        sources_max: How many sources may be open at a time.
        raises: Whether a source that ends early ends the run.
    """

    def __init__(self, run: StreamRun, sources_max: int, *, raises: bool) -> None:
        self._run = run
        self._loop = run.loop
        self._sources_max = sources_max
        self._raises = raises
        self._opened: deque[Opened] = deque()
        self._sources: Iterator[tuple[str | None, object]] | None = None
        self._workers: set[asyncio.Task[None]] = set()
        # The workers of sources whose callers wait for them, and get their errors.
        self._awaited: set[asyncio.Task[None]] = set()
        self._has_stopped = False
        self._help_is_called = False
        self._helpers = 1
        self._credit = TURN_BYTES
        # Workers that gave way for the first time in their current source, and have not resumed yet.
        self._returning = 0
        self._failure: BaseException | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def open_sources(self) -> int:
        """How many sources were added and have not ended, without those that are still in an iterator."""
        return len(self._opened) + len(self._workers)

    def add(self, source: object, name: str | None) -> str:
        """Run one more source; give its name.

        Raises:
            RuntimeError: If ``sources_max`` sources are open.
        """
        self._check_room()
        opened = self._run.open(source, name)
        self._opened.append(opened)
        self._idle.clear()
        self._call_for_help()
        return opened[0].name

    def add_all(self, sources: Iterator[tuple[str | None, object]]) -> None:
        """Run all of these; each is taken from the iterator when there is a worker for it."""
        self._sources = sources
        self._idle.clear()
        self._start_worker()

    async def wait(self) -> None:
        """Wait until all sources have ended.

        Raises:
            TypeError: If one of them was not a source.
            ValueError: If two of them had the same name.
            Exception: The error of a source, if that ends the run.
        """
        while not self._idle.is_set():
            await self._idle.wait()
            # Who waited for a source as well may add another one now.
            await asyncio.sleep(0)
        if self._failure is not None:
            raise self._failure

    async def process(self, source: object, name: str | None) -> SourceReport:
        """Run one source by itself and wait for its end; cancelling this call cancels the source.

        Raises:
            RuntimeError: If there are as many as there may be, or the run ends before the source does.
            Exception: What ended the source.
        """
        self._check_room()
        opened = self._run.open(source, name)
        task = self._loop.create_task(self.drive(iter((opened,)), raises=True))
        self._workers.add(task)
        self._awaited.add(task)
        self._idle.clear()
        task.add_done_callback(self._worker_ended)
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            task.cancel()
            await _wait_for_all({task})
            # A task that was cancelled before its first step has not noted how its source ended.
            self._run.close(opened[0], SourceState.CANCELLED)
            raise
        if task.cancelled():
            raise RuntimeError(f"the run ended before source {opened[0].name} did")
        task.result()
        return opened[0].report()

    def check_open(self) -> None:
        """Check that the run has not ended.

        Raises:
            RuntimeError: If the run has ended.
        """
        if self._has_stopped:
            raise RuntimeError("the run has ended: begin another one")

    async def stop(self) -> None:
        """Cancel all workers and wait until they have ended; a cancellation of this call takes effect after that."""
        self._has_stopped = True
        self._sources = None
        unstarted = list(self._opened)
        self._opened.clear()
        for worker in self._workers:
            worker.cancel()
        cancelled = await _wait_for_all(self._workers)
        for stream, _ in unstarted:
            self._run.close(stream, SourceState.CANCELLED)
        if cancelled is not None:
            raise cancelled

    # One frame for all sources: a coroutine for each would cost as much as several rows.
    async def drive(self, opened: Iterator[Opened], *, raises: bool | None = None) -> None:  # noqa: C901, PLR0912
        """Run sources one after the other, each to its end, and note how they ended.

        Args:
            opened: The sources.
            raises: Whether the error of one source ends the others; by default as for the whole run.

        Raises:
            CancelledError: If the task is cancelled, after the source has been closed.
            Exception: The error of a source, if that ends the run.
        """
        close = self._run.close
        raises = self._raises if raises is None else raises
        for stream, pieces in opened:
            state = _CANCELLED
            error: Exception | None = None
            turns = 0
            item: Any = None
            take = stream.take
            waiting, ready = pieces
            try:
                # The same loop twice: wrapping an iterator in the other kind would cost a short source as much as its rows.
                if waiting is not None:
                    async for item in waiting:
                        self._credit -= take(item) or await self._take_parts(stream, item)
                        if self._credit < 0:
                            turns += 1
                            await self._give_way(turns)
                elif ready is not None:
                    for item in ready:
                        self._credit -= take(item) or await self._take_parts(stream, item)
                        if self._credit < 0:
                            turns += 1
                            await self._give_way(turns)
                stream.finish()
                state = _ENDED
            except PolicyAbort as abort:
                state, error = SourceState.STOPPED, abort
            except asyncio.CancelledError as cancelled:
                task = asyncio.current_task()
                if task is None or task.cancelling():
                    raise
                # Nobody cancelled this task: the source awaited something that was cancelled.
                state = SourceState.FAILED
                error = RuntimeError(f"source {stream.name} was cancelled from within")
                error.__cause__ = cancelled
            except Exception as failure:  # noqa: BLE001  # a source is foreign code, and ends alone
                state, error = SourceState.FAILED, _explained(failure, stream.name)
            finally:
                try:
                    if state is not _ENDED:
                        error = await _close_source(pieces, error)
                finally:
                    close(stream, state, error)
            if error is not None and raises:
                raise error
            # The next source may wait for long: keep nothing of this one meanwhile.
            item = error = waiting = ready = None
            pieces = (None, None)  # noqa: PLW2901  # frees what the loop variable holds

    async def _take_parts(self, stream: SourceRun, item: Any) -> int:
        """Take a piece that is too large to be taken at once. Give 0: its cost is already accounted for."""
        turns = 0
        for cost in stream.parts(item):
            self._credit -= cost
            if self._credit < 0:
                turns += 1
                await self._give_way(turns)
        return 0

    async def _give_way(self, turns: int) -> None:
        """Let all others run. ``turns`` counts how often the source, or its large piece, has given way, this time included."""
        self._credit = TURN_BYTES
        if self._run.is_congested:
            await self._run.wait_for_room()
            return
        if turns > 1:
            await asyncio.sleep(0)
            return
        self._returning += 1
        try:
            await asyncio.sleep(0)
        finally:
            self._returning -= 1

    async def _work(self) -> None:
        self._call_for_help()
        await self.drive(self._open_next())

    def _open_next(self) -> Iterator[Opened]:
        """Give the next source whenever there is a worker for it, those that were added first."""
        while True:
            if self._opened:
                yield self._opened.popleft()
            elif self._sources is None:
                return
            else:
                for name, source in self._sources:
                    yield self._run.open(source, name)
                    if self._opened or self._sources is None:
                        break
                else:
                    self._sources = None

    def _call_for_help(self) -> None:
        """Have the loop start helpers as soon as it gets to it: when the current source waits or gives way."""
        if not self._help_is_called and (self._opened or self._sources is not None):
            self._help_is_called = True
            self._loop.call_soon(self._start_helpers)

    def _start_helpers(self) -> None:
        if self._returning:
            # That worker's source may end at any moment, and it then takes the next one: nobody waits yet.
            self._loop.call_soon(self._start_helpers)
            return
        self._help_is_called = False
        wanted = self._helpers if self._sources is not None else min(self._helpers, len(self._opened))
        self._helpers = min(2 * self._helpers, _HELPERS_MAX)
        for _ in range(min(wanted, self._sources_max - len(self._workers))):
            self._start_worker()

    def _start_worker(self) -> None:
        worker = self._loop.create_task(self._work())
        self._workers.add(worker)
        worker.add_done_callback(self._worker_ended)

    def _worker_ended(self, worker: asyncio.Task[None]) -> None:
        self._workers.discard(worker)
        failure = None if worker.cancelled() else worker.exception()
        if worker in self._awaited:
            self._awaited.discard(worker)
        elif failure is not None and self._failure is None:
            self._failure = failure
            # Nobody runs its sources any more; wait() raises this, and its caller stops the others.
            self._sources = None
        self._set_idle()

    def _set_idle(self) -> None:
        is_busy = self._workers or self._opened or self._sources is not None
        if self._failure is not None or not is_busy:
            self._idle.set()

    def _check_room(self) -> None:
        self.check_open()
        if self.open_sources >= self._sources_max:
            raise RuntimeError(
                f"{self._sources_max} sources are open, as many as sources_max allows: wait for one to end, or raise it"
            )


def _explained(error: Exception, name: str) -> Exception:
    """Add the source's name to an error about its header."""
    if not isinstance(error, HeaderError):
        return error
    named = InputError(name, str(error))
    named.__cause__ = error
    return named


async def _wait_for_all(tasks: set[asyncio.Task[None]]) -> asyncio.CancelledError | None:
    """Wait until all tasks have ended; give the cancellation of this call, if there was one."""
    cancelled: asyncio.CancelledError | None = None
    while pending := {task for task in tasks if not task.done()}:
        try:
            await asyncio.wait(pending)
        except asyncio.CancelledError as error:
            cancelled = error
    return cancelled


async def _close_source(pieces: Pieces, error: Exception | None) -> Exception | None:
    """Close a source that did not end by itself, so that it frees what it holds now; give its error."""
    try:
        close = getattr(pieces[0], "aclose", None)
        if close is not None:
            await close()
        close = getattr(pieces[1], "close", None)
        if close is not None:
            close()
    except Exception as failure:  # noqa: BLE001  # foreign code
        # The first error is the one to report.
        return error if error is not None else failure
    return error
