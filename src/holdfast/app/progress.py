"""A progress line on a terminal: how far a job is, how fast, and when it will be done."""

from __future__ import annotations

import time

from holdfast.app.terminal import terminal_columns

TYPE_CHECKING = False  # typing is slow to import
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    class Terminal(Protocol):
        """Where a line is drawn."""

        def write(self, text: str, /) -> object:
            """Write a text."""

        def flush(self) -> None:
            """See that it is written."""

        def isatty(self) -> bool:
            """Whether it is a terminal."""

        def fileno(self) -> int:
            """Give its descriptor."""


_REDRAW_SECONDS = 0.1
_LETTERS = ("k", "M", "G", "T", "P")


class Progress:
    """One line that is drawn over and over; nothing at all where the stream is no terminal.

    Args:
        total_bytes: How many bytes there are to read; None if that is unknown (a pipe).
        stream: Where to draw, standard error; None if it is closed.
        clock: Gives seconds since some moment.
    """

    def __init__(
        self, total_bytes: int | None, stream: Terminal | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total_bytes = total_bytes
        self._stream = stream if stream is not None and stream.isatty() else None
        self._clock = clock
        self._start = clock()
        # A job that is done before the first redraw shows nothing and thus never flickers.
        self._next_redraw = self._start + _REDRAW_SECONDS
        self._drawn_columns = 0

    def update(self, rows: int, refused: int, bytes_read: int) -> None:
        """Show how far the job is: at most ten times a second, so that this can be called for every batch.

        Args:
            rows: How many rows were read so far.
            refused: How many of them were refused.
            bytes_read: How many of the bytes were read so far.
        """
        if self._stream is None:
            return
        now = self._clock()
        if now < self._next_redraw:
            return
        self._next_redraw = now + _REDRAW_SECONDS
        self._draw(self._line(rows, refused, bytes_read, now - self._start))

    def clear(self) -> None:
        """Remove the line, before anything else is written; the next update draws it again."""
        if self._drawn_columns:
            self._write(f"\r{' ' * self._drawn_columns}\r")
            self._drawn_columns = 0

    def _line(self, rows: int, refused: int, bytes_read: int, seconds: float) -> str:
        total = self._total_bytes
        parts = [
            f"{_count(rows)} rows",
            f"{_count(int(rows / seconds))} rows/s",
            _bytes(bytes_read) if total is None else f"{_bytes(bytes_read)} of {_bytes(total)}",
            f"{_count(refused)} refused",
        ]
        if total is not None and bytes_read > 0:
            left = int(seconds * max(0, total - bytes_read) / bytes_read)
            parts.append(f"{_duration(left)} left")
        return ", ".join(parts)

    def _draw(self, line: str) -> None:
        # The last column stays empty: some terminals wrap as soon as it is written to.
        columns = terminal_columns(self._stream) - 1
        line = line[:columns]
        # Blanks over the rest of the line before, in the same write: a line that is cleared first flickers.
        self._write("\r" + line.ljust(min(self._drawn_columns, columns)))
        self._drawn_columns = len(line)

    def _write(self, text: str) -> None:
        if self._stream is None:
            return
        try:
            self._stream.write(text)
            self._stream.flush()
        except OSError:
            # The terminal is gone, and the job goes on without a progress line.
            self._stream = None


def _count(number: int) -> str:
    digits, letter = _scaled(number)
    return f"{digits} {letter}" if letter else digits


def _bytes(number: int) -> str:
    digits, letter = _scaled(number)
    return f"{digits} {letter}B"


def _scaled(number: int) -> tuple[str, str]:
    """A number in the largest unit that leaves something before the point, and the unit's letter."""
    if number < 1000:
        return str(number), ""
    power = 1
    # Rounded first: 999,960 is 1.0 M and not 1000.0 k.
    while power < len(_LETTERS) and _tenths(number, power) >= 10_000:
        power += 1
    tenths = _tenths(number, power)
    return f"{tenths // 10}.{tenths % 10}", _LETTERS[power - 1]


def _tenths(number: int, power: int) -> int:
    scale: int = 1000**power
    return (number * 10 + scale // 2) // scale


def _duration(seconds: int) -> str:
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes:02}:{seconds:02}"
