"""NDJSON through the engine: the same rows as in CSV, the same outcomes and accounts."""

from __future__ import annotations

import gzip
import io
import json
import random
from typing import TYPE_CHECKING

import pytest

from holdfast import Engine, Outcome, RejectWriter
from holdfast.engine.pipeline import BLOCK_BYTES, read_batches
from holdfast.io.compression import open_source
from holdfast.kernel.ndjson.decoder import NdjsonDecoder
from holdfast.storage.ledger import Ledger

if TYPE_CHECKING:
    from pathlib import Path

ROWS = (
    ("deposit", 1, 1, "5"),
    ("deposit", 2, 2, "1.2345"),
    ("withdrawal", 1, 3, "9"),
    ("dispute", 1, 1, ""),
    ("chargeback", 1, 1, ""),
    ("deposit", 1, 4, "1"),
    ("deposit", 70_000, 5, "1"),
    ("deposit", 3, 6, "1e5"),
)


def as_csv(rows: tuple[tuple[str, int, int, str], ...]) -> bytes:
    """Write rows as CSV."""
    return b"type,client,tx,amount\n" + b"".join(",".join(map(str, row)).encode() + b"\n" for row in rows)


def as_ndjson(rows: tuple[tuple[str, int, int, str], ...]) -> bytes:
    """Write rows as NDJSON."""
    names = ("type", "client", "tx", "amount")
    return b"".join(
        json.dumps(dict(zip(names, row, strict=True)), separators=(",", ":")).encode() + b"\n" for row in rows
    )


def accounts_of(engine: Engine) -> list[object]:
    """List the accounts."""
    return list(engine.accounts())


def many_rows(count: int) -> tuple[tuple[str, int, int, str], ...]:
    """Draw rows of all types."""
    source = random.Random(count)
    types = ["deposit", "deposit", "withdrawal", "dispute", "resolve"]
    return tuple(
        (source.choice(types), source.randrange(50), source.randrange(count), f"{source.randrange(1000)}.5")
        for _ in range(count)
    )


@pytest.mark.parametrize("rows", [ROWS, many_rows(3_000)])
def test_is_what_csv_is(rows: tuple[tuple[str, int, int, str], ...]) -> None:
    """Row by row the same outcomes, and the same accounts in the end."""
    one, other = Engine(), Engine()
    first, second = one.process(as_csv(rows)), other.process(as_ndjson(rows))
    assert first.refused_by_outcome == second.refused_by_outcome
    assert first.rows == second.rows == len(rows)
    assert accounts_of(one) == accounts_of(other)


def test_formats_are_found(tmp_path: Path) -> None:
    """A suffix, also below a compression; first bytes, of a file object and of compressed bytes; or what is asked for."""
    expected = Engine()
    expected.process(as_csv(ROWS))
    plain, packed, odd = tmp_path / "day.ndjson", tmp_path / "day.jsonl.gz", tmp_path / "day.txt"
    plain.write_bytes(as_ndjson(ROWS))
    packed.write_bytes(gzip.compress(as_ndjson(ROWS)))
    odd.write_bytes(as_ndjson(ROWS))
    misnamed = tmp_path / "day.csv"
    misnamed.write_bytes(as_ndjson(ROWS))
    for source, format_ in (
        (plain, None),
        (str(packed), None),
        (odd, None),
        (io.BytesIO(gzip.compress(as_ndjson(ROWS))), None),
        (iter([as_ndjson(ROWS)[:1], as_ndjson(ROWS)[1:]]), None),
        (misnamed, "ndjson"),
    ):
        engine = Engine()
        assert engine.process(source, format=format_).rows == len(ROWS)
        assert accounts_of(engine) == accounts_of(expected)
    with pytest.raises(OSError, match="NDJSON, not like CSV; --format ndjson reads it"):
        Engine().process(misnamed)
    with pytest.raises(ValueError, match="there is no format 'jsonl'"):
        Engine().process(plain, format="jsonl")


def test_formats_may_differ_from_input_to_input() -> None:
    """Each input tells what it is."""
    engine = Engine()
    assert engine.process(as_csv(ROWS[:2]), as_ndjson(ROWS[2:4]), as_csv(ROWS[4:])).rows == len(ROWS)


def test_rejects_keep_the_line() -> None:
    """A row that is not applied is listed with its line, its place, its text and its fault."""
    file = io.BytesIO()
    data = as_ndjson(ROWS) + b'\n{"type":"deposit","client":1,"tx":7,"amount":[]}\n'
    report = Engine().process(data, rejects=RejectWriter(file))
    assert report.refused_by_outcome[Outcome.MALFORMED_ROW] == 1
    lines = file.getvalue().decode().splitlines()
    assert lines[-1] == (
        f'"<bytes>",10,{data.rindex(b"{")},MALFORMED_ROW,"The row is malformed: the amount is an array.",'
        '"{""type"":""deposit"",""client"":1,""tx"":7,""amount"":[]}"'
    )
    assert "it is '1e5'" in file.getvalue().decode()


@pytest.mark.parametrize("threads", [1, 3])
def test_reading_ahead(tmp_path: Path, threads: int) -> None:
    """Blocks that several threads decode come back in order, with the lines and places of the whole."""
    path = tmp_path / "long.ndjson"
    rows = as_ndjson(many_rows(40_000)).splitlines(keepends=True)
    rows[20_000:20_000] = [b"\n", b'{"note":"' + b"x" * (BLOCK_BYTES + 10) + b'"}\r\n']
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(rows))
    whole = NdjsonDecoder(keep_source=True)
    expected = [batch for batch in (*whole.feed(path.read_bytes()), whole.finish()) if batch is not None]
    with open_source(path) as stream:
        found = list(read_batches(stream, NdjsonDecoder(keep_source=True), threads))
    for name in ("types", "clients", "txs", "amounts", "outcomes"):
        assert b"".join(bytes(getattr(batch, name)) for batch in found) == b"".join(
            bytes(getattr(batch, name)) for batch in expected
        )
    places = [
        [(batch.line(row), batch.offset(row)) for batch in batches for row in range(batch.rows)]
        for batches in (found, expected)
    ]
    assert places[0] == places[1]
    assert len(places[0]) == 40_001


def test_a_ledger_takes_it(tmp_path: Path) -> None:
    """A durable ledger decides the same, skips what it has under a stream's name, and keeps the text of bad rows."""
    path = tmp_path / "day.ndjson"
    path.write_bytes(as_ndjson(ROWS))
    expected = Engine()
    expected.process(as_csv(ROWS))
    with Ledger.open(tmp_path / "payments.db") as ledger:
        report = ledger.process(path, stream="day")
        assert (report.rows, report.skipped) == (len(ROWS), 0)
        assert list(ledger.accounts()) == accounts_of(expected)
        # The same rows, written otherwise, are the same stream as long as all of them can be read.
        assert ledger.process(path, stream="day", format="ndjson").skipped == len(ROWS)
