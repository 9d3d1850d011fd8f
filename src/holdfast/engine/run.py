"""One run of an engine over inputs: batch by batch, with a policy at its side."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.engine.policy import Action, CompiledPolicy
from holdfast.engine.report import Report
from holdfast.io.rejects import Rejection, find_rejection

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

    from holdfast.engine.engine import Engine
    from holdfast.io.compression import InputStream
    from holdfast.io.rejects import RejectWriter
    from holdfast.kernel.batch import Batch


class PolicyAbort(Exception):  # noqa: N818  # the policy's decision, not an error of the engine's
    """A policy stopped the run: the rows before the named one stand, it was not applied, and nothing behind it was.

    Args:
        reason: Why it stopped.
        rejection: The row behind which it stopped; None if a budget was found exceeded at the end of the inputs.
        report: What was done up to there.
    """

    def __init__(self, reason: str, rejection: Rejection | None, report: Report) -> None:
        super().__init__(f"{reason}: {rejection}" if rejection is not None else reason)
        self.rejection = rejection
        self.report = report


class Run:
    """The state of one call of ``Engine.process``.

    Args:
        engine: What the rows are applied to.
        policy: What to do about rows that are not applied.
        rejects: Where to list them.
        on_progress: Called between batches, and every 50 ms while there is nothing to do, with rows, refused rows and
            input bytes.
    """

    def __init__(
        self,
        engine: Engine,
        policy: CompiledPolicy,
        rejects: RejectWriter | None,
        on_progress: Callable[[int, int, int], None] | None,
    ) -> None:
        self._engine = engine
        self._policy = policy
        self._rejects = rejects
        self._on_progress = on_progress
        self._log = _listening_log()
        self._tally = policy.tally()
        self._start = time.monotonic()
        self._bytes_before = 0
        self._stream: InputStream | None = None

    @property
    def needs_text(self) -> bool:
        """Whether rows will have to be shown, so that batches must keep their text."""
        return self._rejects is not None or self._log is not None or self._policy.shows_rows

    def add(self, stream: InputStream, batches: Iterator[Batch]) -> None:
        """Apply all batches of an input.

        Raises:
            PolicyAbort: If the policy says so.
        """
        self._stream = stream
        try:
            for batch in batches:
                self._apply(batch, stream.name)
                self.report_progress()
        finally:
            self._bytes_before += stream.raw_position()
            self._stream = None

    def finish(self) -> Report:
        """End the run.

        Raises:
            PolicyAbort: If the rows exceed a budget that could not be judged before the end.
        """
        if self._tally.exceeds_budget:
            budget = self._policy.policy.budget
            raise PolicyAbort(
                f"{self._tally.refused} of {self._tally.rows} rows were not applied, which exceeds the budget of {budget}",
                None,
                self.report(),
            )
        return self.report()

    def report(self) -> Report:
        """Say what was done so far."""
        ledger = self._engine.ledger
        return Report(
            rows=self._tally.rows,
            applied=self._tally.applied,
            refused_by_outcome={
                Outcome(code): count for code, count in self._tally.refused_by_code().items()
            },
            accounts=ledger.accounts,
            locked_accounts=ledger.locked_accounts,
            transactions=ledger.transactions,
            open_disputes=ledger.open_disputes,
            sequence=self._engine.sequence,
            input_bytes=self._input_bytes(),
            seconds=time.monotonic() - self._start,
        )

    def report_progress(self) -> None:
        """Tell the listener how far the run is."""
        if self._on_progress is not None:
            self._on_progress(self._tally.rows, self._tally.refused, self._input_bytes())

    def _input_bytes(self) -> int:
        return self._bytes_before + (self._stream.raw_position() if self._stream is not None else 0)

    def _apply(self, batch: Batch, name: str) -> None:
        start = 0
        while start < batch.rows:
            refused_before = self._tally.refused
            reached = self._engine.apply_rows(batch, start, self._tally)
            if self._tally.refused > refused_before:
                self._show(batch, start, reached, name)
            if self._tally.is_stopped:
                self._decide(batch, reached - 1, name)
            start = reached

    def _show(self, batch: Batch, start: int, stop: int, name: str) -> None:
        """List and log the rows that were not applied, for those who asked for it."""
        if self._rejects is None and self._log is None:
            return
        outcomes = batch.outcomes
        for row in batch.refused_rows(start, stop):
            outcome = Outcome(outcomes[row])
            rejection = find_rejection(batch, row, outcome, name)
            if self._rejects is not None:
                self._rejects.write(rejection)
            if self._log is not None and self._policy.actions[outcome] is not Action.SILENT:
                self._log.info(
                    "%s", rejection, extra={"input": name, "line": rejection.line, "code": outcome.name}
                )

    def _decide(self, batch: Batch, row: int, name: str) -> None:
        """Do what the policy wants at the row at which the kernel stopped."""
        outcome = Outcome(batch.outcomes[row])
        rejection = find_rejection(batch, row, outcome, name)
        action = self._policy.actions[outcome]
        if action is Action.CALLBACK:
            action = self._policy.policy.decide(rejection)
            if action in {Action.SKIP, Action.SILENT}:
                return
            raise PolicyAbort("the policy's callback stopped at this row", rejection, self.report())
        if action is Action.BUDGET:
            raise PolicyAbort(
                f"the budget of {self._policy.policy.budget} rows that may go unapplied is exceeded",
                rejection,
                self.report(),
            )
        raise PolicyAbort("stopped at a row that was not applied", rejection, self.report())


def _listening_log() -> logging.Logger | None:
    """Give the logger for single rows if anybody listens; a program that never imported logging has nobody who does."""
    if "logging" not in sys.modules:
        return None
    import logging  # noqa: PLC0415  # imported by whoever listens

    log = logging.getLogger("holdfast.engine")
    return log if log.isEnabledFor(logging.INFO) else None
