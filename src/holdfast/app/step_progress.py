"""A line on a terminal that says how far a work of known length is: verifying, replaying, backing up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from holdfast.app.terminal import terminal_columns

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.app.progress import Terminal

_REDRAW_SECONDS = 0.1


class StepProgress:
    """One line that is drawn over and over; nothing at all where the stream is no terminal.

    Args:
        what: What is being done.
        stream: Where to draw; None if nobody wants to see it.
        clock: Gives seconds since some moment.
    """

    def __init__(
        self, what: str, stream: Terminal | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._what = what
        self._stream = stream if stream is not None and stream.isatty() else None
        self._clock = clock
        # What is done before the first redraw shows nothing and thus never flickers.
        self._next_redraw = clock() + _REDRAW_SECONDS
        self._columns = 0

    def update(self, done: int, total: int) -> None:
        """Show how far it is, at most ten times a second."""
        now = self._clock()
        if self._stream is None or now < self._next_redraw:
            return
        self._next_redraw = now + _REDRAW_SECONDS
        share = 100 * done // total if total else 100
        line = f"{self._what}: {done:,} of {total:,} ({share} %)"[: terminal_columns(self._stream) - 1]
        self._write("\r" + line.ljust(self._columns))
        self._columns = len(line)

    def clear(self) -> None:
        """Remove the line."""
        if self._columns:
            self._write(f"\r{' ' * self._columns}\r")
            self._columns = 0

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal is gone, and the work goes on without a line.
            self._stream = None
