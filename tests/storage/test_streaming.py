"""Stream processors over a durable ledger: named sources go on where they were, and reports say what is durable."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast import Deposit, Ledger, StreamChangedError
from holdfast.storage.gathering import Gatherer
from holdfast.streaming import SourceState, StreamProcessor
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import pytest


def test_named_sources_go_on(tmp_path: Path) -> None:
    """Rows of a named source that were decided before are skipped; numbered sources are no streams."""
    rows = draw_rows(2000)
    path = str(tmp_path / "p.db")
    with Ledger.open(path) as ledger:
        report = asyncio.run(StreamProcessor(ledger).merge({"a": csv_of(rows[:900])}))
        assert (report.rows, report.sequence, ledger.durable) == (900, 900, 900)
    with Ledger.open(path) as ledger:
        processor = StreamProcessor(ledger)
        report = asyncio.run(processor.merge({"a": csv_of(rows)}))
        assert (report.rows, ledger.durable) == (1100, 2000)
        assert found_accounts(ledger.accounts()) == expected_accounts(rows)
        changed = asyncio.run(processor.merge({"a": csv_of(rows[1:])}))
        assert changed.failed == 1
        assert isinstance(processor.sources["a"].error, StreamChangedError)
        assert processor.sources["a"].state is SourceState.FAILED
        for _ in range(2):
            assert asyncio.run(processor.chain(csv_of(rows[:10]))).rows == 10
        assert ledger.find_stream("1") is None
        assert ledger.decided == 2020


def test_one_transaction_beside_the_sources(tmp_path: Path) -> None:
    """It is durable when its outcome is given."""

    async def main(ledger: Ledger) -> None:
        async with StreamProcessor(ledger).running() as run:
            for tx in range(20):
                assert (await run.apply(Deposit(1, tx, "1"))).is_applied
                assert ledger.durable == tx + 1

    with Ledger.open(tmp_path / "p.db") as ledger:
        asyncio.run(main(ledger))


def test_sources_wait_for_a_slow_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is decided and not written stays small, however fast the sources are."""
    monkeypatch.setattr("holdfast.storage.gathering.ENTRY_ROWS_MAX", 5000)
    most = 0
    record = Gatherer.record

    def watching(self: Gatherer, *arguments: object) -> None:
        nonlocal most
        most = max(most, self.waiting)
        record(self, *arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(Gatherer, "record", watching)

    def pieces() -> Iterator[bytes]:
        yield b"type,client,tx,amount\n"
        for start in range(0, 400_000, 1000):
            yield b"".join(b"deposit,1,%d,1\n" % tx for tx in range(start, start + 1000))

    with Ledger.open(tmp_path / "p.db") as ledger:
        asyncio.run(StreamProcessor(ledger).merge({"a": pieces()}))
        assert ledger.durable == 400_000
    assert most <= 8
