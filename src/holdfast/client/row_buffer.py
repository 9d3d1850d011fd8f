"""Rows that cannot be read again, kept until the server has decided them."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

from holdfast.client.errors import LostRowsError, ProtocolError, StreamMismatchError
from holdfast.client.feeds import HEADER_BYTES_MAX
from holdfast.domain.settings import Settings
from holdfast.io.raw import InputError
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError

if TYPE_CHECKING:
    from holdfast.domain.outcome import Outcome
    from holdfast.io.rejects import Rejection

_LINE_BYTES_MAX = 1024 * 1024
_READ_BYTES = 128 * 1024
# What a piece costs beside its bytes, so that a million of small ones are not free.
_PIECE_BYTES = 256


class _Piece(NamedTuple):
    """Whole lines."""

    data: bytes
    offset: int
    """At which byte of the stream it begins."""
    lines_before: int
    first_row: int
    last_row: int


class RowBuffer:
    """A feed that is given its rows as they come about, with a limit in bytes.

    Args:
        name: How errors call the source.
        header: The header of the rows that will be given; None: it is what is given first.
        first_row: The number of the first row that will be given; None: the one behind those the server has.
        bytes_max: How much is kept. The buffer says when it is full; whoever gives it rows waits then.
    """

    does_block = False

    def __init__(self, name: str, *, header: bytes | None, first_row: int | None, bytes_max: int) -> None:
        self.name = name
        self.rows = 0 if first_row is None else first_row - 1
        """The number of the last row given."""
        self.is_ended = False
        self.sent_row: int | None = self.rows
        self._bytes_max = bytes_max
        self._counts_from_server = first_row is None
        self._is_found = False
        self._skip_to = 0
        self._acked = 0
        self._decoder = CsvDecoder(Settings(batch_rows=1024))
        self._source_decoder: CsvDecoder | None = None
        self._head = b""
        self._header: bytes | None = None
        self._partial = b""
        self._offset = 0
        self._lines = 0
        self._pieces: deque[_Piece] = deque()
        self._held_bytes = 0
        # The index of the first piece that was not read yet.
        self._unsent = 0
        self._lead = b""
        if header is not None:
            self.put(header.rstrip(b"\r\n") + b"\n")

    @property
    def is_full(self) -> bool:
        """Whether the limit is reached."""
        return self._held_bytes >= self._bytes_max

    @property
    def is_settled(self) -> bool:
        """Whether every whole row that was given is decided."""
        return not self._pieces

    @property
    def raw_position(self) -> int:
        """How many bytes were given so far."""
        return self._offset

    @property
    def has_header(self) -> bool:
        """Whether there is something to begin a connection with."""
        return self._header is not None

    def put(self, data: bytes | memoryview) -> None:
        """Take the next bytes of CSV, the header first; a line is sent when it is whole.

        Raises:
            InputError: If there is no usable header, or a line does not end.
        """
        text = self._partial + data
        cut = text.rfind(b"\n") + 1
        self._partial = text[cut:]
        if len(self._partial) > _LINE_BYTES_MAX:
            raise InputError(self.name, f"a line does not end after {_LINE_BYTES_MAX:,} bytes")
        if cut:
            self._put_lines(text[:cut])

    def put_group(self, data: bytes, rows: int) -> None:
        """Take rows whose number is known, or, if it is 0, bytes."""
        if rows:
            self.put_rows(data, rows)
        else:
            self.put(data)

    def put_rows(self, data: bytes, rows: int) -> None:
        """Take rows as :func:`encode_row` writes them, with no blank lines among them."""
        self._add(data, rows, rows)

    def end(self) -> None:
        """Take no more: a last line without an end gets one.

        Raises:
            InputError: If there is no usable header.
            StreamMismatchError: If the server has more rows than were given.
        """
        if self._partial:
            self.put(b"\n")
        if self._header is None:
            raise InputError(
                self.name, "the input has no header, only blank lines" if self._head else "the input is empty"
            )
        self.is_ended = True
        if self.rows < self._skip_to:
            raise self._mismatch(self._skip_to)

    def seek(self, row: int) -> None:
        """Go to a row that is kept, or to the next one; the first time, to any one that will come.

        Raises:
            LostRowsError: If it was acknowledged and is not kept any more.
            StreamMismatchError: If it lies beyond what was given.
        """
        if not self._is_found:
            self._start(row - 1)
        elif row - 1 > max(self.rows, self._skip_to):
            raise self._mismatch(row - 1)
        first_kept = self._pieces[0].first_row if self._pieces else max(self.rows, self._skip_to) + 1
        if row < first_kept:
            raise self._lost(row, first_kept - 1)
        self._rewind(row)
        self._lead = self._header or b""
        self.sent_row = row - 1

    def read(self) -> bytes | None:
        """Give what was not sent yet, up to a good size for a write."""
        if self._header is None:
            return None
        if self._lead:
            lead, self._lead = self._lead, b""
            return lead
        parts, size = [], 0
        while self._unsent < len(self._pieces) and size < _READ_BYTES:
            piece = self._pieces[self._unsent]
            parts.append(piece.data)
            size += len(piece.data)
            self.sent_row = piece.last_row
            self._unsent += 1
        if parts:
            return parts[0] if len(parts) == 1 else b"".join(parts)
        return b"" if self.is_ended else None

    def take_ack(self, row: int) -> None:
        """Let go of the pieces whose rows are all decided.

        Raises:
            ProtocolError: If that row was not even given.
        """
        if row > max(self.sent_row or 0, self._skip_to):
            raise ProtocolError(
                f"the server acknowledged row {row:,}, but only {self.sent_row:,} rows were sent"
            )
        self._acked = row
        while self._unsent and self._pieces[0].last_row <= row:
            self._drop()

    def end_part(self, row: int) -> bool:
        """Check that the server has it all; there is one part.

        Raises:
            ProtocolError: If it says that it has not.
        """
        if row != max(self.rows, self._skip_to):
            raise ProtocolError(f"the server ends at row {row:,}, but {self.rows:,} rows were sent")
        self._pieces.clear()
        self._held_bytes = self._unsent = 0
        return False

    def rejection(self, row: int, outcome: Outcome) -> Rejection:
        """Look up a row among those that are kept."""
        piece = next((piece for piece in self._pieces if piece.first_row <= row <= piece.last_row), None)
        if piece is None:
            raise ProtocolError(f"the server refused row {row:,}, which it had decided before")
        if self._source_decoder is None:
            self._source_decoder = CsvDecoder(keep_source=True)
            self._source_decoder.feed(self._header or b"")
        decoder = self._source_decoder.at(piece.offset)
        first = piece.first_row
        for batch in [*decoder.feed(piece.data), decoder.flush()]:
            if batch is not None and row < first + batch.rows:
                batch.move_lines(piece.lines_before)
                return find_rejection(batch, row - first, outcome, self.name, number=row, decimals=4)
            first += 0 if batch is None else batch.rows
        raise AssertionError(f"row {row} is not in its piece")

    def close(self) -> None:
        """Nothing is open."""

    def _put_lines(self, text: bytes) -> None:
        try:
            batches = self._decoder.feed(text)
        except HeaderError as error:
            raise InputError(self.name, str(error)) from error
        last = self._decoder.flush()
        if last is not None:
            batches.append(last)
        if self._header is None:
            text = self._head + text
            if not self._decoder.has_header:
                self._head = text
                if len(text) > HEADER_BYTES_MAX:
                    raise InputError(self.name, f"the header does not come within {HEADER_BYTES_MAX:,} bytes")
                return
            first = batches[0].offset(0) if batches else len(text)
            self._set_header(text[:first])
            text = text[first:]
        self._add(text, sum(batch.rows for batch in batches), self._decoder.lines - self._lines)

    def _set_header(self, header: bytes) -> None:
        self._header = self._lead = header
        self._head = b""
        self._offset = len(header)
        self._lines = header.count(b"\n")

    def _add(self, text: bytes, rows: int, lines: int) -> None:
        piece = _Piece(text, self._offset, self._lines, self.rows + 1, self.rows + rows)
        self.rows += rows
        self._offset += len(text)
        self._lines += lines
        if rows == 0 or self.rows <= self._skip_to:
            return
        self._pieces.append(piece)
        self._held_bytes += len(text) + _PIECE_BYTES
        if piece.first_row <= self._skip_to:
            self._cut_first(self._skip_to + 1)

    def _start(self, server_rows: int) -> None:
        """Learn at the first connection what the server has."""
        self._is_found = True
        if self._counts_from_server:
            self._renumber(server_rows)
        elif self.is_ended and server_rows > self.rows:
            raise self._mismatch(server_rows)
        else:
            self._skip_to = server_rows
            while self._pieces and self._pieces[0].last_row <= server_rows:
                self._drop()

    def _renumber(self, by: int) -> None:
        self.rows += by
        self._pieces = deque(
            piece._replace(first_row=piece.first_row + by, last_row=piece.last_row + by)
            for piece in self._pieces
        )

    def _rewind(self, row: int) -> None:
        while self._pieces and self._pieces[0].last_row < row:
            self._drop()
        if self._pieces and self._pieces[0].first_row < row:
            self._cut_first(row)
        self._unsent = 0

    def _cut_first(self, row: int) -> None:
        """Leave out the rows of the first piece before this one."""
        piece = self._pieces[0]
        decoder = self._decoder.at(0)
        before = piece.first_row
        for batch in [*decoder.feed(piece.data), decoder.flush()]:
            if batch is None:
                continue
            if row < before + batch.rows:
                cut = batch.offset(row - before)
                lines_before = piece.lines_before + batch.line(row - before) - 1
                self._pieces[0] = _Piece(
                    piece.data[cut:], piece.offset + cut, lines_before, row, piece.last_row
                )
                self._held_bytes -= cut
                return
            before += batch.rows

    def _drop(self) -> None:
        self._held_bytes -= len(self._pieces.popleft().data) + _PIECE_BYTES
        self._unsent = max(0, self._unsent - 1)

    def _lost(self, first: int, last: int) -> LostRowsError:
        stands = f"the server stands at row {first - 1:,} of the stream"
        if self._acked:
            stands += f", but it acknowledged row {self._acked:,}: it has lost its memory"
        return LostRowsError(
            f"{stands}; rows {first:,} to {last:,} are not here: send them (again) from where they come from",
            first,
            last,
        )

    def _mismatch(self, rows: int) -> StreamMismatchError:
        return StreamMismatchError(
            f"the stream stands at row {rows:,}, but {self.rows:,} rows were given: "
            "something else was sent under this name; choose another one",
            rows,
        )
