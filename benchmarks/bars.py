"""The bars that figures must reach, and the aims beyond them: the one place for these numbers."""

from __future__ import annotations

from dataclasses import dataclass

ALL_KINDS = "all kinds"
"""What the name of a figure begins with that sums up those of single kinds, for the same bar."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A limit for one figure.

    Args:
        what: The figure that is compared with it.
        limit: The value that the figure must reach.
        aim: A better value to aim for, if there is one.
        unit: ``x`` for a ratio; otherwise the unit of the figure's value.
        at_least: Whether more is better.
    """

    what: str
    limit: float
    aim: float | None = None
    unit: str = "x"
    at_least: bool = False

    def reached(self, value: float) -> str:
        """Say whether a value reaches the aim, the bar or neither."""
        for name, limit in (("aim", self.aim), ("bar", self.limit)):
            if limit is not None and (value >= limit if self.at_least else value <= limit):
                return name
        return "no"


BARS: dict[str, Bar] = {
    "wall": Bar("the command on 10 M plain rows, times as fast as naive.py", 40, 70, at_least=True),
    "cpu": Bar("the same, times less CPU than naive.py", 30, 50, at_least=True),
    "apply": Bar("apply alone, 10 M mixed rows, dense ids, times the decoder alone", 1.5, 1.0),
    "sparse": Bar("sparse random 32-bit ids, apply alone, times dense ids", 3, 1.5),
    "spaced": Bar("', ' separators, decode alone, times ','", 1.5, 1.1),
    "ndjson": Bar("decoding 10 M NDJSON rows on one core, times less CPU than others", 6, 10, at_least=True),
    "memory": Bar("memory per recorded transaction, 10 M transactions", 40, 24, unit="bytes"),
    "stream": Bar("memory of a 1 GB stream that records little, over a 10 MB one", 16, unit="MiB"),
    "growth": Bar("slowest batch while 50 M transactions are recorded, times the median batch", 20, 5),
    "image-small": Bar("taking an image of 65,536 accounts", 1, unit="ms"),
    "image-large": Bar("taking an image of 10 M accounts", 5, unit="ms"),
    "startup": Bar("`holdfast` on a 10-row file, times `python -c pass`", 4, 2.5),
    "load": Bar("loading 10 M plain rows durably, wall, times the plain command", 3, 2),
    "load-bytes": Bar(
        "bytes on disk per plain row, journal and checkpoint, after close", 24, 20, unit="bytes"
    ),
    "postgres": Bar("loading 10 M plain rows into PostgreSQL, wall", 1e6, 2e6, unit="rows/s", at_least=True),
    "postgres-followed": Bar(
        "plain rows loaded into PostgreSQL, and the tables caught up",
        0.3e6,
        0.6e6,
        unit="rows/s",
        at_least=True,
    ),
    "postgres-by-hand": Bar("the same, times the rate of naive_postgres.py", 30, at_least=True),
    "served": Bar(
        "rows/s of a server with 1,000 connections and acks on a ledger, times in memory",
        0.5,
        0.8,
        at_least=True,
    ),
    "ack-sync": Bar(
        "median ack latency at half the peak rate, times a bare fdatasync of the median commit's bytes", 3, 2
    ),
    "ack-checkpoints": Bar("the same, p99.9 with checkpoints, times without", 2, 1.2),
    "replay": Bar("replaying a journal, one core", 20e6, 40e6, unit="rows/s", at_least=True),
    "open": Bar("opening 10 M sequential transactions from a checkpoint", 3, 0.5, unit="s"),
    "open-dense": Bar(
        "opening 100 M sequential transactions after a kill, to the first decided row", 3, 0.5, unit="s"
    ),
    "open-sparse": Bar("the same, scattered ids", 15, 5, unit="s"),
    "paged-peak": Bar("peak of anonymous memory, 300 M transactions in 512 MiB", 640, 512, unit="MB"),
    "written": Bar("bytes written for 50 M scattered ids, over the journal's own", 6, 3),
    "packed-plain": Bar("packed bytes per plain row, dense ids", 7, unit="bytes"),
    "packed-sparse": Bar("packed bytes per plain row, scattered ids", 12, unit="bytes"),
    "packing": Bar("packing or unpacking rows, one core", 100e6, unit="rows/s", at_least=True),
    "paged-new": Bar(
        "sequential rows under a limit of memory, times the rate without", 0.5, 0.8, at_least=True
    ),
    "paged-old": Bar("the same, one row in 10,000 disputing an old id", 0.25, 0.5, at_least=True),
    "tcp-1000": Bar("server CPU per row, 1,000 connections, times the command's on the same rows", 1.5, 1.15),
    "tcp-10000": Bar("the same, 10,000 connections", 2),
    "merge": Bar(
        "10,000 streams of 100 rows in one process, times the rate of one stream", 0.5, 0.8, at_least=True
    ),
    "idle": Bar("server memory with 10,000 idle connections", 200, unit="MB"),
    "snapshot-rate": Bar("a snapshot every second, times the rate without", 0.95, at_least=True),
    "snapshot-batch": Bar("the same, p99.9 of applying a batch, times without", 2),
    "hostile-ack": Bar("slowest ack of an honest sender beside hostile ones", 250, 50, unit="ms"),
    "hostile-connection": Bar("server memory for a hostile connection", 64, unit="KiB"),
    "hostile-log": Bar("the server's log beside hostile senders", 100, unit="lines"),
    "table-plain": Bar("accounts from a frame of 10 M rows, times applying the same columns", 1.2, 1.05),
    "table-text": Bar("the same with strings and decimals", 2, 1.5),
    "table-accounts": Bar("1 M accounts, scattered ids, to a frame", 30, 15, unit="ms"),
    "ack-slowest": Bar("slowest ack at half the peak rate, times the median", 100),
}
"""By the key that a figure names; they hold for the full sizes on 2 cores, medians of 5."""
