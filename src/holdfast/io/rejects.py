"""Rows that were not applied: what is known about one, and the file that lists them."""

from __future__ import annotations

from holdfast.domain.outcome import Outcome, Severity
from holdfast.io.descriptors import write_whole

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import NamedTuple

    from _typeshed import SupportsWrite

    from holdfast.kernel.batch import Batch
else:
    from holdfast.domain.named_tuples import NamedTuple

REJECTS_HEADER = b"input,line,offset,code,reason,row\n"


class Rejection(NamedTuple):
    """A row that was not applied."""

    input: str
    """The name of its input."""
    line: int
    """On which line, the first being 1; of a row that was never text, its number in the input."""
    offset: int
    """At which byte of the (decompressed) input it begins, the first being 0."""
    outcome: Outcome
    """Why it was not applied."""
    raw: bytes
    """The row itself, without its line end; of one that is too long, as much as the limit allows."""
    detail: str = ""
    """Which of its causes the outcome has here, for people; empty where the outcome says it all."""

    @property
    def reason(self) -> str:
        """Why it was not applied, in one sentence."""
        return full_reason(self.outcome, self.detail)

    def __str__(self) -> str:
        """Say in one line where the row is, what it says and why it was not applied."""
        text = self.raw.decode(errors="backslashreplace")
        where = f"{self.input}, line {self.line}, byte {self.offset}"
        return f"{where}: {self.outcome.name}: {self.reason} Row: {text!r}"


def full_reason(outcome: Outcome, detail: str) -> str:
    """Give an outcome's explanation with a detail, in one sentence."""
    if not detail:
        return outcome.explanation
    # Causes that the explanation itself lists are not of interest any more.
    return f"{outcome.explanation.partition(':')[0].removesuffix('.')}: {detail}."


def find_rejection(
    batch: Batch, row: int, outcome: Outcome, input_name: str, *, number: int, decimals: int
) -> Rejection:
    """Look up what there is to say about a row.

    Args:
        batch: Where it is; one that was decoded from text keeps it.
        row: Its place in the batch.
        outcome: Why it was not applied.
        input_name: The name of its input.
        number: Its number in the input, the first being 1: what stands for the line of a row that was never text.
        decimals: With how many decimals its amount is written then.
    """
    try:
        line, offset = batch.line(row), batch.offset(row)
    except ValueError:
        line, offset = number, 0
    text = _find_text(batch, row)
    detail = find_detail(batch, row, outcome, text, decimals=decimals)
    raw = text if text is not None else _as_text(batch, row, decimals)
    return Rejection(input_name, line, offset, outcome, raw, detail)


def _find_text(batch: Batch, row: int) -> bytes | None:
    try:
        return batch.raw(row)
    except ValueError:
        return None


def find_detail(batch: Batch, row: int, outcome: Outcome, text: bytes | None, *, decimals: int) -> str:
    """Say which of its causes an outcome has for a row: something only where the row could not be read.

    Args:
        batch: Where it is.
        row: Its place in the batch.
        outcome: Why it was not applied.
        text: Its text; None if it was none, or was not kept.
        decimals: How many decimals an amount keeps.
    """
    if outcome.severity is not Severity.MALFORMED:
        return ""
    from holdfast.kernel.csv.explain import RowLimits, explain_number, explain_row  # noqa: PLC0415  # rarely needed

    if batch.roles is not None:
        limits = RowLimits(batch.client_max, batch.tx_max, decimals, batch.row_bytes_max)
        if text is not None and not batch.roles:
            from holdfast.kernel.ndjson.explain import explain_object  # noqa: PLC0415  # rarely needed

            return explain_object(text, limits, outcome)
        return explain_row(text, batch.roles, limits, outcome, batch.dialect) if text is not None else ""
    if outcome in {Outcome.INVALID_CLIENT, Outcome.INVALID_TX}:
        is_client = outcome is Outcome.INVALID_CLIENT
        name, number = ("client", batch.clients[row]) if is_client else ("tx", batch.txs[row])
        largest = batch.client_max if is_client else batch.tx_max
        # In a column of signed numbers, a number with its top bit set is below 0.
        cause = f"it is below 0 or above {largest}" if number >> 63 else explain_number(name, number, largest)
        return cause or f"the {name} is null"
    if outcome is Outcome.UNKNOWN_TYPE:
        type_ = batch.types[row]
        return "the type is null" if 1 <= type_ <= 5 else f"the type is number {type_}, and these are 1 to 5"
    return ""


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
        write_whole(file, REJECTS_HEADER)

    def add(self, rejection: Rejection, batch: Batch, row: int) -> None:  # noqa: ARG002  # a table needs more of a row
        """Add a row of a batch."""
        self.write(rejection)

    def write(self, rejection: Rejection) -> None:
        """Add a row."""
        outcome = rejection.outcome
        write_whole(
            self._file,
            b"%b,%d,%d,%b,%b,%b\n"
            % (
                _quoted(rejection.input.encode(errors="surrogateescape")),
                rejection.line,
                rejection.offset,
                outcome.name.encode(),
                _quoted(rejection.reason.encode()),
                _quoted(rejection.raw),
            ),
        )


def _quoted(field: bytes) -> bytes:
    """Quote as RFC 4180 says. The bytes of a row are kept as they are, UTF-8 or not, so that nothing about it is lost."""
    return b'"' + field.replace(b'"', b'""') + b'"'
