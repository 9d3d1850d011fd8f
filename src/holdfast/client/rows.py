"""Transactions as rows of CSV."""

from __future__ import annotations

import time
from decimal import Decimal
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.amount import format_units
from holdfast.domain.transaction import Chargeback, Deposit, Dispute, Resolve, Withdrawal

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from holdfast.domain.transaction import Transaction

HEADER = b"type,client,tx,amount\n"
_NAMES = {
    Deposit: b"deposit",
    Withdrawal: b"withdrawal",
    Dispute: b"dispute",
    Resolve: b"resolve",
    Chargeback: b"chargeback",
}
TRANSACTION_TYPES = tuple(_NAMES)
_GROUP_ROWS = 512
_GROUP_SECONDS = 0.01
_SLICE_BYTES = 256 * 1024
# Far beyond what any server keeps, and far from a text that would fill the memory.
_DIGITS_MAX = 40


class EncodedRows(NamedTuple):
    """Rows as they are sent."""

    data: bytes
    rows: int | None = None
    """How many rows there are; None where nobody has counted: bytes that may end within a row."""
    unit_decimals: int | None = None
    """How many decimals the units of amounts have; None if no amount was given in units."""


def encode_row(transaction: Transaction, decimals: int) -> bytes:
    """Write a transaction as the row that :data:`HEADER` describes.

    What can be written is written, right or wrong: whether an amount or an id is valid is for the server to say.

    Args:
        transaction: Which one.
        decimals: How many decimals the server keeps, for amounts given as units.

    Raises:
        TypeError: If it is no transaction.
        ValueError: If an amount would not stay one field of one row.
    """
    name = _NAMES.get(type(transaction))
    if name is None:
        raise TypeError(f"a row is made of a transaction, not of {type(transaction).__name__}")
    if isinstance(transaction, Deposit | Withdrawal):
        amount = _amount_text(transaction.amount, decimals)
        return b"%b,%d,%d,%b\n" % (name, transaction.client, transaction.tx, amount)
    return b"%b,%d,%d,\n" % (name, transaction.client, transaction.tx)


def encode_rows(transactions: list[Transaction], decimals: int) -> EncodedRows:
    """Write several transactions; see :func:`encode_row`."""
    data = b"".join([encode_row(transaction, decimals) for transaction in transactions])
    has_units = any(isinstance(getattr(each, "amount", None), int) for each in transactions)
    return EncodedRows(data, len(transactions), decimals if has_units else None)


def group_rows(transactions: Iterable[Transaction], decimals: int) -> Iterator[EncodedRows]:
    """Write transactions in groups of what comes within a moment, so that a write is more than a row."""
    group: list[Transaction] = []
    begun = 0.0
    for transaction in transactions:
        if not group:
            begun = time.monotonic()
        group.append(transaction)
        if len(group) == _GROUP_ROWS or time.monotonic() - begun >= _GROUP_SECONDS:
            yield encode_rows(group, decimals)
            group = []
    if group:
        yield encode_rows(group, decimals)


def encode_any(
    rows: Transaction | Iterable[Transaction] | bytes, header: bytes, decimals: int
) -> Iterator[EncodedRows]:
    """Write what a client was told to send, in pieces of a good size.

    Raises:
        TypeError: If it is nothing that can be sent.
        ValueError: If it is transactions, and the header is not theirs.
    """
    if isinstance(rows, str):
        raise TypeError("rows are bytes or transactions, not text; encode it")
    if isinstance(rows, bytes | bytearray | memoryview):
        yield from _whole_lines(memoryview(rows).cast("B"))
        return
    if header.strip() != HEADER.strip():
        raise ValueError(
            f"transactions are sent under the header {HEADER.decode().strip()}, not under one's own"
        )
    if isinstance(rows, Deposit | Withdrawal | Dispute | Resolve | Chargeback):
        rows = (rows,)
    yield from group_rows(rows, decimals)


def _whole_lines(text: memoryview) -> Iterator[EncodedRows]:
    """Cut text where lines end: between two pieces a caller may give up, and half a row must never count as one."""
    start, size = 0, _SLICE_BYTES
    while start < len(text):
        piece = bytes(text[start : start + size])
        if start + size >= len(text):
            yield EncodedRows(piece if piece.endswith(b"\n") else piece + b"\n")
            return
        end = piece.rfind(b"\n") + 1
        if end:
            yield EncodedRows(piece[:end])
        start += end
        size = _SLICE_BYTES if end else 2 * size


def _amount_text(amount: str | Decimal | int, decimals: int) -> bytes:
    if isinstance(amount, int):
        return format_units(amount, decimals).encode()
    if isinstance(amount, Decimal):
        exponent = amount.as_tuple().exponent
        if not isinstance(exponent, int) or exponent < -_DIGITS_MAX or amount.adjusted() > _DIGITS_MAX:
            raise ValueError(
                f"{amount!r} is not an amount: not finite, or more than {_DIGITS_MAX} digits to one side"
            )
        return format(amount, "f").encode()
    if not amount.isascii() or not amount.isprintable() or not {",", '"'}.isdisjoint(amount):
        raise ValueError(f"{amount!r} is not an amount, and would not stay one field of a row")
    return amount.encode()
