"""The digest of a stream: the same however rows are cut, and that of a reference in plain Python."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from reference_digest import MASK, digest

if TYPE_CHECKING:
    from collections.abc import Iterable

TEXT = b"""type,client,tx,amount
deposit,1,1,1.5
 Withdrawal , 1 , 2 , 0.5000
dispute,1,1,ignored
deposit,1,3,oops
,,,

resolve,1,1
"""
ROWS: list[tuple[int, int, int, int] | bytes] = [
    (1, 1, 1, 15_000),
    (2, 1, 2, 5_000),
    (3, 1, 1, 0),
    b"deposit,1,3,oops",
    b",,,",
    (4, 1, 1, 0),
]


def decode(pieces: Iterable[bytes], batch_rows: int = 8192) -> list[Batch]:
    """Decode pieces of one stream."""
    decoder = CsvDecoder(make_settings(batch_rows=batch_rows))
    batches = [batch for piece in pieces for batch in decoder.feed(piece)]
    last = decoder.finish()
    return batches if last is None else [*batches, last]


def digest_of(batches: list[Batch]) -> int:
    """Add up the digests of batches."""
    total = rows = 0
    for batch in batches:
        total += batch.digest(position=rows)
        rows += batch.rows
    return total & MASK


def test_digest_is_that_of_the_reference() -> None:
    """Fields count where a row could be decoded, its bytes where it could not."""
    assert digest_of(decode([TEXT])) == digest(ROWS)


@given(cuts=st.lists(st.integers(0, len(TEXT)), max_size=4), batch_rows=st.integers(1, 8))
def test_any_split_has_one_digest(cuts: list[int], batch_rows: int) -> None:
    """Neither pieces nor batches make a difference."""
    ends = sorted({0, *cuts, len(TEXT)})
    pieces = [TEXT[start:end] for start, end in itertools.pairwise(ends)]
    assert digest_of(decode(pieces, batch_rows)) == digest(ROWS)


@given(split=st.integers(0, len(ROWS)))
def test_a_digest_is_resumed_at_any_row(split: int) -> None:
    """Two parts of a batch add up."""
    (batch,) = decode([TEXT])
    assert (batch.digest(0, split) + batch.digest(split, position=split)) & MASK == digest(ROWS)


@given(
    rows=st.lists(
        st.tuples(
            st.integers(1, 5),
            st.integers(0, 2**64 - 1),
            st.integers(0, 2**64 - 1),
            st.integers(-(2**63), 2**63 - 1),
        ),
        max_size=20,
    ),
    position=st.integers(0, 2**62),
)
def test_columns_have_the_digest_of_their_fields(
    rows: list[tuple[int, int, int, int]], position: int
) -> None:
    """A batch from columns has no text: its fields are all there is."""
    numpy = pytest.importorskip("numpy")
    columns = [
        numpy.array([row[place] for row in rows], kind) for place, kind in enumerate(("u1", "u8", "u8", "i8"))
    ]
    batch = Batch.from_columns(*columns)
    assert batch.digest(position=position) == digest(list(rows), position)


def test_what_changes_a_digest() -> None:
    """Another value, another order or another place in the stream make another digest; how a row is written does not."""
    digests = [
        digest_of(decode([b"type,client,tx,amount\n" + rows]))
        for rows in (
            b"deposit,1,1,1\ndeposit,1,2,1\n",
            b"deposit,1,2,1\ndeposit,1,1,1\n",
            b"deposit,1,1,1\ndeposit,1,2,2\n",
            b"deposit,1,1,1\nwithdrawal,1,2,1\n",
            b"deposit,1,1,1\n\0\ndeposit,1,2,1\n",
        )
    ]
    assert len(set(digests)) == len(digests)
    assert (
        digest_of(decode([b"amount,tx,client,type\r\n1.0,1,1,DEPOSIT\r\n\r\n+1,02,1,deposit"])) == digests[0]
    )


def test_rows_that_are_not_there() -> None:
    """A range outside of the batch is an error."""
    (batch,) = decode([TEXT])
    for start, stop in ((-1, 2), (3, 2), (0, 7), (7, -1)):
        with pytest.raises(IndexError):
            batch.digest(start, stop)
