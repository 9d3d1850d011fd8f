"""What can be read of a ledger beside its writer: its journal, its checkpoints, its state at any point in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.engine.accounts import Accounts
from holdfast.storage.checkpoint_record import open_checkpoint
from holdfast.storage.creation import read_settings
from holdfast.storage.entry import WAYS_OUT, Chain
from holdfast.storage.explaining import explain_decision, find_sequence
from holdfast.storage.failures import LedgerError
from holdfast.storage.journal_rows import chained_entries, decisions_until, entries_with_rows
from holdfast.storage.ports import StoreDamagedError
from holdfast.storage.recovery import Recovery
from holdfast.storage.trail import Trail, trail_of_transaction
from holdfast.storage.verification import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import TracebackType
    from typing import Self

    from holdfast.domain.settings import Settings
    from holdfast.storage.explaining import Explanation
    from holdfast.storage.journal_rows import JournalRow
    from holdfast.storage.ports import CheckpointRecord, Store, StoreSizes
    from holdfast.storage.recovery import Recovered
    from holdfast.storage.trail import TrailRow
    from holdfast.storage.verification import Verified

    OnProgress = Callable[[int, int], None]


class LedgerInfo(NamedTuple):
    """What a ledger is and how large."""

    name: str
    ledger_id: str
    created: Settings
    """The settings with which it was made."""
    sequence: int
    """How many decisions it has made."""
    first_sequence: int
    """How many of these are in entries that were pruned."""
    last_time_us: int
    """When the last entry was made; 0 if there is none."""
    checkpoints: tuple[CheckpointRecord, ...]
    sizes: StoreSizes


class LedgerView:
    """Reads a ledger, which may be in use, and changes nothing.

    Args:
        store: The ledger's store.
        owns_store: Whether it is closed with the view.

    Raises:
        StoreError: If there is no ledger.
    """

    def __init__(self, store: Store, *, owns_store: bool = True) -> None:
        self._store = store
        self._owns_store = owns_store
        self._reader = store.reader()
        self.created = read_settings(store.name, self._reader)
        """The settings with which the ledger was made."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def name(self) -> str:
        """The path or the URL, without any password."""
        return self._store.name

    def info(self) -> LedgerInfo:
        """Tell what the ledger is and how large."""
        last = self._reader.last_entry()
        return LedgerInfo(
            self.name,
            (self._reader.meta("ledger") or b"").hex(),
            self.created,
            0 if last is None else last.sequence + last.count,
            self._reader.first_sequence(),
            0 if last is None else last.time_us,
            tuple(self._reader.checkpoints()),
            self._reader.sizes(),
        )

    def accounts(
        self,
        as_of: int | None = None,
        *,
        as_of_time_us: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> Accounts:
        """Give all accounts as they are, or as they were.

        Args:
            as_of: After this many decisions.
            as_of_time_us: After the last entry made at or before this time, in microseconds since 1970 (UTC).
            on_progress: Called with how many decisions are replayed and how many there are.

        Raises:
            LedgerError: If the ledger was not there yet, has not come so far, or does not keep what is needed.
        """
        if as_of_time_us is not None:
            as_of = decisions_until(self._reader, self.name, as_of_time_us)
        recovered = self.recover(as_of, on_progress)
        image = recovered.core.image()
        return Accounts(image, recovered.core.settings.decimals, image.sequence)

    def recover(self, as_of: int | None = None, on_progress: OnProgress | None = None) -> Recovered:
        """Bring the state of a point in time into memory.

        Raises:
            LedgerError: If the ledger has not come so far, or does not keep what is needed.
        """
        last = self._reader.last_entry()
        end = 0 if last is None else last.sequence + last.count
        if as_of is not None:
            if not 0 <= as_of <= end:
                raise LedgerError(f"{self.name} has made {end} decisions: there is no state after {as_of}")
            self._require_state(as_of)
        with self._reader.frozen():
            recovery = Recovery(self._reader, self.name, self.created, on_progress=on_progress)
            return recovery.run(until=as_of)

    def history(self, client: int, on_progress: OnProgress | None = None) -> Iterator[TrailRow]:
        """Give everything that touched a client's account or tried to, in order.

        Raises:
            LedgerError: If the first entries were pruned.
        """
        self._require_all()
        return Trail(client).follow(self._reader, self.name, on_progress)

    def transaction_rows(self, tx: int, on_progress: OnProgress | None = None) -> Iterator[JournalRow]:
        """Give every row that names a transaction, in order.

        Raises:
            LedgerError: If the first entries were pruned.
        """
        self._require_all()
        return trail_of_transaction(self._reader, self.name, tx, on_progress)

    def refused(
        self, stream: str | None = None, on_progress: OnProgress | None = None
    ) -> Iterator[JournalRow]:
        """Give every row that was not applied, in order; those of one stream if it is named."""
        for _, rows in entries_with_rows(
            self._reader, self.name, self._reader.first_sequence(), on_progress=on_progress
        ):
            for number in () if rows is None else rows.batch.refused_rows():
                row = rows.row(number)  # type: ignore[union-attr]  # there are none without rows
                if stream is None or row.stream == stream:
                    yield row

    def explain(
        self,
        sequence: int | None = None,
        *,
        stream: str | None = None,
        row: int = 0,
        on_progress: OnProgress | None = None,
    ) -> Explanation:
        """Say why one decision came out as it did: what it met, and what it did.

        Args:
            sequence: The decision's place in the order of all, the first being 1; or
            stream: the name of a stream, and
            row: the place of a row in it, the first being 1.
            on_progress: Called with how many decisions are replayed and how many there are.

        Raises:
            LedgerError: If there is no such decision, or what is needed was pruned.
        """
        with self._reader.frozen():
            if sequence is None:
                sequence = find_sequence(self._reader, self.name, stream or "", row)
            last = self._reader.last_entry()
            end = 0 if last is None else last.sequence + last.count
            if not self._reader.first_sequence() < sequence <= end:
                raise LedgerError(
                    f"{self.name}: decision {sequence:,} is none that the journal has: it has those from "
                    f"{self._reader.first_sequence() + 1:,} to {end:,}"
                )
            self._require_state(sequence - 1)
            recovery = Recovery(self._reader, self.name, self.created, on_progress=on_progress)
            return explain_decision(self._reader, self.name, sequence, recovery.run(until=sequence - 1))

    def settings(self) -> Settings:
        """Give the settings in force after the last entry."""
        found, chain = self.created, None
        newest = self._reader.checkpoints()[:1]
        for record in newest:
            try:
                state = open_checkpoint(record)
            except ValueError as error:
                raise StoreDamagedError(
                    f"{self.name}: checkpoint {record.number} (decision {record.sequence}) is damaged: {error}; {WAYS_OUT}"
                ) from error
            found = state.settings._replace(batch_rows=found.batch_rows)
            chain = Chain(self.name, state.sequence, state.last_hash)
        for entry in chained_entries(self._reader, self.name, chain.sequence if chain else 0, chain):
            if entry.sections.settings is not None:
                found = entry.sections.settings
        return found

    def verify(self, on_progress: OnProgress | None = None) -> Verified:
        """Check that everything is what was written; see :func:`verification.verify`."""
        with self._reader.frozen():
            return verify(self._reader, self.name, self.created, on_progress)

    def close(self) -> None:
        """Give everything back."""
        self._reader.close()
        if self._owns_store:
            self._store.close()

    def _require_state(self, sequence: int) -> None:
        first = self._reader.first_sequence()
        if first > 0 and not any(each.sequence <= sequence for each in self._reader.checkpoints()):
            raise LedgerError(
                f"{self.name}: the state after decision {sequence} cannot be told: entries before decision {first + 1} were "
                "pruned, and the oldest checkpoint is later"
            )

    def _require_all(self) -> None:
        first = self._reader.first_sequence()
        if first > 0:
            raise LedgerError(
                f"{self.name}: a history needs all entries, and those before decision {first + 1} were pruned"
            )
