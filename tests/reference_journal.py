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
        if kind == 5:
            accepted_from, accepted_to, differences = struct.unpack("<QQQ", sections[10])
            assert accepted_from < accepted_to <= first
            assert differences > 0


def read_sections(body: bytes) -> Iterator[tuple[int, bytes]]:
    """Give the sections of a body by their type."""
    offset = 0
    while offset < len(body):
        type_, _, length = struct.unpack_from("<HHI", body, offset)
        yield type_, body[offset + 8 : offset + 8 + length]
        offset += 8 + length


Actor = tuple[str, tuple[int, int] | None]
"""Its id, and where its address is kept: the key of an entry, and the actor's number there."""


def read_actors(data: bytes) -> tuple[list[Actor], dict[int, int]]:
    """Give the actors, and the actor's number for stretches that have one."""
    offset, ids, actors = 2, [], []
    for _ in range(struct.unpack_from("<H", data)[0]):
        (length,) = struct.unpack_from("<H", data, offset)
        ids.append(data[offset + 2 : offset + 2 + length].decode())
        offset += 2 + length
    (count,) = struct.unpack_from("<I", data, offset)
    offset += 4
    for _ in range(count):
        number, flags = struct.unpack_from("<HB", data, offset)
        offset += 3
        sequence, there = struct.unpack_from("<QI", data, offset) if flags & 1 else (0, 0)
        actors.append((ids[number], (sequence, there) if flags & 1 else None))
        offset += 12 * (flags & 1)
    return actors, dict(struct.iter_unpack("<II", data[offset:]))


def read_sources(data: bytes) -> dict[int, tuple[str, int, int, int]]:
    """Give topic, partition, next offset and row at the end of each stretch that comes from a source."""
    offset, found = 0, {}
    while offset < len(data):
        stretch, partition, next_offset, row, length = struct.unpack_from("<IIQIH", data, offset)
        found[stretch] = (data[offset + 22 : offset + 22 + length].decode(), partition, next_offset, row)
        offset += 22 + length
    return found


def read_requests(data: bytes) -> list[tuple[int, int, int, bytes, str]]:
    """Give first row, rows, rows before, fingerprint and key of each request."""
    offset, found = 0, []
    while offset < len(data):
        *numbers, fingerprint, length = struct.unpack_from("<III16sH", data, offset)
        found.append((*numbers, fingerprint, data[offset + 30 : offset + 30 + length].decode()))
        offset += 30 + length
    return found


def read_kept(data: bytes, section: bytes) -> tuple[dict[int, bytes], dict[int, str]] | None:
    """Give the texts of rows and the addresses of actors that are kept beside an entry; None if they are erased."""
    if not data:
        return None
    assert hashlib.blake2b(data, digest_size=32).digest() == section[:32]
    offset, texts, addresses = 16, {}, {}
    while offset < len(data):
        number, length = struct.unpack_from("<II", data, offset)
        text = data[offset + 8 : offset + 8 + length]
        if number >> 31:
            addresses[number & 0x7FFFFFFF] = text.decode()
        else:
            texts[number] = text
        offset += 8 + length
    return texts, addresses


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
