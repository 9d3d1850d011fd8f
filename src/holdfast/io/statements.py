"""Reads accounts from CSV: those that Holdfast writes, and the statements of others that have some of the same columns."""

from __future__ import annotations

import codecs
import csv
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.amount import AmountError, parse_units
from holdfast.io.raw import InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.io.compression import InputStream

AMOUNT_COLUMNS = ("available", "held", "total")
COLUMNS = (*AMOUNT_COLUMNS, "locked")
"""What can be said of a client in a statement, in the order in which it is compared."""
_CLIENT = "client"
_CLIENT_MAX = (1 << 64) - 1
_CLIENT_DIGITS_MAX = 20
_PLAIN_DIGITS_MAX = 9
"""With up to 9 decimals, an amount of so many digits before the point is in range for sure."""
_READ_BYTES = 1 << 20
_LINE_CHARS_MAX = 65_536
_LOCKED = {"true": 1, "false": 0, "1": 1, "0": 0, "yes": 1, "no": 0}


class Statement(NamedTuple):
    """Accounts as somebody states them."""

    name: str
    columns: tuple[str, ...]
    """Which of :data:`COLUMNS` are stated, in that order."""
    accounts: dict[int, tuple[int, ...]]
    """For each client the values of these columns: units, and 1 or 0 for locked."""


def read_statement(
    stream: InputStream, decimals: int, on_progress: Callable[[int], None] | None = None
) -> Statement:
    """Read a statement: a header with ``client`` and some of :data:`COLUMNS`, in any order; other columns do not count.

    Args:
        stream: The input; it stays open.
        decimals: How many decimals amounts have.
        on_progress: Called now and then with how many bytes are read.

    Raises:
        InputError: If a line is none of a statement, or names a client again; the message says which line and why.
        OSError: If it cannot be read.
    """
    rows = csv.reader(_lines(stream, on_progress), strict=True)
    try:
        places, columns = _read_header(stream.name, next(rows, []))
        width = max(places) + 1
        client_place = places[0]
        readers = [
            (_locked if column == "locked" else _amount_reader(column, decimals), place)
            for column, place in zip(columns, places[1:], strict=True)
        ]
        accounts: dict[int, tuple[int, ...]] = {}
        for row in rows:
            if not row:
                continue
            if len(row) < width:
                raise ValueError(f"the line has {len(row)} fields, the header names {width}")  # noqa: TRY301  # one place adds the line
            client = _client(row[client_place])
            if client in accounts:
                raise ValueError(f"client {client} was there already")  # noqa: TRY301  # the same
            accounts[client] = tuple([read(row[place]) for read, place in readers])
    except InputError:
        raise
    except (ValueError, csv.Error) as error:
        raise InputError(stream.name, f"line {max(1, rows.line_num)}: {error}") from error
    return Statement(stream.name, columns, accounts)


def _read_header(name: str, header: Sequence[str]) -> tuple[list[int], tuple[str, ...]]:
    names = [field.strip().lower() for field in header]
    wanted = [each for each in (_CLIENT, *COLUMNS) if each in names]
    if _CLIENT not in wanted or len(wanted) < 2:
        raise InputError(
            name,
            f"line 1: a statement begins with a header that has client and some of {', '.join(COLUMNS)}; this one has "
            f"{', '.join(map(repr, header[:8])) or 'nothing'}",
        )
    twice = [each for each in wanted if names.count(each) > 1]
    if twice:
        raise InputError(name, f"line 1: the column {twice[0]} is there more than once")
    return [names.index(each) for each in wanted], tuple(wanted[1:])


def _client(text: str) -> int:
    digits = text.strip()
    if digits.isascii() and digits.isdigit() and len(digits) <= _CLIENT_DIGITS_MAX:
        client = int(digits)
        if client <= _CLIENT_MAX:
            return client
    raise ValueError(f"client {text[:40]!r} is no number from 0 to {_CLIENT_MAX}")


def _locked(text: str) -> int:
    value = _LOCKED.get(text.strip().lower())
    if value is None:
        raise ValueError(f"locked is true or false, not {text[:40]!r}")
    return value


def _amount_reader(column: str, decimals: int) -> Callable[[str], int]:
    """Give what reads the amounts of a column: the usual form at once, all others by the rules."""

    def read(text: str) -> int:
        whole, _, fraction = text.partition(".")
        if len(fraction) == decimals and len(whole) <= _PLAIN_DIGITS_MAX and text.isascii():
            digits = whole + fraction
            if digits.isdigit() and whole:
                return int(digits)
        try:
            return parse_units(text.strip(), decimals)
        except AmountError as error:
            raise ValueError(f"{column} {text[:40]!r}: {error.outcome.explanation}") from error

    return read


def _lines(stream: InputStream, on_progress: Callable[[int], None] | None) -> Iterator[str]:
    """Give the lines of an input, with their ends.

    Raises:
        InputError: If one is not UTF-8, or longer than any line of a statement.
    """
    buffer = bytearray(_READ_BYTES)
    decoder = codecs.getincrementaldecoder("utf-8-sig")()
    number, rest = 1, ""
    count = len(buffer)
    while count:
        count = stream.readinto(buffer)
        if on_progress is not None:
            on_progress(stream.raw_position())
        try:
            text = decoder.decode(bytes(memoryview(buffer)[:count]), final=not count)
        except UnicodeDecodeError as error:
            number += error.object[: error.start].count(b"\n")
            raise InputError(stream.name, f"line {number}: this is not UTF-8") from error
        *lines, rest = (rest + text).split("\n")
        for line in lines:
            yield line + "\n"
        number += len(lines)
        if len(rest) > _LINE_CHARS_MAX:
            raise InputError(
                stream.name, f"line {number}: it goes on for more than {_LINE_CHARS_MAX} characters"
            )
    if rest:
        yield rest
