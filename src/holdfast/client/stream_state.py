"""How far a stream is, over all its connections."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from holdfast.client.outcome_counts import OutcomeCounts
from holdfast.client.report import SendReport
from holdfast.domain.outcome import Outcome

if TYPE_CHECKING:
    from holdfast.protocol.messages import Directive, Resume, Summary

_LOGGER = logging.getLogger("holdfast.client")


class StreamState:
    """Rows acknowledged, skipped and refused.

    Args:
        directive: The stream's name, and whether refused rows are named one by one.
    """

    def __init__(self, directive: Directive) -> None:
        self._stream = directive.stream
        self._counts = OutcomeCounts(knows_refused=directive.wants_refused)
        self._start_row: int | None = None
        self._skipped = 0
        self._restarts = 0
        self.acked = 0
        """Rows of the stream that are known to be decided."""
        self.sequence = 0
        """Rows that the server had decided in all when it last said so."""
        self.sent_bytes = 0
        """Bytes that were given to connections before the one at hand."""
        self.losses = 0
        """How often a connection was lost or could not be made."""

    @property
    def resumed_at(self) -> int:
        """How many rows the stream had when it was first opened."""
        return self._start_row or 0

    @property
    def refused_count(self) -> int:
        """Rows that the server said it did not apply, on all connections."""
        return self._counts.refused_count

    def begin_connection(self) -> None:
        """Learn that there is another connection."""
        if self._stream is None:
            self._start_row = 0
        self._counts.begin(self.acked)

    def end_connection(self, sent_bytes: int) -> None:
        """Learn that the connection is closed, with a summary or without."""
        self._counts.lose()
        self.sent_bytes += sent_bytes

    def take_resume(self, resume: Resume) -> None:
        """Learn what the server has of the stream."""
        rows = resume.rows
        if self._start_row is None:
            self._start_row = self._skipped = rows
        elif rows < self.acked:
            _LOGGER.warning(
                "the server has forgotten rows of the stream: going on after the last one that it has",
                extra={"stream": self._stream, "acknowledged": self.acked, "resume": rows},
            )
            self._restarts += 1
            self._start_row = self._skipped = min(self._start_row, rows)
            self._counts.forget()
        self.acked = rows
        self._counts.begin(rows)

    def acknowledge(self, row: int, sequence: int) -> None:
        """Learn that rows up to this one are decided."""
        self.acked = row
        self.sequence = sequence
        self._counts.acknowledge(row)

    def refuse(self, outcome: Outcome) -> None:
        """Learn that a row was not applied."""
        self._counts.refuse(outcome)

    def sum_up(self, row: int, summary: Summary) -> None:
        """Learn that a connection ended with this row, as it had to."""
        self.acknowledge(row, summary.sequence)
        self._counts.sum_up(summary.applied, summary.refused_by_outcome)

    def report(self, sent_bytes: int, seconds: float) -> SendReport:
        """Say how far the stream got.

        Args:
            sent_bytes: Bytes that were given to the connection at hand.
            seconds: How long it took.
        """
        refused = self._counts.refused
        return SendReport(
            stream=self._stream,
            rows=self.acked - self.resumed_at,
            applied=self._counts.applied,
            refused_by_outcome={outcome: refused[outcome] for outcome in Outcome if outcome in refused},
            skipped=self._skipped,
            sequence=self.sequence,
            sent_bytes=self.sent_bytes + sent_bytes,
            reconnects=self.losses,
            restarts=self._restarts,
            seconds=seconds,
        )
