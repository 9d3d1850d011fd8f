"""Opening a ledger: the latest checkpoint, and a replay of the entries after it, which must come to the journaled outcomes."""

from __future__ import annotations

import threading
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.outcome import Outcome
from holdfast.domain.picklable import Picklable
from holdfast.domain.unappliable import UnappliableError
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.packing.unpacking import RowUnpacker
from holdfast.kernel.tally import Tally
from holdfast.storage.acceptance import AcceptedRanges, OutcomeDifference, acceptances_after
from holdfast.storage.checkpoint_record import open_checkpoint, widths_of
from holdfast.storage.entry import Chain, decode_entry
from holdfast.storage.failures import ReplayDiffersError, UnfollowableError
from holdfast.storage.page_seal import open_page
from holdfast.storage.paging import WAYS_OUT, Pager
from holdfast.storage.ports import PAGE_ACCOUNTS, PAGE_CHANGES, PAGE_RUN, StoreDamagedError
from holdfast.storage.reading_ahead import ReadAhead
from holdfast.storage.remembered import Remembered
from holdfast.storage.sections import EntryKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.domain.settings import Settings
    from holdfast.storage.acceptance import HasEntries, OutcomeDifferences
    from holdfast.storage.entry import Entry
    from holdfast.storage.ports import CheckpointRecord, Reader

_ENTRIES_AHEAD = 3
_PAGES_AT_ONCE = 32
"""Of changes, these are some 2 MB."""
_PAGES_AHEAD = 4
_TOUCH_BYTES_MIN = 64 << 20


class Recovered(NamedTuple):
    """A ledger's state at one point in time."""

    core: LedgerCore
    remembered: Remembered
    chain: Chain
    checkpoints: list[CheckpointRecord]
    """The published checkpoints, newest first, up to the one from which the state was recovered."""
    time_us: int
    """When the last entry was made."""
    replayed: int
    """How many decisions were replayed."""


class NoRoomError(Picklable, Exception):
    """A replay has come to settings with wider ids than the state has room for: it has to begin again with more room.

    Args:
        settings: These settings.
    """

    def __init__(self, settings: Settings) -> None:
        super().__init__("there is no room for ids so wide")
        self.settings = settings


class Recovery:
    """Brings the state of a ledger back to a point in time.

    Args:
        reader: The store.
        name: What messages call it.
        created: The settings with which the ledger was made.
        memory_bytes_max: How much memory the state may take; beyond that, runs of records are left in the store.
        room: Settings with the widths of ids that the state has room for, if they are to be wider than those in force.
        on_progress: Called with how many decisions are replayed and how many there are.
        later: Where else than in the store entries may be that accept outcomes, if this is a copy of the first entries.
        differences: Gathers what the replay comes to in another way than the journal, instead of an error.
    """

    def __init__(
        self,
        reader: Reader,
        name: str,
        created: Settings,
        *,
        memory_bytes_max: int | None = None,
        room: Settings | None = None,
        on_progress: Callable[[int, int], None] | None = None,
        later: HasEntries | None = None,
        differences: OutcomeDifferences | None = None,
    ) -> None:
        self._reader = reader
        self._later: HasEntries = reader if later is None else later
        self._differences = differences
        self.accepted = AcceptedRanges()
        """The decisions whose journaled outcomes stand, as far as the replay had to know."""
        self.acceptances: list[Entry] = []
        """The entries that say so."""
        self._name = name
        self._created = created
        self._memory_bytes_max = memory_bytes_max
        self._room = created if room is None else room
        self._on_progress = on_progress
        self._reading = threading.Lock()

    def run(self, *, until: int | None = None, checkpoint: int | None = None) -> Recovered:
        """Recover the newest state, or an older one.

        Args:
            until: The sequence of the state that is wanted; the newest if not given.
            checkpoint: The number of the newest checkpoint to begin from; 0 replays everything.

        Raises:
            StoreDamagedError: If an entry or a page is not what was written.
            ReplayDiffersError: If the replay does not come to the journaled outcomes, and nobody has accepted these.
            UnfollowableError: If accepted outcomes cannot be.
        """
        while True:
            try:
                return self._run(until, checkpoint)
            except NoRoomError as error:
                # Ids became wider since the state from which the replay began.
                self._room = error.settings
                if self._differences is not None:
                    self._differences.clear()
            except ReplayDiffersError as error:
                if not self._find_acceptance(error.sequence - 1):
                    raise

    def _find_acceptance(self, sequence: int) -> bool:
        """Look for an entry that accepts the outcome of a decision, given how many come before it; False if there is none."""
        for entry, accepted in acceptances_after(self._later, self._name, sequence):
            if accepted.first <= sequence < accepted.end:
                self.accepted.add(accepted.first, accepted.end)
                self.acceptances.append(entry)
                return True
        return False

    def _run(self, until: int | None, checkpoint: int | None) -> Recovered:
        published = self._reader.checkpoints()
        usable = [
            each
            for each in published
            if (until is None or each.sequence <= until) and (checkpoint is None or each.number <= checkpoint)
        ]
        replay = self._from_checkpoint(usable[0]) if usable else self._from_nothing()
        begin = replay.core.decided
        last = self._reader.last_entry()
        end = 0 if last is None else last.sequence + last.count
        end = max(begin, end if until is None else min(end, until))
        # Nobody waits for a single batch of a replay, so what is slower now and then and faster in all is right here. With a
        # limit of memory, records come and go in smaller pieces.
        replay.core.use_huge_pages(self._memory_bytes_max is None)
        with ReadAhead(self._entries(begin, end), self._reading, _ENTRIES_AHEAD) as entries:
            for entry in entries:
                replay.apply(entry, end)
                if self._on_progress is not None:
                    self._on_progress(replay.core.decided - begin, end - begin)
        if replay.core.decided != end:
            raise StoreDamagedError(
                f"{self._name}: the journal ends after decision {replay.core.decided}, and {end} were written: entries are "
                f"missing; {WAYS_OUT}"
            )
        replay.core.use_huge_pages(False)
        return Recovered(
            replay.core,
            replay.remembered,
            replay.chain,
            usable if checkpoint is not None else published,
            0 if last is None else decode_entry(self._name, last).time_us,
            end - begin,
        )

    def _entries(self, begin: int, end: int) -> Iterator[Entry]:
        """Read and check the entries that hold decisions after ``begin``, up to ``end``."""
        if begin < end:
            for stored in self._reader.entries(begin):
                if stored.sequence >= end:
                    break
                yield decode_entry(self._name, stored)

    def _pages(self, kind: int, checkpoint: int) -> Iterator[list[tuple[int, bytes]]]:
        """Read and check the pages of a kind, some at a time.

        Raises:
            ValueError: If one of them is not what was written.
        """
        pages = self._reader.pages(kind, checkpoint)
        while some := list(islice(pages, _PAGES_AT_ONCE)):
            yield [(page.number, open_page(kind, page.number, page.data)) for page in some]

    def _load_pages(self, core: LedgerCore, checkpoint: int, counters: bytes) -> None:
        """Load the pages of a checkpoint, but for records side by side, which are loaded when a row needs them.

        Raises:
            ValueError: If one of them is not what was written.
        """
        if core.expect_state(counters) >= _TOUCH_BYTES_MIN:
            # Clearing memory takes the system about as long as filling it takes.
            threading.Thread(target=core.touch_memory, name="holdfast-memory", daemon=True).start()
        for kind in (PAGE_ACCOUNTS, PAGE_CHANGES):
            with ReadAhead(self._pages(kind, checkpoint), self._reading, _PAGES_AHEAD) as pages:
                for some in pages:
                    for number, data in some:
                        core.load_page(kind, number, data)

    def _from_nothing(self) -> Replay:
        if self._reader.first_sequence() > 0:
            raise StoreDamagedError(
                f"{self._name}: the first entries were pruned, and no checkpoint that covers them can be used; restore a backup"
            )
        core = LedgerCore(self._created, pages=True, room=_widest(self._created, self._room))
        return self._replay(core, Remembered(), Chain(self._name), 0)

    def _from_checkpoint(self, record: CheckpointRecord) -> Replay:
        try:
            state = open_checkpoint(record)
            settings = state.settings._replace(batch_rows=self._created.batch_rows)
            room = _widest(settings, self._room, widths_of(settings, state.counters))
            core = LedgerCore(settings, pages=True, room=room)
            core.use_huge_pages(self._memory_bytes_max is None)
            self._load_pages(core, record.number, state.counters)
            for number in self._reader.page_numbers(PAGE_RUN, record.number):
                core.add_absent_run(number)
            core.finish_restore(state.counters)
        except ValueError as error:
            raise StoreDamagedError(
                f"{self._name}: checkpoint {record.number} (decision {record.sequence}) is damaged: {error}; {WAYS_OUT}"
            ) from error
        chain = Chain(self._name, record.sequence, state.last_hash)
        return self._replay(core, Remembered(state.remembered), chain, record.number)

    def _replay(self, core: LedgerCore, remembered: Remembered, chain: Chain, checkpoint: int) -> Replay:
        pager = Pager(
            core,
            self._reader,
            self._name,
            checkpoint_max=checkpoint,
            memory_bytes_max=self._memory_bytes_max,
            reading=self._reading,
        )
        return Replay(
            self._name, core, remembered, chain, pager, accepted=self.accepted, differences=self._differences
        )


def _widest(settings: Settings, *others: Settings) -> Settings:
    return settings._replace(
        client_bits=max(each.client_bits for each in (settings, *others)),
        tx_bits=max(each.tx_bits for each in (settings, *others)),
    )


class Replay:
    """Applies entries to a state, each of which must come to its journaled outcomes, unless these were accepted.

    Args:
        name: What messages call the ledger.
        core: The state.
        remembered: The positions of streams and partitions, which move on.
        chain: Where in the journal the state is.
        pager: Brings back records that rows need.
        accepted: Decisions that are not decided again, but follow the journal.
        differences: Gathers what comes to other outcomes, instead of an error.
    """

    def __init__(
        self,
        name: str,
        core: LedgerCore,
        remembered: Remembered,
        chain: Chain,
        pager: Pager,
        *,
        accepted: AcceptedRanges,
        differences: OutcomeDifferences | None = None,
    ) -> None:
        self._name = name
        self.core = core
        self.remembered = remembered
        self.chain = chain
        self._pager = pager
        self._accepted = accepted
        self._differences = differences
        self._tally = Tally()
        self._unpacker = RowUnpacker()

    def apply(self, entry: Entry, end: int) -> None:
        """Apply the next entry, or as much of it as there are decisions up to ``end``.

        Raises:
            StoreDamagedError: If it does not follow the one before it, or cannot be read.
            ReplayDiffersError: If it comes to other outcomes.
            UnfollowableError: If accepted outcomes cannot be.
        """
        self.chain.check(entry)
        sections = entry.sections
        if entry.kind is EntryKind.ROWS:
            self.remembered.follow(entry, self._apply_rows(entry, end))
        elif entry.kind is EntryKind.UNLOCK and sections.note is not None:
            self._unlock(entry.sequence, sections.note.client)
        elif entry.kind is EntryKind.SETTINGS and sections.settings is not None:
            settings = sections.settings._replace(batch_rows=self.core.settings.batch_rows)
            try:
                self.core.change_settings(settings, None)
            except OverflowError:
                raise NoRoomError(settings) from None
        elif entry.kind is EntryKind.NOTE or (
            entry.kind is EntryKind.ACCEPT and sections.accepted is not None
        ):
            self.core.note(None)
        else:
            raise StoreDamagedError(
                f"{self._name}: the entry at decision {entry.sequence} lacks a section; {WAYS_OUT}"
            )

    def _unlock(self, sequence: int, client: int) -> None:
        try:
            self.core.unlock(client, None)
        except (KeyError, ValueError) as error:
            # Where outcomes are accepted, the account need not be locked: the rules under which it was may be others.
            if not self._accepted.covers(sequence):
                self._tell(sequence, "an unlock", f"{error}", error)
            self.core.note(None)

    def _apply_rows(self, entry: Entry, end: int) -> dict[int, int]:
        """Decide rows; give the outcome codes of those that belong to requests."""
        rows = self._unpacker
        wanted = [row for each in entry.sections.requests for row in range(*each.span)]
        outcomes: dict[int, int] = {}
        try:
            rows.open(entry.sections.rows)
            is_next = rows.next_piece()
        except ValueError as error:
            raise self._unreadable(entry, error) from error
        if rows.rows != entry.count:
            raise StoreDamagedError(
                f"{self._name}: the entry at decision {entry.sequence} has {rows.rows} rows and says {entry.count}; {WAYS_OUT}"
            )
        while is_next and entry.sequence + rows.first_row < end:
            self._decide_piece(entry.sequence + rows.first_row, end)
            if wanted:
                self._collect_outcomes(wanted, end - entry.sequence, outcomes)
            try:
                is_next = rows.next_piece()
            except ValueError as error:
                raise self._unreadable(entry, error) from error
        return outcomes

    def _collect_outcomes(self, wanted: list[int], end: int, outcomes: dict[int, int]) -> None:
        """Note the outcomes of some rows, which are in order, as far as they are in this piece and were decided."""
        first = self._unpacker.first_row
        stop = min(first + self._unpacker.batch.rows, end)
        for row in wanted[bisect_left(wanted, first) : bisect_left(wanted, stop)]:
            # What was answered is what the journal says.
            outcomes[row] = self._unpacker.outcome(row - first)

    def _unreadable(self, entry: Entry, error: ValueError) -> StoreDamagedError:
        return StoreDamagedError(
            f"{self._name}: the rows of the entry at decision {entry.sequence} cannot be read: {error}; {WAYS_OUT}"
        )

    def _decide_piece(self, sequence: int, end: int) -> None:
        """Decide the rows of a piece that come after ``sequence`` decisions, as far as they are wanted."""
        batch = self._unpacker.batch
        start = max(0, min(batch.rows, self.core.decided - sequence))
        stop = max(start, min(batch.rows, end - sequence))
        self._pager.let_go()
        for first, after, is_accepted in self._accepted.pieces(sequence + start, sequence + stop):
            if is_accepted:
                self._follow(sequence, first - sequence, after - sequence)
                continue
            self._pager.decide(batch, first - sequence, after - sequence, self._tally, None, 0)
            self._compare(sequence, first - sequence, after - sequence)

    def _follow(self, sequence: int, start: int, stop: int) -> None:
        """Do with rows of the piece what the journal says."""
        rows = self._unpacker
        try:
            self._pager.follow(rows.batch, rows.journaled(), start, stop)
        except UnappliableError as error:
            raise UnfollowableError(self._name, sequence + error.row + 1, error.reason) from error

    def _compare(self, sequence: int, start: int, stop: int) -> None:
        """Compare the outcomes of rows of the piece with those that were journaled."""
        rows, differences = self._unpacker, self._differences
        row = rows.first_difference(start, stop)
        while row >= 0 and (differences is None or differences.has_room):
            journaled, found = Outcome(rows.outcome(row)).name, Outcome(rows.batch.outcome(row)).name
            self._tell(sequence + row, journaled, found)
            row = rows.first_difference(row + 1, stop)
        if row >= 0 and differences is not None:
            for first, after, is_known in differences.known.pieces(sequence + row, sequence + stop):
                if not is_known:
                    differences.count += rows.count_differences(first - sequence, after - sequence)

    def _tell(self, sequence: int, journaled: str, found: str, cause: Exception | None = None) -> None:
        """Tell that a decision differs, given how many come before it."""
        if self._differences is None:
            raise ReplayDiffersError(self._name, sequence + 1, journaled, found) from cause
        if not self._differences.known.covers(sequence):
            self._differences.count += 1
            if self._differences.has_room:
                self._differences.shown.append(OutcomeDifference(sequence + 1, journaled, found))
