"""Rows are counted as a decoder counts them, whatever the lines and the split."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.csv.counting import RowCounter
from holdfast.kernel.csv.decoder import CsvDecoder

HEADER = b"type,client,tx,amount"
PIECES = st.sampled_from(
    [
        b"deposit,1,1,1",
        b"x",
        b'"',
        b"",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"\r\n",
        b"\n\n",
        b" \r\n",
        b"\xef\xbb\xbf",
        b"x" * 5000,
    ]
)


def rows_of(data: bytes) -> int:
    """Count the rows that a decoder makes of a stream."""
    decoder = CsvDecoder()
    batches = [*decoder.feed(data), decoder.finish()]
    return sum(batch.rows for batch in batches if batch is not None)


@given(
    st.sampled_from([b"", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n", b"\n \r\n", b"\xef\xbb\xbf \r\n\n"]),
    st.lists(PIECES, max_size=30),
    st.lists(st.integers(0, 200), max_size=8),
)
def test_rows_are_those_of_a_decoder(start: bytes, pieces: list[bytes], cuts: list[int]) -> None:
    """Also of blank lines, long lines, lone returns and a byte order mark, fed in any split."""
    data = start + HEADER + b"\r\n" + b"".join(pieces) + b"\n"
    counter = RowCounter()
    for begin, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(data)], strict=True):
        counter.feed(data[begin:end])
    assert counter.rows - 1 == rows_of(data)


def test_a_line_that_has_not_ended_is_not_counted() -> None:
    """It may go on."""
    counter = RowCounter()
    counts = []
    for data in (b"", b"a", b"b\nc", b"\n", b"\xef\xbb\xbf\n"):
        counter.feed(data)
        counts.append(counter.rows)
    assert counts == [0, 0, 1, 2, 3]
