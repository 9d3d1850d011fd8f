"""What entries of a journal mean for the tables that follow it: rows to add, and how much balances change.

What disputes do to a balance is a sum over their transactions' amounts, whatever their order, since only applied rows count. So
the amounts can be looked up once for all of them, in the table of transactions.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.amount import format_units
from holdfast.domain.outcome import Outcome, Phase
from holdfast.domain.transaction import TransactionType
from holdfast.storage.postgres.binary_copy import encode_tail, make_encoder
from holdfast.storage.sections import EntryKind
from holdfast.storage.transaction import DisputeState

if TYPE_CHECKING:
    from collections.abc import Iterable

    from holdfast.storage.entry import Entry
    from holdfast.storage.journal_rows import EntryRows
    from holdfast.storage.postgres.binary_copy import IdWidths

_DEPOSIT, _WITHDRAWAL = int(TransactionType.DEPOSIT), int(TransactionType.WITHDRAWAL)
_CHARGEBACK = int(TransactionType.CHARGEBACK)
_APPLIED = int(Outcome.APPLIED)
_NAMES = {int(each): each.name.lower() for each in TransactionType}
_DISPUTES = {
    int(type_): state.name.lower().replace("_", " ")
    for type_, state in (
        (TransactionType.DISPUTE, DisputeState.UNDER_DISPUTE),
        (TransactionType.RESOLVE, DisputeState.RESOLVED),
        (TransactionType.CHARGEBACK, DisputeState.CHARGED_BACK),
    )
}
_UNREADABLE = {int(each) for each in Outcome if each.phase is Phase.DECODE}
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_US_MAX = 253_402_300_799_999_999
"""The end of the year 9999."""
_ESCAPES = str.maketrans({"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"})
NULL = r"\N"
"""What is not there, in a line for ``COPY``."""


class FollowedStream(NamedTuple):
    """What the table says of a stream."""

    rows: int
    stopped: str | None
    sequence: int
    time: datetime


class _Stretch(NamedTuple):
    """Rows of an entry that belong to one stream, or to none."""

    start: int
    stop: int
    position: int
    """How many rows of the stream were decided before."""
    stream: str | None
    time: str


class FollowedRows:
    """Gathers entries.

    Args:
        decimals: How many decimals amounts have.
        widths: How ids are kept in the tables.
    """

    def __init__(self, decimals: int, widths: IdWidths) -> None:
        self._decimals = decimals
        self._deposit = make_encoder(_NAMES[_DEPOSIT], decimals, widths)
        self._withdrawal = make_encoder(_NAMES[_WITHDRAWAL], decimals, widths)
        self.transactions: list[bytes] = []
        """New rows of ``transactions``, in the binary form of ``COPY``."""
        self.rejects: list[str] = []
        """New rows of ``rejects``, as lines of its text."""
        self.available: defaultdict[int, int] = defaultdict(int)
        """By how many units each client's available balance grows by deposits and withdrawals; all that must have an account."""
        self.dispute_states: dict[tuple[int, int], str] = {}
        """What becomes of transactions, by id and client."""
        self.dispute_rows: Counter[tuple[int, int, int]] = Counter()
        """How many disputes, resolves and chargebacks were applied, by type, id and client."""
        self.locks: dict[int, bool] = {}
        """Clients whose accounts are locked or not any more."""
        self.streams: dict[str, FollowedStream] = {}

    def add(self, entry: Entry, rows: EntryRows | None) -> None:
        """Take the next entry."""
        if rows is not None:
            self._add_rows(entry, rows)
        elif entry.kind is EntryKind.UNLOCK and entry.sections.note is not None:
            self.locks[entry.sections.note.client] = False

    def _add_rows(self, entry: Entry, rows: EntryRows) -> None:
        time = time_of(entry.time_us)
        segments = entry.sections.segments
        begins = [each.first_row for each in segments] + [entry.count]
        self._add_stretch(entry, rows, _Stretch(0, begins[0], 0, None, time.isoformat()))
        for number, segment in enumerate(segments):
            start, stop = begins[number], begins[number + 1]
            name = None if segment.stream is None else shown_name(segment.stream)
            self._add_stretch(entry, rows, _Stretch(start, stop, segment.position, name, time.isoformat()))
            if name is not None:
                stopped = Outcome(segment.stopped).name if segment.stopped else None
                self.streams[name] = FollowedStream(segment.position + stop - start, stopped, entry.end, time)

    def _add_stretch(self, entry: Entry, rows: EntryRows, stretch: _Stretch) -> None:
        start, stop = stretch.start, stretch.stop
        batch, available, deposit, withdrawal = rows.batch, self.available, self._deposit, self._withdrawal
        columns = (batch.types, batch.clients, batch.txs, batch.amounts, batch.outcomes)
        rows_of_columns = zip(*(column[start:stop].tolist() for column in columns), strict=True)
        added: list[bytes] = []
        for sequence, (type_, client, tx, units, outcome) in enumerate(
            rows_of_columns, entry.sequence + start + 1
        ):
            if outcome != _APPLIED:
                self._refuse(sequence, entry.sequence, stretch, (type_, client, tx, units, outcome))
            elif type_ == _DEPOSIT:
                added.append(deposit(tx, client, units, sequence))
                available[client] += units
            elif type_ == _WITHDRAWAL:
                added.append(withdrawal(tx, client, units, sequence))
                available[client] -= units
            else:
                self.dispute_states[tx, client] = _DISPUTES[type_]
                self.dispute_rows[type_, tx, client] += 1
                if type_ == _CHARGEBACK:
                    self.locks[client] = True
        if added:
            tail = encode_tail(min(entry.time_us, _TIME_US_MAX), stretch.stream)
            self.transactions += (tail.join(added), tail)

    def _refuse(
        self, sequence: int, entry_sequence: int, stretch: _Stretch, row: tuple[int, int, int, int, int]
    ) -> None:
        type_, client, tx, units, outcome = row
        fields = [str(sequence), stretch.time, NULL, NULL]
        if stretch.stream is not None:
            number = stretch.position + sequence - entry_sequence - stretch.start
            fields[2:] = stretch.stream.translate(_ESCAPES), str(number)
        if outcome in _UNREADABLE:
            fields += [NULL] * 4
        else:
            is_transfer = type_ in {_DEPOSIT, _WITHDRAWAL}
            amount = format_units(units, self._decimals) if is_transfer else NULL
            fields += [_NAMES[type_], str(client), str(tx), amount]
            if is_transfer:
                # An account comes into being also with a transfer that is refused.
                self.available[client] += 0
        fields.append(Outcome(outcome).name)
        self.rejects.append("\t".join(fields) + "\n")

    def account_changes(self, transfers: Iterable[tuple[int, int, str, int]]) -> dict[int, list[int]]:
        """Give by how many units the available and held balances of clients grow; see SEMANTICS, the five transactions.

        Args:
            transfers: Id, client, type and units of every transaction in :attr:`dispute_states`.
        """
        changes = {client: [units, 0] for client, units in self.available.items()}
        for tx, client, type_, units in transfers:
            disputes, resolves, chargebacks = (self.dispute_rows[each, tx, client] for each in _DISPUTES)
            change = changes.setdefault(client, [0, 0])
            change[0] += units * (resolves - disputes if type_ == "deposit" else chargebacks)
            change[1] += units * (disputes - resolves - chargebacks)
        return changes


def time_of(time_us: int) -> datetime:
    """Give a time as PostgreSQL takes it; what is later than 9999 is the end of that year."""
    return _EPOCH + timedelta(microseconds=min(time_us, _TIME_US_MAX))


def shown_name(stream: str) -> str:
    """Give a stream's name as PostgreSQL takes it: it has no NUL in its texts, so the picture of one is in its place."""
    return stream.replace("\0", "\N{SYMBOL FOR NULL}")
