"""One connection of a stream: rows go out and replies come in until the server's summary."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.client.errors import ConnectionFault, ConnectionLostError, ProtocolError
from holdfast.client.faults import describe_failure, find_fault
from holdfast.domain.picklable import Picklable
from holdfast.protocol.client_session import RemoteProtocolError, TlsRecordError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from holdfast.client.connection import ClientConnection
    from holdfast.client.options import Limits
    from holdfast.client.row_source import RowSource
    from holdfast.protocol.client_session import ClientSession
    from holdfast.protocol.messages import Reply

    class ExchangeOwner(Protocol):
        """What an exchange needs of the sender that it works for."""

        @property
        def is_held(self) -> bool:
            """Whether replies may not be taken at present."""

        async def find_start(self) -> tuple[int, int | None]:
            """Position the source; give the first row and the digest of all rows before it."""

        async def read(self) -> bytes | memoryview | None:
            """Read on from the source."""

        def take_reply(self, reply: Reply) -> None:
            """Take a reply."""

        def changed(self) -> None:
            """Learn that something has changed."""


class ConnectionFailedError(Picklable, Exception):
    """A connection that was lost, or could not be made; another one may have more luck.

    Args:
        reason: What happened.
        has_decided: Whether the server has decided rows of this connection; None if it did not say.
    """

    def __init__(self, reason: str, *, has_decided: bool | None = None) -> None:
        super().__init__(reason)
        self.has_decided = has_decided


class Exchange:
    """Moves bytes between a source and a connection as its session allows.

    Args:
        connection: Open, with nothing sent yet.
        session: New.
        source: The rows.
        owner: Positions and reads the source, and takes the replies.
        limits: Times.
        clock: Gives seconds, from any start.
    """

    def __init__(
        self,
        connection: ClientConnection,
        session: ClientSession,
        *,
        source: RowSource,
        owner: ExchangeOwner,
        limits: Limits,
        clock: Callable[[], float],
    ) -> None:
        self._connection = connection
        self._session = session
        self._source = source
        self._owner = owner
        self._limits = limits
        self._clock = clock
        self._moved = clock()
        self._output = memoryview(b"")
        self._has_input = True
        self._is_end_sent = False
        self.sent_bytes = 0
        """Bytes that were given to the connection."""

    @property
    def is_started(self) -> bool:
        """Whether the server knows which row comes first."""
        return self._session.has_started

    @property
    def is_streaming(self) -> bool:
        """Whether rows can be sent right now."""
        return self._session.is_streaming

    def wake(self) -> None:
        """Learn that the source may have more, or that replies may be taken again."""
        self._has_input = True
        self._connection.wake()

    async def run(self) -> None:
        """Go on until the server has summed up.

        Raises:
            ConnectionFailedError: If the connection was lost.
            SendError: If the server ended the stream for good.
        """
        try:
            self._output = memoryview(self._session.open())
            while not self._session.is_closed:
                await self._turn()
                # Other tasks and timeouts have their turn as well, however fast the server is.
                await asyncio.sleep(0)
        except TlsRecordError as error:
            raise ConnectionLostError(str(error), ConnectionFault.TLS_REQUIRED) from error
        except RemoteProtocolError as error:
            raise ProtocolError(str(error)) from error

    async def _turn(self) -> None:
        has_received = not self._owner.is_held and self._receive()
        session = self._session
        if session.is_closed:
            return
        if self._output or not self._connection.is_flushed:
            if not self._write() and not has_received:
                await self._wait(is_writing=True)
        elif session.is_open:
            self._output = memoryview(session.start(*await self._owner.find_start()))
            self._moved = self._clock()
            self._owner.changed()
        elif session.is_streaming and self._has_input:
            await self._read()
        elif has_received:
            return
        elif session.is_ending and not self._is_end_sent and not self._owner.is_held:
            # Everything that has come was read: TLS cannot end its side with the server's bytes unread.
            self._end_output()
        else:
            await self._wait(is_writing=False)

    async def _read(self) -> None:
        # Whatever is given while this reads is asked for again.
        self._has_input = False
        data = await self._owner.read()
        self._session.rows_sent(self._source.sent_row)
        if data is None:
            return
        self._has_input = True
        if data:
            self._output = memoryview(data)
        else:
            self._session.end()
            self._moved = self._clock()

    def _write(self) -> bool:
        """Write what there is room for; whether there was any."""
        try:
            count = self._connection.write(self._output)
        except OSError as error:
            raise self._failure(error) from error
        if not count:
            return False
        self._output = self._output[count:]
        self.sent_bytes += count
        self._moved = self._clock()
        return True

    def _end_output(self) -> None:
        self._is_end_sent = True
        try:
            self._connection.end_output()
        except OSError as error:
            raise self._failure(error) from error

    def _receive(self) -> bool:
        """Take what has come; whether there was any, and may be more."""
        if self._session.is_closed:
            return False
        try:
            data = self._connection.read()
        except OSError as error:
            raise _failure_of(error) from error
        if data is None:
            return False
        if not data:
            raise ConnectionFailedError("the server closed the connection")
        self._moved = self._clock()
        self._session.receive(data)
        while (reply := self._session.next_event()) is not None:
            self._owner.take_reply(reply)
        return True

    def _failure(self, error: OSError) -> Exception:
        """A connection that takes no more may still have the server's reason in it, which is raised then."""
        while self._receive():
            pass
        return _failure_of(error)

    async def _wait(self, *, is_writing: bool) -> None:
        is_held = self._owner.is_held
        limit = self._limits.keep_alive_seconds
        is_due = is_writing or self._session.is_reply_due
        if is_due:
            # Replies that this side does not take are not late.
            limit = self._limits.reply_seconds_max
        seconds = None if is_held and is_due else max(0.0, self._moved + limit - self._clock())
        is_room_wanted = is_writing or not self._connection.is_flushed
        await self._connection.wait(seconds, for_input=not is_held, for_room=is_room_wanted)
        if seconds is None or self._clock() - self._moved < limit:
            return
        if is_due:
            raise ConnectionFailedError(f"nothing moved for {limit:g} seconds")
        if self._session.is_streaming:
            # A blank line is no row, and keeps the server from taking this side for dead.
            self._output = memoryview(b"\n")


def _failure_of(error: OSError) -> Exception:
    fault = find_fault(error, is_connecting=False)
    if fault is not None:
        return ConnectionLostError(describe_failure(error), fault)
    return ConnectionFailedError(describe_failure(error))
