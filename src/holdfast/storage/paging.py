"""Pages of records that are in the store alone: brought back when a row needs them, let go when memory is short."""

from __future__ import annotations

import threading
from contextlib import nullcontext
from typing import TYPE_CHECKING

from holdfast.storage.failures import LedgerClosedError
from holdfast.storage.page_seal import open_page
from holdfast.storage.ports import PAGE_RUN, StoreDamagedError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from holdfast.domain.origin import Origin
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.ledger.ledger import LedgerCore
    from holdfast.kernel.tally import Tally
    from holdfast.storage.ports import Reader

WAYS_OUT = (
    "open the ledger from an older checkpoint (checkpoint=0 replays the whole journal), or restore a backup"
)
RUN_BYTES = 8192 * 12
"""What the records of one run take in memory."""
_PAGES_AT_ONCE_MAX = 1024
_PAGES_AT_ONCE_MIN = 16
_SLACK = 32
_FAR_SHARE = 8
_BESIDE_SHARE = 4
_BESIDE_BYTES_MAX = 128 << 20
"""What is decided and not written yet, its packed form, the store's cache and the interpreter take less than this."""


def state_bytes_max(memory_bytes_max: int | None) -> int | None:
    """Say how much of a ledger's memory its state may take, so that there is room for all that it needs beside it."""
    if memory_bytes_max is None:
        return None
    return memory_bytes_max - min(memory_bytes_max // _BESIDE_SHARE, _BESIDE_BYTES_MAX)


class Pager:
    """Decides rows whose records may be in the store, within a limit of memory.

    Args:
        core: The state.
        reader: Reads the store; used under a lock.
        name: What messages call the ledger.
        checkpoint_max: The newest checkpoint whose pages count; None for the newest version of each.
        memory_bytes_max: How much memory the state may take; None for no limit.
        reading: Held while a page is read, if the reader is used elsewhere as well.
    """

    def __init__(
        self,
        core: LedgerCore,
        reader: Reader,
        name: str,
        *,
        checkpoint_max: int | None = None,
        memory_bytes_max: int | None = None,
        reading: AbstractContextManager[object] | None = None,
    ) -> None:
        self._reading = nullcontext() if reading is None else reading
        self._core = core
        self._reader = reader
        self._name = name
        self._checkpoint_max = checkpoint_max
        self._memory_bytes_max = memory_bytes_max
        self._lock = threading.Lock()
        self._is_closed = False
        self.pages_loaded = 0

    @property
    def is_short(self) -> bool:
        """Whether the state takes more memory than it may."""
        limit = self._memory_bytes_max
        return limit is not None and self._core.memory_bytes > limit

    @property
    def is_far_above(self) -> bool:
        """Whether it takes so much more that rows should wait."""
        limit = self._memory_bytes_max
        return limit is not None and self._core.memory_bytes > limit + limit // _FAR_SHARE

    def decide(  # noqa: PLR0917  # as the core's
        self, batch: Batch, start: int, stop: int, tally: Tally, stream: str | Origin | None, position: int
    ) -> int:
        """Decide rows as :meth:`LedgerCore.decide` does, and bring back what they need."""
        while True:
            reached = self._core.decide(batch, start, stop, tally, stream, position)
            if reached == stop or not self._core.lacks_page:
                return reached
            position += reached - start
            start = reached
            self.load(batch, start, stop)

    def follow(self, batch: Batch, journaled: bytes, start: int, stop: int) -> None:
        """Apply rows as journaled outcomes say, :meth:`LedgerCore.apply_journaled`, and bring back what they need.

        Raises:
            UnappliableError: If a row cannot have come to its outcome.
        """
        while (start := self._core.apply_journaled(batch, journaled, start, stop)) < stop:
            self.load(batch, start, stop)

    def load(self, batch: Batch, start: int, stop: int) -> None:
        """Bring back the pages that rows of a batch need, as many as there is room for.

        Raises:
            StoreDamagedError: If one of them is not what was written.
        """
        self.load_pages(self.wanted(batch, start, stop))

    def wanted(self, batch: Batch, start: int, stop: int) -> list[int]:
        """List the pages that rows of a batch need and that are not in memory, as many as there is room for at a time."""
        return self._core.wanted_pages(batch, start, stop, self._pages_at_once())

    def load_pages(self, numbers: Iterable[int]) -> None:
        """Bring pages back, but for those that are there by now; any thread may call this.

        Raises:
            StoreDamagedError: If one of them is not what was written.
            LedgerClosedError: If the ledger was closed meanwhile.
        """
        with self._lock:
            self.let_go()
            for number in numbers:
                if self._is_closed:
                    raise LedgerClosedError
                if self._core.is_page_absent(number):
                    self._core.load_page(PAGE_RUN, number, self.read_run(number))
                    self.pages_loaded += 1

    def close(self) -> None:
        """Read nothing more; when this returns, no thread reads."""
        # A load in another thread ends with the page that it is at, not with the last one.
        self._is_closed = True
        with self._lock:
            pass

    def transaction(self, tx: int) -> tuple[int, int, int, int] | None:
        """Look up a transaction as :meth:`LedgerCore.transaction` does, and bring back its page if need be."""
        while True:
            try:
                return self._core.transaction(tx)
            except LookupError as error:
                self.load_pages(error.args)

    def let_go(self) -> None:
        """Free pages that are in the store as well, if the state takes more memory than it may."""
        limit = self._memory_bytes_max
        if limit is not None:
            excess = self._core.memory_bytes - limit
            if excess > 0:
                # Some more, so that not every batch asks.
                self._core.evict(excess + limit // _SLACK)

    def read_run(self, number: int) -> bytes:
        """Read the records of a run.

        Raises:
            StoreDamagedError: If they are not there, or not what was written.
        """
        with self._reading:
            data = self._reader.page(PAGE_RUN, number, self._checkpoint_max)
        if data is None:
            raise StoreDamagedError(
                f"{self._name}: the page of transactions {number << 13} to {(number << 13) + 8191} is missing; {WAYS_OUT}"
            )
        try:
            return open_page(PAGE_RUN, number, data)
        except ValueError as error:
            raise StoreDamagedError(f"{self._name}: {error}; {WAYS_OUT}") from error

    def _pages_at_once(self) -> int:
        limit = self._memory_bytes_max
        if limit is None:
            return _PAGES_AT_ONCE_MAX
        return max(_PAGES_AT_ONCE_MIN, min(_PAGES_AT_ONCE_MAX, limit // 8 // RUN_BYTES))
