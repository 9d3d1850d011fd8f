"""What is sent, and how it is found again after a connection was lost: inputs that can be read once more."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple, Protocol

from holdfast.client.errors import StreamMismatchError
from holdfast.domain.settings import Settings
from holdfast.io.compression import open_input, open_source
from holdfast.io.raw import InputError
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from typing_extensions import TypeIs

    from holdfast.domain.outcome import Outcome
    from holdfast.io.compression import InputStream
    from holdfast.io.rejects import Rejection
    from holdfast.kernel.batch import Batch

    File = str | os.PathLike[str] | bytes | bytearray | memoryview

BLOCK_BYTES = 256 * 1024
HEADER_BYTES_MAX = 64 * 1024


class Feed(Protocol):
    """Rows of a stream, numbered from 1, in one or several parts that each need a connection (and a header)."""

    does_block: bool
    """Whether :meth:`seek` and :meth:`read` wait for a disk."""

    @property
    def sent_row(self) -> int | None:
        """The last row that was read to be sent; None where nobody counts."""

    def seek(self, row: int) -> None:
        """Let the next :meth:`read` begin with a header and this row."""

    def read(self) -> bytes | memoryview | None:
        """Give the next bytes, valid until the next call; none at the end of the part, None if there are none yet."""

    def take_ack(self, row: int) -> None:
        """Learn that rows up to this one are decided."""

    def end_part(self, row: int) -> bool:
        """Learn that the part ended with this row; tell whether another one follows."""

    def rejection(self, row: int, outcome: Outcome) -> Rejection:
        """Look up a row that was refused, before it is acknowledged."""

    def close(self) -> None:
        """Close what is open."""


def list_files(source: object) -> list[File] | None:
    """Give what can be read again: bytes, the path of a regular file, or a list of such paths; None if it is else.

    Raises:
        OSError: If there is no such file.
        TypeError: If there are several, and one is a pipe.
    """
    if isinstance(source, list) and len(source) > 1 and is_path(source[0]):
        files = [_as_file(each) for each in source]
        if None in files:
            pipe = source[files.index(None)]
            raise TypeError(f"{pipe}: only regular files are sent together; a pipe is sent alone")
        return [file for file in files if file is not None]
    one = source[0] if isinstance(source, list) and len(source) == 1 and is_path(source[0]) else source
    file = _as_file(one)
    return None if file is None else [file]


def _as_file(source: object) -> File | None:
    if isinstance(source, bytes | bytearray | memoryview):
        return source
    return source if is_path(source) and stat.S_ISREG(os.stat(source).st_mode) else None


def is_path(source: object) -> TypeIs[str | os.PathLike[str]]:
    """Whether a source is a path."""
    return isinstance(source, str | os.PathLike)


def take_first(source: object) -> tuple[object, object]:
    """Look at the first item of an iterable; give it, and something to read it all from."""
    is_file = is_path(source) or hasattr(source, "read") or hasattr(source, "readinto")
    if is_file or not isinstance(source, Iterable):
        return None, source
    items = iter(source)
    first = next(items, None)
    return first, chain([] if first is None else [first], items)


class _Mark(NamedTuple):
    """A place in a part that was found before."""

    part: int
    rows: int
    offset: int
    decoder: CsvDecoder
    header: bytes


class FilesFeed:
    """Files and bytes, one part each, the rows numbered on from one to the next.

    A row is found by decoding what comes before it, from the last place that was found; nothing is kept of what
    was sent.

    Args:
        sources: Paths of regular files, or bytes; compressed or not.
    """

    does_block = True
    is_full = False
    sent_row: int | None = None

    def __init__(self, sources: Sequence[File]) -> None:
        self._sources = sources
        # How many rows come before each part, as far as that is known.
        self._rows_before = [0]
        self._part = 0
        self._mark: _Mark | None = None
        self._header = b""
        self._stream: InputStream | None = None
        self._lead = b""
        self._last_byte = b"\n"
        self._buffer = memoryview(bytearray(BLOCK_BYTES))
        self._finder: _Finder | None = None
        self._raw_bytes_before = 0

    @property
    def raw_position(self) -> int:
        """How many bytes, as they are stored, of all parts were used so far."""
        return self._raw_bytes_before + (0 if self._stream is None else self._stream.raw_position())

    def seek(self, row: int) -> None:
        """Find a row by decoding up to it.

        Raises:
            StreamMismatchError: If there are fewer rows before it than that.
            OSError: If a source cannot be read or has no header.
        """
        self._close_stream()
        while True:
            # The last part that begins at or before the row; parts without rows begin where the next one does.
            self._part = max(0, bisect_left(self._rows_before, row) - 1)
            rows_before = self._rows_before[self._part]
            wanted = row - 1 - rows_before
            offset, rows = (0, 0) if wanted == 0 else self._find(wanted)
            is_last = self._part == len(self._sources) - 1
            if rows == wanted and (offset >= 0 or is_last):
                break
            if is_last:
                raise StreamMismatchError(_say_mismatch(row - 1, rows_before + rows), row - 1)
            self._set_end(rows_before + rows)
        self._open(offset, wanted)

    def read(self) -> bytes | memoryview:
        """Give the next bytes of the part; the last line gets a line end if it has none."""
        if self._lead:
            lead, self._lead = self._lead, b""
            return lead
        count = 0 if self._stream is None else self._stream.readinto(self._buffer)
        if count:
            self._last_byte = bytes(self._buffer[count - 1 : count])
            return self._buffer[:count]
        end, self._last_byte = b"" if self._last_byte == b"\n" else b"\n", b"\n"
        return end

    def take_ack(self, row: int) -> None:
        """Nothing is kept, so nothing can be dropped."""

    def end_part(self, row: int) -> bool:
        """Note where the next part begins, if there is one."""
        if self._part == len(self._sources) - 1:
            return False
        self._set_end(row)
        return True

    def rejection(self, row: int, outcome: Outcome) -> Rejection:
        """Look up a row by decoding on from the one that was looked up last."""
        part = max(0, bisect_left(self._rows_before, row) - 1)
        rows_before = self._rows_before[part]
        if self._finder is None or self._finder.part != part or self._finder.has_passed(row - rows_before):
            self._close_finder()
            self._finder = _Finder(_open(self._sources[part]), part)
        return self._finder.rejection(row - rows_before, outcome)

    def close(self) -> None:
        """Close what is open."""
        self._close_stream()
        self._close_finder()

    def _find(self, wanted: int) -> tuple[int, int]:
        """Find where the part goes on behind so many rows: the byte and the rows; -1 and all rows if it does not."""
        mark = self._mark
        with _open(self._sources[self._part]) as stream:
            decoder, rows = CsvDecoder(Settings(batch_rows=65_536)), 0
            if mark is not None and mark.part == self._part and mark.rows <= wanted:
                _skip(stream, mark.offset, self._buffer)
                decoder, rows, self._header = mark.decoder.at(mark.offset), mark.rows, mark.header
            try:
                return self._search(stream, decoder, rows, wanted)
            except HeaderError as error:
                raise InputError(stream.name, str(error)) from error

    def _search(self, stream: InputStream, decoder: CsvDecoder, rows: int, wanted: int) -> tuple[int, int]:
        for batch in _batches(stream, decoder, self._buffer):
            if rows == 0:
                self._header = _head(stream, self._sources[self._part], batch.offset(0))
            if rows + batch.rows > wanted:
                offset = batch.offset(wanted - rows)
                self._mark = _Mark(self._part, wanted, offset, decoder, self._header)
                return offset, wanted
            rows += batch.rows
        return -1, rows

    def _open(self, offset: int, wanted: int) -> None:
        self._last_byte = b"\n"
        self._lead = self._header if wanted else b""
        self._raw_bytes_before = sum(_size(source) for source in self._sources[: self._part])
        if wanted and offset < 0:
            # All of the part is taken: its header is a valid, empty stream.
            self._raw_bytes_before += _size(self._sources[self._part])
            return
        self._stream = _open(self._sources[self._part])
        _skip(self._stream, offset, self._buffer)

    def _set_end(self, row: int) -> None:
        del self._rows_before[self._part + 1 :]
        self._rows_before.append(row)

    def _close_stream(self) -> None:
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _close_finder(self) -> None:
        if self._finder is not None:
            self._finder.close()
            self._finder = None


class _Finder:
    """Reads a part once more, as far as rows of it are looked up, in order."""

    def __init__(self, stream: InputStream, part: int) -> None:
        self.part = part
        self._stream = stream
        decoder = CsvDecoder(keep_source=True)
        self._batches = _batches(stream, decoder, memoryview(bytearray(BLOCK_BYTES)))
        self._batch: Batch | None = None
        self._rows_before = 0

    def has_passed(self, row: int) -> bool:
        """Whether the row lies behind."""
        return row <= self._rows_before

    def rejection(self, row: int, outcome: Outcome) -> Rejection:
        """Decode up to a row and give what is known of it."""
        while self._batch is None or row > self._rows_before + self._batch.rows:
            self._rows_before += 0 if self._batch is None else self._batch.rows
            self._batch = next(self._batches, None)
            if self._batch is None:
                raise StreamMismatchError(_say_mismatch(row, self._rows_before), row)
        return find_rejection(
            self._batch, row - self._rows_before - 1, outcome, self._stream.name, number=row, decimals=4
        )

    def close(self) -> None:
        """Close the input."""
        self._stream.close()


def _say_mismatch(stream_rows: int, input_rows: int) -> str:
    return (
        f"the stream stands at row {stream_rows:,}, but the input has {input_rows:,} rows: "
        "something else was sent under this name; choose another one"
    )


def _open(source: File) -> InputStream:
    if is_path(source):
        return open_input(os.fspath(source))
    return open_source(source)


def _size(source: File) -> int:
    return os.stat(source).st_size if is_path(source) else memoryview(source).nbytes


def _skip(stream: InputStream, count: int, buffer: memoryview) -> None:
    while count:
        taken = stream.readinto(buffer[: min(count, len(buffer))])
        if not taken:
            raise InputError(stream.name, "it has become shorter while it was sent")
        count -= taken


def _head(stream: InputStream, source: File, end: int) -> bytes:
    """Read what comes before the first row: the header."""
    if end > HEADER_BYTES_MAX:
        raise InputError(stream.name, f"the first row begins behind {HEADER_BYTES_MAX:,} bytes")
    head = bytearray(end)
    view = memoryview(head)
    with _open(source) as again:
        while view:
            view = view[again.readinto(view) or len(view) :]
    return bytes(head)


def _batches(stream: InputStream, decoder: CsvDecoder, buffer: memoryview) -> Iterator[Batch]:
    """Decode an input to its end, batch by batch, none of them empty."""
    while count := stream.readinto(buffer):
        yield from decoder.feed(buffer[:count])
    last = decoder.finish()
    if last is not None and last.rows:
        yield last
