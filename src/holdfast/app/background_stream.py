"""Standard error for a command that must not wait: a thread writes, and what nobody reads is dropped and counted."""

from __future__ import annotations

import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

_QUEUED_BYTES_MAX = 1024 * 1024
_WRITTEN_BYTES_MAX = 64 * 1024


class _Chunk(NamedTuple):
    """What is written at a time."""

    data: bytes
    texts: int
    """How many texts it holds."""
    reported: int
    """How many dropped texts it tells of."""


class BackgroundStream:
    """Text that goes to a file descriptor without making its writer wait.

    Up to a mebibyte waits for a reader that stands still. Text beyond that is dropped, as is text that cannot be written; as
    soon as there is room again, a line says how much was.

    Args:
        descriptor: Where the text goes, usually 2. It stays open.
        describe_dropped: Makes that line, with its end, of the number of texts that were dropped.
        queued_bytes_max: How much may wait.
    """

    def __init__(
        self,
        descriptor: int,
        describe_dropped: Callable[[int], str],
        *,
        queued_bytes_max: int = _QUEUED_BYTES_MAX,
    ) -> None:
        self._descriptor = descriptor
        self._describe_dropped = describe_dropped
        self._queued_bytes_max = queued_bytes_max
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._is_writing = False
        self._is_failing = False
        self._is_closed = False
        self._change = threading.Condition()
        self.dropped = 0
        """Texts that were dropped and not yet reported."""
        self.has_lost = False
        """Whether any text was dropped, or was still queued at the end."""
        self._thread = threading.Thread(target=self._run, name="holdfast-log", daemon=True)
        self._thread.start()

    @property
    def is_behind(self) -> bool:
        """Whether text waits to be written."""
        return self._queued_bytes > 0 or self._is_writing

    def write(self, text: str) -> int:
        """Queue a text, or drop it if there is no room; never waits for a reader."""
        data = text.encode(errors="backslashreplace")
        with self._change:
            if self._is_closed or self._queued_bytes + len(data) > self._queued_bytes_max:
                self._drop(1)
            else:
                self._queue.append(data)
                self._queued_bytes += len(data)
                self._change.notify_all()
        return len(text)

    def flush(self) -> None:
        """Do nothing: the thread writes as soon as it can."""

    def isatty(self) -> bool:
        """Whether a person reads."""
        return os.isatty(self._descriptor)

    def fileno(self) -> int:
        """Give the descriptor."""
        return self._descriptor

    def close(self, seconds_max: float) -> bool:
        """Take no more text, and wait until everything is written, for a bounded time.

        Returns:
            Whether everything was.
        """
        deadline = time.monotonic() + seconds_max
        with self._change:
            self._is_closed = True
            self._change.notify_all()
            while self._thread.is_alive() and (left := deadline - time.monotonic()) > 0:
                if not self.is_behind and (self._is_failing or not self.dropped):
                    break
                self._change.wait(left)
            self.has_lost |= self.is_behind
        return not self.has_lost

    def _run(self) -> None:
        while (chunk := self._next()) is not None:
            try:
                self._write_all(chunk.data)
            except OSError:
                # The reader has left, or the disk is full: later there may be a reader or room again.
                self._is_failing = True
                with self._change:
                    self._drop(chunk.texts)
                    self.dropped += chunk.reported
            else:
                self._is_failing = False

    def _drop(self, count: int) -> None:
        self.dropped += count
        self.has_lost = True

    def _next(self) -> _Chunk | None:
        """Wait for texts; give None at the end."""
        with self._change:
            self._is_writing = False
            self._change.notify_all()
            while not self._queue and (self._is_failing or not self.dropped):
                if self._is_closed:
                    return None
                self._change.wait()
            self._is_writing = True
            pieces = []
            size = 0
            while self._queue and size < _WRITTEN_BYTES_MAX:
                pieces.append(self._queue.popleft())
                size += len(pieces[-1])
            self._queued_bytes -= size
            texts, reported = len(pieces), 0
            if not self._queue and not self._is_failing:
                reported, self.dropped = self.dropped, 0
            if reported:
                pieces.append(self._describe_dropped(reported).encode())
        return _Chunk(b"".join(pieces), texts, reported)

    def _write_all(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._descriptor, rest) :]
            except BlockingIOError:
                # Somebody else made the descriptor non-blocking.
                select.select((), (self._descriptor,), ())
