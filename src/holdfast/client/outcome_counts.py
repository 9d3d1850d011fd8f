"""What the server has said of the rows it decided, added up over connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from holdfast.domain.outcome import Outcome


class OutcomeCounts:
    """Counts of a stream: exact for connections with a summary; for those that were lost, as far as the server said.

    Args:
        knows_refused: Whether refused rows are named one by one, so that all other acknowledged rows are applied.
    """

    def __init__(self, *, knows_refused: bool) -> None:
        self._knows_refused = knows_refused
        self._applied = 0
        self._refused: dict[Outcome, int] = {}
        # The connection at hand: the last row before it, the last one acknowledged, those refused since.
        self._before = 0
        self._acked = 0
        self._refused_here: dict[Outcome, int] = {}

    @property
    def applied(self) -> int:
        """Rows that were applied."""
        return self._applied + self._applied_here()

    @property
    def refused(self) -> dict[Outcome, int]:
        """Rows that were not, by what they were refused for."""
        refused = dict(self._refused)
        _add(refused, self._refused_here)
        return refused

    @property
    def refused_count(self) -> int:
        """Rows that were not applied; another thread may ask."""
        return sum([*self._refused.values(), *self._refused_here.values()])

    def begin(self, row: int) -> None:
        """Learn that a connection begins after this row."""
        self._before = self._acked = row

    def acknowledge(self, row: int) -> None:
        """Learn that rows up to this one are decided."""
        self._acked = row

    def refuse(self, outcome: Outcome) -> None:
        """Learn that a row was refused."""
        self._refused_here[outcome] = self._refused_here.get(outcome, 0) + 1

    def lose(self) -> None:
        """Keep what the server said on a connection that ended without a summary."""
        self._applied += self._applied_here()
        _add(self._refused, self._refused_here)
        self._refused_here = {}
        self._before = self._acked

    def sum_up(self, applied: int, refused: Mapping[Outcome, int]) -> None:
        """Take a connection's summary in place of everything that was said on it."""
        self._applied += applied
        _add(self._refused, refused)
        self._refused_here = {}
        self._before = self._acked

    def forget(self) -> None:
        """Learn that the server has forgotten all of it."""
        self._applied, self._refused = 0, {}

    def _applied_here(self) -> int:
        if not self._knows_refused:
            return 0
        return max(0, self._acked - self._before - sum(self._refused_here.values()))


def _add(counts: dict[Outcome, int], more: Mapping[Outcome, int]) -> None:
    # A list of its own: another thread may ask for a report.
    for outcome, count in [*more.items()]:
        counts[outcome] = counts.get(outcome, 0) + count
