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
from holdfast.kernel.csv.decoder import HeaderError
from holdfast.kernel.inlet import CALL_COST, PIECE_BYTES
from holdfast.streaming.books import Entry
from holdfast.streaming.sources import TRANSACTION_HEADER, encode_transactions
from holdfast.streaming.statistics import Counts, SourceReport, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.domain.outcome import Outcome
    from holdfast.engine.deciding import Decider
    from holdfast.engine.policy import CompiledPolicy
    from holdfast.engine.report import Report
    from holdfast.kernel.csv.decoder import CsvDecoder
    from holdfast.kernel.inlet import Totals
    from holdfast.streaming.sharding import RowTarget

PIECE_ROWS = 4096
"""How many rows of a batch, or transactions, are applied at a time."""
_ROW_COST = 24
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
        totals: Where the counts of ended sources go.
    """

    __slots__ = ("apply", "clock", "decide", "has_budget", "like", "policy", "target")

    def __init__(
        self,
        decider: Decider,
        policy: CompiledPolicy,
        decoder: CsvDecoder,
        target: RowTarget,
        *,
        engine: object,
        clock: Callable[[], float],
        totals: Totals,
    ) -> None:
        self.apply = decider.apply
        self.decide = decider.decide
        self.policy = policy
        self.has_budget = policy.policy.budget is not None
        self.target = target
        self.clock = clock
        # Where nobody sees all rows that are not applied, there is nothing to do beside the rows but where the policy stops.
        # A class made after Engine may want to see the batches.
        ledger = engine.ledger if type(engine) is Engine and not decider.shows_refused else None
        self.like = Stream(ledger, decoder, policy.tally(), totals)
        self.like.lane = self
        self.like.kind = ""


class Stream(Entry):
    """One source of a run, made by the books.

    Text of which nobody sees all rows that are not applied goes straight into the ledger, as every inlet's does; all else comes
    to :meth:`take_other`.
    """

    __slots__ = ()

    def take_other(self, item: Any) -> int:
        """Decode and apply one piece of the source at once.

        Returns:
            What that cost, in bytes of text or what takes as long; 0 if the piece is too large to be taken at once, and
            :meth:`parts` is to be used.

        Raises:
            HeaderError: If it does not begin with a usable header.
            PolicyAbort: If the policy stopped.
            TypeError: If the piece is nothing that a source may give.
        """
        if not isinstance(item, _BYTES_TYPES):
            return self._take_rows(item)
        size = len(item)
        if size > PIECE_BYTES:
            return 0
        if self.kind is not _BYTES:
            self._begin(_BYTES)
        self.input_bytes += size
        self._decode(item)
        return size + CALL_COST

    def parts(self, item: Any) -> Iterator[int]:
        """Take a piece that is too large to be taken at once, and give what each part of it cost."""
        if isinstance(item, _BYTES_TYPES):
            view = memoryview(item).cast("B")
            for start in range(0, len(view), PIECE_BYTES):
                yield self.take(view[start : start + PIECE_BYTES])
        elif isinstance(item, Batch):
            self._begin(_BATCHES)
            for start in range(0, item.rows, PIECE_ROWS):
                stop = min(start + PIECE_ROWS, item.rows)
                self._apply(item, start, stop)
                yield CALL_COST + (stop - start) * _ROW_COST
        else:
            for start in range(0, len(item), PIECE_ROWS):
                yield self._take_rows(item[start : start + PIECE_ROWS])

    def finish_other(self) -> None:
        """Decide what is left now that the source has come to its end.

        Raises:
            HeaderError: If there was no header.
            PolicyAbort: If the policy stopped, or the rows exceed a budget that could not be judged before.
        """
        if self.kind is not _BATCHES:
            batch = self.decoder.finish()
            if batch is not None:
                self._apply(batch)
        self.judge()

    def stopped(self, batch: Batch, row: int) -> None:
        """Do what the policy wants at a row at which it stopped.

        Raises:
            PolicyAbort: If that is to end the source.
        """
        decision = self.lane.decide(batch, row, self.name)
        if decision is not None:
            raise PolicyAbort(decision.reason, decision.rejection, self._own_report())

    def judge(self) -> None:
        """Look at all rows of the source, now that there are no more.

        Raises:
            PolicyAbort: If they exceed a budget that could not be judged before.
        """
        if self.lane.has_budget and self.tally.exceeds_budget:
            raise PolicyAbort(say_budget_exceeded(self.tally, self.lane.policy), None, self._own_report())

    def count_into(self, counts: Counts) -> None:
        """Add what the source came to so far."""
        counts.rows += self.rows
        counts.input_bytes += self.input_bytes
        counts.add_refused(self.refused_by_code())

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
            seconds=self.seconds(now),
            error=self.error,
        )

    def _take_rows(self, item: Any) -> int:
        if isinstance(item, Batch):
            if item.rows > PIECE_ROWS:
                return 0
            if self.kind is not _BATCHES:
                self._begin(_BATCHES)
            self._apply(item)
            return CALL_COST + item.rows * _ROW_COST
        if isinstance(item, Transaction):
            item = (item,)
        elif not isinstance(item, list | tuple):
            raise TypeError(
                f"source {self.name} gave {_describe(item)}: a source gives bytes, batches, transactions or lists of transactions"
            )
        if len(item) > PIECE_ROWS:
            return 0
        if self.kind is not _TRANSACTIONS:
            self._begin(_TRANSACTIONS)
            self.decoder.feed(TRANSACTION_HEADER)
        self._decode(encode_transactions(item, self.lane.target.model))
        return CALL_COST + 64 * len(item)

    def _begin(self, kind: str) -> None:
        known = _BYTES if self.takes_text and self.is_used else self.kind
        if known and known is not kind:
            raise TypeError(
                f"source {self.name} gave {known} and then {kind}: a source gives one kind of thing"
            )
        self.takes_text = False
        self.kind = kind

    def _decode(self, text: Any) -> None:
        decoder = self.decoder
        for batch in decoder.feed(text):
            self._apply(batch)
        last = decoder.flush()
        if last is not None:
            self._apply(last)

    def _apply(self, batch: Batch, start: int = 0, stop: int = -1) -> None:
        stopped = self.lane.apply(batch, self.tally, self.name, start, stop)
        if stopped is not None:
            raise PolicyAbort(stopped.reason, stopped.rejection, self._own_report())

    def _own_report(self) -> Report:
        counts = Counts()
        self.count_into(counts)
        return counts.report(self.lane.target, self.seconds(self.lane.clock()))


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
