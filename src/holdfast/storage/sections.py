"""The sections of a journal entry: what each holds, as bytes and back.

A body is one section after the other: its type (2 bytes), 2 zeros, its length (4 bytes), its bytes. All numbers are
little-endian. A type with the bit 0x8000 may be skipped by a reader that does not know it; any other must be known. No type
comes twice.
"""

from __future__ import annotations

import json
import struct
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from holdfast.domain.settings_text import decode_settings, encode_settings
from holdfast.storage.origin_sections import (
    ActorSection,
    RequestRows,
    decode_actors,
    decode_requests,
    decode_sources,
    encode_actors,
    encode_requests,
    encode_sources,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.domain.origin import SourcePosition
    from holdfast.domain.settings import Settings

OPTIONAL = 0x8000
"""In a section's type: it may be skipped."""


class EntryKind(IntEnum):
    """What an entry is about."""

    ROWS = 1
    """Decided rows."""
    UNLOCK = 2
    """An operator has ended the lock of an account."""
    SETTINGS = 3
    """Other settings are in force from here on."""
    NOTE = 4
    """Something to remember, that changes nothing."""
    ACCEPT = 5
    """An operator lets journaled outcomes stand, whatever the rules now say."""


class SectionType(IntEnum):
    """What a section holds."""

    ROWS = 1
    """Packed rows and their outcomes; see :mod:`holdfast.kernel.packing.rows`."""
    STREAMS = 2
    """Whose rows they are: :class:`Segment`, one after the other."""
    RAW = 3
    """A salted hash of raw texts and addresses, which are kept outside the entry."""
    SETTINGS = 4
    """All settings, as TOML."""
    NOTE = 5
    """Who did what and why, as JSON."""
    ACTORS = OPTIONAL | 6
    """Who sent the rows of which stretch; see :class:`ActorSection`."""
    SOURCES = 7
    """How far the sources of stretches are: a ledger that skipped it would decide their rows again."""
    REQUESTS = 8
    """The keys of requests: a ledger that skipped it would decide them again."""
    ACCEPTED = 10
    """Which outcomes stand: :class:`Acceptance`."""


class LaterVersionError(ValueError):
    """An entry is whole, and only a later version of Holdfast can read it."""


class Segment(NamedTuple):
    """A stretch of rows of one stream within an entry; it ends where the next one begins."""

    first_row: int
    """Its first row's number in the entry."""
    stream: str | None
    """The stream's name; None for rows of no named stream, for which all numbers after this one are 0."""
    position: int
    """How many rows of the stream were decided before."""
    digest: int
    """The digest of all its rows, these included."""
    budgeted: int
    """How many of these count against its policy's budget."""
    stopped: int = 0
    """The outcome code of the last of them if the policy stopped there; 0 if it did not."""


class RawSection(NamedTuple):
    """What an entry says of the raw texts and the addresses beside it."""

    hash: bytes
    """That of their salt and of texts and addresses as they are packed."""
    texts: int
    dropped: int
    """How many rows could not be decoded and have no text, for lack of room."""


class Note(NamedTuple):
    """Who did what, and why."""

    actor: str = ""
    reason: str = ""
    client: int = -1
    """The client that it is about; -1 for none."""
    subject: str = ""
    """What else it is about."""


class Acceptance(NamedTuple):
    """Decisions whose journaled outcomes stand."""

    first: int
    """How many decisions come before the first of them."""
    end: int
    """How many decisions there are after the last of them."""
    differences: int
    """How many of their outcomes a replay by the rules would have changed when they were accepted."""


@dataclass(frozen=True, slots=True)
class Sections:
    """The sections of one entry."""

    rows: bytes | memoryview = b""
    segments: tuple[Segment, ...] = ()
    raw: RawSection | None = None
    settings: Settings | None = None
    note: Note | None = None
    actors: ActorSection | None = None
    sources: tuple[tuple[int, SourcePosition], ...] = ()
    """Pairs: the number of a stretch, and where its source is at the end of it."""
    requests: tuple[RequestRows, ...] = ()
    accepted: Acceptance | None = None
    skipped: tuple[int, ...] = field(default=())
    """Types of sections that this version does not know and may skip."""


_HEAD = struct.Struct("<HHI")
_SEGMENT = struct.Struct("<IH")
_POSITION = struct.Struct("<QQQB")
_RAW = struct.Struct("<32sII")
_ACCEPTED = struct.Struct("<QQQ")
_ANONYMOUS = 0xFFFF
NAME_BYTES_MAX = 1024
"""How long the name of a stream may be, in UTF-8."""


def encode_sections(sections: Sections) -> bytes:
    """Make the body of an entry."""
    parts: list[bytes | memoryview] = []

    def add(type_: SectionType, data: bytes | memoryview) -> None:
        parts.append(_HEAD.pack(type_, 0, len(data)))
        parts.append(data)

    if sections.rows:
        add(SectionType.ROWS, sections.rows)
    if sections.segments:
        add(SectionType.STREAMS, b"".join(map(_encode_segment, sections.segments)))
    if sections.raw is not None:
        add(SectionType.RAW, _RAW.pack(*sections.raw))
    if sections.settings is not None:
        add(SectionType.SETTINGS, encode_settings(sections.settings))
    if sections.note is not None:
        add(SectionType.NOTE, json.dumps(sections.note._asdict(), ensure_ascii=False).encode())
    if sections.accepted is not None:
        add(SectionType.ACCEPTED, _ACCEPTED.pack(*sections.accepted))
    _add_origins(sections, add)
    return b"".join(parts)


def _add_origins(sections: Sections, add: Callable[[SectionType, bytes], None]) -> None:
    """Add the sections that say where rows come from."""
    if sections.actors is not None:
        add(SectionType.ACTORS, encode_actors(sections.actors))
    if sections.sources:
        add(SectionType.SOURCES, encode_sources(sections.sources))
    if sections.requests:
        add(SectionType.REQUESTS, encode_requests(sections.requests))


def decode_sections(body: bytes | memoryview) -> Sections:
    """Read the body of an entry. Its rows, which are nearly all of it, are not copied.

    Raises:
        LaterVersionError: If it has a section that must be known and is not.
        ValueError: If it is damaged.
    """
    found: dict[int, bytes] = {}
    rows: bytes | memoryview = b""
    offset = 0
    while offset < len(body):
        if len(body) - offset < _HEAD.size:
            raise ValueError("a section is cut off")
        type_, zero, length = _HEAD.unpack_from(body, offset)
        offset += _HEAD.size
        if zero or length > len(body) - offset or type_ in found:
            raise ValueError(f"section {type_} is cut off, or there are two")
        section = body[offset : offset + length]
        if type_ == SectionType.ROWS:
            rows = section
        found[type_] = b"" if type_ == SectionType.ROWS else bytes(section)
        offset += length
    unknown = [type_ for type_ in found if type_ not in SectionType.__members__.values()]
    if needed := [type_ for type_ in unknown if not type_ & OPTIONAL]:
        raise LaterVersionError(f"it has a section of type {needed[0]}")
    try:
        return _decode(rows, found, tuple(unknown))
    except (struct.error, UnicodeDecodeError, TypeError, ValueError) as error:
        raise ValueError(f"a section is damaged: {error}") from error


def _decode(rows: bytes | memoryview, found: dict[int, bytes], unknown: tuple[int, ...]) -> Sections:
    raw, settings, note = (
        found.get(type_) for type_ in (SectionType.RAW, SectionType.SETTINGS, SectionType.NOTE)
    )
    segments = tuple(_decode_segments(found.get(SectionType.STREAMS, b"")))
    actors = found.get(SectionType.ACTORS)
    accepted = found.get(SectionType.ACCEPTED)
    return Sections(
        rows=rows,
        segments=segments,
        raw=None if raw is None else RawSection(*_RAW.unpack(raw)),
        settings=None if settings is None else decode_settings(settings),
        note=None if note is None else Note(**json.loads(note)),
        actors=None if actors is None else decode_actors(actors, len(segments)),
        sources=decode_sources(found.get(SectionType.SOURCES, b""), len(segments)),
        requests=decode_requests(found.get(SectionType.REQUESTS, b"")),
        accepted=None if accepted is None else Acceptance(*_ACCEPTED.unpack(accepted)),
        skipped=unknown,
    )


def _encode_segment(segment: Segment) -> bytes:
    first_row, stream, *position = segment
    if stream is None:
        return _SEGMENT.pack(first_row, _ANONYMOUS)
    name = stream.encode()
    return _SEGMENT.pack(first_row, len(name)) + name + _POSITION.pack(*position)


def _decode_segments(data: bytes) -> list[Segment]:
    segments: list[Segment] = []
    offset = 0
    while offset < len(data):
        first_row, length = _SEGMENT.unpack_from(data, offset)
        offset += _SEGMENT.size
        if segments and first_row <= segments[-1].first_row:
            raise ValueError("the stretches of streams are not in order")
        if length == _ANONYMOUS:
            segments.append(Segment(first_row, None, 0, 0, 0, 0))
            continue
        name = data[offset : offset + length].decode()
        offset += length
        segments.append(Segment(first_row, name, *_POSITION.unpack_from(data, offset)))
        offset += _POSITION.size
    return segments
