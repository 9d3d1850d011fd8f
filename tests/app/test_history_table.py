"""The table of ``holdfast explain``: as wide as it is in a pipe, as wide as the terminal on a terminal."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import struct
import termios
import threading
from typing import TYPE_CHECKING

import pytest

import holdfast
from holdfast.app.history_table import write_table
from holdfast.engine.history import History
from holdfast.engine.pipeline import read_input
from holdfast.io.compression import open_source

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.engine.history import HistoryRow

HEADER = b"type,client,tx,amount\n"
ROWS = HEADER + (
    b"deposit,1,1,5\nwithdrawal,1,2,9\ndispute,1,77,\ndeposit,1,1,5\nwithdrawal,1,4,0.5\n"
    b"deposit,1,3,1e5\ndeposit,1,4294967295,9223372036854.1234\n"
)


@pytest.fixture(autouse=True)
def _no_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    """The terminal alone says how wide it is."""
    monkeypatch.delenv("COLUMNS", raising=False)


def history(data: bytes = ROWS) -> Iterator[HistoryRow]:
    """Follow client 1 through an input."""
    engine = holdfast.Engine()
    with open_source(data) as stream:
        batches = read_input(stream, engine.new_decoder(keep_source=True))
        yield from History(engine, client=1).rows(stream, batches)


def shown(columns: int | None, data: bytes = ROWS) -> list[str]:
    """Write the table to a terminal of so many columns, or to no terminal; give its lines."""
    if columns is None:
        file = io.BytesIO()
        write_table(file, history(data), 4)
        return file.getvalue().decode().splitlines()
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    written: list[bytes] = []
    reader = threading.Thread(target=_read_all, args=(ours, written))
    reader.start()
    try:
        with open(theirs, "wb") as terminal:
            write_table(terminal, history(data), 4)
    finally:
        reader.join(timeout=60)
        os.close(ours)
    return b"".join(written).decode().replace("\r\n", "\n").splitlines()


def _read_all(descriptor: int, pieces: list[bytes]) -> None:
    """Read a terminal until its other side is closed; it holds a few thousand bytes only."""
    with contextlib.suppress(OSError):
        while piece := os.read(descriptor, 65536):
            pieces.append(piece)


@pytest.mark.parametrize("columns", [20, 30, 40, 79, 80, 100, 120, 132, 160, 200, 300])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    """Whatever the width, nothing wraps."""
    assert max(map(len, shown(columns))) <= columns


@pytest.mark.parametrize("columns", [36, 80, 120, 160, 300, None])
def test_nothing_is_left_out(columns: int | None) -> None:
    """Every layout has every row's line, outcome, balances after it and reason."""
    text = " ".join(" ".join(shown(columns)).split())
    for row in history():
        assert row.outcome.is_applied or row.outcome.name in text
        assert row.after is not None
        assert holdfast.Outcome(row.outcome).explanation.split()[0] in text
        if not row.outcome.is_applied:
            assert row.outcome.explanation.removesuffix(".") in text
    assert "9223372036858.6234" in text
    assert "Row: 'deposit,1,3,1e5'" in text


def test_a_wide_terminal_shows_what_a_pipe_gets() -> None:
    """There is one table where there is room for it."""
    assert shown(300) == shown(None)


def test_reasons_go_below_their_rows() -> None:
    """Where the reason has no room beside the row, it is below it, indented."""
    lines = shown(150)
    below = [line for line in lines if line.startswith("    ") and "." in line and "  " not in line.strip()]
    assert "    No applied transaction has this tx id." in below
    assert "available before" in lines[1]


def test_balances_before_are_left_out_next() -> None:
    """They are mostly those after the row before; refused rows say so below themselves, with the reason."""
    lines = shown(100)
    assert lines[1].split() == ["line", "type", "client", "tx", "amount", "available", "held", "locked"]
    assert "    TX_NOT_FOUND: No applied transaction has this tx id." in lines


def test_a_narrow_terminal_gets_lists() -> None:
    """Each row is a list of its values, with their names."""
    lines = shown(40)
    assert "line 2" in lines
    assert "    outcome: APPLIED" in lines
    assert "    available after: 5.0000" in lines


def test_columns_of_the_environment_go_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """COLUMNS is how a person says how wide output may be."""
    monkeypatch.setenv("COLUMNS", "60")
    assert max(map(len, shown(300))) <= 60
    assert shown(None) == shown(None)
