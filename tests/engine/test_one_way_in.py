"""Every row goes through one function, whatever brought it: it is counted there, and can be recorded there."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from array import array
from typing import TYPE_CHECKING

import pytest

from holdfast import (
    Action,
    Chargeback,
    Deposit,
    Dispute,
    Engine,
    InputError,
    Outcome,
    PolicyAbort,
    Resolve,
    TablePolicy,
    Withdrawal,
)
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import Tally
from holdfast.protocol.server_context import ServerContext
from holdfast.protocol.server_session import Session
from holdfast.streaming import Shards, Source, StreamProcessor

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast import Transaction
    from holdfast.engine.interface import AnyEngine
    from holdfast.protocol.messages import Event
    from holdfast.streaming import SourceData

HEADER = b"type,client,tx,amount\n"
TEXT = HEADER + b"deposit,1,1,5.0\nnonsense\nwithdrawal,1,2,9\ndeposit,99999,3,1\ndispute,1,1,\n"
CODES = [1, 11, 40, 13, 1]
RECORD = tuple[int, int, int, int, int]


class Recorder:
    """Keeps what it is handed."""

    def __init__(self) -> None:
        self.rows: list[tuple[str | None, int, int]] = []
        self.columns: list[RECORD] = []

    def record(  # noqa: PLR0917  # as the ledger calls it
        self,
        batch: Batch,
        start: int,
        stop: int,
        sequence: int,
        stream: str | None,
        position: int,
        _tally: Tally,
    ) -> None:
        """Keep each row's stream, place in it, and place among all rows; and its columns."""
        for row in range(start, stop):
            self.rows.append((stream, position + 1 + row - start, sequence + 1 + row - start))
            columns = (batch.types, batch.clients, batch.txs, batch.amounts, batch.outcomes)
            type_, client, tx, amount, code = (column[row] for column in columns)
            self.columns.append((type_, client, tx, amount, code))


def by_transactions(engine: Engine) -> None:
    """Apply one by one; what cannot be converted is a row as well."""
    rows: list[Transaction] = [
        Deposit(1, 1, "5.0"),
        Deposit(1, 9, "nonsense"),
        Withdrawal(1, 2, "9"),
        Deposit(99_999, 3, "1"),
        Dispute(1, 1),
    ]
    assert [engine.apply(row) for row in rows] == [1, Outcome.INVALID_AMOUNT, 40, 13, 1]


def by_process(engine: Engine) -> None:
    """Process an input."""
    assert engine.process(TEXT).rows == 5


def by_columns(engine: Engine) -> None:
    """Apply columns."""
    columns = (array("B", [1, 9, 2, 1, 3]), array("Q", [1, 1, 1, 99_999, 1]), array("Q", [1, 9, 2, 3, 1]))
    codes = engine.apply_batch(*columns, array("q", [50_000, 1, 90_000, 1, 0]))
    assert list(codes) == [1, 12, 40, 13, 1]


def by_source(source: Callable[[], SourceData]) -> Callable[[Engine], None]:
    """Run a source."""

    def run(engine: Engine) -> None:
        report = asyncio.run(StreamProcessor(engine).merge([Source(source(), "a")]))
        assert report.rows == 5

    return run


def by_session(engine: Engine) -> None:
    """Send over a connection."""

    class Nowhere:
        def deliver(self, events: list[Event]) -> None:
            """Nobody supersedes anybody here."""

    session = Session(ServerContext(engine), Nowhere(), 0.0)
    session.receive(memoryview(b"#holdfast stream=a\n" + TEXT), 0.0)
    session.end_of_input(0.0)


TRANSACTIONS: list[Transaction] = [
    Deposit(1, 1, "5.0"),
    Deposit(1, 9, "x"),
    Withdrawal(1, 2, "9"),
    Deposit(99_999, 3, "1"),
    Dispute(1, 1),
]
WAYS = {
    "transactions": by_transactions,
    "process": by_process,
    "columns": by_columns,
    "text source": by_source(lambda: [TEXT]),
    "file source": by_source(lambda: memoryview(TEXT)),
    "transaction source": by_source(lambda: TRANSACTIONS),
    "list source": by_source(lambda: [TRANSACTIONS]),
    "session": by_session,
}


@pytest.mark.parametrize("way", WAYS)
def test_every_row_is_counted_and_recorded(way: str) -> None:
    """Rows that never became a transaction are counted too, so that a replay gives the same sequence."""
    engine, recorder = Engine(), Recorder()
    engine.recorder = recorder
    WAYS[way](engine)
    assert engine.decided == engine.durable == engine.totals().decided == 5
    assert [sequence for _, _, sequence in recorder.rows] == [1, 2, 3, 4, 5]
    assert [columns[4] for columns in recorder.columns if columns[4] not in {11, 12, 16}] == [1, 40, 13, 1]
    if "source" in way or way == "session":
        assert [row[:2] for row in recorder.rows] == [("a", number) for number in range(1, 6)]


@pytest.mark.parametrize("way", WAYS)
def test_what_was_recorded_can_be_replayed(way: str) -> None:
    """A replay of the recorded columns gives the same outcomes, accounts and sequence, whatever the rows looked like."""
    engine, recorder, replayed = Engine(), Recorder(), Engine()
    engine.recorder = recorder
    WAYS[way](engine)
    decoding = range(Outcome.ROW_TOO_LONG, Outcome.AMOUNT_OUT_OF_RANGE + 1)
    rows = [(*columns[:4], columns[4] if columns[4] in decoding else 0) for columns in recorder.columns]
    batch = Batch.from_rows(rows)
    assert replayed.decide(batch, 0, batch.rows, Tally(), None, 0) == 5
    assert list(batch.outcomes) == [columns[4] for columns in recorder.columns]
    assert replayed.accounts().to_csv() == engine.accounts().to_csv()
    assert replayed.decided == engine.decided


def test_a_recorder_that_fails_stops_the_ledger() -> None:
    """The recorder's error reaches the caller; after it nothing is decided and no account is shown."""

    class Full:
        def record(self, *_: object) -> None:
            raise OSError(28, "No space left on device")

    engine = Engine()
    engine.apply(Deposit(1, 1, "1"))
    engine.recorder = Full()
    with pytest.raises(OSError, match="No space left"):
        engine.apply(Deposit(1, 2, "1"))
    engine.recorder = None
    for way in (by_transactions, by_process, by_columns):
        with pytest.raises(RuntimeError, match="this ledger has stopped, since its recorder failed: OSError"):
            way(engine)
    # The row that was not recorded is in memory, and is promised to nobody.
    assert (engine.decided, engine.durable) == (2, 1)
    for look in (engine.accounts, lambda: engine.account(1)):
        with pytest.raises(RuntimeError, match="this ledger has stopped"):
            look()


def test_a_recorder_that_uses_the_engine_gets_an_error() -> None:
    """A recorder that uses the engine gets an error: its thread decides, and would wait for itself for ever."""
    seen: list[str] = []

    class Curious:
        def record(self, *_: object) -> None:
            for use in (engine.accounts, lambda: engine.account(1), lambda: engine.apply(Deposit(1, 2, "1"))):
                with pytest.raises(RuntimeError, match="this thread is deciding rows") as raised:
                    use()
                seen.append(str(raised.value))

    engine = Engine()
    engine.recorder = Curious()
    assert engine.apply(Deposit(1, 1, "1")) is Outcome.APPLIED
    assert len(seen) == 3
    assert engine.accounts()[1].available == 1


@pytest.mark.parametrize("make", [Engine, lambda: Shards(3), lambda: Shards(3, by="source")])
def test_what_stands_in_an_engines_place_has_its_interface(make: Callable[[], AnyEngine]) -> None:
    """Streams need only the interface of an engine, whatever the object's class."""
    engine = make()
    report = asyncio.run(StreamProcessor(engine).chain([TEXT]))
    assert report.refused_by_outcome == {11: 1, 13: 1, 40: 1}
    assert (engine.decided, engine.durable, engine.totals().decided) == (5, 5, 5)
    assert engine.totals().accounts == 1
    assert engine.settings.decimals == 4
    if engine.spreads_sources:
        with pytest.raises(RuntimeError, match="sources choose the shard"):
            engine.apply(Resolve(1, 1))
    else:
        assert engine.apply(Resolve(1, 1)) is Outcome.APPLIED
        assert engine.apply(Chargeback(1, 1)) is Outcome.NOT_DISPUTED


def broken_progress(engine: Engine) -> None:
    """Raise from the callback."""

    def stop(*_: object) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        engine.process(TEXT, on_progress=stop)


def aborting(engine: Engine) -> None:
    """Let the policy stop."""
    with pytest.raises(PolicyAbort):
        engine.process(TEXT, policy=TablePolicy(Action.ABORT))


def without_header(engine: Engine) -> None:
    """Fail for want of a header."""
    with pytest.raises(InputError):
        engine.process(b"who,what\n")


@pytest.mark.parametrize("end", [by_process, broken_progress, aborting, without_header])
def test_an_engine_that_nobody_keeps_is_gone(end: Callable[[Engine], None]) -> None:
    """However a run ended, it keeps neither the engine nor its accounts."""
    engine = Engine()
    end(engine)
    gone = weakref.ref(engine)
    del engine
    gc.collect()
    assert gone() is None


def test_a_thread_that_decides_lets_others_look() -> None:
    """It does not come first again after each batch: who waits gets a turn, however many batches are to come."""
    batches = 60
    engine, rows = Engine(batch_rows=65_536), batches * 65_536
    columns = (bytes([1]) * rows, array("Q", [1]) * rows, array("Q", range(rows)), array("q", [1]) * rows)
    thread = threading.Thread(target=engine.apply_batch, args=columns)
    sequences = set()
    thread.start()
    while engine.decided < rows:
        sequences.add(engine.accounts().sequence)
    thread.join()
    assert len(sequences) > batches // 6


def decided_batch() -> Batch:
    """Give a batch whose rows another engine has decided."""
    batch = Batch.from_columns(
        bytes([1, 2]), array("Q", [1, 1]), array("Q", [1, 2]), array("q", [50000, 70000])
    )
    Engine().decide(batch, 0, 2, None, None, 0)
    return batch


@pytest.mark.parametrize("start", [0, 1])
def test_a_row_is_decided_once(start: int) -> None:
    """A row that was applied, or refused by the rules, elsewhere is not counted again as if it had happened here."""
    batch = decided_batch()
    engine = Engine()
    engine.recorder = recorder = Recorder()
    with pytest.raises(ValueError, match=f"row {start} of the batch was decided before"):
        engine.decide(batch, start, 2, None, None, 0)
    assert (engine.decided, engine.totals().accounts, recorder.rows) == (0, 0, [])
    batch.clear_outcomes()
    assert engine.decide(batch, 0, 2, None, None, 0) == 2
    assert engine.decided == 2


@pytest.mark.parametrize("make", [Engine, lambda: Shards(2), lambda: Shards(2, by="source")])
def test_a_source_of_decided_batches_fails(make: Callable[[], AnyEngine]) -> None:
    """The same in streams: the source fails, and its report has no rows."""
    processor = StreamProcessor(make())
    report = asyncio.run(processor.merge([[decided_batch()]]))
    assert (report.failed, report.rows, report.accounts) == (1, 0, 0)
