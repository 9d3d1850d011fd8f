"""A slow, obviously correct decoder of NDJSON: whole bytes in, rows out.

Written from the contract, on Python's own json module, which gives numbers as they are written and keys as often as they
are there. What a field may say is the CSV reference's business.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NoReturn

from holdfast.domain.outcome import UNDECIDED, Outcome
from holdfast.domain.transaction import TransactionType
from reference_decoder import (
    BLANKS,
    Config,
    Line,
    Row,
    RowFaultError,
    check_length,
    lines_with_content,
    read_amount,
    read_id,
    read_type,
)
from reference_digest import hash_text, signed

if TYPE_CHECKING:
    from collections.abc import Sequence

NEEDED = (b"type", b"client", b"tx")
DEFAULT = Config()
KNOWN = (*NEEDED, b"amount")


class Written(str):
    """A number as it is written."""

    __slots__ = ()


class Members(list[tuple[str, object]]):
    """An object: its keys and values as they come."""


def decode_ndjson(data: bytes, config: Config = DEFAULT) -> list[Row]:
    """Read a whole stream."""
    return [read_object(line, config) for line in lines_with_content(data)]


def read_object(line: Line, config: Config) -> Row:
    """Check a row in the order of the outcomes; what was read before the first fault is kept."""
    outcome: int = UNDECIDED
    known: dict[str, int] = {"type": 0, "client": 0, "tx": 0, "amount": 0}
    try:
        check_length(line.raw, config)
        fields = read_fields(line.raw)
        known["type"] = read_type(fields[b"type"])
        known["client"] = read_id(fields[b"client"], config.client_bits, Outcome.INVALID_CLIENT)
        known["tx"] = read_id(fields[b"tx"], config.tx_bits, Outcome.INVALID_TX)
        if known["type"] in {TransactionType.DEPOSIT, TransactionType.WITHDRAWAL}:
            known["amount"] = read_amount(fields.get(b"amount", b""), config)
    except RowFaultError as fault:
        outcome = fault.outcome
        known["amount"] = signed(hash_text(line.raw[: config.row_bytes_max]))
    return Row(outcome, **known, line=line.number, offset=line.offset, raw=line.raw[: config.row_bytes_max])


def read_fields(raw: bytes) -> dict[bytes, bytes]:
    """Give the needed values of an object as CSV would have them."""
    fields: dict[bytes, bytes] = {}
    for name, value in parse(raw):
        key = as_bytes(name).lower()
        if key not in KNOWN:
            continue
        if key in fields:
            raise RowFaultError(Outcome.MALFORMED_ROW)
        fields[key] = as_field(value)
    if not all(key in fields for key in NEEDED):
        raise RowFaultError(Outcome.MALFORMED_ROW)
    return fields


def parse(raw: bytes) -> Sequence[tuple[str, object]]:
    """Read an object."""
    try:
        found = json.loads(
            raw.decode("utf-8"),
            parse_int=Written,
            parse_float=Written,
            parse_constant=_refuse_constant,
            object_pairs_hook=Members,
        )
    except ValueError:
        raise RowFaultError(Outcome.MALFORMED_ROW) from None
    if not isinstance(found, Members):
        raise RowFaultError(Outcome.MALFORMED_ROW)
    return found


def _refuse_constant(_name: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def as_field(value: object) -> bytes:
    """Give what stands for a value in CSV."""
    if value is None:
        return b""
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, Written):
        return value.encode()
    if isinstance(value, str):
        return as_bytes(value).strip(BLANKS)
    raise RowFaultError(Outcome.MALFORMED_ROW)


def as_bytes(text: str) -> bytes:
    """Encode a text that may have halves of surrogate pairs."""
    return text.encode("utf-8", "surrogatepass")
