"""Sends a stream over as many connections as it takes: when to connect again, where to go on, when to give up."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from holdfast.client.connection import ClientConnection
from holdfast.client.errors import (
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    SendError,
    ServerError,
    SettingsMismatchError,
)
from holdfast.client.exchange import ConnectionFailedError, Exchange
from holdfast.client.faults import describe_failure, find_fault
from holdfast.client.report import RefusedRow
from holdfast.client.retry import Backoff, RetryBudget
from holdfast.client.stream_state import StreamState
from holdfast.protocol.client_session import ClientSession
from holdfast.protocol.messages import Ack, Failure, Refused, Resume, Summary

if TYPE_CHECKING:
    from collections.abc import Callable, Generator

    from holdfast.client.options import Options
    from holdfast.client.report import SendReport
    from holdfast.client.row_source import RowSource
    from holdfast.io.rejects import Rejection
    from holdfast.protocol.messages import Reply, StreamSettings

_Result = TypeVar("_Result")

_LONG_SEARCH_SECONDS = 1.0
"""A search for the row to go on from that takes longer may outlast the server's patience."""

_LOGGER = logging.getLogger("holdfast.client")


class Hooks(NamedTuple):
    """What is called while a stream is sent, on the event loop."""

    on_refused: Callable[[RefusedRow], object] | None = None
    """For each row that was not applied, in order."""
    on_rejection: Callable[[Rejection], object] | None = None
    """The same, with the row itself."""
    on_lost: Callable[[str, float], object] | None = None
    """When a connection was lost, with a reason and the seconds until the next attempt; by default that is logged."""
    on_change: Callable[[], object] | None = None
    """After anything that may end somebody's wait."""
    is_held: Callable[[], bool] | None = None
    """Whether replies have to wait until :meth:`Sender.wake`, because what they call is still busy."""


class Sender:
    """Sends one source to one server and follows its replies.

    Args:
        options: Where and how.
        source: The rows.
        hooks: What is called meanwhile.
        owns_loop: Whether nobody else uses the event loop, so that files are read on it and not in threads.
        clock: Gives seconds, from any start.
        backoff: Gives the waits before reconnecting.
    """

    def __init__(
        self,
        options: Options,
        source: RowSource,
        hooks: Hooks = Hooks(),  # noqa: B008  # a tuple
        *,
        owns_loop: bool = False,
        clock: Callable[[], float] = time.monotonic,
        backoff: Backoff | None = None,
    ) -> None:
        self._options = options
        self._source = source
        self._hooks = hooks
        self._reads_in_threads = source.does_block and not owns_loop
        self._clock = clock
        limits = options.limits
        backoff = backoff or Backoff(limits.backoff_seconds, limits.backoff_seconds_max)
        self._budget = RetryBudget(limits.retry_seconds_max, backoff, clock)
        wants_refused = hooks.on_refused is not None or hooks.on_rejection is not None
        self._directive = options.directive._replace(wants_refused=wants_refused)
        self.state = StreamState(self._directive)
        """How far the stream is."""
        self._started = clock()
        self._exchange: Exchange | None = None
        self._woken = asyncio.Event()
        self._resume: Resume | None = None
        self._settings: StreamSettings | None = None
        self._unit_decimals: int | None = None
        self._search_seconds = 0.0
        self._is_search_excused = False
        self._rows_before = 0

    @property
    def is_streaming(self) -> bool:
        """Whether rows can be sent right now."""
        return self._exchange is not None and self._exchange.is_streaming

    @property
    def is_held(self) -> bool:
        """Whether replies may not be taken at present."""
        return self._hooks.is_held is not None and self._hooks.is_held()

    async def run(self) -> SendReport:
        """Send everything and wait until it is decided.

        Raises:
            SendError: If that cannot be; its ``report`` says how far it got.
            OSError: If the source cannot be read.
        """
        try:
            await self._run_until_deadline()
        except SendError as error:
            error.report = self.report()
            raise
        finally:
            self._source.close()
        return self.report()

    def wake(self) -> None:
        """Learn that the source may have more, or that replies may be taken again."""
        self._woken.set()
        if self._exchange is not None:
            self._exchange.wake()

    def require_decimals(self, decimals: int) -> None:
        """Learn that amounts are given in units of so many decimals.

        Raises:
            SettingsMismatchError: If the server has said that it keeps another number.
        """
        self._unit_decimals = decimals
        self._check_decimals()

    def report(self) -> SendReport:
        """Say how far the stream got."""
        sent_bytes = 0 if self._exchange is None else self._exchange.sent_bytes
        return self.state.report(sent_bytes, self._clock() - self._started)

    # --- called by the exchange ---

    async def find_start(self) -> tuple[int, int | None]:
        """Position the source; give the first row to send and the digest of all rows before it."""
        resume, began = self._resume, self._clock()
        if resume is not None:
            self._use(resume.settings)
        steps = self._source.seek(self.state.acked, None if resume is None else resume.digest)
        found: list[int | None] = []
        while not await self._call(lambda: _step(steps, found)):  # noqa: ASYNC110  # no wait, but a turn for others
            await asyncio.sleep(0)
        self._search_seconds = self._clock() - began
        return self.state.acked + 1, None if resume is None else found[0]

    async def read(self) -> bytes | memoryview | None:
        """Read on from the source."""
        return await self._call(self._source.read)

    def take_reply(self, reply: Reply) -> None:
        """Do what a reply asks for.

        Raises:
            ConnectionFailedError: If it ends the connection.
            ServerError: If it ends the stream.
        """
        match reply:
            case Refused(row, code):
                self._take_refused(RefusedRow(row, code))
            case Ack(rows, sequence):
                self._acknowledge(rows, sequence)
            case Resume():
                self._resume = reply
                self.state.take_resume(reply)
                self._budget.note_progress(reply.rows)
            case Summary():
                self.state.sum_up(self._source.sent_row, reply)
                self._budget.note_progress(self.state.acked)
            case Failure():
                self._take_failure(reply)
        self.changed()

    def changed(self) -> None:
        """Tell whoever waits for something that it may be there."""
        if self._hooks.on_change is not None:
            self._hooks.on_change()

    def _take_refused(self, refused: RefusedRow) -> None:
        self.state.refuse(refused.outcome)
        if self._hooks.on_refused is not None:
            self._hooks.on_refused(refused)
        if self._hooks.on_rejection is not None:
            self._hooks.on_rejection(self._source.find_rejection(refused.row, refused.outcome))

    def _acknowledge(self, row: int, sequence: int) -> None:
        self._is_search_excused = False
        self.state.acknowledge(row, sequence)
        self._source.take_ack(row)
        self._budget.note_progress(row)

    def _take_failure(self, failure: Failure) -> None:
        is_started = self._exchange is not None and self._exchange.is_started
        if is_started and failure.rows > self.state.acked:
            self._acknowledge(failure.rows, failure.sequence)
        self.state.sequence = failure.sequence
        if not failure.code.is_retryable:
            raise ServerError(failure.code, failure.message, failure.rows, failure.sequence)
        raise ConnectionFailedError(
            f"{failure.code}: {failure.message}", has_decided=failure.rows > self._rows_before
        )

    # --- one connection after the other ---

    async def _run_until_deadline(self) -> None:
        limit = self._options.limits.deadline_seconds
        if limit is None:
            await self._run()
            return
        left = max(0.0, self._started + limit - self._clock())
        deadline = asyncio.timeout(left)
        try:
            async with deadline:
                await self._run()
        except TimeoutError as error:
            if not deadline.expired():
                raise
            raise DeadlineError(
                f"not done after {limit:g} seconds; {self.state.acked:,} rows are acknowledged"
            ) from error

    async def _run(self) -> None:
        while not self._source.is_ready:
            self._woken.clear()
            await self._woken.wait()
        self._budget.note_idle()
        while True:
            try:
                await self._send_part()
            except ConnectionFailedError as failure:
                await self._wait_to_retry(str(failure))
            else:
                if not self._source.end_part():
                    return

    async def _send_part(self) -> None:
        """Make a connection and send what is left of the part at hand."""
        connection = await self._connect()
        session = ClientSession(self._directive, rows_before=self.state.acked)
        self._exchange = exchange = Exchange(
            connection,
            session,
            source=self._source,
            owner=self,
            limits=self._options.limits,
            clock=self._clock,
        )
        self._resume = None
        self._rows_before = self.state.acked
        self.state.begin_connection()
        try:
            await exchange.run()
        except ConnectionFailedError as failure:
            has_decided = session.has_sent_rows if failure.has_decided is None else failure.has_decided
            if has_decided and self._directive.stream is None:
                raise ConnectionLostError(
                    f"{failure}; {self.state.acked:,} rows were acknowledged. A stream without a name cannot be "
                    "resumed: give it one"
                ) from failure
            if session.is_streaming and not session.is_reply_due:
                self._budget.note_idle()
            raise
        finally:
            connection.close()
            self._exchange = None
            self.state.end_connection(exchange.sent_bytes)
            self.changed()

    async def _connect(self) -> ClientConnection:
        options = self._options
        try:
            return await ClientConnection.open(
                options.address, options.context, options.limits.connect_seconds_max
            )
        except OSError as error:
            fault = find_fault(error, is_connecting=True)
            reason = f"cannot connect: {describe_failure(error)}"
            if fault is not None:
                raise ConnectionLostError(reason, fault) from error
            raise ConnectionFailedError(reason) from error

    async def _wait_to_retry(self, reason: str) -> None:
        self.state.losses += 1
        if self._search_seconds > _LONG_SEARCH_SECONDS and not self._is_search_excused:
            # The server may have waited in vain for the rows. They are found now: the next attempt is quick.
            self._is_search_excused = True
            self._budget.note_idle()
            return
        seconds = self._budget.next_seconds()
        if seconds is None:
            raise ConnectionLostError(f"{reason}; gave up after {self._budget.spent_seconds:.1f} seconds")
        (self._hooks.on_lost or _log_loss)(reason, seconds)
        await asyncio.sleep(seconds)

    def _use(self, settings: StreamSettings) -> None:
        """Decode as the server does."""
        self._settings = settings
        self._check_decimals()
        try:
            self._source.use(settings.to_settings())
        except ValueError as error:
            raise ProtocolError(f"the server's settings cannot be: {error}") from error

    def _check_decimals(self) -> None:
        settings, decimals = self._settings, self._unit_decimals
        if settings is not None and decimals is not None and settings.decimals != decimals:
            raise SettingsMismatchError(decimals, settings.decimals)

    async def _call(self, function: Callable[[], _Result]) -> _Result:
        return await call_in_thread(function) if self._reads_in_threads else function()


async def call_in_thread(function: Callable[[], _Result]) -> _Result:
    """Call what may wait for a disk; a cancellation waits for it, so that nobody closes the file under it."""
    future = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(future)
    except asyncio.CancelledError:
        await asyncio.wait({future})
        if not future.cancelled():
            future.exception()
        raise


def _step(steps: Generator[None, None, int | None], found: list[int | None]) -> bool:
    """Go on by one step; whether it was the last one. A future cannot carry a StopIteration."""
    try:
        next(steps)
    except StopIteration as end:
        found.append(end.value)
        return True
    return False


def _log_loss(reason: str, seconds: float) -> None:
    _LOGGER.warning("connection lost", extra={"reason": reason, "retry_seconds": round(seconds, 3)})
