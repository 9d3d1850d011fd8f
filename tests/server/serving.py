"""Runs a server and its senders on one event loop, either of the two, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from holdfast.net.address import Address
from holdfast.net.listening import bind, bound_address, resolve
from holdfast.protocol.wire import parse_reply
from holdfast.server.tcp.server import TcpServer

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Callable, Coroutine

    from holdfast.protocol.messages import Reply
    from holdfast.protocol.server_context import ServerContext

LOOPS = ("asyncio", "uvloop")
TIMEOUT_SECONDS = 30.0
HEADER = b"type,client,tx,amount\n"


def run(loop: str, job: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on a loop of that kind, for a bounded time."""
    if loop == "uvloop":
        try:
            factory = importlib.import_module("uvloop").new_event_loop
        except ImportError:
            job.close()
            pytest.skip("uvloop is not installed")
    else:
        factory = asyncio.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(asyncio.wait_for(job, TIMEOUT_SECONDS))


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nobody announces."""
    while not condition():  # noqa: ASYNC110  # see above
        await asyncio.sleep(0.01)


class Listening(NamedTuple):
    """A server that listens."""

    server: TcpServer
    port: int

    async def connect(self, first: bytes = b"", **options: Any) -> Peer:
        """Open a connection, and send something at once."""
        peer = Peer(*await asyncio.open_connection("127.0.0.1", self.port, **options))
        peer.writer.write(first)
        return peer


class Peer(NamedTuple):
    """The other side of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def reply(self) -> Reply | None:
        """Wait for the next reply; None at the end."""
        line = await self.reader.readline()
        return parse_reply(line) if line else None

    async def finish(self) -> list[Reply]:
        """End the input, and give the replies up to the end."""
        self.writer.write_eof()
        return await self.rest()

    async def rest(self) -> list[Reply]:
        """Give the replies up to the end, and close."""
        found = [parse_reply(line) for line in (await self.reader.read()).splitlines()]
        await self.close()
        return found

    async def close(self) -> None:
        """Close the connection."""
        self.writer.close()
        # The server may have been quicker.
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()


@contextlib.asynccontextmanager
async def listening(intake: ServerContext, tls: ssl.SSLContext | None = None) -> AsyncIterator[Listening]:
    """Run a server on a free port; nothing of it is left behind."""
    server = TcpServer(intake, tls)
    (listener,) = bind(resolve(Address("127.0.0.1", 0)))
    try:
        server.start([listener])
        yield Listening(server, bound_address(listener).port)
    finally:
        await server.abort()
        listener.close()
        # Transports close a turn of the loop later.
        await asyncio.sleep(0.01)
