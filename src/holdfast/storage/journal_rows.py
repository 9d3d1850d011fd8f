"""The rows of a journal as it says they were decided, without a ledger: for history, rejects and explanations."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.origin import Actor
from holdfast.domain.outcome import Outcome
from holdfast.kernel.packing.unpacking import unpack_rows
from holdfast.storage.entry import WAYS_OUT, Chain, decode_entry
from holdfast.storage.ports import StoreDamagedError
from holdfast.storage.raw_texts import KeptTexts, unpack_texts
from holdfast.storage.sections import EntryKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.domain.origin import SourcePosition
    from holdfast.kernel.batch import Batch
    from holdfast.storage.entry import Entry
    from holdfast.storage.ports import Reader

_KEPT_MAX = 64
_NOTHING = KeptTexts({}, {})
_NAMES = ("", "deposit", "withdrawal", "dispute", "resolve", "chargeback")


class JournalRow(NamedTuple):
    """One row of a journal."""

    sequence: int
    """Its place in the order of all decisions; the first is 1."""
    time_us: int
    """When its entry was made, in microseconds since 1970 (UTC)."""
    stream: str | None
    """The named stream that it belongs to."""
    number: int
    """Its place in that stream, the first being 1; 0 for a row of no named stream."""
    type: str
    """Its name; empty if the row has no known type."""
    client: int
    tx: int
    amount: int
    """Units; 0 for rows without an amount of their own."""
    outcome: Outcome
    text: bytes
    """Its text, if it could not be decoded and the text is kept."""
    actor: Actor | None = None
    """Who sent it, if that is known; without an address if none was kept, or it is erased."""
    source: SourcePosition | None = None
    """How far its partition was after the rows that were decided with it, if it came from a broker."""
    request: str | None = None
    """The idempotency key of the request that it answers, if there was one."""


class KeptReader:
    """Reads the texts and addresses that are kept beside entries; what was read last is not read again.

    Args:
        reader: The store.
        name: What messages call the ledger.
    """

    def __init__(self, reader: Reader, name: str) -> None:
        self._reader = reader
        self._name = name
        self._known: dict[int, KeptTexts] = {}

    def at(self, sequence: int) -> KeptTexts:
        """Give what is kept beside the entry with this key; nothing if it is erased, or the entry was pruned.

        Raises:
            StoreDamagedError: If it is not what was kept.
        """
        known = self._known.get(sequence)
        if known is not None:
            return known
        stored = next(self._reader.entries(sequence), None)
        if stored is None or stored.sequence != sequence:
            return _NOTHING
        return self.beside(decode_entry(self._name, stored))

    def beside(self, entry: Entry) -> KeptTexts:
        """Give what is kept beside an entry.

        Raises:
            StoreDamagedError: If it is not what was kept.
        """
        known = self._known.get(entry.sequence)
        if known is not None:
            return known
        raw = entry.sections.raw
        stored = None if raw is None else self._reader.raw_text(entry.sequence)
        found = None
        if raw is not None and stored is not None:
            try:
                found = unpack_texts(stored.data, raw)
            except ValueError as error:
                raise StoreDamagedError(
                    f"{self._name}: the texts of the entry at decision {entry.sequence}: {error}"
                ) from error
        if len(self._known) >= _KEPT_MAX:
            self._known.clear()
        self._known[entry.sequence] = found or _NOTHING
        return self._known[entry.sequence]


class EntryRows:
    """The rows of one entry.

    Args:
        name: What messages call the ledger.
        entry: The entry.
        reader: Where the raw texts are.
        kept: Reads what is kept beside entries; one for all entries of a scan saves reading it again and again.

    Raises:
        StoreDamagedError: If the rows cannot be read.
    """

    def __init__(self, name: str, entry: Entry, reader: Reader, kept: KeptReader | None = None) -> None:
        self._entry = entry
        self._kept = KeptReader(reader, name) if kept is None else kept
        actors = entry.sections.actors
        self._sources = dict(entry.sections.sources)
        self._actors = {} if actors is None else dict(actors.stretches)
        try:
            unpacked = unpack_rows(entry.sections.rows)
        except ValueError as error:
            raise StoreDamagedError(
                f"{name}: the rows of the entry at decision {entry.sequence} cannot be read: {error}"
            ) from error
        unpacked.adopt_outcomes()
        self.batch: Batch = unpacked.batch

    def row(self, number: int) -> JournalRow:
        """Give one row by its number in the entry."""
        batch, entry = self.batch, self._entry
        outcome = Outcome(batch.outcome(number))
        is_readable = not 10 <= outcome <= 18
        segment, stretch = None, -1
        for each in entry.sections.segments:
            if each.first_row > number:
                break
            segment = each
            stretch += 1
        is_named = segment is not None and segment.stream is not None
        return JournalRow(
            entry.sequence + number + 1,
            entry.time_us,
            segment.stream if segment is not None else None,
            segment.position + number - segment.first_row + 1 if is_named and segment is not None else 0,
            _NAMES[batch.types[number]] if batch.types[number] < len(_NAMES) else "",
            batch.clients[number],
            batch.txs[number],
            batch.amounts[number] if is_readable else 0,
            outcome,
            b"" if is_readable else self._kept.beside(entry).texts.get(number, b""),
            self._actor(stretch),
            self._sources.get(stretch),
            self._request(number),
        )

    def _request(self, number: int) -> str | None:
        requests = self._entry.sections.requests
        found = bisect_right(requests, number, key=lambda each: each.first_row) - 1
        return requests[found].key if found >= 0 and number < requests[found].span[1] else None

    def _actor(self, stretch: int) -> Actor | None:
        number = self._actors.get(stretch)
        actors = self._entry.sections.actors
        if number is None or actors is None:
            return None
        named = actors.actors[number]
        if named.address is None:
            return Actor(named.id)
        sequence, there = named.address
        kept = self._kept.beside(self._entry) if sequence == self._entry.sequence else self._kept.at(sequence)
        return Actor(named.id, kept.addresses.get(there, ""))


def decisions_until(reader: Reader, name: str, time_us: int) -> int:
    """Say how many decisions are in entries that were made at or before a time, in microseconds since 1970 (UTC).

    Raises:
        StoreDamagedError: If one of the two entries about that time is not what was written.
    """
    chain = Chain(name)
    with reader.frozen():
        entry = reader.entry_at(time_us)
        if entry is not None:
            chain.skip_to(decode_entry(name, entry))
        following = next(iter(reader.entries(chain.sequence)), None)
        if following is None:
            _check_end(name, chain, _covered(reader))
            return chain.sequence
    found = chain.sequence
    later = decode_entry(name, following)
    if later.time_us <= time_us:
        raise StoreDamagedError(f"{name}: the time of an entry about decision {found} is wrong; {WAYS_OUT}")
    if entry is not None:
        chain.check(later)
    return found


def _covered(reader: Reader) -> int:
    """Say how many decisions the newest checkpoint covers."""
    return max((each.sequence for each in reader.checkpoints()), default=0)


def _check_end(name: str, chain: Chain, covered: int) -> None:
    """Look whether the journal goes as far as a checkpoint that was there before it was read.

    Raises:
        StoreDamagedError: If it does not.
    """
    if chain.sequence < covered:
        raise StoreDamagedError(
            f"{name}: the journal ends after decision {chain.sequence}, and a checkpoint covers {covered}: entries are missing; "
            f"{WAYS_OUT}"
        )


def chained_entries(
    reader: Reader, name: str, sequence: int = 0, chain: Chain | None = None
) -> Iterator[Entry]:
    """Give the entries after a sequence, each of which follows the one before it.

    Args:
        reader: The store.
        name: What messages call the ledger.
        sequence: How many decisions come before them.
        chain: The chain up to there; if it is not given, the first entry is taken as it is.

    Raises:
        StoreDamagedError: If one of them is not what was written, or is missing.
    """
    covered = _covered(reader)
    for stored in reader.entries(sequence):
        entry = decode_entry(name, stored)
        if chain is None:
            chain = Chain(name)
            chain.skip_to(entry)
        else:
            chain.check(entry)
        yield entry
    _check_end(name, chain or Chain(name), covered)


def entries_with_rows(
    reader: Reader,
    name: str,
    sequence: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Entry, EntryRows | None]]:
    """Give the entries after a sequence, each with its rows if it has some.

    Raises:
        StoreDamagedError: If one of them is not what was written.
    """
    last = reader.last_entry()
    end = 0 if last is None else last.sequence + last.count
    kept = KeptReader(reader, name)
    for entry in chained_entries(reader, name, sequence):
        yield entry, EntryRows(name, entry, reader, kept) if entry.kind is EntryKind.ROWS else None
        if on_progress is not None:
            on_progress(entry.end - sequence, end - sequence)
