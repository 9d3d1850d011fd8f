"""The commit thread: everything that was decided during one commit is written by the next one.

There is one sync for all that arrived meanwhile, and the writer decides the next batches while the disk works. The thread is the
only one that writes to the store. It also writes the pages of a checkpoint that is being made, a few with each commit, so that no
commit waits for many of them.

What is decided becomes durable, in order, when a commit returns. If a commit fails, the ledger stops: the watermark never moves
again, whoever waits for it gets the reason, and nothing more is decided.
"""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from holdfast.io import background
from holdfast.storage.failures import LedgerClosedError, LedgerFailedError, ProcessForkedError
from holdfast.storage.listeners import Signal
from holdfast.storage.ports import Commit

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from holdfast.storage.checkpointing import Checkpointer
    from holdfast.storage.durability import Durability
    from holdfast.storage.gathering import Gatherer
    from holdfast.storage.journaling import Journaling
    from holdfast.storage.listeners import Listeners
    from holdfast.storage.ports import Store

_GATHER_STEPS = 20
"""For so many steps an entry grows while nobody waits for it, or until it is full: larger ones take fewer syncs, and less room
with what is around them."""
_GATHER_STEP_SECONDS = 0.005
_IDLE_SECONDS = 0.2
"""How often the thread looks for housekeeping while there is nothing to write."""
_QUIET_SECONDS = 0.02
"""While somebody waits for commits, housekeeping begins when no rows have come for so long: more may come any moment."""


class Committer:
    """Writes what a gatherer has to a store, in a thread of its own.

    Args:
        store: Where to.
        journaling: Makes entries of what was gathered.
        durability: When to ask the disk to keep what was written.
        durable: The sequence up to which everything is in the store already.
        listeners: Called, in the commit thread, whenever the watermark has moved or the ledger has failed.
        disk_bytes_min: With less room on the disk, :attr:`is_low` says so.
    """

    def __init__(
        self,
        store: Store,
        journaling: Journaling,
        durability: Durability,
        durable: int,
        listeners: Listeners,
        *,
        disk_bytes_min: int = 0,
    ) -> None:
        self._store = store
        self._disk_bytes_min = disk_bytes_min
        self.is_low = False
        """Whether the disk had too little room after the last commit, or lately if there was none."""
        self._journaling = journaling
        self._durability = durability
        self._gatherer: Gatherer | None = None
        self._checkpointer: Checkpointer | None = None
        self._jobs: list[Callable[[], None]] = []
        self._durable = self._written = durable
        self._failure: BaseException | None = None
        self._work = Signal()
        self._busy_at = 0.0
        self._hurry = threading.Event()
        self._moved = threading.Condition()
        self._waiting = 0
        self._listeners = listeners
        self._is_stopping = False
        self._is_forked = False
        self._give_back: list[Callable[[], None]] = []
        self._has_returned = False
        self._is_atomic = False
        self._is_discarding = False
        self._synced_at = time.monotonic()
        self._is_unsynced = False
        self._thread = threading.Thread(target=self._run, name="holdfast-commit", daemon=True)

    @property
    def durable(self) -> int:
        """How many decisions are durable."""
        return self._durable

    @property
    def written(self) -> int:
        """How many decisions are written, durable or not."""
        return self._written

    @property
    def failure(self) -> BaseException | None:
        """Why the ledger has stopped; None while it has not."""
        return self._failure

    def start(self, gatherer: Gatherer, checkpointer: Checkpointer) -> None:
        """Begin to write what the gatherer gets."""
        self._gatherer = gatherer
        self._checkpointer = checkpointer
        self._look_at_disk()
        background.began(self)
        self._thread.start()

    def wake(self) -> None:
        """Say that there may be something to write."""
        self._work.set()

    def note_rows(self) -> None:
        """Take note that rows were decided. Whoever leads says when to write them, unless that is long due."""
        if not self._listeners.leads or self._gatherer is None or self._gatherer.waiting:
            self._work.set()

    def run_between_commits(self, job: Callable[[], None]) -> None:
        """Have something done by the commit thread, between two commits, and wait for it; its exception is raised here.

        Raises:
            LedgerFailedError: If the ledger has stopped.
            LedgerClosedError: If it is closed.
        """
        done = threading.Event()
        failed: list[BaseException] = []

        def run() -> None:
            try:
                job()
            except BaseException as error:  # noqa: BLE001  # raised again by the thread that waits
                failed.append(error)
            finally:
                done.set()

        self.check()
        self._jobs.append(run)
        self._hurry.set()
        self.wake()
        while not done.wait(_IDLE_SECONDS):
            if not self._thread.is_alive():
                self.check()
                raise LedgerClosedError
        if failed:
            raise failed[0]

    def begin_atomic(self) -> None:
        """Gather commits in one transaction of the store: nothing becomes durable until :meth:`end_atomic`."""

        def begin() -> None:
            with self._failing():
                self._sync()
            self._store.begin_atomic()
            self._is_atomic = True

        self.run_between_commits(begin)

    def end_atomic(self, *, keep: bool) -> None:
        """Make everything since :meth:`begin_atomic` durable, or drop it and write nothing more.

        Raises:
            LedgerFailedError: If that cannot be done: what was decided is not in the store, and the ledger has stopped.
        """

        def end() -> None:
            self._is_atomic = False
            with self._failing():
                self._store.end_atomic(keep=keep)
            if keep:
                self._durable = self._journaling.sequence
            else:
                # What was decided and not written yet must not be written now.
                self._is_discarding = True

        self.run_between_commits(end)
        self._notify()

    def wait(self, sequence: int, timeout_seconds: float | None = None) -> bool:
        """Wait until this many decisions are durable; False if that takes longer than the timeout.

        Raises:
            LedgerFailedError: If the ledger has stopped before.
            LedgerClosedError: If it was closed before.
        """
        if self._durable >= sequence:
            return True
        with self._moved:
            self._waiting += 1
            self._hurry.set()
            self._work.set()
            try:
                is_there = self._moved.wait_for(
                    lambda: self._durable >= sequence or self.has_ended, timeout_seconds
                )
            finally:
                self._waiting -= 1
        if self._durable >= sequence:
            return True
        if is_there:
            self.check()
            raise LedgerClosedError
        return False

    def check(self) -> None:
        """Raise the reason if nothing can be decided any more.

        Raises:
            ProcessForkedError: In a child of the process that opened the ledger.
            LedgerFailedError: If a commit failed.
            LedgerClosedError: If the ledger is closed.
        """
        self.check_process()
        self.check_failure()
        if self._is_stopping:
            raise LedgerClosedError

    def check_process(self) -> None:
        """Raise an error in a child of the process that opened the ledger.

        Raises:
            ProcessForkedError: If this is one.
        """
        if self._is_forked:
            raise ProcessForkedError(self._store.name)

    def check_failure(self) -> None:
        """Raise the reason if a commit failed.

        Raises:
            LedgerFailedError: If one did.
        """
        if self._failure is not None:
            raise LedgerFailedError(self._store.name, str(self._failure)) from self._failure

    def stop(self) -> None:
        """Write what there is and end the thread; what went wrong is in :attr:`failure`."""
        self._is_stopping = True
        self._hurry.set()
        self.wake()
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()
        background.stopped(self)
        self._notify()

    def abandon(self, give_back: Callable[[], None]) -> None:
        """End by and by, after everything that is decided is written; then call a function. Nothing waits here, for any lock."""
        self._is_stopping = True
        self._give_back.append(give_back)
        if self._has_returned or self._thread.ident is None:
            self._give_all_back()

    def forget_threads(self) -> None:
        """Take note that this is a child process now: the thread and its connection belong to the parent."""
        self._is_forked = True

    @property
    def has_ended(self) -> bool:
        """Whether the watermark will never move again."""
        return self._failure is not None or self._is_forked or not self._thread.is_alive()

    def _run(self) -> None:
        try:
            while True:
                is_stopping = self._is_stopping
                self._run_jobs()
                if self._failure is not None:
                    return
                self._let_entry_grow()
                has_worked = self._commit()
                if has_worked:
                    continue
                if is_stopping or self._sync_wait_seconds() <= 0:
                    # The interval may end while nothing comes.
                    self._sync()
                if is_stopping:
                    return
                wait_seconds = self._quiet_in_seconds()
                if wait_seconds <= 0:
                    self._store.tidy(is_idle=True)
                    self._look_at_disk()
                    wait_seconds = _IDLE_SECONDS
                if self._is_unsynced:
                    wait_seconds = min(self._sync_wait_seconds(), wait_seconds)
                self._work.wait(max(0.0, wait_seconds))
        except BaseException as error:  # noqa: BLE001  # whatever it is, nothing may be acknowledged after it
            self._fail(error)
        finally:
            self._run_jobs()
            self._has_returned = True
            self._give_all_back()

    def _give_all_back(self) -> None:
        while self._give_back:
            with suppress(IndexError):
                self._give_back.pop()()
                background.stopped(self)

    def _let_entry_grow(self) -> None:
        """Wait a little for more rows, unless somebody waits for those that are there."""
        gatherer = self._gatherer
        if gatherer is None or not gatherer.has_some or gatherer.waiting:
            return
        if not (self._listeners.are_there or self._waiting or self._jobs or self._is_stopping):
            for _ in range(_GATHER_STEPS):
                if self._hurry.wait(_GATHER_STEP_SECONDS) or gatherer.waiting > 0:
                    break
        self._hurry.clear()

    @contextmanager
    def _failing(self) -> Iterator[None]:
        """Stop the ledger if the store fails in a job, which otherwise is the concern of whoever asked for it.

        Raises:
            LedgerFailedError: Instead of the error.
        """
        try:
            yield
        except Exception as error:
            self._fail(error)
            raise LedgerFailedError(self._store.name, str(error)) from error

    def _run_jobs(self) -> None:
        while self._jobs:
            self._jobs.pop(0)()

    def _commit(self) -> bool:
        """Write everything that waits; False if there was nothing."""
        gatherer, checkpointer = self._gatherer, self._checkpointer
        if gatherer is None or checkpointer is None or self._is_discarding:
            return False
        checkpointer.begin_if_due()
        entries, raw_texts = self._journaling.encode(gatherer)
        entry_bytes = sum(len(each.data) for each in entries)
        end = self._journaling.sequence
        if entries:
            self._busy_at = time.monotonic()
        elif self._quiet_in_seconds() > 0:
            return False
        number, pages, publish = checkpointer.next_pages(
            entry_bytes, end, is_urgent=self._listeners.are_there
        )
        if not entries and not pages and publish is None:
            return False
        is_sync_due = self._durability.syncs and self._sync_wait_seconds() <= 0
        self._store.commit(Commit(entries, raw_texts, number, pages, publish), sync=is_sync_due)
        if is_sync_due:
            self._synced()
        else:
            self._is_unsynced = self._durability.syncs and not self._is_atomic
        checkpointer.committed(entry_bytes, publish)
        self._written = end
        if entries and not self._is_atomic:
            self._durable = end
            self._notify()
        self._store.tidy(is_urgent=self._listeners.are_there)
        self._look_at_disk()
        return True

    def _quiet_in_seconds(self) -> float:
        """Tell for how long rows may come any moment, for which somebody waits: nothing that takes long is begun."""
        checkpointer = self._checkpointer
        is_pressed = checkpointer is not None and checkpointer.is_pressed
        if self._is_stopping or is_pressed or not self._listeners.are_there:
            return 0.0
        return self._busy_at + _QUIET_SECONDS - time.monotonic()

    def _look_at_disk(self) -> None:
        if self._disk_bytes_min:
            free_bytes = self._store.disk_free_bytes()
            self.is_low = free_bytes is not None and free_bytes < self._disk_bytes_min

    def _sync_wait_seconds(self) -> float:
        """Tell how long it is until the disk is asked to keep what was written."""
        return self._synced_at + self._durability.interval_ms / 1000 - time.monotonic()

    def _sync(self) -> None:
        if self._is_unsynced:
            self._store.sync()
            self._synced()

    def _synced(self) -> None:
        self._synced_at = time.monotonic()
        self._is_unsynced = False

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        if self._gatherer is not None:
            self._gatherer.fail(LedgerFailedError(self._store.name, str(error)))
        self._notify()

    def _notify(self) -> None:
        if self._waiting or self.has_ended:
            with self._moved:
                self._moved.notify_all()
        self._listeners.call()
