"""What the server says about itself: the status in one line, and all its numbers on request."""

from __future__ import annotations

import json
import logging
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.server.tcp.server import TcpServer

_log = logging.getLogger("holdfast.server")


class Status(NamedTuple):
    """How the server is doing."""

    connections: int
    rows: int
    refused: int
    rows_per_second: int
    lag_seconds: float

    def __str__(self) -> str:
        """Write it in one line."""
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

    def __init__(self, server: TcpServer, clock: Callable[[], float] = time.monotonic) -> None:
        self._server = server
        self._clock = clock
        self._start = self._before = clock()
        self._rows_before = server.context.engine.decided

    def status(self) -> Status:
        """Give the status; the rate is that since the last call."""
        now, rows = self._clock(), self._server.context.engine.decided
        seconds, more = now - self._before, rows - self._rows_before
        self._before, self._rows_before = now, rows
        rate = int(more / seconds) if seconds > 0 else 0
        return Status(len(self._server.connections), rows, self._refused(), rate, self._server.lag_seconds)

    def to_json(self) -> dict[str, object]:
        """Give all numbers, in types that JSON knows."""
        server, totals = self._server, self._server.context.engine.totals()
        return {
            "connections": len(server.connections),
            "connections_accepted": server.accepted,
            "connections_turned_away": server.turned_away,
            "connections_waiting_for_turn": len(server.turns),
            "is_accepting": server.is_accepting,
            "errors_by_code": {code.value: count for code, count in sorted(server.context.failures.items())},
            "streams": len(server.context.registry),
            "decided": server.context.engine.decided,
            "durable": server.context.engine.durable,
            "refused": self._refused(),
            "accounts": totals.accounts,
            "locked_accounts": totals.locked_accounts,
            "transactions": totals.transactions,
            "open_disputes": totals.open_disputes,
            "ledger_bytes": totals.memory_bytes,
            "memory_bytes": server.memory_bytes(),
            "held_bytes": sum(each.held_bytes for each in server.connections),
            "lag_seconds": round(server.lag_seconds, 6),
            "seconds": round(self._clock() - self._start, 3),
        }

    def _refused(self) -> int:
        server = self._server
        open_ones = sum(each.session.refused for each in server.connections if each.is_open)
        return server.context.refused_by_ended + open_ones


def dump(statistics: Statistics) -> None:
    """Log all numbers, whatever the level of the log is: somebody has asked for them."""
    numbers = statistics.to_json()
    message = f"statistics {json.dumps(numbers)}"
    record = _log.makeRecord(_log.name, logging.INFO, "", 0, message, (), None, extra={"statistics": numbers})
    _log.handle(record)
