"""Where transactions are recorded: runs of neighbouring ids and the index are one table to the rules, and neither is wasteful."""

from __future__ import annotations

import random
from typing import Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.model import Model
from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import CARDS, STANDARD, Rules
from holdfast.domain.settings import make_settings
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.ledger import LedgerCore

Row = tuple[int, int, int, int]

RUN = 8192
"""How many neighbouring ids share a place."""
DEPOSIT, DISPUTE, RESOLVE = 1, 3, 4


def outcomes(ledger: LedgerCore, rows: list[Row]) -> list[int]:
    """Apply rows as one batch."""
    types, clients, txs, amounts = zip(*rows, strict=True)
    batch = Batch.from_columns(bytes(types), memory("Q", clients), memory("Q", txs), memory("q", amounts))
    ledger.decide(batch)
    return list(batch.outcomes)


def memory(code: Literal["Q", "q"], values: tuple[int, ...]) -> memoryview[int]:
    """Give integers as a column of eight bytes each."""
    raw = b"".join(value.to_bytes(8, "little", signed=code == "q") for value in values)
    return memoryview(raw).cast(code)


def expected(model: Model, rows: list[Row]) -> list[int]:
    """Apply rows to the model."""
    return [model.apply(TransactionType(type_), *rest) for type_, *rest in rows]


def scattered_then_dense(seed: int, tx_max: int) -> list[Row]:
    """Ids from many runs, a dense stretch over places of both kinds, and references to all."""
    draw = random.Random(seed)
    ids = [run * RUN + draw.randrange(RUN) for run in draw.sample(range(tx_max // RUN), 60)]
    # Where a run begins and ends, and the far end of what a directory can know.
    ids += [0, RUN - 1, RUN, 2 * RUN - 1, tx_max, tx_max - 1]
    base = ids[40] // RUN * RUN
    ids += range(base - 50, base + 50)
    draw.shuffle(ids)
    rows = []
    for _ in range(4):
        for tx in ids:
            type_ = draw.choice([1, 1, 1, 2, 3, 3, 4, 5])
            rows.append((type_, draw.randrange(3), tx, draw.choice([0, 1, 5, 5, 1000])))
    return rows


@pytest.mark.parametrize("profile", [STANDARD, CARDS], ids=["standard", "cards"])
@pytest.mark.parametrize("tx_bits", [32, 64])
@pytest.mark.parametrize("seed", range(6))
def test_both_places_follow_the_model(profile: Rules, tx_bits: int, seed: int) -> None:
    """Row by row the same outcomes, wherever an id is kept."""
    rows = scattered_then_dense(seed, 2**tx_bits - 1)
    model, ledger = Model(profile), LedgerCore(make_settings(profile, tx_bits=tx_bits))
    for start in range(0, len(rows), 101):
        piece = rows[start : start + 101]
        assert outcomes(ledger, piece) == expected(model, piece)


SCATTERED: list[Row] = [(DEPOSIT, 1, run * RUN + 77, 1) for run in range(1_000, 2_200)]
"""One id from each of more runs than are spare: what follows has a place only where it was opened."""


@given(
    st.lists(st.tuples(st.integers(1, 5), st.integers(0, 40), st.integers(0, 3)), min_size=1, max_size=400)
)
def test_runs_that_are_not_opened(steps: list[tuple[int, int, int]]) -> None:
    """Once too many runs are nearly empty, ids go to the index, among neighbours that have a place: no row tells."""
    rows = [(type_, 1, 2_000 * RUN + run * RUN + slot, 7) for type_, run, slot in steps]
    model, ledger = Model(STANDARD), LedgerCore()
    assert set(outcomes(ledger, SCATTERED)) == set(expected(model, SCATTERED)) == {Outcome.APPLIED}
    assert outcomes(ledger, rows) == expected(model, rows)


def test_a_reference_opens_no_run() -> None:
    """A dispute of an id that nobody recorded leaves its run to whoever records something."""
    ledger = LedgerCore()
    assert outcomes(ledger, [(DISPUTE, 1, 5 * RUN, 0)]) == [Outcome.TX_NOT_FOUND]
    before = ledger.memory_bytes
    assert outcomes(ledger, [(DEPOSIT, 1, 5 * RUN, 9), (DISPUTE, 1, 5 * RUN, 0)]) == [1, 1]
    assert ledger.memory_bytes > before


def test_sequential_ids_cost_twelve_bytes() -> None:
    """A million neighbours take 12 bytes each, and what an arena has left over."""
    ledger = LedgerCore()
    empty = ledger.memory_bytes
    for start in range(0, 1_000_000, 100_000):
        rows = [(DEPOSIT, 1, tx, 1) for tx in range(start, start + 100_000)]
        assert set(outcomes(ledger, rows)) == {Outcome.APPLIED}
    assert ledger.memory_bytes - empty < 1_000_000 * 12 * 1.05 + (4 << 20)


def test_scattered_ids_waste_no_runs() -> None:
    """One id from each of 40,000 runs: some of them get a place, all others share the index."""
    ledger = LedgerCore()
    rows = [(DEPOSIT, 1, run * RUN, 1) for run in range(40_000)]
    assert set(outcomes(ledger, rows)) == {Outcome.APPLIED}
    assert ledger.memory_bytes < (12 << 20)
    assert outcomes(ledger, rows) == [Outcome.DUPLICATE_TX] * len(rows)


def test_disputes_in_both_places_are_their_own() -> None:
    """No transaction hears of its neighbour's dispute, and a duplicate is one whatever became of the first."""
    ledger = LedgerCore()
    ids = [*range(8), *(run * RUN + slot for run in range(30, 60) for slot in range(4))]
    deposits = [(DEPOSIT, 1, tx, 1) for tx in ids]
    assert set(outcomes(ledger, deposits)) == {Outcome.APPLIED}
    assert set(outcomes(ledger, [(DISPUTE, 1, tx, 0) for tx in ids[::2]])) == {Outcome.APPLIED}
    again = outcomes(ledger, [(RESOLVE, 1, tx, 0) for tx in ids])
    assert again == [Outcome.APPLIED, Outcome.NOT_DISPUTED] * (len(ids) // 2)
    assert outcomes(ledger, deposits) == [Outcome.DUPLICATE_TX] * len(ids)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("seed", range(3))
def test_splits_within_a_batch(seed: int, bits: int) -> None:
    """Rows whose places were looked up before the index split its segments find what they refer to, and clients theirs."""
    draw = random.Random(seed)
    known: list[tuple[int, int]] = []
    rows: list[Row] = []
    for _ in range(30_000):
        if known and draw.random() < 0.5:
            # Mostly of the rows just before: looked up in the same block, or in one that was prepared with it.
            client, tx = known[-draw.randrange(1, min(len(known), draw.choice([20, 150, 30_000])) + 1)]
            rows.append((draw.choice([1, 2, 3, 3, 4, 5]), client, tx, 5))
        else:
            known.append((draw.randrange(2**bits), draw.randrange(2**bits)))
            rows.append((DEPOSIT, *known[-1], 5))
    model, ledger = Model(STANDARD), LedgerCore(make_settings(client_bits=bits, tx_bits=bits))
    assert outcomes(ledger, rows) == expected(model, rows)
