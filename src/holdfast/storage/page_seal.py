"""State pages in a store: each is sealed with a checksum that also covers its place, so that a page in another's is found."""

from __future__ import annotations

import struct
from hashlib import blake2b

_PLACE = struct.Struct("<BQ")
_SEAL_BYTES = 16


def seal_page(kind: int, number: int, data: bytes) -> bytes:
    """Put the checksum in front of a page."""
    return _seal(kind, number, data) + data


def open_page(kind: int, number: int, sealed: bytes) -> bytes:
    """Give a page without its checksum.

    Raises:
        ValueError: If it is not what was written there.
    """
    data = sealed[_SEAL_BYTES:]
    if len(sealed) < _SEAL_BYTES or _seal(kind, number, data) != sealed[:_SEAL_BYTES]:
        raise ValueError(f"the checksum of page {number} of kind {kind} is wrong")
    return data


def _seal(kind: int, number: int, data: bytes) -> bytes:
    return blake2b(data, digest_size=_SEAL_BYTES, salt=_PLACE.pack(kind, number)).digest()
