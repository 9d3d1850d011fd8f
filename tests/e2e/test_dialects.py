"""The options that say how a partner writes CSV."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from e2e.command import OUTPUT_HEADER, run

if TYPE_CHECKING:
    from pathlib import Path

FILE = 'Kopf\nKunde;TX;Art;"Betrag, EUR"\n1;1;GS;1.234,5\n1;2;LS;34,5\n1;3;??;1\nSumme;;;5\n'.encode("utf-16")
OPTIONS = [
    "--delimiter", ";", "--encoding", "utf-16", "--decimal-comma", "--thousands", ".", "--skip-rows", "1",
    "--footer", "Summe*", "--columns", 'client=Kunde,amount="Betrag, EUR"', "--columns", "type=art",
    "--types", "deposit=GS,withdrawal=LS",
]  # fmt: skip
DIALECT = """\
delimiter = ";"
encoding = "latin-1"
decimal_comma = true
thousands = "."
skip_rows = 1
footer = "Summe*"
columns = {client = "Kunde", type = "Art", amount = "Betrag, EUR"}
types = {deposit = "GS", withdrawal = "LS"}
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Write the file of a partner."""
    path = tmp_path / "day.csv"
    path.write_bytes(FILE)
    return path


def test_process_and_rejects(file: Path) -> None:
    """The accounts, and the refused row as it came."""
    done = run(file, *OPTIONS, "--rejects", file.with_name("rejects.csv"))
    assert (done.code, done.output) == (0, OUTPUT_HEADER + b"1,1200.0000,0.0000,1200.0000,false\n")
    assert file.with_name("rejects.csv").read_text(encoding="utf-8").splitlines()[1].endswith('"1;3;??;1"')


def test_a_dialect_file_and_what_goes_before_it(file: Path) -> None:
    """The option's encoding is the right one; it is a file that is read, so it is not overwritten."""
    dialect = file.with_name("partner.toml")
    dialect.write_text(DIALECT, encoding="utf-8")
    done = run("check", file, "--dialect", dialect, "--encoding", "utf-16")
    assert done.code == 3
    assert "1 of 3 rows was not applied (UNKNOWN_TYPE 1)" in done.errors
    wrong = run("check", file, "--dialect", dialect)
    assert wrong.code == 1
    assert "--encoding utf-16 reads it" in wrong.errors
    assert run(file, "--dialect", dialect, "-o", dialect).code == 2


def test_explain_and_load(file: Path) -> None:
    """The other commands that read files."""
    done = run("explain", file, *OPTIONS, "--client", "1", "--format", "csv")
    assert done.code == 0
    assert b"1;1;GS;1.234,5" in done.output
    ledger = file.with_name("ledger")
    first = run("load", file, "--data", ledger, "--stream", "day", *OPTIONS)
    assert first.code == 0, first.errors
    again = run("load", file, "--data", ledger, "--stream", "day", *OPTIONS)
    assert "was loaded already: all of its 3 rows" in again.errors


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--delimiter", "ab"], "--delimiter is one sign"),
        (["--thousands", "."], "--thousands and the decimal sign are both '.'"),
        (["--columns", "client"], "--columns: 'client' has no ="),
        (["--columns", "client=a,client=b"], "--columns: client is named twice, 'a' and 'b'"),
        (["--columns", 'client="a'], "--columns: a quote is never closed"),
        (["--columns", 'client="a"b'], "--columns: a comma is missing"),
        (["--columns", "clint=a"], "--columns: there is no 'clint' (did you mean 'client'?)"),
        (
            ["--types", "deposit=X,withdrawal=X"],
            "--types: the word 'X' cannot be both deposit and withdrawal",
        ),
        (["--skip-rows", "-1"], "--skip-rows"),
        (["--encoding", "utf-99"], "there is no encoding 'utf-99'"),
        (["--footer", "*"], "--footer: the pattern '*' is empty"),
    ],
)
def test_options_that_cannot_be_meant(file: Path, options: list[str], message: str) -> None:
    """Exit code 2, one line, before the file is opened."""
    done = run("check", file, *options)
    assert done.code == 2
    assert message in done.errors


def test_a_dialect_file_that_is_wrong(file: Path) -> None:
    """The same, with its name; a file that is not there is an error of its own."""
    dialect = file.with_name("partner.toml")
    dialect.write_text("delimeter = 1\n")
    done = run("check", file, "--dialect", dialect)
    assert done.code == 2
    assert "partner.toml: there is no setting 'delimeter' (did you mean 'delimiter'?)" in done.errors
    assert run("check", file, "--dialect", file.with_name("none.toml")).code == 1
