"""Rows that are not applied: list them, log them, and ask the policy about them."""

from __future__ import annotations

import sys

from holdfast.domain.outcome import UNDECIDED, Outcome
from holdfast.engine.policy import Action
from holdfast.io.rejects import find_rejection

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    import logging
    from typing import NamedTuple

    from holdfast.engine.policy import CompiledPolicy
    from holdfast.engine.streams import KnownStream
    from holdfast.io.reject_table import RejectTable
    from holdfast.io.rejects import Rejection, RejectWriter
    from holdfast.kernel.batch import Batch
else:
    from holdfast.domain.named_tuples import NamedTuple


class Stop(NamedTuple):
    """A policy's decision to stop after a row."""

    reason: str
    rejection: Rejection


class Review:
    """Shows rows that were not applied, and asks one policy about them.

    Args:
        policy: What to do about them.
        rejects: Where to list them.
        decimals: How many decimals amounts are written with.
    """

    __slots__ = ("_decimals", "_log", "_policy", "_rejects", "shows_refused")

    def __init__(
        self, policy: CompiledPolicy, rejects: RejectWriter | RejectTable | None, decimals: int
    ) -> None:
        self._policy = policy
        self._decimals = decimals
        self._rejects = rejects
        self._log = _listening_log()
        self.shows_refused = rejects is not None or self._log is not None
        """Whether to show every row that is not applied, and not only those at which the policy stops."""

    @property
    def needs_text(self) -> bool:
        """Whether rows will be shown, so that batches must keep their text."""
        return self.shows_refused or self._policy.shows_rows

    def show(
        self, batch: Batch, start: int, stop: int, name: str, position: int
    ) -> None:  # as the inlet gives them
        """List and log the rows of an input that were not applied.

        Args:
            batch: The batch that has them.
            start: The first row to look at.
            stop: The row to stop before.
            name: The input.
            position: How many rows of the input come before the first one.
        """
        outcomes = batch.outcomes
        for row in batch.refused_rows(start, stop):
            outcome = Outcome(outcomes[row])
            number = position + 1 + row - start
            rejection = find_rejection(batch, row, outcome, name, number=number, decimals=self._decimals)
            if self._rejects is not None:
                self._rejects.add(rejection, batch, row)
            if self._log is not None and self._policy.actions[outcome] is not Action.SILENT:
                self._log.info(
                    "%s", rejection, extra={"input": name, "line": rejection.line, "code": outcome.name}
                )

    def ask(self, batch: Batch, row: int, name: str, number: int, code: int = UNDECIDED) -> Stop | None:
        """Ask the policy about a row, and give a Stop if it stops there.

        Args:
            batch: The batch that has it.
            row: Its place in the batch.
            name: The input.
            number: Its number in the input.
            code: Its outcome, if that is not in the batch, because the row was decided before.
        """
        outcome = Outcome(code or batch.outcomes[row])
        rejection = find_rejection(batch, row, outcome, name, number=number, decimals=self._decimals)
        action = self._policy.actions[outcome]
        if action is Action.CALLBACK:
            if self._policy.policy.decide(rejection) in {Action.SKIP, Action.SILENT}:
                return None
            return Stop("the policy's callback stopped at this row", rejection)
        if action is Action.BUDGET:
            budget = self._policy.policy.budget
            return Stop(f"the budget of {budget} rows that may go unapplied is exceeded", rejection)
        return Stop("stopped at a row that was not applied", rejection)

    def ask_again(
        self, batch: Batch, row: int, name: str, known: KnownStream, *, exceeds_budget: bool
    ) -> Stop | None:
        """Ask the policy about the last row of a stream that was decided before, at which its policy stopped then.

        Args:
            batch: The batch that has it.
            row: Its place in the batch.
            name: The input.
            known: What was known of the stream before.
            exceeds_budget: Whether more rows of the stream count against the budget than it covers.
        """
        if not self._policy.stops_at(known.stopped, exceeds_budget=exceeds_budget):
            return None
        return self.ask(batch, row, name, known.rows, known.stopped)

    def say_budget_exceeded(self, rows: int, refused: int) -> str:
        """Give the message that the rows exceed a budget, for a budget that only the end of the input decides."""
        budget = self._policy.policy.budget
        return f"{refused} of {rows} rows were not applied, which exceeds the budget of {budget}"


def _listening_log() -> logging.Logger | None:
    """Give the logger for single rows, or None if it is disabled or the program never imported logging."""
    if "logging" not in sys.modules:
        return None
    import logging  # noqa: PLC0415  # slow to import; the program has done so

    log = logging.getLogger("holdfast.engine")
    return log if log.isEnabledFor(logging.INFO) else None
