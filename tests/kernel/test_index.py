"""The index by itself against a dict: any keys, in any order, through many splits."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.kernel.ledger.index import KeyIndex

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import numpy.typing as npt

    Keys = npt.NDArray[np.uint64]

MANY = 150_000
"""So many keys fill more than thirty segments."""


def keys_of(numbers: Iterable[int]) -> Keys:
    """Make a column of keys."""
    return np.fromiter(numbers, np.uint64)


def drawn(seed: int, bits: int, count: int) -> Keys:
    """Draw random keys of a width."""
    return np.random.default_rng(seed).integers(0, 2**bits, count, np.uint64)


def shuffled(keys: Keys) -> Keys:
    """Put keys in a random order."""
    return np.random.default_rng(1).permutation(keys)


# Each with as many keys as are asked for, below 2**bits.
PATTERNS: dict[str, Callable[[int, int], Keys]] = {
    "dense": lambda count, _: np.arange(count, dtype=np.uint64),
    "dense, from the far end": lambda count, bits: keys_of(2**bits - 1 - number for number in range(count)),
    "dense, shuffled": lambda count, _: shuffled(np.arange(count, dtype=np.uint64)),
    "sparse": lambda count, bits: drawn(2, bits, count),
    "strides of a page": lambda count, bits: keys_of(number * 4096 % 2**bits for number in range(count)),
    "strides of a power of two": lambda count, bits: keys_of(
        number << (bits - 18) for number in range(count)
    ),
    "strides of a prime": lambda count, bits: keys_of(number * 65_537 % 2**bits for number in range(count)),
    "every key of some windows": lambda count, bits: keys_of(
        (number >> 10 << (bits - 12)) + (number & 1023) for number in range(min(count, 2**22))
    ),
    "two streams in turn": lambda count, bits: keys_of(
        number // 2 + (number & 1) * 2 ** (bits - 1) for number in range(count)
    ),
    "the same low bits": lambda count, bits: keys_of(
        (number << 14 | 77) % 2**bits for number in range(count)
    ),
    "repeated": lambda count, _: drawn(3, 15, count),
}


class Pair:
    """An index and a dict that are given the same keys."""

    def __init__(self, bits: int) -> None:
        self.index = KeyIndex(bits)
        self.ordinals: dict[int, int] = {}

    def insert(self, keys: Keys) -> None:
        """Insert into both, and compare what is new."""
        before = len(self.ordinals)
        for key in keys.tolist():
            self.ordinals.setdefault(key, len(self.ordinals))
        assert self.index.insert_all(keys) == len(self.ordinals) - before
        assert len(self.index) == len(self.ordinals)

    def check(self, others: Iterable[int] = ()) -> None:
        """Look up every key there is, and some that are not."""
        assert self.index.count_present(keys_of(self.ordinals)) == len(self.ordinals)
        for key, ordinal in self.ordinals.items():
            assert self.index.ordinal(key) == ordinal
        absent = [key for key in others if key not in self.ordinals]
        assert self.index.count_present(keys_of(absent)) == 0
        assert all(self.index.ordinal(key) is None for key in absent)


@pytest.mark.parametrize("bits", [32, 64])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns(pattern: str, bits: int) -> None:
    """Ordinals count in order of arrival, through all splits, whatever the keys look like."""
    pair = Pair(bits)
    keys = PATTERNS[pattern](MANY, bits)
    for start in range(0, MANY, 10_007):
        pair.insert(keys[start : start + 10_007])
    pair.check(drawn(4, bits, 2_000).tolist())
    # Once more, nothing is new.
    pair.insert(keys)
    assert len(pair.index) == len(set(keys.tolist()))


@pytest.mark.parametrize("bits", [32, 64])
def test_every_key_is_found_while_the_table_grows(bits: int) -> None:
    """Between any two splits, old and new keys are found and none is entered twice."""
    pair = Pair(bits)
    keys = drawn(5, bits, 30_000)
    for start in range(0, len(keys), 97):
        pair.insert(keys[start : start + 97])
        some = np.ascontiguousarray(keys[: start + 97 : max(1, start // 300)])
        assert pair.index.count_present(some) == len(some)
        assert pair.index.insert_all(some) == 0
    pair.check()


def test_key_by_key() -> None:
    """One key at a time is as good as all at once."""
    pair = Pair(64)
    for key in drawn(6, 16, 9_000):
        pair.insert(keys_of([int(key)]))
    pair.check(range(0, 2**16, 7))


@pytest.mark.parametrize(
    ("bits", "limits"), [(32, [0, 1, 2**31, 2**32 - 1]), (64, [0, 1, 2**32 - 1, 2**32, 2**63, 2**64 - 1])]
)
def test_limits(bits: int, limits: list[int]) -> None:
    """The first and the last key of a width are keys like others."""
    pair = Pair(bits)
    pair.check(limits)
    pair.insert(keys_of(limits))
    pair.check()
    assert [pair.index.ordinal(key) for key in limits] == list(range(len(limits)))


def test_upper_halves_count() -> None:
    """Wide keys that differ in their upper half only are different keys."""
    pair = Pair(64)
    pair.insert(keys_of((high << 32) + low for low in range(3) for high in range(5_000)))
    pair.check((high << 32) + 3 for high in range(5_000))


def test_narrow_keys_have_no_upper_half() -> None:
    """In an index of 32-bit keys only the lower half of a key counts, however many segments there are."""
    index = KeyIndex(32)
    keys = drawn(8, 32, 20_000)
    high = keys + np.uint64(7 << 32)
    assert index.insert_all(high) == len(set(keys.tolist()))
    assert index.count_present(keys) == index.count_present(high) == len(keys)
    assert index.ordinal(int(high[0])) == index.ordinal(int(keys[0])) == 0


def test_the_same_key_within_a_block() -> None:
    """A key that repeats within one block of 64 is entered once."""
    pair = Pair(64)
    pair.insert(keys_of([5] * 200 + [6, 5, 6] * 50))
    assert (pair.index.ordinal(5), pair.index.ordinal(6), len(pair.index)) == (0, 1, 2)


def test_many_segments() -> None:
    """Over a million keys in hundreds of segments keep their numbers."""
    index = KeyIndex(64)
    keys = shuffled(np.arange(1_200_000, dtype=np.uint64) * np.uint64(3))
    assert index.insert_all(keys) == len(keys)
    assert index.count_present(keys) == len(keys)
    assert index.count_present(keys + np.uint64(1)) == 0
    for ordinal in (0, 1, 65_535, 65_536, 999_999, 1_199_999):
        assert index.ordinal(int(keys[ordinal])) == ordinal


@pytest.mark.parametrize(("bits", "least", "most"), [(32, 14, 20), (64, 22, 32)])
@pytest.mark.parametrize("pattern", ["sparse", "dense"])
def test_size(pattern: str, bits: int, least: int, most: int) -> None:
    """What a key costs is the same at any number of keys: segments are not all split at the same time."""
    index = KeyIndex(bits)
    assert index.memory_bytes < 100_000
    keys = PATTERNS[pattern](800_000, bits)
    index.insert_all(keys[:200_000])
    for start in range(200_000, len(keys), 50_000):
        assert least < index.memory_bytes / len(index) < most
        index.insert_all(keys[start : start + 50_000])


@given(st.lists(st.lists(st.integers(0, 2**64 - 1) | st.integers(0, 20), max_size=100), max_size=20))
def test_any_keys(pieces: list[list[int]]) -> None:
    """Anything a dict can hold."""
    pair = Pair(64)
    for piece in pieces:
        pair.insert(keys_of(piece))
    pair.check(random.Random(0).sample(range(2**40), 20))


def test_no_keys() -> None:
    """Nothing is inserted, nothing found."""
    index = KeyIndex()
    assert (len(index), index.insert_all(keys_of([])), index.count_present(keys_of([]))) == (0, 0, 0)
    assert index.ordinal(0) is None


def test_indexes_differ() -> None:
    """Two indexes with the same keys are independent of each other."""
    indexes = [KeyIndex(64) for _ in range(20)]
    for number, index in enumerate(indexes):
        index.insert_all(np.arange(number * 100, dtype=np.uint64))
    assert [len(index) for index in indexes] == [number * 100 for number in range(20)]


@pytest.mark.parametrize(
    "keys",
    [np.arange(3), np.arange(3.0), np.arange(6, dtype=np.uint64)[::2]],
    ids=["signed", "float", "strided"],
)
def test_other_columns(keys: npt.NDArray[np.generic]) -> None:
    """Only a contiguous column of uint64 will do, and nothing is entered from another."""
    index = KeyIndex()
    with pytest.raises(ValueError, match=r"Buffer dtype mismatch|contiguous"):
        index.insert_all(keys)
    assert len(index) == 0


@pytest.mark.parametrize("key", [-1, 2**64])
def test_keys_out_of_range(key: int) -> None:
    """There are no keys beyond 64 bits."""
    with pytest.raises(OverflowError):
        KeyIndex().ordinal(key)
