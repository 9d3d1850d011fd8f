"""When a client connects again and when it gives up: time passes when a test says so."""

from __future__ import annotations

from holdfast.client.retry import Backoff, RetryBudget


class Bench:
    """A budget with a clock and a jitter in the test's hand."""

    def __init__(self, seconds_max: float, seconds: float = 1.0, backoff_max: float = 4.0) -> None:
        self.now = 1000.0
        self.bounds: list[float] = []
        backoff = Backoff(seconds, backoff_max, self._uniform)
        self.budget = RetryBudget(seconds_max, backoff, lambda: self.now)

    def _uniform(self, low: float, high: float) -> float:
        assert low == 0
        self.bounds.append(high)
        return high

    def fail(self, after: float = 0.0) -> float | None:
        """Lose a connection after some time, and wait as long as the budget says."""
        self.now += after
        seconds = self.budget.next_seconds()
        self.now += seconds or 0.0
        return seconds


def test_the_backoff_doubles_to_its_end_and_begins_again_after_progress() -> None:
    """Full jitter: any time from nothing to the bound; a row that was never acknowledged before makes it small again."""
    bench = Bench(100)
    for _ in range(5):
        bench.fail()
    bench.budget.note_progress(1)
    bench.fail()
    assert bench.bounds == [1, 2, 4, 4, 4, 1]


def test_progress_that_is_undone_is_none() -> None:
    """A server that decides the same rows again and again, and forgets them, is given up in the end."""
    bench = Bench(20)
    bench.budget.note_progress(5)
    waits = []
    while (seconds := bench.fail(after=1)) is not None:
        waits.append(seconds)
        bench.budget.note_progress(3)
        bench.budget.note_progress(5)
        assert len(waits) < 100
    assert waits == [1, 2, 4, 4, 4]
    # Each attempt took a second as well: another wait would be too long.
    assert bench.budget.spent_seconds == 21
    bench.budget.note_progress(6)
    assert bench.fail() == 1


def test_the_time_without_progress_counts_and_not_the_attempts() -> None:
    """Waits and attempts together; what is over the limit is not begun."""
    bench = Bench(10, seconds=4)
    assert [bench.fail(), bench.fail(after=1), bench.fail()] == [4, 4, None]
    assert bench.budget.spent_seconds == 9


def test_idle_time_is_no_time_without_progress() -> None:
    """A connection that was idle for an hour and is lost then is tried again as long as any other."""
    bench = Bench(10)
    bench.now += 3600
    bench.budget.note_idle()
    assert bench.fail() == 1
    assert bench.budget.spent_seconds == 0


def test_no_retry_at_all_when_none_is_wanted() -> None:
    """With a limit of nothing, the first failure is the last, whatever the jitter."""
    assert Bench(0, seconds=0).fail() is None
