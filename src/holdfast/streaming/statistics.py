"""Reports on the sources of a run."""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.outcome import Outcome
from holdfast.engine.report import Report

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.engine.totals import Totals


class SourceState(Enum):
    """The state of a source."""

    RUNNING = "running"
    """It is being read, or will be."""
    ENDED = "ended"
    """It came to its end, and all its rows are decided."""
    STOPPED = "stopped"
    """Its policy stopped it."""
    FAILED = "failed"
    """It raised an exception, or gave no valid input."""
    CANCELLED = "cancelled"
    """The run ended first; the rows that it had given by then are decided."""


class SourceReport(NamedTuple):
    """Counts of one source, and how it ended."""

    name: str
    state: SourceState
    rows: int
    """Rows decided: applied or refused."""
    applied: int
    """Rows applied."""
    refused_by_outcome: Mapping[Outcome, int]
    """Rows not applied, by outcome, in order of precedence; only outcomes that occurred."""
    input_bytes: int
    """Bytes of text; 0 for batches and transactions."""
    seconds: float
    """From its start until its end, or until now."""
    error: Exception | None
    """Why it ended early: a PolicyAbort, an InputError, or the source's own exception."""

    @property
    def refused(self) -> int:
        """Rows not applied."""
        return self.rows - self.applied


def make_report(
    totals: Totals,
    *,
    rows: int,
    refused_by_code: Mapping[int, int],
    input_bytes: int,
    seconds: float,
    failed: int = 0,
) -> Report:
    """Make a report from a run's counts and the engine's totals."""
    refused = outcomes(refused_by_code)
    return Report(
        rows=rows,
        applied=rows - sum(refused.values()),
        refused_by_outcome=refused,
        accounts=totals.accounts,
        locked_accounts=totals.locked_accounts,
        transactions=totals.transactions,
        open_disputes=totals.open_disputes,
        sequence=totals.durable,
        input_bytes=input_bytes,
        seconds=seconds,
        failed=failed,
    )


def add_counts(counts: dict[int, int], more: Mapping[int, int]) -> None:
    """Add counts by code to others."""
    for code, count in more.items():
        counts[code] = counts.get(code, 0) + count


def outcomes(refused_by_code: Mapping[int, int]) -> dict[Outcome, int]:
    """Turn codes into outcomes, in order of precedence."""
    return {Outcome(code): count for code, count in sorted(refused_by_code.items())}
