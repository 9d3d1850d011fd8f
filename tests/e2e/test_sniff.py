"""``holdfast sniff``: what it proposes reads the file, and what is not plain to see is said to be a guess."""

from __future__ import annotations

import os
import random
import tomllib
from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast import Dialect, Engine
from holdfast.io.compression import open_source
from holdfast.io.raw import InputError
from holdfast.io.sniffing import SAMPLE_BYTES, sniff

if TYPE_CHECKING:
    from pathlib import Path

GERMAN = (
    'Umsätze;"12"\n\n"Buchungstag";"Kundennr.";"Beleg";"Umsatzart";"Text";"Betrag"\n'
    '"02.11.2026";"1";"1";"Gutschrift";"für";"1.234,56"\n"03.11.2026";"1";"2";"Lastschrift";"x";"34,56"\n'
    '"Summe";"";"";"";"";"1.200,00"\n"Stand: 30.11.2026"\n'
).encode("windows-1252")
EXCEL = "Type\tClient ID\tTx\tAmount\r\nCR\t1\t1\t1,234.5\r\nDR\t1\t2\t34.5\r\n".encode("utf-16")
FRENCH = "type;client;tx;montant\ndépôt;1;1;1\u202f234,50\nretrait;1;2;34,50\n".encode()
BARS = b"type|client|tx|amount\ndeposit|1|1|1200\n"


@pytest.mark.parametrize("data", [GERMAN, EXCEL, FRENCH, BARS])
def test_what_it_proposes_reads_the_file(data: bytes) -> None:
    """All rows, with the right sum, from the TOML that it prints."""
    proposal = sniff(open_source(data))
    dialect = Dialect().changed(tomllib.loads(proposal.text))
    assert dialect == proposal.dialect
    engine = Engine()
    assert engine.process(data, dialect=dialect).refused == 0
    assert str(engine.account(1).available) == "1200.0000"


def test_a_plain_file_needs_nothing() -> None:
    """And that is sure."""
    proposal = sniff(open_source(b"type,client,tx,amount\ndeposit,1,1,1.5\ndispute,1,1,\n"))
    assert proposal.dialect.is_plain
    assert proposal.is_sure
    assert "line 2: deposit client 1 tx 1 amount 1.5" in proposal.text


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"type;client;tx;amount\ndeposit;1;1;1.234\n", "could also be read the other way"),
        (b"type;client;tx;amount\nCR;1;1;1,5\n", "# a guess: words that many files have"),
        (b"type;client;tx;amount\nXY;1;1;1,5\n", "words that are no known types: 'XY' (1)"),
        (b"a;b;c;d\n1;2;3;4\n", "# open: no column is known to be the client; there are 'a', 'b', 'c', 'd'"),
        ("type;client;tx;amount;ä\ndeposit;1;1;1;ö\n".encode("latin-1"), "which is no UTF-8"),
        (b"type;client;client id;tx;amount\ndeposit;x;1;1;1\n", "INVALID_CLIENT: 'deposit;x;1;1;1'"),
    ],
)
def test_what_is_not_sure_is_said(data: bytes, said: str) -> None:
    """Nothing that two people could read in two ways is called sure."""
    proposal = sniff(open_source(data))
    assert not proposal.is_sure
    assert said in proposal.text
    assert Dialect().changed(tomllib.loads(proposal.text)) == proposal.dialect


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no text"),
        (b" \n\n", "no text"),
        (b"PK\x03\x04" + bytes(100), "XLSX"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<html>", "HTML"),
        (b"hello\nworld\n", "no line of its beginning"),
    ],
)
def test_what_is_no_csv_is_an_error(data: bytes, said: str) -> None:
    """By name, where it has one."""
    with pytest.raises(InputError, match=said):
        sniff(open_source(data))


@pytest.mark.parametrize("seed", range(40))
def test_hostile_files_are_bounded(seed: int) -> None:
    """Any bytes end in a proposal that is TOML, or in an error that is one."""
    source = random.Random(seed)
    pieces = [
        b";",
        b'"',
        b"\n",
        b"type;client;tx\n",
        b"1",
        b"\0",
        b"\xff",
        b",",
        b"x" * 5000,
        b"\x1b[31m",
        "é".encode(),
        b"'''",
        b"=",
    ]
    data = (
        b"".join(source.choices(pieces, k=400))
        if seed % 2
        else b"type;client;tx;amount\n" + source.randbytes(3000)
    )
    try:
        proposal = sniff(open_source(data))
    except InputError:
        return
    assert Dialect().changed(tomllib.loads(proposal.text)) == proposal.dialect
    assert "\x1b" not in proposal.text


def test_a_large_file_is_not_read_to_its_end() -> None:
    """Only its beginning is looked at."""
    read = []

    def pieces() -> object:
        yield b"type,client,tx,amount\n"
        for number in range(10**9):
            read.append(number)
            yield b"deposit,1,1,1\n" * 1000

    proposal = sniff(open_source(pieces()))  # type: ignore[arg-type]  # a generator of bytes
    assert proposal.dialect.is_plain
    assert sum(read) < SAMPLE_BYTES


def test_the_command(tmp_path: Path) -> None:
    """TOML on standard output, which --dialect takes; the exit code says how sure it is."""
    path, dialect = tmp_path / "day.csv", tmp_path / "bank.toml"
    path.write_bytes(GERMAN)
    done = run("sniff", path)
    assert done.code == 3
    dialect.write_bytes(done.output)
    assert run("check", path, "--dialect", dialect).code == 0
    path.write_bytes(b"type,client,tx,amount\ndeposit,1,1,1\n")
    assert run("sniff", path).code == 0
    path.write_bytes(os.urandom(0))
    assert run("sniff", path).code == 1
