"""Files as partners send them, through the whole engine: accounts, rejects, and a second load."""

from __future__ import annotations

import io
import random
from typing import TYPE_CHECKING

import pytest

import holdfast
from holdfast import Dialect, Engine, InputError, Ledger, RejectWriter

if TYPE_CHECKING:
    from pathlib import Path

# The export of a German bank: a preamble, semicolons, decimal commas, points between thousands, words for types, a line of sums.
GERMAN = """\
"Umsätze Girokonto";"1234567890";
"Von:";"01.11.2026";

"Buchungstag";"Kundennr.";"Beleg";"Umsatzart";"Verwendungszweck";"Betrag"
"02.11.2026";"1";"1";"Gutschrift";"Müller; ""Söhne"" GmbH";"1.234,56"
"03.11.2026";"2";"2";"Gutschrift";"Straße 5";"50,00"
"03.11.2026";"1";"3";"Lastschrift";"Miete";"234,56"
"04.11.2026";"2";"4";"Lastschrift";"Zuviel";"1.000,00"
"05.11.2026";"2";"5";"Gutschrift";"falsch";"1.23"
"Summe";"";"";"";"";"1.285,79"
"Stand: 30.11.2026"
"""
GERMAN_DIALECT = """\
delimiter = ";"
decimal_comma = true
thousands = "."
encoding = "windows-1252"
skip_rows = 3
footer = ["\\"Summe*", "\\"Stand*"]

[columns]
type = "Umsatzart"
client = "Kundennr."
tx = "Beleg"
amount = "Betrag"

[types]
deposit = "Gutschrift"
withdrawal = "Lastschrift"
"""
# Excel's "Unicode text": UTF-16 with a mark, tabs, CRLF, and a last row of nothing but tabs.
EXCEL = (
    "Type\tClient ID\tTx\tAmount\tNote\r\n"
    "CR\t1\t1\t1,234.5\tnaïve\r\n"
    'DR\t1\t2\t34.5\t"a\tb"\r\n'
    "cr\t1\t3\t34.5\t\r\n"
    "dispute\t1\t3\t\t\r\n"
    "\t\t\t\t\r\n"
)
# A French export: narrow no-break spaces between thousands, a decimal comma, semicolons, Latin-1's successor.
FRENCH = "type;client;tx;montant\ndépôt;1;1;1 234,50\nretrait;1;2;234,50\nDépôt;1;3;1\u00a0000\n"


def balances(engine: Engine | Ledger) -> dict[int, str]:
    """Give what each client has."""
    return {account.client: str(account.available) for account in engine.accounts()}


def test_a_german_bank(tmp_path: Path) -> None:
    """All of it at once, from a dialect file; refused rows are listed as they came."""
    (tmp_path / "bank.toml").write_text(GERMAN_DIALECT, encoding="utf-8")
    path = tmp_path / "umsaetze.csv"
    path.write_bytes(GERMAN.replace("\n", "\r\n").encode("windows-1252"))
    engine, rejects = Engine(), io.BytesIO()
    report = engine.process(path, dialect=Dialect.load(tmp_path / "bank.toml"), rejects=RejectWriter(rejects))
    assert balances(engine) == {1: "1000.0000", 2: "50.0000"}
    assert {outcome.name: count for outcome, count in report.refused_by_outcome.items()} == {
        "INSUFFICIENT_FUNDS": 1,
        "INVALID_AMOUNT": 1,
    }
    first, second = rejects.getvalue().decode().splitlines()[1:]
    assert first.startswith(f'"{path}",8,')
    assert first.endswith('"""04.11.2026"";""2"";""4"";""Lastschrift"";""Zuviel"";""1.000,00"""')
    assert second.split(",")[1] == "9"
    assert "it is '1.23'" in second


def test_excel_unicode_text() -> None:
    """UTF-16 and tabs; a row of tabs alone is blank."""
    engine = Engine()
    dialect = Dialect(
        delimiter="\t",
        encoding="utf-16",
        thousands=",",
        columns={"client": "Client ID"},
        types={"deposit": ("CR",), "withdrawal": ("DR",)},
    )
    report = engine.process(EXCEL.encode("utf-16"), dialect=dialect)
    assert (report.rows, report.refused) == (4, 0)
    (account,) = engine.accounts()
    assert (str(account.held), str(account.total)) == ("34.5000", "1234.5000")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_french_export(encoding: str) -> None:
    """All three spaces between thousands."""
    text = FRENCH.replace("1 234", "1\u202f234")
    dialect = Dialect(
        delimiter=";",
        decimal_comma=True,
        thousands=" ",
        encoding=encoding,
        columns={"amount": "Montant"},
        types={"deposit": ("dépôt", "Dépôt"), "withdrawal": ("retrait",)},
    )
    engine = Engine()
    assert engine.process(text.encode(encoding), dialect=dialect).refused == 0
    assert balances(engine) == {1: "2000.0000"}


def test_a_second_load_decides_nothing(tmp_path: Path) -> None:
    """A stream is its decided rows: in the same dialect they are the same, and well-formed ones are in any."""
    dialect = Dialect().changed({"encoding": "utf-8", "delimiter": ";", "decimal_comma": True})
    written = b"type;client;tx;amount\ndeposit;1;1;1,5\ndeposit;1;x;2\n"
    with Ledger.open(tmp_path / "ledger") as ledger:
        assert ledger.process(written, stream="day", dialect=dialect).rows == 2
        again = ledger.process(written, stream="day", dialect=dialect)
        assert (again.rows, again.skipped) == (0, 2)
        with pytest.raises(holdfast.StreamChangedError):
            ledger.process(written.replace(b"1,5", b"1,6"), stream="day", dialect=dialect)
        good = b"type;client;tx;amount\ndeposit;7;7;1,5\n"
        assert ledger.process(good, stream="good", dialect=dialect).rows == 1
        assert ledger.process(b"type,client,tx,amount\ndeposit,7,7,1.50\n", stream="good").skipped == 1


def test_a_large_file_is_read_ahead_in_its_dialect(tmp_path: Path) -> None:
    """Several blocks, decoded on other threads: rows, lines and sums are those of the plain file."""
    source = random.Random(7)
    rows = [(source.randrange(1000), source.randrange(10**7)) for _ in range(60_000)]
    plain = tmp_path / "plain.csv"
    plain.write_text(
        "type,client,tx,amount\n"
        + "".join(f"deposit,{c},{n},{a // 100}.{a % 100:02}\n" for n, (c, a) in enumerate(rows))
    )
    path = tmp_path / "dialect.csv"
    written = (f"{n};deposit;{c};{a // 100:,}#{a % 100:02};é\n" for n, (c, a) in enumerate(rows))
    lines = "".join(written).replace(",", ".").replace("#", ",")
    path.write_bytes(
        ("Kopf\nTX;type;client;amount;x\n" + lines + "99;deposit;x;1;\nSumme\n").encode("utf-16")
    )
    dialect = Dialect(
        delimiter=";", decimal_comma=True, thousands=".", encoding="utf-16", skip_rows=1, footer=("Summe",)
    )
    expected, engine, rejects = Engine(), Engine(), io.BytesIO()
    expected.process(plain)
    report = engine.process(path, dialect=dialect, rejects=RejectWriter(rejects))
    assert list(engine.accounts()) == list(expected.accounts())
    assert report.rows == 60_001
    assert rejects.getvalue().splitlines()[1].split(b",")[1] == b"60003"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        (
            b"type;client;tx;amount\n",
            r"separated by semicolons, not by commas; --delimiter ';' reads it, with --decimal-comma",
        ),
        (b"Kunde;Beleg;Art;Betrag\n", r"separated by semicolons, not by commas; --delimiter ';' reads it"),
        (b"type\tclient\ttx\tamount\n", r"separated by tabs, not by commas; --delimiter tab reads it"),
        (b"type|client|tx|amount\n", r"--delimiter '\|' reads it"),
        (
            b"type,client id,tx,amount\n",
            r"no column client .*perhaps 'client id' for 'client' is meant; .*--columns client=NAME",
        ),
        ("type,client,tx\n".encode("utf-16"), r"UTF-16 text, not like CSV; --encoding utf-16 reads it"),
        (
            "type,client,tx\n".encode("utf-16-be"),
            r"UTF-16 text, not like CSV; --encoding utf-16 reads it, or utf-16-le or utf-16-be",
        ),
        (b"sep=;\ntype;client;tx\n", r"--skip-rows 1 and --delimiter read it"),
        ("type,client,tx,für\n".encode("latin-1"), r"not UTF-8 at byte 16; --encoding reads others"),
    ],
)
def test_a_header_that_is_another_dialects_names_the_option(header: bytes, message: str) -> None:
    """What reads the file is in the error."""
    with pytest.raises(InputError, match=message):
        Engine().process(header + b"deposit;1;1;1\n")


def test_a_column_that_is_not_there_is_named_with_the_nearest() -> None:
    """As the dialect calls it."""
    dialect = Dialect(delimiter=";", columns={"client": "Client ID", "amount": "Betrag"})
    missing = r"it has no column Client ID and no column Betrag \(needed: type, Client ID, tx, Betrag\)"
    with pytest.raises(InputError, match=f"{missing}; perhaps 'Clent ID' for 'Client ID' is meant"):
        Engine().process(b"type;Clent ID;tx;amount\n", dialect=dialect)


def test_a_plain_dialect_is_a_plain_file() -> None:
    """It says nothing, so nothing is different."""
    engine = Engine()
    assert engine.process(b"type,client,tx,amount\ndeposit,1,1,1.5\n", dialect=Dialect()).applied == 1
