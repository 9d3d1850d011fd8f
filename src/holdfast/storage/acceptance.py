"""Journaled outcomes that stand although the rules now come to others, because an operator has accepted them.

An entry of kind ACCEPT says so of a range of decisions before it. Nobody looks for one until a replay differs: then the entries
after that decision are searched, and the replay begins again, following the journal within the range.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple, Protocol

from holdfast.storage.entry import decode_entry, kind_of
from holdfast.storage.sections import EntryKind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.storage.entry import Entry
    from holdfast.storage.ports import StoredEntry
    from holdfast.storage.sections import Acceptance

DIFFERENCES_SHOWN = 5
"""How many differences are told one by one."""


class HasEntries(Protocol):
    """What entries are read from."""

    def entries(self, sequence: int) -> Iterator[StoredEntry]:
        """Give the entries that hold decisions after ``sequence``, in order."""


def acceptances_after(source: HasEntries, name: str, sequence: int) -> Iterator[tuple[Entry, Acceptance]]:
    """Give the entries after a sequence that accept outcomes, each with what it accepts.

    Raises:
        StoreDamagedError: If one of them is not what was written.
    """
    for stored in source.entries(sequence):
        if kind_of(stored) == EntryKind.ACCEPT:
            entry = decode_entry(name, stored)
            if entry.sections.accepted is not None:
                yield entry, entry.sections.accepted


class AcceptedRanges:
    """Ranges of decisions whose journaled outcomes stand. A decision is named by how many come before it."""

    def __init__(self) -> None:
        self._ranges: list[tuple[int, int]] = []

    def add(self, first: int, end: int) -> None:
        """Add the decisions from ``first`` to before ``end``."""
        self._ranges.append((first, end))

    def covers(self, sequence: int) -> bool:
        """Whether a decision is in one of the ranges."""
        return any(first <= sequence < end for first, end in self._ranges)

    def pieces(self, start: int, stop: int) -> Iterator[tuple[int, int, bool]]:
        """Cut decisions into pieces that are within the ranges, or outside: first, end, whether it is within."""
        edges = {edge for each in self._ranges for edge in each if start < edge < stop}
        for begin, end in pairwise(sorted({start, stop} | edges)):
            yield begin, end, self.covers(begin)


class OutcomeDifference(NamedTuple):
    """One decision that a replay comes to in another way."""

    sequence: int
    """Its place in the order, the first being 1."""
    journaled: str
    found: str


class OutcomeDifferences:
    """Gathers in what a replay differs from its journal.

    Args:
        known: Decisions that are accepted already: they do not count.
    """

    def __init__(self, known: AcceptedRanges) -> None:
        self.known = known
        self.count = 0
        self.shown: list[OutcomeDifference] = []
        """The first of them."""

    def clear(self) -> None:
        """Begin again."""
        self.count = 0
        self.shown.clear()

    @property
    def has_room(self) -> bool:
        """Whether another one is to be told by itself."""
        return len(self.shown) < DIFFERENCES_SHOWN
