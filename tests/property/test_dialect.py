"""Dialects: the kernel's decoder is the reference decoder, and what Python's csv module writes is read back."""

from __future__ import annotations

import csv
import dataclasses
import io
from typing import TYPE_CHECKING, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_strategies import CsvCase, configs, csv_cases
from holdfast.domain.dialect import THOUSANDS, TYPES, Dialect, DialectError
from holdfast.io.compression import open_source
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.kernel.csv.dialect import in_dialect
from reference_decoder import Config, Row, UnusableHeaderError, decode, rows_of
from reference_details import check_details
from strategies import cut, cuts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hypothesis.strategies import DrawFn

    from holdfast.kernel.batch import Batch

WORDS = {"deposit": ("CR", "Gutschrift", "dépôt"), "withdrawal": ("DR",), "chargeback": ("rück last",)}
FOOTERS = [(), ("Total*",), ("deposit,1*", "*;Summe"), ("*1*1*",), ("exactly this",)]
ODD_AMOUNTS = [
    "1.234", "1,234", "1.234,56", "1,234.56", "12.34,5", "1234.567", "1 234", "1\u00a0234,5", "1\u202f234", "1'234.5",
    "1\u2019234", ".234", ",5", "1.", "1,", "1..234", "1.234.567,8901", "-1.234", "+1,5", "1.23", "1_234", "0.000,1",
    "1.234 567", "1,2,3", "1.2.3", "1 23", " 1 234 ", "\u00a01", "123.456.78",
]  # fmt: skip


@st.composite
def dialects(draw: DrawFn) -> Dialect:
    """Draw a dialect that can be meant."""
    choices: dict[str, Any] = {
        "delimiter": draw(st.sampled_from([",", ";", ";", "\t", "|", ":", "*"])),
        "decimal_comma": draw(st.booleans()),
        "thousands": draw(st.sampled_from(["", "", *THOUSANDS])),
        "skip_rows": draw(st.sampled_from([0, 0, 0, 1, 3])),
        "footer": draw(st.sampled_from(FOOTERS)),
        "types": draw(st.sampled_from([{}, WORDS])),
        "columns": draw(st.sampled_from([{}, {}, {"client": "note"}, {"amount": "Betrag", "tx": "Beleg"}])),
    }
    try:
        return Dialect(**choices)
    except DialectError:
        return Dialect(**{**choices, "thousands": ""})


def translate(data: bytes, dialect: Dialect) -> bytes:
    """Let the signs of plain CSV and of a dialect change places."""
    before, after = [b","], [dialect.delimiter.encode()]
    if dialect.decimal_comma and dialect.delimiter != ",":
        before, after = [*before, b"."], [*after, b","]
    left = [sign for sign in after if sign not in before]
    free = [sign for sign in before if sign not in after]
    return data.translate(bytes.maketrans(b"".join(before + left), b"".join(after + free)))


@st.composite
def dialect_cases(draw: DrawFn) -> CsvCase:
    """Draw streams in a dialect, in all states of repair."""
    case, dialect = draw(csv_cases()), draw(dialects())
    lines = translate(case.data, dialect).split(b"\n")
    sign = dialect.delimiter
    for type_, amount in draw(
        st.lists(
            st.tuples(st.sampled_from(["deposit", *WORDS["deposit"]]), st.sampled_from(ODD_AMOUNTS)),
            max_size=6,
        )
    ):
        dressed = draw(st.sampled_from([amount, f'"{amount}"', f' "{amount}" ']))
        lines.append(f"{type_}{sign}1{sign} 7 {sign}{dressed}".encode())
    lines[0] = lines[0].replace(b"amount", draw(st.sampled_from([b"amount", b"Betrag"])))
    before = draw(
        st.sampled_from([[], [b"Statement"] * dialect.skip_rows, [b"x" * 5000] * dialect.skip_rows])
    )
    after = draw(
        st.sampled_from([[], [b"Total" + sign.encode() + b"5"], [b"exactly this\r", b"", b" Total "]])
    )
    config = dataclasses.replace(case.config, dialect=dialect)
    return CsvCase(config, case.batch_rows, b"\n".join([*before, *lines, *after]))


def run(case: CsvCase, pieces: Iterable[bytes]) -> list[Batch] | None:
    """Decode pieces; None means that there is no usable header."""
    plain = CsvDecoder(case.config.settings(case.batch_rows), keep_source=True)
    decoder = in_dialect(plain, case.config.dialect)
    batches: list[Batch] = []
    try:
        for piece in pieces:
            batches += decoder.feed(piece)
        last = decoder.finish()
    except HeaderError:
        assert not batches
        return None
    return batches if last is None else [*batches, last]


def expect(case: CsvCase) -> list[Row] | None:
    """Decode with the reference; None means that there is no usable header."""
    try:
        return decode(case.data, case.config)
    except UnusableHeaderError:
        return None


@given(dialect_cases(), cuts())
def test_is_the_reference(case: CsvCase, places: list[int]) -> None:
    """Codes, columns, lines, offsets and raw rows are the reference's, however the stream is cut."""
    expected = expect(case)
    for pieces in ([case.data], cut(case.data, places)):
        batches = run(case, pieces)
        assert (None if batches is None else rows_of(batches)) == expected


@given(dialect_cases())
def test_byte_by_byte(case: CsvCase) -> None:
    """One byte at a time is a split like any other."""
    batches = run(case, cut(case.data, range(len(case.data))))
    assert (None if batches is None else rows_of(batches)) == expect(case)


@given(dialect_cases(), st.integers(0, 2**16))
def test_a_later_stretch_is_read_in_the_same_dialect(case: CsvCase, place: int) -> None:
    """A decoder for the rest of the stream gives the rest of the rows."""
    expected = expect(case)
    ends = [at + 1 for at, byte in enumerate(case.data) if byte == 10]
    if not expected or not ends:
        return
    begin = ends[place % len(ends)]
    decoder = in_dialect(CsvDecoder(case.config.settings(), keep_source=True), case.config.dialect)
    first = [*decoder.feed(case.data[:begin]), decoder.flush()]
    if decoder.has_header:
        other = decoder.at(begin)
        rest = [*other.feed(case.data[begin:]), other.finish()]
        found = rows_of(batch for batch in [*first, *rest] if batch is not None)
        assert [row.raw for row in found] == [row.raw for row in expected]
        assert [row.amount for row in found] == [row.amount for row in expected]


@given(dialect_cases())
def test_details_are_true_or_absent(case: CsvCase) -> None:
    """What is said of a row never fails, whatever the dialect; of plain signs it is what is said of plain rows."""
    plain = dataclasses.replace(case.config, dialect=Dialect())
    if case.config.dialect == Dialect(skip_rows=case.config.dialect.skip_rows):
        check_details(case.data, plain)


# --- the csv module ---


def spelled(units: int, decimals: int, dialect: Dialect) -> str:
    """Write an amount as a partner does, with thousands if there is a sign for them."""
    whole, rest = divmod(abs(units), 10**decimals)
    text = f"{whole:,}".replace(",", dialect.thousands)
    point = "," if dialect.decimal_comma else "."
    return ("-" if units < 0 else "") + text + (f"{point}{rest:0{decimals}}" if decimals else "")


ROWS = st.lists(
    st.tuples(
        st.integers(1, 5),
        st.integers(0, 2**16 - 1),
        st.integers(0, 2**32 - 1),
        st.integers(-(10**13), 10**13),
    ),
    max_size=12,
)
QUOTINGS: list[Literal[0, 1, 2]] = [csv.QUOTE_MINIMAL, csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]
FILES = st.tuples(
    st.sampled_from(QUOTINGS),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(
        ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1", "windows-1252", "cp850", "utf-7"]
    ),
)


@given(ROWS, dialects(), configs(), FILES, st.integers(1, 400))
def test_what_the_csv_module_writes_is_read_back(
    rows: list[tuple[int, int, int, int]],
    dialect: Dialect,
    config: Config,
    form: tuple[Literal[0, 1, 2], str, str],
    step: int,
) -> None:
    """Any quoting, encoding, line end, preamble and footer, in steps of any size: what was written comes back."""
    quoting, end, encoding = form
    dialect = dialect.changed({"encoding": encoding, "footer": "Ende*", "skip_rows": 2, "types": WORDS})
    if "\u2019" in dialect.thousands or "\u202f" in dialect.thousands:
        dialect = dialect.changed({"thousands": ""})
    settings = dataclasses.replace(config, client_bits=16, tx_bits=32, row_bytes_max=4096).settings()
    text = io.StringIO()
    text.write(f"Kontoauszug;für,alle{end}{end}")
    writer = csv.writer(text, delimiter=dialect.delimiter, quoting=quoting, lineterminator=end)
    called = dialect.columns
    writer.writerow(
        [
            called.get("amount", "amount"),
            "memo",
            *(called.get(name, name) for name in ("tx", "client", "type")),
        ]
    )
    for type_, client, tx, units in rows:
        word = dialect.types.get(TYPES[type_ - 1], (TYPES[type_ - 1],))[-1]
        amount = spelled(units, config.decimals, dialect)
        writer.writerow([amount, f'a{dialect.delimiter}"é"', str(tx), str(client), word])
    text.write(f"Ende der Datei{end}")
    stream = open_source(io.BytesIO(text.getvalue().encode(encoding)))
    stream.use_encoding(dialect.encoding)
    decoder = in_dialect(CsvDecoder(settings), dialect)
    buffer, batches = bytearray(step), []
    while count := stream.readinto(buffer):
        batches += decoder.feed(bytes(buffer[:count]))
    last = decoder.finish()
    found = [
        row
        for batch in [*batches, *([last] if last is not None else [])]
        for row in zip(batch.outcomes, batch.types, batch.clients, batch.txs, batch.amounts, strict=True)
    ]
    assert found == [(0, type_, client, tx, units if type_ < 3 else 0) for type_, client, tx, units in rows]


@pytest.mark.parametrize(
    ("amount", "thousands", "units"),
    [
        ("1.234", "", None),
        ("1.234", ".", 12_340_000),
        ("1.234,5", ".", 12_345_000),
        ("12.34,5", ".", None),
        ("1234.567", ".", None),
        ("1.234.567,89", ".", 12_345_678_900),
        ("1 234,5", " ", 12_345_000),
        ("1\u00a0234,5", " ", 12_345_000),
        ("1\u202f234,5", " ", 12_345_000),
        ("1'234,5", "'", 12_345_000),
        ("1,5", ".", 15_000),
        ("1,5", "", 15_000),
        ("1,234,5", "", None),
    ],
)
def test_amounts_are_never_guessed(amount: str, thousands: str, units: int | None) -> None:
    """A point is a group of thousands where that was said, and nothing at all where it was not."""
    dialect = Dialect(delimiter=";", decimal_comma=True, thousands=thousands)
    decoder = in_dialect(CsvDecoder(), dialect)
    decoder.feed(f"type;client;tx;amount\ndeposit;1;1;{amount}\n".encode())
    batch = decoder.finish()
    assert batch is not None
    assert batch.outcomes[0] == (0 if units is not None else 16)
    assert units is None or batch.amounts[0] == units


def test_a_comma_that_separates_is_no_decimal_sign_without_quotes() -> None:
    """``deposit,1,1,1,50`` is an amount of 1 and a note, or one of 1.50 without its note: it is refused, and never a guess."""
    decoder = in_dialect(CsvDecoder(), Dialect(decimal_comma=True))
    rows = [
        b'deposit,1,1,"1,50"',
        b'deposit,1,2,"1,50",x',
        b"deposit,1,3,7,x",
        b"deposit,1,4,7",
        b"deposit,1,5,1,50",
        b"deposit,1,6,1,50,x",
        b"dispute,1,1",
    ]
    decoder.feed(b"type,client,tx,amount,note\n" + b"\n".join(rows))
    batch = decoder.finish()
    assert batch is not None
    assert list(batch.outcomes) == [0, 0, 0, 0, 16, 11, 0]
    assert list(batch.amounts)[:4] == [15_000, 15_000, 70_000, 70_000]


def test_where_the_amount_is_last_no_quotes_are_needed() -> None:
    """A comma in it makes a field too many, which is malformed."""
    decoder = in_dialect(CsvDecoder(), Dialect(decimal_comma=True))
    decoder.feed(b'type,client,tx,amount\ndeposit,1,1,5\ndeposit,1,2,1,50\ndeposit,1,3,"1,50"')
    batch = decoder.finish()
    assert batch is not None
    assert list(batch.outcomes) == [0, 11, 0]
