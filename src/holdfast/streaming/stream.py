"""One source while it runs: its decoder, its counts, its policy. Never waits for anything: what drives it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.domain.transaction import Transaction
from holdfast.engine.deciding import say_budget_exceeded
from holdfast.engine.engine import Engine
from holdfast.engine.run import PolicyAbort
from holdfast.io.raw import InputError
from holdfast.io.rejects import Rejection, find_rejection
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv_decoder import CsvDecoder, HeaderError
from holdfast.streaming.sources import PIECE_BYTES, TRANSACTION_HEADER, encode_transactions
from holdfast.streaming.statistics import Counts, SourceReport, SourceState, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.domain.outcome import Outcome
    from holdfast.engine.deciding import Decider
    from holdfast.engine.policy import CompiledPolicy
    from holdfast.engine.report import Report
    from holdfast.kernel.inlet import Inlet
    from holdfast.kernel.tally import Tally
    from holdfast.streaming.sharding import RowTarget

PIECE_ROWS = 4096
"""How many rows of a batch, or transactions, are applied at a time."""
_ITEM_COST = 256
_ROW_COST = 24
_RUNNING = SourceState.RUNNING
_BYTES_TYPES = (bytes, bytearray, memoryview)
_BYTES, _BATCHES, _TRANSACTIONS = "bytes", "batches", "transactions"


class Lane:
    """What the sources of one policy and one engine share.

    Args:
        decider: Applies their batches.
        policy: What it decides by.
        decoder: A new decoder, which theirs are made after.
        target: What all rows of the run go to.
        engine: What their own rows are applied to.
        clock: Gives the loop's time.
    """

    __slots__ = ("apply", "clock", "fresh", "has_budget", "new_inlet", "policy", "tally", "target")

    def __init__(
        self,
        decider: Decider,
        policy: CompiledPolicy,
        decoder: CsvDecoder,
        target: RowTarget,
        *,
        engine: object,
        clock: Callable[[], float],
    ) -> None:
        self.apply = decider.apply
        # Where nobody sees rows and the policy never stops, there is nothing to decide beside the rows.
        # A class made after Engine may want to see the batches.
        self.new_inlet: Callable[[], Inlet] | None = None
        if type(engine) is Engine and not decider.needs_text and not policy.tally().may_stop():
            self.new_inlet = engine.new_inlet(decoder, policy.tally()).fresh
        self.fresh = decoder.fresh
        self.policy = policy
        self.tally = policy.tally
        self.has_budget = policy.policy.budget is not None
        self.target = target
        self.clock = clock


class Stream:
    """One source of a run.

    Args:
        name: What it is called.
        lane: How its rows are decided.
        start: The loop's time.
    """

    # _end, _refused and _rows are there once it has ended.
    __slots__ = (
        "_decoder",
        "_end",
        "_inlet",
        "_kind",
        "_lane",
        "_refused",
        "_rows",
        "_start",
        "_tally",
        "error",
        "input_bytes",
        "name",
        "state",
    )

    _end: float
    _refused: dict[int, int] | None
    _rows: int

    def __init__(self, name: str, lane: Lane, start: float) -> None:
        self.name = name
        self.state = _RUNNING
        self.error: Exception | None = None
        self.input_bytes = 0
        self._lane = lane
        self._start = start
        self._kind = ""
        # All three are let go of when the source has ended: they are most of what it weighs.
        self._decoder: CsvDecoder | None = None
        self._inlet: Inlet | None = None
        self._tally: Tally
        if lane.new_inlet is None:
            self._tally = lane.tally()
        else:
            self._inlet = lane.new_inlet()
            self._tally = self._inlet.tally

    def take(self, item: Any) -> int:
        """Decode and apply one piece of the source at once.

        Returns:
            What that cost, in bytes of text or what takes as long; 0 if the piece is too large to be taken at once, and
            :meth:`parts` is to be used.

        Raises:
            HeaderError: If it does not begin with a usable header.
            PolicyAbort: If the policy stopped.
            TypeError: If the piece is nothing that a source may give.
        """
        if type(item) is not bytes and not isinstance(item, _BYTES_TYPES):
            return self._take_rows(item)
        size = len(item)
        if size > PIECE_BYTES:
            return 0
        if self._inlet is not None:
            # A call costs as much as several rows, and a source may be short.
            return self._inlet.take(item) + _ITEM_COST
        decoder = self._decoder
        if decoder is None or self._kind is not _BYTES:
            decoder = self._begin(_BYTES)
        self.input_bytes += size
        for batch in decoder.feed(item):
            self._apply(batch)
        last = decoder.flush()
        if last is not None:
            self._apply(last)
        return size + _ITEM_COST

    def parts(self, item: Any) -> Iterator[int]:
        """Take a piece that is too large to be taken at once, and give what each part of it cost."""
        if isinstance(item, _BYTES_TYPES):
            view = memoryview(item).cast("B")
            for start in range(0, len(view), PIECE_BYTES):
                yield self.take(view[start : start + PIECE_BYTES])
        elif isinstance(item, Batch):
            for start in range(0, item.rows, PIECE_ROWS):
                stop = min(start + PIECE_ROWS, item.rows)
                self._apply(item, start, stop)
                yield _ITEM_COST + (stop - start) * _ROW_COST
        else:
            for start in range(0, len(item), PIECE_ROWS):
                yield self._take_rows(item[start : start + PIECE_ROWS])

    def finish(self) -> None:
        """Decide what is left now that the source has come to its end.

        Raises:
            HeaderError: If there was no header.
            PolicyAbort: If the policy stopped, or the rows exceed a budget that could not be judged before.
        """
        if self._inlet is not None:
            self._inlet.finish()
        elif self._decoder is not None:
            batch = self._decoder.finish()
            if batch is not None:
                self._apply(batch)
        if self._lane.has_budget and self._tally.exceeds_budget:
            raise PolicyAbort(say_budget_exceeded(self._tally, self._lane.policy), None, self._own_report())

    def close(self, state: SourceState, end: float, error: Exception | None = None) -> None:
        """Note how the source ended, and keep no more than its counts."""
        if self.state is not _RUNNING:
            return
        self.state = state
        self.error = error
        self._end = end
        tally = self._tally
        self._rows = tally.rows
        self._refused = tally.refused_by_code() if tally.refused else None
        if self._inlet is not None:
            self.input_bytes = self._inlet.input_bytes
        self._decoder = self._inlet = None
        del self._tally

    def count_into(self, counts: Counts) -> None:
        """Add what the source came to so far."""
        counts.input_bytes += self.input_bytes if self._inlet is None else self._inlet.input_bytes
        if self.state is _RUNNING:
            counts.rows += self._tally.rows
            counts.add_refused(self._tally.refused_by_code())
            return
        counts.rows += self._rows
        if self._refused is not None:
            counts.add_refused(self._refused)

    def report(self, now: float) -> SourceReport:
        """Say what became of the source so far."""
        counts = Counts()
        self.count_into(counts)
        refused = outcomes(counts.refused_by_code)
        return SourceReport(
            name=self.name,
            state=self.state,
            rows=counts.rows,
            applied=counts.rows - sum(refused.values()),
            refused_by_outcome=refused,
            input_bytes=counts.input_bytes,
            seconds=(now if self.state is _RUNNING else self._end) - self._start,
            error=self.error,
        )

    def _take_rows(self, item: Any) -> int:
        if isinstance(item, Batch):
            if item.rows > PIECE_ROWS:
                return 0
            if self._kind is not _BATCHES:
                self._begin(_BATCHES)
            self._apply(item)
            return _ITEM_COST + item.rows * _ROW_COST
        if isinstance(item, Transaction):
            item = (item,)
        elif not isinstance(item, list | tuple):
            raise TypeError(
                f"source {self.name} gave {_describe(item)}: a source gives bytes, batches, transactions or lists of transactions"
            )
        if len(item) > PIECE_ROWS:
            return 0
        decoder = self._decoder
        if decoder is None or self._kind is not _TRANSACTIONS:
            decoder = self._begin(_TRANSACTIONS)
        for batch in decoder.feed(encode_transactions(item, self._lane.target.model)):
            self._apply(batch)
        last = decoder.flush()
        if last is not None:
            self._apply(last)
        return _ITEM_COST + 64 * len(item)

    def _begin(self, kind: str) -> CsvDecoder:
        if self._inlet is not None and not self._inlet.is_used:
            # It gives no text after all.
            self._inlet = None
        elif self._inlet is not None:
            self._kind = _BYTES
        if self._kind:
            raise TypeError(
                f"source {self.name} gave {self._kind} and then {kind}: a source gives one kind of thing"
            )
        self._kind = kind
        decoder = self._lane.fresh()
        if kind is not _BATCHES:
            self._decoder = decoder
        if kind is _TRANSACTIONS:
            decoder.feed(TRANSACTION_HEADER)
        return decoder

    def _apply(self, batch: Batch, start: int = 0, stop: int = -1) -> None:
        stopped = self._lane.apply(batch, self._tally, self.name, start, stop)
        if stopped is not None:
            raise PolicyAbort(stopped.reason, stopped.rejection, self._own_report())

    def _own_report(self) -> Report:
        counts = Counts()
        self.count_into(counts)
        return counts.report(self._lane.target, self._lane.clock() - self._start)


def explained(error: Exception, name: str) -> Exception:
    """Name the source in what its decoder says of its header."""
    if not isinstance(error, HeaderError):
        return error
    named = InputError(name, str(error))
    named.__cause__ = error
    return named


def describe_row(batch: Batch, row: int, outcome: Outcome, name: str) -> Rejection:
    """Say what there is to say about a row; of a batch without text that is its columns, and as its line its number there."""
    try:
        return find_rejection(batch, row, outcome, name)
    except ValueError:
        fields = (batch.types[row], batch.clients[row], batch.txs[row], batch.amounts[row])
        return Rejection(name, row + 1, 0, outcome, ",".join(map(str, fields)).encode())


def _describe(item: object) -> str:
    return "text" if isinstance(item, str) else type(item).__name__
