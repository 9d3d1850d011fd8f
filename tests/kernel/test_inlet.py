"""An inlet decides the rows of a stream as a decoder and a ledger by hand do, whatever the pieces."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.csv_decoder import CsvDecoder, HeaderError
from holdfast.kernel.csv_encoder import encode_accounts
from holdfast.kernel.inlet import Inlet
from holdfast.kernel.ledger import Ledger
from holdfast.kernel.tally import STOP, Tally

HEADER = b"type,client,tx,amount\n"


def lines_of(rows: list[tuple[int, int, int]]) -> bytes:
    """Write deposits of a few clients, some of them malformed, blank lines between them."""
    kinds = ("deposit,{},{},{}.5", "withdrawal,{},{},1", "dispute,{},{}", "deposit,{},,{}{}", "", "x" * 5000)
    return "".join(kinds[kind].format(client, tx, 7) + "\n" for kind, client, tx in rows).encode()


def by_hand(text: bytes) -> tuple[bytes, dict[int, int], int]:
    """Decode and apply a text in one piece; give the accounts, the refused rows by code, and the rows."""
    ledger, decoder, tally = Ledger(), CsvDecoder(), Tally()
    for batch in [*decoder.feed(text), decoder.finish()]:
        if batch is not None:
            ledger.apply(batch, 0, -1, tally)
    return b"".join(encode_accounts(ledger.image(), 4)), tally.refused_by_code(), tally.rows


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 20)), max_size=40),
    st.lists(st.integers(0, 6000), max_size=6),
    st.booleans(),
)
def test_any_pieces_give_the_same(
    rows: list[tuple[int, int, int]], cuts: list[int], is_unended: bool
) -> None:
    """Also when another inlet of the ledger takes its own pieces in between, and the last line has no end."""
    text = HEADER + lines_of(rows)
    text = text[:-1] if is_unended and rows else text
    ledger, decoder = Ledger(), CsvDecoder()
    inlet = Inlet(ledger, decoder, Tally())
    other = inlet.fresh()
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    for start, stop in pairwise(places):
        assert inlet.take(text[start:stop]) == stop - start
        other.take(HEADER if start == 0 else b"")
    inlet.finish()
    other.finish()
    accounts, refused, decided = by_hand(text)
    assert b"".join(encode_accounts(ledger.image(), 4)) == accounts
    assert (inlet.tally.refused_by_code(), inlet.tally.rows) == (refused, decided)
    assert (ledger.decided, other.tally.rows, inlet.input_bytes) == (decided, 0, len(text))


def test_more_rows_than_a_batch_has() -> None:
    """A piece of several batches is applied to its end."""
    rows = b"".join(b"deposit,1,%d,1\n" % tx for tx in range(20_000))
    ledger = Ledger()
    inlet = Inlet(ledger, CsvDecoder(), Tally())
    inlet.take(HEADER + rows)
    assert (inlet.tally.applied, ledger.transactions) == (20_000, 20_000)


def test_an_unusable_header_is_an_error_and_decides_nothing() -> None:
    """Of a stream, and not of its neighbours, who go on with the batch that all share."""
    ledger = Ledger()
    inlet = Inlet(ledger, CsvDecoder(), Tally())
    good, empty, unused = inlet.fresh(), inlet.fresh(), inlet.fresh()
    with pytest.raises(HeaderError, match="no column"):
        inlet.take(b"who,what\ndeposit,1,1,1\n")
    good.take(HEADER + b"deposit,1,1,1\n")
    empty.take(b"")
    with pytest.raises(HeaderError, match="empty"):
        empty.finish()
    unused.finish()
    assert (ledger.decided, good.tally.applied) == (1, 1)


def test_an_inlet_asks_nobody() -> None:
    """A policy that may stop needs somebody who decides."""
    actions = bytearray(256)
    actions[31] = STOP
    with pytest.raises(ValueError, match="must not stop"):
        Inlet(Ledger(), CsvDecoder(), Tally(bytes(actions)))
