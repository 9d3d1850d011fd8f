"""Rows that need records from a ledger's disk: the event loop never waits for it, nobody else does, and nothing is lost."""

from __future__ import annotations

import socket
import struct
import time
from typing import TYPE_CHECKING

import pytest

from holdfast import Ledger
from holdfast.engine.policy import ErrorPolicy, parse_policy
from holdfast.protocol.messages import Ack, ErrorCode, Failure, Summary
from holdfast.protocol.server_context import ServerContext
from holdfast.storage.paging import Pager
from holdfast.storage.ports import StoreDamagedError
from server.serving import HEADER, LOOPS, listening, run, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from server.serving import Listening

pytestmark = pytest.mark.parametrize("loop", LOOPS)

PAGES = 12
RUN = 8192
READ_SECONDS = 0.05


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Give a ledger whose records are all on disk: a deposit by client 1 in each of some pages."""
    path = tmp_path / "p.db"
    with Ledger.open(path) as made:
        for page in range(PAGES):
            made.process(
                HEADER + b"".join(b"deposit,1,%d,5\n" % tx for tx in range(RUN * page, RUN * page + 300))
            )
    with Ledger.open(path) as opened:
        assert len(opened._core.absent_pages()) == PAGES
        yield opened


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let each read of a page take its time; give the list of the pages that were read."""
    read_run, reads = Pager.read_run, list[int]()

    def slowly(pager: Pager, number: int) -> bytes:
        reads.append(number)
        time.sleep(READ_SECONDS)
        return read_run(pager, number)

    monkeypatch.setattr(Pager, "read_run", slowly)
    return reads


def disputes(pages: range) -> bytes:
    """Write disputes of a deposit in each of these pages."""
    return b"".join(b"dispute,1,%d,\n" % (RUN * page) for page in pages)


async def count_acks(listening_: Listening, is_over: Callable[[], bool]) -> int:
    """Send one row after the other, each when the one before it is acknowledged, until it is over."""
    peer = await listening_.connect(b"#holdfast ack=rows\n" + HEADER)
    count = 0
    while not is_over():
        peer.writer.write(b"deposit,3,%d,1\n" % (RUN * PAGES + count))
        while not isinstance(reply := await peer.reply(), Ack) or reply.rows <= count:
            pass
        count += 1
    await peer.close()
    return count


def test_others_go_on_meanwhile(loop: str, ledger: Ledger, slow: list[int]) -> None:
    """A sender that needs a cold page with every row waits for its own; one that needs none is answered all the time."""

    async def main() -> None:
        async with listening(ServerContext(ledger)) as server:
            # Its first row needs no page, the others wait one after the other.
            cold = await server.connect(HEADER + b"deposit,1,%d,1\n" % (RUN * 500))
            await until(lambda: ledger.decided == PAGES * 300 + 1)
            for page in range(PAGES):
                cold.writer.write(disputes(range(page, page + 1)))
                await cold.writer.drain()
            acked = await count_acks(server, lambda: len(slow) >= PAGES)
            summary = (await cold.finish())[-1]
            assert isinstance(summary, Summary)
            assert (summary.rows, summary.applied) == (1 + PAGES, 1 + PAGES)
            # One ack for each page would be what a loop that waits for the disk gives.
            assert acked > 3 * PAGES

    run(loop, main())
    assert ledger.account(1).held_units == PAGES * 50_000


def test_the_disk_is_shared(loop: str, ledger: Ledger, slow: list[int]) -> None:
    """One sender wants all pages but one, again and again; another that wants the last one has it after a load or two."""

    async def main() -> None:
        async with listening(ServerContext(ledger)) as server:
            greedy = [await server.connect(HEADER) for _ in range(3)]
            for number, each in enumerate(greedy):
                each.writer.write(disputes(range(number * 3, number * 3 + 3)))
            await until(lambda: len(slow) > 0)
            modest = await server.connect(HEADER + disputes(range(PAGES - 1, PAGES)))
            summary = (await modest.finish())[-1]
            assert isinstance(summary, Summary)
            assert summary.applied == 1
            for each in greedy:
                assert isinstance(last := (await each.finish())[-1], Summary)
                assert last.rows == 3

    run(loop, main())


@pytest.mark.parametrize("how", ["whole", "acks", "reset", "superseded"])
def test_every_end(loop: str, ledger: Ledger, slow: list[int], how: str) -> None:
    """However a connection ends while its rows wait: they are decided once, in order, and the sender is told so."""
    before = ledger.decided
    rows = disputes(range(PAGES)) + b"resolve,1,0,\ndeposit,1,%d,1" % (RUN * 600)

    async def main() -> None:
        async with listening(ServerContext(ledger)) as server:
            first = b"" if how in {"whole", "reset"} else b"#holdfast ack=rows stream=day\n"
            peer = await server.connect(first + HEADER + rows + (b"" if how == "whole" else b"\n"))
            await peer.writer.drain()
            if how in {"whole", "acks"}:
                summary = (await peer.finish())[-1]
                assert isinstance(summary, Summary)
                assert (summary.rows, summary.applied) == (PAGES + 2, PAGES + 2)
                return
            await until(lambda: len(slow) > 0)
            if how == "superseded":
                again = await server.connect(first + HEADER)
                told = [reply for reply in await peer.rest() if isinstance(reply, Failure)]
                assert [each.code for each in told] == [ErrorCode.SUPERSEDED]
                summary = (await again.finish())[-1]
                assert isinstance(summary, Summary)
                assert (summary.rows, summary.resume) == (0, PAGES + 2)
                return
            connection = peer.writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            await peer.close()
            await until(lambda: ledger.decided == before + PAGES + 2)

    run(loop, main())
    assert ledger.decided == before + PAGES + 2
    assert ledger.account(1).held_units == (PAGES - 1) * 50_000


def test_a_policy_that_stops_rows_that_waited(loop: str, ledger: Ledger, slow: list[int]) -> None:
    """The row is named as if nothing had waited, and no row after it is decided."""
    policy: ErrorPolicy = parse_policy("abort")

    async def main() -> None:
        async with listening(ServerContext(ledger, policy=policy)) as server:
            bad = disputes(range(3)) + b"dispute,1,0,\n" + disputes(range(3, 6))
            peer = await server.connect(HEADER + bad)
            failure = (await peer.rest())[-1]
            assert isinstance(failure, Failure)
            assert failure.code is ErrorCode.POLICY_ABORT
            assert "row 4" in failure.message

    run(loop, main())
    assert len(slow) >= 3
    assert ledger.account(1).held_units == 3 * 50_000


def test_a_page_that_is_damaged(loop: str, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sender that needs it is told, no row of it is decided, and the others go on."""

    def damaged(_pager: Pager, number: int) -> bytes:
        raise StoreDamagedError(f"page {number} is damaged")

    monkeypatch.setattr(Pager, "read_run", damaged)

    async def main() -> None:
        async with listening(ServerContext(ledger)) as server:
            peer = await server.connect(HEADER + disputes(range(1)))
            failure = (await peer.rest())[-1]
            assert isinstance(failure, Failure)
            assert (failure.code, failure.rows) == (ErrorCode.INTERNAL, 0)
            other = await server.connect(HEADER + b"deposit,9,%d,1\n" % (RUN * 700))
            assert isinstance(last := (await other.finish())[-1], Summary)
            assert last.rows == 1

    run(loop, main())
