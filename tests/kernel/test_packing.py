"""Decided rows packed and back: every column, every code, and every damage."""

from __future__ import annotations

import random
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
from holdfast.kernel.packing.unpacking import UnpackedRows, unpack_rows
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


def test_a_replay_that_differs_is_found() -> None:
    """The first row whose outcome is another one."""
    rows = [(1, 1, 1, 5, 1), (1, 1, 1, 5, 31), (2, 1, 2, 9, 1)]
    unpacked = unpack_rows(pack(rows))
    LedgerCore().decide(unpacked.batch)
    assert unpacked.first_difference() == 2
    unpacked.adopt_outcomes()
    assert unpacked.first_difference() == -1
