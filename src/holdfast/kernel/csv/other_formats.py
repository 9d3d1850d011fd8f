"""Inputs that are not CSV: what they look like and what to do about them.

Asked only about a first line that is no usable header, so that nothing here can refuse a good file.
"""

from __future__ import annotations

_SPREADSHEET = "save the sheet as CSV (UTF-8, separated by commas)"
_TABLE = "write the table as CSV first"
_COMPRESSED = "decompress it first"
_MAGICS: tuple[tuple[bytes, str, str], ...] = (
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook (XLSX)", f"unpack the archive, or {_SPREADSHEET}"),
    (b"PK\x05\x06", "an empty ZIP archive", "make the archive again"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook (XLS)", _SPREADSHEET),
    (b"PAR1", "a Parquet file", _TABLE),
    (b"ARROW1", "an Arrow file", _TABLE),
    (b"FEA1", "a Feather file", _TABLE),
    (b"\xff\xff\xff\xff", "an Arrow stream", _TABLE),
    (b"Obj\x01", "an Avro file", _TABLE),
    (b"ORC", "an ORC file", _TABLE),
    (b"SQLite format 3\0", "an SQLite database", "export the table as CSV (sqlite3 -header -csv)"),
    (b"%PDF-", "a PDF document", "export the data as CSV"),
    (b"{\\rtf", "an RTF document", "save the table as CSV"),
    (b"\x1f\x8b", "gzip data", _COMPRESSED),
    (b"\x28\xb5\x2f\xfd", "zstd data", _COMPRESSED),
    (b"BZh", "bzip2 data", _COMPRESSED),
    (b"\xfd7zXZ\0", "xz data", _COMPRESSED),
    (b"\x04\x22\x4d\x18", "LZ4 data", _COMPRESSED),
    (b"\xff\x06\0\0sNaPpY", "Snappy data", _COMPRESSED),
    (b"\x1f\x9d", "data of compress (.Z)", _COMPRESSED),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "unpack it first"),
    (b"Rar!\x1a\x07", "a RAR archive", "unpack it first"),
    (b"\x7fELF", "a program", "give a CSV file"),
    (b"\x89PNG", "an image", "give a CSV file"),
    (b"\xff\xd8\xff", "an image", "give a CSV file"),
    (b"\xff\xfe", "UTF-16 text", "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (b"\xfe\xff", "UTF-16 text", "convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)"),
    (b"\x16\x03", "the beginning of a TLS connection", "use TLS on both sides, or on neither"),
)
_FIRST_PRINTABLE = 0x20
# One byte in so many is a control character, in a line that is long enough to tell: random bytes have three times as many.
_BINARY_SHARE = 25
_BINARY_BYTES_MIN = 24
_TAR_MAGIC_OFFSET = 257
_SEPARATORS = ((b";", "semicolons"), (b"\t", "tabs"), (b"|", "vertical bars"), (None, "blanks"))
_TYPES = frozenset({b"deposit", b"withdrawal", b"dispute", b"resolve", b"chargeback"})


def describe_other_format(line: bytes) -> str | None:
    """Say what an input looks like and what to do, or None if it looks like no format that is known.

    Args:
        line: The first line that is not blank, or the beginning of it, without a byte order mark.
    """
    for magic, name, advice in _MAGICS:
        if line.startswith(magic):
            return _say(name, advice)
    if line[_TAR_MAGIC_OFFSET:].startswith(b"ustar"):
        return _say("a tar archive", "unpack it first")
    return _describe_text(line.strip().lower()) or _describe_bytes(line)


def _describe_text(line: bytes) -> str | None:
    if line.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _say(
            "an HTML page", "a login or an error page perhaps, in place of the file: download it again"
        )
    if line.startswith(b"<"):
        return _say("XML", "write it as CSV first")
    if line.startswith((b'{"', b'{ "')):
        return _say("NDJSON", "--format ndjson reads it")
    if line == b"{":
        return _say("JSON", "write each object in a line of its own (jq -c .), which --format ndjson reads")
    if line.startswith(b"["):
        return _say(
            "a JSON array",
            "write each object in a line of its own (jq -c '.[]'), which --format ndjson reads",
        )
    if line.startswith(b"sep="):
        return _say(
            "CSV with Excel's line 'sep=' before the header", "remove that line, and separate by commas"
        )
    if 2 * line.count(b"\0") >= len(line) - 1 > 0:
        return _say("UTF-16 text", "convert it to UTF-8 (iconv -f UTF-16LE -t UTF-8)")
    return None


def _describe_bytes(line: bytes) -> str | None:
    """Tell what is no text in any encoding: it has control characters in numbers."""
    controls = sum(byte < _FIRST_PRINTABLE and byte not in b"\t\r" for byte in line)
    if len(line) >= _BINARY_BYTES_MIN and controls * _BINARY_SHARE > len(line):
        return _say("binary data", "give a CSV file")
    return None


def describe_mistake(line: bytes, needed: tuple[str, ...]) -> str | None:
    """Say what is wrong with a header in text that is nearly CSV, or None if it is nothing common.

    Args:
        line: As :func:`describe_other_format` takes it.
        needed: The columns that a header needs.
    """
    # A file with CR alone has all its rows in this line.
    head = line.partition(b"\r")[0].lower()
    for separator, name in _SEPARATORS:
        names = {field.strip(b' \t"') for field in head.split(separator)}
        if all(column.encode() in names for column in needed):
            return (
                f"its columns are separated by {name}, not by commas; "
                "write it with commas, and with a point in the amounts"
            )
    first = head.partition(b",")[0].strip(b' \t"')
    if first in _TYPES:
        return "this is a transaction, and a header comes first; put the line type,client,tx,amount before it"
    return None


def _say(name: str, advice: str) -> str:
    return f"this looks like {name}, not like CSV; {advice}"
