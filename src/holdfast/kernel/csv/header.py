"""The header of a CSV stream: which column is where. Runs once per stream, so it is plain Python."""

from __future__ import annotations

NEEDED = ("type", "client", "tx")
KNOWN = (*NEEDED, "amount")
IGNORED = len(KNOWN)
_SHOWN_CHARACTERS = 200


class HeaderError(ValueError):
    """The input does not begin with a usable header; nothing of it was decoded."""


def parse_header(line: bytes, line_number: int) -> bytes:
    """Read a header line, without its line end and without a byte order mark.

    Returns:
        For every column the index of its name in :data:`KNOWN`, or :data:`IGNORED`.

    Raises:
        HeaderError: If a needed column is missing or named twice, or the line is no CSV row; the message says
            what was found.
    """
    names = _split(line, line_number)
    folded = [name.lower() for name in names]
    found = f"line {line_number}: the header is {_shown(line)}"
    missing = [name for name in NEEDED if name not in folded]
    if missing:
        raise HeaderError(
            f"{found}; it has no column {' and no column '.join(missing)} "
            f"(needed: {', '.join(NEEDED)}, amount)"
        )
    twice = [name for name in KNOWN if folded.count(name) > 1]
    if twice:
        raise HeaderError(f"{found}; it names the column {' and the column '.join(twice)} more than once")
    return bytes(KNOWN.index(name) if name in KNOWN else IGNORED for name in folded)


def _split(line: bytes, line_number: int) -> list[str]:
    """Split into names by the same rules as every row, RFC 4180 with blanks around the fields."""
    if b"\0" in line:
        raise HeaderError(
            f"line {line_number}: the header is {_shown(line)}; it has a NUL byte{_utf_16_hint(line)}"
        )
    try:
        rest = line.decode()
    except UnicodeDecodeError as error:
        raise HeaderError(
            f"line {line_number}: the header is {_shown(line)}; it is not UTF-8 at byte {error.start}"
        ) from error
    names = []
    while True:
        name, rest, more = _take_field(rest.lstrip(" \t"), line, line_number)
        names.append(name.strip(" \t"))
        if not more:
            return names


def _take_field(rest: str, line: bytes, line_number: int) -> tuple[str, str, bool]:
    """Take the first field: its text, what follows its comma, and whether there was a comma."""
    if not rest.startswith('"'):
        name, comma, rest = rest.partition(",")
        if '"' in name:
            raise HeaderError(
                f"line {line_number}: the header is {_shown(line)}; a quote stands inside an unquoted name"
            )
        return name, rest, bool(comma)
    name, position = "", 1
    while True:
        end = rest.find('"', position)
        if end < 0:
            raise HeaderError(f"line {line_number}: the header is {_shown(line)}; a quote is never closed")
        name += rest[position:end]
        if rest[end + 1 : end + 2] != '"':
            break
        name, position = name + '"', end + 2
    after, comma, rest = rest[end + 1 :].partition(",")
    if after.strip(" \t"):
        raise HeaderError(
            f"line {line_number}: the header is {_shown(line)}; something stands behind a closing quote"
        )
    return name, rest, bool(comma)


def _utf_16_hint(line: bytes) -> str:
    is_utf_16 = line.startswith((b"\xff\xfe", b"\xfe\xff")) or 2 * line.count(b"\0") >= len(line) - 1
    return ": the text seems to be UTF-16; convert it to UTF-8" if is_utf_16 else ""


def _shown(line: bytes) -> str:
    text = line.decode(errors="backslashreplace")
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")
