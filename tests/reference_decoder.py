"""A slow, obviously correct decoder: whole bytes in, rows out.

Written from the contract alone, without a look at the real decoder, so that the two can be held against
each other. It shares nothing with the package but what a dialect is, the outcome codes and the type numbers.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from typing import TYPE_CHECKING

from holdfast.domain.dialect import Dialect
from holdfast.domain.outcome import UNDECIDED, Outcome
from holdfast.domain.rules import make_rules
from holdfast.domain.settings import BATCH_ROWS_DEFAULT, make_settings
from holdfast.domain.transaction import TransactionType
from reference_digest import hash_text, signed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from holdfast.domain.settings import Settings
    from holdfast.kernel.batch import Batch

BOM = b"\xef\xbb\xbf"
BLANKS = b" \t"
UNITS_MAX = 2**63 - 1
NEEDED = (b"type", b"client", b"tx")
TYPES = {type_.name.lower().encode(): type_ for type_ in TransactionType}


@dataclass(frozen=True, slots=True)
class Config:
    """What decides how bytes are read; the defaults are those of the real decoder."""

    decimals: int = 4
    client_bits: int = 16
    tx_bits: int = 32
    row_bytes_max: int = 4096
    excess_decimals: str = "refuse"
    dialect: Dialect = dataclasses.field(default_factory=Dialect)

    def settings(self, batch_rows: int = BATCH_ROWS_DEFAULT) -> Settings:
        """Give the same to the real decoder."""
        return make_settings(
            make_rules({"excess_decimals": self.excess_decimals}),
            decimals=self.decimals,
            client_bits=self.client_bits,
            tx_bits=self.tx_bits,
            row_bytes_max=self.row_bytes_max,
            batch_rows=batch_rows,
        )


@dataclass(frozen=True, slots=True)
class Row:
    """One row as a batch holds it."""

    outcome: int
    type: int
    client: int
    tx: int
    amount: int
    line: int
    offset: int
    raw: bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One line without its line end, and where it stands."""

    number: int
    offset: int
    raw: bytes


class UnusableHeaderError(ValueError):
    """There is no header, or one that cannot be worked with."""


class RowFaultError(Exception):
    """The first check that a row fails."""

    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome.name)
        self.outcome = outcome


def decode(data: bytes, config: Config = Config()) -> list[Row]:
    """Read a whole stream.

    Raises:
        UnusableHeaderError: If no row can be read for want of a header.
    """
    lines = (line for line in lines_with_content(data) if line.number > config.dialect.skip_rows)
    header = read_header(next(lines, None), config)
    return [read_row(line, header, config) for line in lines if not is_footer(line.raw, config)]


def is_footer(raw: bytes, config: Config) -> bool:
    """Say whether a line, trimmed, is what a pattern says, where stars are any text."""
    pieces = [
        [re.escape(piece) for piece in pattern.strip(" \t").split("*")] for pattern in config.dialect.footer
    ]
    return len(raw) <= config.row_bytes_max and any(
        re.fullmatch(".*".join(each).encode(), raw.strip(BLANKS), re.DOTALL) for each in pieces
    )


def lines_with_content(data: bytes) -> Iterator[Line]:
    """Leave out the blank lines, however long they are."""
    return (line for line in split_lines(data) if line.raw.strip(BLANKS))


def split_lines(data: bytes) -> Iterator[Line]:
    """Cut at every LF; a CR before it, or before the end of the stream, belongs to the line end."""
    start = len(BOM) if data.startswith(BOM) else 0
    number = 0
    while start < len(data):
        number += 1
        end = data.find(b"\n", start)
        end = len(data) if end < 0 else end
        yield Line(number, start, data[start:end].removesuffix(b"\r"))
        start = end + 1


def read_header(line: Line | None, config: Config) -> list[bytes]:
    """Give the names of all columns in lower case.

    Raises:
        UnusableHeaderError: If there is no header, it has a CR that ends no line, or a column that is needed is
            missing or named twice.
    """
    if line is None:
        raise UnusableHeaderError("no header")
    if b"\r" in line.raw:
        raise UnusableHeaderError(line.raw)
    try:
        check_length(line.raw, config)
        names = [field.lower() for field in split_fields(line.raw, config.dialect.delimiter.encode())]
    except RowFaultError as fault:
        raise UnusableHeaderError(line.raw) from fault
    columns = config.dialect.columns
    called = {
        columns.get(name.decode(), name.decode()).lower().encode(): name for name in (*NEEDED, b"amount")
    }
    names = [called.get(name, b"") for name in names]
    if any(names.count(name) != 1 for name in NEEDED) or names.count(b"amount") > 1:
        raise UnusableHeaderError(line.raw)
    if "amount" in columns and b"amount" not in names:
        raise UnusableHeaderError(line.raw)
    return names


def read_row(line: Line, header: list[bytes], config: Config) -> Row:
    """Check a row in the order of the outcomes; what was read before the first fault is kept."""
    outcome: int = UNDECIDED
    known: dict[str, int] = {"type": 0, "client": 0, "tx": 0, "amount": 0}
    try:
        check_length(line.raw, config)
        fields = name_fields(split_fields(line.raw, config.dialect.delimiter.encode()), header)
        known["type"] = read_type(fields[b"type"], config.dialect)
        known["client"] = read_id(fields[b"client"], config.client_bits, Outcome.INVALID_CLIENT)
        known["tx"] = read_id(fields[b"tx"], config.tx_bits, Outcome.INVALID_TX)
        if known["type"] in {TransactionType.DEPOSIT, TransactionType.WITHDRAWAL}:
            known["amount"] = read_amount(fields.get(b"amount", b""), config)
    except RowFaultError as fault:
        outcome = fault.outcome
        known["amount"] = signed(hash_text(line.raw[: config.row_bytes_max]))
    return Row(outcome, **known, line=line.number, offset=line.offset, raw=line.raw[: config.row_bytes_max])


def check_length(raw: bytes, config: Config) -> None:
    """Refuse a row beyond the limit."""
    if len(raw) > config.row_bytes_max:
        raise RowFaultError(Outcome.ROW_TOO_LONG)


class Quoted(bytes):
    """A field that had quotes, or cannot go on in the next one for another reason."""

    __slots__ = ()


def split_fields(raw: bytes, delimiter: bytes = b",") -> list[bytes]:
    """Give the fields of a row, unquoted and trimmed."""
    if b"\0" in raw:
        raise RowFaultError(Outcome.MALFORMED_ROW)
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError:
        raise RowFaultError(Outcome.MALFORMED_ROW) from None
    fields = []
    rest: bytes | None = raw
    while rest is not None:
        field, rest = take_field(rest, delimiter)
        fields.append(type(field)(field.strip(BLANKS.replace(delimiter, b""))))
    return fields


def take_field(text: bytes, delimiter: bytes = b",") -> tuple[bytes, bytes | None]:
    """Split off the first field; the rest is None when there is no delimiter behind it."""
    blanks = BLANKS.replace(delimiter, b"")
    if text.lstrip(blanks).startswith(b'"'):
        return take_quoted(text.lstrip(blanks)[1:], delimiter)
    field, comma, rest = text.partition(delimiter)
    if b'"' in field:
        raise RowFaultError(Outcome.MALFORMED_ROW)
    return field, rest if comma else None


def take_quoted(text: bytes, delimiter: bytes) -> tuple[bytes, bytes | None]:
    """Split off a quoted field, whose opening quote is gone already."""
    content = b""
    while True:
        piece, quote, text = text.partition(b'"')
        content += piece
        if not quote:
            raise RowFaultError(Outcome.MALFORMED_ROW)
        if not text.startswith(b'"'):
            break
        content += b'"'
        text = text[1:]
    behind, comma, rest = text.partition(delimiter)
    if behind.strip(BLANKS.replace(delimiter, b"")):
        raise RowFaultError(Outcome.MALFORMED_ROW)
    return Quoted(content), rest if comma else None


def name_fields(fields: list[bytes], header: list[bytes]) -> dict[bytes, bytes]:
    """Put names to fields; type, client and tx have to be there."""
    at = header.index(b"amount") if b"amount" in header else len(fields)
    rest = fields[at + 1 : at + 2]
    if at < len(fields) and (
        header[-1] in {*NEEDED, b"amount"}
        or not rest
        or isinstance(rest[0], Quoted)
        or not re.fullmatch(rb"[0-9]+", rest[0])
    ):
        fields[at] = Quoted(fields[at])
    named = dict(zip(header, fields, strict=False))
    if len(fields) > len(header) or not all(name in named for name in NEEDED):
        raise RowFaultError(Outcome.MALFORMED_ROW)
    return named


def read_type(field: bytes, dialect: Dialect = Dialect()) -> TransactionType:  # noqa: B008  # a frozen value
    """Know the five types, and the dialect's words, in any case; ``bytes.lower`` leaves everything but ASCII alone."""
    words = TYPES | {
        word.encode().lower(): TYPES[name.encode()] for name, words in dialect.types.items() for word in words
    }
    if field.lower() not in words:
        raise RowFaultError(Outcome.UNKNOWN_TYPE)
    return words[field.lower()]


def read_id(field: bytes, bits: int, outcome: Outcome) -> int:
    """Read digits, as many as there are."""
    if not re.fullmatch(rb"[0-9]+", field):
        raise RowFaultError(outcome)
    # Decimal, because int() refuses thousands of digits.
    value = int(Decimal(field.decode()))
    if value >= 2**bits:
        raise RowFaultError(outcome)
    return value


def read_amount(field: bytes, config: Config) -> int:
    """Read a plain decimal as units, by way of an exact fraction."""
    if not field:
        raise RowFaultError(Outcome.MISSING_AMOUNT)
    plain = write_plainly(field, config.dialect)
    if not re.fullmatch(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)", plain):
        raise RowFaultError(Outcome.INVALID_AMOUNT)
    exact = Fraction(Decimal(plain.decode())) * 10**config.decimals
    if exact.denominator != 1 and config.excess_decimals == "refuse":
        raise RowFaultError(Outcome.AMOUNT_TOO_PRECISE)
    # round() of a fraction goes half to even, int() towards zero.
    units = round(exact) if config.excess_decimals == "half_even" else int(exact)
    if abs(units) > UNITS_MAX:
        raise RowFaultError(Outcome.AMOUNT_OUT_OF_RANGE)
    return units


def write_plainly(field: bytes, dialect: Dialect) -> bytes:
    """Write an amount of a dialect with a point and without thousands; what it cannot be becomes no number."""
    sign = "," if dialect.decimal_comma else "."
    if sign == dialect.delimiter and not isinstance(field, Quoted):
        return b"?"
    text = field.decode()
    whole, point, decimals = text.partition(sign)
    kinds = [" \u00a0\u202f", "'\u2019"]
    signs = (
        next((kind for kind in kinds if dialect.thousands in kind), dialect.thousands)
        if dialect.thousands
        else ""
    )
    if any(each in whole for each in signs):
        if not re.fullmatch(f"[+-]?[0-9]{{1,3}}([{re.escape(signs)}][0-9]{{3}})*", whole):
            return b"?"
        whole = re.sub(f"[{re.escape(signs)}]", "", whole)
    elif dialect.decimal_comma and "." in whole:
        return b"?"
    if any(each in decimals for each in ".,"):
        return b"?"
    return (whole + ("." if point else "") + decimals).encode()


def rows_of(batches: Iterable[Batch]) -> list[Row]:
    """Give the rows of real batches (whose decoder kept the source) in the form of this module."""
    return [
        Row(*columns, line=batch.line(row), offset=batch.offset(row), raw=bytes(batch.raw(row)))
        for batch in batches
        for row, columns in enumerate(
            zip(batch.outcomes, batch.types, batch.clients, batch.txs, batch.amounts, strict=True)
        )
    ]
