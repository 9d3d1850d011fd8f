"""Files and bytes: whatever a server has of a stream, what is sent next begins with a header and the row after it."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, TypeVar

import pytest

from client.peers import HEADER, deposits, digest_of, rows_of
from holdfast.client.errors import StreamMismatchError
from holdfast.client.file_rows import FileRows
from holdfast.domain.outcome import Outcome
from holdfast.domain.settings import Settings
from holdfast.io.raw import InputError

if TYPE_CHECKING:
    from collections.abc import Generator
    from pathlib import Path

    from holdfast.client.row_source import RowSource

_Result = TypeVar("_Result")

ODD = (
    b"\xef\xbb\xbf\n \nTX, note, Amount ,client,type\r\n\r\n"
    b'1,a,5,1,deposit\n\n2,"b\n3,,1,1,withdrawal\r\n   \n' + b"x" * 5000 + b"\n"
    b'4,"c,d",2.5,2,"deposit"\n5,,1,2,deposit'
)
"""Six rows, two of them malformed, with whatever may be between and around them."""


def done(steps: Generator[None, None, _Result]) -> _Result:
    """Do work that comes in steps."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # what the generator returns


def read_all(source: RowSource) -> bytes:
    """Read a source to the end of its part."""
    parts = []
    while data := source.read():
        parts.append(bytes(data))
    return b"".join(parts)


@pytest.mark.parametrize("form", ["path", "bytes", "gzip"])
def test_an_input_is_found_again_at_any_row(form: str, tmp_path: Path) -> None:
    """Whatever the header's order, the line ends and the compression; also twice, and backwards."""
    path = tmp_path / "odd.csv"
    path.write_bytes(gzip.compress(ODD) if form == "gzip" else ODD)
    source = FileRows([ODD if form == "bytes" else str(path)])
    expected = rows_of(ODD)
    assert len(expected) == 6
    for taken in [0, 1, 2, 3, 4, 5, 6, 3, 3, 0, 5]:
        digest = digest_of(ODD, taken)
        assert done(source.seek(taken, digest)) == digest
        data = read_all(source)
        assert rows_of(data) == expected[taken:]
        assert data.endswith(b"\n")
        assert source.sent_row == 6
    source.close()


def test_a_place_that_was_found_is_kept_for_the_next_connection() -> None:
    """A server that did not wait for the search finds it done; other rows are still another input."""
    source = FileRows([gzip.compress(HEADER + deposits(1000))])
    digest = digest_of(HEADER + deposits(1000), 900)
    done(source.seek(900, digest))
    steps = source.seek(900, digest)
    with pytest.raises(StopIteration):
        next(steps)
    assert read_all(source) == HEADER + deposits(100, first=901)
    with pytest.raises(StreamMismatchError):
        done(source.seek(900, digest + 1))


@pytest.mark.parametrize("taken", [1, 3, 6])
def test_other_rows_than_the_server_has_are_another_input(taken: int) -> None:
    """Before any of it is sent, however late the difference is."""
    source = FileRows([HEADER + deposits(10)])
    with pytest.raises(
        StreamMismatchError, match=rf"the server has {taken} rows .* not the first {taken} rows"
    ) as caught:
        done(source.seek(taken, digest_of(ODD, taken)))
    assert caught.value.rows == taken
    last_differs = HEADER + deposits(taken - 1) + b"deposit,9,9,9\n"
    with pytest.raises(StreamMismatchError, match="one name per input"):
        done(FileRows([HEADER + deposits(10)]).seek(taken, digest_of(last_differs, taken)))


def test_an_input_with_fewer_rows_than_the_stream_is_another_one() -> None:
    """Rows that the server has and the input has not."""
    with pytest.raises(StreamMismatchError, match=r"the server has 7 rows .* this input has 6 rows"):
        done(FileRows([ODD]).seek(7, 0))


def test_rows_are_compared_as_the_server_reads_them() -> None:
    """Its settings decide what a row says; after a change of them nothing that was found before counts."""
    data = HEADER + b"deposit,70000,1,1.5\ndeposit,1,2,1\ndeposit,1,3,1\n"
    settings = Settings(client_bits=32, decimals=2)
    source = FileRows([data])
    done(source.seek(2, digest_of(data, 2)))
    source.use(settings)
    assert digest_of(data, 2) != digest_of(data, 2, settings)
    done(source.seek(2, digest_of(data, 2, settings)))
    assert read_all(source) == HEADER + b"deposit,1,3,1\n"


SECOND = b"client,type,tx,amount\n" + b"".join(b"1,deposit,%d,1\n" % tx for tx in (100, 101))


def whole_digest(*parts: bytes, rows: int) -> int:
    """Give the digest of the first rows of several files that are one stream."""
    head = b"TX,note,Amount,client,type\n"
    as_one = head + b"".join(part.split(b"\n", 3 if part is ODD else 1)[-1] for part in parts[:1])
    columns = [line.split(b",") for part in parts[1:] for line in part.splitlines()[1:]]
    as_one += b"\n" + b"".join(
        b"%b,,%b,%b,%b\n" % (tx, amount, client, kind) for client, kind, tx, amount in columns
    )
    return digest_of(as_one, rows)


def test_several_files_are_one_stream() -> None:
    """Rows are numbered on, every file is a part with a header of its own, and the digest is that of the stream."""
    parts = [ODD, HEADER, SECOND]
    for taken, part in [(0, 0), (5, 0), (6, 1), (7, 2), (8, 2)]:
        source = FileRows(parts)
        digest = whole_digest(ODD, SECOND, rows=taken)
        assert done(source.seek(taken, digest)) == digest
        expected = rows_of(parts[part])[taken - (6 if part else 0) :]
        assert rows_of(read_all(source)) == expected
        assert source.sent_row == (6, 6, 8)[part]
        assert source.end_part() == (part < 2)
        source.close()


def test_the_next_part_begins_where_the_last_one_ended() -> None:
    """After a file's summary the next one is sent from its beginning; a server that has lost rows gets them again."""
    source = FileRows([ODD, SECOND])
    done(source.seek(0, 0))
    read_all(source)
    assert source.end_part()
    digest = whole_digest(ODD, SECOND, rows=6)
    done(source.seek(6, digest))
    assert read_all(source) == SECOND
    done(source.seek(7, whole_digest(ODD, SECOND, rows=7)))
    assert rows_of(read_all(source)) == rows_of(SECOND)[1:]
    with pytest.raises(StreamMismatchError):
        done(source.seek(7, digest))
    done(source.seek(5, digest_of(ODD, 5)))
    assert rows_of(read_all(source)) == rows_of(ODD)[5:]
    source.close()


def test_an_input_that_has_become_shorter_is_an_error(tmp_path: Path) -> None:
    """Nobody waits for bytes that are gone."""
    path = tmp_path / "shrinking.csv"
    path.write_bytes(HEADER + deposits(100))
    source = FileRows([str(path)])
    done(source.seek(50, None))
    path.write_bytes(HEADER + deposits(3))
    with pytest.raises((InputError, StreamMismatchError)):
        done(source.seek(60, 0))
    source.close()


def test_a_header_alone_is_an_empty_stream() -> None:
    """With its line end, which was missing."""
    for data in (HEADER, HEADER[:-1], b"\n" * 300_000 + HEADER):
        source = FileRows([data])
        done(source.seek(0, 0))
        assert read_all(source) == data.rstrip() + b"\n" or data.startswith(b"\n")
        assert source.sent_row == 0


def test_refused_rows_are_looked_up() -> None:
    """With line, byte and text, in order, over all parts."""
    source = FileRows([ODD, SECOND])
    done(source.seek(0, None))
    read_all(source)
    source.end_part()
    for row in (2, 5, 5, 2):
        rejection = source.find_rejection(row, Outcome.MALFORMED_ROW)
        assert rejection.raw == {2: b'2,"b', 5: b'4,"c,d",2.5,2,"deposit"'}[row]
        assert ODD[rejection.offset :].startswith(rejection.raw)
        assert ODD[: rejection.offset].count(b"\n") == rejection.line - 1
    assert source.find_rejection(8, Outcome.TX_NOT_FOUND).raw == b"1,deposit,101,1"
    source.close()
