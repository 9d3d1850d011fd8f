"""Rows that cannot be read again, kept until the server has decided them."""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from threading import RLock
from typing import TYPE_CHECKING, NamedTuple

from holdfast.client.errors import LostRowsError, StreamMismatchError
from holdfast.client.row_source import DIGEST_MODULUS, HEADER_BYTES_MAX, check_digest, too_few_rows
from holdfast.domain.settings import Settings
from holdfast.io.raw import InputError
from holdfast.io.rejects import find_rejection
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError

if TYPE_CHECKING:
    from collections.abc import Generator

    from holdfast.domain.outcome import Outcome
    from holdfast.io.rejects import Rejection
    from holdfast.kernel.batch import Batch

_LINE_BYTES_MAX = 1024 * 1024
_READ_BYTES = 128 * 1024
# Pieces are small: a batch of the usual size would be mostly empty.
_BATCH_ROWS = 1024
# What a piece costs beside its bytes, so that a million of small ones are not free.
_PIECE_BYTES = 256


class _Piece(NamedTuple):
    """Whole lines."""

    data: bytes
    offset: int
    """At which byte of the input it begins."""
    lines_before: int
    first_row: int
    last_row: int
    digest: int | None = None
    """That of all its rows, if it was found while they were counted."""


class RowBuffer:
    """Rows that a caller gives one piece after the other, with a limit in bytes.

    It keeps the digest of the rows before the first one that it still has, so that the rows that a server says it has
    can be compared with those that were given. One thread may give rows while another one sends them.

    Args:
        name: How errors call the source.
        header: The header of the rows that will be given; None: it is what is given first.
        first_row: The number of the first row that will be given; None: the one after those the server has.
        bytes_max: How much is kept. The buffer says when it is full; its caller waits then.
    """

    does_block = False

    def __init__(self, name: str, *, header: bytes | None, first_row: int | None, bytes_max: int) -> None:
        self.name = name
        self.rows = 0 if first_row is None else first_row - 1
        """The number of the last row given."""
        self.is_ended = False
        self.sent_row = self.rows
        self._lock = RLock()
        self._bytes_max = bytes_max
        self._counts_from_server = first_row is None
        self._is_found = False
        self._acked = 0
        # Rows up to this one are left out: the server has them. They have this digest, if that is known.
        self._skip_to = 0
        self._skip_digest: int | None = None
        # The digest of all rows before the first piece; None where nobody knows it.
        self._digest: int | None = None
        self._mismatch: StreamMismatchError | None = None
        self._settings = Settings(batch_rows=_BATCH_ROWS)
        self._decoder = CsvDecoder(self._settings)
        self._lookup_decoder: CsvDecoder | None = None
        self._looked_up: tuple[int, list[Batch]] = (0, [])
        self._head = b""
        self._header: bytes | None = None
        self._partial = bytearray()
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
    def is_ready(self) -> bool:
        """Whether there is something to begin a connection with."""
        return self._header is not None

    def put(self, data: bytes | memoryview) -> None:
        """Take the next bytes of CSV, the header first; a line is sent when it is whole.

        Raises:
            InputError: If there is no usable header, or a line does not end.
            StreamMismatchError: If the rows are not those that the server has.
        """
        with self._lock:
            self._require_match()
            start = len(self._partial)
            self._partial += data
            cut = self._partial.rfind(b"\n", start) + 1
            if len(self._partial) - cut > _LINE_BYTES_MAX:
                raise InputError(self.name, f"a line does not end after {_LINE_BYTES_MAX:,} bytes")
            if cut:
                lines = bytes(memoryview(self._partial)[:cut])
                del self._partial[:cut]
                self._put_lines(lines)

    def put_rows(self, data: bytes, rows: int) -> None:
        """Take so many rows as :func:`encode_rows` writes them, with no blank lines among them.

        Raises:
            StreamMismatchError: If the rows are not those that the server has.
        """
        with self._lock:
            self._require_match()
            self._add(data, rows, rows)

    def end(self) -> None:
        """Take no more: a last line without an end gets one.

        Raises:
            InputError: If there is no usable header.
            StreamMismatchError: If the server has more rows than were given.
        """
        with self._lock:
            self._require_match()
            if self._partial:
                self.put(b"\n")
            if self._header is None:
                raise InputError(
                    self.name,
                    "the input has no header, only blank lines" if self._head else "the input is empty",
                )
            self.is_ended = True
            if self.rows < self._skip_to:
                raise too_few_rows(self._skip_to, self.rows)

    def use(self, settings: Settings) -> None:
        """Decode rows as the server does from here on."""
        with self._lock:
            settings = settings._replace(batch_rows=_BATCH_ROWS)
            if settings == self._settings:
                return
            self._settings = settings
            self._decoder = CsvDecoder(settings)
            self._lookup_decoder = None
            self._looked_up = (0, [])
            if self._header is not None:
                self._decoder.feed(self._header)
            if self._is_found:
                # Rows that are gone had their digest under other settings.
                self._digest = None
            self._pieces = deque(piece._replace(digest=None) for piece in self._pieces)

    def seek(self, row: int, digest: int | None) -> Generator[None, None, int | None]:
        """Go to the row after this one, which is kept or will come.

        Raises:
            LostRowsError: If it was acknowledged and is not kept any more.
            StreamMismatchError: If the rows before it are not those that the server has.
        """
        yield from ()
        with self._lock:
            if not self._is_found:
                self._begin(row, digest)
            elif row > max(self.rows, self._skip_to):
                raise too_few_rows(row, self.rows)
            if self.is_ended and row > self.rows:
                raise too_few_rows(row, self.rows)
            first_kept = self._pieces[0].first_row if self._pieces else self.rows + 1
            if row + 1 < first_kept:
                raise self._lost(row + 1, first_kept - 1)
            self._skip_to, self._skip_digest = row, digest
            self._drop_to(row)
            self._unsent = 0
            self._lead = self._header or b""
            self.sent_row = row
            return self._check() if self.rows >= row else None

    def read(self) -> bytes | None:
        """Give what was not sent yet, up to a good size for a write."""
        with self._lock:
            self._require_match()
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
        """Let go of the pieces whose rows are all decided."""
        with self._lock:
            self._acked = row
            while self._unsent and self._pieces[0].last_row <= row:
                self._drop_first()

    def end_part(self) -> bool:
        """Let go of everything: the server has it all. There is one part."""
        self.take_ack(self.rows)
        return False

    def find_rejection(self, row: int, outcome: Outcome) -> Rejection:
        """Look up a row among those that are kept; rows of one piece are decoded once."""
        with self._lock:
            index = bisect_left(self._pieces, row, key=lambda piece: piece.last_row)
            piece = self._pieces[index]
            if self._looked_up[0] != piece.first_row:
                batches = self._decode(piece)
                for batch in batches:
                    batch.move_lines(piece.lines_before)
                self._looked_up = piece.first_row, batches
            first = piece.first_row
            for batch in self._looked_up[1]:
                if row < first + batch.rows:
                    return find_rejection(
                        batch, row - first, outcome, self.name, number=row, decimals=self._settings.decimals
                    )
                first += batch.rows
            raise AssertionError(f"row {row} is not in its piece")

    def close(self) -> None:
        """Nothing is open."""

    def _put_lines(self, text: bytes) -> None:
        try:
            batches = self._decoder.feed(text)
        except HeaderError as error:
            raise InputError(self.name, error.fact) from error
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
        rows, digest = 0, 0
        for batch in batches:
            if self._digest is not None:
                digest += batch.digest(0, batch.rows, self.rows + rows)
            rows += batch.rows
        self._add(text, rows, text.count(b"\n"), None if self._digest is None else digest)

    def _set_header(self, header: bytes) -> None:
        self._header = self._lead = header
        self._head = b""
        self._offset = len(header)
        self._lines = header.count(b"\n")

    def _add(self, text: bytes, rows: int, lines: int, digest: int | None = None) -> None:
        piece = _Piece(text, self._offset, self._lines, self.rows + 1, self.rows + rows, digest)
        self.rows += rows
        self._offset += len(text)
        self._lines += lines
        if rows == 0:
            return
        self._pieces.append(piece)
        self._held_bytes += len(text) + _PIECE_BYTES
        if piece.first_row <= self._skip_to:
            self._drop_to(self._skip_to)
            if self.rows >= self._skip_to:
                self._check()

    def _begin(self, server_rows: int, digest: int | None) -> None:
        """Learn at the first connection what the server has."""
        self._is_found = True
        if self._counts_from_server:
            self._renumber(server_rows)
        if digest is None:
            return
        first = self._pieces[0].first_row if self._pieces else self.rows + 1
        # What comes before the first row that is given cannot be compared.
        self._digest = 0 if first == 1 else digest if first == server_rows + 1 else None

    def _renumber(self, by: int) -> None:
        self.rows += by
        self._pieces = deque(
            piece._replace(first_row=piece.first_row + by, last_row=piece.last_row + by)
            for piece in self._pieces
        )

    def _check(self) -> int | None:
        """Compare the rows that the server has with those that were given; give their digest, if it is known."""
        if self._digest is not None and self._skip_digest is not None:
            try:
                check_digest(self._skip_to, self._digest, self._skip_digest)
            except StreamMismatchError as error:
                self._mismatch = error
                raise
        return self._digest

    def _require_match(self) -> None:
        """Let nothing be sent of an input that turned out to be another one, whatever its caller does."""
        if self._mismatch is not None:
            raise self._mismatch

    def _drop_to(self, row: int) -> None:
        """Let go of the rows up to this one."""
        while self._pieces and self._pieces[0].last_row <= row:
            self._drop_first()
        if self._pieces and self._pieces[0].first_row <= row:
            self._cut_first(row)

    def _drop_first(self) -> None:
        piece = self._pieces.popleft()
        if self._digest is not None:
            self._add_digest(piece, piece.last_row)
        self._held_bytes -= len(piece.data) + _PIECE_BYTES
        self._unsent = max(0, self._unsent - 1)

    def _cut_first(self, row: int) -> None:
        """Leave out the rows of the first piece up to this one."""
        piece = self._pieces[0]
        if self._digest is not None:
            self._add_digest(piece, row)
        first = piece.first_row
        for batch in self._decode(piece):
            if row + 1 < first + batch.rows:
                index = row + 1 - first
                cut = batch.offset(index) - piece.offset
                lines_before = piece.lines_before + batch.line(index) - 1
                rest = _Piece(piece.data[cut:], piece.offset + cut, lines_before, row + 1, piece.last_row)
                self._pieces[0] = rest
                self._held_bytes -= cut
                return
            first += batch.rows
        raise AssertionError(f"row {row} is not in its piece")

    def _add_digest(self, piece: _Piece, row: int) -> None:
        """Add the digest of a piece's rows up to this one."""
        first, digest = piece.first_row, self._digest or 0
        if piece.digest is not None and row == piece.last_row:
            self._digest = (digest + piece.digest) % DIGEST_MODULUS
            return
        for batch in self._decode(piece):
            digest += batch.digest(0, max(0, min(batch.rows, row + 1 - first)), first - 1)
            first += batch.rows
        self._digest = digest % DIGEST_MODULUS

    def _decode(self, piece: _Piece) -> list[Batch]:
        if self._lookup_decoder is None:
            self._lookup_decoder = CsvDecoder(self._settings, keep_source=True)
            self._lookup_decoder.feed(self._header or b"")
        decoder = self._lookup_decoder.at(piece.offset)
        return [
            batch
            for batch in (*decoder.feed(piece.data), decoder.flush())
            if batch is not None and batch.rows
        ]

    def _lost(self, first: int, last: int) -> LostRowsError:
        message = f"the server has {first - 1:,} rows of the stream"
        if self._acked:
            message += f", but it acknowledged row {self._acked:,}: it has lost its memory"
        return LostRowsError(
            f"{message}; rows {first:,} to {last:,} are not here: send them (again) from where they come from",
            first,
            last,
        )
