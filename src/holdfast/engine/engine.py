"""The engine: a ledger under one set of rules, fed from Python or from files."""

from __future__ import annotations

from _thread import allocate_lock

from holdfast.domain.outcome import Outcome
from holdfast.domain.settings import (
    BATCH_ROWS_DEFAULT,
    CLIENT_BITS_DEFAULT,
    DECIMALS_DEFAULT,
    ROW_BYTES_DEFAULT,
    TX_BITS_DEFAULT,
    make_settings,
)
from holdfast.engine.accounts import Accounts
from holdfast.engine.pipeline import decoder_threads, read_batches
from holdfast.engine.policy import CompiledPolicy, ErrorPolicy
from holdfast.engine.run import Run
from holdfast.io.compression import InputStream, open_source
from holdfast.io.raw import InputError
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.kernel.ledger.ledger import Ledger

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable

    from holdfast.domain.account import Account
    from holdfast.domain.rules import Rules
    from holdfast.domain.transaction import Transaction
    from holdfast.engine.report import Report
    from holdfast.io.raw import Source
    from holdfast.io.rejects import RejectWriter
    from holdfast.kernel.batch import _ColumnSource as ColumnSource
    from holdfast.kernel.tally import Tally


class Engine:
    """Folds transactions into client accounts, exactly.

    One writer at a time: calls that apply rows exclude each other, batch by batch. Looking at accounts from another thread never
    waits for longer than one batch.

    Args:
        rules: The name of a profile (``standard``, ``cards``), the path of a .toml file, or :class:`Rules`.
        decimals: How many decimals an amount keeps, 0 to 9.
        client_bits: How wide client ids are: 16, 32 or 64.
        tx_bits: How wide transaction ids are: 16, 32 or 64.
        row_bytes_max: How long a row of an input may be without its line end.
        batch_rows: How many rows are decoded and applied at a time.
        huge_pages: Whether to ask the system for memory two megabytes at a time: less time in all, slower single batches.

    Raises:
        RulesError: If there are no such rules.
        ValueError: For a setting out of range.
        OSError: If the rules file cannot be read.
    """

    def __init__(
        self,
        rules: str | Rules = "standard",
        *,
        decimals: int = DECIMALS_DEFAULT,
        client_bits: int = CLIENT_BITS_DEFAULT,
        tx_bits: int = TX_BITS_DEFAULT,
        row_bytes_max: int = ROW_BYTES_DEFAULT,
        batch_rows: int = BATCH_ROWS_DEFAULT,
        huge_pages: bool = False,
    ) -> None:
        self.settings = make_settings(
            rules,
            decimals=decimals,
            client_bits=client_bits,
            tx_bits=tx_bits,
            row_bytes_max=row_bytes_max,
            batch_rows=batch_rows,
        )
        self.ledger = Ledger(self.settings, huge_pages=huge_pages)
        # Rows that were refused before they came to the ledger.
        self._unreadable = 0
        self._lock = allocate_lock()

    @property
    def sequence(self) -> int:
        """How many rows were decided since the engine was made: what names a point in time."""
        return self.ledger.decided + self._unreadable

    def apply(self, transaction: Transaction) -> Outcome:
        """Apply one transaction.

        Returns:
            What became of it; a transaction that is malformed or refused is an outcome, never an exception.
        """
        if not 0 <= transaction.client <= self.settings.client_max:
            return self._decided(Outcome.INVALID_CLIENT)
        if not 0 <= transaction.tx <= self.settings.tx_max:
            return self._decided(Outcome.INVALID_TX)
        units = 0
        amount = getattr(transaction, "amount", None)
        if amount is not None:
            from holdfast.domain.amount import AmountError, units_from  # noqa: PLC0415  # decimal: files do without

            try:
                units = units_from(amount, self.settings.decimals, self.settings.rules.excess_decimals)
            except AmountError as error:
                return self._decided(error.outcome)
        with self._lock:
            code = self.ledger.apply_one(transaction.type, transaction.client, transaction.tx, units)
        return Outcome(code)

    def apply_batch(
        self, types: ColumnSource, clients: ColumnSource, txs: ColumnSource, amounts: ColumnSource
    ) -> bytes:
        """Apply rows given as columns, in order; 64-bit columns are not copied.

        Args:
            types: uint8 :class:`TransactionType` numbers, shape (rows,).
            clients: uint64 or int64 client ids, shape (rows,).
            txs: uint64 or int64 transaction ids, shape (rows,).
            amounts: int64 units, shape (rows,); not looked at for disputes, resolves and chargebacks.

        Returns:
            One outcome code per row.

        Raises:
            TypeError: If a column is not a contiguous one-dimensional buffer of such integers.
            ValueError: If the columns have different lengths.
        """
        batch = Batch.from_columns(types, clients, txs, amounts)
        step = self.settings.batch_rows
        for start in range(0, batch.rows, step):
            with self._lock:
                self.ledger.apply(batch, start, min(start + step, batch.rows))
        return bytes(batch.outcomes)

    def process(
        self,
        source: Source | InputStream,
        *more: Source | InputStream,
        policy: ErrorPolicy | None = None,
        rejects: RejectWriter | None = None,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> Report:
        """Apply CSV inputs, one after the other.

        Args:
            source: A path, bytes, a binary file object, or an iterable of bytes; compressed input is recognised.
            more: Further inputs, each with its own header.
            policy: What to do about rows that are not applied; they are skipped if not given.
            rejects: Where to list them.
            on_progress: Called between batches, and every 50 ms while there is nothing to do, with rows decided, rows not applied
                and input bytes read. What it raises ends the run between two batches.

        Returns:
            What became of the rows.

        Raises:
            PolicyAbort: If the policy stopped the run; its ``report`` says what was done.
            InputError: If an input has no usable header, or is compressed and corrupt.
            OSError: If an input cannot be read.
            TypeError: If a source is none of these.
        """
        return self.process_each((source, *more), policy=policy, rejects=rejects, on_progress=on_progress)

    def process_each(
        self,
        sources: Iterable[Source | InputStream],
        *,
        policy: ErrorPolicy | None = None,
        rejects: RejectWriter | None = None,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> Report:
        """Apply CSV inputs as :meth:`process` does; each is asked for when the one before it is done."""
        run = Run(self, CompiledPolicy(policy or ErrorPolicy()), rejects, on_progress)
        return run.process(each if isinstance(each, InputStream) else open_source(each) for each in sources)

    def account(self, client: int) -> Account:
        """Look a client's account up as it is now.

        Raises:
            KeyError: If the client has none.
        """
        from holdfast.domain.account import Account  # noqa: PLC0415  # dataclasses are slow to import; the command needs none

        found = self.find_balances(client)
        if found is None:
            raise KeyError(client)
        return Account(client, *found, self.settings.decimals)

    def find_balances(self, client: int) -> tuple[int, int, bool] | None:
        """Give a client's available and held units and whether the account is locked; None if there is no account."""
        if not 0 <= client <= self.settings.client_max:
            return None
        with self._lock:
            return self.ledger.account(client)

    def accounts(self) -> Accounts:
        """Take an image of all accounts: a point in time, not a copy, unchanged by what is applied later."""
        with self._lock:
            return Accounts(self.ledger.image(), self.settings.decimals, self.sequence)

    def read(
        self, stream: InputStream, *, keep_source: bool, on_wait: Callable[[], None] | None = None
    ) -> Generator[Batch]:
        """Decode an input with this engine's settings, ahead of whoever takes the batches.

        Raises:
            InputError: If it has no usable header, or is compressed and corrupt.
            OSError: If it cannot be read.
        """
        try:
            yield from read_batches(
                stream, self.new_decoder(keep_source=keep_source), decoder_threads(), on_wait
            )
        except HeaderError as error:
            raise InputError(stream.name, str(error)) from error

    def new_decoder(self, *, keep_source: bool) -> CsvDecoder:
        """Make a decoder with this engine's settings."""
        return CsvDecoder(self.settings, keep_source=keep_source)

    def apply_rows(self, batch: Batch, start: int, tally: Tally, stop: int = -1) -> int:
        """Apply rows of a batch under a policy's tally; give the first row that was not decided."""
        with self._lock:
            return self.ledger.apply(batch, start, stop, tally)

    def _decided(self, outcome: Outcome) -> Outcome:
        with self._lock:
            self._unreadable += 1
        return outcome
