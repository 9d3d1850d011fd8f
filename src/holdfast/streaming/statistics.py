"""What became of the rows of a run's sources: counts that are kept small, reports that are made when they are asked for."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.outcome import Outcome
from holdfast.engine.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.streaming.sharding import RowTarget


class SourceState(Enum):
    """Where a source stands."""

    RUNNING = "running"
    """It is being read, or will be."""
    ENDED = "ended"
    """It came to its end, and all of it was decided."""
    STOPPED = "stopped"
    """Its policy stopped it."""
    FAILED = "failed"
    """It raised an exception, or what it gave is no input."""
    CANCELLED = "cancelled"
    """The run ended before it did; the rows that it had given until then are decided."""


class SourceReport(NamedTuple):
    """Counts of one source, and how it ended."""

    name: str
    state: SourceState
    rows: int
    """Rows decided: applied or refused."""
    applied: int
    """Rows applied."""
    refused_by_outcome: Mapping[Outcome, int]
    """Rows not applied, for every outcome that occurred, in order of precedence."""
    input_bytes: int
    """Bytes of text taken; batches and transactions have none."""
    seconds: float
    """From its start until its end, or until now."""
    error: Exception | None
    """Why it ended early: a PolicyAbort, an InputError, or what the source itself raised."""

    @property
    def refused(self) -> int:
        """Rows not applied."""
        return self.rows - self.applied


class Counts:
    """Counts of one source, or of many together."""

    __slots__ = ("input_bytes", "refused_by_code", "rows")

    def __init__(self) -> None:
        self.rows = 0
        self.input_bytes = 0
        self.refused_by_code: dict[int, int] | None = None

    def add_refused(self, refused_by_code: Mapping[int, int]) -> None:
        """Add rows that were not applied."""
        known = self.refused_by_code or {}
        for code, count in refused_by_code.items():
            known[code] = known.get(code, 0) + count
        self.refused_by_code = known

    def count_into(self, counts: Counts) -> None:
        """Add these to others."""
        counts.rows += self.rows
        counts.input_bytes += self.input_bytes
        if self.refused_by_code:
            counts.add_refused(self.refused_by_code)

    def report(self, target: RowTarget, seconds: float) -> Report:
        """Make a report of these counts, with the balances of the whole."""
        refused = outcomes(self.refused_by_code)
        totals = target.totals()
        return Report(
            rows=self.rows,
            applied=self.rows - sum(refused.values()),
            refused_by_outcome=refused,
            accounts=totals.accounts,
            locked_accounts=totals.locked_accounts,
            transactions=totals.transactions,
            open_disputes=totals.open_disputes,
            sequence=totals.sequence,
            input_bytes=self.input_bytes,
            seconds=seconds,
        )


def outcomes(refused_by_code: Mapping[int, int] | None) -> dict[Outcome, int]:
    """Name the codes, in order of precedence."""
    return {Outcome(code): count for code, count in sorted((refused_by_code or {}).items())}
