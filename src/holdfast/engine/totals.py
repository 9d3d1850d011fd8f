"""What an engine holds, in numbers."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import NamedTuple
else:
    from holdfast.domain.named_tuples import NamedTuple


class Totals(NamedTuple):
    """Counts of everything that an engine, or several together, hold."""

    accounts: int
    """Accounts."""
    locked_accounts: int
    """Those of them that are locked."""
    transactions: int
    """Deposits and withdrawals recorded."""
    open_disputes: int
    """Transactions under dispute."""
    decided: int
    """Rows decided since the engine was made: the watermark of what is in memory."""
    durable: int
    """Rows of them that a crash would not lose: the watermark of what may be promised. Without a journal it is ``decided``."""
    memory_bytes: int
    """Memory that accounts, records and indexes take."""


def add_totals(totals: Iterable[Totals]) -> Totals:
    """Add up what several engines hold."""
    return Totals(*map(sum, zip(*totals, strict=True)))
