"""What became of the rows that were sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.domain.outcome import Outcome


class RefusedRow(NamedTuple):
    """A row that the server did not apply."""

    row: int
    """Its number in the stream, the first being 1."""
    outcome: Outcome
    """Why it was not applied."""


class SendReport(NamedTuple):
    """How far a stream got, as far as the server told.

    ``rows`` is exact where the server has summed up, or has said why it ended the stream. After a deadline, a signal or an
    input that cannot be read, acks may be on their way: then at least so many rows are decided.
    """

    stream: str | None
    """The stream's name, if it has one."""
    rows: int
    """Rows that the server decided while we sent."""
    applied: int
    """Those of them that it said it applied."""
    refused_by_outcome: Mapping[Outcome, int]
    """Those that it said it did not apply, for every outcome that occurred, in order of precedence."""
    skipped: int
    """Rows of the input that the stream had before, and that were not decided again."""
    sequence: int
    """Rows that the server's engine had decided in all when it last answered."""
    sent_bytes: int
    """Bytes of CSV sent, those that were sent again included."""
    reconnects: int
    """How often a connection was lost and another one made."""
    restarts: int
    """How often the server had forgotten the stream and was sent its rows again."""
    seconds: float
    """Wall-clock time."""

    @property
    def refused(self) -> int:
        """Rows that the server said it did not apply."""
        return sum(self.refused_by_outcome.values())

    @property
    def untold(self) -> int:
        """Rows that are decided, but whose outcome was lost with a connection; 0 if no connection was lost."""
        return self.rows - self.applied - self.refused

    @property
    def rows_per_second(self) -> float:
        """Rows by wall-clock time."""
        return self.rows / self.seconds if self.seconds > 0 else 0.0

    def to_json(self) -> dict[str, object]:
        """Give the report as what JSON knows, outcomes by name."""
        return {
            "stream": self.stream,
            "rows": self.rows,
            "applied": self.applied,
            "refused": self.refused,
            "refused_by_code": {outcome.name: count for outcome, count in self.refused_by_outcome.items()},
            "untold": self.untold,
            "skipped": self.skipped,
            "sequence": self.sequence,
            "sent_bytes": self.sent_bytes,
            "reconnects": self.reconnects,
            "restarts": self.restarts,
            "seconds": round(self.seconds, 6),
            "rows_per_second": round(self.rows_per_second),
        }
