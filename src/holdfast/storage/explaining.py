"""Why one decision came out as it did: the row, and what it met."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.account import Account
from holdfast.domain.unappliable import UnappliableError
from holdfast.kernel.packing.unpacking import unpack_rows
from holdfast.storage.entry import decode_entry
from holdfast.storage.failures import LedgerError, UnfollowableError
from holdfast.storage.journal_rows import EntryRows, chained_entries
from holdfast.storage.paging import Pager
from holdfast.storage.sections import EntryKind
from holdfast.storage.transaction import LedgerTransaction

if TYPE_CHECKING:
    from holdfast.domain.settings import Settings
    from holdfast.storage.entry import Entry
    from holdfast.storage.journal_rows import JournalRow
    from holdfast.storage.ports import Reader
    from holdfast.storage.recovery import Recovered
    from holdfast.storage.sections import Note


class Explanation(NamedTuple):
    """One decision, and what it met."""

    sequence: int
    time_us: int
    settings: Settings
    """Those in force."""
    row: JournalRow | None
    """None for an operator's decision."""
    kind: EntryKind
    note: Note | None
    """Who decided it, and why, if it is an operator's decision."""
    before: Account | None
    """The account of the row's client before it; None if there was none, or the client could not be read."""
    after: Account | None
    transaction: LedgerTransaction | None
    """What was recorded under the row's transaction id before it."""


def find_sequence(reader: Reader, name: str, stream: str, row: int) -> int:
    """Find the decision of a stream's row, counted from 1.

    Raises:
        LedgerError: If there is no such row in the journal.
    """
    for entry in chained_entries(reader, name):
        for number, segment in enumerate(entry.sections.segments):
            following = entry.sections.segments[number + 1 : number + 2]
            rows = (following[0].first_row if following else entry.count) - segment.first_row
            if segment.stream == stream and segment.position < row <= segment.position + rows:
                return entry.sequence + segment.first_row + row - segment.position
    raise LedgerError(f"{name}: no row {row:,} of a stream {stream!r} was decided")


def explain_decision(reader: Reader, name: str, sequence: int, recovered: Recovered) -> Explanation:
    """Explain a decision by doing once more what the journal says of it.

    Args:
        reader: The store.
        name: What messages call the ledger.
        sequence: The decision's place in the order, the first being 1.
        recovered: The state before it; it is changed.
    """
    stored = next(reader.entries(sequence - 1))
    entry = decode_entry(name, stored)
    core = recovered.core
    settings = core.settings
    if entry.kind is not EntryKind.ROWS:
        return Explanation(
            sequence, entry.time_us, settings, None, entry.kind, entry.sections.note, None, None, None
        )
    number = sequence - entry.sequence - 1
    row = EntryRows(name, entry, reader).row(number)
    has_ids = not 10 <= row.outcome <= 13
    pager = Pager(core, reader, name, checkpoint_max=_checkpoint_before(reader, sequence))

    def account() -> Account | None:
        found = core.account(row.client) if has_ids else None
        return None if found is None else Account(row.client, *found, settings.decimals)

    def transaction() -> LedgerTransaction | None:
        found = pager.transaction(row.tx) if has_ids else None
        return None if found is None else LedgerTransaction(row.tx, *found, settings.decimals)

    before, recorded = account(), transaction()
    _follow(name, entry, number, pager)
    return Explanation(sequence, entry.time_us, settings, row, entry.kind, None, before, account(), recorded)


def _follow(name: str, entry: Entry, number: int, pager: Pager) -> None:
    unpacked = unpack_rows(entry.sections.rows)
    try:
        pager.follow(unpacked.batch, unpacked.outcomes, number, number + 1)
    except UnappliableError as error:
        raise UnfollowableError(name, entry.sequence + number + 1, error.reason) from error


def _checkpoint_before(reader: Reader, sequence: int) -> int:
    return max((each.number for each in reader.checkpoints() if each.sequence < sequence), default=0)
