"""Decoders for inputs of any format: the one that was asked for, that of a file's suffix, or that of the first bytes."""

from __future__ import annotations

from holdfast.io.formats.csv import CSV
from holdfast.io.formats.registry import find_format, format_of_bytes, format_of_file

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing_extensions import Buffer

    from holdfast.domain.settings import Settings
    from holdfast.io.formats.format import Decoder, Format
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.csv.decoder import CsvDecoder

_HEAD_BYTES = 4096
_UNDECIDED_BYTES_MAX = 1 << 20
"""So many bytes of blanks before everything else are CSV."""


def choose_decoder(name: str | None, file_name: str, csv: CsvDecoder, settings: Settings) -> Decoder:
    """Give the decoder for an input.

    Args:
        name: The name of its format; None to look at its suffix, and at its first bytes where that says nothing.
        file_name: The name of the input.
        csv: A new decoder for CSV, which is used if the input is that; any other keeps the text of its rows if this one does.
        settings: The settings of that decoder.

    Raises:
        ValueError: If there is no such format.
    """
    found = format_of_file(file_name) if name is None else find_format(name)
    if found is None:
        return _DetectingDecoder(csv, settings)
    return csv if found is CSV else found.new_decoder(settings, csv.keep_source)


class _DetectingDecoder:
    """A decoder that waits for the first bytes, and is then that of their format."""

    __slots__ = ("_csv", "_decoder", "_seen", "_settings")

    def __init__(self, csv: CsvDecoder, settings: Settings) -> None:
        self._csv = csv
        self._settings = settings
        self._seen = b""
        self._decoder: Decoder | None = None

    @property
    def has_header(self) -> bool:
        return self._decoder is not None and self._decoder.has_header

    @property
    def lines(self) -> int:
        return 0 if self._decoder is None else self._decoder.lines

    def feed(self, data: Buffer, /) -> list[Batch]:
        if self._decoder is not None:
            return self._decoder.feed(data)
        view = memoryview(data).cast("B")
        found = format_of_bytes(self._seen + bytes(view[:_HEAD_BYTES]))
        if found is None and len(view) > _HEAD_BYTES:
            found = format_of_bytes(self._seen + bytes(view))
        if found is None and len(self._seen) + len(view) < _UNDECIDED_BYTES_MAX:
            self._seen += bytes(view)
            return []
        decoder = self._decide(found)
        return [*decoder.feed(self._take_seen()), *decoder.feed(view)]

    def flush(self) -> Batch | None:
        return None if self._decoder is None else self._decoder.flush()

    def finish(self) -> Batch | None:
        if self._decoder is not None:
            return self._decoder.finish()
        decoder = self._decide(None)
        batches = decoder.feed(self._take_seen())
        last = decoder.finish()
        return batches[0] if batches else last

    def at(self, offset: int, /) -> Decoder:
        if self._decoder is None:
            raise ValueError("the first bytes come first")
        return self._decoder.at(offset)

    def _decide(self, found: Format | None) -> Decoder:
        if found is None or found is CSV:
            self._decoder = self._csv
        else:
            self._decoder = found.new_decoder(self._settings, self._csv.keep_source)
        return self._decoder

    def _take_seen(self) -> bytes:
        seen, self._seen = self._seen, b""
        return seen
