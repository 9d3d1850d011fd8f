"""All connections of one event loop: their buffers, their timers, which of them may begin, and how they end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import deque
from itertools import islice
from typing import TYPE_CHECKING

from holdfast.protocol.handshake import ledger_failed
from holdfast.protocol.messages import ErrorCode, WireError
from holdfast.server.tcp.acceptor import Acceptor
from holdfast.server.tcp.connection import Connection
from holdfast.server.tcp.page_loads import PageLoads
from holdfast.server.tcp.reading import READ_BYTES, TLS_READ_BYTES
from holdfast.server.tcp.turns import Turns

if TYPE_CHECKING:
    import socket
    import ssl
    from collections.abc import Callable, Iterator

    from holdfast.protocol.server_context import ServerContext

CONNECTIONS_BEYOND = 64
"""This many connections beyond the limit are told why they are not let in; others are closed without a word."""
CONNECTION_BYTES = 8 * 1024
"""What an idle connection is counted as, beside what is held for it; docs/server.md has the measurement."""
TLS_CONNECTION_BYTES = 24 * 1024
"""The same for an encrypted one."""
STREAM_BYTES = 384
"""What the name of a stream is counted as."""
QUIET_SECONDS = 0.5
"""During shutdown, connections idle this long are closed."""
_SWEEP_SECONDS_MAX = 1.0
_TICKS_PER_SWEEP = 10
_DRAINED_AT_A_TIME = 16
_LAG_KEPT = 0.9
_STEP_SECONDS = 0.002
_FULL_TOLD_SECONDS_MIN = 60.0

_log = logging.getLogger("holdfast.server")


class TcpServer:
    """Accepts connections and looks after them; to be used on one event loop.

    Args:
        context: What all sessions share.
        tls: The certificates; connections are not encrypted without. May be exchanged while the server runs.
        on_failure: Called when the ledger has stopped; by then all connections are told.
    """

    def __init__(
        self,
        context: ServerContext,
        tls: ssl.SSLContext | None = None,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.context = context
        self._on_failure = on_failure
        self.tls = tls
        self.turns = Turns(lambda: context.engine.is_congested)
        self.buffer = memoryview(bytearray(READ_BYTES))
        self.tls_buffer = memoryview(bytearray(TLS_READ_BYTES))
        self.connections: set[Connection] = set()
        self.accepted = 0
        """Connections let in so far."""
        self.lag_seconds = 0.0
        """How late the event loop was for a tick lately: how long it was busy with something else."""
        self._page_loads = PageLoads(context.engine)
        self._acceptor: Acceptor | None = None
        self._all_gone = asyncio.Event()
        self._all_gone.set()
        self._is_stopping = False
        self._is_full = False
        self._full_told_at = -_FULL_TOLD_SECONDS_MIN
        self._waiting: deque[Connection] = deque()
        self._unsubscribe: Callable[[], None] | None = None
        self._is_told = False
        self._has_commit_due = False
        self._wake_timer: asyncio.TimerHandle | None = None
        self._tick_timer: asyncio.TimerHandle | None = None
        self._sweep: Iterator[Connection] = iter(())
        self._sweep_step = 0
        # Bytes held for all connections: of the last sweep, and of this one so far.
        self._held_bytes = self._held_bytes_so_far = 0
        limits = context.limits
        watched = (
            limits.idle_seconds_max,
            limits.handshake_seconds_max,
            limits.line_seconds_max,
            limits.replies_seconds_max,
            limits.linger_seconds_max,
        )
        shortest = min(seconds for seconds in watched if seconds)
        # Timeouts are late by one sweep at most.
        self._tick_seconds = min(_SWEEP_SECONDS_MAX, shortest / 4) / _TICKS_PER_SWEEP

    def start(self, sockets: list[socket.socket]) -> None:
        """Listen on sockets that are bound; they are closed with the server.

        Raises:
            OSError: If one cannot listen.
        """
        loop = asyncio.get_running_loop()
        self._acceptor = Acceptor(sockets, lambda: Connection(self), self._has_room)
        self._acceptor.start()
        self._tick(loop, loop.time())
        self._unsubscribe = self.context.engine.on_durable(lambda: self._tell(loop), leads=True)

    async def stop(self, grace_seconds: float) -> None:
        """End all connections: those that are done within the grace as always, the others with word of how far they got."""
        await self.stop_accepting()
        self._is_stopping = True
        deadline = time.monotonic() + grace_seconds
        while self.connections and (now := time.monotonic()) < deadline:
            for each in list(self.connections):
                if each.is_open and each.is_quiet(now, QUIET_SECONDS):
                    each.end(_shutting_down())
            await asyncio.sleep(min(0.05, deadline - now))
        drained_until = time.monotonic() + self.context.limits.linger_seconds_max
        for number, each in enumerate(list(self.connections)):
            if each.is_open and time.monotonic() < drained_until:
                self._drain(each)
            if number % _DRAINED_AT_A_TIME == 0:
                await asyncio.sleep(0)
        await self._settle(drained_until)
        for each in list(self.connections):
            if each.is_open:
                each.end(_shutting_down())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._all_gone.wait(), self.context.limits.linger_seconds_max)
        await self.abort()

    async def stop_accepting(self) -> None:
        """Take the connections that wait to be accepted, and no others from now on."""
        if self._acceptor is not None:
            await self._acceptor.finish()

    async def abort(self) -> None:
        """End everything at once."""
        self._is_stopping = True
        if self._acceptor is not None:
            self._acceptor.close()
        self._page_loads.close()
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        for timer in (self._tick_timer, self._wake_timer):
            if timer is not None:
                timer.cancel()
        for each in list(self.connections):
            each.abort()
        await self._all_gone.wait()

    @property
    def is_accepting(self) -> bool:
        """Whether new connections are let in, or at least told why not."""
        return self._acceptor is not None and not self._acceptor.is_paused

    @property
    def turned_away(self) -> int:
        """Connections that were closed without a word so far: too many beyond the limit."""
        return 0 if self._acceptor is None else self._acceptor.turned_away

    def _has_room(self, beginning: int) -> bool:
        limit = self.context.limits.connections_max + CONNECTIONS_BEYOND
        return len(self.connections) + beginning < limit

    # --- called by connections ---

    def admit(self, connection: Connection) -> WireError | None:
        """Count a connection in; give the reason if it cannot stay."""
        self.connections.add(connection)
        self._all_gone.clear()
        limits = self.context.limits
        if self._is_stopping:
            return _shutting_down()
        if self._is_full:
            return self._no_memory()
        if len(self.connections) > limits.connections_max:
            text = f"{limits.connections_max} connections are open, as many as may be; try again later"
            return WireError(ErrorCode.TOO_MANY_CONNECTIONS, text)
        self.accepted += 1
        return None

    def forget(self, connection: Connection) -> None:
        """Count a connection out."""
        self.connections.discard(connection)
        if self._acceptor is not None:
            self._acceptor.resume()
        if not self.connections:
            self._all_gone.set()

    def wake_later(self, connection: Connection) -> None:
        """Wake a connection when its session wants to be; one timer serves them all."""
        connection.has_ack_due = True
        self._waiting.append(connection)
        engine = self.context.engine
        if not self._has_commit_due and engine.durable < engine.decided:
            self._has_commit_due = True
            asyncio.get_running_loop().call_soon(self._commit)
        if self._wake_timer is None:
            self._start_wake_timer(connection)

    def load_pages(self, connection: Connection) -> None:
        """Bring what a connection's rows need into memory."""
        self._page_loads.load(connection.session.wanted_pages(), connection.pages_loaded)

    # --- the durable watermark ---

    def _tell(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop look at the watermark, once for any number of commits; called by the thread that commits."""
        if not self._is_told:
            self._is_told = True
            with contextlib.suppress(RuntimeError):
                # The loop may be closed by now.
                loop.call_soon_threadsafe(self._on_durable)

    def _commit(self) -> None:
        """Have committed what senders wait for: all that was decided in a turn of the loop at once."""
        self._has_commit_due = False
        self.context.engine.commit_now()

    def _on_durable(self) -> None:
        """Send what waited until rows are durable, and let those go on that were paused."""
        self._is_told = False
        failure = self.context.engine.failure
        if failure is not None:
            _log.error("the ledger has stopped, and the server ends: %s", failure)
            for each in list(self.connections):
                each.end(ledger_failed())
            self._on_failure()
            return
        self.turns.go_on()
        if self._waiting:
            if self._wake_timer is not None:
                self._wake_timer.cancel()
            self._wake()

    async def _settle(self, until: float) -> None:
        """Wait until what is decided is durable, so that the last words say how far everybody got."""
        engine = self.context.engine
        while (  # noqa: ASYNC110  # at the end, and for a few milliseconds
            engine.durable < engine.decided and engine.failure is None and time.monotonic() < until
        ):
            await asyncio.sleep(_STEP_SECONDS)

    # --- the clock ---

    def _start_wake_timer(self, connection: Connection) -> None:
        wake_at = connection.session.wake_at
        seconds = 0.0 if wake_at is None else max(0.0, wake_at - time.monotonic())
        self._wake_timer = asyncio.get_running_loop().call_later(seconds, self._wake)

    def _wake(self) -> None:
        self._wake_timer = None
        began = now = time.monotonic()
        for _ in range(len(self._waiting)):
            if time.monotonic() - began > _STEP_SECONDS:
                break
            each = self._waiting.popleft()
            try:
                each.wake(now)
            except Exception as error:  # noqa: BLE001  # one connection's trouble is not the others'
                each.fail(error)
            if each.session.wake_at is not None:
                self.wake_later(each)
        if self._waiting and self._wake_timer is None:
            self._start_wake_timer(self._waiting[0])

    def _tick(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        # The worst of the last ticks, weighing less with time.
        self.lag_seconds = max(loop.time() - due, self.lag_seconds * _LAG_KEPT, 0.0)
        due = loop.time() + self._tick_seconds
        self._tick_timer = loop.call_at(due, self._tick, loop, due)
        engine = self.context.engine
        if engine.durable < engine.decided:
            # Nobody waits for these rows, or they would be on their way.
            engine.commit_now()
        self._watch_memory()
        self._check_some(loop, len(self.connections) // _TICKS_PER_SWEEP + 1)
        self._sweep_step = (self._sweep_step + 1) % _TICKS_PER_SWEEP
        if self._sweep_step == 0:
            self._held_bytes, self._held_bytes_so_far = self._held_bytes_so_far, 0
            self._sweep = iter(list(self.connections))

    def _check_some(self, loop: asyncio.AbstractEventLoop, count: int) -> None:
        """Check the next few connections; when many of them end at once, in several turns of the loop."""
        began = now = time.monotonic()
        for number, each in enumerate(islice(self._sweep, count), 1):
            try:
                self._held_bytes_so_far += each.held_bytes
                each.check(now)
            except Exception as error:  # noqa: BLE001  # one connection's trouble is not the others'
                each.fail(error)
            if time.monotonic() - began > _STEP_SECONDS:
                loop.call_soon(self._check_some, loop, count - number)
                return

    def _watch_memory(self) -> None:
        limit = self.context.limits.memory_bytes_max
        self._is_full = 0 < limit < self.memory_bytes()
        if not self._is_full:
            return
        if (now := time.monotonic()) - self._full_told_at >= _FULL_TOLD_SECONDS_MIN:
            self._full_told_at = now
            _log.error("%s; all connections are ended, and no new ones are let in", self._no_memory().message)
        for each in list(self.connections):
            each.end(self._no_memory())

    def memory_bytes(self) -> int:
        """Count the memory of ledger, connections and stream names; what is held for connections is up to a second old."""
        each = CONNECTION_BYTES if self.tls is None else TLS_CONNECTION_BYTES
        return (
            self.context.engine.totals().memory_bytes
            + len(self.connections) * each
            + self._held_bytes
            + len(self.context.registry) * STREAM_BYTES
        )

    def _no_memory(self) -> WireError:
        limit = self.context.limits.memory_bytes_max
        text = f"the server's memory of {limit} bytes is used up; its operator can allow more with --memory-bytes-max"
        return WireError(ErrorCode.MEMORY_LIMIT, text)

    def _drain(self, connection: Connection) -> None:
        try:
            connection.drain()
        except Exception as error:  # noqa: BLE001  # one connection's trouble is not the others'
            connection.fail(error)


def _shutting_down() -> WireError:
    return WireError(ErrorCode.SHUTTING_DOWN, "the server is being stopped; send the rest when it is back")
