"""Tables as inputs: the same rows as CSV give the same outcomes, whatever library and types they come in."""

from __future__ import annotations

import io
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import holdfast

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

CSV = (
    b"type,client,tx,amount\ndeposit,1,1,1.5\nWITHDRAWAL,1,2,0.5\ndispute,1,1,\nnope,1,3,1.0\ndeposit,70000,4,1.0\n"
    b"deposit,2,5,1.00001\ndeposit,2,6,\ndeposit,,7,1.0\ndeposit,2,,1.0\ndeposit,2,8,2.0\n"
)
DATA: dict[str, list[Any]] = {
    "type": ["deposit", "WITHDRAWAL", "dispute", "nope", *["deposit"] * 6],
    "client": [1, 1, 1, 1, 70000, 2, 2, None, 2, 2],
    "tx": [1, 2, 1, 3, 4, 5, 6, 7, None, 8],
    "amount": ["1.5", "0.5", None, "1.0", "1.0", "1.00001", None, "1.0", "1.0", "2.0"],
}
NAMES = ["deposit", "withdrawal", "dispute", "resolve", "chargeback", "WITHDRAWAL", "nope"]


def with_decimals(data: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Make numbers of the amounts."""
    return {**data, "amount": [None if text is None else Decimal(text) for text in data["amount"]]}


def polars_text() -> Any:
    """Text, as string views."""
    return pytest.importorskip("polars").DataFrame(DATA)


def polars_enum() -> Any:
    """An enumeration and decimals, in two chunks."""
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame(with_decimals(DATA)).with_columns(
        pl.col("type").cast(pl.Enum(NAMES)), pl.col("client").cast(pl.UInt32)
    )
    return pl.concat([frame[:4], frame[4:]], rechunk=False)


def polars_categories() -> Any:
    """Categories."""
    pl = pytest.importorskip("polars")
    return pl.DataFrame(DATA).with_columns(pl.col("type").cast(pl.Categorical))


def pandas_frame() -> Any:
    """A frame of pandas, with nullable integers."""
    pd = pytest.importorskip("pandas", minversion="3")
    pytest.importorskip("pyarrow")
    return pd.DataFrame(DATA).astype({"client": "Int64", "tx": "UInt64"})


def pandas_categories() -> Any:
    """Categories, and Python's decimals."""
    pd = pytest.importorskip("pandas", minversion="3")
    pytest.importorskip("pyarrow")
    return pd.DataFrame(with_decimals(DATA)).astype({"type": "category", "client": "Int32", "tx": "Int64"})


def arrow_table() -> Any:
    """A table of pyarrow."""
    return pytest.importorskip("pyarrow").table(DATA)


def arrow_reader() -> Any:
    """A reader, which can be read once."""
    return pytest.importorskip("pyarrow").table(with_decimals(DATA)).to_reader(max_chunksize=3)


def arrow_batch() -> Any:
    """One batch, a slice of a longer one."""
    pa = pytest.importorskip("pyarrow")
    more = {name: [column[0], *column, column[0]] for name, column in DATA.items()}
    return pa.RecordBatch.from_pydict(more)[1:-1]


def duckdb_relation() -> Any:
    """A relation of DuckDB."""
    duckdb = pytest.importorskip("duckdb")
    given = arrow_table()
    assert given is not None
    return duckdb.sql(
        "select type, client::bigint as client, tx, amount::decimal(12, 6) as amount from given"
    )


def nanoarrow_stream() -> Any:
    """A stream of nanoarrow."""
    return pytest.importorskip("nanoarrow").ArrayStream(arrow_table())


def nanoarrow_array() -> Any:
    """An array of nanoarrow, which has no stream."""
    na = pytest.importorskip("nanoarrow")
    return na.c_array(arrow_batch())


MAKERS = [
    polars_text, polars_enum, polars_categories, pandas_frame, pandas_categories, arrow_table, arrow_reader, arrow_batch,
    duckdb_relation, nanoarrow_stream, nanoarrow_array,
]  # fmt: skip


def rejects_of(source: Any, **options: Any) -> tuple[list[list[str]], bytes]:
    """Process an input; give line, code, reason and row of what was not applied, and the accounts."""
    import csv  # noqa: PLC0415  # here alone

    engine, file = holdfast.Engine(), io.BytesIO()
    engine.process(source, rejects=holdfast.RejectWriter(file), **options)
    rows = list(csv.reader(io.StringIO(file.getvalue().decode())))[1:]
    return [[row[3], *row[5:]] for row in rows], engine.accounts().to_csv()


@pytest.mark.parametrize("make", MAKERS)
def test_every_library_gives_the_same_outcomes(make: Callable[[], Any]) -> None:
    """Each row comes to the outcome that it has in CSV."""
    found, accounts = rejects_of(make())
    expected, expected_accounts = rejects_of(CSV)
    assert [row[0] for row in found] == [row[0] for row in expected]
    assert accounts == expected_accounts


def test_refused_rows_are_shown_as_they_came() -> None:
    """Of text, the very text; lines are numbers of rows."""
    found, _ = rejects_of(arrow_table())
    expected, _ = rejects_of(CSV)
    assert found == expected


def test_values_with_commas_are_quoted() -> None:
    """What could not be read is a row of CSV, which can be read again."""
    pa = pytest.importorskip("pyarrow")
    odd = pa.table({"type": ['de"po,sit'], "client": ["1"], "tx": ["x\n"], "amount": ["1"]})
    (found,), _ = rejects_of(odd)
    assert found == ["UNKNOWN_TYPE", '"de""po,sit",1,"x\n",1']


def test_columns_by_name() -> None:
    """In any order, in any case, among others, or named by the caller."""
    pl = pytest.importorskip("polars")
    frame = (
        polars_text()
        .rename({"type": "TYPE", "client": "Client ID", "amount": "Betrag"})
        .with_columns(client=pl.lit("x"), note=1.5)
    )
    expected = rejects_of(CSV)
    mapping = {"client": "Client ID", "amount": "Betrag"}
    assert rejects_of(frame.select(reversed(frame.columns)), columns=mapping) == expected


def test_units() -> None:
    """Integers are units if the caller says so, of any width."""
    pl = pytest.importorskip("polars")
    for dtype in (pl.Int64, pl.UInt64, pl.Int32, pl.UInt16):
        engine = holdfast.Engine()
        frame = pl.DataFrame(
            {"type": ["deposit", "dispute"], "client": [1, 1], "tx": [1, 1], "amount": [15_000, None]}
        )
        engine.process(frame.cast({"amount": dtype}), amounts="units")
        assert engine.account(1).held_units == 15_000


def test_amounts_may_be_left_out() -> None:
    """Where no row needs one, or all are null."""
    pl = pytest.importorskip("polars")
    frame = pl.DataFrame({"type": ["deposit", "dispute"], "client": [1, 1], "tx": [1, 1]})
    for each in (frame, frame.with_columns(amount=None)):
        report = holdfast.Engine().process(each)
        assert [outcome.name for outcome in report.refused_by_outcome] == ["MISSING_AMOUNT", "TX_NOT_FOUND"]


WRONG: list[tuple[dict[str, Any], dict[str, Any], type[Exception], str]] = [
    (
        {"amount": [1.5]},
        {},
        TypeError,
        r"column 'amount' is float64; taken are decimal32, .*; floats are not exact: read .* as text",
    ),
    (
        {"client": [1.0]},
        {},
        TypeError,
        r"column 'client' is float64; taken are any integer type, .*; floats lose digits",
    ),
    ({"amount": [15000]}, {}, TypeError, r"column 'amount' is int64; .* amounts=\"units\" says"),
    ({"amount": ["1"]}, {"amounts": "units"}, TypeError, r"column 'amount' is string; .*for integers"),
    ({"amount": [Decimal(1)]}, {"amounts": "units"}, TypeError, r"is decimal128\(1, 0\)"),
    ({"type": [1]}, {}, TypeError, r"column 'type' is int64; taken are string, .* uint8"),
    ({"type": [b"deposit"]}, {}, TypeError, r"column 'type' is binary"),
    ({"tx": [True]}, {}, TypeError, r"column 'tx' is bool"),
    ({"tx": [[1]]}, {}, TypeError, r"column 'tx' is list"),
    ({"tx": [None]}, {}, TypeError, r"column 'tx' is null"),
    ({"x": [1.5]}, {"columns": {"amount": "x"}}, TypeError, r"column 'x' \(amount\) is float64"),
    (
        {"Type": ["deposit"]},
        {},
        holdfast.InputError,
        r"has the column 'type' more than once: 'type', .*'Type'",
    ),
    (
        {},
        {"columns": {"tx": "nr"}},
        holdfast.InputError,
        r"has no column 'nr': its columns are 'type', 'client', 'tx', 'amount'",
    ),
    ({}, {"columns": {"tx": "client"}}, holdfast.InputError, r"for two purposes"),
    ({}, {"columns": {"Tx": "tx"}}, ValueError, r"columns= says which column"),
    ({}, {"amounts": "cents"}, ValueError, r"amounts is one of 'decimal', 'units', not 'cents'"),
]


@pytest.mark.parametrize(("columns", "options", "error", "message"), WRONG)
def test_what_is_not_taken(
    columns: dict[str, Any], options: dict[str, Any], error: type[Exception], message: str
) -> None:
    """An error names the column, its type, what is taken, and what to do; nothing is decided."""
    pa = pytest.importorskip("pyarrow")
    good: dict[str, Any] = {"type": ["deposit"], "client": [1], "tx": [1], "amount": ["1"]}
    engine = holdfast.Engine()
    with pytest.raises(error, match=message):
        engine.process(pa.table({**good, **columns}), **options)
    assert engine.decided == 0


def test_a_column_is_missing() -> None:
    """A table without one of the three is no input."""
    pa = pytest.importorskip("pyarrow")
    with pytest.raises(
        holdfast.InputError,
        match=r"<Table>: the table has no column 'tx': .*; columns=\{'tx': NAME\} takes another",
    ):
        holdfast.Engine().process(pa.table({"type": ["deposit"], "client": [1]}))
    with pytest.raises(TypeError, match="single column"):
        holdfast.Engine().process(pa.chunked_array([[1]]))


def test_options_for_tables_alone() -> None:
    """A file says for itself what its columns are."""
    with pytest.raises(
        TypeError, match=r"columns= is for tables, and bytes is read as CSV; dialect=holdfast.Dialect\("
    ):
        holdfast.Engine().process(CSV, columns={"tx": "nr"})
    with pytest.raises(
        TypeError, match="amounts= is for tables, and bytes is read as CSV; its amounts have a decimal point"
    ):
        holdfast.Engine().process(CSV, amounts="units")


def test_what_the_errors_suggest_reads_amounts_exactly(tmp_path: Path) -> None:
    """Read as text, as the message about floats says, amounts are what the file has."""
    pl, pd, duckdb = (pytest.importorskip(name) for name in ("polars", "pandas", "duckdb"))
    path = tmp_path / "day.csv"
    path.write_text("type,client,tx,amount\ndeposit,1,1,900719925474099.3001\n", encoding="utf-8")
    frames = [
        pl.read_csv(path, schema_overrides={"amount": pl.String}),
        pd.read_csv(path, dtype={"amount": "str"}),
        duckdb.read_csv(str(path), dtype={"amount": "VARCHAR"}),
    ]
    for frame in frames:
        engine = holdfast.Engine()
        engine.process(frame)
        assert str(engine.account(1).available) == "900719925474099.3001"


def test_a_named_stream_goes_on(tmp_path: Path) -> None:
    """Rows of a table that a ledger has decided are skipped, as those of a file are: the two have one digest."""
    pa = pytest.importorskip("pyarrow")
    table = arrow_table()
    with holdfast.Ledger.open(tmp_path / "ledger") as ledger:
        first = ledger.process(table.slice(0, 6), stream="day")
        again = ledger.process(CSV, stream="day")
        assert (first.rows, again.skipped, again.rows) == (6, 6, 4)
        assert ledger.process(table, stream="day").skipped == 10
        other = pa.table({**DATA, "client": [2, *DATA["client"][1:]]})
        with pytest.raises(holdfast.StreamChangedError):
            ledger.process(other, stream="day")
        unreadable = pa.table({**DATA, "type": [*DATA["type"][:3], "nopf", *DATA["type"][4:]]})
        with pytest.raises(holdfast.StreamChangedError):
            ledger.process(unreadable, stream="day")
        accounts = ledger.accounts().to_csv()
    with holdfast.Ledger.open(tmp_path / "ledger") as ledger:
        assert ledger.accounts().to_csv() == accounts == rejects_of(CSV)[1]
        ledger.verify()
