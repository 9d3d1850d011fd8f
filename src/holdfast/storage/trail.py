"""The history of one client or one transaction in a ledger: every row that touched it or tried to, and its effect.

A client's balances follow from its own rows and their journaled outcomes alone. So one scan of the journal is enough, and no
row of anybody else is decided again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.outcome import Outcome
from holdfast.storage.journal_rows import JournalRow, entries_with_rows
from holdfast.storage.sections import EntryKind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.storage.entry import Entry
    from holdfast.storage.journal_rows import EntryRows
    from holdfast.storage.ports import Reader


class TrailRow(NamedTuple):
    """One step of a history."""

    row: JournalRow | None
    """The row; None if the step is an operator's unlock."""
    sequence: int
    time_us: int
    available: int
    """The client's units after it."""
    held: int
    locked: bool
    note: str
    """Who unlocked the account, and why."""


class Trail:
    """Follows one client through a journal.

    Args:
        client: The client.
    """

    def __init__(self, client: int) -> None:
        self._client = client
        self._available = self._held = 0
        self._locked = False
        self._transfers: dict[int, tuple[bool, int]] = {}

    def follow(
        self, reader: Reader, name: str, on_progress: Callable[[int, int], None] | None = None
    ) -> Iterator[TrailRow]:
        """Give every step, in order.

        Raises:
            StoreDamagedError: If an entry is not what was written.
        """
        for entry, rows in entries_with_rows(reader, name, on_progress=on_progress):
            if rows is not None:
                yield from self._of_rows(rows)
            elif entry.kind is EntryKind.UNLOCK:
                note = entry.sections.note
                if note is not None and note.client == self._client:
                    self._locked = False
                    yield self._step(entry, f"unlocked by {note.actor or 'an operator'}: {note.reason}")

    def _of_rows(self, rows: EntryRows) -> Iterator[TrailRow]:
        numbers = set(rows.batch.rows_about(client=self._client))
        for number in rows.batch.refused_rows():
            if (
                rows.batch.outcome(number) == Outcome.CLIENT_MISMATCH
                and rows.batch.txs[number] in self._transfers
            ):
                numbers.add(number)
        for number in sorted(numbers):
            row = rows.row(number)
            if row.outcome.is_applied:
                self._apply(row)
            yield TrailRow(row, row.sequence, row.time_us, self._available, self._held, self._locked, "")

    def _step(self, entry: Entry, note: str) -> TrailRow:
        return TrailRow(None, entry.end, entry.time_us, self._available, self._held, self._locked, note)

    def _apply(self, row: JournalRow) -> None:
        """Repeat what a row did to the account; see SEMANTICS, the five transactions."""
        if row.type in {"deposit", "withdrawal"}:
            is_deposit = row.type == "deposit"
            self._transfers[row.tx] = (is_deposit, row.amount)
            self._available += row.amount if is_deposit else -row.amount
            return
        is_deposit, amount = self._transfers[row.tx]
        if row.type == "dispute":
            self._held += amount
            self._available -= amount if is_deposit else 0
            return
        self._held -= amount
        is_chargeback = row.type == "chargeback"
        if is_chargeback is not is_deposit:
            self._available += amount
        self._locked = self._locked or is_chargeback


def trail_of_transaction(
    reader: Reader, name: str, tx: int, on_progress: Callable[[int, int], None] | None = None
) -> Iterator[JournalRow]:
    """Give every row that names a transaction, in order.

    Raises:
        StoreDamagedError: If an entry is not what was written.
    """
    for _, rows in entries_with_rows(reader, name, on_progress=on_progress):
        if rows is not None:
            for number in rows.batch.rows_about(tx=tx):
                yield rows.row(number)
