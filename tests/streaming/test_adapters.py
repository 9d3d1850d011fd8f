"""Adapters: pieces joined, rates held, rejections told."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import Action, Deposit, Engine, Outcome, RejectWriter, TablePolicy
from holdfast.streaming import SourceState, StreamProcessor, batched, tee_rejects, throttled
from streaming.sending import HEADER, deposits, run, waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from holdfast import Rejection

ROWS = [Deposit(1, tx, 1) for tx in range(10)]


async def collect(source: AsyncIterator[Any]) -> list[Any]:
    """Take all pieces."""
    return [piece async for piece in source]


# --- batched ---


def test_transactions_are_joined_to_a_size() -> None:
    """Transactions are joined into full lists, and the rest into one more."""
    assert run(collect(batched(waiting(ROWS), rows_max=4, seconds_max=10))) == [ROWS[:4], ROWS[4:8], ROWS[8:]]


def test_chunks_are_joined_to_a_size() -> None:
    """No byte is lost or changed, and a piece is given when it is large enough."""
    text = deposits(1, 1, 100)
    chunks = [text[at : at + 7] for at in range(0, len(text), 7)]
    pieces = run(collect(batched(waiting(chunks), bytes_max=50, seconds_max=10)))
    assert b"".join(pieces) == text
    assert {len(piece) for piece in pieces[:-1]} == {56}


def test_kinds_are_not_joined() -> None:
    """A batch is not joined, and lists are split and joined anew."""
    batch = Engine().new_decoder(keep_source=False).feed(deposits(1, 1, 8192))[0]
    pieces = run(collect(batched([b"a", b"b", batch, ROWS[:3], ROWS[3:4], batch], rows_max=100)))
    assert pieces == [b"ab", batch, ROWS[:4], batch]


def test_a_piece_waits_no_longer_than_it_may() -> None:
    """When a sender pauses, what it sent so far is decided."""

    async def source(gate: asyncio.Event) -> AsyncIterator[bytes]:
        yield b"a"
        yield b"b"
        await gate.wait()
        yield b"c"

    async def job() -> list[Any]:
        gate = asyncio.Event()
        pieces = []
        async for piece in batched(source(gate), seconds_max=0.01):
            pieces.append(piece)  # the gate opens between two of them
            gate.set()
        return pieces

    assert run(job()) == [b"ab", b"c"]


def test_a_joined_source_is_not_read_ahead() -> None:
    """While nobody takes the joined piece, at most one more is taken from the source."""
    given_pieces = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal given_pieces
        while True:
            given_pieces += 1
            yield b"x"

    async def job() -> None:
        pieces = batched(source(), bytes_max=10)
        for taken in range(1, 4):
            assert len(await anext(pieces)) == 10
            for _ in range(20):
                await asyncio.sleep(0)
            assert given_pieces <= 10 * (taken + 1) + 1
        await pieces.aclose()  # type: ignore[attr-defined]

    run(job())


def test_a_joined_source_fails_behind_what_it_gave() -> None:
    """The pieces before an exception are given first."""

    async def source() -> AsyncIterator[bytes]:
        yield HEADER
        raise LookupError("gone")

    async def job() -> None:
        pieces = batched(source())
        assert await anext(pieces) == HEADER
        with pytest.raises(LookupError, match="gone"):
            await anext(pieces)

    run(job())


@pytest.mark.parametrize("adapter", ["batched", "throttled", "tee_rejects"])
def test_closing_an_adapter_closes_its_source(adapter: str) -> None:
    """Closing an adapter closes its source."""
    closed = False

    async def source() -> AsyncIterator[bytes]:
        nonlocal closed
        try:
            while True:
                yield HEADER
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            closed = True

    makers: dict[str, Any] = {
        "batched": lambda: batched(source(), bytes_max=1),
        "throttled": lambda: throttled(source(), rows_per_second=10**6),
        "tee_rejects": lambda: tee_rejects(source(), print, engine=Engine()),
    }

    async def job() -> None:
        async def merge() -> None:
            await StreamProcessor(Engine(), policy=TablePolicy(Action.ABORT)).merge([makers[adapter]()])

        # A header in place of a row is refused, which ends the source.
        await merge()
        assert closed

    run(job())


# --- throttled ---


def test_a_rate_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """A burst passes at once, the rest at the rate, whatever the size of the pieces."""
    now = 0.0
    real_sleep = asyncio.sleep

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds
        await real_sleep(0)

    async def job(pieces: list[Any], **rates: float) -> list[float]:
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
        monkeypatch.setattr(asyncio, "sleep", sleep)
        start = now
        times = []
        async for _ in throttled(pieces, **rates):
            times.append(round(now - start, 6))  # noqa: PERF401  # a list comprehension would hide the clock
        return times

    rows = list(range(6))
    assert asyncio.run(job(rows, rows_per_second=10, burst=2)) == [0, 0, 0.1, 0.2, 0.3, 0.4]
    assert asyncio.run(job([b"a\nb\n", b"c\n" * 5, b"d\n"], rows_per_second=2)) == [0, 2.5, 3.0]
    assert asyncio.run(job([b"12345", b"12345"], bytes_per_second=5)) == [0, 1.0]
    assert asyncio.run(job([ROWS[:5], ROWS[5:]], rows_per_second=5)) == [0, 1.0]


@pytest.mark.parametrize(
    "rates",
    [
        {},
        {"rows_per_second": 1, "bytes_per_second": 1},
        {"rows_per_second": 0},
        {"rows_per_second": 1, "burst": 0},
    ],
)
def test_rates_that_cannot_be(rates: dict[str, float]) -> None:
    """Exactly one rate above 0 must be given."""
    with pytest.raises(ValueError, match=r"give one rate|above 0"):
        run(collect(throttled([b"x"], **rates)))


def test_transactions_have_no_bytes_to_count() -> None:
    """A source without bytes of text gets an error that names the other rate."""
    with pytest.raises(TypeError, match="give rows_per_second"):
        run(collect(throttled(ROWS, bytes_per_second=1)))


# --- tee_rejects ---


def test_rejections_are_told_in_order() -> None:
    """The sink gets each refused row of text, transactions and batches once, after it was decided."""
    seen: list[tuple[str, int, Outcome]] = []
    engine = Engine()

    async def sink(rejection: Rejection) -> None:
        await asyncio.sleep(0)
        seen.append((rejection.input, rejection.line, rejection.outcome))

    text = HEADER + b"deposit,1,1,1\nx,1,1\ndispute,1,9\ndeposit,1,2,1\nwithdrawal,1,3,5"
    batch = engine.new_decoder(keep_source=True).feed(deposits(1, 1, 8192))[0]
    sources = [
        tee_rejects(
            waiting([text[at : at + 10] for at in range(0, len(text), 10)]), sink, engine=engine, name="a"
        ),
        tee_rejects([Deposit(1, 1, "2"), [Deposit(1, 7, "1")]], sink, engine=engine, name="b"),
        tee_rejects(
            [batch],
            lambda rejection: seen.append((*rejection[:2], rejection.outcome)),
            engine=engine,
        ),
    ]
    report = run(StreamProcessor(engine).chain(*sources))
    assert seen[:4] == [
        ("a", 3, Outcome.UNKNOWN_TYPE),
        ("a", 4, Outcome.TX_NOT_FOUND),
        ("a", 6, Outcome.INSUFFICIENT_FUNDS),
        ("b", 1, Outcome.TX_ID_REUSED),
    ]
    assert seen[4:] == [("source", tx + 1, Outcome.TX_ID_REUSED) for tx in (1, 2, 7)]
    assert report.refused == len(seen)


def test_a_reject_file_has_the_row_at_which_a_policy_stopped() -> None:
    """The sink gets the row at which the policy stopped, and no undecided row."""
    file = io.BytesIO()
    text = HEADER + b"deposit,1,1,1\ndispute,1,9\ndeposit,1,2,1\nx,1,1\n"
    engine = Engine()
    processor = StreamProcessor(engine, policy=TablePolicy(Action.ABORT))
    run(processor.merge([tee_rejects([text], RejectWriter(file), engine=engine, name="a")]))
    assert processor.sources["1"].state is SourceState.STOPPED
    lines = file.getvalue().splitlines()[1:]
    assert [line.split(b",")[:2] for line in lines] == [[b'"a"', b"3"]]


def test_a_slow_sink_holds_its_source_back() -> None:
    """The source is asked for its next piece after the sink has taken the last one's rejections."""
    told = 0

    async def sink(_: Rejection) -> None:
        nonlocal told
        await asyncio.sleep(0.001)
        told += 1

    async def source() -> AsyncIterator[bytes]:
        yield HEADER
        for number in range(5):
            yield b"dispute,1,1,\n"
            assert told == number + 1

    processor = StreamProcessor(Engine())
    run(processor.merge([tee_rejects(source(), sink, engine=Engine())], on_source_error="raise"))
    assert told == 5
