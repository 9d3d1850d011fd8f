"""The sections of a journal entry that say where rows come from, as bytes and back: actors, sources, requests.

An entry groups rows of many senders. Whose they are is said stretch by stretch, as for streams: an actor and a position in a
source belong to one of the entry's stretches, named by its number. Most entries need none of this, and have no such section.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from holdfast.domain.origin import SourcePosition

_COUNT = struct.Struct("<I")
_ACTOR = struct.Struct("<BH")
_PAIR = struct.Struct("<II")
_SOURCE = struct.Struct("<IIQIH")
_REQUEST = struct.Struct("<III16sH")
_HAS_ADDRESS = 1


class NamedActor(NamedTuple):
    """An actor, as an entry names it; the address is kept outside."""

    id: str
    has_address: bool


class ActorSection(NamedTuple):
    """Who sent the rows of an entry."""

    actors: tuple[NamedActor, ...]
    stretches: tuple[tuple[int, int], ...]
    """Pairs: the number of a stretch, and that of its actor."""


class RequestRows(NamedTuple):
    """The rows of one request in an entry."""

    first_row: int
    rows: int
    rows_before: int
    """How many rows of the request were decided before."""
    fingerprint: bytes
    key: str

    @property
    def span(self) -> tuple[int, int]:
        """The first row and the one after the last."""
        return self.first_row, self.first_row + self.rows


def encode_actors(section: ActorSection) -> bytes:
    """Pack the actors."""
    parts = [_COUNT.pack(len(section.actors))]
    for actor in section.actors:
        name = actor.id.encode()
        parts.append(_ACTOR.pack(_HAS_ADDRESS if actor.has_address else 0, len(name)) + name)
    return b"".join([*parts, *(_PAIR.pack(*pair) for pair in section.stretches)])


def decode_actors(data: bytes, stretches: int) -> ActorSection:
    """Read actors back.

    Raises:
        ValueError: If they are damaged, or belong to other stretches than the entry has.
        struct.error: If they are cut off.
    """
    (count,) = _COUNT.unpack_from(data)
    offset = _COUNT.size
    actors = []
    for _ in range(count):
        flags, length = _ACTOR.unpack_from(data, offset)
        name, offset = _text(data, offset + _ACTOR.size, length)
        actors.append(NamedActor(name, bool(flags & _HAS_ADDRESS)))
    pairs = tuple(_PAIR.iter_unpack(data[offset:]))
    if any(stretch >= stretches or actor >= count for stretch, actor in pairs):
        raise ValueError("an actor belongs to no stretch")
    return ActorSection(tuple(actors), pairs)


def encode_sources(sources: tuple[tuple[int, SourcePosition], ...]) -> bytes:
    """Pack the positions of sources at the end of stretches."""
    return b"".join(
        _SOURCE.pack(stretch, position.partition, position.next_offset, position.row, len(topic)) + topic
        for stretch, position in sources
        for topic in (position.topic.encode(),)
    )


def decode_sources(data: bytes, stretches: int) -> tuple[tuple[int, SourcePosition], ...]:
    """Read positions back.

    Raises:
        ValueError: If they are damaged, or belong to other stretches than the entry has.
        struct.error: If they are cut off.
    """
    found = []
    offset = 0
    while offset < len(data):
        stretch, partition, next_offset, row, length = _SOURCE.unpack_from(data, offset)
        topic, offset = _text(data, offset + _SOURCE.size, length)
        if stretch >= stretches:
            raise ValueError("a source belongs to no stretch")
        found.append((stretch, SourcePosition(topic, partition, next_offset, row)))
    return tuple(found)


def encode_requests(requests: tuple[RequestRows, ...]) -> bytes:
    """Pack the keys of requests."""
    return b"".join(
        _REQUEST.pack(each.first_row, each.rows, each.rows_before, each.fingerprint, len(key)) + key
        for each in requests
        for key in (each.key.encode(),)
    )


def decode_requests(data: bytes) -> tuple[RequestRows, ...]:
    """Read the keys of requests back.

    Raises:
        ValueError: If they are damaged.
        struct.error: If they are cut off.
    """
    found: list[RequestRows] = []
    offset = 0
    while offset < len(data):
        first_row, rows, rows_before, fingerprint, length = _REQUEST.unpack_from(data, offset)
        key, offset = _text(data, offset + _REQUEST.size, length)
        if found and first_row < found[-1].span[1]:
            raise ValueError("the rows of requests are not in order")
        found.append(RequestRows(first_row, rows, rows_before, fingerprint, key))
    return tuple(found)


def _text(data: bytes, offset: int, length: int) -> tuple[str, int]:
    end = offset + length
    if end > len(data):
        raise ValueError("a text is cut off")
    return data[offset:end].decode(), end
