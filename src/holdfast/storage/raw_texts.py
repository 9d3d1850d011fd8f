"""The raw texts of rows that could not be decoded: kept beside their entry, so that they can be erased.

They may hold anything, card numbers too. The entry has a hash of them, salted with 16 random bytes, so that nobody can find out
what an erased text was by trying. Packed, they are the salt, and for each text the number of its row in the entry (4 bytes,
little-endian), its length (4) and its bytes.
"""

from __future__ import annotations

import os
import struct

from holdfast.storage.hashing import hash_of
from holdfast.storage.sections import RawSection

_SALT_BYTES = 16
_TEXT = struct.Struct("<II")


def pack_texts(texts: list[tuple[int, bytes]], dropped: int) -> tuple[bytes, RawSection]:
    """Pack texts; give them, and what their entry says of them."""
    packed = os.urandom(_SALT_BYTES) + b"".join(_TEXT.pack(row, len(text)) + text for row, text in texts)
    return packed, RawSection(hash_of(packed), len(texts), dropped)


def unpack_texts(packed: bytes, section: RawSection) -> dict[int, bytes] | None:
    """Read texts back by the number of their row; None if they were erased.

    Raises:
        ValueError: If they are not what the entry says.
    """
    if not packed:
        return None
    if hash_of(packed) != section.hash:
        raise ValueError("the raw texts are not those that were kept")
    texts: dict[int, bytes] = {}
    offset = _SALT_BYTES
    while offset < len(packed):
        row, length = _TEXT.unpack_from(packed, offset)
        offset += _TEXT.size
        texts[row] = packed[offset : offset + length]
        offset += length
    return texts
