"""The history of one client or one transaction: every row that touched it or tried to, and the effect of that row."""

from __future__ import annotations

from holdfast.domain.outcome import Outcome, Phase
from holdfast.io.rejects import find_detail
from holdfast.kernel.tally import Tally

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import NamedTuple

    from holdfast.engine.engine import Engine
    from holdfast.io.compression import InputStream
    from holdfast.kernel.batch import Batch
else:
    from holdfast.domain.named_tuples import NamedTuple

_NAMES = ("", "deposit", "withdrawal", "dispute", "resolve", "chargeback")


class Balances(NamedTuple):
    """An account's balances in units."""

    available: int
    held: int
    locked: bool


class HistoryRow(NamedTuple):
    """One row of a history."""

    input: str
    line: int
    type: str
    """Its name; empty if the row has no known type."""
    client: int
    tx: int
    amount: int
    """Units; 0 for rows without an amount of their own."""
    outcome: Outcome
    before: Balances | None
    """The followed client's account (in a transaction's history: the account of the row's client); None while there is none."""
    after: Balances | None
    raw: bytes
    detail: str
    """The cause of the outcome in this row; empty if the outcome has only one cause."""


class History:
    """Follows one client or one transaction through inputs.

    Args:
        engine: A new engine, to which the inputs are applied.
        client: The client to follow, or None.
        tx: The transaction to follow, or None.

    Raises:
        ValueError: Unless exactly one of them is given.
    """

    def __init__(self, engine: Engine, *, client: int | None = None, tx: int | None = None) -> None:
        if (client is None) == (tx is None):
            raise ValueError("a history is that of a client or of a tx: give one of them")
        self._engine = engine
        self._client = client
        self._tx = tx
        self._own_txs: set[int] = set()
        self._tally = Tally()

    def rows(self, stream: InputStream, batches: Iterator[Batch]) -> Iterator[HistoryRow]:
        """Apply an input and give the rows that concern the followed client or transaction, in order."""
        for batch in batches:
            yield from self._batch_rows(batch, stream.name)

    def _batch_rows(self, batch: Batch, name: str) -> Iterator[HistoryRow]:
        reached = 0
        for row in [*batch.rows_about(client=self._client, tx=self._tx), batch.rows]:
            self._engine.decide(batch, reached, row, self._tally, None, 0)
            yield from self._strangers(batch, reached, row, name)
            if row < batch.rows:
                yield self._apply(batch, row, name)
            reached = row + 1

    def _apply(self, batch: Batch, row: int, name: str) -> HistoryRow:
        client = batch.clients[row]
        before = self._balances(client)
        self._engine.decide(batch, row, row + 1, self._tally, None, 0)
        outcome = Outcome(batch.outcomes[row])
        if self._client is not None and outcome.is_applied:
            self._own_txs.add(batch.txs[row])
        return self._row(batch, row, name, before, self._balances(client))

    def _strangers(self, batch: Batch, start: int, stop: int, name: str) -> Iterator[HistoryRow]:
        """Give the rows with which other clients tried to touch a transaction of the followed client."""
        if self._client is None or start >= stop:
            return
        for row in batch.refused_rows(start, stop):
            if batch.outcomes[row] == Outcome.CLIENT_MISMATCH and batch.txs[row] in self._own_txs:
                balances = self._balances(self._client)
                yield self._row(batch, row, name, balances, balances)

    def _row(
        self, batch: Batch, row: int, name: str, before: Balances | None, after: Balances | None
    ) -> HistoryRow:
        outcome = Outcome(batch.outcomes[row])
        raw = batch.raw(row)
        return HistoryRow(
            input=name,
            line=batch.line(row),
            type=_NAMES[batch.types[row]],
            client=batch.clients[row],
            tx=batch.txs[row],
            amount=batch.amounts[row] if outcome.phase is not Phase.DECODE else 0,
            outcome=outcome,
            before=before,
            after=after,
            raw=raw,
            detail=find_detail(batch, row, outcome, raw, decimals=self._engine.settings.decimals),
        )

    def _balances(self, client: int) -> Balances | None:
        found = self._engine.find_balances(client)
        return None if found is None else Balances(*found)
