"""Rows that were not applied, as a table: what a reject file has, and the fields of each row as far as they could be read."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.domain.transaction import TransactionType
from holdfast.io.table import Table

if TYPE_CHECKING:
    from holdfast.io.rejects import Rejection
    from holdfast.kernel.batch import Batch

_NAMES = ("", *(type_.name.lower() for type_ in TransactionType))


class _Texts:
    """A column of text."""

    def __init__(self) -> None:
        self.offsets = array("q", [0])
        self.text = bytearray()
        self.valid = bytearray()

    def add(self, text: bytes | None) -> None:
        self.valid.append(text is not None)
        self.text += text or b""
        self.offsets.append(len(self.text))


class _Numbers:
    """A column of integers."""

    def __init__(self, code: str) -> None:
        self.items = array(code)
        self.valid = bytearray()

    def add(self, number: int | None) -> None:
        self.valid.append(number is not None)
        self.items.append(number or 0)


class RejectTable(Table):
    """The rows of one call of ``process`` that were not applied, in order: ``process(…, rejects="table")`` makes it.

    It is a table for every library that reads Arrow: ``input``, ``line``, ``offset``, ``code``, ``reason`` and ``row`` as in a
    reject file, and ``type``, ``client``, ``tx`` and ``amount`` of the row, null where they could not be read.

    Args:
        decimals: How many decimals amounts have.
    """

    def __init__(self, decimals: int) -> None:
        self._decimals = decimals
        self._texts = {name: _Texts() for name in ("input", "code", "reason", "row", "type")}
        self._numbers = {name: _Numbers("Q") for name in ("line", "offset", "client", "tx")}
        self._numbers["amount"] = _Numbers("q")

    def __len__(self) -> int:
        return len(self._numbers["line"].items)

    def __repr__(self) -> str:
        return f"<RejectTable: {len(self)} rows>"

    def add(self, rejection: Rejection, batch: Batch, row: int) -> None:
        """Add a row of a batch."""
        outcome, texts, numbers = rejection.outcome, self._texts, self._numbers
        type_ = batch.types[row] if outcome > Outcome.UNKNOWN_TYPE else 0
        is_read = outcome > Outcome.AMOUNT_OUT_OF_RANGE
        texts["input"].add(_as_utf8(rejection.input.encode(errors="surrogateescape")))
        texts["code"].add(outcome.name.encode())
        texts["reason"].add(rejection.reason.encode())
        texts["row"].add(_as_utf8(rejection.raw))
        texts["type"].add(_NAMES[type_].encode() if type_ else None)
        numbers["line"].add(rejection.line)
        numbers["offset"].add(rejection.offset)
        numbers["client"].add(batch.clients[row] if outcome > Outcome.INVALID_CLIENT else None)
        numbers["tx"].add(batch.txs[row] if outcome > Outcome.INVALID_TX else None)
        numbers["amount"].add(
            batch.amounts[row] if is_read and 0 < type_ <= TransactionType.WITHDRAWAL else None
        )

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Give an Arrow stream of the rows so far, in a PyCapsule; each call gives a new one."""
        from holdfast.kernel.arrow.columns import export_columns  # noqa: PLC0415  # only who takes the table needs it

        columns = [
            self._text("input"),
            *(self._number(name, "L") for name in ("line", "offset")),
            *(self._text(name) for name in ("code", "reason", "row")),
            self._text("type", may_be_null=True),
            *(self._number(name, "L", may_be_null=True) for name in ("client", "tx")),
            self._number("amount", f"d:19,{self._decimals}", may_be_null=True),
        ]
        return export_columns(len(self), columns)

    def _text(
        self, name: str, *, may_be_null: bool = False
    ) -> tuple[str, str, bytearray | None, array[int], bytearray]:
        column = self._texts[name]
        return name, "U", column.valid if may_be_null else None, column.offsets, column.text

    def _number(
        self, name: str, type_: str, *, may_be_null: bool = False
    ) -> tuple[str, str, bytearray | None, array[int], None]:
        column = self._numbers[name]
        return name, type_, column.valid if may_be_null else None, column.items, None


def _as_utf8(text: bytes) -> bytes:
    """Give text that is UTF-8: bytes that are not are shown as escapes."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return text.decode(errors="backslashreplace").encode()
    return text
