"""Accepts connections: a few in each turn of the event loop, none while the system has no file descriptor for one.

The event loops' own servers accept everything that waits in one turn, and at the limit of files they log an error and try
again every second for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

BACKLOG = 4096
"""How many connections may wait in the system's queue."""
ACCEPTED_PER_TURN = 16
"""How many connections of a listener are accepted in one turn of the loop."""
_RETRY_SECONDS = 1.0
_TOLD_SECONDS_MIN = 60.0
_NOTHING_THERE = frozenset({errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR})
# Linux tells of an error of the connection that waits in the call that would accept it.
_OF_ONE_CONNECTION = frozenset(
    {
        errno.ECONNABORTED,
        errno.ECONNRESET,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EOPNOTSUPP,
        errno.EPERM,
        errno.EPROTO,
        errno.ETIMEDOUT,
    }
)

_log = logging.getLogger("holdfast.server")


class Acceptor:
    """Accepts the connections of some listeners, on one event loop.

    Args:
        listeners: Sockets that are bound. They are closed with the acceptor.
        make_protocol: Makes the protocol of a connection.
        has_room: Says whether a connection may begin. Those that may not are closed without a word.
    """

    def __init__(
        self,
        listeners: list[socket.socket],
        make_protocol: Callable[[], asyncio.BaseProtocol],
        has_room: Callable[[int], bool],
    ) -> None:
        self._listeners = listeners
        self._make_protocol = make_protocol
        self._has_room = has_room
        self._beginning: set[asyncio.Task[None]] = set()
        self._retry_timer: asyncio.TimerHandle | None = None
        self._told_at = -_TOLD_SECONDS_MIN
        self._is_pause_told = False
        self.is_paused = False
        """Whether nothing is accepted, for lack of descriptors or memory."""
        self.turned_away = 0
        """Connections closed without a word."""

    def start(self) -> None:
        """Listen, and accept from now on.

        Raises:
            OSError: If a socket cannot listen.
        """
        for listener in self._listeners:
            listener.setblocking(False)
            listener.listen(BACKLOG)
        self._watch()

    async def finish(self) -> None:
        """Accept what waits, as far as there is room, then close the listeners and see all connections begin."""
        for listener in self._listeners:
            self._accept(listener, BACKLOG)
        self.close()
        if self._beginning:
            await asyncio.wait(self._beginning)

    def close(self) -> None:
        """Accept no more, and close the listeners; connections that have begun go on."""
        self._ignore()
        self.is_paused = False
        for listener in self._listeners:
            listener.close()
        self._listeners = []

    def resume(self) -> None:
        """Accept again after a pause: a connection has ended, so there may be room."""
        if not self.is_paused:
            return
        self.is_paused = False
        if self._is_pause_told:
            self._is_pause_told = False
            _log.warning("connections are accepted again")
        self._watch()

    def _watch(self) -> None:
        loop = asyncio.get_running_loop()
        for listener in self._listeners:
            loop.add_reader(listener, self._accept, listener, ACCEPTED_PER_TURN)

    def _ignore(self) -> None:
        if self._retry_timer is not None:
            self._retry_timer.cancel()
            self._retry_timer = None
        if self._listeners:
            loop = asyncio.get_running_loop()
            for listener in self._listeners:
                loop.remove_reader(listener)

    def _accept(self, listener: socket.socket, count_max: int) -> None:
        for _ in range(count_max):
            try:
                connection, _ = listener.accept()
            except OSError as error:
                if error.errno in _NOTHING_THERE:
                    return
                if error.errno in _OF_ONE_CONNECTION:
                    continue
                self._pause(error)
                return
            if self._has_room(len(self._beginning)):
                self._begin(connection)
            else:
                self.turned_away += 1
                connection.close()

    def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        task = asyncio.get_running_loop().create_task(self._connect(connection))
        self._beginning.add(task)
        task.add_done_callback(self._beginning.discard)

    async def _connect(self, connection: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._make_protocol, connection)
        except Exception as error:  # noqa: BLE001  # one connection's trouble is not the others'
            with contextlib.suppress(OSError):
                connection.close()
            # asyncio can register no more sockets with the system, or the sender has left.
            _log.debug("a connection did not begin: %s", error)

    def _pause(self, error: OSError) -> None:
        """Leave connections in the system's queue until there is room."""
        self._ignore()
        self.is_paused = True
        loop = asyncio.get_running_loop()
        # Something else than a connection may have freed what was missing.
        self._retry_timer = loop.call_later(_RETRY_SECONDS, self.resume)
        now = time.monotonic()
        if now - self._told_at >= _TOLD_SECONDS_MIN:
            self._told_at = now
            self._is_pause_told = True
            _log.warning(
                "no connections are accepted (%s) until others end; lower --connections-max or raise ulimit -n",
                error.strerror,
            )
