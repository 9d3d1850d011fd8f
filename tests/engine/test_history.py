"""Histories: every row that touched a client or a transaction, or tried to, and the balances around it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest

from holdfast import Engine, InputError, Outcome
from holdfast.app.history_table import write_csv, write_table
from holdfast.engine import pipeline
from holdfast.engine.history import Balances, History, HistoryRow
from holdfast.engine.pipeline import read_input
from holdfast.io.compression import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

HEADER = b"type,client,tx,amount\n"
STREAM = (
    HEADER
    + b"""\
deposit,1,1,5
deposit,2,2,3
dispute,2,1
withdrawal,1,3,9
dispute,1,1
nonsense
deposit,1,4,1e5
deposit,x,1,1
resolve,2,1
deposit,2,1,4
chargeback,1,1
deposit,1,5,1
deposit,1,x,1
deposit,0,6,2
"""
)


def history(
    *data: bytes, client: int | None = None, tx: int | None = None, batch_rows: int = 8192
) -> list[HistoryRow]:
    """Follow a client or a tx through inputs."""
    engine = Engine(batch_rows=batch_rows)
    follower = History(engine, client=client, tx=tx)
    rows: list[HistoryRow] = []
    for each in data:
        with open_source(each) as stream:
            rows += follower.rows(stream, read_input(stream, engine.new_decoder(keep_source=True)))
    return rows


def outline(rows: list[HistoryRow]) -> list[tuple[object, ...]]:
    """Reduce rows to line, outcome, and available, held and locked before and after."""
    return [
        (row.line, row.outcome, row.before and tuple(row.before), row.after and tuple(row.after))
        for row in rows
    ]


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 8192])
def test_the_history_of_a_client(batch_rows: int) -> None:
    """A history has all rows of the client, applied or not, and the rows of other clients that name its transactions."""
    after_deposit, disputed, charged_back = (5_0000, 0, False), (0, 5_0000, False), (0, 0, True)
    assert outline(history(STREAM, client=1, batch_rows=batch_rows)) == [
        (2, Outcome.APPLIED, None, after_deposit),
        (4, Outcome.CLIENT_MISMATCH, after_deposit, after_deposit),
        (5, Outcome.INSUFFICIENT_FUNDS, after_deposit, after_deposit),
        (6, Outcome.APPLIED, after_deposit, disputed),
        (8, Outcome.INVALID_AMOUNT, disputed, disputed),
        (10, Outcome.CLIENT_MISMATCH, disputed, disputed),
        (12, Outcome.APPLIED, disputed, charged_back),
        (13, Outcome.ACCOUNT_LOCKED, charged_back, charged_back),
        (14, Outcome.INVALID_TX, charged_back, charged_back),
    ]


@pytest.mark.parametrize("batch_rows", [1, 2, 3, 8192])
def test_the_history_of_a_transaction(batch_rows: int) -> None:
    """A transaction's history has all rows that name it, each with the balances of the row's own client."""
    assert outline(history(STREAM, tx=1, batch_rows=batch_rows)) == [
        (2, Outcome.APPLIED, None, (5_0000, 0, False)),
        (4, Outcome.CLIENT_MISMATCH, (3_0000, 0, False), (3_0000, 0, False)),
        (6, Outcome.APPLIED, (5_0000, 0, False), (0, 5_0000, False)),
        (10, Outcome.CLIENT_MISMATCH, (3_0000, 0, False), (3_0000, 0, False)),
        (11, Outcome.TX_ID_REUSED, (3_0000, 0, False), (3_0000, 0, False)),
        (12, Outcome.APPLIED, (0, 5_0000, False), (0, 0, True)),
    ]


def test_a_row_holds_what_stood_there() -> None:
    """A history row has name, line, columns and the raw row, byte for byte."""
    rows = history(HEADER + b'"deposit" , 1,2, "5.5"\r\n', client=1)
    assert rows == [
        HistoryRow(
            input="<bytes>", line=2, type="deposit", client=1, tx=2, amount=5_5000, outcome=Outcome.APPLIED,
            before=None, after=Balances(5_5000, 0, locked=False), raw=b'"deposit" , 1,2, "5.5"',
            detail="",
        )
    ]  # fmt: skip


def test_a_malformed_row_says_what_is_wrong() -> None:
    """Which of its causes the outcome has, in the form of the reject file."""
    (row,) = history(HEADER + b"deposit,1,2,1.23456\n", client=1)
    assert row.detail == "1.23456 has 5 decimals, 4 are kept; --decimals 5 keeps them"


def test_malformed_rows_are_nobodys() -> None:
    """A row with an unreadable client is not a row of client 0, and one with an unreadable tx is not one of tx 0."""
    data = HEADER + b"nonsense\ndeposit,x,0,1\ndeposit,3,x,1\ndeposit,0,6,2\n,0,0,0\n"
    assert [row.line for row in history(data, client=0)] == [5]
    assert [row.line for row in history(data, tx=0)] == []
    assert [row.line for row in history(data, client=3)] == [4]


def test_nobody_is_an_empty_history() -> None:
    """A client without rows has no history."""
    assert history(STREAM, client=77) == []


def test_a_history_goes_through_all_inputs() -> None:
    """Lines start again with each input, balances do not."""
    rows = history(STREAM, HEADER + b"\nwithdrawal,2,9,1\n", client=2)
    assert (rows[-1].line, rows[-1].outcome) == (3, Outcome.APPLIED)
    assert rows[-1].before == Balances(3_0000, 0, locked=False)
    assert rows[-1].after == Balances(2_0000, 0, locked=False)


def test_a_history_is_found_across_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading ahead on other threads changes nothing."""
    expected = history(STREAM, client=1)
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 40)
    assert history(STREAM, client=1) == expected
    assert history(STREAM, client=1, batch_rows=2) == expected


def test_all_other_rows_are_applied_too() -> None:
    """Following one client leaves the engine where processing would have left it."""
    followed, processed = Engine(), Engine()
    with open_source(STREAM) as stream:
        follower = History(followed, client=2)
        assert list(follower.rows(stream, read_input(stream, followed.new_decoder(keep_source=True))))
    processed.process(STREAM)
    assert followed.accounts().to_csv() == processed.accounts().to_csv()
    assert followed.decided == processed.decided


@pytest.mark.parametrize("subject", [{}, {"client": 1, "tx": 1}])
def test_a_history_has_one_subject(subject: dict[str, int]) -> None:
    """Giving neither a client nor a tx is an error, and so is giving both."""
    with pytest.raises(ValueError, match="one of them"):
        History(Engine(), **subject)


def test_an_unusable_header_names_the_input() -> None:
    """An input without a usable header is an input error, as it is for processing."""
    with pytest.raises(InputError, match="<bytes>: line 1: the header is 'nonsense'"):
        history(b"nonsense\n", client=1)


def _written(write: Callable[[BinaryIO, Iterator[HistoryRow], int], int], rows: list[HistoryRow]) -> str:
    file = io.BytesIO()
    assert write(file, iter(rows), 4) == len(rows)
    return file.getvalue().decode()


def test_the_table_is_aligned() -> None:
    """The table has headings, a rule and the rows in columns, numbers to the right, the reason last."""
    name, headings, rule, *lines = _written(write_table, history(STREAM, client=1)).splitlines()
    assert name == "<bytes>"
    edges = [position for position, mark in enumerate(rule) if mark == " "]
    assert headings.split()[:6] == ["line", "type", "client", "tx", "amount", "outcome"]
    assert all(line.ljust(len(rule))[edge] == " " for line in [headings, *lines] for edge in edges)
    assert [line.split()[0] for line in lines] == ["2", "4", "5", "6", "8", "10", "12", "13", "14"]
    assert lines[1].endswith(Outcome.CLIENT_MISMATCH.explanation)
    assert lines[0].split() == [
        "2", "deposit", "1", "1", "5.0000", "APPLIED", "-", "5.0000", "-", "0.0000", "false",
    ]  # fmt: skip
    assert " ? " in lines[-1]


def test_the_table_begins_anew_with_each_input() -> None:
    """Each input's rows follow its name and headings; control characters in names are escaped."""
    rows = [
        row._replace(input=name) for name in ("a.csv", "b\x1b[2J\n.csv") for row in history(STREAM, client=0)
    ]
    lines = _written(write_table, rows).splitlines()
    assert lines[0] == "a.csv"
    assert lines[4:6] == ["", "b\\x1b[2J\\n.csv"]
    assert lines[1:3] == lines[6:8]


def test_csv_keeps_the_raw_row() -> None:
    """As CSV, the row itself is the last column; quotes are doubled, bytes that are not text are escaped."""
    data = HEADER + b'deposit,1,1,"5"\ndeposit,1,2,\xff\n'
    header, *rows = _written(write_csv, history(data, client=1)).splitlines()
    assert header.startswith("input,line,type,client,tx,amount,outcome,available_before,available_after,")
    assert rows[0].endswith(',"deposit,1,1,""5"""')
    assert len(rows) == 1
