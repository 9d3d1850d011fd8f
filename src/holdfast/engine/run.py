"""One run of an engine over inputs: batch by batch, with a policy at its side."""

from __future__ import annotations

import time

from holdfast.domain.outcome import Outcome
from holdfast.engine.deciding import Decider, say_budget_exceeded
from holdfast.engine.report import Report

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from holdfast.engine.engine import Engine
    from holdfast.engine.policy import CompiledPolicy
    from holdfast.io.compression import InputStream
    from holdfast.io.rejects import Rejection, RejectWriter
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
        self._decider = Decider(engine, policy, rejects)
        self._on_progress = on_progress
        self._tally = policy.tally()
        self._start = time.monotonic()
        self._bytes_before = 0
        self._stream: InputStream | None = None

    @property
    def needs_text(self) -> bool:
        """Whether rows will have to be shown, so that batches must keep their text."""
        return self._decider.needs_text

    def process(self, streams: Iterable[InputStream]) -> Report:
        """Apply inputs, each asked for when the one before it is done, and end the run.

        Raises:
            PolicyAbort: If the policy says so.
            InputError: If an input has no usable header, or is compressed and corrupt.
            OSError: If an input cannot be read.
        """
        for stream in streams:
            with stream:
                batches = self._engine.read(stream, keep_source=self.needs_text, on_wait=self.report_progress)
                try:
                    self._add(stream, batches)
                finally:
                    # Whoever keeps the exception that ended this would keep the threads that read ahead as well.
                    batches.close()
        return self._finish()

    def _add(self, stream: InputStream, batches: Iterator[Batch]) -> None:
        """Apply all batches of an input.

        Raises:
            PolicyAbort: If the policy says so.
        """
        self._stream = stream
        try:
            for batch in batches:
                stop = self._decider.apply(batch, self._tally, stream.name)
                if stop is not None:
                    raise PolicyAbort(stop.reason, stop.rejection, self.report())
                self.report_progress()
        finally:
            self._bytes_before += stream.raw_position()
            self._stream = None

    def _finish(self) -> Report:
        """End the run.

        Raises:
            PolicyAbort: If the rows exceed a budget that could not be judged before the end.
        """
        if self._tally.exceeds_budget:
            raise PolicyAbort(say_budget_exceeded(self._tally, self._policy), None, self.report())
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
