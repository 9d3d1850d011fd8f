"""The position of a named stream, as an engine that remembers streams knows it."""

from __future__ import annotations

from holdfast.domain.picklable import Picklable

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import NamedTuple
else:
    from holdfast.domain.named_tuples import NamedTuple


class KnownStream(NamedTuple):
    """The position of a stream."""

    rows: int = 0
    """How many of its rows are decided."""
    digest: int = 0
    """The digest of these rows; see ``Batch.digest``."""
    budgeted: int = 0
    """How many of them count against the budget of its policy."""
    stopped: int = 0
    """The outcome code of the last of them if the policy stopped there; 0 if it did not."""
    decided_at: int = 0
    """The engine's watermark that makes all of them durable."""


class StreamChangedError(Picklable, Exception):
    """An input is not the one whose rows were decided under its name; nothing of it was decided now.

    Args:
        stream: The stream.
        reason: What differs.
    """

    def __init__(self, stream: str, reason: str) -> None:
        super().__init__(
            f"stream {stream!r}: {reason}; it is another input: give it a name of its own, nothing of it was decided"
        )
        self.stream = stream
