"""Reads ahead: while one thread works on what was read, another one reads and checks what comes next."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from types import TracebackType
    from typing import Self

T = TypeVar("T")
_END = object()
_POLL_SECONDS = 0.01


class ReadAhead(Generic[T]):
    """Gives what an iterator gives, which a thread of its own goes through a few items ahead.

    Use it as a context manager: at the end of the block the thread has ended, however far it was.

    Args:
        source: The iterator.
        reading: Held while the iterator works: what it uses may be used elsewhere under the same lock.
        items_max: How many items are kept until somebody wants them.
    """

    def __init__(self, source: Iterator[T], reading: AbstractContextManager[object], items_max: int) -> None:
        self._source = source
        self._reading = reading
        self._ready: queue.Queue[object] = queue.Queue(items_max)
        self._failure: BaseException | None = None
        self._is_over = False
        self._thread = threading.Thread(target=self._read, name="holdfast-read-ahead", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        while self._thread.is_alive():
            # It may wait for room.
            while not self._ready.empty():
                self._ready.get()
            self._thread.join(_POLL_SECONDS)

    def __iter__(self) -> Iterator[T]:
        while (item := self._ready.get()) is not _END:
            yield item  # type: ignore[misc]  # all others are the iterator's
        if self._failure is not None:
            raise self._failure

    def _read(self) -> None:
        try:
            while not self._is_over:
                with self._reading:
                    item: object = next(self._source, _END)
                if item is _END:
                    break
                self._ready.put(item)
        except BaseException as error:  # noqa: BLE001  # raised again where the items are wanted
            self._failure = error
        self._ready.put(_END)
