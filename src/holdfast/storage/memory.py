"""Keeps a ledger in memory: what the other stores have to do, in the plainest way, and a ledger that is gone with its process.

``Ledger.open(MemoryStore())`` has a journal, history and checkpoints, and no file. The same store can be opened again after the
ledger was closed. Each commit copies the lists of what there is, so it is for tests and small ledgers.
"""

from __future__ import annotations

from bisect import bisect_right
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.storage.ports import (
    CheckpointRecord,
    RawText,
    StoredEntry,
    StoredPage,
    StoreError,
    StoreSizes,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Self

    from holdfast.storage.ports import Commit


class MemoryContents:
    """All that a store holds. Once it is published it never changes: a commit makes a new one that shares its values."""

    def __init__(self, former: MemoryContents | None = None) -> None:
        self.meta: dict[str, bytes] = {} if former is None else dict(former.meta)
        self.entries: list[StoredEntry] = [] if former is None else list(former.entries)
        self.raw_texts: dict[int, bytes] = {} if former is None else dict(former.raw_texts)
        self.pages: dict[tuple[int, int, int], bytes] = {} if former is None else dict(former.pages)
        self.checkpoints: dict[int, CheckpointRecord] = {} if former is None else dict(former.checkpoints)

    def newest_pages(self, kind: int, checkpoint_max: int | None) -> dict[int, bytes]:
        """Give the newest version of each page of a kind, by number."""
        found: dict[int, bytes] = {}
        for (its_kind, number, checkpoint), data in sorted(self.pages.items()):
            if its_kind == kind and (checkpoint_max is None or checkpoint <= checkpoint_max):
                found[number] = data
        return found


class MemoryReader:
    """Reads a store in memory.

    Args:
        contents: Gives the contents as they are now.
    """

    def __init__(self, contents: Callable[[], MemoryContents]) -> None:
        self._contents = contents

    def meta(self, key: str) -> bytes | None:
        """Give a value of the ledger's description."""
        return self._contents().meta.get(key)

    def first_sequence(self) -> int:
        """Give the key of the oldest entry."""
        entries = self._contents().entries
        return entries[0].sequence if entries else 0

    def last_entry(self) -> StoredEntry | None:
        """Give the newest entry."""
        entries = self._contents().entries
        return entries[-1] if entries else None

    def entry_at(self, time_us: int) -> StoredEntry | None:
        """Give the newest entry made at or before a time."""
        entries = self._contents().entries
        found = bisect_right(entries, time_us, key=lambda entry: entry.time_us)
        return entries[found - 1] if found else None

    def entries(self, sequence: int, *, newest_first: bool = False) -> Iterator[StoredEntry]:
        """Give the entries that hold decisions after ``sequence``."""
        entries = self._contents().entries
        later = [entry for entry in entries if entry.sequence + entry.count > sequence]
        return iter(later[::-1] if newest_first else later)

    def raw_text(self, sequence: int) -> RawText | None:
        """Give the raw texts of an entry."""
        data = self._contents().raw_texts.get(sequence)
        return None if data is None else RawText(sequence, data)

    def checkpoints(self) -> list[CheckpointRecord]:
        """List the published checkpoints, newest first."""
        return [record for _, record in sorted(self._contents().checkpoints.items(), reverse=True)]

    def page(self, kind: int, number: int, checkpoint_max: int | None = None) -> bytes | None:
        """Give the newest version of a page, or the newest one at or before a checkpoint."""
        versions = [
            (checkpoint, data)
            for (its_kind, its_number, checkpoint), data in self._contents().pages.items()
            if (its_kind, its_number) == (kind, number)
            and (checkpoint_max is None or checkpoint <= checkpoint_max)
        ]
        return max(versions)[1] if versions else None

    def pages(self, kind: int, checkpoint_max: int | None = None) -> Iterator[StoredPage]:
        """Give the newest versions of all pages of a kind, by number."""
        newest = self._contents().newest_pages(kind, checkpoint_max)
        return (StoredPage(kind, number, data) for number, data in sorted(newest.items()))

    def page_numbers(self, kind: int, checkpoint_max: int | None = None) -> list[int]:
        """List the numbers of all pages of a kind, in order."""
        return sorted(self._contents().newest_pages(kind, checkpoint_max))

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """See the store as it is now."""
        former, contents = self._contents, self._contents()
        self._contents = lambda: contents
        try:
            yield
        finally:
            self._contents = former

    def sizes(self) -> StoreSizes:
        """Measure the store."""
        contents = self._contents()
        return StoreSizes(
            len(contents.entries),
            sum(len(entry.data) for entry in contents.entries),
            sum(map(len, contents.raw_texts.values())),
            len(contents.pages),
            sum(map(len, contents.pages.values())),
            disk_bytes=0,
            disk_free_bytes=None,
        )

    def close(self) -> None:
        """Do nothing: there is nothing to give back."""


class MemoryStore:
    """A ledger in memory; its contents stay after :meth:`close`, for as long as the object does."""

    def __init__(self) -> None:
        self._published = MemoryContents()
        self._atomic: MemoryContents | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def name(self) -> str:
        """What messages call it."""
        return f"memory:{id(self):x}"

    def reader(self) -> MemoryReader:
        """Give a reader."""
        return MemoryReader(lambda: self._published)

    def create(self, meta: dict[str, bytes]) -> None:
        """Write the description of a new, empty ledger.

        Raises:
            StoreError: If there is one already.
        """
        with self._changing() as contents:
            if contents.meta:
                raise StoreError(f"{self.name}: there is a ledger here already")
            contents.meta.update(meta)

    def commit(self, commit: Commit, *, sync: bool = True) -> None:  # noqa: ARG002  # there is no disk
        """Take everything, or nothing.

        Raises:
            StoreError: If an entry, page or checkpoint is there already.
        """
        with self._changing() as contents:
            for entry in commit.entries:
                if contents.entries and entry.sequence <= contents.entries[-1].sequence:
                    raise StoreError(
                        f"{self.name}: there is an entry {entry.sequence} or a later one already"
                    )
                contents.entries.append(entry)
            contents.raw_texts.update(commit.raw_texts)
            for page in commit.pages:
                contents.pages[page.kind, page.number, commit.checkpoint] = page.data
            if commit.publish is not None:
                contents.checkpoints[commit.publish.number] = commit.publish

    def sync(self) -> None:
        """Do nothing: there is no disk."""

    def begin_atomic(self) -> None:
        """Gather commits up to :meth:`end_atomic`."""
        self._atomic = MemoryContents(self._published)

    def end_atomic(self, *, keep: bool) -> None:
        """Publish everything since :meth:`begin_atomic`, or drop it."""
        gathered, self._atomic = self._atomic, None
        if keep and gathered is not None:
            self._published = gathered

    def discard_unpublished(self) -> None:
        """Drop page versions that belong to no published checkpoint."""
        self._discard_pages_after(max(self._published.checkpoints, default=0))

    def discard_checkpoints(self, number: int) -> None:
        """Drop the checkpoints after this one, with all page versions that were written for them."""
        with self._changing() as contents:
            contents.checkpoints = {
                each: record for each, record in contents.checkpoints.items() if each <= number
            }
        self._discard_pages_after(number)

    def drop_checkpoint(self, number: int) -> None:
        """Withdraw a published checkpoint; versions that only it needs go with :meth:`tidy`."""
        with self._changing() as contents:
            contents.checkpoints.pop(number, None)

    def prune_entries(self, sequence: int) -> None:
        """Drop the entries that hold no decision after ``sequence``, with their raw texts."""
        with self._changing() as contents:
            contents.entries = [each for each in contents.entries if each.sequence + each.count > sequence]
            kept = {entry.sequence for entry in contents.entries}
            contents.raw_texts = {key: data for key, data in contents.raw_texts.items() if key in kept}

    def erase_raw_texts(self, sequence: int) -> int:
        """Erase the raw texts of all entries before ``sequence``."""
        with self._changing() as contents:
            erased = [key for key, data in contents.raw_texts.items() if key < sequence and data]
            contents.raw_texts.update(dict.fromkeys(erased, b""))
        return len(erased)

    def disk_free_bytes(self) -> int | None:
        """Give None: there is no disk."""
        return None

    def tidy(self, *, is_idle: bool = False, is_urgent: bool = False) -> None:  # noqa: ARG002  # it costs the same at any time
        """Drop page versions that the oldest checkpoint supersedes."""
        oldest = min(self._published.checkpoints, default=0)
        if self._atomic is not None or not oldest:
            return
        needed = {
            (kind, number): checkpoint
            for kind, number, checkpoint in sorted(self._published.pages)
            if checkpoint <= oldest
        }
        superseded = [key for key in self._published.pages if key[2] < needed.get(key[:2], 0)]
        if superseded:
            with self._changing() as contents:
                for key in superseded:
                    del contents.pages[key]

    def compact(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Do nothing: what is dropped is given back at once."""
        if on_progress is not None:
            on_progress(1, 1)

    def close(self) -> None:
        """Drop what a transaction has gathered; the store can be used again."""
        self._atomic = None

    @contextmanager
    def _changing(self) -> Iterator[MemoryContents]:
        """Change a copy, and publish it unless something fails."""
        contents = MemoryContents(self._published if self._atomic is None else self._atomic)
        yield contents
        if self._atomic is None:
            self._published = contents
        else:
            self._atomic = contents

    def _discard_pages_after(self, number: int) -> None:
        with self._changing() as contents:
            contents.pages = {key: data for key, data in contents.pages.items() if key[2] <= number}
