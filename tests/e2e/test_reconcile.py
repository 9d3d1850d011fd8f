"""``holdfast reconcile``: every difference between accounts and a statement, and an exit code that says whether there is one."""

from __future__ import annotations

import csv
import gzip
import io
import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from e2e.command import run
from holdfast import Ledger
from holdfast.engine.reconciliation import Difference, reconcile
from holdfast.io.statements import Statement
from storage.ledgers import csv_of, draw_rows

if TYPE_CHECKING:
    from pathlib import Path

OURS = "client,available,held,total,locked\n1,1.5,0,1.5,false\n2,2,0,2,true\n9,0,0,0,false\n"


def write(directory: Path, name: str, text: str | bytes) -> str:
    """Write a file and give its path."""
    path = directory / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return str(path)


def test_accounts_that_agree(tmp_path: Path) -> None:
    """Whatever the order of columns and lines, the spelling of amounts and flags, and what else a statement has."""
    ours = write(tmp_path, "a.csv", OURS)
    theirs = '\ufeffNote, Total ,CLIENT,locked\r\nx,2.00000,2,YES\r\n\r\n"a,\nb",0,9,0\r\n,+1.50,1,no\r\n'
    for name, data in (("b.csv", theirs.encode()), ("b.csv.gz", gzip.compress(theirs.encode()))):
        done = run("reconcile", ours, write(tmp_path, name, data))
        assert (done.code, done.output) == (0, b"")
        assert done.errors == "holdfast: all 3 clients agree in total, locked\n"
    empty = write(tmp_path, "empty.csv", "client,total\n")
    both = run("reconcile", empty, write(tmp_path, "none.csv", "client,total\n"))
    assert (both.code, both.errors) == (0, "holdfast: neither side has any client\n")


def test_every_difference_is_written(tmp_path: Path) -> None:
    """As a table, CSV or JSON; clients that one side lacks differ too; the exit code is 4."""
    ours = write(tmp_path, "a.csv", OURS)
    theirs = write(tmp_path, "b.csv", "client,total,locked\n1,1.4999,false\n2,2,false\n7,-7.5,true\n")
    table = run("reconcile", ours, theirs)
    assert table.code == 4
    assert table.output.decode().splitlines() == [
        "client  column  accounts  statement  difference",
        "     1  total     1.5000     1.4999     -0.0001",
        "     2  locked      true      false           -",
        "     7  total          -    -7.5000     -7.5000",
        "     7  locked         -       true           -",
        "     9  total     0.0000          -      0.0000",
        "     9  locked     false          -           -",
    ]
    assert table.errors == (
        f"holdfast: 4 of 4 clients differ in total, locked (1 missing in {theirs}, 1 only there); in all total -7.5001\n"
    )
    target = tmp_path / "differences.csv"
    assert run("reconcile", ours, theirs, "--format", "csv", "-o", target, "-q")[:2] == (4, b"")
    rows = list(csv.DictReader(io.StringIO(target.read_text())))
    assert rows[2] == {
        "client": "7", "column": "total", "accounts": "", "statement": "-7.5000", "difference": "-7.5000",
    }  # fmt: skip
    found = json.loads(run("reconcile", ours, theirs, "--format", "json").output)
    assert (found["clients"], found["clients_differing"], found["sums"]) == (4, 4, {"total": "-7.5001"})
    assert (found["missing_in_accounts"], found["missing_in_statement"]) == (1, 1)
    assert found["differences"][1] == {
        "client": 2, "column": "locked", "accounts": True, "statement": False, "difference": None,
    }  # fmt: skip
    assert found["differences"][4]["statement"] is None
    assert len(found["differences"]) == 6


def test_a_ledger_as_it_is_and_as_it_was(tmp_path: Path) -> None:
    """Beside the process that writes to it, with the decimals that it has."""
    rows = draw_rows(600)
    path = tmp_path / "p.db"
    with Ledger.open(path) as ledger:
        ledger.process(csv_of(rows))
        now = write(tmp_path, "now.csv", ledger.accounts().to_csv())
        then = write(tmp_path, "then.csv", ledger.accounts(as_of=200).to_csv())
        assert run("reconcile", path, now).code == 0
        assert run("reconcile", path, then).code == 4
        assert run("reconcile", path, then, "--as-of", "200").code == 0
        assert run("reconcile", path, then, "--as-of", "601").code == 1
        assert run("reconcile", path, then, "--decimals", "2").code == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: a statement begins with a header"),
        ("client\n1\n", "line 1: a statement begins with a header"),
        ("client;total\n1;2\n", "line 1: a statement begins with a header"),
        ("client,total,Total\n1,2,3\n", "line 1: the column total is there more than once"),
        ("client,total\n1,2\n\n1,2\n", "line 4: client 1 was there already"),
        ("client,total\n1\n", "line 2: the line has 1 fields, the header names 2"),
        ("client,total\n-1,2\n", "line 2: client '-1' is no number"),
        ("client,total\n18446744073709551616,2\n", "is no number from 0 to 18446744073709551615"),
        ("client,total\n\u0661,2\n", "is no number"),
        ("client,total\n1,1e5\n", "line 2: total '1e5': "),
        ("client,total\n1,\n", "line 2: total '': "),
        ("client,total\n1,1.00001\n", "line 2: total '1.00001': "),
        ("client,total\n1,99999999999999999999\n", "line 2: total '99999999999999999999': "),
        ("client,locked\n1,maybe\n", "line 2: locked is true or false, not 'maybe'"),
        ('client,total\n1,"2\n', "line 2: unexpected end of data"),
        ("client,total\n1," + "9" * 200_000, "line 2: "),
        (b"client,total\n1,\xff\n", "line 2: this is not UTF-8"),
        ("client,total\n1,2\0\n", "line 2: "),
    ],
)  # fmt: skip
def test_statements_that_are_none(tmp_path: Path, text: str | bytes, message: str) -> None:
    """One sentence that says which line and why; exit 1, and nothing is compared."""
    ours = write(tmp_path, "a.csv", OURS)
    refused = run("reconcile", ours, write(tmp_path, "b.csv", text))
    assert (refused.code, refused.output) == (1, b"")
    assert message in refused.errors
    assert refused.errors.count("\n") == 1


def test_what_cannot_be_compared(tmp_path: Path) -> None:
    """The same file twice, no column in common, options that do not fit, an output over an input."""
    ours = write(tmp_path, "a.csv", "client,held\n1,2\n")
    theirs = write(tmp_path, "b.csv", "client,total\n1,2\n")
    nothing = run("reconcile", ours, theirs)
    assert (nothing.code, "nothing to compare" in nothing.errors) == (1, True)
    for arguments in (
        (ours, ours),
        (ours, theirs, "--as-of", "1"),
        (ours, theirs, "--decimals", "10"),
        (ours, theirs, "-o", ours),
        (ours,),
        ("-", "-"),
    ):
        assert run("reconcile", *arguments).code == 2, arguments
    full = run("reconcile", ours, write(tmp_path, "c.csv", "client,held\n1,3\n"), "-o", "/dev/full")
    assert (full.code, "No space left" in full.errors) == (4, True)


VALUES = st.dictionaries(st.integers(0, 6), st.tuples(st.integers(-3, 3), st.integers(0, 1)), max_size=7)


@given(VALUES, VALUES)
def test_nothing_else_differs(ours: dict[int, tuple[int, ...]], theirs: dict[int, tuple[int, ...]]) -> None:
    """Taking the differences over makes one side the other."""
    columns = ("total", "locked")
    found = reconcile(Statement("a", columns, ours), Statement("b", columns, theirs))
    mended = {client: list(values) for client, values in ours.items()}
    for each in found.differences:
        assert each == Difference(each.client, each.column, each.ours, each.theirs)
        assert each.ours != each.theirs
        mended.setdefault(each.client, [0, 0])[columns.index(each.column)] = each.theirs or 0
    for client in ours.keys() - theirs.keys():
        assert mended.pop(client) == [0, 0]
    assert {client: tuple(values) for client, values in mended.items()} == theirs
    assert found.agrees is (ours == theirs)
    total = sum(value for value, _ in theirs.values()) - sum(value for value, _ in ours.values())
    assert found.sums() == {"total": total}
