"""What a durable ledger needs of a store: commit what was decided, and read it again.

A store keeps four kinds of things: *entries* of the journal, the *raw texts* of rows that could not be decoded and the
addresses of senders (apart from the entries, so that they can be erased), versions of state *pages*, and *checkpoints*, each of
which says that the newest versions of all pages at or before it make up one consistent state. A store knows nothing of their
contents: it keeps bytes under keys, whole or not at all.

A page version belongs to the checkpoint that was being written at the time. Until that checkpoint is published it does not
count after a restart, and :meth:`Store.discard_unpublished` drops it. While the ledger runs, it does count: a state page that
left memory is read back from its newest version.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

PAGE_ACCOUNTS = 1
"""A page of accounts; its number is that of its first account divided by 512."""
PAGE_RUN = 2
"""The records of 8,192 neighbouring transaction ids; its number is the first id divided by 8,192."""
PAGE_CHANGES = 3
"""A piece of the log of changes to records of scattered ids; numbered from 0 and never changed once it is written."""


class StoreError(Exception):
    """A store cannot be opened, read or written; the message says which one, why, and what to do."""


class StoreBusyError(StoreError):
    """Another process writes to this ledger."""


class StoreDamagedError(StoreError):
    """What a store gave back is not what was put in; the message names the entry or page and the ways out."""


class StoreFencedError(StoreError):
    """Another writer has taken over: nothing of this commit was written, and nothing ever will be by this store."""


@dataclass(frozen=True, slots=True)
class StoredEntry:
    """One entry of the journal as a store keeps it."""

    sequence: int
    """How many decisions come before it; the key."""
    count: int
    """How many decisions it holds."""
    time_us: int
    """When it was made, in microseconds since 1970 (UTC), never less than that of the entry before it."""
    data: bytes


class RawText(NamedTuple):
    """Raw texts of rows of one entry that could not be decoded, and addresses; the entry holds a salted hash of them."""

    sequence: int
    """The entry's key."""
    data: bytes
    """The salt, the texts and the addresses, packed; empty once they are erased."""


class StoredPage(NamedTuple):
    """One version of a state page."""

    kind: int
    number: int
    data: bytes


class CheckpointRecord(NamedTuple):
    """One published checkpoint."""

    number: int
    """Counts up from 1; page versions carry it."""
    sequence: int
    """How many decisions its state covers."""
    data: bytes
    """What a recovery needs beside the pages: counters, streams, settings, the hash of the last entry covered, a checksum."""


class Commit(NamedTuple):
    """Everything that one storage transaction writes: all of it, or nothing."""

    entries: Sequence[StoredEntry] = ()
    raw_texts: Sequence[RawText] = ()
    checkpoint: int = 0
    """The number of the checkpoint that :attr:`pages` belong to."""
    pages: Sequence[StoredPage] = ()
    publish: CheckpointRecord | None = None
    """A checkpoint whose pages are all written, with this commit or before."""


class StoreSizes(NamedTuple):
    """How large a store is."""

    entries: int
    entry_bytes: int
    raw_text_bytes: int
    pages: int
    page_bytes: int
    disk_bytes: int
    """What it takes on disk, with all that is not counted above."""
    disk_free_bytes: int | None
    """What is left on that disk; None if the store cannot tell."""


class Reader(Protocol):
    """Reads a store beside its writer; used by one thread at a time. Sees what was committed before each call."""

    def meta(self, key: str) -> bytes | None:
        """Give a value of the store's own description (format version, ledger id, settings at its creation)."""

    def first_sequence(self) -> int:
        """Give the key of the oldest entry that is kept; 0 if none was pruned or there is none."""

    def last_entry(self) -> StoredEntry | None:
        """Give the newest entry."""

    def entries(self, sequence: int, *, newest_first: bool = False) -> Iterator[StoredEntry]:
        """Give the entries that hold decisions after ``sequence``, in order (or, newest first, all back to it)."""

    def entry_at(self, time_us: int) -> StoredEntry | None:
        """Give the newest entry made at or before a time."""

    def raw_text(self, sequence: int) -> RawText | None:
        """Give the raw texts of an entry."""

    def checkpoints(self) -> list[CheckpointRecord]:
        """List the published checkpoints, newest first."""

    def page(self, kind: int, number: int, checkpoint_max: int | None = None) -> bytes | None:
        """Give the newest version of a page, or the newest one at or before a checkpoint."""

    def pages(self, kind: int, checkpoint_max: int | None = None) -> Iterator[StoredPage]:
        """Give the newest versions of all pages of a kind, by number."""

    def page_numbers(self, kind: int, checkpoint_max: int | None = None) -> list[int]:
        """List the numbers of all pages of a kind, in order."""

    def frozen(self) -> AbstractContextManager[None]:
        """See the store as it is now, whatever is committed meanwhile; for as long as a work takes, since stores pay for it."""

    def sizes(self) -> StoreSizes:
        """Measure the store."""

    def close(self) -> None:
        """Give back what it holds."""


class Store(Protocol):
    """Keeps one ledger. One thread at a time writes.

    After a failed commit the store is not used for writing again: whether that commit is there is found out by opening it anew.
    """

    @property
    def name(self) -> str:
        """What to call it in messages: a path or a URL, without any password."""

    def reader(self) -> Reader:
        """Open a reader of its own for the calling thread.

        Raises:
            StoreError: If that cannot be done.
        """

    def create(self, meta: dict[str, bytes]) -> None:
        """Write the description of a new, empty ledger.

        Raises:
            StoreError: If there is one already.
        """

    def commit(self, commit: Commit, *, sync: bool = True) -> None:
        """Write everything or nothing; with ``sync``, on disk when this returns.

        Raises:
            StoreFencedError: If another writer has taken over.
            StoreError: If it cannot be written: the disk is full, the connection is gone for good.
        """

    def sync(self) -> None:
        """Have all earlier commits on disk when this returns, those without ``sync`` too.

        Raises:
            StoreError: If the disk does not take them.
        """

    def begin_atomic(self) -> None:
        """Begin to gather commits that become visible together with :meth:`end_atomic`, or not at all."""

    def end_atomic(self, *, keep: bool) -> None:
        """Make everything since :meth:`begin_atomic` durable, or drop it."""

    def discard_unpublished(self) -> None:
        """Drop page versions of unpublished checkpoints: the process that wrote them is gone."""

    def discard_checkpoints(self, number: int) -> None:
        """Drop the checkpoints after this one, with all page versions that were written for them."""

    def drop_checkpoint(self, number: int) -> None:
        """Withdraw a published checkpoint; page versions that only it needs go."""

    def prune_entries(self, sequence: int) -> None:
        """Drop the entries that hold no decision after ``sequence``, with their raw texts."""

    def erase_raw_texts(self, sequence: int) -> int:
        """Erase the raw texts of all entries before ``sequence``, from the store's files as well.

        Returns:
            How many entries had some.
        """

    def disk_free_bytes(self) -> int | None:
        """Tell how much room its disk has left, at next to no cost; None if that cannot be told."""

    def tidy(self, *, is_idle: bool = False, is_urgent: bool = False) -> None:
        """Do a bounded piece of the store's own housekeeping (its log, pages that were replaced), after commits.

        Args:
            is_idle: Whether nothing else is to be done.
            is_urgent: Whether somebody waits for the next commit: smaller pieces, more often.
        """

    def compact(self, on_progress: Callable[[int, int], None] | None = None) -> None:
        """Give unused space back to the disk; calls back with what is done and what there is to do."""

    def close(self) -> None:
        """End housekeeping, give everything back."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...
