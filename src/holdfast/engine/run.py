"""One run of an engine over inputs: batch by batch, under a policy."""

from __future__ import annotations

import time

from holdfast.domain.origin import Origin
from holdfast.domain.outcome import Outcome
from holdfast.domain.picklable import Picklable
from holdfast.engine.pipeline import read_input, use_dialect
from holdfast.engine.report import Report
from holdfast.engine.resumption import Resumption
from holdfast.engine.review import Review
from holdfast.io.formats.csv import CSV
from holdfast.io.formats.detection import choose_decoder
from holdfast.io.formats.registry import find_format
from holdfast.io.formats.tables import TableInput
from holdfast.io.rejects import RejectWriter
from holdfast.kernel.inlet import InletPool

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import NoReturn

    from holdfast.domain.dialect import Dialect
    from holdfast.domain.origin import Actor
    from holdfast.engine.interface import AnyEngine
    from holdfast.engine.message_run import MessageRun
    from holdfast.engine.policy import CompiledPolicy
    from holdfast.engine.review import Stop
    from holdfast.io.compression import InputStream
    from holdfast.io.reject_table import RejectTable
    from holdfast.io.rejects import Rejection
    from holdfast.kernel.batch import Batch


class PolicyAbort(Picklable, Exception):  # noqa: N818  # the policy's decision, not an error of the engine's
    """A policy stopped the run: the rows before the named one stand; that row and the rows after it were not applied.

    Args:
        reason: Why it stopped.
        rejection: The row at which it stopped; None if only the end of the inputs showed that a budget is exceeded.
        report: The counts up to there.
    """

    def __init__(self, reason: str, rejection: Rejection | None, report: Report) -> None:
        super().__init__(f"{reason}: {rejection}" if rejection is not None else reason)
        self.rejection = rejection
        self.report = report


class Run:
    """The state of one call of ``Engine.process``: all its inputs are one stream.

    Args:
        engine: The engine to apply rows to.
        policy: What to do about rows that are not applied.
        rejects: Where to list them; ``table`` makes a table of them, which the report has.
        on_progress: Called between batches, and every 50 ms while there is nothing to do, with rows, refused rows and
            input bytes.
        dialect: How the inputs are written; None for plain ones.
        stream: The name of the stream that the inputs are; rows of it that the engine has decided before are skipped.
        actor: Who sends them, for an engine that keeps that.
        format: The name of their format; by default each input's suffix or first bytes tell it.
        messages: The messages that the inputs are, for an engine that keeps how far their partition is; then they are no stream.

    Raises:
        ValueError: If there is no such format, or it has no dialects.
    """

    def __init__(
        self,
        engine: AnyEngine,
        policy: CompiledPolicy,
        rejects: RejectWriter | str | None,
        on_progress: Callable[[int, int, int], None] | None,
        *,
        dialect: Dialect | None = None,
        stream: str | None = None,
        actor: Actor | None = None,
        format: str | None = None,  # noqa: A002  # its name wherever a format is said
        messages: MessageRun | None = None,
    ) -> None:
        if format is not None and find_format(format) is not CSV and dialect is not None:
            raise ValueError(f"a dialect says how CSV is written: leave it out for {format}")
        self._format = format
        self._engine = engine
        self._dialect = dialect
        self._rejects = _open_rejects(rejects, engine.settings.decimals)
        self._review = Review(policy, self._rejects, engine.settings.decimals)
        self._on_progress = on_progress
        decoder = engine.new_decoder(keep_source=False)
        pool = InletPool(engine.decide, decoder, policy.tally(), shows=self._review.shows_refused)
        origin: str | Origin | None = stream
        if (actor is not None or messages is not None) and engine.records_origins:
            origin = Origin(stream, actor=actor, source=None if messages is None else messages.rows)
        self._inlet = pool.open(origin, self)
        self._messages = messages
        self._resumption = None if stream is None else Resumption(engine, stream, self._inlet)
        self._name = ""
        self._start = time.monotonic()
        self._bytes_before = 0
        self._stream: InputStream | TableInput | None = None

    def process(self, streams: Iterable[InputStream | TableInput]) -> Report:
        """Apply inputs, taking each after the one before it is done, and end the run.

        Raises:
            PolicyAbort: If the policy says so.
            StreamChangedError: If the inputs are not those whose rows were decided before under the stream's name.
            InputError: If an input has no usable header, is compressed and corrupt, or a table lacks a column or fails.
            OSError: If an input cannot be read.
        """
        try:
            for stream in streams:
                self._process_one(stream)
            if self._resumption is not None:
                self._resumption.check_end(self._inlet)
            self._engine.wait_durable()
            if self._inlet.exceeds_budget:
                reason = self._review.say_budget_exceeded(self._inlet.rows, self._inlet.refused)
                raise PolicyAbort(reason, None, self.report())
            return self.report()
        finally:
            # It refers to this run, and the garbage collector does not see that.
            self._inlet.release()

    def _process_one(self, stream: InputStream | TableInput) -> None:
        with stream:
            if self._messages is not None:
                self._messages.begin(self._inlet)
            if isinstance(stream, TableInput):
                batches = stream.batches(self._engine.settings)
            else:
                csv = self._engine.new_decoder(keep_source=self._review.needs_text)
                if self._dialect is None:
                    decoder = choose_decoder(self._format, stream.name, csv, self._engine.settings)
                else:
                    decoder = use_dialect(stream, csv, self._dialect)
                batches = read_input(stream, decoder, self.report_progress)
            try:
                self._add(stream, batches)
            finally:
                # An exception that is kept would otherwise keep this generator, and with it the threads that read ahead.
                batches.close()
            if self._messages is not None:
                self._messages.end(self._inlet)

    def on_refused(self, batch: Batch, start: int, stop: int, position: int) -> None:
        """Show rows that were not applied."""
        self._review.show(batch, start, stop, self._name, position)

    def on_stopped(self, batch: Batch, row: int) -> None:
        """Ask the policy what to do about a row at which it stopped.

        Raises:
            PolicyAbort: If it ends the run.
        """
        stop = self._review.ask(batch, row, self._name, self._inlet.position)
        if stop is not None:
            self._abort(stop)

    def on_skipped(self, batch: Batch, row: int) -> None:
        """Compare the rows that were decided before; stop again where the policy stopped before.

        Raises:
            StreamChangedError: If they are other rows.
            PolicyAbort: If the policy stopped at the last of them, and this one does too.
        """
        if self._resumption is not None:
            stop = self._resumption.compare(self._inlet, self._review, batch, row, self._name)
            if stop is not None:
                self._abort(stop)

    def _abort(self, stop: Stop) -> NoReturn:
        self._engine.wait_durable()
        raise PolicyAbort(stop.reason, stop.rejection, self.report())

    def _add(self, stream: InputStream | TableInput, batches: Iterator[Batch]) -> None:
        """Apply all batches of an input."""
        self._stream, self._name = stream, stream.name
        try:
            for batch in batches:
                self._engine.wait_for_room()
                self._inlet.take_batch(batch)
                self.report_progress()
        finally:
            self._bytes_before += stream.raw_position()
            self._stream = None

    def report(self) -> Report:
        """Give the counts so far."""
        inlet, totals = self._inlet, self._engine.totals()
        return Report(
            rows=inlet.rows,
            applied=inlet.rows - inlet.refused,
            refused_by_outcome={Outcome(code): count for code, count in inlet.refused_by_code().items()},
            accounts=totals.accounts,
            locked_accounts=totals.locked_accounts,
            transactions=totals.transactions,
            open_disputes=totals.open_disputes,
            sequence=totals.durable,
            input_bytes=self._input_bytes(),
            seconds=time.monotonic() - self._start,
            skipped=inlet.skipped,
            rejects=None if isinstance(self._rejects, RejectWriter) else self._rejects,
        )

    def report_progress(self) -> None:
        """Tell ``on_progress`` how far the run is."""
        if self._on_progress is not None:
            self._on_progress(self._inlet.rows, self._inlet.refused, self._input_bytes())

    def _input_bytes(self) -> int:
        return self._bytes_before + (self._stream.raw_position() if self._stream is not None else 0)


def _open_rejects(rejects: RejectWriter | str | None, decimals: int) -> RejectWriter | RejectTable | None:
    if not isinstance(rejects, str):
        return rejects
    if rejects != "table":
        raise ValueError(
            f'rejects is a RejectWriter or "table", not {rejects!r}: RejectWriter(open(path, "wb")) writes a file'
        )
    from holdfast.io.reject_table import RejectTable  # noqa: PLC0415  # the command writes files

    return RejectTable(decimals)
