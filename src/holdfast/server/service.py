"""The life of a server: the event loop, signals, snapshots, status, and an orderly end."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from holdfast.app.commands.serve import write_ports
from holdfast.app.runner import Interrupted, JobError
from holdfast.app.signals import SAME_SIGNAL_SECONDS
from holdfast.net.listening import DESCRIPTORS_RESERVED, bound_address, raise_descriptor_limit
from holdfast.protocol.server_context import ServerContext
from holdfast.server.status import Statistics, dump, terminal_line
from holdfast.server.tcp.server import Server
from holdfast.streaming.snapshots import Snapshots

if TYPE_CHECKING:
    import argparse
    import socket
    from collections.abc import Callable, Coroutine

    from holdfast.app.runner import Runner
    from holdfast.engine.engine import Engine
    from holdfast.engine.policy import ErrorPolicy
    from holdfast.protocol.limits import Limits
    from holdfast.server.security import Security
    from holdfast.server.status import StatusLine

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
_STATUS_LINE_SECONDS = 0.5
# A loop that serves thousands of connections makes no cycles worth looking for often, and looking takes milliseconds.
_GARBAGE_THRESHOLDS = (50_000, 20, 50)

_log = logging.getLogger("holdfast.server")


class Service:
    """One run of ``holdfast serve``.

    Args:
        options: The command line.
        engine: What rows are applied to.
        policy: What to do about rows that are not applied.
        limits: What connections may cost.
        security: Certificates and tokens.

    Raises:
        ValueError: If options do not go together.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        engine: Engine,
        policy: ErrorPolicy,
        limits: Limits,
        security: Security,
    ) -> None:
        self._options = options
        self._engine = engine
        self._security = security
        self._intake = ServerContext(
            engine,
            policy=policy,
            limits=limits,
            authorizer=security.tokens,
        )
        self._snapshots: Snapshots | None = None
        if options.snapshot is not None:
            self._snapshots = Snapshots(
                engine,
                options.snapshot,
                every_seconds=options.snapshot_every or None,
                keep=options.snapshot_keep,
            )
        self._stop = asyncio.Event()
        self._stop_began = 0.0
        self._stopped_by: int | None = None
        self._main: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def run(self, runner: Runner, listeners: list[socket.socket]) -> None:
        """Serve until a signal says stop.

        Raises:
            Interrupted: If a second signal stopped it at once.
            OSError: If the file of the ports cannot be written.
        """
        self._warn_about_descriptors()
        handlers = {number: signal.getsignal(number) for number in _SIGNALS}
        thresholds = gc.get_threshold()
        gc.freeze()
        gc.set_threshold(*_GARBAGE_THRESHOLDS)
        try:
            with asyncio.Runner(loop_factory=_loop_factory(self._options.loop)) as loop:
                loop.run(self._serve(runner, listeners))
        except asyncio.CancelledError:
            if self._stopped_by is None:
                raise
            raise Interrupted(self._stopped_by) from None
        finally:
            for each in listeners:
                each.close()
            gc.set_threshold(*thresholds)
            gc.unfreeze()
            for number, handler in handlers.items():
                signal.signal(number, handler)

    async def _serve(self, runner: Runner, listeners: list[socket.socket]) -> None:
        loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        server = Server(self._intake, self._security.tls)
        statistics = Statistics(server)
        loop.set_exception_handler(_log_trouble)
        self._handle_signals(loop, server, statistics)
        # One that came before the loop was there to hear it.
        runner.check()
        try:
            await server.start(listeners)
            for each in listeners:
                _log.info("listening on %s", bound_address(each))
            if self._options.port_file is not None:
                write_ports(self._options.port_file, listeners)
            self._start_tasks(server)
            await self._stop.wait()
            _log.info(
                "stopping: %d connections have %g seconds to end",
                len(server.connections),
                self._options.grace,
            )
            await server.stop(self._options.grace)
            for task in self._tasks:
                task.cancel()
            if self._snapshots is not None:
                try:
                    await self._snapshots.take()
                except OSError as error:
                    # The accounts of -o are written all the same.
                    runner.note_failure(error)
            _log.info("stopped: %s", statistics.status())
        finally:
            for task in self._tasks:
                task.cancel()
            await server.abort()
            for number in _SIGNALS:
                loop.remove_signal_handler(number)

    def _start_tasks(self, server: Server) -> None:
        options = self._options
        if options.status_every:
            self._keep(_log_status(Statistics(server), options.status_every))
        line = None if options.quiet else terminal_line()
        if line is not None:
            self._keep(_draw_status(line, Statistics(server)))
        if self._snapshots is not None:
            self._keep(self._snapshots.run())

    def _keep(self, job: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # --- signals ---

    def _handle_signals(
        self, loop: asyncio.AbstractEventLoop, server: Server, statistics: Statistics
    ) -> None:
        actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGINT: lambda: self._stop_by(signal.SIGINT),
            signal.SIGTERM: lambda: self._stop_by(signal.SIGTERM),
            signal.SIGHUP: lambda: self._reload(server),
            signal.SIGUSR1: lambda: dump(statistics),
        }
        for number, action in actions.items():
            # What was ignored when the command started (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, action)

    def _stop_by(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if not self._stop.is_set():
            self._stop.set()
            self._stop_began = now
        elif now - self._stop_began < SAME_SIGNAL_SECONDS:
            return
        elif self._stopped_by is None and self._main is not None:
            self._stopped_by = number
            self._main.cancel()

    def _reload(self, server: Server) -> None:
        """Read certificates and tokens again, for connections to come, and take a snapshot."""
        try:
            self._security.reload()
        except OSError as error:
            _log.error("certificates and tokens stay as they were: %s: %s", error.filename, error.strerror)
        else:
            server.tls, self._intake.authorizer = self._security.tls, self._security.tokens
            _log.info("certificates and tokens are read again")
        if self._snapshots is not None:
            self._keep(_take_snapshot(self._snapshots))

    def _warn_about_descriptors(self) -> None:
        wanted = self._intake.limits.connections_max
        possible = raise_descriptor_limit(wanted)
        if possible < wanted:
            self._intake.limits = replace(self._intake.limits, connections_max=possible)
            _log.warning(
                "the system allows this process files for %d connections, not for the %d of --connections-max; "
                "more come with ulimit -n %d",
                possible,
                wanted,
                wanted + DESCRIPTORS_RESERVED,
            )


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    """Choose the event loop.

    Raises:
        JobError: If it is not installed.
    """
    if name == "asyncio" or (name == "auto" and find_spec("uvloop") is None):
        return asyncio.new_event_loop
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError as error:
        raise JobError(
            f"uvloop cannot be used ({error}); pip install 'holdfast[uvloop]', or say --loop asyncio"
        ) from error
    return factory


def _log_trouble(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what the event loop has to tell, that no more connections can be accepted for one; nothing of it ends the server."""
    error = context.get("exception")
    _log.error("%s", context.get("message"), exc_info=error if isinstance(error, Exception) else None)


async def _take_snapshot(snapshots: Snapshots) -> None:
    try:
        taken = await snapshots.take()
    except OSError as error:
        _log.error("no snapshot was written: %s", error)
    else:
        _log.info(
            "snapshot at row %d: %d accounts in %.3f s, %s",
            taken.sequence,
            taken.accounts,
            taken.seconds,
            taken.path,
        )


async def _log_status(statistics: Statistics, every_seconds: float) -> None:
    while True:
        await asyncio.sleep(every_seconds)
        status = statistics.status()
        _log.info("%s", status, extra=status._asdict())


async def _draw_status(line: StatusLine, statistics: Statistics) -> None:
    try:
        while True:
            line.show(statistics.status())
            await asyncio.sleep(_STATUS_LINE_SECONDS)
    finally:
        line.clear()
