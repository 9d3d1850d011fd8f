"""The header of a CSV stream: which column is where. Runs once per stream, so it is plain Python."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from holdfast.domain.dialect import Dialect

NEEDED = ("type", "client", "tx")
KNOWN = (*NEEDED, "amount")
IGNORED = len(KNOWN)
_SHOWN_CHARACTERS = 200


class HeaderError(ValueError):
    """The input does not begin with a usable header; nothing of it was decoded.

    Args:
        fact: What was found, and what is wrong with it.
        option: Which option of the commands on files reads it; empty if none does.

    Attributes:
        fact: The first of them alone, for senders over a network, who have no such option.
    """

    def __init__(self, fact: str, option: str = "") -> None:
        super().__init__(fact, option)
        self.fact = fact
        self._option = option

    def __str__(self) -> str:
        return f"{self.fact}; {self._option}" if self._option else self.fact


def parse_header(line: bytes, line_number: int, bytes_max: int, dialect: Dialect | None = None) -> bytes:
    """Read a header line, without its line end and without a byte order mark.

    Args:
        line: The line; of one that is too long its beginning, longer than the limit, is enough.
        line_number: Which line of the input it is, the first being 1.
        bytes_max: How long it may be.
        dialect: Separates its names, and says what columns are called; None for a plain file.

    Returns:
        For every column the index of its name in :data:`KNOWN`, or :data:`IGNORED`.

    Raises:
        HeaderError: If a needed column is missing or named twice, or the line is no CSV row; the message says
            what was found, and what the input looks like if it is another format.
    """
    found = f"line {line_number}: the header is {_shown(line)}"
    try:
        return _find_roles(line, found, bytes_max, dialect)
    except HeaderError:
        from holdfast.kernel.csv.other_formats import (  # noqa: PLC0415  # only for what is no CSV
            describe_mistake,
            describe_other_format,
        )

        if (other_format := describe_other_format(line)) is not None:
            raise HeaderError(*other_format) from None
        if (mistake := describe_mistake(line, NEEDED, dialect)) is not None:
            fact, option = mistake
            raise HeaderError(f"{found}; {fact}", option) from None
        raise


def _find_roles(line: bytes, found: str, bytes_max: int, dialect: Dialect | None) -> bytes:
    if b"\r" in line:
        raise HeaderError(
            f"{found}; it has a CR that ends no line: lines end with LF or CRLF, not with CR alone; "
            r"convert the line ends (tr '\r' '\n')"
        )
    if len(line) > bytes_max:
        raise HeaderError(f"{found}; it is longer than {bytes_max} bytes, the limit for a row")
    names = _split(line, found, "," if dialect is None else dialect.delimiter)
    folded = [name.lower() for name in names]
    mapped = {} if dialect is None else dialect.columns
    called = {column: mapped.get(column, column) for column in KNOWN}
    wanted = [called[column].lower() for column in KNOWN]
    # An amount that has a name of its own is there; without one a file may do without.
    needed = [column for column in KNOWN if column in NEEDED or column in mapped]
    missing = [called[column] for column in needed if called[column].lower() not in folded]
    if missing:
        from holdfast.kernel.csv.other_formats import describe_names  # noqa: PLC0415  # only for what is no CSV

        meant, option = describe_names(names, missing)
        raise HeaderError(
            f"{found}; it has no column {' and no column '.join(missing)} "
            f"(needed: {', '.join(called[column] for column in NEEDED)}, {called['amount']}){meant}",
            option,
        )
    twice = [called[column] for column in KNOWN if folded.count(called[column].lower()) > 1]
    if twice:
        raise HeaderError(f"{found}; it names the column {' and the column '.join(twice)} more than once")
    return bytes(wanted.index(name) if name in wanted else IGNORED for name in folded)


def _split(line: bytes, found: str, delimiter: str) -> list[str]:
    """Split into names by the same rules as every row, RFC 4180 with blanks around the fields."""
    if b"\0" in line:
        raise HeaderError(f"{found}; it has a NUL byte, which no text has")
    try:
        rest = line.decode()
    except UnicodeDecodeError as error:
        raise HeaderError(
            f"{found}; it is not UTF-8 at byte {error.start}",
            "--encoding reads others (windows-1252, latin-1)",
        ) from error
    names = []
    blanks = " " if delimiter == "\t" else " \t"
    while True:
        name, rest, more = _take_field(rest.lstrip(blanks), found, delimiter)
        names.append(name.strip(blanks))
        if not more:
            return names


def _take_field(rest: str, found: str, delimiter: str) -> tuple[str, str, bool]:
    """Take the first field: its text, what follows its delimiter, and whether there was one."""
    if not rest.startswith('"'):
        name, comma, rest = rest.partition(delimiter)
        if '"' in name:
            raise HeaderError(f"{found}; there is a quote inside a name that does not begin with one")
        return name, rest, bool(comma)
    name, position = "", 1
    while True:
        end = rest.find('"', position)
        if end < 0:
            raise HeaderError(f"{found}; a quote is never closed")
        name += rest[position:end]
        if rest[end + 1 : end + 2] != '"':
            break
        name, position = name + '"', end + 2
    after, comma, rest = rest[end + 1 :].partition(delimiter)
    if after.strip(" \t"):
        raise HeaderError(f"{found}; there is text after a closing quote")
    return name, rest, bool(comma)


def _shown(line: bytes) -> str:
    text = line.decode(errors="backslashreplace")
    return repr(text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "…")
