"""Rows of files and of bytes in memory, which can be read again."""

from __future__ import annotations

import os
from bisect import bisect_right
from typing import TYPE_CHECKING, NamedTuple

from holdfast.client.inputs import BLOCK_BYTES, is_path
from holdfast.client.row_source import DIGEST_MODULUS, HEADER_BYTES_MAX, check_digest, too_few_rows
from holdfast.domain.settings import Settings
from holdfast.io.compression import open_input, open_source
from holdfast.io.raw import InputError
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.counting import RowCounter
from holdfast.kernel.csv.decoder import CsvDecoder

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from holdfast.client.inputs import File
    from holdfast.domain.outcome import Outcome
    from holdfast.io.compression import InputStream
    from holdfast.io.rejects import Rejection
    from holdfast.kernel.batch import Batch


class _Place(NamedTuple):
    """A row that can be found again without decoding what comes before it."""

    rows: int
    """How many rows of the stream come before it."""
    digest: int | None
    """Their digest; None where it was not needed so far."""
    offset: int
    """At which byte of its part it begins; 0 is the part's beginning with its header, -1 the part's end."""


class FileRows:
    """Files and bytes, one part each, the rows numbered on from one to the next.

    What is sent is counted and not decoded. Rows that a server has are found and compared by decoding up to them from the
    last place that is known.

    Args:
        sources: Paths of regular files, or bytes; compressed or not.
    """

    does_block = True
    is_ready = True

    def __init__(self, sources: Sequence[File]) -> None:
        self._sources = sources
        self._settings = Settings()
        # Where each part begins, as far as that is known.
        self._parts = [_Place(0, 0, 0)]
        self._part = 0
        # The last place in the part at hand that was found, and where the part is read from.
        self._found: _Place | None = None
        self._opened = self._parts[0]
        self._is_fresh = False
        # How long the header of the part at hand is, and a decoder that knows it.
        self._header: tuple[int, CsvDecoder] | None = None
        self._stream: InputStream | None = None
        self._counter = RowCounter()
        self._lead = b""
        self._last_byte = b"\n"
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self._lookup: _RowLookup | None = None
        self._raw_bytes_before = 0

    @property
    def sent_row(self) -> int:
        """The last row that was read to be sent."""
        # The header is counted as well.
        return self._opened.rows + max(0, self._counter.rows - 1)

    @property
    def part(self) -> int:
        """Which source is being sent, the first being 0."""
        return self._part

    def empty_parts(self) -> list[int]:
        """Say which sources had no rows, when all are sent."""
        begins = [*(place.rows for place in self._parts), self.sent_row]
        return [part for part in range(len(self._parts)) if begins[part] == begins[part + 1]]

    @property
    def raw_position(self) -> int:
        """How many bytes, as they are stored, of all parts were used so far."""
        return self._raw_bytes_before + (0 if self._stream is None else self._stream.raw_position())

    def use(self, settings: Settings) -> None:
        """Decode rows as the server does from here on."""
        if settings != self._settings:
            self._settings = settings
            del self._parts[1:]
            self._part = 0
            self._is_fresh = False
            self._found = self._header = None
            self._close_lookup()

    def seek(self, row: int, digest: int | None) -> Generator[None, None, int | None]:
        """Find the row after this one by decoding up to it from the last place that is known.

        Raises:
            StreamMismatchError: If the rows before it are not those that the server has.
            OSError: If a source cannot be read or has no header.
        """
        if self._is_fresh and self._opened.rows == row and self._opened.digest == digest:
            # It is there already: skipping through compressed data once more could take as long as the time before.
            return digest
        self._close_stream()
        self._select_part(self._known_part(row, digest))
        while True:
            place = self._parts[self._part]
            if row > place.rows:
                place = yield from self._find(row)
            is_last = self._part == len(self._sources) - 1
            # At the end of a part, the next one goes on.
            if place.rows == row and (is_last or place.offset >= 0):
                break
            if is_last:
                raise too_few_rows(row, place.rows)
            self._parts.append(place._replace(offset=0))
            self._select_part(self._part + 1)
        if digest is not None:
            check_digest(row, digest, place.digest)
        yield from self._open(place)
        return place.digest

    def read(self) -> bytes | memoryview:
        """Give the next bytes of the part; the last line gets a line end if it has none."""
        self._is_fresh = False
        if self._lead:
            lead, self._lead = self._lead, b""
            return lead
        if self._stream is None:
            return b""
        count = self._stream.readinto(self._buffer)
        if not count:
            return self._end_stream(self._stream)
        self._counter.feed(self._buffer[:count])
        self._last_byte = bytes(self._buffer[count - 1 : count])
        return self._buffer[:count]

    def take_ack(self, row: int) -> None:
        """Nothing is kept, so nothing can be dropped."""

    def end_part(self) -> bool:
        """Note where the next part begins, if there is one."""
        if self._part == len(self._sources) - 1:
            return False
        del self._parts[self._part + 1 :]
        self._parts.append(_Place(self.sent_row, None, 0))
        return True

    def find_rejection(self, row: int, outcome: Outcome) -> Rejection:
        """Look up a row by decoding on from the one that was looked up last."""
        part = self._part_of(row - 1)
        row -= self._parts[part].rows
        if self._lookup is None or self._lookup.part != part or self._lookup.has_passed(row):
            self._close_lookup()
            self._lookup = _RowLookup(_open(self._sources[part]), part, self._settings)
        return self._lookup.find(row, outcome)

    def close(self) -> None:
        """Close what is open."""
        self._close_stream()
        self._close_lookup()

    def _part_of(self, row: int) -> int:
        """Say which part the row after this one is in; parts without rows begin where the next one does."""
        return bisect_right(self._parts, row, key=lambda part: part.rows) - 1

    def _known_part(self, row: int, digest: int | None) -> int:
        """Say from which part on the row after this one has to be searched, so that the digest of all rows before it is known."""
        part = self._part_of(row)
        place = self._parts[part]
        if digest is None:
            return part
        if place.digest is None and place.rows == row:
            # All rows before were sent from here, and the server has summed them up.
            self._parts[part] = place._replace(digest=digest)
        while self._parts[part].digest is None:
            del self._parts[part:]
            part -= 1
        return part

    def _select_part(self, part: int) -> None:
        if part != self._part:
            self._part = part
            self._found = self._header = None

    def _find(self, row: int) -> Generator[None, None, _Place]:
        """Find the row after this one in the part at hand; if the part ends before, its end, at offset -1."""
        start = self._parts[self._part]
        if self._found is not None and self._found.rows <= row:
            start = self._found
        rows, digest = start.rows, start.digest or 0
        with _open(self._sources[self._part]) as stream:
            decoder = yield from self._decoder_at(stream, start)
            for batches in _decoded(stream, decoder, self._buffer):
                for batch in batches:
                    if self._header is None:
                        self._header = batch.offset(0), decoder
                    index = min(batch.rows, row - rows)
                    digest = (digest + batch.digest(0, index, rows)) % DIGEST_MODULUS
                    if index < batch.rows:
                        self._found = _Place(row, digest, batch.offset(index))
                        return self._found
                    rows += index
                yield
        return _Place(rows, digest, -1)

    def _decoder_at(self, stream: InputStream, place: _Place) -> Generator[None, None, CsvDecoder]:
        """Skip to a place; give a decoder that goes on from it."""
        if place.offset and self._header is not None:
            yield from _skip(stream, place.offset, self._buffer)
            return self._header[1].at(place.offset)
        return CsvDecoder(self._settings)

    def _open(self, place: _Place) -> Generator[None, None, None]:
        """Let reading go on from a place."""
        source = self._sources[self._part]
        self._opened, self._counter = place, RowCounter()
        self._is_fresh = False
        self._last_byte = b"\n"
        self._raw_bytes_before = sum(_size(each) for each in self._sources[: self._part])
        self._lead = b""
        if place.offset and self._header is not None:
            self._lead = _read_header(source, self._header[0])
            self._counter.feed(self._lead)
        if place.offset < 0:
            # The server has all of it. A header alone is a valid, empty stream.
            self._raw_bytes_before += _size(source)
            return
        self._stream = _open(source)
        yield from _skip(self._stream, place.offset, self._buffer)
        self._is_fresh = True

    def _end_stream(self, stream: InputStream) -> bytes:
        end = b"" if self._last_byte == b"\n" else b"\n"
        self._counter.feed(end)
        self._raw_bytes_before += stream.raw_position()
        self._close_stream()
        return end

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _close_lookup(self) -> None:
        if self._lookup is not None:
            self._lookup.close()
            self._lookup = None


class _RowLookup:
    """Reads a part once more, as far as rows of it are looked up, in order."""

    def __init__(self, stream: InputStream, part: int, settings: Settings) -> None:
        self.part = part
        self._stream = stream
        decoder = CsvDecoder(settings, keep_source=True)
        buffer = memoryview(bytearray(BLOCK_BYTES))
        self._batches = (batch for batches in _decoded(stream, decoder, buffer) for batch in batches)
        self._decimals = settings.decimals
        self._batch: Batch | None = None
        self._rows_before = 0

    def has_passed(self, row: int) -> bool:
        """Whether the row comes before those that can still be looked up."""
        return row <= self._rows_before

    def find(self, row: int, outcome: Outcome) -> Rejection:
        """Decode up to a row of the part, the first being 1, and give what is known of it."""
        while self._batch is None or row > self._rows_before + self._batch.rows:
            self._rows_before += 0 if self._batch is None else self._batch.rows
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise InputError(self._stream.name, "it has become shorter while it was sent")
        index = row - self._rows_before - 1
        name, decimals = self._stream.name, self._decimals
        return find_rejection(self._batch, index, outcome, name, number=row, decimals=decimals)

    def close(self) -> None:
        """Close the input."""
        self._stream.close()


def _open(source: File) -> InputStream:
    if is_path(source):
        return open_input(os.fspath(source))
    return open_source(source)


def _size(source: File) -> int:
    return os.stat(source).st_size if is_path(source) else memoryview(source).nbytes


def _skip(stream: InputStream, count: int, buffer: memoryview) -> Generator[None, None, None]:
    while count:
        taken = stream.readinto(buffer[: min(count, len(buffer))])
        if not taken:
            raise InputError(stream.name, "it has become shorter while it was sent")
        count -= taken
        yield


def _read_header(source: File, end: int) -> bytes:
    """Read what comes before the first row: the header."""
    with _open(source) as stream:
        if end > HEADER_BYTES_MAX:
            raise InputError(stream.name, f"the first row begins after {HEADER_BYTES_MAX:,} bytes")
        header = bytearray(end)
        view = memoryview(header)
        while view and (count := stream.readinto(view)):
            view = view[count:]
        return bytes(header[: len(header) - len(view)])


def _decoded(stream: InputStream, decoder: CsvDecoder, buffer: memoryview) -> Iterator[list[Batch]]:
    """Decode an input to its end, block by block; no batch is empty."""
    while count := stream.readinto(buffer):
        yield [batch for batch in decoder.feed(buffer[:count]) if batch.rows]
    last = decoder.finish()
    if last is not None and last.rows:
        yield [last]
