"""What a format of bytes is."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NamedTuple, Protocol

    from typing_extensions import Buffer

    from holdfast.domain.settings import Settings
    from holdfast.kernel.batch import Batch

    class Decoder(Protocol):
        """Turns the bytes of one stream into batches, in any split."""

        @property
        def has_header(self) -> bool:
            """Whether it is known how to decode the rows: only then may later stretches overtake this one."""

        @property
        def lines(self) -> int:
            """How many lines have been taken so far."""

        def feed(self, data: Buffer, /) -> list[Batch]:
            """Take the next bytes; give the batches that became full."""

        def flush(self) -> Batch | None:
            """Give the rows decoded since the last full batch, if there are any."""

        def finish(self) -> Batch | None:
            """End the stream; give the rows decoded since the last full batch, if there are any."""

        def at(self, offset: int, /) -> Decoder:
            """Make a decoder for a later stretch of the same stream, beginning with a whole line at this byte."""

else:
    from holdfast.domain.named_tuples import NamedTuple


class Format(NamedTuple):
    """A format of bytes."""

    name: str
    """As options call it."""
    suffixes: tuple[str, ...]
    """What the names of its files end with, before the suffix of a compression."""
    media_types: tuple[str, ...]
    """What HTTP calls it, without parameters."""
    begins: Callable[[bytes], bool | None]
    """Say whether text that begins with these bytes is surely of this format; None if more bytes are needed to tell."""
    new_decoder: Callable[[Settings, bool], Decoder]
    """Make a decoder of these settings; the flag says whether its batches keep their text."""
