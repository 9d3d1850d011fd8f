"""Batches under a policy: apply, show the rows that were not applied to those who want to see them, stop where it says so."""

from __future__ import annotations

import sys

from holdfast.domain.outcome import Outcome
from holdfast.engine.policy import Action
from holdfast.io.rejects import find_rejection

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    import logging
    from collections.abc import Callable
    from typing import NamedTuple, Protocol

    from holdfast.engine.policy import CompiledPolicy
    from holdfast.io.rejects import Rejection, RejectWriter
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.tally import Tally

    class RowSink(Protocol):
        """What rows are applied to: an engine, or shards."""

        def apply_rows(self, batch: Batch, start: int, tally: Tally, stop: int = -1) -> int:
            """Apply rows of a batch under a policy's tally; give the first row that was not decided."""
else:
    from holdfast.domain.named_tuples import NamedTuple


class Stop(NamedTuple):
    """A policy's decision to stop behind a row."""

    reason: str
    rejection: Rejection


class Decider:
    """Applies batches to an engine under one policy.

    Args:
        engine: What the rows are applied to.
        policy: What to do about rows that are not applied.
        rejects: Where to list them.
        find: Looks up what there is to say about a row.
    """

    __slots__ = ("_find", "_log", "_policy", "_rejects", "_shows", "apply_rows")

    def __init__(
        self,
        engine: RowSink,
        policy: CompiledPolicy,
        rejects: RejectWriter | None,
        find: Callable[[Batch, int, Outcome, str], Rejection] = find_rejection,
    ) -> None:
        self.apply_rows = engine.apply_rows
        self._policy = policy
        self._rejects = rejects
        self._find = find
        self._log = _listening_log()
        self._shows = rejects is not None or self._log is not None

    @property
    def shows_refused(self) -> bool:
        """Whether every row that is not applied is shown to somebody, and not only one at which the policy stops."""
        return self._shows

    @property
    def needs_text(self) -> bool:
        """Whether rows will have to be shown, so that batches must keep their text."""
        return self._shows or self._policy.shows_rows

    def apply(self, batch: Batch, tally: Tally, name: str, start: int = 0, stop: int = -1) -> Stop | None:
        """Apply rows of a batch of the input of this name, up to the one at which the policy stops, if it does."""
        end = batch.rows if stop < 0 else stop
        while start < end:
            refused_before = tally.refused if self._shows else 0
            reached = self.apply_rows(batch, start, tally, end)
            if self._shows and tally.refused > refused_before:
                self._show(batch, start, reached, name)
            if tally.is_stopped:
                stopped = self.decide(batch, reached - 1, name)
                if stopped is not None:
                    return stopped
            start = reached
        return None

    def _show(self, batch: Batch, start: int, stop: int, name: str) -> None:
        """List and log the rows that were not applied, for those who asked for it."""
        outcomes = batch.outcomes
        for row in batch.refused_rows(start, stop):
            outcome = Outcome(outcomes[row])
            rejection = self._find(batch, row, outcome, name)
            if self._rejects is not None:
                self._rejects.write(rejection)
            if self._log is not None and self._policy.actions[outcome] is not Action.SILENT:
                self._log.info(
                    "%s", rejection, extra={"input": name, "line": rejection.line, "code": outcome.name}
                )

    def decide(self, batch: Batch, row: int, name: str) -> Stop | None:
        """Do what the policy wants at the row at which the kernel stopped."""
        outcome = Outcome(batch.outcomes[row])
        rejection = self._find(batch, row, outcome, name)
        action = self._policy.actions[outcome]
        if action is Action.CALLBACK:
            if self._policy.policy.decide(rejection) in {Action.SKIP, Action.SILENT}:
                return None
            return Stop("the policy's callback stopped at this row", rejection)
        if action is Action.BUDGET:
            budget = self._policy.policy.budget
            return Stop(f"the budget of {budget} rows that may go unapplied is exceeded", rejection)
        return Stop("stopped at a row that was not applied", rejection)


def say_budget_exceeded(tally: Tally, policy: CompiledPolicy) -> str:
    """Say that the rows exceed a budget that could not be judged before the end."""
    return (
        f"{tally.refused} of {tally.rows} rows were not applied, "
        f"which exceeds the budget of {policy.policy.budget}"
    )


def _listening_log() -> logging.Logger | None:
    """Give the logger for single rows if anybody listens; a program that never imported logging has nobody who does."""
    if "logging" not in sys.modules:
        return None
    import logging  # noqa: PLC0415  # imported by whoever listens

    log = logging.getLogger("holdfast.engine")
    return log if log.isEnabledFor(logging.INFO) else None
