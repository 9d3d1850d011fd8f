"""The list of rows that were not applied: what is known of one, and how it is written."""

from __future__ import annotations

import csv
import io
import os
from array import array

import pytest

from holdfast import Action, Engine, ErrorPolicy, Outcome, Rejection, RejectWriter, Severity
from holdfast.io.rejects import find_rejection
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore

REJECTION = Rejection("a.csv", 3, 40, Outcome.TX_NOT_FOUND, b"dispute,1,7")


def test_a_rejection_says_it_all_in_one_line() -> None:
    """Input, line, byte, code, reason and the row; control characters and bytes that are no text are escaped."""
    assert str(REJECTION) == (
        "a.csv, line 3, byte 40: TX_NOT_FOUND: No applied transaction has this tx id. Row: 'dispute,1,7'"
    )
    evil = str(REJECTION._replace(raw=b"a\r\n\x1b[2J\xff\0"))
    assert evil.isprintable()
    assert evil.endswith(r"Row: 'a\r\n\x1b[2J\\xff\x00'")


def test_a_detail_completes_the_reason() -> None:
    """The cause that applies takes the place of the causes that there are; it is in the text and in the file."""
    rejection = REJECTION._replace(outcome=Outcome.MALFORMED_ROW, detail="byte 3 is NUL")
    assert rejection.reason == "The row is malformed: byte 3 is NUL."
    assert f"MALFORMED_ROW: {rejection.reason} Row: " in str(rejection)
    file = io.BytesIO()
    RejectWriter(file).write(rejection)
    assert f',"{rejection.reason}",'.encode() in file.getvalue()


def test_callbacks_see_the_detail() -> None:
    """A policy's callback is told the cause with the row."""
    seen: list[str] = []

    class Look(ErrorPolicy):
        def action(self, outcome: Outcome, severity: Severity) -> Action:  # noqa: ARG002  # the same for all
            return Action.CALLBACK

        def decide(self, rejection: Rejection) -> Action:
            seen.append(rejection.detail)
            return Action.SKIP

    data = b"type,client,tx,amount\ndeposit,70000,1,1\ndeposit,1\ndeposit,1,2,1\ndispute,1,9\n"
    Engine().process(data, policy=Look())
    assert seen == [
        "the client 70000 is above 65535; --client-bits 32 takes it",
        "it ends before its tx (2 fields, the header has 4)",
        "",
    ]


@pytest.mark.parametrize(
    ("columns", "detail"),
    [
        ((b"\x01", [70_000], [1], [1]), "the client 70000 is above 65535; --client-bits 32 takes it"),
        ((b"\x01", [1], [2**40], [1]), "the tx 1099511627776 is above 4294967295; --tx-bits 64 takes it"),
        ((b"\x01", [-5], [1], [1]), "it is below 0 or above 65535"),
        ((b"\x09", [1], [1], [1]), "the type is number 9, and these are 1 to 5"),
        ((b"\x01", [1], [1], [0]), ""),
    ],
)
def test_columns_have_details(columns: tuple[bytes, list[int], list[int], list[int]], detail: str) -> None:
    """Of rows that were never text, what their numbers say."""
    types, *others = columns
    batch = Batch.from_columns(types, *(array("q", each) for each in others))
    LedgerCore().decide(batch)
    rejection = find_rejection(batch, 0, Outcome(batch.outcomes[0]), "t", number=1, decimals=4)
    assert rejection.detail == detail


def test_text_that_was_not_kept_has_no_detail() -> None:
    """Nothing is made up about a row whose text is gone."""
    decoder = CsvDecoder()
    decoder.feed(b"type,client,tx,amount\nx,y,z\n")
    batch = decoder.finish()
    assert batch is not None
    assert find_rejection(batch, 0, Outcome.UNKNOWN_TYPE, "t", number=1, decimals=4).detail == ""


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


def test_nulls_of_columns_are_named() -> None:
    """Rows that were never text say which of their fields is null."""
    pa = pytest.importorskip("pyarrow")
    columns = [
        pa.array([None, 9, 1, 1, 1], pa.uint8()),
        pa.array([1, 1, None, 1, -1], pa.int64()),
        pa.array([1, 1, 1, None, 1], pa.int64()),
        pa.array([5, 5, 5, 5, 5], pa.int64()),
    ]
    batch = Batch.from_columns(*columns)
    Engine().decide(batch, 0, batch.rows, None, None, 0)
    found = [
        find_rejection(batch, row, Outcome(batch.outcome(row)), "x", number=1, decimals=4).detail
        for row in range(batch.rows)
    ]
    assert found[1:4] == [
        "the type is number 9, and these are 1 to 5",
        "the client is null",
        "the tx is null",
    ]
    assert found[0] in {"the type is null", "the type is number 0, and these are 1 to 5"}
    assert found[4] == "it is below 0 or above 65535"
