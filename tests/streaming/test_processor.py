"""Sources into one ledger: decided order against the model, each source's report, and the others when one ends badly."""

from __future__ import annotations

import asyncio
import gc
import io
import logging
import threading
import weakref
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import (
    Action,
    Budget,
    Deposit,
    Engine,
    InputError,
    Outcome,
    PolicyAbort,
    RejectWriter,
    Rules,
    TablePolicy,
)
from holdfast.streaming import Running, Source, SourceData, SourceState, StreamProcessor
from strategies import cut, cuts, rules, transaction_streams
from streaming.sending import HEADER, Recorder, deposits, run, text_of, until, waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from holdfast import ErrorPolicy, Rejection
    from holdfast.kernel.batch import Batch
    from scenarios import TransactionRow

ABORT = TablePolicy(Action.ABORT)


@given(
    st.lists(transaction_streams(rows_max=24), min_size=1, max_size=5),
    rules(),
    cuts(),
    st.lists(st.integers(0, 3), min_size=5, max_size=5),
)
def test_merge_is_the_model_in_decided_order(
    streams: list[list[TransactionRow]], profile: Rules, places: list[int], pauses: list[int]
) -> None:
    """Whatever the interleaving: the model agrees row by row in decided order, and no source's order is changed."""
    engine = Recorder(profile)
    texts = [HEADER + text_of(rows) for rows in streams]
    sources: list[SourceData] = [
        waiting(list(cut(text, places)), pause) if pause else list(cut(text, places))
        for text, pause in zip(texts, pauses, strict=False)
    ]
    processor = StreamProcessor(engine)
    report = run(processor.merge(sources))
    assert report.rows == len(engine.recorded) == sum(map(len, streams))
    model = engine.model()
    assert list(engine.accounts()) == model.accounts()
    assert report.applied == sum(outcome == Outcome.APPLIED for _, outcome in engine.recorded)
    decided = [row for row, _ in engine.recorded]
    for number, rows in enumerate(streams, 1):
        assert processor.sources[str(number)].rows == len(rows)
        left = iter(decided)
        # A transfer's columns come back as they were sent; whatever stands in a reference's amount is nobody's business.
        assert all(any(seen[:3] == row[:3] for seen in left) for row in rows)


@given(transaction_streams(), rules(), cuts())
def test_chain_is_one_stream(rows: list[TransactionRow], profile: Rules, places: list[int]) -> None:
    """A chain decides the rows of its sources in order, one source after the other."""
    engine = Recorder(profile)
    sources = [waiting([HEADER, text_of(part)]) for part in cut(rows, places)]
    report = run(StreamProcessor(engine).chain(*sources))
    assert [row[:3] for row, _ in engine.recorded] == [row[:3] for row in rows]
    assert list(engine.accounts()) == engine.model().accounts()
    assert report.sequence == len(rows)


def test_every_source_is_read_at_the_same_time() -> None:
    """A thousand sources that wait for one another all end."""
    count = 1_000
    started = 0

    async def source(number: int) -> AsyncIterator[bytes]:
        nonlocal started
        started += 1
        await until(lambda: started == count)
        yield deposits(number, number, 1)

    processor = StreamProcessor(Engine())
    report = run(processor.merge([source(number) for number in range(count)]))
    assert report.rows == report.applied == count


def test_sources_that_do_not_wait_need_few_tasks() -> None:
    """A merge has as many tasks as sources that wait, not as sources."""
    most = 0

    async def source(number: int) -> AsyncIterator[bytes]:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        yield deposits(number, number, 1)

    report = run(StreamProcessor(Engine()).merge(source(number) for number in range(500)))
    assert report.applied == 500
    assert most <= 100


def test_giving_way_is_not_waiting() -> None:
    """Short sources that are always ready take many turns of the loop together, and still need one task."""
    most = turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def source(number: int) -> AsyncIterator[bytes]:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        yield deposits(number, 100 * number, 100)

    async def merge() -> None:
        counting = asyncio.ensure_future(count_turns())
        await StreamProcessor(Engine()).merge(source(number) for number in range(500))
        counting.cancel()

    run(merge())
    assert turns >= 500 * len(deposits(100, 10_000, 100)) // (64 * 1024)
    # The test's, the counting one, the worker.
    assert most <= 3


def test_one_that_is_always_ready_gets_help() -> None:
    """A source of many turns keeps its task, and the sources after it get another one."""
    order: list[str] = []

    def long() -> Iterator[bytes]:
        yield HEADER
        for first in range(0, 40_000, 1_000):
            yield deposits(1, first, 1_000).removeprefix(HEADER)
        order.append("long")

    async def short() -> AsyncIterator[bytes]:
        yield deposits(2, 2**20, 1)
        order.append("short")

    run(StreamProcessor(Engine()).merge([long(), short()]))
    assert order == ["short", "long"]


def test_a_source_runs_in_one_task() -> None:
    """A source has the same task before and after it waits, so its timeouts reach it."""

    async def source(number: int) -> AsyncIterator[bytes]:
        task = asyncio.current_task()
        yield HEADER
        try:
            async with asyncio.timeout(0.001):
                assert asyncio.current_task() is task
                await asyncio.Event().wait()
        except TimeoutError:
            assert asyncio.current_task() is task
            yield deposits(number, 2 * number, 2).removeprefix(HEADER)

    processor = StreamProcessor(Engine())
    report = run(processor.merge([source(number) for number in range(20)]))
    assert report.applied == 40
    assert {source.state for source in processor.sources.values()} == {SourceState.ENDED}


def test_a_source_that_never_waits_starves_nobody() -> None:
    """After an endless source that never waits, a source that waits and one that is added later still get their turns."""
    is_over = False

    def endless() -> Iterator[bytes]:
        yield HEADER
        tx = 0
        while not is_over:
            yield b"".join(b"deposit,1,%d,0.0001\n" % row for row in range(tx, tx + 100))
            tx += 100

    async def patient() -> AsyncIterator[bytes]:
        nonlocal is_over
        for piece in (deposits(2, 2**31, 1), b"deposit,2,%d,1\n" % (2**31 + 1)):
            await asyncio.sleep(0.001)
            yield piece
        is_over = True

    processor = StreamProcessor(Engine())
    run(processor.merge({"endless": endless(), "ready": [deposits(3, 2**31 + 2, 1)], "patient": patient()}))
    assert [processor.sources[name].rows for name in ("ready", "patient")] == [1, 2]


def test_a_large_piece_gives_way_too() -> None:
    """One piece of many rows is taken in parts, between which the loop turns."""
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    async def merge() -> None:
        counting = asyncio.ensure_future(count_turns())
        await StreamProcessor(Engine(tx_bits=64)).merge([[deposits(1, 0, 40_000)]])
        counting.cancel()

    run(merge())
    assert turns >= len(deposits(1, 0, 40_000)) // (64 * 1024)


# --- names and reports ---


def test_sources_are_called_by_their_names() -> None:
    """Sources are named by the mapping's keys, others by their numbers; a name may be another source's number."""

    class Till(StrEnum):
        FIRST = "first"

    processor = StreamProcessor(Engine())
    named: Any = {Till.FIRST: [deposits(1, 1, 1)], 7: [deposits(1, 2, 1)]}
    run(processor.merge(named))
    assert [source.name for source in processor.sources.values()] == [Till.FIRST, 7]
    assert processor.sources["first"].rows == 1
    with pytest.raises(ValueError, match="two sources are named '2'"):
        run(processor.merge([Source([deposits(1, 3, 1)], "2"), [deposits(1, 4, 1)]]))
    run(processor.merge([[deposits(1, 5, 1)], Source([deposits(1, 6, 1)], "x"), (deposits(1, 7, 1),)]))
    assert list(processor.sources) == ["1", "x", "3"]


def test_seconds_are_the_loop_s() -> None:
    """A loop with its own clock gives the times of a source's beginning and end."""

    class Loop(asyncio.SelectorEventLoop):
        hours = 0.0

        def time(self) -> float:
            """Give a time that passes on demand."""
            return super().time() + 3600 * self.hours

    loop = Loop()

    async def slow() -> AsyncIterator[bytes]:
        yield HEADER
        loop.hours += 1

    processor = StreamProcessor(Engine())
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        report = runner.run(processor.merge([[HEADER], slow(), [HEADER]]))
    assert [round(source.seconds / 3600) for source in processor.sources.values()] == [0, 1, 0]
    assert round(report.seconds / 3600) == 1
    run(processor.merge([[HEADER]]))
    assert 0 < processor.sources["1"].seconds < 60


@pytest.mark.parametrize("policy", [None, ABORT])
def test_a_source_s_counts_are_its_own(policy: ErrorPolicy | None) -> None:
    """A source reuses the parts of an ended one, and its report shows nothing of that one."""
    bad = HEADER + b"deposit,1,1,1\nwithdrawal,1,2,9\n"
    processor = StreamProcessor(Engine(), policy=policy)
    good = deposits(1, 10, 2)
    run(processor.merge([[bad], [HEADER], [b"who\n"], [good], [Deposit(1, 20, 1)], []]))
    counts = [(each.rows, each.refused, each.input_bytes) for each in processor.sources.values()]
    assert counts[:2] == [(2, 1, len(bad)), (0, 0, len(HEADER))]
    assert counts[2][:2] == (0, 0)
    assert counts[3:] == [(2, 0, len(good)), (1, 0, 0), (0, 0, 0)]
    assert [each.state is SourceState.ENDED for each in processor.sources.values()] == [
        policy is None,
        True,
        False,
        True,
        True,
        True,
    ]
    report = processor.report()
    assert (report.rows, report.refused) == (5, 1)
    assert report.input_bytes == sum(each.input_bytes for each in processor.sources.values())


def test_a_report_keeps_no_more_than_counts() -> None:
    """A source's policy is freed with the source, however long its report is kept."""

    async def merge() -> None:
        policy = TablePolicy(Action.SKIP)
        kept = weakref.ref(policy)
        async with StreamProcessor(Engine()).running() as running:
            running.add(Source([HEADER + b"dispute,1,1\n"], "own", policy))
            del policy
            await running.wait()
            gc.collect()
            assert kept() is None
            assert running.sources["own"].refused == 1

    run(merge())


# --- one that ends badly ---


def test_a_policy_stops_its_source_alone() -> None:
    """The rows before the named row stand, none after it is applied; other sources go on under their own policies."""
    engine = Engine()
    processor = StreamProcessor(engine)
    bad = HEADER + b"deposit,1,1,1\nwithdrawal,1,2,9\ndeposit,1,3,1\n"
    report = run(
        processor.merge(
            {
                "strict": Source(waiting([bad]), policy=ABORT),
                "lax": waiting([HEADER, b"withdrawal,2,4,9\n"] * 2),
            }
        )
    )
    strict, lax = processor.sources["strict"], processor.sources["lax"]
    assert (strict.state, strict.rows, strict.applied) == (SourceState.STOPPED, 2, 1)
    assert isinstance(strict.error, PolicyAbort)
    assert strict.error.rejection is not None
    assert strict.error.rejection[:4] == ("strict", 3, 36, Outcome.INSUFFICIENT_FUNDS)
    assert strict.error.report[:2] == (2, 1)
    assert (lax.state, lax.rows, lax.applied) == (SourceState.ENDED, 3, 0)
    assert report.refused_by_outcome == {Outcome.UNKNOWN_TYPE: 1, Outcome.INSUFFICIENT_FUNDS: 3}
    assert engine.account(1).total_units == 1_0000


@pytest.mark.parametrize("header", [HEADER, b"\n" + HEADER, b"tx,client,type,amount\n"])
def test_a_stopped_source_is_told_its_line(header: bytes) -> None:
    """The rejection names the row's line, whatever sources and lines came before it."""
    processor = StreamProcessor(Engine(), policy=ABORT)
    first_line = header.count(b"\n") + 1
    row = b"1,1,dispute," if header.startswith(b"tx") else b"dispute,1,1,"
    texts = [header + b"\n" * (number % 3) + row + b"\n" for number in range(6)]
    run(processor.merge([text] for text in texts))
    for number, report in enumerate(processor.sources.values()):
        assert isinstance(report.error, PolicyAbort)
        assert report.error.rejection is not None
        expected = (first_line + number % 3, len(header) + number % 3, Outcome.TX_NOT_FOUND)
        assert report.error.rejection[1:4] == expected
        assert report.error.rejection.raw == row


def test_an_ended_source_is_let_go_of() -> None:
    """The last piece of an ended source is freed, even while its worker waits for another source."""

    async def main() -> None:
        text = bytearray(deposits(1, 1, 5))
        silent = asyncio.Event()

        async def waits() -> AsyncIterator[bytes]:
            await silent.wait()
            yield HEADER

        async with StreamProcessor(Engine()).running() as running:
            running.add(text, name="text")
            running.add(waits(), name="silent")
            await until(lambda: running.sources["text"].state is SourceState.ENDED)
            # It cannot while somebody looks into it.
            text.clear()
            silent.set()

    run(main())


def test_a_budget_is_each_source_s_own() -> None:
    """Two sources with two refused rows each stay within a budget of two; one with three does not."""
    policy = TablePolicy(Action.BUDGET, budget=Budget(rows=2))
    processor = StreamProcessor(Engine(), policy=policy)
    refused = b"dispute,1,1,\n"
    run(processor.merge([[HEADER + refused * 2], [HEADER + refused * 2], [HEADER + refused * 4]]))
    states = [(each.state, each.rows) for each in processor.sources.values()]
    assert states == [(SourceState.ENDED, 2), (SourceState.ENDED, 2), (SourceState.STOPPED, 3)]


def test_a_percentage_is_judged_at_the_end() -> None:
    """A short source that exceeds its budget in percent is stopped at its end."""
    policy = TablePolicy(Action.BUDGET, budget=Budget(ppm=10_000))
    processor = StreamProcessor(Engine(), policy=policy)
    run(processor.merge([[HEADER + b"dispute,1,1,\n"]]))
    assert "exceeds the budget of 1%" in str(processor.sources["1"].error)


def test_a_callback_sees_rows_of_all_kinds() -> None:
    """Rows of text, of transactions and of columns are shown, and the callback decides."""
    seen: list[tuple[str, int, bytes]] = []

    def decide(rejection: Rejection) -> Action:
        seen.append((rejection.input, rejection.line, rejection.raw))
        return Action.SKIP

    engine = Engine()
    decoder = engine.new_decoder(keep_source=False)
    decoder.feed(HEADER + b"deposit,1,1,-1\n")
    policy = TablePolicy(Action.CALLBACK, callback=decide)
    columns = decoder.flush()
    assert columns is not None
    sources: dict[str, SourceData] = {
        "text": [HEADER, b"dispute,1,1\n"],
        "rows": [Deposit(1, 1, "0")],
        "columns": [columns],
    }
    run(StreamProcessor(engine, policy=policy).chain(*(Source(data, name) for name, data in sources.items())))
    assert seen == [
        ("text", 2, b"dispute,1,1"),
        ("rows", 1, b"deposit,1,1,0.0000"),
        ("columns", 2, b"deposit,1,1,-1.0000"),
    ]


def test_rejects_are_listed() -> None:
    """A reject file has the rows of all sources, each under its source's name."""
    file = io.BytesIO()
    processor = StreamProcessor(Engine(), rejects=RejectWriter(file))
    run(processor.merge({"a": [HEADER + b"dispute,1,1\n"], "b": [HEADER + b"x,1,1\n"]}))
    lines = file.getvalue().splitlines()[1:]
    assert [line.split(b",")[0] for line in lines] == [b'"a"', b'"b"']


async def _breaks() -> AsyncIterator[bytes]:
    yield deposits(1, 1, 2)
    raise LookupError("the sender is gone")


async def _cancels_itself() -> AsyncIterator[bytes]:
    yield deposits(1, 3, 1)
    raise asyncio.CancelledError


def _large_batch() -> Batch | None:
    decoder = Engine().new_decoder(keep_source=False)
    decoder.feed(deposits(3, 2**20, 5_000))
    return decoder.flush()


def test_a_source_that_fails_ends_itself_alone() -> None:
    """Exceptions, invalid headers, text and mixtures are each in their source's report, and the other sources end normally."""
    processor = StreamProcessor(Engine())
    sources: dict[str, Any] = {
        "raises": _breaks(),
        "cancels": _cancels_itself(),
        "no header": [b"deposit,1,1,1\n"],
        "empty": b"",
        "text": ["type,client,tx,amount\n"],
        "mixed": [HEADER, Deposit(1, 9, 1)],
        "mixed again": [Deposit(1, 8, 1), HEADER],
        "mixed at large": [_large_batch(), HEADER],
        "numbers": [1],
        "no file": "no/such/file.csv",
        "fine": waiting([deposits(2, 10, 3)], 5),
    }
    report = run(processor.merge(sources))
    errors = {name: each.error for name, each in processor.sources.items()}
    assert isinstance(errors["raises"], LookupError)
    assert "was cancelled from within" in str(errors["cancels"])
    assert isinstance(errors["no header"], InputError)
    assert str(errors["no header"]).startswith("no header: ")
    assert str(errors["empty"]) == "empty: the input is empty"
    assert "gave text" in str(errors["text"])
    assert "gave bytes and then transactions" in str(errors["mixed"])
    assert "gave transactions and then bytes" in str(errors["mixed again"])
    assert "gave batches and then bytes" in str(errors["mixed at large"])
    assert "gave int" in str(errors["numbers"])
    assert isinstance(errors["no file"], FileNotFoundError)
    assert errors["fine"] is None
    assert {each.state for name, each in processor.sources.items() if name != "fine"} == {SourceState.FAILED}
    assert (report.rows, report.applied) == (5007, 5007)


@pytest.mark.parametrize("topology", ["merge", "chain"])
def test_an_error_is_raised_where_that_is_asked_for(topology: str) -> None:
    """On request a failing source ends the run: others are cancelled or never begin, and the report has the counts so far."""
    processor = StreamProcessor(Engine())
    closed: list[str] = []

    async def other() -> AsyncIterator[bytes]:
        try:
            yield deposits(2, 10, 1)
            await asyncio.Event().wait()
        finally:
            closed.append("other")

    job = (
        processor.merge([other(), _breaks()], on_source_error="raise")
        if topology == "merge"
        else processor.chain(_breaks(), other())
    )
    with pytest.raises(LookupError, match="the sender is gone"):
        run(job)
    states = [each.state for each in processor.sources.values()]
    if topology == "merge":
        assert states == [SourceState.CANCELLED, SourceState.FAILED]
        assert closed == ["other"]
        assert processor.report().applied == 3
    else:
        assert states == [SourceState.FAILED]
        assert processor.report().applied == 2


def test_a_chain_goes_on_where_that_is_asked_for() -> None:
    """A source that fails ends alone, and the next one follows."""
    processor = StreamProcessor(Engine())
    report = run(processor.chain(_breaks(), [deposits(2, 10, 1)], on_source_error="report"))
    assert report.applied == 3


def test_errors_of_the_call_are_raised() -> None:
    """An invalid source, an invalid collection of sources and a duplicate name are errors of the call."""
    processor = StreamProcessor(Engine())
    not_a_source: Any = 5
    with pytest.raises(TypeError, match="a source is a path, bytes"):
        run(processor.merge([not_a_source]))
    with pytest.raises(TypeError, match="put a single one into a list"):
        run(processor.merge("transactions.csv"))
    with pytest.raises(ValueError, match="two sources are named 'a'"):
        run(processor.merge([Source([HEADER], "a"), Source([HEADER], "a")]))
    with pytest.raises(ValueError, match="on_source_error is 'report' or 'raise'"):
        run(processor.merge([], on_source_error="ignore"))  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="before the first run"):
        StreamProcessor(Engine()).report()
    with pytest.raises(ValueError, match="are 1 or more"):
        StreamProcessor(Engine(), sources_max=0)


def test_nothing_to_merge_is_a_run() -> None:
    """A merge of no sources has no rows."""
    assert run(StreamProcessor(Engine()).merge([])).rows == 0


# --- cancelling ---


def test_cancelling_leaves_the_ledger_between_two_batches(tmp_path: Path) -> None:
    """Generators are closed, threads end, and the report has exactly the rows that the accounts show."""
    path = tmp_path / "large.csv"
    path.write_bytes(deposits(3, 2**20, 200_000))
    engine = Recorder()
    processor = StreamProcessor(engine)
    closed: list[int] = []
    threads = threading.active_count()

    async def source(number: int) -> AsyncIterator[bytes]:
        try:
            yield HEADER
            for tx in range(number, 10**6, 10):
                await asyncio.sleep(0)
                yield b"deposit,%d,%d,0.0001\n" % (number, tx)
        finally:
            await asyncio.sleep(0)
            closed.append(number)

    def ready() -> Iterator[bytes]:
        try:
            yield HEADER
            for tx in range(2**30, 2**31):
                yield b"deposit,9,%d,0.0001\n" % tx
        finally:
            closed.append(9)

    async def cancel() -> None:
        merging = asyncio.ensure_future(
            processor.merge([*(source(number) for number in range(5)), path, ready()])
        )
        await until(lambda: engine.decided > 2_000)
        merging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await merging
        assert sorted(closed) == [0, 1, 2, 3, 4, 9]

    run(cancel())
    report = processor.report()
    assert (
        report.rows
        == engine.decided
        == len(engine.recorded)
        == sum(each.rows for each in processor.sources.values())
    )
    assert list(engine.accounts()) == engine.model().accounts()
    assert {each.state for each in processor.sources.values()} <= {SourceState.CANCELLED, SourceState.ENDED}
    assert threading.active_count() == threads
    assert run(processor.merge([[deposits(1, 2**31 + 5, 1)]])).rows == 1


def test_a_generator_that_does_not_want_to_end_is_reported() -> None:
    """An exception while closing a source is its error, unless it has one already."""

    async def stubborn() -> AsyncIterator[bytes]:
        try:
            yield HEADER + b"x,1,1\n"
        finally:
            raise OSError("cannot close")

    processor = StreamProcessor(Engine(), policy=ABORT)
    run(processor.merge([stubborn()]))
    assert isinstance(processor.sources["1"].error, PolicyAbort)


# --- for ever ---


def test_sources_are_added_while_others_run() -> None:
    """Reports are available at any time; leaving the block waits for all added sources."""

    async def job() -> None:
        engine = Engine()
        processor = StreamProcessor(engine)
        gate = asyncio.Event()

        async def gated() -> AsyncIterator[bytes]:
            yield deposits(1, 1, 3)
            await gate.wait()
            yield b"deposit,1,9,1\n"

        async with processor.running() as running:
            assert running.add(gated()) == "1"
            await until(lambda: running.sources["1"].rows == 3)
            assert running.sources["1"].state is SourceState.RUNNING
            assert running.report().applied == processor.report().applied == 3
            assert running.add([deposits(2, 100, 5)], name="second") == "second"
            await until(lambda: running.sources["second"].state is SourceState.ENDED)
            assert running.open_sources == 1
            with pytest.raises(RuntimeError, match="one run at a time"):
                await processor.merge([])
            gate.set()
            await running.wait()
            assert running.open_sources == 0
            running.add(Source(waiting([deposits(3, 200, 1)]), "third"))
        assert engine.decided == 10
        assert [each.rows for each in processor.sources.values()] == [4, 5, 1]

    run(job())


def test_an_exception_in_the_block_cancels() -> None:
    """An exception in the block closes the sources and reaches the caller."""
    processor = StreamProcessor(Engine())

    async def job() -> None:
        async with processor.running() as running:
            running.add(_wait_for_ever(), name="slow")
            running.add([HEADER], name="unstarted")
            raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        run(job())
    assert [each.state for each in processor.sources.values()] == [SourceState.CANCELLED] * 2


async def _wait_for_ever() -> AsyncIterator[bytes]:
    yield HEADER
    await asyncio.Event().wait()


def test_there_are_only_so_many_sources_at_a_time() -> None:
    """A merge takes the next source when one has ended; adding one too many is an error."""
    most = now = 0

    async def source(number: int) -> AsyncIterator[bytes]:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        yield deposits(number, number, 1)
        now -= 1

    processor = StreamProcessor(Engine(), sources_max=3)
    assert run(processor.merge(source(number) for number in range(20))).applied == 20
    assert most == 3

    async def add_too_many() -> None:
        async with processor.running() as running:
            for _ in range(4):
                running.add(_wait_for_ever())

    with pytest.raises(RuntimeError, match="3 sources are open"):
        run(add_too_many())


def test_reports_of_long_ago_are_forgotten_and_their_counts_are_not() -> None:
    """The newest ended sources have reports, the totals count all."""
    processor = StreamProcessor(Engine(), reports_max=10)
    refused = HEADER + b"dispute,1,1\n"
    report = run(processor.merge([deposits(1, 3 * n, 3)] if n % 2 else [refused] for n in range(50)))
    assert list(processor.sources) == [str(number) for number in range(41, 51)]
    assert len(processor.sources) == 10
    assert (report.rows, report.applied, report.refused_by_outcome) == (100, 75, {Outcome.TX_NOT_FOUND: 25})
    with pytest.raises(KeyError):
        processor.sources["1"]


def test_one_source_is_waited_for() -> None:
    """``process`` runs a source in the task that calls it and gives its report, beside others that go on."""

    async def job() -> None:
        processor = StreamProcessor(Engine())
        async with processor.running() as running:
            running.add(waiting([deposits(1, 1, 5)], 50), name="other")
            report = await running.process(waiting([deposits(2, 10, 3)]), name="mine")
            assert (report.name, report.state, report.rows) == ("mine", SourceState.ENDED, 3)
            assert running.sources["other"].state is SourceState.RUNNING
            again = await running.process(deposits(3, 20, 2))
            assert (again.name, again.applied) == ("3", 2)
        assert processor.report().rows == 10

    run(job())


def test_what_ends_a_processed_source_is_raised() -> None:
    """``process`` raises the stop of a policy, the error of a header and the source's own exception; the run goes on."""

    def broken() -> Iterator[bytes]:
        yield deposits(1, 1, 1)
        raise LookupError("gone")

    async def job() -> None:
        processor = StreamProcessor(Engine(), policy=TablePolicy(Action.ABORT))
        async with processor.running() as running:
            with pytest.raises(PolicyAbort):
                await running.process([HEADER + b"dispute,1,1,\n"])
            with pytest.raises(InputError, match="bad: line 1: the header is"):
                await running.process([b"who,what\n"], name="bad")
            with pytest.raises(LookupError, match="gone"):
                await running.process(broken())
            with pytest.raises(TypeError, match="a source is"):
                await running.process(5)  # type: ignore[arg-type]
            await running.process([deposits(2, 10, 1)])
        assert (processor.report().rows, processor.report().failed) == (3, 2)
        states = [report.state for report in processor.sources.values()]
        assert states == [SourceState.STOPPED, SourceState.FAILED, SourceState.FAILED, SourceState.ENDED]

    run(job())


def test_one_source_can_be_cancelled() -> None:
    """Cancelling the task that waits for a source ends the source and nothing else."""

    async def job() -> None:
        processor = StreamProcessor(Engine())
        async with processor.running() as running:
            task = asyncio.ensure_future(
                running.process(waiting([deposits(1, 1, 1)] * 2, 1_000_000), name="slow")
            )
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
            assert task.cancelled()
            assert running.sources["slow"].state is SourceState.CANCELLED
            assert running.open_sources == 0
            assert (await running.process([deposits(1, 1, 1)])).rows == 1

    run(job())


def test_leaving_waits_for_processed_sources() -> None:
    """A source that another task waits for is part of the run."""

    async def job() -> None:
        processor = StreamProcessor(Engine())
        async with processor.running() as running:
            task = asyncio.ensure_future(running.process(waiting([deposits(1, 1, 3)], 20)))
            await asyncio.sleep(0)
        assert processor.report().rows == 3
        assert (await task).rows == 3

    run(job())


def test_one_transaction_gives_its_outcome() -> None:
    """``apply`` decides between pieces of the sources; the run counts it, and no policy is asked."""

    async def job() -> None:
        processor = StreamProcessor(Engine(), policy=TablePolicy(Action.ABORT))
        async with processor.running() as running:
            running.add([deposits(1, 1, 2)])
            assert await running.apply(Deposit(2, 10, "1")) is Outcome.APPLIED
            assert await running.apply(Deposit(2, 10, "1")) is Outcome.DUPLICATE_TX
            with pytest.raises(TypeError, match="a transaction is needed"):
                await running.apply((1, 2, 3))  # type: ignore[arg-type]  # that is the point
        report = processor.report()
        assert (report.rows, report.refused_by_outcome) == (4, {Outcome.DUPLICATE_TX: 1})

    run(job())


def test_failed_sources_are_logged_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """A source that fails in ``merge`` ends alone, is logged, and is counted in the report."""
    processor = StreamProcessor(Engine())
    with caplog.at_level(logging.ERROR, "holdfast.streaming"):
        report = run(processor.merge({"good": [deposits(1, 1, 1)], "bad": [b"who,what\n"], "worse": [5]}))
    assert (report.rows, report.failed) == (1, 2)
    assert report.to_json()["failed"] == 2
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 2
    assert any(text.startswith("source bad failed: InputError: bad: line 1") for text in said)
    assert any(text.startswith("source worse failed: TypeError: source worse gave int") for text in said)


def test_a_run_that_ends_takes_its_sources_along() -> None:
    """Leaving with an error cancels a source that somebody waits for, who is told; afterwards there is no way in."""

    async def job() -> None:
        engine = Engine()
        processor = StreamProcessor(engine)
        entered: list[Running] = []
        tasks: list[asyncio.Task[object]] = []

        async def fail() -> None:
            async with processor.running() as running:
                slow = waiting([deposits(1, 1, 1)] * 2, 1_000_000)
                entered.append(running)
                tasks.append(asyncio.ensure_future(running.process(slow, name="slow")))
                await asyncio.sleep(0.01)
                raise LookupError

        with pytest.raises(LookupError):
            await fail()
        with pytest.raises(RuntimeError, match="the run ended before source slow did"):
            await tasks[0]
        assert processor.sources["slow"].state is SourceState.CANCELLED
        with pytest.raises(RuntimeError, match="the run has ended"):
            await entered[0].process([deposits(1, 1, 1)])
        with pytest.raises(RuntimeError, match="the run has ended"):
            await entered[0].apply(Deposit(1, 1, "1"))
        with pytest.raises(RuntimeError, match="the run has ended"):
            entered[0].add([deposits(1, 1, 1)])
        assert engine.decided == 0

    run(job())


def test_an_outcome_is_given_when_it_is_durable() -> None:
    """A caller may act on it."""

    class Lagging(Engine):
        lasting = 0

        @property
        def durable(self) -> int:
            return self.lasting

    async def job() -> None:
        engine = Lagging()
        async with StreamProcessor(engine).running() as running:
            applying = asyncio.ensure_future(running.apply(Deposit(1, 1, "1")))
            await asyncio.sleep(0.01)
            assert not applying.done()
            engine.lasting = 1
            assert await applying is Outcome.APPLIED

    run(job())


def test_refused_names_leave_nothing_behind() -> None:
    """A source whose name is taken is not kept."""

    async def job() -> None:
        async with StreamProcessor(Engine()).running() as running:
            running.add(waiting([deposits(1, 1, 1)], 100), name="a")
            for _ in range(20):
                with pytest.raises(ValueError, match="two sources are named"):
                    running.add([deposits(1, 1, 1)], name="a")
            gc.collect()
            assert sum(type(each).__name__ == "SourceRun" for each in gc.get_objects()) == 1

    run(job())


def test_the_end_of_a_run_waits_for_what_was_added_meanwhile() -> None:
    """A task that adds a source, or processes one more, when one has ended is waited for as well, however close to the end."""

    async def main(steps: int) -> list[tuple[int, int]]:
        done = asyncio.Event()

        async def first() -> AsyncIterator[bytes]:
            yield deposits(1, 1, 1)
            done.set()

        async def add_one() -> None:
            await done.wait()
            for _ in range(steps):
                await asyncio.sleep(0)
            running.add([deposits(1, 100, 1)], name="second")

        async def process_two() -> None:
            await running.process([deposits(1, 200, 1)])
            await running.process([deposits(1, 300, 1)])

        async with StreamProcessor(Engine()).running() as running:
            running.add(first(), name="first")
            tasks = [asyncio.create_task(each()) for each in (add_one, process_two)]
            await asyncio.sleep(0)
        await asyncio.gather(*tasks)
        return [(each.rows, each.applied) for each in running.sources.values()]

    for steps in (0, 1):
        assert asyncio.run(main(steps)) == [(1, 1)] * 4, steps
