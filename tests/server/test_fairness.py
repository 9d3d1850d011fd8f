"""Hostile senders beside an honest one: what they may hold up, on asyncio and on uvloop. Counted in rows, not in time."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from holdfast import Engine
from holdfast.net.address import Address
from holdfast.net.listening import bind, bound_address, resolve
from holdfast.protocol.messages import Ack, Refused, Summary
from holdfast.protocol.server_context import ServerContext
from holdfast.server.tcp.acceptor import BACKLOG
from holdfast.server.tcp.server import TcpServer
from server.serving import HEADER, LOOPS, Listening, listening, run, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

pytestmark = pytest.mark.parametrize("loop", LOOPS)

SENDERS = 50
ROWS_BETWEEN_ACKS_MAX = 2_000_000
"""Rows of others between two acks of an honest sender; without turns it was 6.5 million for each turn of the loop."""
HELD_BYTES_MAX = 64 * 1024


def fill(connection: socket.socket, first: bytes, body: bytes) -> None:
    """Send until the system takes no more."""
    connection.setblocking(False)
    connection.send(first)
    with contextlib.suppress(BlockingIOError):
        while True:
            connection.send(body)


@contextlib.asynccontextmanager
async def crowded(context: ServerContext, first: bytes, body: bytes) -> AsyncIterator[Listening]:
    """Start a server for which connections with as much input as the system takes are waiting."""
    server = TcpServer(context)
    (listener,) = bind(resolve(Address("127.0.0.1", 0)))
    listener.listen(BACKLOG)
    port = bound_address(listener).port
    crowd = [socket.create_connection(("127.0.0.1", port)) for _ in range(SENDERS)]
    try:
        for each in crowd:
            fill(each, first, body)
        server.start([listener])
        yield Listening(server, port)
    finally:
        for each in crowd:
            each.close()
        await server.abort()
        await asyncio.sleep(0.01)


@pytest.mark.parametrize(
    ("first", "body"),
    [
        (HEADER, b"x\n" * 50_000),
        (HEADER, b"deposit,1,1,1\n" * 5_000),
        (b"#holdfast ack=rows\n" + HEADER, b"x\n" * 50_000),
        (b"#holdfast refused=rows\n" + HEADER, b"x\n" * 50_000),
        (b"#holdfast refused=rows ack=rows\n" + HEADER, b",,,\n" * 25_000),
        (HEADER, b"x" * 100_000),
    ],
    ids=["tiny rows", "rows", "unread acks", "unread refusals", "both unread", "endless line"],
)
def test_a_small_batch_does_not_wait_for_a_crowd(loop: str, first: bytes, body: bytes) -> None:
    """Between two acks of an honest sender few rows of the others are decided, and none of them costs more than its limit."""

    async def job() -> None:
        async with crowded(ServerContext(Engine()), first, body) as server:
            peer = await server.connect(b"#holdfast ack=rows\n" + HEADER)
            sequences = []
            for number in range(8):
                peer.writer.write(b"deposit,1,%d,1\n" % number)
                ack = await peer.reply()
                assert isinstance(ack, Ack)
                sequences.append(ack.sequence)
                assert all(each.held_bytes <= HELD_BYTES_MAX for each in server.server.connections)
            await peer.close()
        between = [after - before for before, after in pairwise(sequences)]
        assert max(between) < ROWS_BETWEEN_ACKS_MAX

    run(loop, job())


def test_many_refused_rows_of_an_honest_sender(loop: str) -> None:
    """A sender that wants to hear of each refused row, and reads, hears of all, beside a crowd that does not read."""
    count = 20_000
    first = b"#holdfast refused=rows\n" + HEADER

    async def job() -> None:
        async with crowded(ServerContext(Engine()), first, b"x\n" * 50_000) as server:
            peer = await server.connect(first + b",,,\n" * count)
            replies = await peer.finish()
        assert sum(isinstance(reply, Refused) for reply in replies) == count
        assert isinstance(replies[-1], Summary)

    run(loop, job())


def test_a_flood_of_connections_is_accepted_by_and_by(loop: str) -> None:
    """Hundreds that wait to be accepted do not hold up who is connected: its ack comes while most of them still wait."""

    async def job() -> None:
        async with listening(ServerContext(Engine())) as server:
            peer = await server.connect(b"#holdfast ack=rows\n" + HEADER + b"deposit,1,1,1\n")
            assert isinstance(await peer.reply(), Ack)
            flood = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(400)]
            peer.writer.write(b"deposit,1,2,1\n")
            assert isinstance(await peer.reply(), Ack)
            assert server.server.accepted < 400
            await until(lambda: server.server.accepted == 401)
            for each in flood:
                each.close()
            await peer.close()

    run(loop, job())


def test_all_leave_at_once(loop: str) -> None:
    """Senders that end their input together all get their summary, and nothing of them is left."""

    async def job() -> None:
        async with listening(ServerContext(Engine())) as server:
            peers = [await server.connect(HEADER + b"x\n" * 200) for _ in range(200)]
            for peer in peers:
                peer.writer.write_eof()
            for peer in peers:
                (summary,) = await peer.rest()
                assert isinstance(summary, Summary)
                assert summary.rows == 200
            await until(lambda: not server.server.connections)
            assert len(server.server.turns) == 0

    run(loop, job())
