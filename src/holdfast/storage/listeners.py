"""How the commit thread is woken, and whom it tells that the durable watermark has moved."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Signal:
    """Wakes the one thread that waits for it, once, however often it was set. An event would make a lock for each wait."""

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def set(self) -> None:
        """Wake the thread that waits, or the next one that will."""
        # Set twice at the same time, it is set.
        with suppress(RuntimeError):
            if self._lock.locked():
                self._lock.release()

    def wait(self, seconds_max: float) -> bool:
        """Wait until it is set, and unset it; False if that takes longer."""
        return self._lock.acquire(timeout=seconds_max)


class Listeners:
    """Functions that are called when the durable watermark has moved."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._functions: tuple[Callable[[], None], ...] = ()
        self.leads = 0
        """How many of them belong to somebody who says when to commit."""

    def add(self, function: Callable[[], None], *, leads: bool = False) -> Callable[[], None]:
        """Call a function from now on; give one that ends this."""
        with self._lock:
            self._functions = (*self._functions, function)
            self.leads += leads

        def remove() -> None:
            with self._lock:
                if function in self._functions:
                    self._functions = tuple(each for each in self._functions if each is not function)
                    self.leads -= leads

        return remove

    @property
    def are_there(self) -> bool:
        """Whether anybody listens."""
        return bool(self._functions)

    def call(self) -> None:
        """Call all of them."""
        for each in self._functions:
            each()


def call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    """Have an event loop call a function, from any thread."""
    # The loop may be closed by now: nobody waits there any more.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
