"""What a checkpoint says beside its pages: counters, settings, streams, and where in the journal it is.

Packed: magic ``HFCP``, format version (2 bytes, little-endian as all numbers), the checkpoint's number (its lower 2 bytes), the
sequence (8), when it was cut in microseconds since 1970 (8), the hash of the last entry before it (32), then three parts, each
after its length (4): the core's counters, the settings as TOML, the streams compressed with zlib; and at the end the hash of
everything before. If rows came from partitions of brokers or answered requests, there are two more parts, the positions and the
requests, and the version is 2 instead of 1: a release that does not know them must not go on without them.

A stream is the length of its name (2), its name, and four numbers: rows, digest, budgeted rows (8 each), stopped (1); see
:class:`holdfast.engine.streams.KnownStream`. Positions are as in the section of an entry, for a stretch 0; for
requests see :func:`pack_requests`.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.domain.settings import ID_BITS
from holdfast.domain.settings_text import decode_settings, encode_settings
from holdfast.engine.streams import KnownStream
from holdfast.storage.hashing import HASH_BYTES, hash_of
from holdfast.storage.origin_sections import decode_sources, encode_sources
from holdfast.storage.remembered import RememberedState
from holdfast.storage.requests import pack_requests, unpack_requests

if TYPE_CHECKING:
    from holdfast.domain.settings import Settings
    from holdfast.storage.ports import CheckpointRecord

_MAGIC = b"HFCP"
_VERSION = 1
_VERSION_WITH_ORIGINS = 2
_HEAD = struct.Struct("<4sHHQQ32s")
_LENGTH = struct.Struct("<I")
_NAME = struct.Struct("<H")
_STREAM = struct.Struct("<QQQB")
_LARGEST_IDS_AT = (8, 16)
_NUMBER_MASK = 0xFFFF


@dataclass(frozen=True, slots=True)
class CheckpointState:
    """The state of a ledger at a checkpoint, without its pages."""

    sequence: int
    time_us: int
    last_hash: bytes
    """The hash of the last entry before it."""
    counters: bytes
    settings: Settings
    remembered: RememberedState
    number: int = 0
    """The checkpoint's number, as far as it has room: its lower 16 bits."""


def encode_checkpoint(state: CheckpointState) -> bytes:
    """Pack it."""
    streams = b"".join(
        _NAME.pack(len(encoded)) + encoded + _STREAM.pack(*each[:4])
        for name, each in state.remembered.streams.items()
        for encoded in (name.encode(),)
    )
    parts = [state.counters, encode_settings(state.settings), zlib.compress(streams, 1)]
    version = _VERSION
    sources, requests = state.remembered.sources, state.remembered.requests
    if sources or requests:
        version = _VERSION_WITH_ORIGINS
        parts += [encode_sources(tuple((0, position) for position in sources)), pack_requests(requests)]
    packed = _HEAD.pack(
        _MAGIC, version, state.number & _NUMBER_MASK, state.sequence, state.time_us, state.last_hash
    )
    for part in parts:
        packed += _LENGTH.pack(len(part)) + part
    return packed + hash_of(packed)


def open_checkpoint(record: CheckpointRecord) -> CheckpointState:
    """Read what a store has as a checkpoint.

    Raises:
        ValueError: If it is not what was packed, or that of another checkpoint.
    """
    state = decode_checkpoint(record.data)
    if (state.number, state.sequence) != (record.number & _NUMBER_MASK, record.sequence):
        raise ValueError(f"it is checkpoint {state.number} (decision {state.sequence}), in another's place")
    return state


def decode_checkpoint(packed: bytes) -> CheckpointState:
    """Read it back.

    Raises:
        ValueError: If it is not what was packed.
    """
    body, checksum = packed[:-HASH_BYTES], packed[-HASH_BYTES:]
    if hash_of(body) != checksum:
        raise ValueError("its checksum is wrong")
    magic, version, number, sequence, time_us, last_hash = _HEAD.unpack_from(body)
    if magic != _MAGIC or version not in {_VERSION, _VERSION_WITH_ORIGINS}:
        raise ValueError(f"it is of format {version}: a later version of Holdfast reads it")
    parts = []
    offset = _HEAD.size
    while offset < len(body):
        (length,) = _LENGTH.unpack_from(body, offset)
        offset += _LENGTH.size
        parts.append(body[offset : offset + length])
        offset += length
    counters, settings, streams, *origins = parts
    return CheckpointState(
        sequence,
        time_us,
        last_hash,
        counters,
        decode_settings(settings),
        RememberedState(
            _decode_streams(zlib.decompress(streams), sequence),
            tuple(position for part in origins[:1] for _, position in decode_sources(part, 1)),
            unpack_requests(origins[1]) if len(origins) > 1 else (),
        ),
        number,
    )


def _decode_streams(data: bytes, sequence: int) -> dict[str, KnownStream]:
    streams: dict[str, KnownStream] = {}
    offset = 0
    while offset < len(data):
        (length,) = _NAME.unpack_from(data, offset)
        offset += _NAME.size
        name = data[offset : offset + length].decode()
        offset += length
        rows, digest, budgeted, stopped = _STREAM.unpack_from(data, offset)
        streams[name] = KnownStream(rows, digest, budgeted, stopped, sequence)
        offset += _STREAM.size
    return streams


def widths_of(settings: Settings, counters: bytes) -> Settings:
    """Give settings with the widths of ids that a state has room for, as its counters say; perhaps wider than those in force."""
    largest_client, largest_tx = (int.from_bytes(counters[at : at + 8], "little") for at in _LARGEST_IDS_AT)
    return settings._replace(
        client_bits=_bits(largest_client, settings.client_bits), tx_bits=_bits(largest_tx, settings.tx_bits)
    )


def _bits(largest: int, least: int) -> int:
    """Give how many bits ids up to the largest have; what no width has is found when the counters are taken over."""
    bits = largest.bit_length()
    return max(bits, least) if bits in ID_BITS else least
