"""One source while it runs: its inlet, its policy, its counts. It never waits; the pump that drives it does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from holdfast.domain.transaction import Transaction
from holdfast.engine.resumption import Resumption
from holdfast.engine.review import Review
from holdfast.engine.rows import to_rows
from holdfast.engine.run import PolicyAbort
from holdfast.kernel.batch import Batch
from holdfast.kernel.inlet import CALL_COST, PIECE_BYTES, InletPool
from holdfast.streaming.statistics import SourceReport, SourceState, make_report, outcomes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.engine.interface import AnyEngine
    from holdfast.engine.policy import CompiledPolicy
    from holdfast.engine.report import Report
    from holdfast.io.rejects import RejectWriter

PIECE_ROWS = 4096
"""How many rows of a batch, or transactions, are decided at a time."""
_ROW_COST = 24
_TRANSACTION_COST = 64
_BYTES_TYPES = (bytes, bytearray, memoryview)
_BYTES, _BATCHES, _TRANSACTIONS = "bytes", "batches", "transactions"
_RUNNING = SourceState.RUNNING


class SourceGroup:
    """The shared state of all sources that one engine decides under one policy.

    Args:
        engine: The engine of the whole run.
        target: The engine for the rows of these sources: the same, or a shard.
        policy: What to do about rows that are not applied.
        rejects: Where to list them.
        clock: Tells the loop's time.
        is_private: Whether the group belongs to a single source.
    """

    __slots__ = ("clock", "engine", "has_budget", "is_private", "open_inlet", "pool", "review")

    def __init__(
        self,
        engine: AnyEngine,
        target: AnyEngine,
        policy: CompiledPolicy,
        rejects: RejectWriter | None,
        clock: Callable[[], float],
        *,
        is_private: bool,
    ) -> None:
        self.engine = engine
        self.is_private = is_private
        self.review = Review(policy, rejects, engine.settings.decimals)
        self.has_budget = policy.policy.budget is not None
        self.clock = clock
        decoder = engine.new_decoder(keep_source=self.review.needs_text)
        self.pool = InletPool(target.decide, decoder, policy.tally(), shows=self.review.shows_refused)
        self.open_inlet = self.pool.open


class SourceRun:
    """One source of a run.

    Args:
        name: What it is called.
        group: The state that it shares with other sources.
        stream: The name of the stream that it is, if it has one: rows of it that the engine has decided before are skipped.
    """

    __slots__ = ("_kind", "_resumption", "end", "error", "group", "inlet", "name", "start", "state", "take")

    def __init__(self, name: str, group: SourceGroup, stream: str | None) -> None:
        self.name = name
        self.group = group
        self.inlet = inlet = group.open_inlet(stream, self)
        self._resumption: Resumption | None = None
        if stream is not None and group.engine.find_stream(stream) is not None:
            self._resumption = Resumption(group.engine, stream, inlet)
        self.take = inlet.take
        """Take a piece of text; gives its cost, or 0 if the piece is for :meth:`parts`."""
        self.state = _RUNNING
        self.error: Exception | None = None
        self.start = group.clock()
        self._kind = ""

    def parts(self, item: Any) -> Iterator[int]:
        """Take a piece that :attr:`take` does not: batches, transactions, large pieces of text. Give the cost of each part.

        Raises:
            PolicyAbort: If the policy stopped.
            TypeError: If a source may not give such a piece.
        """
        if isinstance(item, _BYTES_TYPES):
            self._expect(_BYTES)
            view = memoryview(item).cast("B")
            for start in range(0, len(view), PIECE_BYTES):
                yield self.take(view[start : start + PIECE_BYTES])
        elif isinstance(item, Batch):
            self._expect(_BATCHES)
            for start in range(0, item.rows, PIECE_ROWS):
                stop = min(start + PIECE_ROWS, item.rows)
                self.inlet.take_batch(item, start, stop)
                yield CALL_COST + (stop - start) * _ROW_COST
        elif isinstance(item, Transaction):
            yield self._take_transactions((item,))
        elif isinstance(item, list | tuple):
            for start in range(0, len(item), PIECE_ROWS):
                yield self._take_transactions(item[start : start + PIECE_ROWS])
        else:
            raise TypeError(
                f"source {self.name} gave {_describe(item)}: a source gives bytes, batches, transactions or lists of transactions"
            )

    def finish(self) -> None:
        """Decide the last rows, after the source has ended.

        Raises:
            HeaderError: If there was no header.
            PolicyAbort: If the policy stopped, or the rows exceed a budget, which only the end of the source decides.
        """
        inlet = self.inlet
        inlet.finish()
        if self._resumption is not None:
            self._resumption.check_end(inlet)
        if self.group.has_budget and inlet.exceeds_budget:
            reason = self.group.review.say_budget_exceeded(inlet.rows, inlet.refused)
            raise PolicyAbort(reason, None, self._own_report())

    def on_refused(self, batch: Batch, start: int, stop: int, position: int) -> None:
        """Show rows that were not applied."""
        self.group.review.show(batch, start, stop, self.name, position)

    def on_stopped(self, batch: Batch, row: int) -> None:
        """Ask the policy what to do about a row at which it stopped.

        Raises:
            PolicyAbort: If it ends the source.
        """
        stop = self.group.review.ask(batch, row, self.name, self.inlet.position)
        if stop is not None:
            raise PolicyAbort(stop.reason, stop.rejection, self._own_report())

    def on_skipped(self, batch: Batch, row: int) -> None:
        """Compare the rows that were decided before; stop again where the policy stopped before.

        Raises:
            StreamChangedError: If they are other rows.
            PolicyAbort: If the policy stopped at the last of them, and does so again.
        """
        if self._resumption is not None:
            stop = self._resumption.compare(self.inlet, self.group.review, batch, row, self.name)
            if stop is not None:
                raise PolicyAbort(stop.reason, stop.rejection, self._own_report())

    def close(self, state: SourceState, error: Exception | None) -> SourceGroup:
        """Note how the source ended, release what it used, and give its group."""
        group = self.group
        self.end = group.clock()
        self.inlet.release()
        self.state = state
        self.error = error
        # Thousands of reports are kept: do not keep the policy of a private group with each.
        del self.group
        return group

    @property
    def has_ended(self) -> bool:
        """Whether the source was closed."""
        return self.state is not _RUNNING

    def report(self) -> SourceReport:
        """Report on the source so far."""
        refused = outcomes(self.inlet.refused_by_code())
        rows = self.inlet.rows
        return SourceReport(
            name=self.name,
            state=self.state,
            rows=rows,
            applied=rows - sum(refused.values()),
            refused_by_outcome=refused,
            input_bytes=self.inlet.input_bytes,
            seconds=self._seconds(),
            error=self.error,
        )

    def _take_transactions(self, transactions: list[Any] | tuple[Any, ...]) -> int:
        self._expect(_TRANSACTIONS)
        self.inlet.take_batch(Batch.from_rows(to_rows(transactions, self.group.engine.settings)))
        return CALL_COST + _TRANSACTION_COST * len(transactions)

    def _expect(self, kind: str) -> None:
        """Remember what kind of pieces the source gives.

        Raises:
            TypeError: If it gave another kind before.
        """
        known = self._kind or (_BYTES if self.inlet.has_begun else kind)
        if known is not kind:
            raise TypeError(
                f"source {self.name} gave {known} and then {kind}: a source gives one kind of thing"
            )
        if not self._kind:
            self._kind = kind
            self.inlet.takes_text = kind is _BYTES

    def _own_report(self) -> Report:
        return make_report(
            self.group.engine.totals(),
            rows=self.inlet.rows,
            refused_by_code=self.inlet.refused_by_code(),
            input_bytes=self.inlet.input_bytes,
            seconds=self._seconds(),
        )

    def _seconds(self) -> float:
        return (self.end if self.has_ended else self.group.clock()) - self.start


def _describe(item: object) -> str:
    return "text" if isinstance(item, str) else type(item).__name__
