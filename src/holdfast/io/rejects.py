"""Rows that were not applied: what is known about one, and the file that lists them."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import NamedTuple

    from _typeshed import SupportsWrite

    from holdfast.domain.outcome import Outcome
    from holdfast.kernel.batch import Batch
else:
    from holdfast.domain.named_tuples import NamedTuple

REJECTS_HEADER = b"input,line,offset,code,reason,row\n"


class Rejection(NamedTuple):
    """A row that was not applied."""

    input: str
    """The name of the input that has it."""
    line: int
    """On which line, the first being 1; of a row that was never text, its number in the input."""
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


def find_rejection(
    batch: Batch, row: int, outcome: Outcome, input_name: str, *, number: int, decimals: int
) -> Rejection:
    """Look up what there is to say about a row.

    Args:
        batch: Where it is; one that was decoded from text keeps it.
        row: Its place in the batch.
        outcome: Why it was not applied.
        input_name: The input that it belongs to.
        number: Its number in the input, the first being 1: what stands for the line of a row that was never text.
        decimals: With how many decimals its amount is written then.
    """
    try:
        return Rejection(input_name, batch.line(row), batch.offset(row), outcome, batch.raw(row))
    except ValueError:
        return Rejection(input_name, number, 0, outcome, _as_text(batch, row, decimals))


def _as_text(batch: Batch, row: int, decimals: int) -> bytes:
    """Write a row that was never text as it would be in a CSV file."""
    from holdfast.domain.amount import format_units  # noqa: PLC0415  # decimal: files do without
    from holdfast.domain.transaction import TransactionType  # noqa: PLC0415  # dataclasses: the same

    type_ = batch.types[row]
    name = TransactionType(type_).name.lower() if type_ in set(TransactionType) else str(type_)
    amount = format_units(batch.amounts[row], decimals) if type_ <= TransactionType.WITHDRAWAL else ""
    return f"{name},{batch.clients[row]},{batch.txs[row]},{amount}".encode()


class RejectWriter:
    """Writes rejected rows as CSV: input, line, byte offset, code, reason, and the raw row, whatever bytes it has.

    Args:
        file: Takes bytes; the header is written at once.
    """

    def __init__(self, file: SupportsWrite[bytes]) -> None:
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
