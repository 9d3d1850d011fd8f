"""The list of rows that were not applied: what is known of one, and how it is written."""

from __future__ import annotations

import csv
import io
import os

import pytest

from holdfast import Engine, Outcome, Rejection, RejectWriter

REJECTION = Rejection("a.csv", 3, 40, Outcome.TX_NOT_FOUND, b"dispute,1,7")


def test_a_rejection_says_it_all_in_one_line() -> None:
    """Input, line, byte, code, reason and the row; control characters and bytes that are no text are escaped."""
    assert str(REJECTION) == (
        "a.csv, line 3, byte 40: TX_NOT_FOUND: No applied transaction has this tx id. Row: 'dispute,1,7'"
    )
    evil = str(REJECTION._replace(raw=b"a\r\n\x1b[2J\xff\0"))
    assert evil.isprintable()
    assert evil.endswith(r"Row: 'a\r\n\x1b[2J\\xff\x00'")


def test_the_header_is_written_at_once() -> None:
    """Nothing to list is a header alone."""
    file = io.BytesIO()
    RejectWriter(file)
    assert file.getvalue() == b"input,line,offset,code,reason,row\n"


def test_a_rejection_as_csv() -> None:
    """One row, to the byte."""
    file = io.BytesIO()
    RejectWriter(file).write(REJECTION)
    assert file.getvalue().splitlines()[1:] == [
        b'"a.csv",3,40,TX_NOT_FOUND,"No applied transaction has this tx id.","dispute,1,7"'
    ]


@pytest.mark.parametrize(
    "raw", [b"", b'"', b'a,"b""c"', b"\xff\xfe\x80", b"a\rb", b"\0", "é".encode(), b" x ", bytes(range(256))]
)
@pytest.mark.parametrize("name", ["t.csv", 'a "b", c', "two\nlines", os.fsdecode(b"\xff.csv"), "é"])
def test_the_csv_module_reads_it_back(raw: bytes, name: str) -> None:
    """Whatever bytes a row and a name have, all of them are there."""
    file = io.BytesIO()
    writer = RejectWriter(file)
    for line in range(2):
        writer.write(REJECTION._replace(input=name, line=line, raw=raw))
    text = file.getvalue().decode(errors="surrogateescape")
    _, *rows = csv.reader(io.StringIO(text, newline=""))
    assert [(row[0], row[1], row[2], row[3], row[4]) for row in rows] == [
        (name, str(line), "40", "TX_NOT_FOUND", Outcome.TX_NOT_FOUND.explanation) for line in range(2)
    ]
    assert [row[5].encode(errors="surrogateescape") for row in rows] == [raw, raw]


def test_the_engine_lists_what_it_does_not_apply() -> None:
    """Every row not applied, in order, of all inputs; rows that are applied are not listed."""
    file = io.BytesIO()
    header = b"type,client,tx,amount\n"
    report = Engine(batch_rows=2).process(
        header + b"x\ndeposit,1,1,1\n\ndeposit,1,1,1\r\n",
        header + b"dispute,1,9\n",
        rejects=RejectWriter(file),
    )
    _, *rows = csv.reader(io.StringIO(file.getvalue().decode(), newline=""))
    assert [(row[1], row[2], row[3], row[5]) for row in rows] == [
        ("2", "22", "MALFORMED_ROW", "x"),
        ("5", "39", "DUPLICATE_TX", "deposit,1,1,1"),
        ("2", "22", "TX_NOT_FOUND", "dispute,1,9"),
    ]
    assert report.refused == 3


def test_what_the_file_raises_ends_the_run() -> None:
    """A full disk under the list is an error, not a silent gap."""

    class Full(io.BytesIO):
        def write(self, data: object) -> int:
            if self.tell():
                raise OSError(28, "No space left on device")
            return super().write(data)  # type: ignore[arg-type]  # bytes, from the writer

    with pytest.raises(OSError, match="No space"):
        Engine().process(b"type,client,tx\nx\n", rejects=RejectWriter(Full()))
