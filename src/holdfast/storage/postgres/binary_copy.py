"""Rows of the table ``transactions`` in the binary form of ``COPY``: the server reads text for half as long again.

Each value is its length in bytes (4 bytes) and its bytes, all numbers big-endian. A ``numeric`` is how many digits to the base
10,000 it has, the exponent of the first, its sign, how many decimals it shows, and the digits.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

HEADER = b"PGCOPY\n\xff\r\n\0" + bytes(8)
TRAILER = struct.pack(">h", -1)
_NULL = struct.pack(">i", -1)
_COLUMNS = 7
_BASE = 10_000
_BASE_DIGITS = 4
_EPOCH_US = 946_684_800_000_000
"""2000-01-01, from which the server counts, in microseconds since 1970."""


class IdWidths(NamedTuple):
    """Which ids are ``numeric``, because 64 bits without a sign do not fit a ``bigint``."""

    is_client_wide: bool = False
    is_tx_wide: bool = False


def encode_numeric(units: int, decimals: int) -> bytes:
    """Give a number of units, zero or more, as a ``numeric`` with its length before it."""
    fraction_digits = -(-decimals // _BASE_DIGITS)
    value = units * 10 ** (fraction_digits * _BASE_DIGITS - decimals)
    digits = []
    while value:
        value, digit = divmod(value, _BASE)
        digits.append(digit)
    count = len(digits)
    weight = count - 1 - fraction_digits if count else 0
    return struct.pack(f">ihhHH{count}h", 8 + 2 * count, count, weight, 0, decimals, *reversed(digits))


def encode_tail(time_us: int, stream: str | None) -> bytes:
    """Give the columns ``time`` and ``stream``, which many rows have in common."""
    text = None if stream is None else stream.encode()
    return struct.pack(">iq", 8, time_us - _EPOCH_US) + (
        _NULL if text is None else struct.pack(">i", len(text)) + text
    )


def make_encoder(type_: str, decimals: int, widths: IdWidths) -> Callable[[int, int, int, int], bytes]:
    """Give what encodes id, client, units and sequence of a transaction of one type; :func:`encode_tail` is to follow."""
    count = struct.pack(">h", _COLUMNS)
    eight = struct.pack(">i", 8)
    name = struct.pack(">i", len(type_)) + type_.encode()

    def encode_id(value: int, *, is_wide: bool) -> bytes:
        return encode_numeric(value, 0) if is_wide else struct.pack(">iq", 8, value)

    def encode(tx: int, client: int, units: int, sequence: int) -> bytes:
        return b"".join(
            (
                count,
                encode_id(tx, is_wide=widths.is_tx_wide),
                encode_id(client, is_wide=widths.is_client_wide),
                name,
                encode_numeric(units, decimals),
                struct.pack(">iq", 8, sequence),
            )
        )

    if any(widths) or decimals > _BASE_DIGITS:
        return encode
    # Most amounts have two digits to the base 10,000: one before the point and one after it.
    head, between = count + eight, name + struct.pack(">ihhHH", 12, 2, 0, 0, decimals)
    pack = struct.Struct(f">{len(head)}sq4sq{len(between)}shh4sq").pack
    scale, limit = 10 ** (_BASE_DIGITS - decimals), _BASE * _BASE

    def encode_quickly(tx: int, client: int, units: int, sequence: int) -> bytes:
        value = units * scale
        if value >= limit:
            return encode(tx, client, units, sequence)
        return pack(head, tx, eight, client, between, value // _BASE, value % _BASE, eight, sequence)

    return encode_quickly
