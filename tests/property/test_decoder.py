"""The kernel's decoder is the reference decoder, on bytes in all states of repair, however they are split."""

from __future__ import annotations

import dataclasses
import random
import runpy
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_strategies import CsvCase, configs, csv_cases, seeded_csv
from holdfast.domain.amount import UNITS_MAX
from holdfast.domain.outcome import Outcome, Phase
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from reference_decoder import Config, Row, UnusableHeaderError, decode, rows_of
from strategies import cut, cuts, edge_integers, ids

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hypothesis.strategies import DrawFn

    from holdfast.kernel.batch import Batch
    from scenarios import TransactionRow

TESTS = Path(__file__).parents[1]
HEADER = b"type,client,tx,amount\n"


def make_decoder(config: Config, batch_rows: int = 8192, *, keep_source: bool = True) -> CsvDecoder:
    """Make the real decoder with the configuration of the reference."""
    return CsvDecoder(config.settings(batch_rows), keep_source=keep_source)


def run(case: CsvCase, pieces: Iterable[bytes], *, keep_source: bool = True) -> list[Batch] | None:
    """Decode pieces; None means that there is no usable header."""
    decoder = make_decoder(case.config, case.batch_rows, keep_source=keep_source)
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


def in_batches(rows: list[Row], batch_rows: int) -> list[list[Row]]:
    """Cut rows into full batches and one with the rest."""
    return [rows[start : start + batch_rows] for start in range(0, len(rows), batch_rows)]


@given(csv_cases())
def test_is_the_reference(case: CsvCase) -> None:
    """Codes, columns, lines, offsets and raw rows are the reference's; all batches but the last are full."""
    batches, expected = run(case, [case.data]), expect(case)
    assert (batches is None) == (expected is None)
    if batches is not None and expected is not None:
        assert [rows_of([batch]) for batch in batches] == in_batches(expected, case.batch_rows)
        assert [batch.rows for batch in batches] == [len(rows_of([batch])) for batch in batches]


@given(csv_cases(), cuts())
def test_any_split_gives_the_same_batches(case: CsvCase, places: list[int]) -> None:
    """Splitting the input changes nothing, not even where batches end."""
    batches, expected = run(case, cut(case.data, places)), expect(case)
    assert (batches is None) == (expected is None)
    if batches is not None and expected is not None:
        assert [rows_of([batch]) for batch in batches] == in_batches(expected, case.batch_rows)


@pytest.mark.parametrize("seed", range(24))
def test_seeded_streams(seed: int) -> None:
    """Long streams with everything in them, whole and in pieces."""
    case = seeded_csv(seed, 1_500)
    expected = expect(case)
    assert expected is not None
    source = random.Random(seed)
    for places in ([], [source.randrange(len(case.data)) for _ in range(source.choice([3, 300, 30_000]))]):
        batches = run(case, cut(case.data, places))
        assert batches is not None
        assert [rows_of([batch]) for batch in batches] == in_batches(expected, case.batch_rows)


def test_seeded_streams_reach_every_code() -> None:
    """The seeded streams have many well-formed rows and reach all codes of the decoder."""
    rows = [row.outcome for seed in range(24) for row in expect(seeded_csv(seed, 300)) or []]
    assert set(rows) == {0} | {outcome for outcome in Outcome if outcome.phase is Phase.DECODE}
    assert rows.count(0) > len(rows) // 4


@pytest.mark.parametrize(
    "data",
    [
        HEADER + b"deposit,1,2,3\r",
        HEADER + b"deposit,1,2,3\r\r",
        HEADER + b"deposit,1,2,3\r\r\n",
        HEADER + b"\r",
        HEADER + b"dispute,1,2\r\n\r",
        HEADER + b'"dispute,1,2\r',
        HEADER + b"\xef\xbb\xbfdispute,1,2",
        b"\xef\xbb\xbf" + HEADER + b"dispute,1,2",
        b"\xef\xbb\xbf\xef\xbb\xbf" + HEADER + b"dispute,1,2",
        b"\n\xef\xbb\xbf" + HEADER + b"dispute,1,2",
        b"\xef\xbb",
        b"type,client,tx,amount,amount\n",
        b"type,client,tx,note,note\ndispute,1,2\n",
        "type,client,tx\nchargebac\u212a,1,2\n".encode(),
    ],
)
def test_hard_cases(data: bytes) -> None:
    """Tricky small streams decode the same in every split in two, and byte by byte."""
    case = CsvCase(Config(), 8192, data)
    expected = expect(case)
    for places in (*([place] for place in range(len(data))), range(len(data))):
        batches = run(case, cut(data, places))
        assert (None if batches is None else rows_of(batches)) == expected


@given(csv_cases(rows_max=6))
def test_byte_by_byte(case: CsvCase) -> None:
    """One byte at a time is a split like any other."""
    batches, expected = run(case, cut(case.data, range(len(case.data)))), expect(case)
    assert (batches is None) == (expected is None)
    if batches is not None and expected is not None:
        assert [rows_of([batch]) for batch in batches] == in_batches(expected, case.batch_rows)


@given(csv_cases(), cuts())
def test_flushing_moves_batches_only(case: CsvCase, places: list[int]) -> None:
    """Flushing at any time gives the same rows, and all rows whose lines have ended by then."""
    expected = expect(case)
    if expected is None:
        return
    decoder = make_decoder(case.config, case.batch_rows)
    batches: list[Batch | None] = []
    fed = 0
    for piece in cut(case.data, places):
        batches += decoder.feed(piece)
        batches.append(decoder.flush())
        fed += len(piece)
        complete = case.data.rfind(b"\n", 0, fed)
        found = sum(batch.rows for batch in batches if batch is not None)
        assert found >= sum(row.offset <= complete for row in expected)
    assert decoder.flush() is None
    batches.append(decoder.finish())
    assert rows_of(batch for batch in batches if batch is not None) == expected
    assert all(batch.rows for batch in batches if batch is not None)


@given(csv_cases(), cuts(), st.sampled_from([bytes, bytearray, memoryview]))
def test_batches_own_their_rows(case: CsvCase, places: list[int], kind: type) -> None:
    """A chunk may be any buffer, and may be overwritten as soon as feed() has returned."""
    expected = expect(case)
    if expected is None:
        return
    decoder = make_decoder(case.config, case.batch_rows)
    batches: list[Batch | None] = []
    for piece in cut(case.data, places):
        chunk = bytearray(piece)
        batches += decoder.feed(kind(chunk))
        chunk[:] = b"9" * len(chunk)
    batches.append(decoder.finish())
    del decoder
    assert rows_of(batch for batch in batches if batch is not None) == expected


@given(csv_cases(), cuts())
def test_without_source(case: CsvCase, places: list[int]) -> None:
    """Without the source, everything but the raw rows is available."""
    batches, expected = run(case, cut(case.data, places), keep_source=False), expect(case)
    assert (batches is None) == (expected is None)
    if batches is None or expected is None:
        return
    found = [
        (*columns, batch.line(row), batch.offset(row))
        for batch in batches
        for row, columns in enumerate(
            zip(batch.outcomes, batch.types, batch.clients, batch.txs, batch.amounts, strict=True)
        )
    ]
    assert found == [dataclasses.astuple(row)[:-1] for row in expected]


# --- headers ---


@pytest.mark.parametrize(
    ("header", "found"),
    [
        (b"kind,client,tx,amount\n", "kind"),
        (b"type,client,amount\n", "amount"),
        (b"type,client,tx,client\n", "client"),
        (b"type,client,tx,amount,AMOUNT\n", "amount"),
        (b"deposit,1,1,1.0\n", "deposit"),
    ],
)
def test_header_error_names_what_was_found(header: bytes, found: str) -> None:
    """The error of an unusable header shows the header."""
    decoder = CsvDecoder()
    with pytest.raises(HeaderError, match=f"(?i){found}") as caught:
        decoder.feed(header)
    assert isinstance(caught.value, ValueError)


@pytest.mark.parametrize("nothing", [b"", b"\xef\xbb\xbf", b"\n", b" \t\r\n\n", b"\r"])
def test_nothing_at_all(nothing: bytes) -> None:
    """Without a header there is an error, at the end of the input at the latest."""
    decoder = CsvDecoder()
    assert decoder.feed(nothing) == []
    with pytest.raises(HeaderError):
        decoder.finish()


@pytest.mark.parametrize(
    "header", [b"type,client,tx,amount", b"type,client,tx\n", b"tx,type,client\r\n", b"TYPE,client,tx\r"]
)
def test_header_alone(header: bytes) -> None:
    """A header without rows is a valid, empty stream."""
    decoder = CsvDecoder()
    assert decoder.feed(header) == []
    assert decoder.finish() is None


@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf \n"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
@pytest.mark.parametrize("excess", [-3, -1, 0, 1, 2, 3, 4, 500])
@pytest.mark.parametrize("chunk", [5, 1_000_000])
def test_header_limit(start: bytes, end: bytes, excess: int, chunk: int) -> None:
    """A header may be as long as a row; neither its line end nor a byte order mark counts."""
    header = b"type,client,tx,".ljust(40 + excess - 6) + b"amount"
    data = start + header + end + b"deposit,1,2,3" + end
    case = CsvCase(Config(row_bytes_max=40), 8192, data)
    batches, expected = run(case, cut(data, range(0, len(data), chunk))), expect(case)
    assert (expected is None) == (excess > 0)
    assert (None if batches is None else rows_of(batches)) == expected


# --- limits ---


@pytest.mark.parametrize("limit", [32, 64, 100, 4096, 70_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"\r"])
@pytest.mark.parametrize("excess", [-1, 0, 1, 2, 5_000])
@pytest.mark.parametrize("chunk", [13, 1_000_000])
def test_row_limit(limit: int, end: bytes, excess: int, chunk: int) -> None:
    """A row may be as long as the limit without its line end, wherever the input is split."""
    row = b"deposit,1,2,3".ljust(limit + excess)
    data = HEADER + row + end
    case = CsvCase(Config(row_bytes_max=limit), 8192, data)
    batches = run(case, cut(data, range(0, len(data), chunk)))
    assert batches is not None
    (found,) = rows_of(batches)
    assert found.outcome == (Outcome.ROW_TOO_LONG if excess > 0 else 0)
    assert found.raw == row[:limit]


def test_endless_line() -> None:
    """A line that is too long becomes one row, and the next line is read normally."""
    decoder = CsvDecoder(keep_source=True)
    batches: list[Batch | None] = []
    batches += decoder.feed(HEADER)
    for _ in range(200):
        batches += decoder.feed(b"x" * 65_536)
    batches += decoder.feed(b"\ndeposit,1,2,3\n")
    batches.append(decoder.finish())
    long, good = rows_of(batch for batch in batches if batch is not None)
    assert (long.outcome, long.line, long.offset, long.raw) == (Outcome.ROW_TOO_LONG, 2, 22, b"x" * 4096)
    assert (good.outcome, good.line, good.offset) == (0, 3, 22 + 200 * 65_536 + 1)
    assert (good.type, good.client, good.tx, good.amount) == (1, 1, 2, 30_000)


@pytest.mark.parametrize("bits", [16, 32, 64])
@pytest.mark.parametrize("beyond", [0, 1])
def test_widths(bits: int, beyond: int) -> None:
    """The last id of a width is accepted, the next is not, and zeros in front do not count."""
    number = 2**bits - 1 + beyond
    for client_column in (True, False):
        config = Config(client_bits=bits if client_column else 64, tx_bits=64 if client_column else bits)
        ids_text = (f"000{number}", "7") if client_column else ("7", f"{number:030}")
        case = CsvCase(config, 8192, HEADER + f"dispute,{','.join(ids_text)}\n".encode())
        batches = run(case, [case.data])
        assert batches is not None
        (row,) = rows_of(batches)
        refused = Outcome.INVALID_CLIENT if client_column else Outcome.INVALID_TX
        assert row.outcome == (refused if beyond else 0)
        assert (row.client if client_column else row.tx) == (0 if beyond else number)


# --- round trips ---


@st.composite
def spelled_amounts(draw: DrawFn, units: int, decimals: int) -> str:
    """Spell an amount in one of its many ways."""
    whole, _, fraction = f"{Decimal(abs(units)).scaleb(-decimals):f}".partition(".")
    fraction = draw(st.sampled_from([fraction, fraction.rstrip("0"), fraction + "000"]))
    point = "." if fraction else draw(st.sampled_from(["", "."]))
    if whole == "0" and fraction:
        whole = draw(st.sampled_from(["0", "", "00"]))
    sign = "-" if units < 0 else draw(st.sampled_from(["", "+"]))
    return sign + whole + point + fraction


@st.composite
def spelled_rows(draw: DrawFn, config: Config) -> tuple[TransactionRow, bytes]:
    """Draw a transaction and one of the ways to write it."""
    type_ = draw(st.sampled_from(list(TransactionType)))
    client, tx = draw(ids(config.client_bits)), draw(ids(config.tx_bits))
    units = draw(edge_integers(-UNITS_MAX, UNITS_MAX)) if type_ <= TransactionType.WITHDRAWAL else 0
    recase = draw(st.sampled_from([str.lower, str.upper, str.title, str.swapcase]))
    fields = [recase(type_.name), f"{draw(st.sampled_from(['', '0', '000']))}{client}", str(tx)]
    if type_ <= TransactionType.WITHDRAWAL:
        fields.append(draw(spelled_amounts(units, config.decimals)))
    else:
        fields += draw(st.sampled_from([[], [""], ["1.5"], ["nonsense"]]))
    dress = draw(st.sampled_from(["{}", " {}", "\t{} ", '"{}"', ' " {}" ', '"{} "\t']))
    end = draw(st.sampled_from(["\n", "\r\n", "\n\n", "\r\n \n"]))
    return (int(type_), client, tx, units), (",".join(dress.format(field) for field in fields) + end).encode()


@given(st.data(), configs(), st.integers(1, 9), cuts())
def test_round_trip(data: st.DataObject, config: Config, batch_rows: int, places: list[int]) -> None:
    """Written rows are read back, in any spelling, with any decimals and widths."""
    config = dataclasses.replace(config, row_bytes_max=4096)
    rows = data.draw(st.lists(spelled_rows(config), max_size=20))
    text = HEADER + b"".join(line for _, line in rows)
    batches = run(CsvCase(config, batch_rows, text), cut(text, places))
    assert batches is not None
    found = [(row.outcome, row.type, row.client, row.tx, row.amount) for row in rows_of(batches)]
    assert found == [(0, *row) for row, _ in rows]


@pytest.mark.parametrize("separator", [b",", b", ", b" ,\t"])
@pytest.mark.parametrize("chunk", [1_021, 65_536, 10_000_000])
def test_long_plain_stream(separator: bytes, chunk: int) -> None:
    """Many plain rows with a bad one now and then, in chunks that end anywhere."""
    source = random.Random(chunk)
    lines = [HEADER]
    for tx in range(20_000):
        row = [source.choice([b"deposit", b"withdrawal"]), b"%d" % source.randrange(70_000), b"%d" % tx]
        row.append(b"%d.%0*d" % (source.randrange(10**6), source.randrange(1, 6), source.randrange(10)))
        lines.append(
            separator.join(row) + source.choice([b"\n"] * 50 + [b"\r\n", b'"\n', b"\n\n", b"\xff\n"])
        )
    data = b"".join(lines)
    case = CsvCase(Config(), 1_000, data)
    batches = run(case, cut(data, range(0, len(data), chunk)))
    assert batches is not None
    assert {batch.rows for batch in batches[:-1]} == {1_000}
    assert rows_of(batches) == expect(case)


# --- the fuzz target ---


@pytest.mark.parametrize("seed", sorted((TESTS / "fuzz" / "corpus").iterdir()), ids=lambda path: path.name)
def test_fuzz_corpus(seed: Path) -> None:
    """The fuzz target's own checks hold for every file of its corpus."""
    target = runpy.run_path(str(TESTS / "fuzz" / "fuzz_decoder.py"))
    target["check"](seed.read_bytes())


@given(
    st.lists(
        st.tuples(
            st.sampled_from([b" ", b"\t", b" \t"]),
            st.integers(0, 40),
            st.sampled_from([b"", b"\r", b"x", b"\r ", b" \r\r"]),
        ),
        max_size=6,
    ),
    st.integers(22, 32),
    cuts(),
    st.booleans(),
)
def test_a_line_of_blanks_is_blank_whatever_its_length(
    lines: list[tuple[bytes, int, bytes]], row_bytes_max: int, places: list[int], is_before_header: bool
) -> None:
    """A row number does not depend on the row limit, also where most of a blank line is not kept until its end comes."""
    blanks = b"".join(
        (blank * count)[:40] + end + b"\n"
        for blank, count, end in lines
        if not is_before_header or end in b"\r"
    )
    header, row = b"type,client,tx,amount\n", b"deposit,1,1,1\n"
    data = blanks + header + row if is_before_header else header + blanks + row
    config = Config(row_bytes_max=row_bytes_max)
    decoder = CsvDecoder(config.settings(), keep_source=True)
    batches = [batch for piece in cut(data, places) for batch in [*decoder.feed(piece), decoder.flush()]]
    assert rows_of(batch for batch in [*batches, decoder.finish()] if batch is not None) == decode(
        data, config
    )
    unlimited = decode(data, Config())
    assert [each.line for each in decode(data, config)] == [each.line for each in unlimited]
