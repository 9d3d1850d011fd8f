"""Raw texts of rows that could not be decoded, and addresses of senders: kept beside their entry, so that they can be erased.

Texts may hold anything, card numbers too, and addresses are those of people. The entry has a hash of them, salted with 16 random
bytes, so that nobody can find out what an erased one was by trying. Packed, they are the salt, and for each text the number of
its row in the entry (4 bytes, little-endian), its length (4) and its bytes; in the place of a row, an address has the number of
its actor plus 2³¹.
"""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, NamedTuple

from holdfast.storage.hashing import hash_of
from holdfast.storage.sections import RawSection

if TYPE_CHECKING:
    from collections.abc import Iterable

_SALT_BYTES = 16
_TEXT = struct.Struct("<II")
_ADDRESS = 1 << 31


class KeptTexts(NamedTuple):
    """What is kept beside an entry."""

    texts: dict[int, bytes]
    """The texts of rows that could not be decoded, by the row's number in the entry."""
    addresses: dict[int, str]
    """The addresses of actors, by the actor's number in the entry."""


def pack_texts(
    texts: list[tuple[int, bytes]], dropped: int, addresses: Iterable[tuple[int, str]] = ()
) -> tuple[bytes, RawSection]:
    """Pack texts and addresses; give them, and what their entry says of them."""
    numbered = [*texts, *((_ADDRESS | actor, address.encode()) for actor, address in addresses)]
    packed = os.urandom(_SALT_BYTES) + b"".join(_TEXT.pack(row, len(text)) + text for row, text in numbered)
    return packed, RawSection(hash_of(packed), len(texts), dropped)


def unpack_texts(packed: bytes, section: RawSection) -> KeptTexts | None:
    """Read texts and addresses back; None if they were erased.

    Raises:
        ValueError: If they are not what the entry says.
    """
    if not packed:
        return None
    if hash_of(packed) != section.hash:
        raise ValueError("the raw texts and addresses are not those that were kept")
    kept = KeptTexts({}, {})
    offset = _SALT_BYTES
    while offset < len(packed):
        number, length = _TEXT.unpack_from(packed, offset)
        offset += _TEXT.size
        text = packed[offset : offset + length]
        offset += length
        if number & _ADDRESS:
            kept.addresses[number ^ _ADDRESS] = text.decode()
        else:
            kept.texts[number] = text
    return kept
