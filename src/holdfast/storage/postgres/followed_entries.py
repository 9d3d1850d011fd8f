"""The next entries of a journal, as far as one step of the tables that follow it takes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.storage.entry import Chain, decode_entry
from holdfast.storage.journal_rows import EntryRows
from holdfast.storage.ports import StoreError
from holdfast.storage.postgres.followed_rows import FollowedRows
from holdfast.storage.sections import EntryKind

if TYPE_CHECKING:
    from holdfast.domain.settings import Settings
    from holdfast.storage.ports import Reader
    from holdfast.storage.postgres.binary_copy import IdWidths

_ROWS_AT_ONCE = 524_288
_ENTRIES_AT_ONCE = 1024


class Place(NamedTuple):
    """A place in a journal."""

    sequence: int
    """How many decisions come before it."""
    hash: bytes
    """That of the entry before it."""


class FollowedEntries(NamedTuple):
    """Some entries, and what they mean for the tables."""

    rows: FollowedRows
    end: Place
    time_us: int
    """When the last of them was made."""
    settings: Settings | None
    """Settings that are in force after them; entries that change these come last."""
    journal_end: int
    """How many decisions there were in the journal."""


def gather_entries(
    reader: Reader, name: str, decimals: int, begin: Place, widths: IdWidths
) -> FollowedEntries | None:
    """Read the entries after a place, up to some 524,288 rows; None if there are none yet.

    Raises:
        StoreDamagedError: If one is not what was written.
        StoreError: If the next ones were pruned.
    """
    last = reader.last_entry()
    journal_end = 0 if last is None else last.sequence + last.count
    if journal_end <= begin.sequence:
        return None
    if reader.first_sequence() > begin.sequence:
        raise StoreError(
            f"{name}: the tables know {begin.sequence} decisions, and entries after these were pruned: they cannot follow this "
            "ledger any more"
        )
    chain, rows = Chain(name, *begin), FollowedRows(decimals, widths)
    entries, time_us, settings = 0, 0, None
    for stored in reader.entries(begin.sequence):
        entry = chain.check(decode_entry(name, stored))
        rows.add(entry, EntryRows(name, entry, reader) if entry.kind is EntryKind.ROWS else None)
        entries, time_us, settings = entries + 1, entry.time_us, entry.sections.settings
        is_enough = chain.sequence - begin.sequence >= _ROWS_AT_ONCE or entries == _ENTRIES_AT_ONCE
        if is_enough or settings is not None:
            break
    return FollowedEntries(rows, Place(chain.sequence, chain.hash), time_us, settings, journal_end)
