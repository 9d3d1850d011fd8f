"""Over a network that cuts connections, every row is decided once: the accounts are those of the file itself."""

from __future__ import annotations

import asyncio
import gzip
import random
from typing import TYPE_CHECKING

import pytest

import holdfast
from client.peers import HEADER, QUICK, CuttingProxy, RealServer, deposits, real_server
from holdfast.client import (
    AsyncClient,
    Client,
    LostRowsError,
    RefusedRow,
    StreamMismatchError,
    send,
    send_async,
)
from holdfast.client.blocking_sender import BlockingSender
from holdfast.client.options import make_options
from holdfast.client.sender import Hooks

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from holdfast.client import SendReport

ROWS = 4000
# A header of its own order, and rows that are refused in between: a row decided twice would be another refusal.
DATA = b"client,amount,tx,type\n" + b"".join(
    b"%d,%d.25,%d,%b\n" % (tx % 9, tx % 17 + 1, tx if tx % 50 else 1, b"deposit" if tx % 3 else b"withdrawal")
    for tx in range(1, ROWS + 1)
)


def expected() -> tuple[bytes, holdfast.Report]:
    """Give what the file comes to by itself."""
    engine = holdfast.Engine()
    report = engine.process(DATA)
    return engine.accounts().to_csv(), report


def transactions() -> list[holdfast.Transaction]:
    """Give rows as Python has them."""
    return [holdfast.Deposit(client=tx % 7, tx=tx, amount="1.5") for tx in range(1, ROWS + 1)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RealServer]:
    """A server of its own for a test."""
    with real_server(tmp_path) as running:
        yield running


def send_in_some_way(way: str, address: str, stream: str, folder: Path) -> SendReport:
    """Send the data as a file, as bytes, from a pipe, or pushed; blocking or awaited."""
    if way == "gzip file":
        path = folder / f"{stream}.csv.gz"
        path.write_bytes(gzip.compress(DATA))
        return send(str(path), address, stream=stream, limits=QUICK)
    pieces = [DATA[start : start + 5000] for start in range(0, len(DATA), 5000)]
    if way == "pipe":
        return send(iter(pieces), address, stream=stream, limits=QUICK)
    if way == "pushed":
        with Client(address, stream=stream, header=DATA.split(b"\n")[0], limits=QUICK) as client:
            lines = DATA.splitlines(keepends=True)[1:]
            for start in range(0, ROWS, 100):
                client.send(b"".join(lines[start : start + 100]))
            assert client.flush() == ROWS
            return client.close()
    if way == "awaited bytes":
        return asyncio.run(send_async(DATA, address, stream=stream, limits=QUICK))

    async def pipe() -> AsyncIterator[bytes]:
        for piece in pieces:
            await asyncio.sleep(0)
            yield piece

    return asyncio.run(send_async(pipe(), address, stream=stream, limits=QUICK))


@pytest.mark.parametrize("way", ["gzip file", "pipe", "pushed", "awaited bytes", "awaited pipe"])
def test_cuts_at_any_byte_lose_and_repeat_nothing(way: str, server: RealServer, tmp_path: Path) -> None:
    """Connections are cut after random numbers of bytes, from the first one on, by closing or by a reset."""
    dice = random.Random(way)
    cuts = [dice.choice((1, 20, 33, 60, dice.randrange(100, 40_000))) for _ in range(12)]
    with CuttingProxy(server.port, cuts, seed=dice.randrange(1000)) as proxy:
        report = send_in_some_way(way, proxy.address, "s", tmp_path)
        assert proxy.connections == len(cuts) + 1
    accounts, alone = expected()
    assert report.rows == ROWS
    assert report.reconnects == len(cuts)
    assert report.applied + report.refused + report.untold == ROWS
    assert report.sequence == ROWS
    assert server.stop() == accounts
    assert report.applied <= alone.applied


def test_refused_rows_are_reported_once(server: RealServer) -> None:
    """Also over cuts: those that were told are right and never told twice; the others are counted as untold."""
    engine = holdfast.Engine()
    decided = engine.process(DATA)
    seen: list[RefusedRow] = []
    with CuttingProxy(server.port, [20_000, 30_000, 5_000], seed=5) as proxy:
        report = send(DATA, proxy.address, stream="s", on_refused=seen.append, limits=QUICK)
    rows = [refused.row for refused in seen]
    assert rows == sorted(set(rows))
    assert len(rows) <= decided.refused
    assert len(rows) + report.untold >= decided.refused


def test_the_same_again_sends_nothing(server: RealServer) -> None:
    """A stream that was taken whole is skipped whole; one that goes on is sent from there."""
    first = send(DATA, server.address, stream="s", limits=QUICK)
    again = send(DATA, server.address, stream="s", limits=QUICK)
    longer = send(DATA + b"1,1,99999,deposit", server.address, stream="s", limits=QUICK)
    assert (first.rows, first.skipped) == (ROWS, 0)
    assert (again.rows, again.skipped, again.sequence) == (0, ROWS, ROWS)
    assert (longer.rows, longer.skipped, longer.applied) == (1, ROWS, 1)


def test_another_input_under_the_same_name_is_refused(server: RealServer) -> None:
    """Fewer rows than the stream has, or other ones; a longer input that begins as the first one is the same."""
    send(DATA, server.address, stream="s", limits=QUICK)
    with pytest.raises(StreamMismatchError, match="the server has 4,000 rows"):
        send(HEADER + deposits(10), server.address, stream="s", limits=QUICK)
    with pytest.raises(StreamMismatchError, match="the server has 4,000 rows"):
        send(iter([HEADER, deposits(10)]), server.address, stream="s", limits=QUICK)
    other = HEADER + deposits(2 * ROWS)
    for source in (other, iter([other])):
        with pytest.raises(StreamMismatchError, match="other content was sent under this name"):
            send(source, server.address, stream="s", limits=QUICK)
    assert send(DATA, server.address, stream="s", limits=QUICK).sequence == ROWS


def test_a_server_that_was_restarted_gets_a_file_again(tmp_path: Path) -> None:
    """It has forgotten the stream and the ledger with it: the whole file makes the same accounts."""
    with real_server(tmp_path) as server, CuttingProxy(server.port, [60_000], seed=1) as proxy:
        restarted: list[RealServer] = []

        def restart(_reason: str, _seconds: float) -> None:
            if not restarted:
                server.kill()
                restarted.append(RealServer(tmp_path, port=server.port))

        seen: list[RefusedRow] = []
        options = make_options(proxy.address, stream="s", limits=QUICK)
        try:
            with BlockingSender(options, Hooks(on_refused=seen.append, on_lost=restart)) as sender:
                report = sender.send_files([DATA])
            accounts = restarted[0].stop()
        finally:
            for another in restarted:
                another.kill()
    assert accounts == expected()[0]
    assert (report.rows, report.applied, report.untold) == (ROWS, expected()[1].applied, 0)
    assert report.reconnects >= 1


def test_a_restarted_server_cannot_have_rows_that_are_not_kept(tmp_path: Path) -> None:
    """Rows that were acknowledged are gone here as well: the error names them."""
    with real_server(tmp_path) as server:
        client = Client(server.address, stream="s", limits=QUICK)
        with pytest.raises(LostRowsError, match=r"acknowledged row 10: .* rows 1 to 10 ") as caught, client:
            _lose_memory(server, client, tmp_path)
        assert (caught.value.first_row, caught.value.last_row) == (1, 10)
        assert caught.value.report is not None
        assert (caught.value.report.rows, caught.value.report.restarts) == (0, 1)


def _lose_memory(server: RealServer, client: Client, folder: Path) -> None:
    client.send(deposits(10))
    assert client.flush() == 10
    server.kill()
    with real_server(folder, port=server.port):
        client.send(deposits(5, first=11))
        client.flush()


def test_transactions_are_sent_from_python(server: RealServer) -> None:
    """One-shot, pushed and awaited; a second client goes on behind the rows of the first."""
    one = send(transactions(), server.address, stream="one", limits=QUICK)
    assert (one.rows, one.applied) == (ROWS, ROWS)

    async def push() -> None:
        async with AsyncClient(server.address, stream="two", limits=QUICK) as client:
            assert await client.send(holdfast.Deposit(client=1, tx=10_001, amount=15_000)) == 1
            assert await client.send([holdfast.Dispute(client=1, tx=10_001)]) == 2
            assert await client.flush() == 2
        async with AsyncClient(server.address, stream="two", limits=QUICK) as client:
            assert client.resumed_at == 2
            assert await client.send(holdfast.Chargeback(client=1, tx=10_001)) == 3
            report = await client.close()
            assert (report.rows, report.applied, report.skipped) == (1, 1, 2)

    asyncio.run(push())
    engine = holdfast.Engine()
    for transaction in transactions():
        engine.apply(transaction)
    engine.apply(holdfast.Deposit(client=1, tx=10_001, amount="1.5"))
    engine.apply(holdfast.Dispute(client=1, tx=10_001))
    engine.apply(holdfast.Chargeback(client=1, tx=10_001))
    assert server.stop() == engine.accounts().to_csv()


def test_many_awaited_clients_at_once(server: RealServer) -> None:
    """Each with a stream of its own, cut now and then; none is in another's way."""

    async def one(address: str, number: int) -> int:
        async with AsyncClient(address, stream=f"s{number}", limits=QUICK) as client:
            for tx in range(1, 21):
                await client.send(holdfast.Deposit(client=number, tx=number * 100 + tx, amount="1"))
            return await client.flush()

    async def all_of_them() -> list[int]:
        with CuttingProxy(server.port, [200, 400], seed=3) as proxy:
            addresses = [proxy.address if number < 3 else server.address for number in range(50)]
            return await asyncio.gather(*(one(address, number) for number, address in enumerate(addresses)))

    assert asyncio.run(all_of_them()) == [20] * 50
    accounts = server.stop().decode().splitlines()[1:]
    assert accounts == [f"{number},20.0000,0.0000,20.0000,false" for number in range(50)]
