"""Entries of the journal, made of what was gathered: packed, chained, stamped."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from holdfast.storage.actor_numbers import ActorNumbers
from holdfast.storage.ports import RawText
from holdfast.storage.raw_texts import pack_texts
from holdfast.storage.sections import Sections

if TYPE_CHECKING:
    from holdfast.domain.settings import Settings
    from holdfast.storage.entry import Chain
    from holdfast.storage.gathering import Gathered, Gatherer
    from holdfast.storage.ports import StoredEntry


class Journaling:
    """Follows the chain of a ledger's entries; the commit thread alone uses it.

    Args:
        chain: The chain so far.
        settings: The settings in force.
        time_us: When the last entry was made.
        keeps_addresses: Whether the addresses of actors are kept.
    """

    def __init__(
        self, chain: Chain, settings: Settings, time_us: int, *, keeps_addresses: bool = True
    ) -> None:
        self._actors = ActorNumbers(keeps_addresses=keeps_addresses)
        self._chain = chain
        self._settings = settings
        self._time_us = time_us
        self._boundary = (-1, b"")

    @property
    def sequence(self) -> int:
        """How many decisions the entries so far hold."""
        return self._chain.sequence

    def note_boundary(self, sequence: int) -> None:
        """Keep the chain's hash at this sequence, which is the end of an entry that may not be made yet."""
        self._boundary = (sequence, self._chain.hash if self._chain.sequence == sequence else b"")

    @property
    def boundary_hash(self) -> bytes:
        """The hash of the last entry before that sequence; empty until it is made."""
        return self._boundary[1]

    @property
    def time_us(self) -> int:
        """The time of the newest entries, in microseconds since 1970."""
        return self._time_us

    def encode(self, gatherer: Gatherer) -> tuple[list[StoredEntry], list[RawText]]:
        """Take everything that was gathered and make entries of it."""
        entries: list[StoredEntry] = []
        raw_texts: list[RawText] = []
        # The clock may go back; the order of the entries' times does not.
        self._time_us = max(self._time_us, time.time_ns() // 1000)
        for gathered in gatherer.take():
            entries.append(self._encode(gathered, raw_texts))
            if self._chain.sequence == self._boundary[0]:
                self._boundary = (self._boundary[0], self._chain.hash)
            if gathered.rows is not None:
                gatherer.give_back(gathered.rows)
        return entries, raw_texts

    def _encode(self, gathered: Gathered, raw_texts: list[RawText]) -> StoredEntry:
        raw = actors = None
        rows = b""
        addresses: list[tuple[int, str]] = []
        if gathered.actors:
            actors, addresses = self._actors.of_entry(gathered.sequence, self._time_us, gathered.actors)
        if gathered.rows is not None:
            texts, dropped = gathered.rows.texts_of_rows(), gathered.rows.raw_dropped
            if texts or dropped or addresses:
                packed, raw = pack_texts(texts, dropped, addresses)
                raw_texts.append(RawText(gathered.sequence, packed))
            rows = gathered.rows.pack()
        if gathered.settings is not None:
            self._settings = gathered.settings
        sections = Sections(
            rows,
            tuple(gathered.segments),
            raw,
            gathered.settings,
            gathered.note,
            actors,
            tuple(gathered.sources.items()),
            tuple(gathered.requests),
            accepted=gathered.accepted,
        )
        return self._chain.append(gathered.kind, gathered.count, self._time_us, self._settings, sections)
