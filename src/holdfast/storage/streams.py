"""The named streams of a ledger: how many rows of each are decided, their digest, and what its policy has counted."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from holdfast.engine.streams import KnownStream
from holdfast.storage.failures import StreamBusyError
from holdfast.storage.sections import NAME_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from holdfast.kernel.batch import Batch

_START = KnownStream()


class StreamPositionError(ValueError):
    """Rows of a stream came that do not follow the rows of it that are decided."""


def check_stream_name(name: str) -> None:
    """Refuse what cannot be the name of a stream.

    Raises:
        ValueError: If it cannot.
    """
    try:
        length = len(name.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{name!r} is no name for a stream: it cannot be written as UTF-8") from error
    if not 1 <= length <= NAME_BYTES_MAX:
        raise ValueError(f"the name of a stream has 1 to {NAME_BYTES_MAX} bytes in UTF-8, not {length}")


class Streams:
    """The positions of all named streams, in memory: some 300 bytes for a stream.

    Args:
        known: The streams so far.
    """

    def __init__(self, known: Mapping[str, KnownStream] | None = None) -> None:
        self._states = dict(known or {})
        self._lock = threading.Lock()
        self._in_use: set[str] = set()

    def __len__(self) -> int:
        return len(self._states)

    def __iter__(self) -> Iterator[str]:
        return iter(self.copy())

    def copy(self) -> dict[str, KnownStream]:
        """Copy all positions; within the core's lock, that is a consistent picture."""
        return self._states.copy()

    def find(self, name: str) -> KnownStream | None:
        """Give the position of a stream; None if no row of it is decided."""
        return self._states.get(name)

    def check_position(self, name: str, position: int) -> None:
        """Refuse rows that do not follow those that are decided, before they are.

        Raises:
            StreamPositionError: If they do not.
        """
        known = self._states.get(name)
        if known is None:
            check_stream_name(name)
        rows = 0 if known is None else known.rows
        if position != rows:
            raise StreamPositionError(
                f"{rows} rows of stream {name!r} are decided, so row {position} cannot be the next one; "
                "ask find_stream() where to go on"
            )

    def advance(  # noqa: PLR0917  # what the core tells of rows
        self,
        name: str,
        batch: Batch,
        start: int,
        stop: int,
        position: int,
        budgeted: int,
        stopped: int,
        sequence: int,
    ) -> KnownStream:
        """Move a stream on by decided rows; give its new position.

        Args:
            name: The stream.
            batch: The batch that has the rows.
            start: The first of them.
            stop: The row to stop before.
            position: How many rows of the stream come before.
            budgeted: How many rows count against its policy's budget now.
            stopped: The outcome code of the last row if the policy stopped there; 0 if it did not.
            sequence: How many decisions come before these rows.

        Raises:
            StreamPositionError: If the rows do not follow those before them.
        """
        state = self._states.get(name, _START)
        if state.rows != position:
            self.check_position(name, position)
        digest = (state.digest + batch.digest(start, stop, position)) & 0xFFFF_FFFF_FFFF_FFFF
        state = KnownStream(position + stop - start, digest, budgeted, stopped, sequence + stop - start)
        self._states[name] = state
        return state

    def restore(self, name: str, state: KnownStream) -> None:
        """Set a position that the journal tells."""
        self._states[name] = state

    @contextmanager
    def claimed(self, name: str) -> Iterator[None]:
        """Bring rows of a stream, and let nobody else do so meanwhile.

        Raises:
            StreamBusyError: If somebody else does so now.
            ValueError: If it is no name for a stream.
        """
        if not self.claim(name):
            raise StreamBusyError(name)
        try:
            yield
        finally:
            self.release(name)

    def claim(self, name: str) -> bool:
        """Begin to bring rows of a stream; False if somebody else does so now.

        Raises:
            ValueError: If it is no name for a stream.
        """
        check_stream_name(name)
        with self._lock:
            if name in self._in_use:
                return False
            self._in_use.add(name)
            return True

    def release(self, name: str) -> None:
        """End what :meth:`claim` began."""
        with self._lock:
            self._in_use.discard(name)
