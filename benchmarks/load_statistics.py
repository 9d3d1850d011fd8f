"""The result of a load. Every sample is kept, so every percentile is exact."""

from __future__ import annotations

import math
from array import array
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


def percentile(ordered: Sequence[float], share: float) -> float:
    """Give the smallest sample that at least this share of all samples does not exceed (the nearest rank).

    Args:
        ordered: The samples in ascending order; at least one.
        share: Above 0, up to 1.
    """
    # A share such as 0.999 is not exact in binary: use its decimal value.
    return ordered[max(1, math.ceil(round(share * len(ordered), 6))) - 1]


class Percentiles(NamedTuple):
    """A summary of many samples, in seconds."""

    p50: float
    p99: float
    p999: float
    max: float
    samples: int

    @classmethod
    def of(cls, samples: Sequence[float]) -> Percentiles:
        """Sort the samples and pick from them; without samples all values are 0."""
        if not samples:
            return cls(0.0, 0.0, 0.0, 0.0, 0)
        ordered = sorted(samples)
        p50, p99, p999 = (percentile(ordered, share) for share in (0.5, 0.99, 0.999))
        return cls(p50, p99, p999, ordered[-1], len(ordered))

    def to_json(self) -> dict[str, float | int]:
        """Give the values in milliseconds, with the usual names."""
        named = {"p50": self.p50, "p99": self.p99, "p99.9": self.p999, "max": self.max}
        return {**{name: round(seconds * 1e3, 3) for name, seconds in named.items()}, "samples": self.samples}


@dataclass(slots=True)
class LoadReport:
    """The result of a load.

    Args:
        connections: How many senders there were.
        rows: How many rows they had to send.
        rows_sent: How many of them left for the server.
        rows_acked: How many the acks cover; 0 if none were asked for.
        rows_decided: How many the summaries count.
        applied: How many of these were applied.
        refused_by_code: How many were refused, by code, as the summaries say.
        errors: What ended senders before their time, by the server's code; ``CUT_OFF`` without a line that says why.
        seconds_opening: From the first to the last connection.
        seconds_sending: From the first row to the last ack, or to the last row sent without acks.
        seconds_ending: From there to the last summary.
        cpu_seconds: What the generator itself computed while it sent.
        latencies: From when a batch was due to its ack, one for each batch on a schedule, in its order.
        lags: From when a batch was due to when the generator got to it: its own share of the latencies.
        batches_unanswered: How many batches never had an ack; their latencies are those of giving up.
    """

    connections: int
    rows: int
    rows_sent: int = 0
    rows_acked: int = 0
    rows_decided: int = 0
    applied: int = 0
    refused_by_code: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    seconds_opening: float = 0.0
    seconds_sending: float = 0.0
    seconds_ending: float = 0.0
    cpu_seconds: float = 0.0
    latencies: array[float] = field(default_factory=lambda: array("d"))
    lags: array[float] = field(default_factory=lambda: array("d"))
    batches_unanswered: int = 0

    @property
    def rows_per_second(self) -> float:
        """How fast rows were decided, up to the last ack, or without acks up to the last summary."""
        if self.rows_acked:
            return self.rows_acked / self.seconds_sending
        seconds = self.seconds_sending + self.seconds_ending
        return self.rows_decided / seconds if seconds else 0.0

    def latencies_from_sending(self) -> list[float]:
        """Give the latencies from when the generator sent a batch: its own lateness is not the server's."""
        return [latency - lag for latency, lag in zip(self.latencies, self.lags, strict=False)]

    @property
    def cpu_share(self) -> float:
        """How much of one core the generator used. Near 1, it measured itself."""
        return self.cpu_seconds / self.seconds_sending if self.seconds_sending else 0.0

    def to_json(self) -> dict[str, object]:
        """Give all results as a dict for programs."""
        document: dict[str, object] = {
            "connections": self.connections,
            "rows": self.rows,
            "rows_sent": self.rows_sent,
            "rows_acked": self.rows_acked,
            "rows_decided": self.rows_decided,
            "applied": self.applied,
            "refused_by_code": dict(self.refused_by_code),
            "errors": dict(+self.errors),
            "seconds_opening": round(self.seconds_opening, 3),
            "seconds_sending": round(self.seconds_sending, 3),
            "seconds_ending": round(self.seconds_ending, 3),
            "rows_per_second": round(self.rows_per_second),
            "generator_cpu_share": round(self.cpu_share, 2),
        }
        if self.latencies:
            document["latency_ms"] = Percentiles.of(self.latencies).to_json()
            document["generator_lag_ms"] = Percentiles.of(self.lags).to_json()
            document["batches_unanswered"] = self.batches_unanswered
        return document
