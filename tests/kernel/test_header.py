"""Headers that cannot be used: line ends, other formats, other separators, and text that never ends."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import sqlite3
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.feather
import pyarrow.orc
import pyarrow.parquet
import pytest

import holdfast
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from strategies import cut

if TYPE_CHECKING:
    from pathlib import Path

ROWS = b"deposit,1,1,1.0\nwithdrawal,1,2,0.5\n"
CSV = b"type,client,tx,amount\n" + ROWS


def error_of(data: bytes, *, piece: int = 1 << 20) -> str:
    """Give what a decoder says about an input that it cannot use."""
    decoder = CsvDecoder()
    with pytest.raises(HeaderError) as caught:  # noqa: PT012  # it may say so at any of the pieces
        for each in cut(data, range(0, len(data), piece)):
            decoder.feed(each)
        decoder.finish()
    return str(caught.value)


# --- line ends ---


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "data",
    [
        CSV.replace(b"\n", b"\r"),
        CSV.replace(b"\n", b"\r\r\n"),
        CSV.replace(b"\n", b"\r") * 500,
        b"\xef\xbb\xbf" + CSV.replace(b"\n", b"\r"),
        b"\r" + CSV,
        b"\n" + CSV.replace(b"\n", b"\r"),
        b"type,client,\rtx,amount\n" + ROWS,
        b'"type\r",client,tx\n' + ROWS,
    ],
)
def test_cr_alone_in_a_header_is_an_error_about_line_ends(data: bytes, piece: int) -> None:
    """A file with CR alone would be one long header, and all of it would be applied: none of its rows are."""
    assert "lines end with LF or CRLF" in error_of(data, piece=piece)


def test_a_file_with_cr_alone_is_no_success() -> None:
    """The engine refuses it as well, by name."""
    with pytest.raises(holdfast.InputError, match=r"^<bytes>: line 1: .* a CR that ends no line"):
        holdfast.Engine().process(CSV.replace(b"\n", b"\r"))


@pytest.mark.parametrize("data", [CSV.replace(b"\n", b"\r\n"), CSV[:-1] + b"\r", b"type,client,tx\r"])
def test_line_ends_that_are_good(data: bytes) -> None:
    """CR before LF, and as the last byte of the input, is part of the line end."""
    decoder = CsvDecoder()
    decoder.feed(data)
    decoder.finish()
    assert decoder.has_header


# --- what never ends ---


@pytest.mark.parametrize("text", [b"x", b"\0", b"type,client,tx,amount,", b"\xef\xbb\xbf{"])
def test_an_endless_first_line_is_refused_at_once(text: bytes) -> None:
    """Gigabytes without a line end are not read to their end to find out that they are no header."""
    decoder = CsvDecoder()
    with pytest.raises(HeaderError):
        decoder.feed(text + b"x" * 5000)


def test_an_endless_blank_line_says_nothing_yet() -> None:
    """Blanks may still be followed by a line end: they are no header."""
    decoder = CsvDecoder()
    assert decoder.feed(b" \t" * 10_000) == []


# --- other formats ---


def workbook() -> bytes:
    """Make an archive as Excel does."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr("xl/worksheets/sheet1.xml", "<worksheet/>" * 1000)
    return file.getvalue()


def tar() -> bytes:
    """Make an archive of one file."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        info = tarfile.TarInfo("transactions.csv")
        info.size = len(CSV)
        archive.addfile(info, io.BytesIO(CSV))
    return file.getvalue()


def table_file(write: str) -> bytes:
    """Write a table as one of Arrow's formats."""
    table = pa.table({"type": ["deposit"], "client": [1], "tx": [1], "amount": ["1.0"]})
    file = io.BytesIO()
    if write == "parquet":
        pyarrow.parquet.write_table(table, file)
    elif write == "orc":
        pyarrow.orc.write_table(table, file)
    elif write == "feather":
        pyarrow.feather.write_feather(table, file)
    else:
        make = pa.ipc.new_stream if write == "stream" else pa.ipc.new_file
        with make(file, table.schema) as writer:
            writer.write_table(table)
    return file.getvalue()


OTHER_FORMATS = {
    "XLSX": workbook(),
    "XLS": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504),
    "tar archive": tar(),
    "Parquet": table_file("parquet"),
    "Arrow file": table_file("file"),
    "Arrow stream": table_file("stream"),
    "ORC": table_file("orc"),
    "gzip": gzip.compress(CSV),
    "bzip2": bz2.compress(CSV),
    "xz": lzma.compress(CSV),
    "PDF": b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n",
    "HTML": b"<!DOCTYPE html>\n<html><body>Please log in</body></html>\n",
    "XML": b'<?xml version="1.0"?>\n<rows/>\n',
    "JSON": b'{"type": "deposit", "client": 1, "tx": 1, "amount": "1.0"}\n',
    "a JSON array": b'[\n  {"type": "deposit"}\n]\n',
    "UTF-16": CSV.decode().encode("utf-16"),
    "UTF-16 text": CSV.decode().encode("utf-16-le"),
    "a program": b"\x7fELF\x02\x01\x01" + bytes(100),
    "semicolons": CSV.replace(b",", b";"),
    "tabs": CSV.replace(b",", b"\t"),
    "vertical bars": CSV.replace(b",", b"|"),
    "blanks": CSV.replace(b",", b"  "),
    "sep=": b"sep=;\n" + CSV.replace(b",", b";"),
    "a header comes first": ROWS,
    "binary data": bytes(range(256)).replace(b"\n", b"") * 20,
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
@pytest.mark.parametrize("piece", [3, 1 << 20])
def test_another_format_is_named(name: str, piece: int) -> None:
    """The message says what the input looks like and what to do, in plain text and not in escaped bytes."""
    message = error_of(OTHER_FORMATS[name], piece=piece)
    assert name in message
    assert ";" in message
    assert "\\x" not in message


@pytest.mark.parametrize(
    "header",
    [b'"type";"client";"tx";"amount"', b"Type; Client; Tx; Amount; Note", b"\xef\xbb\xbftype;client;tx"],
)
def test_other_separators_are_seen_through_quotes_blanks_and_case(header: bytes) -> None:
    """A spreadsheet of another country writes semicolons; with CR alone as well as with LF."""
    assert "semicolons" in error_of(header + b"\n")
    assert "semicolons" in error_of(header + b"\rdeposit;1;1;1,5\r")


@pytest.mark.parametrize("begin", ["ORC", "PAR1", "BZh", "{\\rtf", "<note>", "[", "Obj\x01", "sep="])
def test_a_good_header_may_begin_like_another_format(begin: str) -> None:
    """Only a header that cannot be used is looked at: a column may be called anything."""
    decoder = CsvDecoder()
    decoder.feed(f"{begin},type,client,tx,amount\n,deposit,1,1,1\n".encode())
    batch = decoder.finish()
    assert batch is not None
    assert list(batch.txs) == [1]


def test_a_database_is_named(tmp_path: Path) -> None:
    """So is one of SQLite, which a program made."""
    path = tmp_path / "ledger.csv"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE transactions (type, client, tx, amount)")
    connection.close()
    with pytest.raises(
        holdfast.InputError, match=r"ledger.csv: this looks like an SQLite database, not like CSV; "
    ):
        holdfast.Engine().process(path)


def test_a_file_that_was_compressed_twice_is_named() -> None:
    """One layer is taken off while it is read; what is below is said."""
    with pytest.raises(holdfast.InputError, match="looks like gzip data, not like CSV; decompress it first"):
        holdfast.Engine().process(gzip.compress(gzip.compress(CSV)))
