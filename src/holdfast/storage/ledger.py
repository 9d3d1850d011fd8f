"""The durable ledger: an engine whose memory survives."""

from __future__ import annotations

import os
import time
from operator import index
from typing import TYPE_CHECKING

from holdfast.domain.account import Account
from holdfast.domain.origin import Actor, Origin, RequestKey
from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import Rules, find_rules
from holdfast.domain.settings import check_settings
from holdfast.engine.message_run import MessageRun
from holdfast.engine.policy import CompiledPolicy, ErrorPolicy
from holdfast.engine.rows import fingerprint_of, to_row
from holdfast.engine.run import Run
from holdfast.io.formats.inputs import open_any
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import Tally
from holdfast.storage.atomic import AtomicLoad
from holdfast.storage.checkpointing import CHECKPOINTS_KEPT_DEFAULT
from holdfast.storage.creation import SETTINGS_AT_CREATION, settings_of_new
from holdfast.storage.durability import parse_durability
from holdfast.storage.durable_engine import DISK_BYTES_MIN_DEFAULT, RAW_BYTES_DEFAULT, DurableEngine
from holdfast.storage.failures import LedgerError
from holdfast.storage.opening import recover_ledger
from holdfast.storage.sections import Note
from holdfast.storage.stores import open_store
from holdfast.storage.transaction import LedgerTransaction
from holdfast.storage.view import LedgerView

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Literal, Self

    from holdfast.domain.dialect import Dialect
    from holdfast.domain.transaction import Transaction
    from holdfast.engine.accounts import Accounts
    from holdfast.engine.message_run import SourceMessages
    from holdfast.engine.report import Report
    from holdfast.engine.rows import Row
    from holdfast.io.compression import InputStream
    from holdfast.io.input_types import ArrowTable, Input
    from holdfast.io.rejects import RejectWriter
    from holdfast.kernel.batch import _ColumnSource as ColumnSource
    from holdfast.storage.ports import Store
    from holdfast.storage.trail import TrailRow
    from holdfast.storage.verification import Verified

_CHECKPOINT_POLL_SECONDS = 0.005


class Ledger(DurableEngine):
    """A ledger that keeps what it decides: in one file, or in PostgreSQL. :meth:`open` makes one.

    It has the whole interface of :class:`Engine` and is used in its place. Whatever leaves it as a promise is durable: ``apply``
    returns when its row is, ``process`` returns when all rows are, and what is read is answered once the state that was read is.
    It is safe to use from several threads; all that arrives while the disk works shares one sync.

    A ledger belongs to the process that opened it: a child that is forked off gets an error. Close it, or use it as a context
    manager; what is not closed is recovered when it is opened next.
    """

    @classmethod
    def open(
        cls,
        location: str | os.PathLike[str] | Store,
        *,
        read_only: bool = False,
        rules: str | Rules | None = None,
        decimals: int | None = None,
        client_bits: int | None = None,
        tx_bits: int | None = None,
        row_bytes_max: int | None = None,
        batch_rows: int | None = None,
        durability: str = "always",
        memory_bytes_max: int | None = None,
        raw_bytes_max: int = RAW_BYTES_DEFAULT,
        checkpoints_keep: int = CHECKPOINTS_KEPT_DEFAULT,
        disk_bytes_min: int = DISK_BYTES_MIN_DEFAULT,
        checkpoint: int | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Open a ledger, and make it if there is none.

        Args:
            location: The path of a file, a ``postgresql://`` URL, or a store.
            read_only: Look at the state as it is now, beside the process that writes; nothing is made or changed.
            rules: As for :class:`Engine`, when the ledger is made; otherwise they have to agree with the ledger's.
            decimals: The same.
            client_bits: The same.
            tx_bits: The same.
            row_bytes_max: The same.
            batch_rows: How many rows are decided at a time.
            durability: ``always``, ``interval:MS`` or ``none``: when the disk is asked; see :class:`Durability`.
            memory_bytes_max: How much memory it may take; accounts, and transactions with scattered ids, stay in any case.
            raw_bytes_max: How many bytes of the text of rows that could not be decoded an entry keeps; 0: nor addresses.
            checkpoints_keep: How many checkpoints stay.
            disk_bytes_min: With less room than this on the file's disk, rows get a :class:`LedgerFullError`; 0: never.
            checkpoint: Recover from this checkpoint or an older one; 0 replays all entries.
            on_progress: Called while entries are replayed, with how many decisions are done and how many there are.

        Raises:
            StoreBusyError: If another process writes to it.
            StoreDamagedError: If an entry or a page is not what was written; the message names it and the ways out.
            StoreError: If it cannot be opened for another reason.
            LedgerSettingsError: If it has other settings than those given.
            ReplayDiffersError: If the replay does not come to the journaled outcomes.
        """
        when = parse_durability(durability)
        wanted = dict(
            zip(SETTINGS_AT_CREATION, (rules, decimals, client_bits, tx_bits, row_bytes_max), strict=True)
        )
        settings_of_new(wanted, batch_rows)  # what cannot be meant makes no file
        store = (
            open_store(location, read_only=read_only) if isinstance(location, str | os.PathLike) else location
        )
        try:
            recovered = recover_ledger(
                store, wanted, batch_rows, checkpoint, memory_bytes_max, on_progress, read_only
            )
            return cls(
                store,
                recovered,
                durability=when,
                memory_bytes_max=memory_bytes_max,
                raw_bytes_max=raw_bytes_max,
                checkpoints_keep=checkpoints_keep,
                disk_bytes_min=disk_bytes_min,
                is_read_only=read_only,
            )
        except BaseException:
            store.close()
            raise

    def __repr__(self) -> str:
        if self._is_foreign:
            return f"<Ledger {self.name}, of another process>"
        return f"<Ledger {self.name}: {self.decided} decisions, {self.durable} durable, {self._core.accounts} accounts>"

    # --- rows in ---

    def apply(
        self, transaction: Transaction, *, actor: str = "", idempotency_key: str | None = None
    ) -> Outcome:
        """Apply one transaction, and return when that is durable.

        Args:
            transaction: The transaction.
            actor: Who sends it; the journal keeps that.
            idempotency_key: What tells this request from others. If it comes again with the same transaction, it gets the first
                outcome and nothing is decided; that holds for the last 65,536 keys at least, and for 24 hours.

        Returns:
            Its outcome; a malformed or refused transaction is an outcome, never an exception.

        Raises:
            TypeError: If it is not a transaction.
            ValueError: If nobody can have such a name, or it is no key.
            KeyReusedError: If the key came with another transaction before; nothing is decided.
            LedgerError: If the ledger has stopped, is closed, or is open to read only.
        """
        outcome, sequence = self._apply(transaction, actor, idempotency_key)
        self.wait_durable(sequence)
        return outcome

    async def apply_async(
        self, transaction: Transaction, *, actor: str = "", idempotency_key: str | None = None
    ) -> Outcome:
        """Apply one transaction as :meth:`apply` does, without blocking the event loop."""
        outcome, sequence = self._apply(transaction, actor, idempotency_key)
        await self.wait_durable_async(sequence)
        return outcome

    def apply_batch(
        self, types: ColumnSource, clients: ColumnSource, txs: ColumnSource, amounts: ColumnSource
    ) -> bytes:
        """Apply rows given as columns, as :meth:`Engine.apply_batch` does, and return when they are durable."""
        batch = Batch.from_columns(types, clients, txs, amounts)
        step = self.settings.batch_rows
        tally = Tally()
        for start in range(0, batch.rows, step):
            self.wait_for_room()
            self.decide(batch, start, min(start + step, batch.rows), tally, None, 0)
        self.wait_durable()
        return bytes(batch.outcomes)

    def process(
        self,
        source: Input | ArrowTable | InputStream,
        *more: Input | ArrowTable | InputStream,
        stream: str | None = None,
        messages: SourceMessages | None = None,
        actor: str = "",
        columns: Mapping[str, str] | None = None,
        amounts: str | None = None,
        format: str | None = None,  # noqa: A002  # its name wherever a format is said
        dialect: Dialect | None = None,
        policy: ErrorPolicy | None = None,
        rejects: RejectWriter | Literal["table"] | None = None,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> Report:
        """Apply inputs, CSV, NDJSON or tables, one after the other, and return when all of their rows are durable.

        Args:
            source: A path, bytes, a binary file object, an iterable of bytes, or a table: as for :meth:`Engine.process`.
            more: Further inputs, each with its own header or columns.
            stream: The name of the stream that these inputs are. Rows of it that are decided already are skipped, after they were
                compared: ``report.skipped`` counts them. Without a name, inputs that come again are decided again.
            messages: Which messages of a broker's partition the inputs are. The journal keeps how far the partition is, row by
                row (:meth:`source_position`), so what was decided of them is left out when they come again.
            actor: Who sends them; the journal keeps that.
            columns: As for :meth:`Engine.process`.
            amounts: As for :meth:`Engine.process`.
            format: As for :meth:`Engine.process`.
            dialect: As for :meth:`Engine.process`.
            policy: What to do about rows that are not applied; by default they are skipped.
            rejects: Where to list them; ``table`` makes a table of them, which the report has as ``rejects``.
            on_progress: As for :meth:`Engine.process`.

        Raises:
            PolicyAbort: If the policy stopped the run, now or when the stream was processed before.
            StreamChangedError: If the inputs are not those whose rows were decided under this name.
            StreamBusyError: If somebody else brings rows of this stream now.
            SourceBusyError: If somebody else brings rows of this partition now.
            MessageChangedError: If a message has fewer rows than were decided of it.
            ValueError: If there is not an offset for each input, or they do not grow, or a stream is named as well.
            InputError: If an input has no usable header, is compressed and corrupt, or a table lacks a column or fails.
            OSError: If an input cannot be read.
            LedgerError: If the ledger has stopped, is closed, or is open to read only.
        """
        inputs = (source, *more)
        if messages is None:
            return self.process_each(
                inputs,
                stream=stream,
                actor=actor,
                columns=columns,
                amounts=amounts,
                format=format,
                dialect=dialect,
                policy=policy,
                rejects=rejects,
                on_progress=on_progress,
            )
        if stream is not None or len(messages.offsets) != len(inputs):
            raise ValueError("messages of a partition have an offset for each input, and belong to no stream")
        self._check_writable()
        with self.claim_source(messages.topic, messages.partition):
            followed = MessageRun(messages, self.source_position(messages.topic, messages.partition))
            run = Run(
                self,
                _compiled(policy),
                rejects,
                on_progress,
                dialect=dialect,
                actor=_actor(actor),
                format=format,
                messages=followed,
            )
            return run.process(open_any(each, columns, amounts) for each in inputs[followed.first :])

    def process_each(
        self,
        sources: Iterable[Input | ArrowTable | InputStream],
        *,
        stream: str | None = None,
        actor: str = "",
        columns: Mapping[str, str] | None = None,
        amounts: str | None = None,
        format: str | None = None,  # noqa: A002  # its name wherever a format is said
        dialect: Dialect | None = None,
        policy: ErrorPolicy | None = None,
        rejects: RejectWriter | Literal["table"] | None = None,
        on_progress: Callable[[int, int, int], None] | None = None,
    ) -> Report:
        """Apply inputs as :meth:`process` does; take each from the iterable after the one before it is done."""
        self._check_writable()
        with self.claim_stream(stream):
            run = Run(
                self,
                _compiled(policy),
                rejects,
                on_progress,
                dialect=dialect,
                stream=stream,
                actor=_actor(actor),
                format=format,
            )
            return run.process(open_any(each, columns, amounts) for each in sources)

    def atomic(self) -> AtomicLoad:
        """Make everything that is decided within a ``with`` block durable together, or nothing of it.

        Nothing else may decide rows meanwhile. After an exception, or if ``is_kept`` of what the block gets is set to False, the
        ledger is as it was before, with a note of it in the journal.
        """
        return AtomicLoad(self)

    def _apply(self, transaction: Transaction, actor: str, key: str | None) -> tuple[Outcome, int]:
        row = to_row(transaction, self.settings)
        if key is not None:
            request = RequestKey(key, fingerprint_of(transaction, row))
            origin = Origin(actor=_actor(actor), request=request)
            self._check_writable()
            with self._remembered.requests.claimed(request) as known:
                if known is not None:
                    return Outcome(known.outcomes[0]), known.decided_at
                return self._decide_row(row, origin)
        return self._decide_row(row, Origin(actor=Actor(actor)) if actor else None)

    def _decide_row(self, row: Row, origin: Origin | None) -> tuple[Outcome, int]:
        batch = Batch.from_rows([row])
        self.decide(batch, 0, 1, None, origin, 0)
        return Outcome(batch.outcome(0)), self._core.decided

    # --- looking ---

    def account(self, client: int) -> Account:
        """Look up a client's account as it is now, once that is durable.

        Raises:
            KeyError: If the client has none.
            TypeError: If the client is no integer.
        """
        client = index(client)
        found = self.find_balances(client)
        self.wait_durable()
        if found is None:
            raise KeyError(client)
        return Account(client, *found, self.settings.decimals)

    def accounts(self, as_of: int | None = None) -> Accounts:
        """Take an image of all accounts as they are, once that is durable, or as they were.

        Args:
            as_of: After this many decisions. The state is brought back from a checkpoint and the journal; that takes its time.

        Raises:
            LedgerError: If the ledger has not come so far, or does not keep what is needed.
        """
        if as_of is not None:
            self.wait_durable(min(as_of, self.decided))
            with self._view() as view:
                return view.accounts(as_of)
        accounts = self.decided_accounts()
        self.wait_durable(accounts.sequence)
        return accounts

    def transaction(self, tx: int) -> LedgerTransaction:
        """Look up a recorded deposit or withdrawal and its dispute, once that is durable.

        Raises:
            KeyError: If there is none with this id.
        """
        found = self._pager.transaction(index(tx))
        self.wait_durable()
        if found is None:
            raise KeyError(tx)
        return LedgerTransaction(tx, *found, self.settings.decimals)

    def history(self, client: int) -> list[TrailRow]:
        """List everything that touched a client's account or tried to, in order; a scan of the whole journal."""
        self.wait_durable()
        with self._view() as view:
            return list(view.history(index(client)))

    def verify(self, on_progress: Callable[[int, int], None] | None = None) -> Verified:
        """Check every checksum, the chain, and that a replay comes to the latest checkpoint; the ledger stays in use."""
        with self._view() as view:
            return view.verify(on_progress)

    def _view(self) -> LedgerView:
        self._committer.check_process()
        return LedgerView(self._store, owns_store=False)

    # --- administration ---

    def unlock(self, client: int, *, reason: str, actor: str = "") -> None:
        """End the lock of an account, by an operator's decision, and return when that is durable.

        Raises:
            KeyError: If the client has no account.
            ValueError: If it is not locked, or no reason is given.
        """
        if not reason.strip():
            raise ValueError("an unlock needs a reason: it is kept in the journal")
        self._check_writable()
        self._core.unlock(index(client), Note(actor=actor, reason=reason))
        self.wait_durable()

    def change_settings(
        self,
        *,
        rules: str | Rules | None = None,
        client_bits: int | None = None,
        tx_bits: int | None = None,
        row_bytes_max: int | None = None,
        reason: str,
        actor: str = "",
    ) -> None:
        """Read and decide rows by other settings from here on, by an operator's decision; return when that is durable.

        Ids become wider, and never narrower; the decimals of a ledger never change. To make ids wider, a checkpoint is made and
        loaded again; nothing else may decide rows meanwhile.

        Args:
            rules: The rules; those in force if not given.
            client_bits: How wide client ids are: 16, 32 or 64.
            tx_bits: How wide transaction ids are.
            row_bytes_max: How long a row of text may be.
            reason: Why; it is kept in the journal.
            actor: Who.

        Raises:
            RulesError: If there are no such rules.
            ValueError: If no reason is given, a number is out of range, or ids would become narrower.
            OSError: If the rules file cannot be read.
        """
        given = {"client_bits": client_bits, "tx_bits": tx_bits, "row_bytes_max": row_bytes_max}
        numbers = {name: value for name, value in given.items() if value is not None}
        found = self.settings.rules
        if rules is not None:
            found = rules if isinstance(rules, Rules) else find_rules(rules)
        settings = self.settings._replace(rules=found, **numbers)
        check_settings(settings)
        if not reason.strip():
            raise ValueError("other settings need a reason: it is kept in the journal")
        now = self.settings
        if settings.client_bits < now.client_bits or settings.tx_bits < now.tx_bits:
            raise ValueError(
                f"ids become wider, and never narrower: clients have {now.client_bits} bits, txs {now.tx_bits}"
            )
        self._check_writable()
        if settings.client_bits > now.client_bits or settings.tx_bits > now.tx_bits:
            self.checkpoint()
            self._make_room(settings)
        self._core.change_settings(settings, Note(actor=actor, reason=reason))
        self.wait_durable()

    def checkpoint(self) -> int:
        """Make a checkpoint of the state as it is now; give its sequence when it is published."""
        self._check_writable()
        if self._is_atomic:
            raise LedgerError("an atomic load is going on: there is no checkpoint before its end")
        wanted = self._core.decided
        while self._checkpointer.sequence < wanted:
            self._committer.run_between_commits(self._checkpointer.demand)
            while self._checkpointer.is_running or self._checkpointer.is_wanted:
                self._committer.check()
                time.sleep(_CHECKPOINT_POLL_SECONDS)
        return self._checkpointer.sequence


def _compiled(policy: ErrorPolicy | None) -> CompiledPolicy:
    return CompiledPolicy(policy or ErrorPolicy())


def _actor(name: str) -> Actor | None:
    return Actor(name) if name else None
