"""How fast are accounts written as CSV, beside Python's csv module?"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from benchmarks import naive
from benchmarks.measure import Effort, median, seconds, side_by_side
from benchmarks.report import Figure
from benchmarks.stages import apply_all, make_batches, make_ledger
from benchmarks.workloads import Columns, make_accounts
from holdfast.kernel.csv.encoder import encode_accounts

if TYPE_CHECKING:
    from collections.abc import Iterator


def answer(effort: Effort) -> Iterator[Figure]:
    """Encode as many accounts as 16-bit ids can name, and 1 M with scattered 64-bit ids."""
    for accounts, wide in ((65_536, False), (1_000_000, True)):
        yield _compare(effort.size(accounts), wide, effort)


def _compare(accounts: int, wide: bool, effort: Effort) -> Figure:
    columns = make_accounts(0, accounts, wide)
    ledger = make_ledger(client_bits=64 if wide else 16)
    apply_all(ledger, make_batches(columns))
    image, as_dict = ledger.image(), _as_dict(columns)
    contenders = {
        "holdfast": lambda: seconds(b"".join, encode_accounts(image, naive.DECIMALS)),
        "naive": lambda: seconds(naive.write_accounts, as_dict, io.StringIO()),
    }
    times = side_by_side(contenders, effort.repeats)
    ours = median(times["holdfast"])
    what = f"{accounts:,} accounts, {64 if wide else 16}-bit ids, naive.py / holdfast"
    return Figure(what, accounts / ours, "accounts/s", median(times["naive"]) / ours)


def _as_dict(columns: Columns) -> dict[int, naive.Account]:
    pairs = zip(columns.clients.tolist(), columns.amounts.tolist(), strict=True)
    return {client: naive.Account(available) for client, available in pairs}
