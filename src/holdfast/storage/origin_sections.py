"""The sections of a journal entry that say where rows come from, as bytes and back: actors, sources, requests.

An entry groups rows of many senders. Whose they are is said stretch by stretch, as for streams: an actor and a position in a
source belong to one of the entry's stretches, named by its number. Most entries need none of this, and have no such section.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from holdfast.domain.origin import SourcePosition

_COUNT = struct.Struct("<I")
_IDS = struct.Struct("<H")
_ACTOR = struct.Struct("<HB")
_KEPT_AT = struct.Struct("<QI")
_PAIR = struct.Struct("<II")
_SOURCE = struct.Struct("<IIQIH")
_REQUEST = struct.Struct("<III16sH")
_HAS_ADDRESS = 1


class KeptAt(NamedTuple):
    """Where an address is kept."""

    sequence: int
    """The key of the entry beside which it is: this one or one before it."""
    number: int
    """The actor's number in that entry."""


class NamedActor(NamedTuple):
    """An actor, as an entry names it; the address is kept outside."""

    id: str
    address: KeptAt | None = None
    """Where the address is, if it was kept."""


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
    ids: dict[str, int] = {}
    for actor in section.actors:
        ids.setdefault(actor.id, len(ids))
    parts = [_IDS.pack(len(ids))]
    for name in ids:
        encoded = name.encode()
        parts.append(_IDS.pack(len(encoded)) + encoded)
    parts.append(_COUNT.pack(len(section.actors)))
    for actor in section.actors:
        parts.append(_ACTOR.pack(ids[actor.id], 0 if actor.address is None else _HAS_ADDRESS))
        if actor.address is not None:
            parts.append(_KEPT_AT.pack(*actor.address))
    return b"".join([*parts, *(_PAIR.pack(*pair) for pair in section.stretches)])


def decode_actors(data: bytes, stretches: int) -> ActorSection:
    """Read actors back.

    Raises:
        ValueError: If they are damaged, or belong to other stretches than the entry has.
        struct.error: If they are cut off.
    """
    (count,) = _IDS.unpack_from(data)
    offset = _IDS.size
    ids = []
    for _ in range(count):
        (length,) = _IDS.unpack_from(data, offset)
        name, offset = _text(data, offset + _IDS.size, length)
        ids.append(name)
    (count,) = _COUNT.unpack_from(data, offset)
    offset += _COUNT.size
    actors = []
    for _ in range(count):
        number, flags = _ACTOR.unpack_from(data, offset)
        offset += _ACTOR.size
        address = None
        if flags & _HAS_ADDRESS:
            address = KeptAt(*_KEPT_AT.unpack_from(data, offset))
            offset += _KEPT_AT.size
        if number >= len(ids):
            raise ValueError("an actor has no id")
        actors.append(NamedActor(ids[number], address))
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
