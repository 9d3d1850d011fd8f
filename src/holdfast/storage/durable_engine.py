"""What keeps a ledger: an engine whose decisions go to a store; :class:`Ledger` is what people use."""

from __future__ import annotations

import asyncio
import time
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.origin import Origin
from holdfast.engine.accounts import Accounts
from holdfast.engine.totals import Totals
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.tally import Tally
from holdfast.storage.belonging import Belonging, give_back, give_back_quietly
from holdfast.storage.checkpointing import CHECKPOINTS_KEPT_DEFAULT, Checkpointer, checkpoint_bytes
from holdfast.storage.committer import Committer
from holdfast.storage.creation import read_settings
from holdfast.storage.durability import ALWAYS
from holdfast.storage.failures import LedgerError, LedgerFullError, ReadOnlyError
from holdfast.storage.gathering import ENTRIES_MAX, Gatherer
from holdfast.storage.journaling import Journaling
from holdfast.storage.listeners import Listeners, call_soon
from holdfast.storage.paging import Pager, state_bytes_max
from holdfast.storage.recovery import Recovery

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from contextlib import AbstractContextManager
    from typing import Self

    from holdfast.domain.origin import SourcePosition
    from holdfast.domain.settings import Settings
    from holdfast.engine.streams import KnownStream
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.inlet import Decide
    from holdfast.storage.durability import Durability
    from holdfast.storage.ports import Store
    from holdfast.storage.recovery import Recovered
    from holdfast.storage.sections import Note

RAW_BYTES_DEFAULT = 1 << 20
"""How many bytes of the text of rows that could not be decoded an entry keeps."""
DISK_BYTES_MIN_DEFAULT = 128 << 20
"""How much of the disk is kept free: as much as the entries that wait, and SQLite's log until it is copied, may still need."""
_POLL_SECONDS = 0.005


class _Options(NamedTuple):
    """How a ledger is kept."""

    durability: Durability
    state_bytes_max: int | None
    raw_bytes_max: int
    checkpoints_keep: int
    disk_bytes_min: int


class DurableEngine(Belonging):
    """Decides rows, and has them written to a store.

    Args:
        store: Where to; it is closed with the engine.
        recovered: The state to go on from.
        durability: When the disk is asked to keep what was written.
        memory_bytes_max: How much memory the ledger may take; None for no limit.
        raw_bytes_max: How many bytes of the text of rows that could not be decoded an entry keeps; 0 keeps no address either.
        checkpoints_keep: How many checkpoints stay.
        disk_bytes_min: With less room than this on the store's disk, no rows are decided.
        is_read_only: Whether nothing is decided.
    """

    _parts = ("_core", "_remembered", "_streams", "_pager", "_gatherer", "_checkpointer", "_committer")

    def __init__(
        self,
        store: Store,
        recovered: Recovered,
        *,
        durability: Durability = ALWAYS,
        memory_bytes_max: int | None = None,
        raw_bytes_max: int = RAW_BYTES_DEFAULT,
        checkpoints_keep: int = CHECKPOINTS_KEPT_DEFAULT,
        disk_bytes_min: int = DISK_BYTES_MIN_DEFAULT,
        is_read_only: bool = False,
    ) -> None:
        self._store = store
        self._options = _Options(
            durability, state_bytes_max(memory_bytes_max), raw_bytes_max, checkpoints_keep, disk_bytes_min
        )
        self._is_read_only = is_read_only
        self._is_atomic = False
        self._listeners = Listeners()
        self._reader = store.reader()
        self.decide: Decide = self._decide
        """The one way in; see :attr:`Engine.decide`. It does not wait until rows are durable."""
        self.decide_present: Decide | None = self._decide_present
        """The same, but it ends before a row that needs what is not in memory; see :meth:`load_pages`."""
        self._take_over(recovered)
        self._opened(self._reader)

    def _take_over(self, recovered: Recovered) -> None:
        """Begin to decide from a recovered state on."""
        options = self._options
        self._core = core = recovered.core
        self._remembered = recovered.remembered
        self._streams = recovered.remembered.streams
        self._pager = Pager(core, self._reader, self._store.name, memory_bytes_max=options.state_bytes_max)
        journaling = Journaling(
            recovered.chain,
            core.settings,
            recovered.time_us,
            keeps_addresses=options.raw_bytes_max > 0,
        )
        self._committer = Committer(
            self._store,
            journaling,
            options.durability,
            core.decided,
            self._listeners,
            disk_bytes_min=options.disk_bytes_min,
        )
        self._checkpointer = Checkpointer(
            core,
            recovered.remembered,
            journaling,
            self._store,
            recovered.checkpoints,
            keep=options.checkpoints_keep,
            every_bytes=checkpoint_bytes(options.state_bytes_max),
        )
        self._gatherer = Gatherer(
            recovered.remembered,
            options.raw_bytes_max,
            self._committer.note_rows,
            self._checkpointer.note_cut,
        )
        if not self._is_read_only:
            core.recorder = self._gatherer
            self._committer.start(self._gatherer, self._checkpointer)

    # --- what every engine has ---

    @property
    def name(self) -> str:
        """The path or the URL, without any password."""
        return self._store.name

    @property
    def settings(self) -> Settings:
        """The settings in force."""
        return self._core.settings

    @property
    def decided(self) -> int:
        """How many decisions the ledger has made, since it was made itself. This number names a point in time."""
        return self._core.decided

    @property
    def durable(self) -> int:
        """How many of them a crash would not lose."""
        return self._core.decided if self._is_read_only else self._committer.durable

    @property
    def failure(self) -> BaseException | None:
        """Why the ledger has stopped; None while it has not."""
        return self._committer.failure

    @property
    def is_congested(self) -> bool:
        """Whether so much is decided and not durable, or not in a checkpoint, that whoever brings rows should wait."""
        return self._gatherer.is_congested or self._waits_for_memory()

    @property
    def records_origins(self) -> bool:
        """Whether it keeps where rows come from: the journal does."""
        return True

    @property
    def spreads_sources(self) -> bool:
        """Whether a source's name decides which engine gets its rows; here it does not."""
        return False

    def engine_of(self, source_name: str) -> Self:  # noqa: ARG002  # all rows go to this ledger
        """Give the engine for the rows of a source."""
        return self

    def new_decoder(self, *, keep_source: bool) -> CsvDecoder:
        """Make a decoder with this ledger's settings. It keeps the text of its rows where the journal does."""
        return CsvDecoder(self.settings, keep_source=keep_source or self._options.raw_bytes_max > 0)

    def on_durable(self, callback: Callable[[], None], *, leads: bool = False) -> Callable[[], None]:
        """Call a function, from another thread, whenever :attr:`durable` has risen or the ledger has failed.

        Give one that ends this. If the owner ``leads``, rows are committed when it calls :meth:`commit_now`, or now and then.
        """
        return self._listeners.add(callback, leads=leads)

    def commit_now(self) -> None:
        """Have what is decided made durable now; it is not waited for."""
        self._committer.wake()

    def find_stream(self, name: str) -> KnownStream | None:
        """Give the position of a named stream; None if none of its rows is decided."""
        return self._streams.find(name)

    def source_position(self, topic: str, partition: int) -> SourcePosition | None:
        """Tell where to go on in a broker's partition; None if none of its rows is decided.

        It is the position as it is decided: wait until it is durable before you tell the broker.
        """
        return self._remembered.sources.find(topic, partition)

    def totals(self) -> Totals:
        """Count accounts, transactions and decisions."""
        accounts, locked, transactions, disputes, decided, _ = self._core.counts()
        durable = min(self.durable, decided)
        return Totals(accounts, locked, transactions, disputes, decided, durable, self._core.memory_bytes)

    def find_balances(self, client: int) -> tuple[int, int, bool] | None:
        """Give a client's available units, held units and whether the account is locked; None if there is no account."""
        if not 0 <= client <= self.settings.client_max:
            return None
        return self._core.account(client)

    def decided_accounts(self) -> Accounts:
        """Take an image of all accounts at once: a crash may still take back rows that it shows; see :attr:`durable`."""
        image = self._core.image()
        return Accounts(image, self.settings.decimals, image.sequence)

    def claim_stream(self, stream: str | None) -> AbstractContextManager[None]:
        """Bring rows of a stream, and let nobody else do so meanwhile; None is no stream.

        Raises:
            StreamBusyError: If somebody else does so now.
            ValueError: If it is no name for a stream.
        """
        return nullcontext() if stream is None else self._streams.claimed(stream)

    def claim_source(self, topic: str, partition: int) -> AbstractContextManager[None]:
        """Bring rows of a broker's partition, and let nobody else do so meanwhile.

        Raises:
            SourceBusyError: If somebody else does so now.
        """
        return self._remembered.sources.claimed(topic, partition)

    def begin_atomic(self) -> None:
        """Begin to decide for the time being: nothing is durable until :meth:`end_atomic`.

        Raises:
            LedgerError: If that was begun before, or nothing can be decided.
        """
        self._check_writable()
        if self._is_atomic:
            raise LedgerError("an atomic load is going on already")
        self._checkpointer.is_paused = True
        while self._checkpointer.is_running:
            self._committer.check()
            time.sleep(_POLL_SECONDS)
        self.wait_durable()
        self._committer.begin_atomic()
        self._is_atomic = True

    def end_atomic(self, undone: Note | None) -> None:
        """Make everything since :meth:`begin_atomic` durable; or undo it, and note why.

        Raises:
            ReadOnlyError: If nothing can be decided.
            LedgerFailedError: If a commit failed.
        """
        if self._is_read_only:
            raise ReadOnlyError(self.name)
        self._is_atomic = False
        if undone is None:
            self._wait_written()
            self._committer.end_atomic(keep=True)
            self._checkpointer.is_paused = False
            return
        if self.failure is None:
            self._committer.end_atomic(keep=False)
            self._gatherer.fail(LedgerError("this load was undone"))
        self._core.recorder = None
        self._committer.stop()
        self._committer.check_failure()
        created = read_settings(self.name, self._reader)._replace(batch_rows=self.settings.batch_rows)
        self._take_over(Recovery(self._reader, self.name, created).run())
        self._core.note(undone)
        self.wait_durable()

    def _make_room(self, settings: Settings) -> None:
        """Bring the state of the last checkpoint and the entries after it into memory again, with room for wider ids.

        Raises:
            LedgerFailedError: If a commit failed.
        """
        self._gatherer.fail(LedgerError("the ledger is being made wider: nothing is decided meanwhile"))
        self._committer.stop()
        self._committer.check_failure()
        created = read_settings(self.name, self._reader)._replace(batch_rows=self.settings.batch_rows)
        recovery = Recovery(
            self._reader, self.name, created, memory_bytes_max=self._options.state_bytes_max, room=settings
        )
        self._take_over(recovery.run())

    def _wait_written(self) -> None:
        """Wait until everything that is decided is written, durable or not."""
        self._committer.wake()
        while self._gatherer.has_some or self._committer.written < self._core.decided:
            self._committer.check()
            time.sleep(_POLL_SECONDS)

    def _decide(  # noqa: PLR0917  # called from compiled code
        self,
        batch: Batch,
        start: int = 0,
        stop: int = -1,
        tally: Tally | None = None,
        stream: str | Origin | None = None,
        position: int = 0,
    ) -> int:
        self._prepare(stream, position)
        return self._pager.decide(
            batch, start, batch.rows if stop < 0 else stop, tally or Tally(), stream, position
        )

    def _decide_present(  # noqa: PLR0917  # called from compiled code
        self,
        batch: Batch,
        start: int,
        stop: int,
        tally: Tally | None,
        stream: str | Origin | None,
        position: int,
    ) -> int:
        self._prepare(stream, position)
        return self._core.decide(batch, start, stop, tally, stream, position)

    def _prepare(self, stream: str | Origin | None, position: int) -> None:
        """Make sure that rows may be decided now, and that there is room for them."""
        self._check_writable()
        if isinstance(stream, Origin):
            if stream.source is not None:
                self._remembered.sources.check_position(stream.source, position)
            stream = stream.stream
        if stream is not None:
            self._streams.check_position(stream, position)
        if self._gatherer.waiting >= ENTRIES_MAX:
            self._gatherer.wait_for_room(entries_max=ENTRIES_MAX)
        if self._committer.is_low:
            raise LedgerFullError(self.name, self._options.disk_bytes_min)
        self._pager.let_go()

    def wanted_pages(self, batch: Batch, start: int, stop: int) -> list[int]:
        """List what rows of a batch need and is not in memory, as much as there is room for at a time."""
        return self._pager.wanted(batch, start, stop)

    def load_pages(self, pages: Sequence[int]) -> None:
        """Bring pages into memory; any thread may call this, and it waits for the store.

        Raises:
            StoreError: If one of them cannot be read, or is damaged.
        """
        self._pager.load_pages(pages)

    def _check_writable(self) -> None:
        if self._is_read_only:
            raise ReadOnlyError(self.name)
        self._committer.check()

    # --- waiting ---

    def wait_for_room(self) -> None:
        """Wait while too much is decided and not durable, or too much of the state is not in a checkpoint."""
        self._committer.wake()
        self._gatherer.wait_for_room()
        while self._waits_for_memory():
            time.sleep(_POLL_SECONDS)

    def _waits_for_memory(self) -> bool:
        """Whether the state takes clearly more memory than it may, and a checkpoint is about to let some of it go."""
        # Within an atomic load there is no checkpoint to wait for.
        if not self._pager.is_short or self.failure is not None or self._is_atomic:
            return False
        self._pager.let_go()
        if not self._pager.is_far_above:
            return False
        self._checkpointer.is_pressed = True
        if not self._checkpointer.is_running:
            self._checkpointer.demand()
            self._committer.wake()
        return self._checkpointer.is_running or self._checkpointer.is_wanted

    def wait_durable(self, sequence: int | None = None, timeout_seconds: float | None = None) -> bool:
        """Wait until this many decisions are durable; all that are made so far if not given.

        Returns:
            False if that takes longer than the timeout.

        Raises:
            LedgerFailedError: If the ledger stops before.
        """
        if self._is_read_only or self._is_atomic:
            return True
        return self._committer.wait(self._core.decided if sequence is None else sequence, timeout_seconds)

    async def wait_durable_async(self, sequence: int | None = None) -> None:
        """Wait as :meth:`wait_durable` does, without blocking the event loop."""
        wanted = self._core.decided if sequence is None else sequence
        if self.durable >= wanted:
            return
        loop = asyncio.get_running_loop()
        moved = asyncio.Event()
        unsubscribe = self.on_durable(lambda: call_soon(loop, moved.set))
        self._committer.wake()
        try:
            while self.durable < wanted:
                if self._committer.has_ended:
                    self._committer.check()
                await moved.wait()
                moved.clear()
        finally:
            unsubscribe()

    def close(self) -> None:
        """Write what there is, make a checkpoint, and give everything back; closing again does nothing.

        Raises:
            LedgerFailedError: If the ledger has stopped: rows above :attr:`durable` are lost.
        """
        if self._is_closed:
            return
        self._is_closed = True
        try:
            if not self._is_read_only:
                self._checkpointer.demand()
                self._committer.stop()
        finally:
            self._pager.close()
            give_back(self._reader, self._store)
        self._committer.check_failure()

    def _disown(self) -> None:
        self._is_read_only = self._is_atomic = False

    def _abandon(self) -> None:
        self._committer.abandon(partial(give_back_quietly, self._reader, self._store))
