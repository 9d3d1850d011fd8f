"""How much an engine holds: accounts, transactions, rows, memory."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NamedTuple
else:
    from holdfast.domain.named_tuples import NamedTuple


class Totals(NamedTuple):
    """Counts of what one engine holds, or several engines together."""

    accounts: int
    """Accounts."""
    locked_accounts: int
    """How many of these are locked."""
    transactions: int
    """Deposits and withdrawals recorded."""
    open_disputes: int
    """Transactions under dispute."""
    decided: int
    """Rows decided since the engine was made: the watermark of what is in memory."""
    durable: int
    """How many of these a crash would not lose: the watermark of what may be promised; without a journal, ``decided``."""
    memory_bytes: int
    """Memory of accounts, records and indexes."""


def add_totals(totals: Iterable[Totals]) -> Totals:
    """Add the totals of several engines."""
    return Totals(*map(sum, zip(*totals, strict=True)))
