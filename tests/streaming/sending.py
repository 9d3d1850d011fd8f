"""Helpers for tests of streams: rows as text, sources that wait on demand, the model in decided order."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, TypeVar

from holdfast import Engine, Outcome
from holdfast.domain.amount import format_units
from holdfast.domain.model import Model
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence

    from holdfast import Account, Rules
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.tally import Tally
    from scenarios import TransactionRow

HEADER = b"type,client,tx,amount\n"
TIMEOUT_SECONDS = 30

T = TypeVar("T")


def run(job: Coroutine[object, object, T]) -> T:
    """Run a test's coroutine on a loop of its own, for no longer than a test may take."""

    async def bounded() -> T:
        async with asyncio.timeout(TIMEOUT_SECONDS):
            return await job

    return asyncio.run(bounded())


def text_of(rows: Iterable[TransactionRow]) -> bytes:
    """Write rows as lines of CSV, without a header."""
    lines = []
    for type_, client, tx, amount in rows:
        units = format_units(amount) if type_ <= TransactionType.WITHDRAWAL else ""
        lines.append(f"{TransactionType(type_).name.lower()},{client},{tx},{units}\n")
    return "".join(lines).encode()


def deposits(client: int, first_tx: int, count: int) -> bytes:
    """Write deposits of one unit each, a header before them."""
    return HEADER + b"".join(b"deposit,%d,%d,0.0001\n" % (client, first_tx + row) for row in range(count))


async def waiting(pieces: Iterable[T], times: int = 1) -> AsyncIterator[T]:
    """Give pieces, letting everybody else run before each."""
    for piece in pieces:
        for _ in range(times):
            await asyncio.sleep(0)
        yield piece


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds that nobody announces."""
    while not holds():  # noqa: ASYNC110
        await asyncio.sleep(0.002)


class Recorder(Engine):
    """An engine that remembers the rows in the order in which they were decided."""

    def __init__(self, rules: str | Rules = "standard", *, client_bits: int = 16) -> None:
        super().__init__(rules, client_bits=client_bits)
        self.recorded: list[tuple[TransactionRow, int]] = []
        self.recorder = self

    def record(  # as the ledger calls it
        self,
        batch: Batch,
        start: int,
        stop: int,
        sequence: int,
        _stream: str | None,
        _position: int,
        _tally: Tally,
    ) -> None:
        """Remember rows that were decided."""
        assert sequence == len(self.recorded)
        columns = (batch.types, batch.clients, batch.txs, batch.amounts, batch.outcomes)
        types, clients, txs, amounts, outcomes = (list(column[start:stop]) for column in columns)
        self.recorded += zip(zip(types, clients, txs, amounts, strict=True), outcomes, strict=True)

    def model(self, rows: int | None = None) -> Model:
        """Apply this many rows to the model, in decided order; each must get the same outcome."""
        model = Model(self.settings.rules)
        for (type_, client, tx, amount), outcome in self.recorded[:rows]:
            assert model.apply(TransactionType(type_), client, tx, amount) == outcome
        return model


def model_of(rows: Sequence[TransactionRow], rules: Rules) -> tuple[list[Outcome], list[Account]]:
    """Apply rows to the model."""
    model = Model(rules)
    decided = [model.apply(TransactionType(row[0]), *row[1:]) for row in rows]
    return decided, model.accounts()
