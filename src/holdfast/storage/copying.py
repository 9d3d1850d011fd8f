"""Copies of ledgers: a backup of one that is in use, and one as it was at a point in time."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.storage.creation import read_settings
from holdfast.storage.failures import LedgerError
from holdfast.storage.ports import Commit, StoreError
from holdfast.storage.recovery import Recovery
from holdfast.storage.sqlite.store import SqliteStore
from holdfast.storage.stores import is_url, open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.storage.ports import Reader

    OnProgress = Callable[[int, int], None]

_META_KEYS = ("settings", "ledger")
_ENTRIES_AT_ONCE = 8


def backup_ledger(location: str, target: str, on_progress: OnProgress | None = None) -> None:
    """Copy a ledger as it is to a file, while it is in use.

    A file is copied with its checkpoints. The entries of a ledger in PostgreSQL are copied and replayed.

    Raises:
        LedgerError: If the first entries are not there any more, or there is a file already.
        StoreError: If there is a file already, or something cannot be read or written.
    """
    if is_url(target):
        raise StoreError(f"{target}: a backup is a file; `restore` copies to a server")
    if is_url(location):
        restore_ledger(location, target, None, None, on_progress)
        return
    with SqliteStore.open(location, read_only=True) as store:
        store.backup(target, on_progress)


def copy_entries(reader: Reader, target: str, end: int) -> None:
    """Copy the entries that hold no decision after ``end``, with their raw texts, to a new file; they are not replayed.

    Raises:
        StoreError: If there is a file already, or it cannot be written.
    """
    if is_url(target) or os.path.exists(target):
        raise StoreError(f"{target}: give the path of a file that is not there yet")
    with open_store(target) as copy:
        copy.create({key: value for key in _META_KEYS if (value := reader.meta(key)) is not None})
        for entry in reader.entries(0):
            if entry.sequence + entry.count > end:
                break
            text = reader.raw_text(entry.sequence)
            copy.commit(Commit(entries=(entry,), raw_texts=() if text is None else (text,)))


def restore_ledger(
    location: str,
    target: str,
    until: int | None,
    until_time_us: int | None,
    on_progress: OnProgress | None = None,
) -> None:
    """Make a new ledger of the first entries of another one; it is replayed, so that nothing wrong is taken over.

    Args:
        location: The ledger to copy from.
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
    with open_store(location, read_only=True) as store:
        reader = store.reader()
        if reader.first_sequence() > 0:
            raise LedgerError(
                f"{location}: its first entries were pruned; restore from a backup that has them"
            )
        meta = {key: value for key in _META_KEYS if (value := reader.meta(key)) is not None}
        created = read_settings(location, reader)
        last = reader.last_entry()
        end = 0 if last is None else last.sequence + last.count
        with open_store(target) as copy:
            copy.create(meta)
            for entry in reader.entries(0):
                is_later = (until is not None and entry.sequence + entry.count > until) or (
                    until_time_us is not None and entry.time_us > until_time_us
                )
                if is_later:
                    break
                text = reader.raw_text(entry.sequence)
                copy.commit(Commit(entries=(entry,), raw_texts=() if text is None else (text,)))
                if on_progress is not None:
                    on_progress(entry.sequence + entry.count, end)
            checked = copy.reader()
            try:
                Recovery(checked, target, created).run()
            finally:
                checked.close()
        reader.close()
