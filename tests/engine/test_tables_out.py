"""Accounts as tables of every library that reads Arrow: the same numbers as the CSV, and exact types."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from holdfast.streaming import ShardOverlapError, Shards

if TYPE_CHECKING:
    from collections.abc import Callable

CSV = b"type,client,tx,amount\ndeposit,9,1,1.5\ndeposit,2,2,3\ndispute,9,1,\nchargeback,9,1,\ndeposit,5,3,900719925474099.3001\n"
ROWS = [
    (2, Decimal(3), Decimal(0), Decimal(3), False),
    (5, Decimal("900719925474099.3001"), Decimal(0), Decimal("900719925474099.3001"), False),
    (9, Decimal(0), Decimal(0), Decimal(0), True),
]


def make_accounts() -> holdfast.Accounts:
    """Give three accounts: one locked, one with more than a float holds."""
    engine = holdfast.Engine()
    engine.process(CSV)
    return engine.accounts()


def by_polars(accounts: Any) -> list[tuple[Any, ...]]:
    """Read with Polars."""
    polars = pytest.importorskip("polars")
    frame = polars.DataFrame(accounts)
    assert frame.schema["total"] == polars.Decimal(19, 4)
    assert frame.schema["client"] == polars.UInt64
    return list(frame.rows())


def by_pyarrow(accounts: Any) -> list[tuple[Any, ...]]:
    """Read with pyarrow."""
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(accounts)
    assert str(table.schema.field("total").type) == "decimal128(19, 4)"
    table.validate(full=True)
    return [tuple(row.values()) for row in table.to_pylist()]


def by_pandas(accounts: Any) -> list[tuple[Any, ...]]:
    """Read with pandas."""
    pandas = pytest.importorskip("pandas", minversion="3")
    pytest.importorskip("pyarrow")
    return list(pandas.DataFrame.from_arrow(accounts).itertuples(index=False, name=None))


def by_duckdb(accounts: Any) -> list[tuple[Any, ...]]:
    """Read with DuckDB, which asks for several streams in one query."""
    duckdb = pytest.importorskip("duckdb")
    assert accounts is not None
    return list(duckdb.sql("from accounts").fetchall())


def by_nanoarrow(accounts: Any) -> list[tuple[Any, ...]]:
    """Read with nanoarrow."""
    nanoarrow = pytest.importorskip("nanoarrow")
    rows = nanoarrow.Array(accounts).to_pylist()
    return [tuple(row.values()) for row in rows]


READERS = [by_polars, by_pyarrow, by_pandas, by_duckdb, by_nanoarrow]


@pytest.mark.parametrize("read", READERS)
def test_every_library_reads_accounts(read: Callable[[Any], list[tuple[Any, ...]]]) -> None:
    """In order of clients, exactly, and as often as they are asked."""
    accounts = make_accounts()
    assert read(accounts) == ROWS
    assert read(accounts) == ROWS


@pytest.mark.parametrize("read", READERS)
def test_every_library_reads_merged_accounts(read: Callable[[Any], list[tuple[Any, ...]]]) -> None:
    """Those of shards as well."""
    shards = Shards(3)
    for tx, (client, amount) in enumerate({9: "1.5", 2: "3", 5: "900719925474099.3001"}.items(), 1):
        shards.apply(holdfast.Deposit(client=client, tx=tx, amount=amount))
    shards.apply(holdfast.Dispute(client=9, tx=1))
    shards.apply(holdfast.Chargeback(client=9, tx=1))
    assert read(shards.accounts()) == ROWS


def test_a_client_of_two_shards_is_an_error() -> None:
    """No half of an account goes out; a repr says less, and fails nobody."""
    shards = Shards(2, by="source")
    for engine in shards.engines:
        engine.apply(holdfast.Deposit(client=7, tx=1, amount=1))
    accounts = shards.accounts()
    with pytest.raises(ShardOverlapError, match="client 7"):
        accounts.__arrow_c_stream__()
    assert repr(accounts) == "<Accounts: 2 (0 locked), after 2 rows>"


def test_conveniences() -> None:
    """Frames by name, whose amounts are exact."""
    accounts = make_accounts()
    pytest.importorskip("pyarrow")
    assert accounts.to_arrow().num_rows == 3
    pytest.importorskip("polars")
    assert accounts.to_polars().rows() == ROWS
    pytest.importorskip("pandas", minversion="3")
    assert list(accounts.to_pandas().itertuples(index=False, name=None)) == ROWS
    assert str(accounts.to_pandas().dtypes["total"]) == "decimal128(19, 4)[pyarrow]"


@pytest.mark.parametrize(
    ("method", "module"), [("to_polars", "polars"), ("to_pandas", "pandas"), ("to_arrow", "pyarrow")]
)
def test_what_is_not_installed_is_named(method: str, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ImportError, match=rf"{method}\(\) needs {module}.*: pip install {module}"):
        getattr(make_accounts(), method)()


def test_accounts_are_no_sequence() -> None:
    """Polars would take a sequence apart instead of asking for its table."""
    assert not isinstance(make_accounts(), Sequence)


def test_accounts_show_the_first_of_them() -> None:
    """At a prompt one sees a table."""
    assert (
        repr(make_accounts())
        == """\
<Accounts: 3 (1 locked), after 5 rows>
  client             available    held                 total  locked
       2                3.0000  0.0000                3.0000   false
       5  900719925474099.3001  0.0000  900719925474099.3001   false
       9                0.0000  0.0000                0.0000    true"""
    )
    engine = holdfast.Engine()
    for number in range(6):
        engine.apply(holdfast.Deposit(client=number, tx=number, amount=1))
    assert repr(engine.accounts()).endswith("\n       …")
    assert len(repr(engine.accounts()).splitlines()) == 8
