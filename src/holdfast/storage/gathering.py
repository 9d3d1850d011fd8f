"""What was decided, on its way to the journal: gathered within the ledger's lock, taken by the commit thread.

The ledger's core calls a :class:`Gatherer` for every stretch of rows that it has decided. All that happens there, while the
core's lock is held, is a copy of the columns. The commit thread takes what was gathered meanwhile, packs it and writes it: the
rows of all streams that arrived during one commit share the next one.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from holdfast.domain.origin import Origin
from holdfast.kernel.packing.decided_rows import DecidedRowBuffer
from holdfast.storage.origin_sections import RequestRows
from holdfast.storage.requests import KnownRequest
from holdfast.storage.sections import EntryKind, Segment

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.domain.origin import Actor, RequestKey, SourcePosition
    from holdfast.domain.settings import Settings
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.tally import Tally
    from holdfast.storage.remembered import Remembered
    from holdfast.storage.sections import Acceptance, Note

ENTRY_ROWS_MAX = 262_144
"""How many rows one entry holds at most: some 1.5 MB of plain rows, which disks write at their full speed."""
SEGMENTS_MAX = 16_384
"""How many stretches of different streams one entry holds at most."""
ENTRIES_CONGESTED = 3
"""With this many full entries waiting, whoever can wait should."""
ENTRIES_MAX = 16
"""With this many full entries waiting, everybody waits: what is decided and not written takes 7 MB of memory each."""


class Gathered:
    """One entry in the making."""

    __slots__ = (
        "accepted",
        "actors",
        "came_from",
        "count",
        "kind",
        "note",
        "requests",
        "rows",
        "segments",
        "sequence",
        "settings",
        "sources",
    )

    def __init__(self, kind: EntryKind, sequence: int, rows: DecidedRowBuffer | None = None) -> None:
        self.kind = kind
        self.sequence = sequence
        self.count = 0
        self.rows = rows
        self.segments: list[Segment] = []
        self.actors: dict[int, Actor] = {}
        """Who sent the rows, by the number of the stretch; most stretches have nobody."""
        self.sources: dict[int, SourcePosition] = {}
        """How far the sources of stretches are, in the same way."""
        self.requests: list[RequestRows] = []
        self.came_from: tuple[object, object] | None = None
        """Who sent the rows of the last stretch, and which partition they are of."""
        self.note: Note | None = None
        self.settings: Settings | None = None
        self.accepted: Acceptance | None = None

    @property
    def end(self) -> int:
        """How many decisions there are after this entry."""
        return self.sequence + self.count


class Gatherer:
    """Takes every decision of a ledger's core, in order: its recorder.

    Args:
        remembered: The positions of streams and partitions, which move on here.
        raw_bytes_max: How many bytes of the text of rows that could not be decoded an entry keeps; 0 keeps none.
        on_work: Called when the commit thread may have something to do.
        on_cut: Called, within the core's lock, when a cut is taken, with its sequence.
    """

    def __init__(
        self,
        remembered: Remembered,
        raw_bytes_max: int,
        on_work: Callable[[], None],
        on_cut: Callable[[int], None],
    ) -> None:
        self._remembered = remembered
        self._raw_bytes_max = raw_bytes_max
        self._on_work = on_work
        self._on_cut = on_cut
        self._lock = threading.Lock()
        self._room = threading.Condition(self._lock)
        self._sealed: list[Gathered] = []
        self._open: Gathered | None = None
        self._spare: list[DecidedRowBuffer] = []
        self._failure: BaseException | None = None

    @property
    def waiting(self) -> int:
        """How many full entries wait to be written."""
        return len(self._sealed)

    @property
    def has_some(self) -> bool:
        """Whether there is anything that was not taken yet."""
        return self._open is not None or bool(self._sealed)

    @property
    def is_congested(self) -> bool:
        """Whether so much waits that whoever brings rows should wait too."""
        return len(self._sealed) >= ENTRIES_CONGESTED

    def record(  # noqa: PLR0917  # called from compiled code
        self,
        batch: Batch,
        start: int,
        stop: int,
        sequence: int,
        stream: str | Origin | None,
        position: int,
        tally: Tally,
    ) -> None:
        """Copy decided rows; see :class:`LedgerCore`.

        Raises:
            Exception: Why the ledger has stopped, if it has.
        """
        segment = Segment(0, None, 0, 0, 0)
        origin = None
        if isinstance(stream, Origin):
            origin, stream = stream, stream.stream
        if stream is not None:
            stopped = batch.outcome(stop - 1) if tally.is_stopped else 0
            state = self._remembered.streams.advance(
                stream, batch, start, stop, position, tally.budgeted, stopped, sequence
            )
            segment = Segment(0, stream, position, state.digest, state.budgeted, stopped)
        with self._lock:
            self._check()
            self._copy(batch, start, stop, sequence, segment, origin, position)
        self._on_work()

    def record_unlock(self, client: int, sequence: int, note: Note) -> None:
        """Take note that an operator has unlocked a client."""
        entry = Gathered(EntryKind.UNLOCK, sequence)
        entry.note = note._replace(client=client)
        self._add(entry)

    def record_settings(self, settings: Settings, sequence: int, note: Note) -> None:
        """Take note that other settings are in force from here on."""
        entry = Gathered(EntryKind.SETTINGS, sequence)
        entry.note, entry.settings = note, settings
        self._add(entry)

    def record_note(self, sequence: int, note: Note) -> None:
        """Take note of something to remember, that changes nothing."""
        entry = Gathered(EntryKind.NOTE, sequence)
        entry.note = note
        self._add(entry)

    def record_accept(self, accepted: Acceptance, sequence: int, note: Note) -> None:
        """Take note that an operator lets journaled outcomes stand."""
        entry = Gathered(EntryKind.ACCEPT, sequence)
        entry.note, entry.accepted = note, accepted
        self._add(entry)

    def record_cut(self, sequence: int) -> None:
        """End the entry in the making, so that the cut is at the end of one."""
        with self._lock:
            self._seal()
        self._on_cut(sequence)

    def take(self) -> list[Gathered]:
        """Take everything that was gathered, in order; the commit thread calls this."""
        with self._lock:
            self._seal()
            taken, self._sealed = self._sealed, []
            self._room.notify_all()
        return taken

    def give_back(self, rows: DecidedRowBuffer) -> None:
        """Take back the buffer of an entry that is packed."""
        rows.clear()
        with self._lock:
            if len(self._spare) < ENTRIES_CONGESTED and rows.rows_max == ENTRY_ROWS_MAX:
                self._spare.append(rows)

    def wait_for_room(self, *, entries_max: int = ENTRIES_CONGESTED) -> None:
        """Wait until fewer than this many full entries wait, or the ledger has stopped."""
        if len(self._sealed) < entries_max:
            return
        with self._lock:
            self._room.wait_for(lambda: len(self._sealed) < entries_max or self._failure is not None)

    def fail(self, error: BaseException) -> None:
        """Take no more: nothing that is decided from here on would ever be written."""
        with self._lock:
            self._failure = error
            self._room.notify_all()

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _add(self, entry: Gathered) -> None:
        entry.count = 1
        with self._lock:
            self._check()
            self._seal()
            self._sealed.append(entry)
        self._on_work()

    def _copy(  # noqa: PLR0917  # the same
        self,
        batch: Batch,
        start: int,
        stop: int,
        sequence: int,
        segment: Segment,
        origin: Origin | None,
        position: int,
    ) -> None:
        """Copy a stretch whole: what its stream has come to is known at its end, and an entry must say it."""
        rows = stop - start
        entry = self._open
        if entry is not None and (entry.count + rows > ENTRY_ROWS_MAX or len(entry.segments) == SEGMENTS_MAX):
            self._seal()
            entry = None
        if entry is None:
            entry = self._open = Gathered(EntryKind.ROWS, sequence, self._new_buffer(rows))
        if entry.rows is None or entry.rows.append(batch, start, stop) != rows:
            raise RuntimeError(f"a buffer with room for {rows} rows did not take them")
        came_from = None
        if origin is not None:
            source = origin.source
            came_from = (origin.actor, None if source is None else (source.topic, source.partition))
        self._note_segment(entry, segment, rows, came_from)
        if origin is not None:
            self._note_origin(entry, origin, position + rows)
            if origin.request is not None:
                self._note_request(entry, origin.request, bytes(batch.outcomes[start:stop]), position)

    def _new_buffer(self, rows: int) -> DecidedRowBuffer:
        if rows <= ENTRY_ROWS_MAX and self._spare:
            return self._spare.pop()
        return DecidedRowBuffer(max(rows, ENTRY_ROWS_MAX), self._raw_bytes_max)

    @staticmethod
    def _note_segment(
        entry: Gathered, segment: Segment, rows: int, came_from: tuple[object, object] | None
    ) -> None:
        """Note whose rows these are; rows that go on where the last ones ended belong to the same stretch."""
        last = entry.segments[-1] if entry.segments else None
        if last is not None and last.stream == segment.stream and entry.came_from == came_from:
            entry.segments[-1] = segment._replace(first_row=last.first_row, position=last.position)
        else:
            entry.came_from = came_from
            entry.segments.append(segment._replace(first_row=entry.count))
        entry.count += rows

    def _note_origin(self, entry: Gathered, origin: Origin, position: int) -> None:
        """Note who sent the rows of the last stretch, and how far their partition is after them."""
        stretch = len(entry.segments) - 1
        if origin.actor is not None:
            entry.actors[stretch] = origin.actor
        if origin.source is not None:
            entry.sources[stretch] = self._remembered.sources.advance(origin.source, position)

    def _note_request(self, entry: Gathered, request: RequestKey, outcomes: bytes, position: int) -> None:
        """Note which request the last rows of an entry answer, and remember the answer."""
        key, fingerprint = request
        rows = len(outcomes)
        entry.requests.append(RequestRows(entry.count - rows, rows, position, fingerprint, key))
        known = KnownRequest(fingerprint, outcomes, entry.end, time.time_ns() // 1000)
        self._remembered.requests.remember(key, known, position)

    def _seal(self) -> None:
        if self._open is not None:
            self._sealed.append(self._open)
            self._open = None
