"""An inlet decides the rows of a stream as a decoder and a ledger by hand do, whatever the pieces."""

from __future__ import annotations

import sys
from array import array
from collections import Counter
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.kernel.csv.encoder import encode_accounts
from holdfast.kernel.inlet import CALL_COST, PIECE_BYTES, Inlet, InletPool
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.tally import STOP, Tally
from reference_digest import MASK

HEADER = b"type,client,tx,amount\n"


def lines_of(rows: list[tuple[int, int, int]]) -> bytes:
    """Write deposits of a few clients, some of them malformed, blank lines between them."""
    kinds = ("deposit,{},{},{}.5", "withdrawal,{},{},1", "dispute,{},{}", "deposit,{},,{}{}", "", "x" * 5000)
    return "".join(kinds[kind].format(client, tx, 7) + "\n" for kind, client, tx in rows).encode()


def by_hand(text: bytes) -> tuple[bytes, dict[int, int], int]:
    """Decode and decide a text in one piece; give the accounts, the refused rows by code, and the rows."""
    ledger, decoder, tally = LedgerCore(), CsvDecoder(), Tally()
    for batch in [*decoder.feed(text), decoder.finish()]:
        if batch is not None:
            ledger.decide(batch, 0, -1, tally)
    return b"".join(encode_accounts(ledger.image(), 4)), tally.refused_by_code(), tally.rows


class Listener:
    """Notes where the tally stopped and which rows were refused, and goes on unless it shall not."""

    def __init__(self, *, goes_on: bool = True) -> None:
        self.goes_on = goes_on
        self.stops: list[bytes] = []
        self.shown: list[tuple[int, list[int]]] = []
        self.skips = 0

    def on_stopped(self, batch: Batch, row: int) -> None:
        """Note the row."""
        self.stops.append(batch.raw(row))
        if not self.goes_on:
            raise LookupError("enough")

    def on_refused(self, batch: Batch, start: int, stop: int, position: int) -> None:
        """Note the rows by their numbers in the stream."""
        self.shown.append((position, [position + 1 + row - start for row in batch.refused_rows(start, stop)]))

    def on_skipped(self, batch: Batch, row: int) -> None:  # noqa: ARG002  # as the inlet gives them
        """Count."""
        self.skips += 1


def new_pool(
    ledger: LedgerCore | None = None,
    decoder: CsvDecoder | None = None,
    tally: Tally | None = None,
    *,
    shows: bool = False,
) -> InletPool:
    """Make the pool of a ledger."""
    return InletPool((ledger or LedgerCore()).decide, decoder or CsvDecoder(), tally or Tally(), shows=shows)


def new_inlet(ledger: LedgerCore | None = None, decoder: CsvDecoder | None = None) -> Inlet:
    """Make an inlet with a pool of its own."""
    return new_pool(ledger, decoder).open(None, Listener())


ROWS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 20)), max_size=40)


@given(ROWS, st.lists(st.integers(0, 6000), max_size=6), st.booleans())
def test_any_pieces_give_the_same(
    rows: list[tuple[int, int, int]], cuts: list[int], is_unended: bool
) -> None:
    """Also when another inlet of the ledger takes its own pieces in between, and the last line has no end."""
    text = HEADER + lines_of(rows)
    text = text[:-1] if is_unended and rows else text
    ledger = LedgerCore()
    pool = new_pool(ledger)
    inlet, other = pool.open("one", Listener()), pool.open("other", Listener())
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
    ledger, by_itself = LedgerCore(), LedgerCore()
    decoder = CsvDecoder(make_settings(row_bytes_max=row_bytes_max))
    pool = new_pool(ledger, decoder)
    rows, refused, input_bytes = 0, Counter[int](), 0
    for header, lines, cut, is_finished in streams:
        text = header + lines_of(lines)[:PIECE_BYTES]
        other, tally = decoder.fresh(), Tally()
        inlet = pool.open(None, Listener())
        errors: list[str] = []
        try:
            for batch in [*other.feed(text), other.finish() if is_finished else other.flush()]:
                if batch is not None:
                    by_itself.decide(batch, 0, -1, tally)
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
    assert (pool.ended_rows, pool.ended_input_bytes) == (rows, input_bytes)
    assert list(pool.ended_refused_by_code().items()) == sorted(refused.items())
    assert [bytes(each) for each in encode_accounts(ledger.image(), 4)] == [
        bytes(each) for each in encode_accounts(by_itself.image(), 4)
    ]


def test_a_stream_that_has_ended_takes_nothing() -> None:
    """What it used is the next one's."""
    inlet = new_inlet()
    inlet.take(HEADER + b"deposit,1,1,1\n")
    inlet.release()
    inlet.release()
    for use in (lambda: inlet.take(HEADER), lambda: inlet.follow(None, 0, 0), lambda: inlet.skip_rows(0, 0)):
        with pytest.raises(ValueError, match=r"has ended|has begun"):
            use()
    inlet.finish()
    assert (inlet.rows, inlet.has_begun, inlet.carried_bytes, inlet.lines) == (1, False, 0, 0)


def test_more_rows_than_a_batch_has() -> None:
    """A piece of several batches is applied to its end."""
    rows = b"".join(b"deposit,1,%d,1\n" % tx for tx in range(2_000))
    ledger = LedgerCore()
    inlet = new_inlet(ledger, CsvDecoder(make_settings(batch_rows=300)))
    inlet.take(HEADER + rows)
    assert (inlet.rows, inlet.refused_by_code(), ledger.transactions) == (2_000, {}, 2_000)


def test_pieces_are_small() -> None:
    """A larger one is not taken, not even in part, since nothing else runs meanwhile."""
    inlet = new_inlet()
    assert inlet.take(bytes(PIECE_BYTES + 1)) == inlet.take(memoryview(bytes(PIECE_BYTES + 1))) == 0
    assert not inlet.has_begun
    inlet.finish()
    assert inlet.take(HEADER + b"#" * (PIECE_BYTES - len(HEADER))) == PIECE_BYTES + CALL_COST


def test_text_is_bytes() -> None:
    """Of any kind that holds them; whatever else comes is not taken."""
    inlet = new_inlet()
    inlet.take(bytearray(HEADER))
    inlet.take(memoryview(b"__deposit,1,1,1\n")[2:])
    assert inlet.rows == 1
    with pytest.raises(ValueError, match="items of 4 bytes"):
        inlet.take(memoryview(array("i", [1])))
    with pytest.raises(BufferError):
        inlet.take(memoryview(HEADER)[::2])
    assert inlet.take("deposit,1,2,1\n") == 0
    inlet.takes_text = False
    assert inlet.take(b"deposit,1,2,1\n") == 0
    assert inlet.rows == 1


def test_an_unusable_header_is_an_error_and_decides_nothing() -> None:
    """Of a stream, and not of its neighbours, who go on with the batch that all share."""
    ledger = LedgerCore()
    pool = new_pool(ledger)
    inlet, good, empty, unused = (pool.open(None, Listener()) for _ in range(4))
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


def stopping_pool(ledger: LedgerCore) -> InletPool:
    """Make a pool whose listeners are asked about every row that is not applied, and see its text."""
    return new_pool(ledger, CsvDecoder(keep_source=True), stopping_tally())


# Two rows of each piece are refused, one of them the last.
STOPPING = b"deposit,1,1,5\nwithdrawal,1,2,9\ndeposit,1,3,1\ndispute,1,99,\n"


def test_the_listener_is_asked_where_the_tally_stops() -> None:
    """After each such row it goes on with the next one."""
    ledger, listener = LedgerCore(), Listener()
    inlet = stopping_pool(ledger).open(None, listener)
    inlet.take(HEADER + STOPPING)
    inlet.take(b"deposit,1,4,1\nresolve,1,4,")
    assert listener.stops == [b"withdrawal,1,2,9", b"dispute,1,99,"]
    inlet.finish()
    assert listener.stops == [b"withdrawal,1,2,9", b"dispute,1,99,", b"resolve,1,4,"]
    assert (inlet.rows, inlet.refused, ledger.decided) == (6, 3, 6)
    assert ledger.account(1) == (70_000, 0, False)


def test_inlets_keep_each_others_text_apart() -> None:
    """They share one batch, which keeps the text of the piece at hand, and nothing once that is decided."""
    pool = stopping_pool(LedgerCore())
    listeners = Listener(), Listener()
    inlets = [pool.open(None, listener) for listener in listeners]
    for each in inlets:
        each.take(HEADER)
    for number in range(20):
        for client, each in enumerate(inlets, 1):
            each.take(b"dispute,%d,%d," % (client, number))
            each.take(b"\n" + b"resolve,%d,%d,\n" % (client, number))
    for client, listener in enumerate(listeners, 1):
        expected = [
            b"%s,%d,%d," % (kind, client, tx) for tx in range(20) for kind in (b"dispute", b"resolve")
        ]
        assert listener.stops == expected
    piece = b"dispute,1,1,\n" * 1_000
    before = sys.getrefcount(piece)
    inlets[0].take(piece)
    assert sys.getrefcount(piece) == before


def test_a_listener_that_raises_ends_the_piece() -> None:
    """Rows before the one it stopped at stand, none after it is decided, and the next inlet starts afresh."""
    ledger = LedgerCore()
    pool = stopping_pool(ledger)
    inlet, other = pool.open(None, Listener(goes_on=False)), pool.open(None, Listener())
    with pytest.raises(LookupError, match="enough"):
        inlet.take(HEADER + STOPPING)
    assert (inlet.rows, ledger.decided, ledger.account(1)) == (2, 2, (50_000, 0, False))
    inlet.release()
    other.take(HEADER + b"deposit,2,50,1\n")
    other.finish()
    assert (other.rows, ledger.decided) == (1, 3)


def test_batches_and_text_have_one_way_in() -> None:
    """A batch that was decoded elsewhere is counted, shown and followed as text is."""
    listener = Listener()
    inlet = new_pool(shows=True).open("a", listener)
    inlet.follow("a", 7, 5)
    batch = Batch.from_rows([(1, 1, 1, 5, 0), (2, 1, 2, 9, 0), (1, 1, 3, 1, 0), (1, 0, 0, 0, 13)])
    inlet.take_batch(batch, 0, 3)
    inlet.take_batch(batch, 3)
    assert listener.shown == [(7, [9]), (10, [11])]
    assert (inlet.rows, inlet.position, inlet.refused_by_code()) == (4, 11, {13: 1, 40: 1})
    assert inlet.digest == (5 + batch.digest(position=7)) & MASK
    with pytest.raises(IndexError):
        inlet.take_batch(batch, 3, 5)


@given(st.integers(0, 6), st.integers(0, 6), st.lists(st.integers(0, 200), max_size=3))
def test_rows_that_were_decided_before_are_skipped(before: int, again: int, cuts: list[int]) -> None:
    """So many rows are left out, whatever the pieces; with what was decided before, all make one digest."""
    again = min(before, again)
    rows = [b"deposit,1,%d,1\n" % tx for tx in range(1, 9)]
    decoder = CsvDecoder()
    decoder.feed(HEADER + b"".join(rows))
    whole = decoder.finish()
    assert whole is not None
    ledger, listener = LedgerCore(), Listener()
    inlet = new_pool(ledger).open(None, listener)
    inlet.follow("a", before, whole.digest(0, before))
    inlet.skip_rows(again, whole.digest(0, before - again))
    text = HEADER + b"".join(rows[before - again :])
    places = sorted({0, len(text), *(min(cut, len(text)) for cut in cuts)})
    for start, stop in pairwise(places):
        inlet.take(text[start:stop])
    inlet.finish()
    assert (inlet.skipped, inlet.rows_to_skip, listener.skips) == (again, 0, again > 0)
    assert (inlet.rows, inlet.position, ledger.decided) == (8 - before, 8, 8 - before)
    assert inlet.skipped_digest == whole.digest(0, before)
    assert inlet.digest == whole.digest()


def test_who_decides_is_held_to_its_word() -> None:
    """One that reaches no row, or too many, would make the inlet go on for ever or count what is not there."""
    for reached in (0, 5):
        pool = InletPool(lambda *_, to=reached: to, CsvDecoder(), Tally())
        with pytest.raises(RuntimeError, match=f"and returned {reached}"):
            pool.open(None, Listener()).take(HEADER + STOPPING)


def test_more_rows_to_skip_than_there_were() -> None:
    """That is nonsense, and an error."""
    inlet = new_inlet()
    inlet.follow("a", 3, 0)
    with pytest.raises(ValueError, match="4 rows are to be skipped, and 3 were decided before"):
        inlet.skip_rows(4, 0)


def test_rows_before_a_failure_are_followed() -> None:
    """They stand and are counted; so they are part of the digest, and those that were refused are shown."""
    ledger, listener = LedgerCore(), Listener()

    def decide(batch: Batch, start: int, stop: int, *others: Any) -> int:
        ledger.decide(batch, start, min(stop, start + 2), *others)
        raise MemoryError

    inlet = InletPool(decide, CsvDecoder(), Tally(), shows=True).open("a", listener)
    inlet.follow("a", 0, 0)
    with pytest.raises(MemoryError):
        inlet.take(HEADER + STOPPING)
    assert (inlet.position, ledger.decided) == (2, 2)
    decoder = CsvDecoder()
    decoder.feed(HEADER + STOPPING)
    whole = decoder.finish()
    assert whole is not None
    assert inlet.digest == whole.digest(0, 2)
    assert listener.shown == [(0, [2])]


class Shortage:
    """Decides rows as far as drawn numbers say: as if the records of the row after them were not in memory."""

    def __init__(self, ledger: LedgerCore, draws: list[int]) -> None:
        self.ledger = ledger
        self.draws = draws
        self.calls = 0

    def decide_present(  # noqa: PLR0917  # called from compiled code
        self, batch: Batch, start: int, stop: int, tally: Tally, stream: str | None, position: int
    ) -> int:
        """Decide some of the rows."""
        self.calls += 1
        some = min(stop, start + self.draws[self.calls % len(self.draws)])
        return self.ledger.decide(batch, start, some, tally, stream, position) if some > start else start


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.integers(0, 30)), max_size=60),
    st.lists(st.integers(1, 300), min_size=1, max_size=8),
    st.lists(st.integers(0, 9), min_size=1, max_size=12),
    st.integers(1, 9),
)
def test_rows_that_wait(
    rows: list[tuple[int, int, int]], pieces: list[int], draws: list[int], batch_rows: int
) -> None:
    """Whatever is not in memory and when: rows are decided in order, once, and followed and shown as if all had been there."""
    text = HEADER + lines_of(rows)
    settings = make_settings(batch_rows=batch_rows)

    def taken(shortage: list[int] | None) -> tuple[object, ...]:
        ledger, listener = LedgerCore(settings), Listener()
        short = None if shortage is None else Shortage(ledger, shortage)
        pool = InletPool(
            ledger.decide,
            CsvDecoder(settings, keep_source=True),
            Tally(bytes([0] * 13 + [STOP] + [0] * 242)),
            shows=True,
            decide_present=None if short is None else short.decide_present,
        )
        inlet = pool.open("s", listener)
        inlet.follow("s", 5, 77)
        at = count = 0
        while at < len(text):
            size = pieces[count % len(pieces)]
            inlet.take(text[at : at + size])
            at, count = at + size, count + 1
            if count % 3 == 0:
                go_on(inlet, short)
        inlet.finish()
        go_on(inlet, short)
        assert (inlet.is_parked, inlet.parked_rows, inlet.first_parked()) == (False, 0, None)
        shown = [number for _, numbers in listener.shown for number in numbers]
        counts = (inlet.rows, inlet.position, inlet.digest, inlet.refused_by_code())
        inlet.release()
        return b"".join(encode_accounts(ledger.image(), 4)), shown, listener.stops, counts

    assert taken(draws) == taken(None)


def go_on(inlet: Inlet, short: Shortage | None) -> None:
    """Let rows that wait go on until none do: now and then nothing is decided, and they are no longer asked to wait."""
    for turn in range(1000):
        if not inlet.is_parked:
            return
        before = inlet.parked_rows
        assert before > 0
        first = inlet.first_parked()
        assert first is not None
        assert all(code == 0 or code >= 10 for code in first.outcomes)
        inlet.go_on(waits=turn % 4 != 3)
        assert inlet.parked_rows <= before
        assert short is not None
    raise AssertionError("rows wait for ever")


def test_rows_that_wait_are_dropped_with_the_stream() -> None:
    """They are undecided, and whoever ended the stream knows how far it got."""
    ledger = LedgerCore()
    pool = InletPool(ledger.decide, CsvDecoder(), Tally(), decide_present=lambda _batch, start, *_: start)
    inlet = pool.open(None, Listener())
    inlet.take(HEADER + b"deposit,1,1,1\ndeposit,1,2,1\n")
    assert (inlet.rows, inlet.parked_rows, ledger.decided) == (0, 2, 0)
    inlet.release()
    assert (inlet.parked_rows, inlet.is_parked, ledger.decided) == (0, False, 0)
    with pytest.raises(TypeError, match="decide_present"):
        InletPool(ledger.decide, CsvDecoder(), Tally(), decide_present=1)  # type: ignore[arg-type]  # on purpose
