"""Dropping the oldest entries of a journal: never one that a verified checkpoint does not cover."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from holdfast.storage.copying import copy_entries
from holdfast.storage.creation import read_settings
from holdfast.storage.journal_rows import decisions_until
from holdfast.storage.verification import verify_checkpoint

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.storage.ports import Reader, Store

    OnProgress = Callable[[int, int], None]


class Pruned(NamedTuple):
    """What was dropped."""

    entries: int
    decisions: int
    """How many decisions these entries hold."""
    sequence: int
    """The decision up to which the journal was to be dropped and is covered by a checkpoint."""
    covered: int
    """How many decisions the oldest checkpoint covers: nothing after that is ever dropped."""


def prune(
    store: Store,
    before: int | None,
    before_time_us: int | None,
    archive: str | None = None,
    on_progress: OnProgress | None = None,
) -> Pruned:
    """Drop the entries whose decisions are all before a point in time, and that the oldest checkpoint covers.

    That checkpoint is verified first, by a replay. The state stays as it is; history, and states of before, are gone.

    Args:
        store: The ledger's store, open for writing; no ledger uses it meanwhile.
        before: How many decisions may go.
        before_time_us: What was made before this time may go, in microseconds since 1970 (UTC).
        archive: A new file for what is dropped, as a ledger that ends there; it is on the disk before anything is dropped.
        on_progress: Called with how many decisions are replayed and how many there are.

    Raises:
        StoreError: If the archive is there already or cannot be written, or the store cannot be written.
        StoreDamagedError: If the checkpoint, or an entry that it covers, is not what was written: nothing is dropped.
    """
    with closing(store.reader()) as reader:
        limit = _limit(reader, store.name, before, before_time_us)
        checkpoints = reader.checkpoints()
        covered = checkpoints[-1].sequence if checkpoints else 0
        end = min(limit, covered)
        last = reader.last_entry()
        if last is not None:
            # The last entry stays: it says how far the ledger has come, and that no later one is of an earlier time.
            end = min(end, last.sequence)
        dropped = [each.count for each in reader.entries(0) if each.sequence + each.count <= end]
        found = Pruned(len(dropped), sum(dropped), end, covered)
        if not dropped:
            return found
        created = read_settings(store.name, reader)
        has_accepted = verify_checkpoint(reader, store.name, created, checkpoints[-1], on_progress)
        if archive is not None:
            copy_entries(reader, archive, end, has_accepted=has_accepted)
    store.prune_entries(end)
    return found


def _limit(reader: Reader, name: str, before: int | None, before_time_us: int | None) -> int:
    return before or 0 if before_time_us is None else decisions_until(reader, name, before_time_us - 1)
