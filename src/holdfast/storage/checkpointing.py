"""Checkpoints that are made while rows go on: cut, write a few pages with each commit, publish.

A cut takes microseconds: from then on the core keeps the state of that point for whatever changes later. The commit thread takes
the pages of the cut one after the other, as many as go with the entries of a commit without anybody noticing, and publishes the
checkpoint with the last of them. Until then the previous one counts.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.storage.checkpoint_record import CheckpointState, encode_checkpoint
from holdfast.storage.page_seal import seal_page
from holdfast.storage.ports import CheckpointRecord, StoredPage
from holdfast.storage.remembered import RememberedState

if TYPE_CHECKING:
    from holdfast.kernel.ledger.cut import Cut
    from holdfast.kernel.ledger.ledger import LedgerCore
    from holdfast.storage.journaling import Journaling
    from holdfast.storage.ports import Store
    from holdfast.storage.remembered import Remembered

CHECKPOINT_BYTES_DEFAULT = 32 << 20
"""A checkpoint is begun after this many bytes of entries, some 6 M plain rows, or as many as the last one had bytes of pages."""
CHECKPOINTS_KEPT_DEFAULT = 2
_CHECKPOINT_ROWS = 8_000_000
"""A checkpoint is begun after this many decisions in any case: replaying them takes about half a second."""
_CHECKPOINT_ROWS_SMALL = 4_000_000
"""After this many, it is begun if its pages are not clearly more than the entries: most of what it writes is new then."""
_CHECKPOINTS_PER_MEMORY = 8
_CHECKPOINT_BYTES_MIN = 256 << 10
_PAGES_BYTES_MIN = 128 << 10
_PAGES_BYTES_IDLE = 4 << 20
_PAGES_BYTES_URGENT = 1
_PAGES_BYTES_IDLE_URGENT = 512 << 10


def checkpoint_bytes(memory_bytes_max: int | None) -> int:
    """Say after how many bytes of entries a checkpoint is begun, so that what changed meanwhile is a part of the memory only.

    What entries say takes two to three times as much memory as bytes, and only what is in a checkpoint may leave it.
    """
    if memory_bytes_max is None:
        return CHECKPOINT_BYTES_DEFAULT
    return min(
        CHECKPOINT_BYTES_DEFAULT, max(memory_bytes_max // _CHECKPOINTS_PER_MEMORY, _CHECKPOINT_BYTES_MIN)
    )


class Checkpointer:
    """Makes the checkpoints of one ledger; the commit thread drives it.

    Args:
        core: The state.
        remembered: The positions of streams and partitions.
        journaling: Knows the hash of the last entry.
        store: Where old checkpoints are withdrawn.
        published: The checkpoints that are there, newest first.
        keep: How many stay.
        every_bytes: After how many bytes of entries one is begun.
    """

    def __init__(
        self,
        core: LedgerCore,
        remembered: Remembered,
        journaling: Journaling,
        store: Store,
        published: list[CheckpointRecord],
        *,
        keep: int = CHECKPOINTS_KEPT_DEFAULT,
        every_bytes: int = CHECKPOINT_BYTES_DEFAULT,
    ) -> None:
        self._core = core
        self._remembered = remembered
        self._journaling = journaling
        self._store = store
        self._kept = [(each.number, each.sequence) for each in published]
        self._number = self._kept[0][0] if self._kept else 0
        self._keep = keep
        self._every_bytes = every_bytes
        self._bytes = 0
        # How large the checkpoint that is made, or was made last, is: one that rewrites much is made less often.
        self._page_bytes = 0
        self._is_wanted = False
        self._cut_at = self.sequence
        self._cut: Cut | None = None
        self._remembered_at_cut = RememberedState({})
        self._settings_at_cut = core.settings
        self._pages_written = self._pages_total = 0
        self.is_pressed = False
        """Whether somebody waits until one is published, which lets memory go."""
        self.is_paused = False
        """Whether none is begun, however long ago the last one was."""

    @property
    def sequence(self) -> int:
        """How many decisions the newest published checkpoint covers."""
        return self._kept[0][1] if self._kept else 0

    @property
    def is_running(self) -> bool:
        """Whether a checkpoint is being made."""
        return self._cut is not None

    @property
    def is_wanted(self) -> bool:
        """Whether one will be begun with the next commit."""
        return self._is_wanted

    @property
    def progress(self) -> tuple[int, int]:
        """How many pages of the running checkpoint are written, and how many are left."""
        return self._pages_written, 0 if self._cut is None else self._cut.pages_left

    def demand(self) -> None:
        """Have one begun with the next commit, unless nothing has changed since the last one."""
        self._is_wanted = True

    def note_cut(self, sequence: int) -> None:
        """Keep what belongs to the cut and is outside the core; called within the core's lock."""
        self._remembered_at_cut = self._remembered.copy()
        self._settings_at_cut = self._core.settings
        self._journaling.note_boundary(sequence)

    def begin_if_due(self) -> None:
        """Cut, if it is time."""
        rows = self._core.decided - self._cut_at
        is_due = (
            self._is_wanted
            or self._bytes >= max(self._every_bytes, self._page_bytes)
            or rows >= _CHECKPOINT_ROWS
            or (rows >= _CHECKPOINT_ROWS_SMALL and 5 * self._bytes >= 4 * self._page_bytes)
        )
        if self._cut is not None or not is_due or self.is_paused:
            return
        self._is_wanted = False
        if self._kept and self._core.decided == self._kept[0][1]:
            self.is_pressed = False
            return
        self._cut = self._core.cut()
        self._cut_at = self._cut.sequence
        self._pages_total = self._cut.pages_left
        self._bytes = self._page_bytes = 0
        self._pages_written = 0
        self._number += 1

    def next_pages(
        self, entry_bytes: int, written_until: int, *, is_urgent: bool = False
    ) -> tuple[int, list[StoredPage], CheckpointRecord | None]:
        """Take the pages that go with a commit, and the checkpoint itself with the last of them.

        Args:
            entry_bytes: How many bytes of entries the commit has.
            written_until: The sequence at the end of these entries.
            is_urgent: Whether somebody waits for commits: then a page goes with one, or as many as are needed to be done in time.

        Returns:
            The number of the checkpoint, pages, and what is to be published.
        """
        cut = self._cut
        if cut is None:
            return 0, [], None
        least_bytes, idle_bytes = (
            (_PAGES_BYTES_URGENT, _PAGES_BYTES_IDLE_URGENT)
            if is_urgent and not self.is_pressed
            else (_PAGES_BYTES_MIN, _PAGES_BYTES_IDLE)
        )
        room = max(entry_bytes, least_bytes) if entry_bytes else idle_bytes
        # What is decided while it is made is replayed if the process is killed: it has to be done soon, however large it is.
        least = self._pages_total * 2 * entry_bytes // self._every_bytes
        pages: list[StoredPage] = []
        while (room > 0 or len(pages) < least) and (page := cut.next_page()) is not None:
            kind, number, data = page
            sealed = seal_page(kind, number, data)
            pages.append(StoredPage(kind, number, sealed))
            room -= len(sealed)
            self._page_bytes += len(sealed)
        self._pages_written += len(pages)
        is_last = cut.pages_left == 0 and written_until >= cut.sequence
        return self._number, pages, self._record(cut) if is_last else None

    def committed(self, entry_bytes: int, published: CheckpointRecord | None) -> None:
        """Take note that a commit is written."""
        self._bytes += entry_bytes
        if published is None or self._cut is None:
            return
        self._cut.done()
        self._cut = None
        self.is_pressed = False
        self._kept.insert(0, (published.number, published.sequence))
        while len(self._kept) > self._keep:
            self._store.drop_checkpoint(self._kept.pop()[0])

    def _record(self, cut: Cut) -> CheckpointRecord:
        state = CheckpointState(
            cut.sequence,
            self._journaling.time_us,
            self._journaling.boundary_hash,
            cut.counters,
            self._settings_at_cut,
            self._remembered_at_cut,
            self._number,
        )
        return CheckpointRecord(self._number, cut.sequence, encode_checkpoint(state))
