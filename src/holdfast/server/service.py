"""One server, put together: listeners, connections, certificates, snapshots and status around one engine."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.domain.picklable import Picklable
from holdfast.net import listening
from holdfast.protocol.server_context import ServerContext
from holdfast.server.background import run_in_background
from holdfast.server.config import InsecureAddressError
from holdfast.server.memory import default_memory_bytes
from holdfast.server.security import read_security
from holdfast.server.status import Statistics, dump
from holdfast.server.tcp.acceptor import BACKLOG
from holdfast.server.tcp.server import TcpServer
from holdfast.streaming.snapshots import Snapshots

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine

    from holdfast.engine.interface import AnyEngine
    from holdfast.net.address import Address
    from holdfast.server.config import ServerConfig
    from holdfast.server.status import Status

    OnStatus = Callable[[Status | None], None]
    """Called with the status twice a second, and with None at the end."""

_ON_STATUS_SECONDS = 0.5

_log = logging.getLogger("holdfast.server")


class LastSnapshotError(Picklable, OSError):
    """The server has ended in order, but its last snapshot is not written; the accounts are still in the engine.

    Args:
        error: Why.
    """

    def __init__(self, error: OSError) -> None:
        super().__init__(error.errno, error.strerror or str(error), error.filename)


class Service:
    """A server around an engine.

    In a program with an event loop of its own::

        service = Service(ServerConfig(), engine)
        await service.serve()  # until service.stop() is called

    :func:`holdfast.server.run` does the same for a process of its own, with signals.

    Args:
        config: What it is told.
        engine: What rows are applied to. While the server runs, nothing else may apply rows to it.

    Raises:
        ValueError: If settings do not go together; for those of the server alone a :class:`ConfigError`.
        OSError: If a file of certificates or tokens cannot be used; the error names it.
    """

    def __init__(self, config: ServerConfig, engine: AnyEngine) -> None:
        self.config = config
        limits = config.limits
        if limits.memory_bytes_max == 0:
            limits = replace(limits, memory_bytes_max=default_memory_bytes())
        self._security = read_security(config.security)
        self._context = ServerContext(
            engine,
            policy=config.policy,
            limits=limits,
            authorizer=self._security.tokens,
        )
        self._server = TcpServer(self._context, self._security.tls, self.stop)
        self._statistics = Statistics(self._server)
        self._snapshots: Snapshots | None = None
        if config.snapshots is not None:
            self._snapshots = Snapshots(
                engine,
                config.snapshots.target,
                every_seconds=config.snapshots.every_seconds,
                keep=config.snapshots.keep,
            )
        self._listeners: list[socket.socket] = []
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_reloading = False
        self._is_reload_wanted = False

    def bind(self) -> list[Address]:
        """Take the addresses, so that nothing else can; connections wait until :meth:`serve` runs.

        Returns:
            Where the server will listen, with real ports for 0.

        Raises:
            InsecureAddressError: If other machines could send there, and neither do certificates and tokens protect the server
                nor does its configuration allow to go without.
            OSError: If an address cannot be had; the error names it.
        """
        if not self._listeners:
            found = [each for address in self.config.listen for each in listening.resolve(address)]
            is_open_to_all = self._security.is_complete or self.config.security.allow_insecure
            for _, address in found:
                if not (is_open_to_all or listening.is_loopback(address)):
                    raise InsecureAddressError(address)
            self._listeners = listening.bind(found)
            for each in self._listeners:
                each.listen(BACKLOG)
        return [listening.bound_address(each) for each in self._listeners]

    def close(self) -> None:
        """Give the addresses back, for a server that was bound and will not serve."""
        for each in self._listeners:
            each.close()
        self._listeners = []

    async def serve(
        self,
        *,
        on_listening: Callable[[list[Address]], None] | None = None,
        on_status: OnStatus | None = None,
    ) -> None:
        """Serve until :meth:`stop` is called; then end all connections in order and take the last snapshot.

        Cancelled, it ends at once, without a snapshot.

        Args:
            on_listening: Called with the addresses once connections are accepted.
            on_status: Called with the status now and then, and at the end with None.

        Raises:
            InsecureAddressError: As for :meth:`bind`.
            LastSnapshotError: If the last snapshot cannot be written.
            OSError: If an address cannot be had.
        """
        addresses = self.bind()
        self._make_room_for_connections()
        try:
            self._server.start(self._listeners)
            for each in addresses:
                _log.info("listening on %s", each)
            if on_listening is not None:
                on_listening(addresses)
            self._start_tasks(on_status)
            await self._stop.wait()
            await self._end()
        finally:
            for task in self._tasks:
                task.cancel()
            await self._server.abort()
            self.close()

    def stop(self) -> None:
        """End :meth:`serve` in order: connections get the time that the configuration gives them."""
        self._stop.set()

    def reload(self) -> None:
        """Read certificates and tokens again, for connections to come, and take a snapshot.

        A file that cannot be used is logged, and everything stays as it was.
        """
        self._is_reload_wanted = True
        if not self._is_reloading:
            self._is_reloading = True
            self._keep(self._read_again())
        if self._snapshots is not None:
            self._keep(_take_snapshot(self._snapshots))

    def dump(self) -> None:
        """Log all numbers."""
        dump(self._statistics)

    async def _end(self) -> None:
        await self._server.stop_accepting()
        _log.info(
            "stopping: %d connections have %g seconds to end",
            len(self._server.connections),
            self.config.grace_seconds,
        )
        await self._server.stop(self.config.grace_seconds)
        for task in self._tasks:
            task.cancel()
        if self._snapshots is not None and self._context.engine.failure is None:
            try:
                await self._snapshots.take()
            except OSError as error:
                raise LastSnapshotError(error) from error
        _log.info("stopped: %s", self._statistics.status())

    def _start_tasks(self, on_status: OnStatus | None) -> None:
        if self.config.status_every_seconds:
            self._keep(_log_status(Statistics(self._server), self.config.status_every_seconds))
        if on_status is not None:
            self._keep(_tell_status(Statistics(self._server), on_status))
        if self._snapshots is not None:
            self._keep(self._snapshots.run())

    def _keep(self, job: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _read_again(self) -> None:
        try:
            while self._is_reload_wanted:
                self._is_reload_wanted = False
                await self._read_once()
        finally:
            self._is_reloading = False

    async def _read_once(self) -> None:
        try:
            security = await run_in_background(lambda: read_security(self.config.security))
        except OSError as error:
            _log.error("certificates and tokens stay as they were: %s: %s", error.filename, error.strerror)
        except RuntimeError as error:
            # The system allows no more threads.
            _log.error("certificates and tokens stay as they were: %s", error)
        else:
            self._security = security
            self._server.tls, self._context.authorizer = security
            _log.info("certificates and tokens are read again")

    def _make_room_for_connections(self) -> None:
        wanted = self._context.limits.connections_max
        possible = listening.raise_descriptor_limit(wanted)
        if possible < wanted:
            self._context.limits = replace(self._context.limits, connections_max=possible)
            _log.warning(
                "the system allows this process files for %d connections, not for the %d of --connections-max; "
                "more come with ulimit -n %d",
                possible,
                wanted,
                wanted + listening.DESCRIPTORS_RESERVED,
            )


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


async def _tell_status(statistics: Statistics, on_status: OnStatus) -> None:
    try:
        while True:
            on_status(statistics.status())
            await asyncio.sleep(_ON_STATUS_SECONDS)
    finally:
        on_status(None)
