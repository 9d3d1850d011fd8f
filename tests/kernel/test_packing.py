"""Decided rows packed and back: every column, every code, and every damage."""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.outcome import Outcome
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.packing.decided_rows import ROWS_MAX, DecidedRowBuffer
from holdfast.kernel.packing.unpacking import RowUnpacker, UnpackedRows, unpack_rows
from reference_journal import read_rows
from strategies import edge_integers

if TYPE_CHECKING:
    from reference_journal import Row

WIDE = make_settings("cards", client_bits=64, tx_bits=64)
READABLE = [int(code) for code in Outcome if not 10 <= code <= 18]
UNREADABLE = [int(code) for code in Outcome if 10 <= code <= 18]

ids = edge_integers(0, 2**64 - 1)
readable = st.tuples(
    st.integers(1, 5), ids, ids, edge_integers(-(2**63) + 1, 2**63 - 1), st.sampled_from(READABLE)
)
unreadable = st.tuples(
    st.integers(0, 255), ids, ids, edge_integers(-(2**63), 2**63 - 1), st.sampled_from(UNREADABLE)
)
mostly_applied = st.tuples(
    st.integers(1, 5), st.integers(0, 99), st.integers(0, 99), st.integers(1, 999), st.just(1)
)


PIECE_ROWS = 8192


def rows_of(batch: Batch, outcomes: bytes) -> list[Row]:
    """List the rows of a batch with other outcomes."""
    columns = (batch.types, batch.clients, batch.txs, batch.amounts)
    return list(zip(*(list(column) for column in columns), outcomes, strict=True))


def canonical(rows: list[Row]) -> list[Row]:
    """Leave out the amounts that mean nothing."""
    return [
        (type_, client, tx, amount if type_ <= 2 or 10 <= code <= 18 else 0, code)
        for type_, client, tx, amount, code in rows
    ]


def pack(rows: list[Row], pieces: int = 1) -> bytes:
    """Pack rows, as if they had come in so many batches."""
    buffer = DecidedRowBuffer(max(len(rows), 1))
    step = max(1, -(-len(rows) // pieces))
    for start in range(0, len(rows), step):
        part = rows[start : start + step]
        assert buffer.append(Batch.from_rows(part), 0, len(part)) == len(part)
    assert buffer.rows == len(rows)
    return buffer.pack()


@given(rows=st.lists(readable | unreadable | mostly_applied, max_size=80), pieces=st.integers(1, 4))
def test_rows_come_back(rows: list[Row], pieces: int) -> None:
    """Whatever the columns hold: by the kernel, and by an independent reader."""
    packed = pack(rows, pieces)
    assert packed == pack(rows)
    unpacked = unpack_rows(packed)
    assert rows_of(unpacked.batch, unpacked.outcomes) == canonical(rows)
    assert read_rows(packed) == canonical(rows)
    assert [code for code in unpacked.batch.outcomes if code] == [
        row[4] for row in rows if 10 <= row[4] <= 18
    ]


@pytest.mark.parametrize("count", [1, 63, 1023, 1024, 1025, 5000])
@pytest.mark.parametrize("refused", [0, 1, 40, 100])
def test_blocks_and_shares(count: int, refused: int) -> None:
    """Columns of several blocks, sequential and scattered, with no, few and many refused rows."""
    rng = random.Random(count)
    scattered = [
        (rng.randrange(1, 6), rng.randrange(2**16), rng.randrange(2**32), rng.randrange(1, 10**7), 1)
        for _ in range(count)
    ]
    rows = [
        (
            type_,
            client,
            number if rng.random() < 0.9 else tx,
            amount,
            40 if rng.randrange(100) < refused else 1,
        )
        for number, (type_, client, tx, amount, _) in enumerate(scattered)
    ]
    for each in (rows, scattered):
        packed = pack(each, 3)
        unpacked = unpack_rows(packed)
        assert rows_of(unpacked.batch, unpacked.outcomes) == canonical(each) == read_rows(packed)


def test_sequential_rows_take_few_bytes() -> None:
    """Sequential ids cost nothing, and outcomes that are all alike neither."""
    rng = random.Random(1)
    rows = [(1, rng.randrange(2**16), tx, rng.randrange(10**7), 1) for tx in range(100_000)]
    assert len(pack(rows)) / len(rows) < 5.2


def test_every_damage_is_found_or_harmless() -> None:
    """A byte that changes, an end that is cut: an error that says what, or other rows, never more."""
    rng = random.Random(3)
    rows = [
        (
            rng.randrange(1, 6),
            rng.randrange(99),
            rng.randrange(99),
            rng.randrange(99),
            rng.choice((1, 1, 1, 31, 40, 11)),
        )
        for _ in range(60)
    ]
    packed = pack(rows)
    core = LedgerCore(WIDE)
    for place in range(len(packed)):
        for value in (0, 1, 0x7F, 0x80, 0xFF):
            bad = packed[:place] + bytes([packed[place] ^ value]) + packed[place + 1 :]
            try:
                unpacked = unpack_rows(bad)
            except ValueError:
                continue
            assert len(unpacked.outcomes) == unpacked.batch.rows
            core.decide(unpacked.batch)
        with pytest.raises(ValueError, match="packed rows"):
            unpack_rows(packed[:place])
    with pytest.raises(ValueError, match="packed rows"):
        unpack_rows(packed + b"\0")
    with pytest.raises(ValueError, match="cannot have"):
        unpack_rows(b"\xff" * 64)


def test_texts_are_kept_up_to_a_limit() -> None:
    """Only those of rows that could not be decoded, and only where the decoder keeps its source."""
    data = b"type,client,tx,amount\ndeposit,1,1,1\nnonsense\ndeposit,x,1,1\ndeposit,1,2,1e5\n"
    for keeps, room, texts, dropped in (
        (True, 100, [(1, b"nonsense"), (2, b"deposit,x,1,1"), (3, b"deposit,1,2,1e5")], 0),
        (True, 25, [(1, b"nonsense"), (2, b"deposit,x,1,1")], 1),
        (True, 0, [], 0),
        (False, 100, [], 0),
    ):
        decoder = CsvDecoder(keep_source=keeps)
        decoder.feed(data)
        batch = decoder.finish()
        assert batch is not None
        LedgerCore().decide(batch)
        buffer = DecidedRowBuffer(10, room)
        buffer.append(batch, 0, batch.rows)
        assert (buffer.texts_of_rows(), buffer.raw_dropped) == (texts, dropped)
        buffer.clear()
        assert (buffer.rows, buffer.texts_of_rows(), buffer.raw_bytes, buffer.raw_dropped) == (0, [], 0, 0)


def test_a_buffer_says_what_is_wrong() -> None:
    """Its limits, and that packed rows are gone."""
    for rows_max, raw_bytes_max in ((0, 0), (ROWS_MAX + 1, 0), (1, -1)):
        with pytest.raises(ValueError, match="a buffer takes"):
            DecidedRowBuffer(rows_max, raw_bytes_max)
    buffer = DecidedRowBuffer(2)
    batch = Batch.from_rows([(1, 1, tx, 1, 0) for tx in range(3)])
    LedgerCore().decide(batch)
    assert buffer.append(batch, 0, 3) == 2
    assert buffer.append(batch, 2, 3) == 0
    with pytest.raises(IndexError):
        buffer.append(batch, 2, 4)
    buffer.pack()
    for call in (buffer.pack, lambda: buffer.append(batch, 0, 1)):
        with pytest.raises(ValueError, match="clear the buffer first"):
            call()
    buffer.clear()
    assert unpack_rows(buffer.pack()).batch.rows == 0
    with pytest.raises(TypeError):
        UnpackedRows()  # type: ignore[call-arg]


def in_pieces(unpacker: RowUnpacker, packed: bytes) -> list[Row]:
    """List the rows that come in pieces."""
    rows: list[Row] = []
    unpacker.open(packed)
    while unpacker.next_piece():
        assert unpacker.first_row == len(rows)
        batch = unpacker.batch
        codes = bytes(unpacker.outcome(row) for row in range(batch.rows))
        assert [code for code in batch.outcomes if code] == [code for code in codes if 10 <= code <= 18]
        rows += rows_of(batch, codes)
    assert len(rows) == unpacker.rows
    assert not unpacker.next_piece()
    return rows


@pytest.mark.parametrize("is_delta", [False, True])
def test_words_of_every_width(is_delta: bool) -> None:  # a parameter of the test
    """Values and differences of 0 to 64 bits, in whole groups and what is left: by the kernel, and by an independent reader."""
    rng = random.Random(5)
    unpacker = RowUnpacker()
    for width in range(65):
        for count in (8, 77):
            value = base = rng.randrange(2**63)
            values = []
            for _ in range(count):
                step = rng.getrandbits(width) if width else 0
                value = (value + step if is_delta else base + step) % 2**64
                values.append(value)
            rows = [(1, each, each, each % 2**63, 1) for each in values]
            packed = pack(rows)
            unpacked = unpack_rows(packed)
            assert rows_of(unpacked.batch, unpacked.outcomes) == rows == read_rows(packed)
            assert in_pieces(unpacker, packed) == rows


def test_types_that_are_none() -> None:
    """A type that no row can have comes back as it is, beside every other one and alone."""
    rng = random.Random(6)
    for types in ([0], [255], [1, 2, 3, 4, 5], range(256), [1] * 50 + [9], [0, 255], [2]):
        rows = [(rng.choice(types), 1, 1, 0, 33) for _ in range(2100)]
        packed = pack(rows)
        unpacked = unpack_rows(packed)
        assert list(unpacked.batch.types) == [row[0] for row in rows]
        assert rows_of(unpacked.batch, unpacked.outcomes) == rows == read_rows(packed)


@pytest.mark.parametrize("shares", [(0, 0), (1, 0), (0, 1), (30, 1), (1, 30), (50, 50)])
@pytest.mark.parametrize("count", [0, 1, PIECE_ROWS - 1, PIECE_ROWS, PIECE_ROWS + 1, 2 * PIECE_ROWS + 999])
def test_pieces_are_the_whole(count: int, shares: tuple[int, int]) -> None:
    """Rows that come in pieces are those that come at once, wherever refused and unreadable ones are."""
    rng = random.Random(count)
    refused, unread = shares
    rows = []
    for number in range(count):
        code = rng.choices((40, 12, 1), (refused, unread, 100 - refused - unread))[0]
        rows.append((rng.randrange(1, 6), rng.randrange(2**16), number, rng.randrange(10**6), code))
    packed = pack(rows)
    assert in_pieces(RowUnpacker(), packed) == canonical(rows)
    unpacked = unpack_rows(packed)
    assert rows_of(unpacked.batch, unpacked.outcomes) == canonical(rows)


def test_damage_is_found_in_pieces_as_well() -> None:
    """What is damaged is refused whether it comes at once or in pieces, and the unpacker is good for other rows afterwards."""
    rng = random.Random(4)
    rows = [(rng.randrange(1, 6), 9, row, 9, rng.choice((1, 1, 33, 11))) for row in range(30)]
    packed = pack(rows)
    unpacker = RowUnpacker()
    for place in range(len(packed)):
        for bad in (packed[:place] + bytes([packed[place] ^ 0x41]) + packed[place + 1 :], packed[:place]):
            try:
                unpacked = unpack_rows(bad)
            except ValueError as error:
                with pytest.raises(ValueError, match=f"^{re.escape(str(error))}$"):
                    in_pieces(unpacker, bad)
                assert (unpacker.rows, unpacker.batch.rows, unpacker.next_piece()) == (0, 0, False)
            else:
                assert in_pieces(unpacker, bad) == rows_of(unpacked.batch, unpacked.outcomes)
    assert in_pieces(unpacker, packed) == canonical(rows)
    # Rows whose damage is in a later piece.
    long = pack([(1, number, number, 1, 1) for number in range(PIECE_ROWS + 1)])
    unpacker.open(long[:-1] + b"\xff")
    assert unpacker.next_piece()
    with pytest.raises(TypeError):
        unpacker.open("text")  # type: ignore[arg-type]
    with pytest.raises(IndexError):
        unpacker.outcome(0)


def test_a_replay_that_differs_is_found() -> None:
    """The first row whose outcome is another one, from a row on."""
    rows = [(1, 1, 1, 5, 1), (1, 1, 1, 5, 31), (2, 1, 2, 9, 1), (2, 1, 3, 9, 40), (2, 1, 4, 9, 1)]
    unpacker = RowUnpacker()
    unpacker.open(pack(rows))
    assert unpacker.next_piece()
    LedgerCore().decide(unpacker.batch)
    assert [unpacker.first_difference(start, 5) for start in range(6)] == [2, 2, 2, 4, 4, -1]
    assert (unpacker.first_difference(0, 2), unpacker.outcome(2), unpacker.batch.outcome(2)) == (-1, 1, 40)
    with pytest.raises(IndexError):
        unpacker.first_difference(0, 6)
    unpacked = unpack_rows(pack(rows))
    unpacked.adopt_outcomes()
    assert list(unpacked.batch.outcomes) == [row[4] for row in rows]
