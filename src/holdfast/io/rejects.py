"""Rows that were not applied: what is known about one, and the file that lists them."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import BinaryIO, NamedTuple

    from holdfast.domain.outcome import Outcome
    from holdfast.kernel.batch import Batch
else:
    from holdfast.domain.named_tuples import NamedTuple

REJECTS_HEADER = b"input,line,offset,code,reason,row\n"


class Rejection(NamedTuple):
    """A row that was not applied."""

    input: str
    """The name of the input it stands in."""
    line: int
    """On which line, the first being 1."""
    offset: int
    """At which byte of the (decompressed) input it begins, the first being 0."""
    outcome: Outcome
    """Why it was not applied."""
    raw: bytes
    """The row itself, without its line end; of one that is too long, as much as the limit allows."""

    def __str__(self) -> str:
        """Say in one line where the row is, what it says and why it was not applied."""
        text = self.raw.decode(errors="backslashreplace")
        where = f"{self.input}, line {self.line}, byte {self.offset}"
        return f"{where}: {self.outcome.name}: {self.outcome.explanation} Row: {text!r}"


def find_rejection(batch: Batch, row: int, outcome: Outcome, input_name: str) -> Rejection:
    """Look up what there is to say about a row of a batch that keeps its source."""
    return Rejection(input_name, batch.line(row), batch.offset(row), outcome, batch.raw(row))


class RejectWriter:
    """Writes rejected rows as CSV: input, line, byte offset, code, reason, and the raw row, whatever bytes it has.

    Args:
        file: Open for bytes; the header is written at once.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        file.write(REJECTS_HEADER)

    def write(self, rejection: Rejection) -> None:
        """Add a row."""
        outcome = rejection.outcome
        self._file.write(
            b"%b,%d,%d,%b,%b,%b\n"
            % (
                _quoted(rejection.input.encode(errors="surrogateescape")),
                rejection.line,
                rejection.offset,
                outcome.name.encode(),
                _quoted(outcome.explanation.encode()),
                _quoted(rejection.raw),
            )
        )


def _quoted(field: bytes) -> bytes:
    """Quote as RFC 4180 says. The bytes of a row are kept as they are, UTF-8 or not, so that nothing about it is lost."""
    return b'"' + field.replace(b'"', b'""') + b'"'
