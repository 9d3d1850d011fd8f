"""What the server says about itself: a line on a terminal, the same in the log, and all its numbers on request."""

from __future__ import annotations

import json
import logging
import sys
import time
from typing import TYPE_CHECKING, NamedTuple

from holdfast.app.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TextIO

    from holdfast.server.tcp.server import Server

_log = logging.getLogger("holdfast.server")


class Status(NamedTuple):
    """How the server is doing."""

    connections: int
    rows: int
    refused: int
    rows_per_second: int
    lag_seconds: float

    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.connections:,} connections, {self.rows:,} rows, {self.rows_per_second:,} rows/s, "
            f"{self.refused:,} refused, lag {self.lag_seconds * 1000:.1f} ms"
        )


class Statistics:
    """Counts what a server has done.

    Args:
        server: The server.
        clock: Gives seconds, from any start.
    """

    def __init__(self, server: Server, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._start = self._before = clock()
        self._rows_before = server.intake.engine.decided

    def status(self) -> Status:
        """Say how the server is doing; the rate is that since the last time."""
        now, rows = self._clock(), self._server.intake.engine.decided
        seconds, more = now - self._before, rows - self._rows_before
        self._before, self._rows_before = now, rows
        rate = int(more / seconds) if seconds > 0 else 0
        return Status(len(self._server.connections), rows, self._refused(), rate, self._server.lag_seconds)

    def to_json(self) -> dict[str, object]:
        """Give all numbers as what JSON knows."""
        server, totals = self._server, self._server.intake.engine.totals()
        return {
            "connections": len(server.connections),
            "connections_accepted": server.accepted,
            "errors_by_code": {code.value: count for code, count in sorted(server.intake.failures.items())},
            "streams": len(server.intake.registry),
            "sequence": server.intake.engine.decided,
            "refused": self._refused(),
            "accounts": totals.accounts,
            "locked_accounts": totals.locked_accounts,
            "transactions": totals.transactions,
            "open_disputes": totals.open_disputes,
            "ledger_bytes": totals.memory_bytes,
            "reckoned_bytes": server.reckoned_bytes(),
            "held_bytes": sum(each.held_bytes for each in server.connections),
            "lag_seconds": round(server.lag_seconds, 6),
            "seconds": round(self._clock() - self._start, 3),
        }

    def _refused(self) -> int:
        server = self._server
        open_ones = sum(each.session.refused for each in server.connections if each.is_open)
        return server.intake.refused_by_ended + open_ones


def dump(statistics: Statistics) -> None:
    """Log all numbers, whatever is logged otherwise: somebody has asked for them."""
    numbers = statistics.to_json()
    message = f"statistics {json.dumps(numbers)}"
    record = _log.makeRecord(_log.name, logging.INFO, "", 0, message, (), None, extra={"statistics": numbers})
    _log.handle(record)


class StatusLine(Progress):
    """The status on one line of a terminal, drawn over and over; log lines appear above it.

    Args:
        stream: Standard error, or None if it is closed.
    """

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__(None, stream)

    def show(self, status: Status) -> None:
        """Draw it."""
        self._draw(str(status))

    def stay_below_log(self) -> None:
        """Make room for each log line before it is written."""
        for handler in logging.getLogger("holdfast").handlers:
            handler.addFilter(self._make_room)

    def _make_room(self, _record: logging.LogRecord) -> bool:
        self.clear()
        return True


def terminal_line() -> StatusLine | None:
    """Give the status line if somebody looks."""
    if sys.stderr is None or not sys.stderr.isatty():
        return None
    line = StatusLine(sys.stderr)
    line.stay_below_log()
    return line
