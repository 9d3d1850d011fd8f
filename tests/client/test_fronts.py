"""Both fronts over real sockets, against servers that do what a test says."""

from __future__ import annotations

import asyncio
import functools
import io
import os
import socket
import threading
import time
from importlib.util import find_spec
from typing import TYPE_CHECKING

import pytest

import holdfast
from client.peers import HEADER, QUICK, TIMEOUT_SECONDS, Peer, deposits, resume, scripted
from holdfast.client import (
    AsyncClient,
    Client,
    ConnectionLostError,
    DeadlineError,
    ProtocolError,
    ServerError,
    send,
    send_async,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from holdfast.client import SendReport


def _awaited(*arguments: object, **options: object) -> SendReport:
    return asyncio.run(send_async(*arguments, **options))  # type: ignore[arg-type]  # as the test gave them


def _awaited_on_uvloop(*arguments: object, **options: object) -> SendReport:
    import uvloop  # noqa: PLC0415  # an extra

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(send_async(*arguments, **options))  # type: ignore[arg-type]  # the same


START = b"#holdfast from=1 digest=0000000000000000\n"

FRONTS = pytest.mark.parametrize(
    "front",
    [
        pytest.param(send, id="blocking"),
        pytest.param(_awaited, id="awaited"),
        pytest.param(
            _awaited_on_uvloop,
            id="uvloop",
            # Skipped before a server waits for the client.
            marks=pytest.mark.skipif(find_spec("uvloop") is None, reason="uvloop is not installed"),
        ),
    ],
)


def summary(rows: int, stream: str | None = None) -> bytes:
    """Give the reply that ends a connection on which all rows were applied."""
    named = "" if stream is None else f', "stream": "{stream}", "resume": {rows}'
    return (
        f'{{"rows": {rows}, "applied": {rows}, "refused": 0, "refused_by_code": {{}}, "skipped": 0, '
        f'"sequence": {rows}{named}}}'.encode()
    )


def take_all(peer: Peer, expected: bytes, rows: int) -> None:
    """Be a server for an anonymous stream."""
    assert peer.rest() == expected
    peer.say(b'{"ack": %d, "sequence": %d}' % (rows, rows), summary(rows))


@FRONTS
@pytest.mark.parametrize(
    "form", ["bytes", "file object", "pieces", "transactions", "path", "nothing but a header"]
)
def test_every_kind_of_input(front: Callable[..., SendReport], form: str, tmp_path: Path) -> None:
    """What goes over the wire is the input, its last row ended, behind the directive."""
    data = HEADER + b"deposit,1,1,1.5\ndispute,1,1,\nwithdrawal,2,2,0.0003"
    rows, source = 3, {
        "bytes": data,
        "file object": io.BytesIO(data),
        "pieces": (data[start : start + 7] for start in range(0, len(data), 7)),
        "transactions": [
            holdfast.Deposit(1, 1, "1.5"), holdfast.Dispute(1, 1), holdfast.Withdrawal(2, 2, 3),
        ],
        "path": tmp_path / "data.csv",
        "nothing but a header": HEADER[:-1],
    }[form]  # fmt: skip
    (tmp_path / "data.csv").write_bytes(data)
    if form == "nothing but a header":
        rows, data = 0, HEADER[:-1]
    with scripted(lambda peer: take_all(peer, b"#holdfast ack=rows\n" + data + b"\n", rows)) as address:
        report = front(source, address, limits=QUICK)
    assert (report.rows, report.applied, report.sequence) == (rows, rows, rows)


def test_an_asynchronous_pipe_is_sent_as_it_comes() -> None:
    """From a StreamReader; a row leaves before the next one is there."""

    async def run() -> SendReport:
        reader = asyncio.StreamReader()
        seen = asyncio.Event()
        loop = asyncio.get_running_loop()

        def script(peer: Peer) -> None:
            assert [peer.line() for _ in range(3)] == [b"#holdfast ack=rows\n", HEADER, deposits(1)]
            loop.call_soon_threadsafe(seen.set)
            take_all(peer, deposits(1, first=2), 2)

        with scripted(script) as address:
            reader.feed_data(HEADER + deposits(1) + b"depo")
            sending = asyncio.create_task(send_async(reader, address, limits=QUICK))
            await asyncio.wait_for(seen.wait(), TIMEOUT_SECONDS)
            reader.feed_data(deposits(1, first=2)[4:])
            reader.feed_eof()
            return await sending

    assert asyncio.run(run()).rows == 2


@FRONTS
def test_a_reply_that_is_there_before_anybody_waits_is_not_missed(front: Callable[..., SendReport]) -> None:
    """The greeting and all that follows come as early as they can, a hundred times."""

    def script(peer: Peer) -> None:
        peer.say(resume(3, HEADER + deposits(3)))
        assert b" digest=" in peer.rest().splitlines()[1]
        peer.say(
            summary(3, "s").replace(b'"rows": 3', b'"rows": 0').replace(b'"applied": 3', b'"applied": 0')
        )

    with scripted(*[script] * 100) as address:
        for _ in range(100):
            assert front(HEADER + deposits(3), address, stream="s", limits=QUICK).skipped == 3


@FRONTS
def test_a_file_is_sent_again_from_where_a_server_without_memory_stands(
    front: Callable[..., SendReport],
) -> None:
    """Rows that it had acknowledged are sent again, and only what became of them the second time is counted."""

    def before(peer: Peer) -> None:
        peer.line()
        peer.say(resume(0))
        assert [peer.line() for _ in range(3)][:2] == [START, HEADER]
        peer.say(b'{"refused": {"row": 1, "code": "TX_NOT_FOUND"}}', b'{"ack": 2, "sequence": 2}')

    def after(peer: Peer) -> None:
        peer.line()
        peer.say(resume(0))
        assert peer.rest() == START + HEADER + deposits(3)
        peer.say(summary(3, "s"))

    with scripted(before, after) as address:
        report = front(HEADER + deposits(3), address, stream="s", on_refused=lambda _: None, limits=QUICK)
    assert (report.rows, report.applied, report.refused, report.restarts) == (3, 3, 0, 1)


@FRONTS
def test_the_servers_last_word_is_heard(front: Callable[..., SendReport]) -> None:
    """A server that refuses in mid-stream and reads no further is not mistaken for a lost connection."""

    def script(peer: Peer) -> None:
        # The directive, the header, seven rows.
        assert [peer.line() for _ in range(9)][-1] == deposits(1, first=7)
        peer.say(b'{"error": {"code": "POLICY_ABORT", "message": "row 7"}, "rows": 7, "sequence": 7}')
        peer.rest()

    with scripted(script) as address, pytest.raises(ServerError, match="POLICY_ABORT: row 7") as caught:
        front(HEADER + deposits(200_000), address, limits=QUICK)
    assert caught.value.report is not None
    assert caught.value.report.rows == 7


@FRONTS
def test_a_peer_that_is_no_holdfast_server(front: Callable[..., SendReport]) -> None:
    """A web server, for one: the error says what it said."""

    def script(peer: Peer) -> None:
        peer.say(b"HTTP/1.1 400 Bad Request\r", b"\r")
        peer.rest()

    with (
        scripted(script) as address,
        pytest.raises(ProtocolError, match=r"HTTP/1\.1 400 Bad Request.*Holdfast server"),
    ):
        front(HEADER + deposits(3), address, stream="s", limits=QUICK)


@FRONTS
def test_a_server_that_hangs_is_given_up(front: Callable[..., SendReport]) -> None:
    """Whether it never greets, stops reading, or never sums up: the wait is bounded."""
    limits = QUICK._replace(reply_seconds_max=0.15, retry_seconds_max=0)
    done = threading.Event()

    def silent(_peer: Peer) -> None:
        done.wait(TIMEOUT_SECONDS)

    for data, stream in ((HEADER, "s"), (HEADER, None), (HEADER + deposits(500_000), None)):
        done.clear()
        with scripted(silent) as address:
            with pytest.raises(ConnectionLostError, match=r"nothing moved for 0\.15 seconds"):
                front(data, address, stream=stream, limits=limits)
            done.set()


@FRONTS
def test_the_deadline_passes_while_the_server_trickles(front: Callable[..., SendReport]) -> None:
    """Progress keeps a connection, but not beyond the time that was given."""

    def script(peer: Peer) -> None:
        peer.line(), peer.line()
        for row in range(1000):
            try:
                peer.say(b'{"ack": %d, "sequence": 1}' % row)
            except OSError:
                return
            time.sleep(0.02)

    limits = QUICK._replace(deadline_seconds=0.3, reply_seconds_max=0.2)
    with scripted(script) as address, pytest.raises(DeadlineError, match=r"not done after 0\.3 seconds"):
        front(HEADER + deposits(1000), address, limits=limits)


@FRONTS
def test_a_connection_that_is_not_answered_is_given_up(front: Callable[..., SendReport]) -> None:
    """A full backlog drops connections without a word."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with socket.create_connection(listener.getsockname()):
            limits = QUICK._replace(connect_seconds_max=0.2, retry_seconds_max=0)
            started = time.monotonic()
            with pytest.raises(ConnectionLostError, match="cannot connect"):
                front(HEADER, address, limits=limits)
            assert time.monotonic() - started < 5


@FRONTS
def test_a_callback_that_fails_ends_the_stream(front: Callable[..., SendReport]) -> None:
    """Its exception comes out, and nothing stays open."""

    def script(peer: Peer) -> None:
        peer.line(), peer.line()
        peer.say(b'{"refused": {"row": 1, "code": "TX_NOT_FOUND"}}')
        peer.rest()

    def fail(_refused: object) -> None:
        raise KeyError("mine")

    with scripted(script) as address, pytest.raises(KeyError, match="mine"):
        front(HEADER + deposits(3), address, on_refused=fail, limits=QUICK)


def test_a_full_buffer_holds_the_sender_back() -> None:
    """Rows wait where they come from while too many are not acknowledged; memory stays what it is."""
    limits = QUICK._replace(buffer_bytes_max=50_000)
    acked = threading.Event()

    def script(peer: Peer) -> None:
        assert peer.line() == b"#holdfast ack=rows\n"
        assert peer.line() == HEADER
        acked.wait(TIMEOUT_SECONDS)
        count = 0
        while peer.line():
            count += 1
            if count % 100 == 0:
                peer.say(b'{"ack": %d, "sequence": %d}' % (count, count))
        peer.say(b'{"ack": %d, "sequence": %d}' % (count, count), summary(count))

    async def run() -> None:
        with scripted(script) as address:
            async with AsyncClient(address, limits=limits) as client:
                given = 0

                async def give() -> None:
                    nonlocal given
                    for first in range(1, 10_001, 50):
                        given = await client.send(deposits(50, first=first))

                giving = asyncio.create_task(give())
                await asyncio.sleep(0.2)
                held = given
                assert 0 < held < 5000
                acked.set()
                await giving
                assert await client.flush() == 10_000
                assert (await client.close()).rows == 10_000

    asyncio.run(run())


def test_a_cancelled_send_leaves_nothing_behind(tmp_path: Path) -> None:
    """In the middle of a file, of a wait, and of a client's life."""
    path = tmp_path / "large.csv"
    path.write_bytes(HEADER + deposits(500_000))
    done = threading.Event()

    async def run(work: Callable[[str], Coroutine[None, None, object]]) -> None:
        with scripted(lambda _: done.wait(TIMEOUT_SECONDS)) as address:
            task = asyncio.create_task(work(address))
            await asyncio.sleep(0.05)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            done.set()

    async def push(address: str) -> None:
        async with AsyncClient(address, limits=QUICK) as client:
            await client.send(deposits(10))
            await client.flush()

    for work in (
        functools.partial(send_async, str(path), limits=QUICK),
        functools.partial(send_async, HEADER, stream="s", limits=QUICK),
        push,
    ):
        done.clear()
        asyncio.run(run(work))


def test_an_idle_awaited_client_keeps_its_connection() -> None:
    """It sends blank lines, and hears at once when the server goes."""
    heard = threading.Event()

    def script(peer: Peer) -> None:
        assert [peer.line() for _ in range(4)] == [b"#holdfast ack=rows\n", HEADER, b"\n", b"\n"]
        heard.set()
        assert peer.rest().lstrip(b"\n") == deposits(1)
        peer.say(b'{"ack": 1, "sequence": 1}', summary(1))

    async def run() -> None:
        with scripted(script) as address:
            limits = QUICK._replace(keep_alive_seconds=0.05)
            async with AsyncClient(address, limits=limits) as client:
                await asyncio.to_thread(heard.wait, TIMEOUT_SECONDS)
                await client.send(deposits(1))

    asyncio.run(run())


def test_a_client_that_failed_stays_failed() -> None:
    """The next call says again why, and so does the end."""
    heard = threading.Event()

    def script(peer: Peer) -> None:
        peer.line(), peer.line()
        peer.say(b'{"error": {"code": "INTERNAL", "message": "a bug"}, "rows": 0, "sequence": 0}')
        peer.rest()
        heard.set()

    async def run(address: str) -> None:
        client = AsyncClient(address, limits=QUICK)
        async with client:
            await asyncio.to_thread(heard.wait, TIMEOUT_SECONDS)
            with pytest.raises(ServerError, match="INTERNAL: a bug"):
                await client.flush()
            with pytest.raises(ServerError, match="INTERNAL: a bug"):
                await client.send(deposits(1))

    with scripted(script) as address, pytest.raises(ServerError, match="INTERNAL: a bug"):
        asyncio.run(run(address))


def test_what_cannot_be_sent_is_refused_before_it_is() -> None:
    """Text, floats' friends, and amounts that would be more than one field."""
    with scripted(lambda peer: peer.rest()) as address:
        client = Client(address, limits=QUICK)
        with pytest.raises(TypeError, match="encode it"):
            client.send("deposit,1,1,1")  # type: ignore[arg-type]  # what is tested
        for amount in ("1\ndeposit,1,2,1", "1,2", '"1"'):
            with pytest.raises(ValueError, match="would not stay one field"):
                client.send(holdfast.Deposit(1, 1, amount))
        with pytest.raises(ValueError, match="not under one's own"):
            Client(address, header=b"tx,client,type,amount").send(holdfast.Deposit(1, 1, "1"))
        with socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2]))):
            pass


def test_a_named_pipe_is_not_read_where_it_could_not_be_cancelled(tmp_path: Path) -> None:
    """The error says what to do instead."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(TypeError, match="give the StreamReader"):
        _awaited(str(tmp_path / "pipe"), "127.0.0.1:1")
