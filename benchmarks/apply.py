"""How fast are the rules alone, by type of transaction and kind of id, and beside the decoder?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.decode import time_decoding
from benchmarks.measure import Effort, bring_memory, median, seconds, side_by_side
from benchmarks.report import Figure
from benchmarks.stages import (
    applied_share,
    apply_all,
    make_batches,
    make_ledger,
    read_chunks,
)
from benchmarks.workloads import (
    CHARGEBACK,
    DISPUTE,
    RESOLVE,
    WITHDRAWAL,
    Columns,
    Workload,
    csv_file,
    make_columns,
    make_deposits,
    unique_ids,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.kernel.ledger.ledger import LedgerCore

_ROWS = 10_000_000
_ROWS_OF_ONE_TYPE = 1_000_000
# A few rows are refused in every workload, a third if clients have hardly a row each (a quick run).
# With more refusals, the benchmark would measure the wrong thing.
_APPLIED_LEAST = 0.6
# In bytes: no ledger takes more.
_MEMORY_PER_ROW = 40


def answer(effort: Effort) -> Iterator[Figure]:
    """Apply columns from memory: 10 M mixed rows beside the decoder, then each type by itself."""
    yield from _mixed(effort)
    yield from _other_ids(effort)
    yield from _by_type(effort)


def _mixed(effort: Effort) -> Iterator[Figure]:
    dense, sparse = (Workload(effort.size(_ROWS), mix="mixed", ids=ids) for ids in ("dense", "sparse"))
    chunks = list(read_chunks(csv_file(dense)))
    contenders = {
        "decode": partial(time_decoding, chunks),
        "dense": partial(_time, make_columns(dense)),
        "sparse": partial(_time, make_columns(sparse)),
    }
    times = side_by_side(contenders, effort.repeats)
    alone, ordered, scattered = (median(times[name]) for name in ("decode", "dense", "sparse"))
    mixed = f"{dense.rows:,} mixed rows"
    yield Figure(f"{mixed}, decoder alone", dense.rows / alone, "rows/s")
    yield Figure(
        f"{mixed}, dense ids, apply / decode", dense.rows / ordered, "rows/s", ordered / alone, "apply"
    )
    yield Figure(
        f"{mixed}, sparse / dense ids", dense.rows / scattered, "rows/s", scattered / ordered, "sparse"
    )


def _other_ids(effort: Effort) -> Iterator[Figure]:
    """Hot clients, lookups and 64-bit ids against the plain mix."""
    rows = effort.size(_ROWS_OF_ONE_TYPE)
    workloads = {
        "plain": Workload(rows),
        "64-bit ids": Workload(rows, ids="wide"),
        "Zipf-hot clients": Workload(rows, popularity="zipf"),
        "lookup-heavy": Workload(rows, mix="lookup-heavy"),
    }
    contenders = {
        name: partial(_time, make_columns(workload), tx_bits=64) for name, workload in workloads.items()
    }
    times = side_by_side(contenders, effort.repeats)
    plain = median(times.pop("plain"))
    yield Figure(f"{rows:,} plain rows", rows / plain, "rows/s")
    for name, samples in times.items():
        taken = median(samples)
        yield Figure(f"{rows:,} rows, {name} / plain", rows / taken, "rows/s", taken / plain)


def _time(columns: Columns, tx_bits: int = 32) -> float:
    return _time_on(make_ledger(tx_bits=tx_bits), columns)


def _time_on(ledger: LedgerCore, columns: Columns) -> float:
    batches = make_batches(columns)
    bring_memory(columns.rows * _MEMORY_PER_ROW)
    taken = seconds(apply_all, ledger, batches)
    share = applied_share(batches)
    assert share >= _APPLIED_LEAST, f"only {share:.0%} of the rows were applied"
    return taken


def _by_type(effort: Effort) -> Iterator[Figure]:
    rows = effort.size(_ROWS_OF_ONE_TYPE)
    runs = [_time_types(rows) for _ in range(effort.repeats)]
    for name in runs[0]:
        yield Figure(f"{name} alone", median(run[name] for run in runs), "rows/s")


def _time_types(rows: int) -> dict[str, float]:
    """Deposit, withdraw a little, dispute half of the deposits at random, resolve; dispute, charge back."""
    # A hundred deposits for each client: half of them can be disputed although a little was withdrawn.
    deposits = make_deposits(0, rows, clients=rows // 100)
    ids = unique_ids(rows, 2 * rows, "dense")
    withdrawals = deposits._replace(
        types=np.full(rows, WITHDRAWAL, np.uint8), txs=ids, amounts=np.ones(rows, np.int64)
    )
    disputed = np.random.default_rng(1).permutation(rows)[: rows // 2]
    ledger = make_ledger()
    rates = {}
    for name, columns in (
        ("deposits", deposits),
        ("withdrawals", withdrawals),
        ("disputes", _refer(DISPUTE, deposits, disputed)),
        ("resolves", _refer(RESOLVE, deposits, disputed)),
        ("disputes again", _refer(DISPUTE, deposits, disputed)),
        ("chargebacks", _refer(CHARGEBACK, deposits, disputed)),
    ):
        rates[name] = columns.rows / _time_on(ledger, columns)
    return rates


def _refer(type_: int, deposits: Columns, named: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> Columns:
    """Make rows of one type that refer to some of the deposits."""
    types, amounts = np.full(len(named), type_, np.uint8), np.zeros(len(named), np.int64)
    return Columns(types, deposits.clients[named], deposits.txs[named], amounts)
