"""The progress line: what it says, when it is drawn, how it fits a terminal, and that pipes get none."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import struct
import termios

import pytest

from holdfast.app.progress import Progress


class Terminal(io.StringIO):
    """A stream that says it is a terminal and, having no descriptor, not how wide."""

    def isatty(self) -> bool:
        """Claim to be a terminal."""
        return True

    def fileno(self) -> int:
        """Have none."""
        raise io.UnsupportedOperation("fileno")

    def screen(self) -> str:
        """What stands on the line after everything written so far."""
        cells: list[str] = []
        column = 0
        for character in self.getvalue():
            if character == "\r":
                column = 0
                continue
            cells[column : column + 1] = [character]
            column += 1
        return "".join(cells).rstrip()


class Clock:
    """A clock that stands still unless told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Give the time."""
        return self.now


def _line(rows: int, refused: int, bytes_read: int, total: int | None, seconds: float) -> str:
    terminal, clock = Terminal(), Clock()
    progress = Progress(total, terminal, clock)
    clock.now += seconds
    progress.update(rows, refused, bytes_read)
    return terminal.screen()


def test_what_the_line_says() -> None:
    """Rows, speed, bytes of bytes, refused so far, time left: in units people read."""
    expected = "1.2 M rows, 600.0 k rows/s, 34.5 MB of 200.0 MB, 12 refused, 00:09 left"
    assert _line(1_200_000, 12, 34_500_000, 200_000_000, 2.0) == expected


def test_a_pipe_has_no_end() -> None:
    """Where nobody knows how much there is, neither that nor the time left is said."""
    assert _line(999, 0, 999, None, 1.0) == "999 rows, 999 rows/s, 999 B, 0 refused"


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (0, "0"),
        (999, "999"),
        (1_000, "1.0 k"),
        (1_049, "1.0 k"),
        (1_050, "1.1 k"),
        (999_949, "999.9 k"),
        (999_950, "1.0 M"),
        (12_345_678_901, "12.3 G"),
        (10**21, "1000000.0 P"),
    ],
)
def test_units(count: int, text: str) -> None:
    """One decimal, rounded once, never 1000.0 of a unit that has a larger one."""
    assert _line(count, 0, 0, None, 1.0).startswith(f"{text} rows, ")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(1.0, "00:03 left"), (100.0, "05:00 left"), (2000.0, "1:40:00 left"), (100_000.0, "83:20:00 left")],
)
def test_time_left(seconds: float, text: str) -> None:
    """A quarter took so long, the rest takes three times that."""
    assert _line(1, 0, 25, 100, seconds).endswith(text)


@pytest.mark.parametrize(
    ("bytes_read", "total", "end"), [(5, 3, "00:00 left"), (0, 0, "refused"), (0, 9, "refused")]
)
def test_odd_totals(bytes_read: int, total: int, end: str) -> None:
    """A file that grew, an empty one and one not yet begun divide by nothing."""
    assert _line(1, 0, bytes_read, total, 100.0).endswith(end)


def test_ten_redraws_a_second_at_most() -> None:
    """However often a job calls, the line is drawn ten times a second, and not before a tenth of one."""
    terminal, clock = Terminal(), Clock()
    progress = Progress(None, terminal, clock)
    for _ in range(1024):
        progress.update(1, 0, 1)
        clock.now += 1 / 1024
    assert terminal.getvalue().count("\r") == 9


def test_a_shorter_line_leaves_nothing_of_a_longer_one() -> None:
    """What the former line had more is blank, written together with the new one: no flicker."""
    terminal, clock = Terminal(), Clock()
    progress = Progress(None, terminal, clock)
    clock.now += 1
    progress.update(999, 999, 999)
    clock.now += 1
    progress.update(1, 1, 1)
    assert terminal.screen() == "1 rows, 0 rows/s, 1 B, 1 refused"


def test_clear() -> None:
    """The line can be removed, once, and comes back with the next update."""
    terminal, clock = Terminal(), Clock()
    progress = Progress(None, terminal, clock)
    progress.clear()
    assert terminal.getvalue() == ""
    clock.now += 1
    progress.update(1, 1, 1)
    progress.clear()
    assert terminal.screen() == ""
    assert terminal.getvalue().endswith("\r")
    written = terminal.getvalue()
    progress.clear()
    assert terminal.getvalue() == written
    clock.now += 1
    progress.update(2, 0, 2)
    assert terminal.screen().startswith("2 rows")


def test_nothing_in_a_pipe() -> None:
    """A stream that is no terminal, or none at all, gets nothing."""
    clock, stream = Clock(), io.StringIO()
    for progress in (Progress(None, stream, clock), Progress(None, None, clock)):
        clock.now += 1
        progress.update(1, 1, 1)
        progress.clear()
    assert stream.getvalue() == ""


@pytest.mark.parametrize(("columns", "length"), [(20, 19), (200, None), (0, None)])
def test_it_fits_the_terminal(columns: int, length: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a real terminal the line is cut before the last column; one that does not know its width has 80."""
    leader, follower = pty.openpty()
    monkeypatch.delenv("COLUMNS", raising=False)
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    clock = Clock()
    with open(follower, "w", encoding="utf-8") as stream:
        progress = Progress(None, stream, clock)
        clock.now += 1
        progress.update(123, 4, 567)
        drawn = os.read(leader, 4096).decode()
    os.close(leader)
    line = "123 rows, 123 rows/s, 567 B, 4 refused"
    assert drawn == "\r" + line[:length]


def test_a_terminal_that_goes_away() -> None:
    """A terminal closed under the job ends the line, not the job."""

    class Gone(Terminal):
        """A terminal that takes nothing."""

        def write(self, _text: str) -> int:
            """Fail."""
            raise OSError(5, "Input/output error")

    clock = Clock()
    progress = Progress(None, Gone(), clock)
    for _ in range(2):
        clock.now += 1
        progress.update(1, 1, 1)
    progress.clear()
