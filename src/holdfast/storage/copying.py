"""Copies of ledgers: a backup of one that is in use, and one as it was at a point in time."""

from __future__ import annotations

import os
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Protocol

from holdfast.io.outputs import remove_partial
from holdfast.storage.creation import describe, read_settings
from holdfast.storage.entry import decode_entry
from holdfast.storage.failures import LedgerError
from holdfast.storage.ports import Commit, StoreError
from holdfast.storage.recovery import Recovery
from holdfast.storage.sections import EntryKind, Sections
from holdfast.storage.shipping import ShippedEntries
from holdfast.storage.sqlite.store import SqliteStore
from holdfast.storage.stores import is_url, open_store

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.domain.settings import Settings
    from holdfast.storage.acceptance import HasEntries
    from holdfast.storage.ports import RawText, Reader, Store, StoredEntry

    OnProgress = Callable[[int, int], None]


class EntrySource(Protocol):
    """What a copy is made of: a reader of a store, or of shipped entries."""

    def meta(self, key: str) -> bytes | None:
        """Give a value of the ledger's description."""

    def first_sequence(self) -> int:
        """Give the key of the oldest entry."""

    def last_entry(self) -> StoredEntry | None:
        """Give the newest entry."""

    def entries(self, sequence: int) -> Iterator[StoredEntry]:
        """Give the entries that hold decisions after ``sequence``, in order."""

    def raw_text(self, sequence: int) -> RawText | None:
        """Give the raw texts of the entry that was given last."""


def backup_ledger(location: str, target: str, on_progress: OnProgress | None = None) -> None:
    """Copy a ledger as it is to a file, while it is in use.

    A file is copied with its checkpoints. The entries of a ledger in PostgreSQL are copied and replayed.

    Raises:
        LedgerError: If the first entries are not there any more, or there is a file already.
        StoreError: If there is a file already, there is no ledger to copy, or something cannot be read or written.
    """
    if is_url(target):
        raise StoreError(f"{target}: a backup is a file; `restore` copies to a server")
    if is_url(location):
        restore_ledger(location, target, None, None, on_progress)
        return
    with SqliteStore.open(location, read_only=True) as store:
        with closing(store.reader()) as reader:
            read_settings(location, reader)
        store.backup(target, on_progress)


def copy_entries(reader: Reader, target: str, end: int, *, has_accepted: bool = False) -> None:
    """Copy the entries that hold no decision after ``end``, with their raw texts, to a new file.

    They are replayed only if outcomes of theirs were accepted, perhaps after that: the copy has to say so too.

    Raises:
        StoreError: If there is a file already, or it cannot be written.
    """
    if is_url(target) or os.path.exists(target):
        raise StoreError(f"{target}: give the path of a file that is not there yet")
    with open_store(target) as copy, _whole(target):
        copy.create(_meta_of(reader))
        for entry in reader.entries(0):
            if entry.sequence + entry.count > end:
                break
            _copy_entry(reader, entry, copy)
        if has_accepted and reader.first_sequence() == 0:
            _check_copy(copy, target, read_settings(target, reader), reader)


def restore_ledger(
    location: str,
    target: str,
    until: int | None,
    until_time_us: int | None,
    on_progress: OnProgress | None = None,
) -> None:
    """Make a new ledger of the first entries of another one; it is replayed, so that nothing wrong is taken over.

    Args:
        location: The ledger to copy from, or a directory of shipped entries.
        target: The new ledger; there must be nothing.
        until: How many decisions to take, rounded down to whole entries; all if neither this nor a time is given.
        until_time_us: Take what was made at or before this time, in microseconds since 1970 (UTC).
        on_progress: Called with how many decisions are copied and how many there are.

    Raises:
        LedgerError: If the first entries are not there any more, or there is a file already.
        StoreError: If something cannot be read or written, or is damaged.
    """
    if not is_url(target) and os.path.exists(target):
        raise LedgerError(f"{target}: there is a file already; a restored ledger replaces nothing")
    with _source(location) as reader:
        if reader.first_sequence() > 0:
            raise LedgerError(
                f"{location}: its first entries were pruned; restore from a backup that has them"
            )
        created = read_settings(location, reader)
        last = reader.last_entry()
        end = 0 if last is None else last.sequence + last.count
        with open_store(target) as copy, _whole(target):
            copy.create(_meta_of(reader))
            for entry in reader.entries(0):
                decode_entry(location, entry)
                is_later = (until is not None and entry.sequence + entry.count > until) or (
                    until_time_us is not None and entry.time_us > until_time_us
                )
                if is_later:
                    break
                _copy_entry(reader, entry, copy)
                if on_progress is not None:
                    on_progress(entry.sequence + entry.count, end)
            _check_copy(copy, target, created, reader)


def _check_copy(copy: Store, target: str, created: Settings, source: HasEntries) -> None:
    """Replay a copy of the first entries, and let stand what was accepted later: the copy ends before the entry that says so.

    Raises:
        ReplayDiffersError: If the replay does not come to the journaled outcomes, and nobody has accepted these.
        StoreDamagedError: If an entry is not what was written.
    """
    with closing(copy.reader()) as checked:
        recovery = Recovery(checked, target, created, later=source)
        recovered = recovery.run()
    end = recovered.core.decided
    entries = []
    for entry in recovery.acceptances:
        if entry.sequence >= end and entry.sections.accepted is not None:
            accepted = entry.sections.accepted
            sections = Sections(
                note=entry.sections.note, accepted=accepted._replace(end=min(accepted.end, end))
            )
            entries.append(
                recovered.chain.append(
                    EntryKind.ACCEPT, 1, recovered.time_us, recovered.core.settings, sections
                )
            )
    if entries:
        copy.commit(Commit(entries=entries))


@contextmanager
def _source(location: str) -> Iterator[EntrySource]:
    """Open a ledger, or a directory of shipped entries, to read it."""
    if os.path.isdir(location):
        with closing(ShippedEntries(location)) as shipped:
            yield shipped
        return
    with open_store(location, read_only=True) as store, closing(store.reader()) as reader:
        yield reader


@contextmanager
def _whole(target: str) -> Iterator[None]:
    """Remove the files of a copy that is not finished: it would open as if it were all there is."""
    try:
        yield
    except BaseException:
        if not is_url(target):
            for suffix in ("", "-wal", "-shm"):
                remove_partial(target + suffix)
        raise


def _meta_of(reader: EntrySource) -> dict[str, bytes]:
    return describe(reader.meta("settings") or b"", reader.meta("ledger") or b"")


def _copy_entry(reader: EntrySource, entry: StoredEntry, copy: Store) -> None:
    text = reader.raw_text(entry.sequence)
    copy.commit(Commit(entries=(entry,), raw_texts=() if text is None else (text,)))
