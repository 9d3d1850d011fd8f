"""Rows that were not applied, as a table: what a reject file says, and the fields as far as they could be read."""

from __future__ import annotations

import csv
import io
import pickle
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from holdfast.kernel.arrow.columns import export_columns

if TYPE_CHECKING:
    from pathlib import Path

CSV = (
    b"type,client,tx,amount\ndeposit,1,1,1.5\nwithdrawal,1,2,9.25\ndispute,1,7,3\nnope,1,3,1\ndeposit,70000,4,1\n"
    b"deposit,2,x,1\ndeposit,2,5,1e5\ndeposit,2,6,-2\n\xff,1,1,1\ndeposit,1,1,1.5\n"
)
FIELDS = [
    ("withdrawal", 1, 2, Decimal("9.2500")),
    ("dispute", 1, 7, None),
    (None, None, None, None),
    ("deposit", None, None, None),
    ("deposit", 2, None, None),
    ("deposit", 2, 5, None),
    ("deposit", 2, 6, Decimal("-2.0000")),
    (None, None, None, None),
    ("deposit", 1, 1, Decimal("1.5000")),
]


def as_file(source: Any) -> list[list[str]]:
    """Give the rows of the reject file of an input."""
    file = io.BytesIO()
    holdfast.Engine().process(source, rejects=holdfast.RejectWriter(file))
    text = file.getvalue().decode(errors="backslashreplace")
    return list(csv.reader(io.StringIO(text)))


def test_a_table_has_what_a_file_has() -> None:
    """The same columns by name, and those of the row."""
    pytest.importorskip("pyarrow")
    report = holdfast.Engine().process(CSV, rejects="table")
    assert report.rejects is not None
    table = report.rejects.to_arrow()
    table.validate(full=True)
    header, *expected = as_file(CSV)
    assert table.column_names == [*header, "type", "client", "tx", "amount"]
    rows = [list(row.values()) for row in table.to_pylist()]
    assert [[str(value) for value in row[:6]] for row in rows] == expected
    assert [tuple(row[6:]) for row in rows] == FIELDS
    assert len(report.rejects) == report.refused == len(rows)
    assert repr(report.rejects) == "<RejectTable: 9 rows>"
    assert str(table.schema.field("amount").type) == "decimal128(19, 4)"


def test_every_library_takes_it() -> None:
    """As often as it is asked; also empty."""
    pl, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    rejects = holdfast.Engine().process(CSV, rejects="table").rejects
    assert pl.DataFrame(rejects).height == pl.DataFrame(rejects).height == 9
    assert duckdb.sql("select sum(amount) from rejects").fetchall() == [(Decimal("8.7500"),)]
    none = holdfast.Engine().process(b"type,client,tx,amount\n", rejects="table").rejects
    assert pl.DataFrame(none).schema == pl.DataFrame(rejects).schema


def test_rejects_of_tables() -> None:
    """A table that is processed gives its refused rows as a table."""
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"type": ["deposit", None], "client": [-1, 1], "tx": [1, 2], "amount": ["1", "2"]})
    report = holdfast.Engine().process(frame, rejects="table")
    found = pl.DataFrame(report.rejects)
    assert found["row"].to_list() == ["deposit,-1,1,1", ",1,2,2"]
    assert found["line"].to_list() == [1, 2]
    assert found["code"].to_list() == ["INVALID_CLIENT", "UNKNOWN_TYPE"]


def test_a_policy_that_stops_tells_what_was_refused() -> None:
    """The report of the exception has the table, also in another process."""
    pytest.importorskip("pyarrow")
    with pytest.raises(holdfast.PolicyAbort) as caught:
        holdfast.Engine().process(CSV, policy=holdfast.parse_policy("budget:2"), rejects="table")
    report = pickle.loads(pickle.dumps(caught.value)).report  # noqa: S301  # our own
    assert report.rejects.to_arrow()["code"].to_pylist() == [
        "INSUFFICIENT_FUNDS",
        "TX_NOT_FOUND",
        "UNKNOWN_TYPE",
    ]


def test_without_asking_there_is_no_table(tmp_path: Path) -> None:
    """And nothing else can be named; a ledger gives one as well."""
    assert holdfast.Engine().process(CSV).rejects is None
    with pytest.raises(ValueError, match='rejects is a RejectWriter or "table", not'):
        holdfast.Engine().process(CSV, rejects="rejects.csv")  # type: ignore[arg-type]  # a path is none
    with holdfast.Ledger.open(tmp_path / "ledger") as ledger:
        rejects = ledger.process(CSV, stream="day", rejects="table").rejects
        assert rejects is not None
        assert len(rejects) == 9


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (("x", "i", None, bytes(16), None), "no columns of type 'i'"),
        (("x", "L", None, bytes(15), None), "fewer than 2 rows"),
        (("x", "L", b"1", bytes(16), None), "fewer than 2 rows"),
        (("x", "L", None, bytes(16), b""), "text has offsets"),
        (("x", "U", None, bytes(24), None), "text has offsets"),
        (("x", "U", None, bytes(16), b""), "fewer than 2 rows"),
        (("x", "U", None, bytes(8) + b"\2" + bytes(7) + b"\1" + bytes(7), b"ab"), "go back"),
        (("x", "U", None, bytes(16) + b"\3" + bytes(7), b"ab"), "outside of its text"),
    ],
)
def test_columns_that_cannot_be(column: Any, message: str) -> None:
    """The kernel believes no Python code either."""
    with pytest.raises(ValueError, match=message):
        export_columns(2, [column])
