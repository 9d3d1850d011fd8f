"""Inputs and buffers: wherever a stream stands, what is sent next begins with the header and the next row."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.peers import HEADER, deposits
from holdfast.client.errors import LostRowsError, ProtocolError, StreamMismatchError
from holdfast.client.feeds import FilesFeed
from holdfast.client.row_buffer import RowBuffer
from holdfast.domain.outcome import Outcome
from holdfast.io.raw import InputError
from holdfast.kernel.csv.decoder import CsvDecoder

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast.client.feeds import Feed

ODD = (
    b"\xef\xbb\xbf\n \nTX, note, Amount ,client,type\r\n\r\n"
    b'1,a,5,1,deposit\n\n2,"b\n3,,1,1,withdrawal\r\n   \n' + b"x" * 5000 + b"\n"
    b'4,"c,d",2.5,2,"deposit"\n5,,1,2,deposit'
)
"""Six rows, two of them malformed, with whatever may stand between and around them."""


def rows_of(data: bytes) -> list[tuple[int, int, int, int, int]]:
    """Decode a stream."""
    decoder = CsvDecoder()
    batches = [*decoder.feed(data), decoder.finish()]
    return [
        row
        for batch in batches
        if batch is not None
        for row in zip(batch.types, batch.clients, batch.txs, batch.amounts, batch.outcomes, strict=True)
    ]


def read_all(feed: Feed) -> bytes:
    """Read a feed to the end of its part."""
    parts = []
    while data := feed.read():
        parts.append(bytes(data))
    return b"".join(parts)


@pytest.mark.parametrize("form", ["path", "bytes", "gzip"])
def test_an_input_is_found_again_at_any_row(form: str, tmp_path: Path) -> None:
    """Whatever the header's order, the line ends and the compression; also twice, and backwards."""
    path = tmp_path / "odd.csv"
    path.write_bytes(gzip.compress(ODD) if form == "gzip" else ODD)
    feed = FilesFeed([ODD if form == "bytes" else str(path)])
    expected = rows_of(ODD)
    assert len(expected) == 6
    for taken in [0, 1, 2, 3, 4, 5, 6, 3, 3, 0, 5]:
        feed.seek(taken + 1)
        data = read_all(feed)
        assert rows_of(data) == expected[taken:]
        assert data.endswith(b"\n")
    feed.close()


def test_an_input_with_fewer_rows_than_the_stream_is_another_one() -> None:
    """Rows that the server has and the input has not: something else was sent under this name."""
    feed = FilesFeed([ODD])
    with pytest.raises(StreamMismatchError, match="stands at row 7, but the input has 6 rows"):
        feed.seek(8)
    feed.close()


def test_several_files_are_one_stream() -> None:
    """Rows are numbered on, and every file is a part of its own with its own header."""
    second = b"client,type,tx,amount\n" + b"".join(b"1,deposit,%d,1\n" % tx for tx in (100, 101))
    parts = [ODD, HEADER, second]
    for taken, part in [(0, 0), (5, 0), (6, 1), (7, 2), (8, 2)]:
        feed = FilesFeed(parts)
        feed.seek(taken + 1)
        expected = rows_of(parts[part])[taken - (6 if part else 0) :]
        assert rows_of(read_all(feed)) == expected
        assert feed.end_part((6, 6, 8)[part]) == (part < 2)
        feed.close()


def test_the_next_part_begins_where_the_last_one_ended() -> None:
    """After a file's summary the next one is sent from its beginning, without a look at the one before."""
    feed = FilesFeed([ODD, HEADER + deposits(2)])
    feed.seek(1)
    read_all(feed)
    assert feed.end_part(6)
    feed.seek(7)
    assert read_all(feed) == HEADER + deposits(2)
    assert not feed.end_part(8)
    feed.close()


def test_an_input_that_has_become_shorter_is_an_error(tmp_path: Path) -> None:
    """Nobody waits for bytes that are gone."""
    path = tmp_path / "shrinking.csv"
    path.write_bytes(HEADER + deposits(100))
    feed = FilesFeed([str(path)])
    feed.seek(50)
    path.write_bytes(HEADER + deposits(3))
    with pytest.raises((InputError, StreamMismatchError)):
        feed.seek(60)
    feed.close()


@pytest.mark.parametrize("form", ["file", "buffer"])
def test_a_refused_row_is_looked_up(form: str) -> None:
    """With its line, its byte and its text, for the file of rejects."""
    feed: FilesFeed | RowBuffer
    if form == "file":
        feed = FilesFeed([ODD])
    else:
        feed = RowBuffer("<pipe>", header=None, first_row=1, bytes_max=100_000)
        feed.put(ODD)
        feed.end()
    feed.seek(1)
    read_all(feed)
    for row in (2, 5):
        rejection = feed.rejection(row, Outcome.MALFORMED_ROW)
        assert rejection.raw == {2: b'2,"b', 5: b'4,"c,d",2.5,2,"deposit"'}[row]
        assert ODD[rejection.offset :].startswith(rejection.raw)
        assert ODD[: rejection.offset].count(b"\n") == rejection.line - 1
    feed.close()


def filled(*, first_row: int | None = 1, pieces: int = 4) -> RowBuffer:
    """Give a buffer with three rows a piece, connected for the first time to a server without any."""
    buffer = RowBuffer("<test>", header=HEADER, first_row=first_row, bytes_max=1500)
    for piece in range(pieces):
        buffer.put(deposits(3, first=3 * piece + 1))
    return buffer


def test_a_buffer_sends_again_what_is_not_acknowledged() -> None:
    """From any row on, as often as it takes."""
    buffer = filled()
    buffer.seek(1)
    assert buffer.read() == HEADER
    buffer.read()
    for acked in (0, 2, 3, 7, 7, 12):
        buffer.take_ack(acked)
        buffer.seek(acked + 1)
        assert b"".join([buffer.read() or b"", buffer.read() or b""]) == HEADER + deposits(
            12 - acked, acked + 1
        )


def test_a_buffer_is_full_at_its_limit_and_empties_with_the_acks() -> None:
    """The limit is in bytes, and small pieces count for more than their bytes."""
    buffer = filled(pieces=3)
    states = [(buffer.is_full, buffer.is_settled)]
    buffer.put(deposits(30, first=10))
    buffer.put(b"deposit,1,1,1\n")
    states.append((buffer.is_full, buffer.is_settled))
    buffer.seek(1)
    assert buffer.read() == HEADER
    assert buffer.read() == deposits(39) + b"deposit,1,1,1\n"
    for row in (39, 40):
        buffer.take_ack(row)
        states.append((buffer.is_full, buffer.is_settled))
    assert states == [(False, False), (True, False), (False, False), (False, True)]


def test_a_server_without_memory_cannot_have_rows_that_are_gone() -> None:
    """The error names the rows that have to be given again."""
    buffer = filled()
    buffer.seek(1)
    buffer.read(), buffer.read()
    buffer.take_ack(7)
    with pytest.raises(
        LostRowsError, match=r"acknowledged row 7: it has lost its memory; rows 1 to 6 "
    ) as caught:
        buffer.seek(1)
    assert (caught.value.first_row, caught.value.last_row) == (1, 6)


def test_rows_that_the_server_has_are_left_out() -> None:
    """A source that begins anew at row 1 is given whole; what the server has is dropped here, before or after it comes."""
    buffer = filled()
    buffer.seek(6)
    buffer.put(deposits(1, first=13))
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(8, first=6))
    late = RowBuffer("<test>", header=HEADER, first_row=1, bytes_max=1500)
    late.seek(6)
    for piece in range(4):
        late.put(deposits(3, first=3 * piece + 1))
    assert (late.read(), late.read()) == (HEADER, deposits(7, first=6))


def test_a_source_that_goes_on_is_numbered_behind_the_server() -> None:
    """Without a first row, what is given are the rows behind those that the server has."""
    buffer = filled(first_row=None)
    buffer.seek(101)
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(12))
    assert buffer.rows == 112
    buffer.take_ack(105)
    buffer.seek(106)
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(7, first=6))


def test_a_source_shorter_than_the_stream_is_another_one() -> None:
    """As with files; known when the source ends."""
    buffer = filled()
    buffer.seek(21)
    with pytest.raises(StreamMismatchError, match="stands at row 20, but 12 rows were given"):
        buffer.end()


def test_rows_that_jump_are_an_error() -> None:
    """A first row beyond the next one would leave rows out; a server beyond what was given was sent to by others."""
    buffer = filled(first_row=10)
    with pytest.raises(LostRowsError, match="stands at row 4 of the stream; rows 5 to 9 are not here"):
        buffer.seek(5)
    buffer = filled()
    buffer.seek(1)
    with pytest.raises(StreamMismatchError):
        buffer.seek(20)
    with pytest.raises(ProtocolError, match="only 0 rows were sent"):
        buffer.take_ack(1)


def given_whole(data: bytes) -> RowBuffer:
    """Give a buffer that was given all that comes."""
    buffer = RowBuffer("<pipe>", header=None, first_row=1, bytes_max=1000)
    buffer.put(data)
    buffer.end()
    return buffer


def test_a_pipe_needs_a_header() -> None:
    """What is empty, blank or something else is an error that says so."""
    for data, said in ((b"", "is empty"), (b"\n \n", "only blank lines"), (b"a,b\n", "header")):
        with pytest.raises(InputError, match=said):
            given_whole(data)
    with pytest.raises(InputError, match="does not end"):
        RowBuffer("<pipe>", header=None, first_row=1, bytes_max=1000).put(b"x" * 2_000_000)


@given(st.lists(st.integers(0, len(ODD)), max_size=6), st.integers(0, 6))
def test_a_pipe_is_the_same_in_any_split(cuts: list[int], taken: int) -> None:
    """However it is given, the rows sent are those of the whole, from where the server stands."""
    buffer = RowBuffer("<pipe>", header=None, first_row=1, bytes_max=100_000)
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(ODD)], strict=True):
        buffer.put(ODD[start:end])
    buffer.end()
    buffer.seek(taken + 1)
    assert rows_of(read_all(buffer)) == rows_of(ODD)[taken:]
