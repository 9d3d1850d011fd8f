"""The kernel's NDJSON decoder is the reference decoder, on bytes in all states of repair, however they are split."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import given

from holdfast.domain.outcome import Outcome, Phase
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ndjson.decoder import NdjsonDecoder
from ndjson_strategies import NdjsonCase, ndjson_cases, plain_row, seeded_ndjson
from reference_decoder import Config, Row, rows_of
from reference_ndjson import DEFAULT, decode_ndjson
from strategies import cut, cuts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.kernel.batch import Batch

DISPUTE = b'{"type":"dispute","client":1,"tx":2}'


def run(case: NdjsonCase, pieces: Iterable[bytes]) -> list[Batch]:
    """Decode pieces."""
    decoder = NdjsonDecoder(case.config.settings(case.batch_rows), keep_source=True)
    batches = [batch for piece in pieces for batch in decoder.feed(piece)]
    last = decoder.finish()
    assert decoder.carried == 0
    return batches if last is None else [*batches, last]


def expect(case: NdjsonCase) -> list[list[Row]]:
    """Decode with the reference, in batches as they must come."""
    rows = decode_ndjson(case.data, case.config)
    return [rows[start : start + case.batch_rows] for start in range(0, len(rows), case.batch_rows)]


def in_rows(batches: Iterable[Batch]) -> list[list[Row]]:
    """Give the rows of each batch."""
    return [rows_of([batch]) for batch in batches]


def decode_one(line: bytes, config: Config = DEFAULT) -> Row:
    """Decode one line, once in one piece and once byte by byte, and hold it against the reference."""
    case = NdjsonCase(config, 8192, line)
    found = rows_of(run(case, [line]))
    assert found == rows_of(run(case, cut(line, range(len(line))))) == decode_ndjson(line, config)
    (row,) = found
    return row


@given(ndjson_cases())
def test_is_the_reference(case: NdjsonCase) -> None:
    """Codes, columns, lines, offsets and raw rows are the reference's; all batches but the last are full."""
    assert in_rows(run(case, [case.data])) == expect(case)


@given(ndjson_cases(), cuts())
def test_any_split_gives_the_same_batches(case: NdjsonCase, places: list[int]) -> None:
    """Splitting the input changes nothing, not even where batches end."""
    assert in_rows(run(case, cut(case.data, places))) == expect(case)


@given(ndjson_cases(rows_max=6))
def test_byte_by_byte(case: NdjsonCase) -> None:
    """One byte at a time is a split like any other."""
    assert in_rows(run(case, cut(case.data, range(len(case.data))))) == expect(case)


@given(ndjson_cases(), cuts())
def test_flushing_moves_batches_only(case: NdjsonCase, places: list[int]) -> None:
    """Flushing at any time gives the same rows, and all rows whose lines have ended by then."""
    decoder = NdjsonDecoder(case.config.settings(case.batch_rows), keep_source=True)
    batches: list[Batch | None] = []
    for piece in cut(case.data, places):
        batches += [*decoder.feed(piece), decoder.flush()]
    batches.append(decoder.finish())
    assert rows_of(batch for batch in batches if batch is not None) == [
        row for rows in expect(case) for row in rows
    ]


@given(ndjson_cases(), cuts())
def test_a_later_stretch(case: NdjsonCase, places: list[int]) -> None:
    """A decoder for the lines from some place on gives the same rows, once it is told how many lines came before."""
    ends = [place for place in places if case.data[:place].endswith(b"\n")]
    at = ends[0] if ends else 0
    first = NdjsonDecoder(case.config.settings(), keep_source=True)
    batches = [*first.feed(case.data[:at]), first.flush()]
    rest = first.at(at)
    later = [*rest.feed(case.data[at:]), rest.finish()]
    for batch in later:
        if batch is not None:
            batch.move_lines(first.lines)
    found = rows_of(batch for batch in [*batches, *later] if batch is not None)
    assert found == decode_ndjson(case.data, case.config)


@pytest.mark.parametrize("seed", range(16))
def test_seeded_streams(seed: int) -> None:
    """Long streams with everything in them, whole and in pieces."""
    case = seeded_ndjson(seed, 1_500)
    expected = expect(case)
    source = random.Random(seed)
    for places in ([], [source.randrange(len(case.data)) for _ in range(source.choice([3, 300, 30_000]))]):
        assert in_rows(run(case, cut(case.data, places))) == expected


def test_seeded_streams_reach_every_code() -> None:
    """The seeded streams have many well-formed rows and reach all codes of the decoder."""
    rows = [row.outcome for seed in range(16) for batch in expect(seeded_ndjson(seed, 400)) for row in batch]
    assert set(rows) == {0} | {outcome for outcome in Outcome if outcome.phase is Phase.DECODE}
    assert rows.count(0) > len(rows) // 4


# --- one case for each line of the contract ---


@pytest.mark.parametrize(
    ("line", "outcome"),
    [
        ('{"type":"deposit","client":1,"tx":2,"amount":"1.5"}', 0),
        ('{"type": "deposit", "client": 1, "tx": 2, "amount": 1.5}', 0),
        ('{"amount":1.50000,"tx":"2","client":"1","type":"DEPOSIT"}', 0),
        ('\t{ "TX" : 2 ,"\\u0074ype":" Deposit\\t", "client":1,"Amount":"1.5",\r"note":{"tx":[1,{"type":2}]}} ', 0),
        ('{"type":"deposit","client":1,"tx":2,"amount":1e5}', Outcome.INVALID_AMOUNT),
        ('{"type":"deposit","client":1,"tx":2,"amount":true}', Outcome.INVALID_AMOUNT),
        ('{"type":"deposit","client":1,"tx":2,"amount":null}', Outcome.MISSING_AMOUNT),
        ('{"type":"deposit","client":1,"tx":2,"amount":" "}', Outcome.MISSING_AMOUNT),
        ('{"type":"deposit","client":1,"tx":2}', Outcome.MISSING_AMOUNT),
        ('{"type":"deposit","client":1,"tx":2,"amount":1.00005}', Outcome.AMOUNT_TOO_PRECISE),
        ('{"type":"deposit","client":1,"tx":2,"amount":922337203685477.5808}', Outcome.AMOUNT_OUT_OF_RANGE),
        ('{"type":"deposit","client":-1,"tx":2,"amount":1}', Outcome.INVALID_CLIENT),
        ('{"type":"deposit","client":true,"tx":2,"amount":1}', Outcome.INVALID_CLIENT),
        ('{"type":"deposit","client":null,"tx":2,"amount":1}', Outcome.INVALID_CLIENT),
        ('{"type":"deposit","client":65536,"tx":2,"amount":1}', Outcome.INVALID_CLIENT),
        ('{"type":"deposit","client":1,"tx":1.0,"amount":1}', Outcome.INVALID_TX),
        ('{"type":"deposit","client":1,"tx":1e3,"amount":1}', Outcome.INVALID_TX),
        ('{"type":"deposit","client":1,"tx":"\\ud800","amount":1}', Outcome.INVALID_TX),
        ('{"type":1,"client":1,"tx":2,"amount":1}', Outcome.UNKNOWN_TYPE),
        ('{"type":null,"client":1,"tx":2,"amount":1}', Outcome.UNKNOWN_TYPE),
        ('{"client":1,"tx":2,"amount":1}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","tx":2,"amount":1}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"amount":1}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"tx":2,"amount":1,"Tx":2}', Outcome.MALFORMED_ROW),
        ('{"type":"dispute","client":1,"tx":2,"amount":[]}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":{},"tx":2,"amount":1}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"tx":2,"amount":NaN}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"tx":2,"amount":-Infinity}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"tx":2,"amount":1,"x":NaN}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"tx":2,"amount":01}', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"tx":2,"amount":.5}', Outcome.MALFORMED_ROW),
        ('[{"type":"deposit","client":1,"tx":2,"amount":1}]', Outcome.MALFORMED_ROW),
        ('{"type":"deposit","client":1,"tx":2,"amount":1},', Outcome.MALFORMED_ROW),
        ("null", Outcome.MALFORMED_ROW),
    ],
)  # fmt: skip
def test_contract(line: str, outcome: int) -> None:
    """Every case that the contract names has its outcome, and what is fine has its values."""
    row = decode_one(line.encode())
    assert row.outcome == outcome
    if not outcome:
        assert (row.type, row.client, row.tx, row.amount) == (1, 1, 2, 15_000)


@pytest.mark.parametrize(
    "raw",
    [b'{"type":"dispute","client":1,"tx":2,"x":"\xff"}', b'{"type":"dispute","client":1,"tx":2,"\xc3":1}'],
)
def test_not_utf_8(raw: bytes) -> None:
    """Bytes that are not UTF-8 make a row malformed, also where nobody needs them."""
    assert decode_one(raw).outcome == Outcome.MALFORMED_ROW


@pytest.mark.parametrize("depth", [1, 63, 64, 65, 900, 500_000])
@pytest.mark.parametrize(("open_", "close"), [(b"[", b"]"), (b'{"":', b"}")])
def test_depth(depth: int, open_: bytes, close: bytes) -> None:
    """A value that nobody needs may be nested as deeply as a row is long; what is not closed properly is malformed."""
    start = b'{"type":"dispute","client":1,"note":'
    fine = start + open_ * depth + b"0" + close * depth + b',"tx":2}'
    if len(fine) > 1 << 20:
        pytest.skip("a row has no more than a mebibyte")
    lines = [fine, fine.replace(b"0", b"", 1), start + open_ * depth + b',"tx":2}', fine[:-9] + b'],"tx":2}']
    decoder = NdjsonDecoder(Config(row_bytes_max=1 << 20).settings())
    assert decoder.feed(b"".join(line + b"\n" for line in lines)) == []
    batch = decoder.finish()
    assert batch is not None
    wrong = Outcome.MALFORMED_ROW
    # An empty array is a value, an empty text is none.
    assert list(batch.outcomes) == [0, 0 if open_ == b"[" else wrong, wrong, 0 if close == b"]" else wrong]


@pytest.mark.parametrize("limit", [32, 64, 100, 143, 144, 4096, 70_000])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"", b"\r"])
@pytest.mark.parametrize("excess", [-1, 0, 1, 2, 5_000])
@pytest.mark.parametrize("start", [b"", b"\xef\xbb\xbf"])
def test_row_limit(limit: int, end: bytes, excess: int, start: bytes) -> None:
    """A row may be as long as the limit, without its line end and a byte order mark, wherever the input is split."""
    row = DISPUTE.ljust(limit + excess)
    case = NdjsonCase(Config(row_bytes_max=limit), 8192, start + row + end)
    for chunk in (13, 1_000_000):
        (found,) = rows_of(run(case, cut(case.data, range(0, len(case.data), chunk))))
        assert (found,) == tuple(decode_ndjson(case.data, case.config))
        assert (found.outcome == Outcome.ROW_TOO_LONG) == (len(row) > limit)


@pytest.mark.parametrize("nothing", [b"", b"\n", b" \t\r\n\n", b"\r", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n"])
def test_nothing_is_an_empty_stream(nothing: bytes) -> None:
    """An empty table is an empty file."""
    assert run(NdjsonCase(Config(), 8192, nothing), [nothing]) == []


@pytest.mark.parametrize("chunk", [1_021, 65_536, 10_000_000])
def test_long_plain_stream(chunk: int) -> None:
    """Many plain rows with a bad one now and then, in chunks that end anywhere."""
    source = random.Random(chunk)
    ends = [b"\n"] * 50 + [b"\r\n", b'"\n', b"\n\n", b"\xff\n"]
    data = b"".join(plain_row(source, Config()) + source.choice(ends) for _ in range(15_000))
    case = NdjsonCase(Config(), 1_000, data)
    batches = run(case, cut(data, range(0, len(data), chunk)))
    assert {batch.rows for batch in batches[:-1]} == {1_000}
    assert in_rows(batches) == expect(case)


def test_digest_is_that_of_csv() -> None:
    """The digest of a stream covers what its rows say, not how they are written."""
    csv, ndjson = CsvDecoder(), NdjsonDecoder()
    csv.feed(b"type,client,tx,amount\ndeposit,1,1,1.5\ndispute,1,1,\n")
    ndjson.feed(
        b'{"type":"deposit","client":1,"tx":1,"amount":1.5}\n\n{"tx":1,"client":"1","type":"dispute"}\n'
    )
    (one, other) = csv.finish(), ndjson.finish()
    assert one is not None
    assert other is not None
    assert one.digest() == other.digest()


def test_endless_line() -> None:
    """A line that is too long becomes one row, and the next line is read normally; no more than the limit is kept."""
    decoder = NdjsonDecoder(keep_source=True)
    batches: list[Batch | None] = []
    for _ in range(200):
        batches += decoder.feed(b"[" * 65_536)
    assert decoder.carried < 5_000
    batches += decoder.feed(b"\n" + DISPUTE + b"\n")
    batches.append(decoder.finish())
    long, good = rows_of(batch for batch in batches if batch is not None)
    assert (long.outcome, long.line, long.offset, long.raw) == (Outcome.ROW_TOO_LONG, 1, 0, b"[" * 4096)
    assert (good.outcome, good.line, good.offset, good.type, good.tx) == (0, 2, 200 * 65_536 + 1, 3, 2)


def test_one_at_a_time() -> None:
    """A decoder that is at work in another thread says so, and one that is finished takes nothing more."""
    decoder = NdjsonDecoder()
    refused: list[RuntimeError] = []
    data = (DISPUTE + b"\n") * 200_000
    turns = 40

    def feed() -> None:
        for _ in range(turns):
            try:
                decoder.feed(data)
            except RuntimeError as error:
                refused.append(error)

    threads = [threading.Thread(target=feed) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    decoder.finish()
    assert decoder.lines == (2 * turns - len(refused)) * 200_000
    with pytest.raises(ValueError, match="finished"):
        decoder.feed(DISPUTE)


# --- what is said of rows that cannot be read ---


def detail_of(line: bytes, config: Config = DEFAULT) -> str:
    """Give what is said of a single line."""
    decoder = NdjsonDecoder(config.settings(), keep_source=True)
    batches = [*decoder.feed(line), decoder.finish()]
    (batch,) = [batch for batch in batches if batch is not None]
    outcome = Outcome(batch.outcome(0))
    return find_rejection(batch, 0, outcome, "t.ndjson", number=1, decimals=config.decimals).detail


@pytest.mark.parametrize(
    ("line", "detail"),
    [
        (b'{"type":"deposit","client":1,"tx":2,"amount":1', "it is not JSON: expecting ',' delimiter at byte 47"),
        ('{"é":1,}'.encode(), "it is not JSON: expecting property name enclosed in double quotes at byte 9"),
        (b'{"a":"\xff"}', "it is not UTF-8: byte 7 is 0xff"),
        (b"[1]", "it is an array, not an object"),
        (b"-1.5", "it is a number, not an object"),
        (b"null", "it is null, not an object"),
        (b'{"type":"deposit","client":1,"tx":2,"amount":NaN}', "NaN is not JSON"),
        (b'{"type":"deposit","client":1,"tx":2,"Type":"x"}', "the key type is there more than once"),
        (b'{"type":"deposit","client":{},"tx":2}', "the client is an object"),
        (b'{"type":"deposit","client":1,"tx":[2]}', "the tx is an array"),
        (b'{"type":"deposit"}', "it has no key client and no key tx"),
        (b"[" * 3_000, "its values are nested too deeply to be looked at"),
        (b'{"type":"depo\\u0000sit","client":1,"tx":2}', "the type is 'depo\N{REPLACEMENT CHARACTER}sit'"),
        (b'{"type":"deposit","client":-1,"tx":2}', "the client -1 is below 0"),
        (b'{"type":"deposit","client":1.0,"tx":2}', "the client is '1.0', which is not digits alone"),
        (b'{"type":"deposit","client":1,"tx":4294967296}', "the tx 4294967296 is above 4294967295; --tx-bits 64 takes it"),
        (b'{"type":"deposit","client":1,"tx":2}', "it has no key amount"),
        (b'{"type":"deposit","client":1,"tx":2,"amount":null}', "it is null or empty"),
        (b'{"type":"deposit","client":1,"tx":2,"amount":1e5}', "it is '1e5'"),
        (b'{"type":"deposit","client":1,"tx":2,"amount":"a \\"b\\""}', "it is 'a \"b\"'"),
        (b'{"type":"deposit","client":1,"tx":2,"amount":1.00005}', "1.00005 has 5 decimals, 4 are kept; --decimals 5 keeps them"),
        (b"x" * 5_000, "it has more than 4096 bytes; --row-bytes-max takes longer ones"),
    ],
)  # fmt: skip
def test_details(line: bytes, detail: str) -> None:
    """A row that cannot be read has a cause that a person understands."""
    assert detail_of(line) == detail


@given(ndjson_cases())
def test_every_fault_has_a_detail(case: NdjsonCase) -> None:
    """Any bytes, any settings: what could not be read has a cause, and the code alone says it nowhere."""
    for batch in run(NdjsonCase(case.config, 8192, case.data), [case.data]):
        for row, code in enumerate(batch.outcomes):
            if code:
                rejection = find_rejection(
                    batch, row, Outcome(code), "t.ndjson", number=1, decimals=case.config.decimals
                )
                assert rejection.detail, rejection
