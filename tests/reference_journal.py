"""An independent reader of a journal: plain Python, written from docs/journal.md, without a line of Holdfast's."""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Row = tuple[int, int, int, int, int]
"""Type, client, tx, amount in units, outcome code."""

MASK = (1 << 64) - 1


def read_journal(entries: list[bytes]) -> Iterator[Row]:
    """Check all entries, header, body and chain, and give their rows in order."""
    before, sequence = bytes(32), 0
    for data in entries:
        header, body = data[:132], data[132:]
        assert zlib.crc32(header[:128]) == struct.unpack("<I", header[128:])[0]
        found = struct.unpack("<4sHHQIQI32s32s32s", header[:128])
        magic, version, kind, first, count, _, length, _, body_hash, hash_before = found
        assert (magic, version, first, length) == (b"HFJE", 1, sequence, len(body))
        assert hashlib.blake2b(body, digest_size=32).digest() == body_hash
        assert hash_before == before
        before, sequence = hashlib.blake2b(header, digest_size=32).digest(), sequence + count
        sections = dict(read_sections(body))
        if kind == 1:
            rows = read_rows(sections[1])
            assert len(rows) == count
            yield from rows


def read_sections(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the sections of a body by their type."""
    offset = 0
    while offset < len(body):
        type_, _, length = struct.unpack_from("<HHI", body, offset)
        yield type_, body[offset + 8 : offset + 8 + length]
        offset += 8 + length


def read_rows(data: bytes) -> list[Row]:
    """Unpack decided rows."""
    count, unreadable, refused, transfers = struct.unpack_from("<IIII", data)
    offset = 16
    strange = {}
    for _ in range(unreadable):
        row, code, _, type_, _, client, tx, amount = struct.unpack_from("<IBBBBQQq", data, offset)
        strange[row] = (type_, client, tx, amount, code)
        offset += 32
    readable = count - unreadable
    codes = [1] * readable
    bits = (readable + 7) // 8
    if refused and 4 * refused < bits:
        for _ in range(refused):
            row, codes[row] = struct.unpack_from("<IB", data, offset)
            offset += 5
    elif refused:
        marked = [row for row in range(readable) if data[offset + row // 8] >> row % 8 & 1]
        for place, row in enumerate(marked):
            codes[row] = data[offset + bits + place]
        offset += bits + refused
    columns = []
    for size in (readable, readable, transfers, readable - transfers, transfers):
        (length,) = struct.unpack_from("<I", data, offset)
        columns.append(read_words(data[offset + 4 : offset + 4 + length], size))
        offset += 4 + length
    assert offset == len(data)
    types, clients, own, others, amounts = (iter(column) for column in columns)
    rows = []
    for code in codes:
        type_, is_transfer = next(types), False
        is_transfer = type_ in {1, 2}
        amount = next(amounts) if is_transfer else 0
        signed = amount - (1 << 64) if amount >> 63 else amount
        rows.append((type_, next(clients), next(own if is_transfer else others), signed, code))
    for row in sorted(strange):
        rows.insert(row, strange[row])
    return rows


def read_words(data: bytes, count: int) -> list[int]:
    """Unpack a column."""
    values: list[int] = []
    offset, before = 0, 0
    while len(values) < count:
        width, is_delta = data[offset] & 127, data[offset] >> 7
        base = int.from_bytes(data[offset + 1 : offset + 9], "little")
        size = min(1024, count - len(values))
        length = (size * width + 7) // 8
        bits = int.from_bytes(data[offset + 9 : offset + 9 + length], "little")
        offset += 9 + length
        for place in range(size):
            word = bits >> (place * width) & ((1 << width) - 1)
            before = (base + word + (before if is_delta else 0)) & MASK
            values.append(before)
    assert offset == len(data)
    return values
