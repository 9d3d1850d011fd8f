"""Brings what rows need from a ledger's disk into memory, in a thread, so that the event loop never waits for it."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from holdfast.engine.interface import AnyEngine


class PageLoads:
    """Loads pages in the order in which they are asked for.

    A connection asks for one load at a time, of a bounded number of pages, and then queues again. So each that needs cold records
    gets its share of the disk, however many it needs, and those that need none never wait.

    Args:
        engine: Where the pages go.
    """

    def __init__(self, engine: AnyEngine) -> None:
        self._engine = engine
        self._wanted: queue.SimpleQueue[tuple[Sequence[int], Callable[[Exception | None], None]] | None] = (
            queue.SimpleQueue()
        )
        self._thread: threading.Thread | None = None

    def load(self, pages: Sequence[int], on_loaded: Callable[[Exception | None], None]) -> None:
        """Load pages; then call back, on the event loop, with what went wrong, or None."""
        if self._thread is None:
            # A daemon: a disk on a network that is gone would keep the process from ending.
            loop = asyncio.get_running_loop()
            self._thread = threading.Thread(
                target=self._run, args=(loop,), name="holdfast-pages", daemon=True
            )
            self._thread.start()
        self._wanted.put((pages, on_loaded))

    def close(self) -> None:
        """End the thread when it is done with what it is at: nobody waits for the rest."""
        if self._thread is not None:
            with contextlib.suppress(queue.Empty):
                while True:
                    self._wanted.get_nowait()
            self._wanted.put(None)
            self._thread = None

    def _run(self, loop: asyncio.AbstractEventLoop) -> None:
        while (wanted := self._wanted.get()) is not None:
            pages, on_loaded = wanted
            failure: Exception | None = None
            try:
                self._engine.load_pages(pages)
            except Exception as error:  # noqa: BLE001  # told to the connection that needs the pages
                failure = error
            # The loop may be closed by now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(on_loaded, failure)
