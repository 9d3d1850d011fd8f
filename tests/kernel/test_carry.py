"""A line that is carried over between feeds: what stood in its place before is never read again."""

from __future__ import annotations

from holdfast.kernel.csv.decoder import CsvDecoder

HEADER = b"type,client,tx,amount\n"


def test_what_was_carried_before_is_no_row() -> None:
    """A shorter line takes the place of a longer one, whose rest looks like a row that begins where the shorter one ends."""
    decoder = CsvDecoder()
    shorter = b"deposit,1,1,1\n"
    longer = b"x" * len(shorter) + b"deposit,9,9,9\n"
    decoder.feed(HEADER)
    for line in (longer, shorter):
        decoder.feed(line[:5])
        decoder.feed(line[5:])
    batch = decoder.flush()
    assert batch is not None
    assert list(batch.txs) == [0, 1]
    assert list(batch.types) == [0, 1]
    assert decoder.lines == 3
