"""The report on the rows of one call: counts, what the engine holds afterwards, and how long it took."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import NamedTuple

    from holdfast.domain.outcome import Outcome
    from holdfast.io.reject_table import RejectTable
else:
    from holdfast.domain.named_tuples import NamedTuple


class Report(NamedTuple):
    """Counts of one run over one or several inputs."""

    rows: int
    """Rows decided: applied or refused."""
    applied: int
    """Rows applied."""
    refused_by_outcome: Mapping[Outcome, int]
    """Rows not applied, by outcome, in order of precedence; only outcomes that occurred."""
    accounts: int
    """Accounts in the engine afterwards."""
    locked_accounts: int
    """How many of these are locked."""
    transactions: int
    """Deposits and withdrawals recorded in the engine afterwards."""
    open_disputes: int
    """Transactions under dispute afterwards."""
    sequence: int
    """Durable rows of the engine since it was made. This number names the report's point in time."""
    input_bytes: int
    """Bytes read, before they are decompressed."""
    seconds: float
    """Wall-clock time."""
    failed: int = 0
    """Sources that failed: they raised an exception or gave no valid input. Their reports say why."""

    skipped: int = 0
    """Rows of a named stream that were decided before: they were compared, and not decided again."""

    rejects: RejectTable | None = None
    """The rows that were not applied, as a table, if ``rejects="table"`` asked for it."""

    @property
    def refused(self) -> int:
        """Rows not applied."""
        return self.rows - self.applied

    @property
    def rows_per_second(self) -> float:
        """Rows per second of wall-clock time."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, object]:
        """Give the report as a dict of JSON values, with outcomes by name."""
        return {
            "rows": self.rows,
            "applied": self.applied,
            "refused": self.refused,
            "refused_by_code": {outcome.name: count for outcome, count in self.refused_by_outcome.items()},
            "accounts": self.accounts,
            "locked_accounts": self.locked_accounts,
            "transactions": self.transactions,
            "open_disputes": self.open_disputes,
            "sequence": self.sequence,
            "input_bytes": self.input_bytes,
            "seconds": round(self.seconds, 6),
            "rows_per_second": round(self.rows_per_second),
            "failed": self.failed,
            "skipped": self.skipped,
        }
