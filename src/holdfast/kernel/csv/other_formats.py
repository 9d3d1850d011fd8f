"""Inputs that are not CSV: what they look like and what to do about them.

Asked only about a first line that is no usable header, so that nothing here can refuse a good file.
"""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast.domain.dialect import Dialect

_SPREADSHEET = "save the sheet as CSV (UTF-8, separated by commas)"
_TABLE = "write the table as CSV first"
_COMPRESSED = "decompress it first"
_UTF_16 = "--encoding utf-16 reads it, or utf-16-le or utf-16-be if it has no byte order mark"
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
    (b"\x16\x03", "the beginning of a TLS connection", "use TLS on both sides, or on neither"),
)
_UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_FIRST_PRINTABLE = 0x20
# One byte in so many is a control character, in a line that is long enough to tell: random bytes have three times as many.
_BINARY_SHARE = 25
_BINARY_BYTES_MIN = 24
_TAR_MAGIC_OFFSET = 257
_SEPARATORS = (
    (b",", "commas"),
    (b";", "semicolons"),
    (b"\t", "tabs"),
    (b"|", "vertical bars"),
    (None, "blanks"),
)
# A hostile header may have thousands of names.
_NAMES_COMPARED = 64
_NAME_LENGTH_COMPARED = 64
_TYPES = frozenset({b"deposit", b"withdrawal", b"dispute", b"resolve", b"chargeback"})


def describe_other_format(line: bytes) -> tuple[str, str] | None:
    """Say what an input looks like and what to do, or None if it looks like no format that is known.

    Args:
        line: The first line that is not blank, or the beginning of it, without a byte order mark.

    Returns:
        What it looks like with what everybody can do, and which option reads it; empty if none does.
    """
    if line.startswith(_UTF_16_MARKS):
        return _say("UTF-16 text", option=_UTF_16)
    for magic, name, advice in _MAGICS:
        if line.startswith(magic):
            return _say(name, advice)
    if line[_TAR_MAGIC_OFFSET:].startswith(b"ustar"):
        return _say("a tar archive", "unpack it first")
    return _describe_text(line.strip().lower()) or _describe_bytes(line)


def _describe_text(line: bytes) -> tuple[str, str] | None:
    if line.startswith((b"<!doctype html", b"<html", b"<head", b"<body")):
        return _say(
            "an HTML page", "a login or an error page perhaps, in place of the file: download it again"
        )
    if line.startswith(b"<"):
        return _say("XML", "write it as CSV first")
    if line.startswith((b'{"', b'{ "')):
        return _say("NDJSON", option="--format ndjson reads it")
    if line == b"{":
        return _say(
            "JSON", option="write each object in a line of its own (jq -c .), which --format ndjson reads"
        )
    if line.startswith(b"["):
        return _say(
            "a JSON array",
            option="write each object in a line of its own (jq -c '.[]'), which --format ndjson reads",
        )
    if line.startswith(b"sep="):
        return _say(
            "CSV with Excel's line 'sep=' before the header", option="--skip-rows 1 and --delimiter read it"
        )
    if 2 * line.count(b"\0") >= len(line) - 1 > 0:
        return _say("UTF-16 text", option=_UTF_16)
    return None


def _describe_bytes(line: bytes) -> tuple[str, str] | None:
    """Tell what is no text in any encoding: it has control characters in numbers."""
    controls = sum(byte < _FIRST_PRINTABLE and byte not in b"\t\r" for byte in line)
    if len(line) >= _BINARY_BYTES_MIN and controls * _BINARY_SHARE > len(line):
        return _say("binary data", "give a CSV file")
    return None


def describe_mistake(
    line: bytes, needed: tuple[str, ...], dialect: Dialect | None = None
) -> tuple[str, str] | None:
    """Say what is wrong with a header in text that is nearly CSV, or None if it is nothing common.

    What it gives is as of :func:`describe_other_format`.

    Args:
        line: As :func:`describe_other_format` takes it.
        needed: The columns that a header needs.
        dialect: How the file is read.
    """
    # A file with CR alone has all its rows in this line.
    head = line.partition(b"\r")[0].lower()
    delimiter = b"," if dialect is None else dialect.delimiter.encode()
    called = {} if dialect is None else dialect.columns
    wanted = [called.get(column, column).lower().encode() for column in needed]
    for separator, name in _SEPARATORS:
        names = {field.strip(b' \t"') for field in head.split(separator)}
        if separator != delimiter and all(column in names for column in wanted):
            return _say_separator(separator, name, dialect)
    counts = {separator: head.count(separator) for separator, _ in _SEPARATORS if separator is not None}
    separator, name = max(_SEPARATORS[:-1], key=lambda each: counts.get(each[0] or b"", 0))
    if delimiter not in head and counts[separator or b""] >= len(needed) - 1:
        return _say_separator(separator, name, dialect)
    first = head.partition(delimiter)[0].strip(b' \t"')
    if first in _TYPES:
        return (
            "this is a transaction, and a header comes first; put the line type,client,tx,amount before it",
            "",
        )
    return None


def _say_separator(separator: bytes | None, name: str, dialect: Dialect | None) -> tuple[str, str]:
    expected = "commas" if dialect is None or dialect.delimiter == "," else repr(dialect.delimiter)
    said = f"its columns are separated by {name}, not by {expected}"
    if separator is None:
        return f"{said}; write it with commas, and with a point in the amounts", ""
    sign = "tab" if separator == b"\t" else f"'{separator.decode()}'"
    comma = "" if separator == b"," else ", with --decimal-comma if there are commas in the amounts"
    return said, f"--delimiter {sign} reads it{comma}"


def describe_names(names: Sequence[str], missing: Sequence[str]) -> tuple[str, str]:
    """Say which names a header has that are nearly those that are missing, and how to say what is what.

    Args:
        names: What is in the header.
        missing: What is not.
    """
    from holdfast.domain.nearest import find_nearest  # noqa: PLC0415  # only once something went wrong

    folded = {
        name.lower(): name for name in names[:_NAMES_COMPARED] if 0 < len(name) <= _NAME_LENGTH_COMPARED
    }
    near = {
        name: folded[found] for name in missing if (found := find_nearest(name.lower(), folded)) is not None
    }
    listed = ", ".join(f"{found!r} for {name!r}" for name, found in near.items())
    meant = f"; perhaps {listed} is meant" if near else ""
    return (
        meant,
        f"if its columns have other names, --columns {missing[0]}=NAME says so, and holdfast sniff proposes it",
    )


def _say(name: str, advice: str = "", *, option: str = "") -> tuple[str, str]:
    return f"this looks like {name}, not like CSV" + (f"; {advice}" if advice else ""), option
