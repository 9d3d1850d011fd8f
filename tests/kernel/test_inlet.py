"""An inlet decides the rows of a stream as a decoder and a ledger by hand do, whatever the pieces."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from itertools import pairwise
from typing import TYPE_CHECKING, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.settings import make_settings
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.kernel.csv.encoder import encode_accounts
from holdfast.kernel.inlet import CALL_COST, PIECE_BYTES, Inlet, Totals
from holdfast.kernel.ledger.ledger import Ledger
from holdfast.kernel.tally import STOP, Tally

if TYPE_CHECKING:
    from holdfast.kernel.batch import Batch

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


def new_inlet(ledger: Ledger | None = None, decoder: CsvDecoder | None = None) -> Inlet:
    """Make the first inlet of a ledger."""
    return Inlet(ledger or Ledger(), decoder or CsvDecoder(), Tally(), Totals())


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 20)), max_size=40)


@given(ROWS, st.lists(st.integers(0, 6000), max_size=6), st.booleans())
def test_any_pieces_give_the_same(
    rows: list[tuple[int, int, int]], cuts: list[int], is_unended: bool
) -> None:
    """Also when another inlet of the ledger takes its own pieces in between, and the last line has no end."""
    text = HEADER + lines_of(rows)
    text = text[:-1] if is_unended and rows else text
    ledger = Ledger()
    inlet = new_inlet(ledger)
    other = inlet.fresh()
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    for start, stop in pairwise(places):
        for begin in range(start, stop, PIECE_BYTES):
            end = min(begin + PIECE_BYTES, stop)
            assert inlet.take(text[begin:end]) == end - begin + CALL_COST
        other.take(HEADER if start == 0 else b"")
    inlet.finish()
    other.finish()
    accounts, refused, decided = by_hand(text)
    assert b"".join(encode_accounts(ledger.image(), 4)) == accounts
    assert (inlet.refused_by_code(), inlet.rows) == (refused, decided)
    assert (ledger.decided, other.rows, inlet.input_bytes) == (decided, 0, len(text))


HEADERS = (
    HEADER,
    HEADER.replace(b"\n", b"\r\n"),
    b"\xef\xbb\xbf" + HEADER,
    b"\n" + HEADER,
    b"amount,client,type,tx\n",
    b"type,client,tx,amount,note\n",
    b"type,client,tx\n",
)


@given(
    st.lists(st.tuples(st.sampled_from(HEADERS), ROWS, st.integers(0, 60), st.booleans()), max_size=6),
    st.sampled_from([10, 200, 4096]),
)
def test_a_stream_inherits_nothing_but_memory(
    streams: list[tuple[bytes, list[tuple[int, int, int]], int, bool]], row_bytes_max: int
) -> None:
    """Whatever the streams before it were like, and however they ended: each is decided as if it were the first."""
    ledger, by_itself = Ledger(), Ledger()
    decoder = CsvDecoder(make_settings(row_bytes_max=row_bytes_max))
    totals = Totals()
    first = Inlet(ledger, decoder, Tally(), totals)
    rows, refused, input_bytes = 0, Counter[int](), 0
    for header, lines, cut, is_finished in streams:
        text = header + lines_of(lines)[:PIECE_BYTES]
        other, tally = decoder.fresh(), Tally()
        inlet = first.fresh()
        errors: list[str] = []
        try:
            for batch in [*other.feed(text), other.finish() if is_finished else other.flush()]:
                if batch is not None:
                    by_itself.apply(batch, 0, -1, tally)
        except HeaderError as error:
            errors.append(str(error))
        try:
            inlet.take(text[:cut])
            inlet.take(memoryview(bytearray(text))[cut:])
            if is_finished:
                inlet.finish()
        except HeaderError as error:
            errors.append(str(error))
        assert errors == errors[:1] * 2
        inlet.release()
        assert (inlet.rows, inlet.refused_by_code()) == (tally.rows, tally.refused_by_code())
        assert inlet.has_ended
        rows += tally.rows
        refused.update(tally.refused_by_code())
        input_bytes += inlet.input_bytes
    assert (totals.rows, totals.input_bytes) == (rows, input_bytes)
    assert list(totals.refused_by_code().items()) == sorted(refused.items())
    assert [bytes(each) for each in encode_accounts(ledger.image(), 4)] == [
        bytes(each) for each in encode_accounts(by_itself.image(), 4)
    ]


def test_a_decoder_is_left_to_the_next_stream() -> None:
    """That is what makes short streams cheap: the next one begins with what the last one has left."""
    first = new_inlet()
    inlet, other = first.fresh(), first.fresh()
    decoder, tally = inlet.decoder, inlet.tally
    assert other.decoder is not decoder
    inlet.release()
    third = first.fresh()
    assert third.decoder is decoder
    assert third.tally is tally
    with pytest.raises(ValueError, match="has ended"):
        inlet.take(HEADER)
    with pytest.raises(ValueError, match="has ended"):
        _ = inlet.decoder
    with pytest.raises(ValueError, match="has ended"):
        inlet.fresh()


def test_more_rows_than_a_batch_has() -> None:
    """A piece of several batches is applied to its end."""
    rows = b"".join(b"deposit,1,%d,1\n" % tx for tx in range(2_000))
    ledger = Ledger()
    inlet = new_inlet(ledger, CsvDecoder(make_settings(batch_rows=300)))
    inlet.take(HEADER + rows)
    assert (inlet.rows, inlet.refused_by_code(), ledger.transactions) == (2_000, {}, 2_000)


def test_pieces_are_small() -> None:
    """A larger one is not taken, not even in part, since nothing else runs meanwhile."""
    inlet = new_inlet()
    assert inlet.take(bytes(PIECE_BYTES + 1)) == inlet.take(memoryview(bytes(PIECE_BYTES + 1))) == 0
    assert not inlet.is_used
    inlet.finish()
    assert inlet.take(HEADER + b"#" * (PIECE_BYTES - len(HEADER))) == PIECE_BYTES + CALL_COST


def test_text_is_bytes() -> None:
    """Of any kind that holds them; whatever else comes is for a subclass to take, or an error."""
    inlet = new_inlet()
    inlet.take(bytearray(HEADER))
    inlet.take(memoryview(b"__deposit,1,1,1\n")[2:])
    assert inlet.rows == 1
    with pytest.raises(ValueError, match="items of 4 bytes"):
        inlet.take(memoryview(array("i", [1])))
    with pytest.raises(BufferError):
        inlet.take(memoryview(HEADER)[::2])
    with pytest.raises(TypeError, match="takes text as bytes, not str"):
        inlet.take("deposit,1,2,1\n")


class _Listener(Inlet):
    """Keeps what is no text."""

    heard: ClassVar[list[object]] = []

    def take_other(self, data: object) -> int:
        """Keep it."""
        self.heard.append(data)
        return 7

    def finish_other(self) -> None:
        """Keep that it is the end."""
        self.heard.append(self.tally.rows)


def test_a_subclass_takes_the_rest() -> None:
    """It is asked for what is no text, and for all there is without a ledger; what is made like it is of its class."""
    _Listener.heard.clear()
    first = _Listener(Ledger(), CsvDecoder(), Tally(), Totals())
    inlet = first.fresh()
    assert type(inlet) is _Listener
    assert inlet.take(HEADER) == len(HEADER) + CALL_COST
    assert inlet.take(5) == 7
    inlet.finish()
    assert _Listener.heard == [5]
    stops = bytes([STOP]) * 256
    asking = _Listener(None, CsvDecoder(), Tally(stops), Totals()).fresh()
    assert asking.take(HEADER) == 7
    asking.finish()
    assert asking.tally.may_stop()
    asking.finish()
    assert _Listener.heard == [5, HEADER, 0]


def test_an_unusable_header_is_an_error_and_decides_nothing() -> None:
    """Of a stream, and not of its neighbours, who go on with the batch that all share."""
    ledger = Ledger()
    inlet = new_inlet(ledger)
    good, empty, unused = inlet.fresh(), inlet.fresh(), inlet.fresh()
    with pytest.raises(HeaderError, match="no column"):
        inlet.take(b"who,what\ndeposit,1,1,1\n")
    good.take(HEADER + b"deposit,1,1,1\n")
    empty.take(b"")
    with pytest.raises(HeaderError, match="empty"):
        empty.finish()
    unused.finish()
    assert (ledger.decided, good.rows, good.refused_by_code()) == (1, 1, {})


def stopping_tally() -> Tally:
    """Make a tally that stops at every row that is not applied."""
    return Tally(bytes([STOP]) * 256)


class Asked(Inlet):
    """Notes where its tally stopped, and goes on unless it shall not."""

    goes_on = True

    def __init__(self, ledger: Ledger) -> None:
        super().__init__(ledger, CsvDecoder(keep_source=True), stopping_tally(), Totals())
        self.seen: list[bytes | str] = []

    def stopped(self, batch: Batch, row: int) -> None:
        """Note the row."""
        self.seen.append(batch.raw(row))
        if not self.goes_on:
            raise LookupError("enough")

    def judge(self) -> None:
        """Note the end."""
        self.seen.append("end")


# Two rows of each piece are refused, one of them the last.
STOPPING = b"deposit,1,1,5\nwithdrawal,1,2,9\ndeposit,1,3,1\ndispute,1,99,\n"


def test_an_inlet_asks_where_its_tally_stops() -> None:
    """At each such row and at the end; behind a row it goes on with the next one."""
    ledger = Ledger()
    inlet = Asked(ledger)
    inlet.take(HEADER + STOPPING)
    inlet.take(b"deposit,1,4,1\nresolve,1,4,")
    assert inlet.seen == [b"withdrawal,1,2,9", b"dispute,1,99,"]
    inlet.finish()
    assert inlet.seen == [b"withdrawal,1,2,9", b"dispute,1,99,", b"resolve,1,4,", "end"]
    assert (inlet.rows, sum(inlet.refused_by_code().values()), ledger.decided) == (6, 3, 6)
    assert ledger.account(1) == (70_000, 0, False)


def test_inlets_keep_each_others_text_apart() -> None:
    """They share one batch, which keeps the text of the piece at hand, and nothing once that is decided."""
    inlet = Asked(Ledger())
    other = inlet.fresh()
    other.seen = []
    for each in (inlet, other):
        each.take(HEADER)
    for number in range(20):
        for each, client in ((inlet, 1), (other, 2)):
            each.take(b"dispute,%d,%d," % (client, number))
            each.take(b"\n" + b"resolve,%d,%d,\n" % (client, number))
    for each, client in ((inlet, 1), (other, 2)):
        expected = [
            b"%s,%d,%d," % (kind, client, tx) for tx in range(20) for kind in (b"dispute", b"resolve")
        ]
        assert each.seen == expected
    piece = b"dispute,1,1,\n" * 1_000
    before = sys.getrefcount(piece)
    inlet.take(piece)
    assert sys.getrefcount(piece) == before


def test_an_inlet_that_is_told_to_stop() -> None:
    """Rows before the one it stopped at stand, none behind it is decided, and the next inlet starts afresh."""
    ledger = Ledger()
    inlet = Asked(ledger)
    inlet.goes_on = False
    other = inlet.fresh()
    other.seen, other.goes_on = [], True
    with pytest.raises(LookupError, match="enough"):
        inlet.take(HEADER + STOPPING)
    assert (inlet.rows, ledger.decided, ledger.account(1)) == (2, 2, (50_000, 0, False))
    inlet.release()
    other.take(HEADER + b"deposit,2,50,1\n")
    other.finish()
    assert (other.rows, other.seen, ledger.decided) == (1, ["end"], 3)


def test_a_tally_that_stops_needs_somebody_to_ask() -> None:
    """An inlet by itself does not know what then."""
    inlet = Inlet(Ledger(), CsvDecoder(), stopping_tally(), Totals())
    with pytest.raises(RuntimeError, match="stopped at row 1 of 4"):
        inlet.take(HEADER + STOPPING)
