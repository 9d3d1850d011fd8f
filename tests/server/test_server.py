"""A server and its senders on one event loop: order, backpressure, limits, bugs, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import socket
import ssl
import struct
from typing import TYPE_CHECKING

import pytest

from holdfast import Engine, Outcome
from holdfast.net.tls import make_server_tls_context
from holdfast.protocol.limits import ServerLimits
from holdfast.protocol.messages import Ack, ErrorCode, Failure, Refused, Reply, Resume, Summary
from holdfast.protocol.server_context import ServerContext
from holdfast.protocol.server_session import REFUSED_PIECE_BYTES
from holdfast.server.tcp.output import REPLY_BYTES_HIGH
from holdfast.server.tcp.reading import SMALL_READ_BYTES
from protocol.sessions import RecordingEngine
from server.certificates import make_pair
from server.serving import HEADER, LOOPS, Listening, Peer, listening, run, until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.parametrize("loop", LOOPS)


def intake(engine: Engine | None = None, **limits: float) -> ServerContext:
    """Make an intake with limits of its own."""
    return ServerContext(engine or Engine(), limits=ServerLimits(**limits))  # type: ignore[arg-type]  # limits are numbers


def pieces(data: bytes, source: random.Random) -> Iterator[bytes]:
    """Cut into pieces of random size."""
    while data:
        size = source.choice([1, 5, 30, 200, 3000])
        yield data[:size]
        data = data[size:]


def hot_rows(source: random.Random, count: int) -> bytes:
    """Generate rows about few clients and transactions, so that their order matters everywhere."""
    rows = []
    for _ in range(count):
        client, tx = source.randrange(5), source.randrange(300)
        kind = source.choice(["deposit", "deposit", "withdrawal", "dispute", "resolve", "chargeback", "junk"])
        rows.append(f"{kind},{client},{tx},{source.randrange(9)}.5\n")
    return "".join(rows).encode()


def test_many_senders_make_one_order(loop: str) -> None:
    """Rows of 200 senders about the same clients come to what the model makes of them in the order decided."""
    engine = RecordingEngine()

    async def send(server: Listening, number: int) -> Summary:
        source = random.Random(number)
        peer = await server.connect()
        for piece in pieces(HEADER + hot_rows(source, 50), source):
            peer.writer.write(piece)
            await asyncio.sleep(0)
        (summary,) = await peer.finish()
        assert isinstance(summary, Summary)
        return summary

    async def job() -> None:
        async with listening(intake(engine)) as server:
            summaries = await asyncio.gather(*(send(server, number) for number in range(200)))
        assert all(summary.rows == 50 for summary in summaries)
        assert max(summary.sequence for summary in summaries) == engine.decided == 200 * 50
        for outcome in Outcome:
            count = sum(row[4] is outcome for row in engine.recorded)
            told = sum(summary.refused_by_outcome.get(outcome, 0) for summary in summaries)
            assert outcome.is_applied or told == count
        engine.check_against_model()

    run(loop, job())


def test_acks_come_by_themselves(loop: str) -> None:
    """An ack that had to wait for its 10 ms comes though the sender sends nothing more."""

    async def job() -> None:
        async with listening(intake()) as server:
            peers = [await server.connect(b"#holdfast ack=rows\n" + HEADER) for _ in range(20)]
            for number, peer in enumerate(peers):
                for tx in range(3):
                    peer.writer.write(b"deposit,1,%d,1\n" % (number * 10 + tx))
                    await asyncio.sleep(0.001)
            for peer in peers:
                reply: Reply | None = None
                while not (isinstance(reply, Ack) and reply.rows == 3):
                    reply = await peer.reply()
                    assert isinstance(reply, Ack)
                await peer.close()

    run(loop, job())


def test_slow_reader_is_held_back_and_goes_on(loop: str) -> None:
    """A sender that does not read is not read from, costs no more than its limit, and loses nothing when it reads again."""
    count = 60_000

    async def job() -> None:
        async with listening(intake(connection_bytes_max=256 * 1024)) as server:
            peer = await slow_peer(server)
            sending = asyncio.ensure_future(send_junk(peer, count))
            (connection,) = server.server.connections
            rows_before = -1
            while connection.session.rows != rows_before or rows_before <= 0:
                rows_before = connection.session.rows
                await asyncio.sleep(0.1)
                assert connection.held_bytes < REPLY_BYTES_HIGH + REFUSED_PIECE_BYTES * 32 + SMALL_READ_BYTES
            assert rows_before < count
            assert not sending.done()
            other = await server.connect(HEADER + b"deposit,1,1,1\n")
            assert isinstance((await other.finish())[0], Summary)
            replies = await peer.rest()
            await sending
        assert [reply.row for reply in replies if isinstance(reply, Refused)] == list(range(1, count + 1))
        assert isinstance(replies[-1], Summary)

    run(loop, job())


async def slow_peer(server: Listening) -> Peer:
    """Connect with small buffers on the sender's side, so that little is enough to fill them."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    connection.setblocking(False)
    await asyncio.get_running_loop().sock_connect(connection, ("127.0.0.1", server.port))
    reader, writer = await asyncio.open_connection(sock=connection, limit=1024)
    peer = Peer(reader, writer)
    writer.write(b"#holdfast stream=slow refused=rows\n")
    assert await peer.reply() == Resume(0)
    for each in server.server.connections:
        kept = each._transport.get_extra_info("socket")
        kept.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    return peer


async def send_junk(peer: Peer, count: int) -> None:
    """Send rows that are all refused, and end the input."""
    peer.writer.write(HEADER)
    for _ in range(count // 100):
        peer.writer.write(b"junk,1,1,1\n" * 100)
        await peer.writer.drain()
    peer.writer.write_eof()


def test_replies_that_are_never_read(loop: str) -> None:
    """A sender that is held back for too long is cut off, and its stream stands where it got to; the others notice nothing."""

    async def job() -> None:
        shared = intake(replies_seconds_max=0.3, linger_seconds_max=0.3, connection_bytes_max=256 * 1024)
        async with listening(shared) as server:
            peer = await slow_peer(server)
            sending = asyncio.ensure_future(send_junk(peer, 60_000))
            (connection,) = server.server.connections
            await until(lambda: not server.server.connections)
            assert server.server.context.failures == {ErrorCode.REPLIES_NOT_READ: 1}
            rows = connection.session.position
            assert 0 < rows < 60_000
            sending.cancel()
            await asyncio.wait([sending])
            await peer.close()
            other = await server.connect(b"#holdfast stream=slow\n")
            reply = await other.reply()
            assert isinstance(reply, Resume)
            assert reply.rows == rows
            await other.close()

    run(loop, job())


@pytest.mark.parametrize("row", [b"x\n", b",,,\n"])
def test_replies_do_not_outgrow_their_limit(loop: str, row: bytes) -> None:
    """Tiny rows with a reply each: the server reads no more than it may answer, and a sender that reads gets every reply."""
    count = 100_000

    async def job() -> None:
        async with listening(intake()) as server:
            peer = await slow_peer(server)
            peer.writer.write(HEADER + row * count)
            peer.writer.write_eof()
            (connection,) = server.server.connections
            held = []

            async def look() -> None:
                while connection.is_open:
                    held.append(connection.held_bytes)
                    await asyncio.sleep(0)

            looking = asyncio.ensure_future(look())
            replies = await peer.rest()
            await looking
        assert [reply.row for reply in replies[:-1] if isinstance(reply, Refused)] == list(
            range(1, count + 1)
        )
        assert isinstance(replies[-1], Summary)
        assert max(held) < 48 * 1024

    run(loop, job())


def test_error_arrives_though_the_sender_goes_on(loop: str) -> None:
    """A sender that is in the middle of sending when it is refused gets the line, not a reset."""

    async def job() -> None:
        async with listening(intake(linger_seconds_max=1)) as server:
            for _ in range(5):
                peer = await server.connect(b"not a header\n" + b"junk,1,1,1\n" * 20_000)
                (reply,) = await peer.rest()
                assert isinstance(reply, Failure)
                assert reply.code is ErrorCode.BAD_HEADER

    run(loop, job())


def test_endless_sender_does_not_linger(loop: str) -> None:
    """A refused sender that never stops is read from for so many bytes and so long, and then cut off."""

    async def job() -> None:
        async with listening(intake(linger_seconds_max=0.2, linger_bytes_max=100_000)) as server:
            peer = await server.connect(b"not a header\n")
            with pytest.raises(OSError, match=r"."):
                await send_for_ever(peer)
            await until(lambda: not server.server.connections)
            await peer.close()

    run(loop, job())


async def send_for_ever(peer: Peer) -> None:
    """Send what nobody wants."""
    while True:
        peer.writer.write(b"x" * 10_000)
        await peer.writer.drain()
        await asyncio.sleep(0.001)


def test_half_of_a_row_before_a_reset(loop: str) -> None:
    """Whole rows of a connection that is reset stand, the half of one is gone."""
    engine = RecordingEngine()

    async def job() -> None:
        async with listening(intake(engine)) as server:
            peer = await server.connect(HEADER + b"deposit,1,1,1\ndeposit,1,2,")
            await until(lambda: engine.decided == 1)
            connection = peer.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.writer.transport.abort()
            await peer.close()
            await until(lambda: not server.server.connections)
        assert [row[2] for row in engine.recorded] == [1]

    run(loop, job())


def test_bug_in_one_connection(loop: str, caplog: pytest.LogCaptureFixture) -> None:
    """An unexpected exception ends one connection with INTERNAL and a traceback in the log; the others go on."""

    class Broken(Engine):
        def __init__(self) -> None:
            super().__init__()
            decide = self.decide

            def break_down(batch, start, *others):  # type: ignore[no-untyped-def]
                if batch.txs[start] == 666:
                    raise ZeroDivisionError("a bug")
                if batch.txs[start] == 667:
                    raise MemoryError
                return decide(batch, start, *others)

            self.decide = break_down

    async def job() -> None:
        async with listening(intake(Broken())) as server:
            good = await server.connect(HEADER + b"deposit,1,1,1\n")
            for tx, code in ((666, ErrorCode.INTERNAL), (667, ErrorCode.MEMORY_LIMIT)):
                bad = await server.connect(HEADER + b"deposit,1,%d,1\n" % tx)
                (reply,) = await bad.rest()
                assert isinstance(reply, Failure)
                assert reply.code is code
            good.writer.write(b"deposit,1,2,1\n")
            (summary,) = await good.finish()
            assert isinstance(summary, Summary)
            assert summary.applied == 2

    with caplog.at_level(logging.ERROR, "holdfast.server"):
        run(loop, job())
    (record,) = caplog.records
    assert record.exc_info is not None
    assert "a bug" in str(record.exc_info[1])


def test_memory_limit(loop: str) -> None:
    """When the ledger has grown to the limit, all connections end with where they stand, and no others are let in."""

    async def job() -> None:
        engine = Engine()
        async with listening(
            intake(engine, memory_bytes_max=engine.totals().memory_bytes + 1_000_000)
        ) as server:
            silent = await server.connect(b"#holdfast stream=a\n" + HEADER)
            peer = await server.connect(b"#holdfast ack=rows\n" + HEADER)
            rows = b"".join(b"deposit,1,%d,1\n" % tx for tx in range(300_000))
            peer.writer.write(rows)
            last = (await peer.rest())[-1]
            assert isinstance(last, Failure)
            assert (last.code, last.sequence) == (ErrorCode.MEMORY_LIMIT, last.rows)
            assert [type(reply) for reply in await silent.rest()] == [Resume, Failure]
            late = await server.connect()
            (reply,) = await late.rest()
            assert isinstance(reply, Failure)
            assert reply.code is ErrorCode.MEMORY_LIMIT

    run(loop, job())


def test_more_connections_than_may_be(loop: str) -> None:
    """Those beyond the limit are told so, those far beyond are closed, and there is room again when one ends."""

    async def job() -> None:
        async with listening(intake(connections_max=3, linger_seconds_max=5)) as server:
            peers = [await server.connect(b"#holdfast stream=s%d\n" % number) for number in range(3)]
            assert [await peer.reply() for peer in peers] == [Resume(0)] * 3
            beyond = [await server.connect() for _ in range(100)]
            told = 0
            for peer in beyond:
                try:
                    reply = await peer.reply()
                except OSError:
                    continue
                assert reply is None or isinstance(reply, Failure)
                if isinstance(reply, Failure):
                    assert reply.code is ErrorCode.TOO_MANY_CONNECTIONS
                    told += 1
            assert 1 <= told <= 64
            for peer in [*beyond, peers.pop()]:
                await peer.close()
            await until(lambda: len(server.server.connections) <= 2)
            peers.append(await server.connect(b"#holdfast stream=s9\n"))
            assert await peers[-1].reply() == Resume(0)
            for peer in peers:
                await peer.close()

    run(loop, job())


def test_connections_leave_nothing_behind(loop: str) -> None:
    """When its connection is gone, nothing of a session is left, without the garbage collector's help."""

    async def job() -> None:
        async with listening(intake()) as server:
            gc.collect()
            gc.disable()
            try:
                for _ in range(3):
                    peer = await server.connect(
                        b"#holdfast stream=a ack=rows\n" + HEADER + b"deposit,1,1,1\n"
                    )
                    assert isinstance((await peer.finish())[-1], Summary)
                await until(lambda: not server.server.connections)
                await asyncio.sleep(0.05)
                left = [each for each in gc.get_objects() if type(each).__name__ in {"Session", "Connection"}]
            finally:
                gc.enable()
            assert len(left) <= 1

    run(loop, job())


def test_stopping_tells_everybody(loop: str) -> None:
    """A stop waits for who is busy, and tells all others how far they got, with what the system had received decided."""

    async def job() -> None:
        shared = intake()
        async with listening(shared) as server:
            idle = await server.connect(b"#holdfast stream=idle\n" + HEADER + b"deposit,1,1,1\n")
            assert await idle.reply() == Resume(0)
            busy = await server.connect(b"#holdfast stream=busy ack=rows\n" + HEADER)
            assert await busy.reply() == Resume(0)
            stopping = asyncio.ensure_future(server.server.stop(1.0))
            (reply,) = await idle.rest()
            assert isinstance(reply, Failure)
            assert (reply.code, reply.rows) == (ErrorCode.SHUTTING_DOWN, 1)
            sent = 0
            while not stopping.done() and shared.failures[ErrorCode.SHUTTING_DOWN] < 2:
                busy.writer.write(b"deposit,2,%d,1\n" % (100 + sent))
                sent += 1
                await asyncio.sleep(0.005)
            replies = await busy.rest()
            await stopping
            last = replies[-1]
            assert isinstance(last, Failure)
            assert last.code is ErrorCode.SHUTTING_DOWN
            assert sent - 2 <= last.rows <= sent
            assert shared.registry.position("busy").rows == last.rows

    run(loop, job())


def test_encrypted_input_goes_on_after_a_pause(loop: str, tmp_path: Path) -> None:
    """A sender with TLS that is paused because it does not read loses nothing when it reads again."""
    pair = make_pair(tmp_path, "server")
    count = 30_000

    async def job() -> None:
        async with listening(
            intake(), make_server_tls_context(str(pair.cert), str(pair.key), None)
        ) as server:
            trust = ssl.create_default_context(cafile=str(pair.cert))
            peer = await server.connect(
                b"#holdfast refused=rows\n" + HEADER, ssl=trust, server_hostname="127.0.0.1", limit=1024
            )
            for _ in range(count // 1000):
                peer.writer.write(b"x\n" * 1000)
            (connection,) = server.server.connections
            for _ in range(100):
                assert connection.held_bytes < 64 * 1024
                await asyncio.sleep(0.005)
            for number in range(count):
                reply = await peer.reply()
                assert isinstance(reply, Refused)
                assert reply.row == number + 1
            await peer.close()

    run(loop, job())
