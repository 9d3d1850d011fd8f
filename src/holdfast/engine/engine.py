"""The engine: a ledger under one set of rules, fed from Python or from files."""

from __future__ import annotations

import os
from operator import index

from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import find_name
from holdfast.domain.settings import (
    BATCH_ROWS_DEFAULT,
    CLIENT_BITS_DEFAULT,
    DECIMALS_DEFAULT,
    ROW_BYTES_DEFAULT,
    TX_BITS_DEFAULT,
    make_settings,
)
from holdfast.engine.accounts import Accounts
from holdfast.engine.policy import CompiledPolicy, ErrorPolicy
from holdfast.engine.run import Run
from holdfast.engine.totals import Totals
from holdfast.io.formats.inputs import open_any
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.tally import Tally

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import Literal

    from holdfast.domain.account import Account
    from holdfast.domain.dialect import Dialect
    from holdfast.domain.rules import Rules
    from holdfast.domain.transaction import Transaction
    from holdfast.engine.report import Report
    from holdfast.engine.streams import KnownStream
    from holdfast.io.compression import InputStream
    from holdfast.io.input_types import ArrowTable, Input
    from holdfast.io.rejects import RejectWriter
    from holdfast.kernel.batch import _ColumnSource as ColumnSource
    from holdfast.kernel.inlet import Decide
    from holdfast.kernel.ledger.paged_state import Recorder


class Engine:
    """Folds transactions into client accounts, exactly.

    Every row goes through :attr:`decide`, in one total order. An engine is safe to use from several threads: one thread at a
    time decides or looks at accounts, and the others wait for one batch at most. Code that runs while the same thread decides (a
    recorder, a ``__del__``) gets a RuntimeError instead of waiting for itself.

    Args:
        rules: The name of a profile (``standard``, ``cards``), the path of a .toml file, or :class:`Rules`.
        decimals: How many decimals an amount keeps, 0 to 9.
        client_bits: How wide client ids are: 16, 32 or 64.
        tx_bits: How wide transaction ids are: 16, 32 or 64.
        row_bytes_max: How long a row of an input may be without its line end.
        batch_rows: How many rows are decoded and applied at a time.
        huge_pages: Whether to ask the system for memory two megabytes at a time: faster in all, but single batches are slower.

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
        self._ledger = LedgerCore(self.settings, huge_pages=huge_pages)
        self.decide: Decide = self._ledger.decide
        """The one way in: ``decide(batch, start, stop, tally, stream, position)`` decides rows of a batch.

        It is an attribute, the ledger's own method, so that no call comes between: to see every row, set :attr:`recorder`; a
        subclass that wants to stand between sets the attribute.
        """

    @classmethod
    def load(
        cls,
        path: str | os.PathLike[str],
        *,
        batch_rows: int = BATCH_ROWS_DEFAULT,
        huge_pages: bool = False,
    ) -> Engine:
        """Make an engine of a state that :meth:`save` has written: rules, widths, accounts, transactions, disputes.

        Args:
            path: The file.
            batch_rows: How many rows are decoded and applied at a time.
            huge_pages: As for a new engine.

        Raises:
            InputError: If it is no saved state, or a damaged one.
            OSError: If it cannot be read.
        """
        from holdfast.engine.state_file import load_state  # noqa: PLC0415  # most engines begin with nothing

        core = load_state(path, batch_rows=batch_rows, huge_pages=huge_pages)
        engine = cls.__new__(cls)
        engine.settings = core.settings
        engine._ledger = core  # noqa: SLF001  # its own class
        engine.decide = core.decide
        return engine

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the whole state to a file, which is there whole or not at all; :meth:`load` brings it back.

        Raises:
            OSError: If it cannot be written; an existing file is then unchanged.
        """
        from holdfast.engine.state_file import save_state  # noqa: PLC0415  # few engines are saved

        save_state(self._ledger, os.fsdecode(path))

    def __repr__(self) -> str:
        settings, ledger = self.settings, self._ledger
        return (
            f"<Engine: {ledger.decided} rows decided, {ledger.accounts} accounts; rules {find_name(settings.rules)}, "
            f"{settings.decimals} decimals, {settings.client_bits}-bit clients, {settings.tx_bits}-bit txs>"
        )

    @property
    def decided(self) -> int:
        """How many rows the engine has decided since it was made. This number names a point in time."""
        return self._ledger.decided

    @property
    def durable(self) -> int:
        """How many of them a crash would not lose. Without a journal there is nothing to wait for: it is :attr:`decided`."""
        return self._ledger.recorded

    @property
    def recorder(self) -> Recorder | None:
        """Gets every decided stretch of rows before the caller hears of it; see :class:`LedgerCore`. None at first."""
        return self._ledger.recorder

    @recorder.setter
    def recorder(self, recorder: Recorder | None) -> None:
        self._ledger.recorder = recorder

    @property
    def failure(self) -> BaseException | None:
        """Why nothing is decided any more: always None, since there is no journal that could fail."""
        return None

    @property
    def decide_present(self) -> None:
        """None: everything is in memory."""
        return None

    def wanted_pages(self, batch: Batch, start: int, stop: int) -> list[int]:  # noqa: ARG002  # nothing is ever wanted
        """List nothing: everything is in memory."""
        return []

    def load_pages(self, pages: Sequence[int]) -> None:
        """Do nothing: everything is in memory."""

    @property
    def is_congested(self) -> bool:
        """Whether rows should wait: never, since there is no journal that could be slow."""
        return False

    def find_stream(self, name: str) -> KnownStream | None:  # noqa: ARG002  # this engine remembers no streams
        """Give the position of a named stream: always None, since the engine remembers none."""
        return None

    def on_durable(self, callback: Callable[[], None], *, leads: bool = False) -> Callable[[], None]:  # noqa: ARG002  # there is nothing to tell
        """Never call a function: there is no journal, and rows are durable when they are decided."""
        return _do_nothing

    def commit_now(self) -> None:
        """Return at once, for the same reason."""

    def wait_durable(self) -> bool:
        """Return at once, for the same reason."""
        return True

    def wait_for_room(self) -> None:
        """Return at once, for the same reason."""

    def totals(self) -> Totals:
        """Count accounts, transactions and rows."""
        return Totals(*self._ledger.counts(), self._ledger.memory_bytes)

    def apply(self, transaction: Transaction) -> Outcome:
        """Apply one transaction.

        Returns:
            Its outcome; a malformed or refused transaction is an outcome, never an exception.

        Raises:
            TypeError: If it is not a transaction.
        """
        from holdfast.engine.rows import to_row  # noqa: PLC0415  # slow to import; files do without

        batch = Batch.from_rows([to_row(transaction, self.settings)])
        self.decide(batch, 0, 1, None, None, 0)
        return Outcome(batch.outcome(0))

    def apply_batch(
        self, types: ColumnSource, clients: ColumnSource, txs: ColumnSource, amounts: ColumnSource
    ) -> bytes:
        """Apply rows given as columns, in order; 64-bit columns are not copied.

        Args:
            types: uint8 :class:`TransactionType` numbers, shape (rows,).
            clients: uint64 or int64 client ids, shape (rows,).
            txs: uint64 or int64 transaction ids, shape (rows,).
            amounts: int64 units, shape (rows,); ignored for disputes, resolves and chargebacks.

        Returns:
            One outcome code per row.

        Raises:
            TypeError: If a column is not a contiguous one-dimensional buffer of such integers.
            ValueError: If the columns have different lengths.
        """
        batch = Batch.from_columns(types, clients, txs, amounts)
        step = self.settings.batch_rows
        tally = Tally()
        for start in range(0, batch.rows, step):
            self.decide(batch, start, min(start + step, batch.rows), tally, None, 0)
        return bytes(batch.outcomes)

    def process(
        self,
        source: Input | ArrowTable | InputStream,
        *more: Input | ArrowTable | InputStream,
        columns: Mapping[str, str] | None = None,
        amounts: str | None = None,
        format: str | None = None,  # noqa: A002  # its name wherever a format is said
        dialect: Dialect | None = None,
        policy: ErrorPolicy | None = None,
        rejects: RejectWriter | Literal["table"] | None = None,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> Report:
        """Apply inputs, CSV, NDJSON or tables, one after the other.

        Args:
            source: A path, bytes, a binary file object, or an iterable of bytes; compressed input is recognised. Or a table of
                Polars, pandas, pyarrow, DuckDB or any other library that speaks the Arrow PyCapsule interface.
            more: Further inputs, each with its own header or columns.
            columns: For tables, which column is the type, client, tx or amount, by name, where it is named otherwise.
            amounts: For tables, ``units`` says that integer amounts count units: 15000 is 1.5000 with four decimals.
            format: ``csv`` or ``ndjson``; by default the suffix of each input's name or its first bytes tell.
            dialect: How inputs of text are written; see :class:`Dialect`. None for plain ones.
            policy: What to do about rows that are not applied; by default they are skipped.
            rejects: Where to list them; ``table`` makes a table of them, which the report has as ``rejects``.
            on_progress: Called between batches, and every 50 ms while there is nothing to do, with rows decided, rows not applied
                and input bytes read. An exception in it ends the run between two batches.

        Returns:
            Counts of the rows, and of what the engine holds.

        Raises:
            PolicyAbort: If the policy stopped the run; its ``report`` has the counts so far.
            InputError: If an input has no usable header, is compressed and corrupt, or a table lacks a column or fails.
            OSError: If an input cannot be read.
            TypeError: If a source is none of these, or a column of a table is of a type that is not taken.
            ValueError: If there is no such format.
        """
        return self.process_each(
            (source, *more),
            columns=columns,
            amounts=amounts,
            format=format,
            dialect=dialect,
            policy=policy,
            rejects=rejects,
            on_progress=on_progress,
        )

    def process_each(
        self,
        sources: Iterable[Input | ArrowTable | InputStream],
        *,
        columns: Mapping[str, str] | None = None,
        amounts: str | None = None,
        format: str | None = None,  # noqa: A002  # its name wherever a format is said
        dialect: Dialect | None = None,
        policy: ErrorPolicy | None = None,
        rejects: RejectWriter | Literal["table"] | None = None,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> Report:
        """Apply inputs as :meth:`process` does; take each from the iterable after the one before it is done."""
        run = Run(
            self,
            CompiledPolicy(policy or ErrorPolicy()),
            rejects,
            on_progress,
            dialect=dialect,
            format=format,
        )
        return run.process(open_any(each, columns, amounts) for each in sources)

    def account(self, client: int) -> Account:
        """Look up a client's account as it is now.

        Raises:
            KeyError: If the client has none.
            TypeError: If the client is no integer.
        """
        from holdfast.domain.account import Account  # noqa: PLC0415  # dataclasses are slow to import; the command needs none

        client = index(client)
        found = self.find_balances(client)
        if found is None:
            raise KeyError(client)
        return Account(client, *found, self.settings.decimals)

    def find_balances(self, client: int) -> tuple[int, int, bool] | None:
        """Give a client's available units, held units and whether the account is locked; None if there is no account."""
        if not 0 <= client <= self.settings.client_max:
            return None
        return self._ledger.account(client)

    def accounts(self) -> Accounts:
        """Take an image of all accounts at this point in time, without a copy; later rows do not change it."""
        image = self._ledger.image()
        return Accounts(image, self.settings.decimals, image.sequence)

    def decided_accounts(self) -> Accounts:
        """Take an image of all accounts, as :meth:`accounts` does: there is no journal to wait for."""
        return self.accounts()

    def new_decoder(self, *, keep_source: bool) -> CsvDecoder:
        """Make a decoder with this engine's settings."""
        return CsvDecoder(self.settings, keep_source=keep_source)

    @property
    def records_origins(self) -> bool:
        """Whether it keeps where rows come from; without a journal it does not."""
        return False

    @property
    def spreads_sources(self) -> bool:
        """Whether a source's name decides which engine gets its rows; here it does not."""
        return False

    def engine_of(self, source_name: str) -> Engine:  # noqa: ARG002  # all rows go to this engine
        """Give the engine for the rows of a source."""
        return self


def _do_nothing() -> None:
    pass
