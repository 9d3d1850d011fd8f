"""What do tables cost, beside applying the same columns, and accounts as a frame of Polars?"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Effort, bring_memory, median, seconds, side_by_side
from benchmarks.report import Figure
from benchmarks.workloads import Columns, Workload, make_accounts, make_columns
from holdfast.engine.engine import Engine

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS = 10_000_000
ACCOUNTS = 1_000_000
NAMES = ["deposit", "withdrawal", "dispute", "resolve", "chargeback"]
_RECORD_BYTES = 16
_ACCOUNT_BYTES = 100


def answer(effort: Effort) -> Iterator[Figure]:
    """Process frames of Polars, plain and with text; give accounts with scattered ids to Polars.

    Raises:
        ImportError: If Polars is not installed.
    """
    polars = import_module("polars")
    rows = effort.size(ROWS)
    columns = make_columns(Workload(rows=rows, clients=10_000))
    plain = _plain_frame(polars, columns)
    amounts = polars.col("amount").cast(polars.Decimal(19, 0)) * polars.lit("0.0001").cast(
        polars.Decimal(5, 4)
    )
    text = plain.with_columns(polars.col("type").cast(polars.String), amounts)
    assert text["amount"].dtype.scale == 4
    contenders = {
        "columns": lambda: _time(rows, lambda engine: engine.apply_batch(*columns)),
        "plain": lambda: _time(rows, lambda engine: engine.process(plain, amounts="units")),
        "text": lambda: _time(rows, lambda engine: engine.process(text)),
    }
    times = side_by_side(contenders, effort.repeats)
    base = median(times["columns"])
    what = "a frame of {:,} rows, {}, process / apply_batch"
    for key, name, kind in (
        ("table-plain", "plain", "integers and a dictionary"),
        ("table-text", "text", "strings and decimals"),
    ):
        value = median(times[name])
        yield Figure(what.format(rows, kind), rows / value, "rows/s", value / base, key)
    yield _give_accounts(polars, effort)


def _plain_frame(polars: Any, columns: Columns) -> Any:
    """Make a frame of what a program has: ids and units as integers, types as an enumeration."""
    names = polars.Series("type", NAMES, dtype=polars.Enum(NAMES)).gather(columns.types - 1)
    return polars.DataFrame(
        {"type": names, "client": columns.clients, "tx": columns.txs, "amount": columns.amounts}
    )


def _time(rows: int, work: Any) -> float:
    bring_memory(rows * _RECORD_BYTES)
    return seconds(work, Engine())


def _give_accounts(polars: Any, effort: Effort) -> Figure:
    accounts = effort.size(ACCOUNTS)
    engine = Engine(client_bits=64, tx_bits=64)
    engine.apply_batch(*make_accounts(0, accounts, True))
    times = []
    for _ in range(effort.repeats):
        bring_memory(accounts * _ACCOUNT_BYTES)
        image = engine.accounts()
        times.append(1000 * seconds(polars.DataFrame, image))
        assert len(image) == accounts
    return Figure(
        f"{accounts:,} accounts, scattered ids, to a frame", median(times), "ms", bar="table-accounts"
    )
