"""One entry of a journal: a header, a body of typed sections, and a chain through all of them.

The header has a checksum of its own, so that nothing in it is believed before that is compared; it holds the hash of the body,
and the hash of the entry before it. The hash of an entry is that of its header. So an entry that is altered, missing, or in
another place is found, and each can be checked by itself.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.storage.hashing import hash_of
from holdfast.storage.ports import StoreDamagedError, StoredEntry, StoreError
from holdfast.storage.sections import (
    EntryKind,
    LaterVersionError,
    Sections,
    decode_sections,
    encode_sections,
)

if TYPE_CHECKING:
    from holdfast.domain.settings import Settings

MAGIC = b"HFJE"
FORMAT_VERSION = 1
_HEADER = struct.Struct("<4sHHQIQI32s32s32s")
_CHECKSUM = struct.Struct("<I")
_KIND_AT = 6
HEADER_BYTES = _HEADER.size + _CHECKSUM.size
NO_HASH = bytes(32)
"""In the place of the hash of the entry before the first one."""
WAYS_OUT = "restore a backup, or `holdfast ledger restore --until` the decisions before it; `holdfast ledger verify` says more"


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry, read and checked by itself."""

    kind: EntryKind
    sequence: int
    """How many decisions come before it."""
    count: int
    """How many decisions it holds."""
    time_us: int
    """When it was made, in microseconds since 1970 (UTC)."""
    fingerprint: bytes
    """That of the settings in force after it."""
    hash: bytes
    hash_before: bytes
    sections: Sections

    @property
    def end(self) -> int:
        """How many decisions there are after it."""
        return self.sequence + self.count


class Chain:
    """Follows the hashes of entries.

    Args:
        name: What messages call the ledger.
        sequence: How many decisions the entries so far hold.
        last_hash: The hash of the last of them.
    """

    def __init__(self, name: str, sequence: int = 0, last_hash: bytes = NO_HASH) -> None:
        self._name = name
        self.sequence = sequence
        self.hash = last_hash

    def append(
        self, kind: EntryKind, count: int, time_us: int, settings: Settings, sections: Sections
    ) -> StoredEntry:
        """Make the next entry."""
        body = encode_sections(sections)
        header = _HEADER.pack(
            MAGIC,
            FORMAT_VERSION,
            kind,
            self.sequence,
            count,
            time_us,
            len(body),
            bytes.fromhex(settings.fingerprint),
            hash_of(body),
            self.hash,
        )
        header += _CHECKSUM.pack(zlib.crc32(header))
        stored = StoredEntry(self.sequence, count, time_us, header + body)
        self.hash = hash_of(header)
        self.sequence += count
        return stored

    def check(self, entry: Entry) -> Entry:
        """Check that an entry is the next one, and give it.

        Raises:
            StoreDamagedError: If it is not.
        """
        if entry.sequence != self.sequence or entry.hash_before != self.hash:
            raise StoreDamagedError(
                f"{self._name}: the entry at decision {entry.sequence} does not follow the one before it, which ends at decision "
                f"{self.sequence}: an entry is missing, or was replaced; {WAYS_OUT}"
            )
        self.hash = entry.hash
        self.sequence = entry.end
        return entry

    def skip_to(self, entry: Entry) -> Entry:
        """Take an entry as it is, because what comes before it is not kept."""
        self.hash = entry.hash
        self.sequence = entry.end
        return entry


def kind_of(stored: StoredEntry) -> int:
    """Tell an entry's kind without reading or checking anything else of it; 0 if it is too short to have one."""
    return int.from_bytes(stored.data[_KIND_AT : _KIND_AT + 2], "little")


def decode_entry(name: str, stored: StoredEntry) -> Entry:
    """Read an entry and check it by itself.

    Args:
        name: What messages call the ledger.
        stored: The entry.

    Raises:
        StoreError: If only a later version of Holdfast can read it.
        StoreDamagedError: If it is not what was written; the message says what is wrong with it.
    """
    try:
        return _decode(stored)
    except LaterVersionError as error:
        raise StoreError(
            f"{name}: a later version of Holdfast has written the entry at decision {stored.sequence} ({error}), and this one "
            "cannot read it; nothing is wrong with the ledger: use that version"
        ) from error
    except ValueError as error:
        raise StoreDamagedError(
            f"{name}: the entry at decision {stored.sequence} is damaged: {error}; {WAYS_OUT}"
        ) from error


def _decode(stored: StoredEntry) -> Entry:
    header, body = stored.data[:HEADER_BYTES], memoryview(stored.data)[HEADER_BYTES:]
    if len(header) < HEADER_BYTES:
        raise ValueError(f"it has {len(stored.data)} bytes, and its header alone has {HEADER_BYTES}")
    if zlib.crc32(header[: _HEADER.size]) != _CHECKSUM.unpack_from(header, _HEADER.size)[0]:
        raise ValueError("the checksum of its header is wrong")
    found = _HEADER.unpack_from(header)
    magic, version, kind, sequence, count, time_us, length, fingerprint, body_hash, hash_before = found
    if magic != MAGIC:
        raise ValueError("it is no entry")
    if version != FORMAT_VERSION or kind not in EntryKind.__members__.values():
        raise LaterVersionError(f"it is of format {version}, kind {kind}")
    if (sequence, count, time_us) != (stored.sequence, stored.count, stored.time_us):
        raise ValueError(f"it is the one at decision {sequence}, {count} decisions long, in another's place")
    if length != len(body) or hash_of(body) != body_hash:
        raise ValueError("the checksum of its body is wrong")
    return Entry(
        EntryKind(kind),
        sequence,
        count,
        time_us,
        fingerprint,
        hash_of(header),
        hash_before,
        decode_sections(body),
    )
