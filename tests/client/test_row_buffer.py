"""Rows that are given: kept until they are acknowledged, left out where the server has them, compared with what it has."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.peers import HEADER, deposits, digest_of, rows_of
from client.test_file_rows import ODD, done, read_all
from holdfast.client.errors import LostRowsError, StreamMismatchError
from holdfast.client.row_buffer import RowBuffer
from holdfast.domain.outcome import Outcome
from holdfast.domain.settings import Settings
from holdfast.io.raw import InputError

if TYPE_CHECKING:
    from holdfast.client.row_buffer import _Piece
    from holdfast.kernel.batch import Batch


def filled(*, first_row: int | None = 1, pieces: int = 4, encoded: bool = False) -> RowBuffer:
    """Give a buffer with three rows a piece, which has not been connected."""
    buffer = RowBuffer("<test>", header=HEADER, first_row=first_row, bytes_max=1500)
    for piece in range(pieces):
        data = deposits(3, first=3 * piece + 1)
        if encoded:
            buffer.put_rows(data, 3)
        else:
            buffer.put(data)
    return buffer


def digest(rows: int) -> int:
    """Give the digest of the first deposits."""
    return digest_of(HEADER + deposits(rows), rows)


@pytest.mark.parametrize("encoded", [False, True])
def test_a_buffer_sends_again_what_is_not_acknowledged(encoded: bool) -> None:  # a parameter
    """From any row on, as often as it takes; the digest of what is gone is kept."""
    buffer = filled(encoded=encoded)
    done(buffer.seek(0, 0))
    assert buffer.read() == HEADER
    buffer.read()
    for acked in (0, 2, 3, 7, 7, 12):
        buffer.take_ack(acked)
        assert done(buffer.seek(acked, digest(acked))) == digest(acked)
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
    done(buffer.seek(0, None))
    assert buffer.read() == HEADER
    assert buffer.read() == deposits(39) + b"deposit,1,1,1\n"
    for row in (39, 40):
        buffer.take_ack(row)
        states.append((buffer.is_full, buffer.is_settled))
    assert states == [(False, False), (True, False), (False, False), (False, True)]


def test_a_server_without_memory_cannot_have_rows_that_are_gone() -> None:
    """The error names the rows that have to be given again."""
    buffer = filled()
    done(buffer.seek(0, 0))
    buffer.read(), buffer.read()
    buffer.take_ack(7)
    with pytest.raises(
        LostRowsError, match=r"acknowledged row 7: it has lost its memory; rows 1 to 6 "
    ) as caught:
        done(buffer.seek(0, 0))
    assert (caught.value.first_row, caught.value.last_row) == (1, 6)


def test_rows_that_the_server_has_are_left_out() -> None:
    """A source that begins anew at row 1 is given whole; what the server has is dropped here, before or after it comes."""
    buffer = filled()
    assert done(buffer.seek(5, digest(5))) == digest(5)
    buffer.put(deposits(1, first=13))
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(8, first=6))
    late = RowBuffer("<test>", header=HEADER, first_row=1, bytes_max=1500)
    assert done(late.seek(5, digest(5))) is None
    for piece in range(4):
        late.put(deposits(3, first=3 * piece + 1))
    assert (late.read(), late.read()) == (HEADER, deposits(7, first=6))


@pytest.mark.parametrize("encoded", [False, True])
@pytest.mark.parametrize("row", [1, 4, 6])
def test_other_rows_than_the_server_has_are_another_input(row: int, encoded: bool) -> None:  # a parameter
    """Known as soon as they are there: at once, or with the piece that brings the last of them. Nothing is sent any more."""
    other = digest_of(HEADER + deposits(row - 1) + b"deposit,9,9,9\n", row)
    with pytest.raises(StreamMismatchError, match=f"the server has {row} rows"):
        done(filled(encoded=encoded).seek(row, other))
    late = RowBuffer("<test>", header=HEADER, first_row=1, bytes_max=1500)
    done(late.seek(row, other))
    put = (lambda data: late.put_rows(data, 1)) if encoded else late.put
    for tx in range(1, row):
        put(deposits(1, first=tx))
    with pytest.raises(StreamMismatchError, match=f"the server has {row} rows"):
        put(deposits(1, first=row))
    for call in (late.read, late.end, lambda: late.put(deposits(1)), lambda: late.put_rows(deposits(1), 1)):
        with pytest.raises(StreamMismatchError):
            call()


def test_rows_after_a_lost_connection_are_compared_too() -> None:
    """Somebody else may have sent under the same name in between."""
    buffer = filled()
    done(buffer.seek(0, 0))
    read_some = [buffer.read(), buffer.read()]
    assert read_some[1] == deposits(12)
    buffer.take_ack(4)
    with pytest.raises(StreamMismatchError):
        done(buffer.seek(8, digest(7)))


def test_a_source_that_goes_on_is_numbered_after_the_server() -> None:
    """Without a first row, what is given are the rows after those that the server has, which are taken as they are."""
    buffer = filled(first_row=None)
    assert done(buffer.seek(100, 77)) == 77
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(12))
    assert buffer.rows == 112
    buffer.take_ack(105)
    grown = done(buffer.seek(105, _grown(77, 100, 5)))
    assert grown == _grown(77, 100, 5)
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(7, first=6))
    with pytest.raises(StreamMismatchError):
        done(buffer.seek(106, 77))


def _grown(before: int, rows_before: int, rows: int) -> int:
    """Give the digest of a stream that had another one and got the first deposits."""
    filler = b"deposit,1,1,1\n" * rows_before
    whole = digest_of(HEADER + filler + deposits(rows), rows_before + rows)
    return (before + whole - digest_of(HEADER + filler, rows_before)) % 2**64


def test_nothing_is_claimed_of_rows_that_were_not_given() -> None:
    """From a first row in the middle on, the rows before it are unknown: those after it that the server has are left out."""
    buffer = filled(first_row=11)
    assert done(buffer.seek(13, 77)) is None
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(9, first=4))
    known = filled(first_row=11)
    assert done(known.seek(10, 77)) == 77
    known.read(), known.read()
    with pytest.raises(StreamMismatchError):
        done(known.seek(12, 78))


def test_settings_of_the_server_decide_what_a_row_says() -> None:
    """They are known after rows were given, and may change when the server is started anew."""
    data = HEADER + b"deposit,70000,1,1.5\ndeposit,1,2,1\n"
    settings = Settings(client_bits=32)
    buffer = RowBuffer("<test>", header=None, first_row=1, bytes_max=1500)
    buffer.put(data)
    buffer.use(settings)
    done(buffer.seek(1, digest_of(data, 1, settings)))
    buffer.use(Settings())
    assert done(buffer.seek(1, digest_of(data, 1))) is None


def test_a_source_shorter_than_the_stream_is_another_one() -> None:
    """As with files; known when the source ends."""
    buffer = filled()
    done(buffer.seek(20, 0))
    with pytest.raises(StreamMismatchError, match=r"the server has 20 rows .* this input has 12 rows"):
        buffer.end()


def test_rows_that_jump_are_an_error() -> None:
    """A first row beyond the next one would leave rows out; a server beyond what was given was sent to by others."""
    buffer = filled(first_row=10)
    with pytest.raises(LostRowsError, match="the server has 4 rows of the stream; rows 5 to 9 are not here"):
        done(buffer.seek(4, 0))
    buffer = filled()
    done(buffer.seek(0, 0))
    with pytest.raises(StreamMismatchError):
        done(buffer.seek(20, 0))


def test_a_server_that_lost_rows_that_are_still_to_come_is_no_loss() -> None:
    """They are given later, and none of them was dropped."""
    buffer = RowBuffer("<test>", header=HEADER, first_row=1, bytes_max=1500)
    done(buffer.seek(6, digest(6)))
    done(buffer.seek(2, digest(2)))
    buffer.put(deposits(4))
    assert (buffer.read(), buffer.read()) == (HEADER, deposits(2, first=3))


def given_whole(data: bytes) -> RowBuffer:
    """Give a buffer that was given everything."""
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
    """However it is given, the rows sent are those of the whole, from where the server is."""
    buffer = RowBuffer("<pipe>", header=None, first_row=1, bytes_max=100_000)
    steps = buffer.seek(taken, digest_of(ODD, taken))
    places = [0, *sorted(cuts), len(ODD)]
    for number, (start, end) in enumerate(pairwise(places)):
        buffer.put(ODD[start:end])
        if number == len(cuts) // 2:
            done(steps)
    buffer.end()
    assert rows_of(read_all(buffer)) == rows_of(ODD)[taken:]


def test_refused_rows_are_looked_up_at_a_constant_cost() -> None:
    """With line, byte and text; a piece is decoded once, however many of its rows are refused."""
    buffer = given_whole(ODD)
    done(buffer.seek(0, None))
    read_all(buffer)
    for row in (2, 5):
        rejection = buffer.find_rejection(row, Outcome.MALFORMED_ROW)
        assert rejection.raw == {2: b'2,"b', 5: b'4,"c,d",2.5,2,"deposit"'}[row]
        assert ODD[rejection.offset :].startswith(rejection.raw)
        assert ODD[: rejection.offset].count(b"\n") == rejection.line - 1
    large = RowBuffer("<pipe>", header=HEADER, first_row=1, bytes_max=1_000_000)
    large.put(deposits(5000))
    decoded = []
    decode = large._decode

    def count(piece: _Piece) -> list[Batch]:
        decoded.append(piece)
        return decode(piece)

    large._decode = count  # type: ignore[method-assign]  # counts what is decoded
    for row in range(1, 5001):
        assert large.find_rejection(row, Outcome.TX_NOT_FOUND).raw == deposits(1, first=row).rstrip()
    assert len(decoded) == 1
