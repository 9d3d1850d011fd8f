"""Accepting journaled outcomes to which the rules of now do not come: an operator's decision, after an upgrade."""

from __future__ import annotations

import os
from contextlib import closing
from typing import TYPE_CHECKING, NamedTuple

from holdfast.storage.acceptance import AcceptedRanges, OutcomeDifferences, acceptances_after
from holdfast.storage.creation import read_settings
from holdfast.storage.durable_engine import DurableEngine
from holdfast.storage.failures import ReplayDiffersError
from holdfast.storage.recovery import Recovery
from holdfast.storage.sections import Acceptance, Note
from holdfast.storage.stores import open_store

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.domain.settings import Settings
    from holdfast.storage.acceptance import OutcomeDifference
    from holdfast.storage.ports import Reader, Store
    from holdfast.storage.recovery import Recovered

    OnProgress = Callable[[int, int], None]


class Accepted(NamedTuple):
    """Which outcomes were accepted."""

    first: int
    """The first decision that differed; the first of all is 1."""
    last: int
    """The last decision that there was."""
    differences: int
    """How many outcomes of these a replay by the rules changes; some may only follow from others."""
    shown: tuple[OutcomeDifference, ...]
    """The first of them."""


def accept_outcomes(
    location: str | os.PathLike[str] | Store,
    *,
    reason: str,
    actor: str = "",
    on_progress: OnProgress | None = None,
) -> Accepted | None:
    """Let the journaled outcomes stand, from the first one on to which a replay does not come, up to the last one.

    Everything that is kept is replayed: by the rules, to count what differs, and once more as the journal says. Only if that can
    be done is the ledger changed: checkpoints after the first difference go, since they may have followed other outcomes; an
    entry says what is accepted, by whom and why; and a new checkpoint is made.

    Args:
        location: A path, a URL, or a store that is open for writing; it is closed in the end.
        reason: Why; it is kept in the journal.
        actor: Who decides it.
        on_progress: Called with how many decisions are replayed and how many there are; more than once up to the end.

    Returns:
        What was accepted; None if a replay comes to the journaled outcomes: then nothing is changed.

    Raises:
        ValueError: If no reason is given.
        UnfollowableError: If the journal says of a row that it was applied, and that cannot be.
        StoreDamagedError: If an entry or a page is not what was written.
        StoreError: If something cannot be read or written.
    """
    with _open(location) as store:
        if not reason.strip():
            raise ValueError("accepted outcomes need a reason: it is kept in the journal")
        with closing(store.reader()) as reader:
            found = _Replays(reader, store.name, read_settings(store.name, reader), on_progress).run()
        if found is None:
            return None
        recovered, checkpoint, accepted = found
        store.discard_checkpoints(checkpoint)
        with DurableEngine(store, recovered) as engine:
            recovered.core.accept(
                Acceptance(accepted.first - 1, accepted.last, accepted.differences),
                Note(actor=actor, reason=reason),
            )
            engine.wait_durable()
        return accepted


def _open(location: str | os.PathLike[str] | Store) -> Store:
    if not isinstance(location, str | os.PathLike):
        return location
    # Opening it to write would make it.
    with open_store(location, read_only=True) as store, closing(store.reader()) as reader:
        read_settings(store.name, reader)
    return open_store(location)


class _Replays:
    """The replays that are needed to accept outcomes.

    Args:
        reader: The store.
        name: What messages call the ledger.
        created: The settings with which it was made.
        on_progress: Called with how many decisions are replayed and how many there are.
    """

    def __init__(self, reader: Reader, name: str, created: Settings, on_progress: OnProgress | None) -> None:
        self._reader = reader
        self._name = name
        self._created = created
        self._on_progress = on_progress
        self._checkpoints = reader.checkpoints()
        # Where entries were pruned, nothing older can be replayed than from the oldest checkpoint.
        self._oldest = self._checkpoints[-1].number if reader.first_sequence() > 0 else 0

    def run(self) -> tuple[Recovered, int, Accepted] | None:
        """Give the state that follows the journal, the newest checkpoint that stays, and what differs; None if nothing does."""
        recovery = self._recovery(None)
        try:
            recovery.run(checkpoint=self._oldest)
        except ReplayDiffersError as error:
            first = error.sequence - 1
        else:
            return None
        differences = self._count(first, recovery.accepted)
        last = self._reader.last_entry()
        end = 0 if last is None else last.sequence + last.count
        recovery.accepted.add(first, end)
        stays = max((each.number for each in self._checkpoints if each.sequence <= first), default=0)
        recovered = recovery.run(checkpoint=stays)
        return recovered, stays, Accepted(first + 1, end, differences.count, tuple(differences.shown))

    def _count(self, first: int, accepted: AcceptedRanges) -> OutcomeDifferences:
        """Replay everything by the rules, but for what was accepted before the first difference."""
        known = AcceptedRanges()
        for _, each in acceptances_after(self._reader, self._name, first):
            known.add(each.first, each.end)
        differences = OutcomeDifferences(known)
        counting = self._recovery(differences)
        counting.accepted = accepted
        counting.run(checkpoint=self._oldest)
        return differences

    def _recovery(self, differences: OutcomeDifferences | None) -> Recovery:
        return Recovery(
            self._reader,
            self._name,
            self._created,
            on_progress=self._on_progress,
            differences=differences,
        )
