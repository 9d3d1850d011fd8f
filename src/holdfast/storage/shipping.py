"""Entries of a ledger as files of a directory, written as they come: a backup that is never far behind.

A directory has ``ledger.holdfast``, which describes the ledger, and files of entries. The name of each is the number of decisions
before it. No file is ever changed, so whatever copies files can carry them elsewhere. Numbers are little-endian:

* The description: magic ``HFSD``, version (4), then the ledger's id and its settings, each after its length (4), and the hash of
  everything before.
* Entries: magic ``HFSE``, version (4), how many (4); for each, decisions before it (8), decisions in it (8), its time (8), the
  length (4) and the bytes of the entry, and the length plus one (4; 0 if there are none) and the bytes of its raw texts; at the
  end the hash of everything before.
"""

from __future__ import annotations

import os
import re
import struct
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from holdfast.io.outputs import Output, make_private_directory
from holdfast.storage.entry import decode_entry
from holdfast.storage.hashing import HASH_BYTES, hash_of
from holdfast.storage.ports import RawText, StoreDamagedError, StoredEntry, StoreError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.storage.ports import Reader, Store

DESCRIPTION = "ledger.holdfast"
META_KEYS = ("ledger", "settings")
_NAME = re.compile(r"(\d{20})\.entries")
_VERSION = 1
_HEAD = struct.Struct("<4sI")
_COUNT = struct.Struct("<I")
_ENTRY = struct.Struct("<QQQI")
_FILE_BYTES_MAX = 32 << 20
"""A file ends with the entry that goes beyond this."""


class Shipped(NamedTuple):
    """What was written now."""

    files: int
    entries: int
    end: int
    """How many decisions the directory holds in all."""


class Shipper:
    """Writes the entries of a ledger to a directory. What is there already is gone on from.

    Args:
        store: The ledger's store, which may be in use.
        directory: The directory; it is made if there is none.

    Raises:
        StoreError: If the directory is another ledger's, cannot be written, or is behind what the ledger still has.
        StoreDamagedError: If its last file is not what was written.
    """

    def __init__(self, store: Store, directory: str) -> None:
        self._directory = directory
        self._name = store.name
        self._reader = store.reader()
        try:
            self._describe(self._reader)
            self._end, self._last_hash = self._find_end()
        except OSError as error:
            self._reader.close()
            raise StoreError(f"{error.filename or directory}: {error.strerror}") from error
        except BaseException:
            self._reader.close()
            raise

    def ship(self) -> Shipped:
        """Write everything that is committed and not in the directory yet; on disk when this returns.

        Raises:
            StoreError: If it cannot be written, or entries between were pruned.
            StoreDamagedError: If an entry is not what was written.
        """
        files = entries = 0
        piece: list[tuple[StoredEntry, RawText | None]] = []
        size = 0
        for stored in self._reader.entries(self._end):
            entry = decode_entry(self._name, stored)
            if stored.sequence != self._end or (self._last_hash and entry.hash_before != self._last_hash):
                raise StoreError(
                    f"{self._directory} ends after decision {self._end:,}, and the ledger goes on elsewhere (at "
                    f"{stored.sequence:,}): entries between were pruned, or it was restored; begin a new directory"
                )
            self._end, self._last_hash = entry.end, entry.hash
            piece.append((stored, self._reader.raw_text(stored.sequence)))
            size += len(stored.data)
            entries += 1
            if size > _FILE_BYTES_MAX:
                self._write(piece)
                files, piece, size = files + 1, [], 0
        if piece:
            self._write(piece)
            files += 1
        return Shipped(files, entries, self._end)

    def close(self) -> None:
        """Give back what it holds."""
        self._reader.close()

    def _describe(self, reader: Reader) -> None:
        """Write what ledger this is, or compare it."""
        path = os.path.join(self._directory, DESCRIPTION)
        meta = {key: reader.meta(key) for key in META_KEYS}
        if meta["settings"] is None:
            raise StoreError(f"{self._name}: there is no ledger here yet")
        described = _pack_description({key: value or b"" for key, value in meta.items()})
        if not os.path.isdir(self._directory):
            make_private_directory(self._directory)
        if os.path.exists(path):
            if _read(path) != described:
                raise StoreError(
                    f"{self._directory} holds the entries of another ledger; give another directory"
                )
            return
        if os.listdir(self._directory):
            raise StoreError(
                f"{self._directory} is not empty, and no backup that entries are added to; give another directory"
            )
        if reader.first_sequence():
            raise StoreError(
                f"{self._name}: its first entries were pruned, and a backup without them cannot be restored; back it up "
                "as a whole"
            )
        with Output(path) as file:
            file.write(described)

    def _find_end(self) -> tuple[int, bytes]:
        last = _files(self._directory)[-1:]
        for path in last:
            (stored, _) = list(_read_entries(path))[-1]
            entry = decode_entry(path, stored)
            return entry.end, entry.hash
        return 0, b""

    def _write(self, piece: list[tuple[StoredEntry, RawText | None]]) -> None:
        packed = [_HEAD.pack(b"HFSE", _VERSION), _COUNT.pack(len(piece))]
        for stored, text in piece:
            packed += [
                _ENTRY.pack(stored.sequence, stored.count, stored.time_us, len(stored.data)),
                stored.data,
            ]
            packed += [
                _COUNT.pack(0 if text is None else len(text.data) + 1),
                b"" if text is None else text.data,
            ]
        data = b"".join(packed)
        path = os.path.join(self._directory, f"{piece[0][0].sequence:020}.entries")
        try:
            with Output(path) as file:
                file.write(data)
                file.write(hash_of(data))
        except OSError as error:
            raise StoreError(f"{path}: {error.strerror}") from error


class ShippedEntries:
    """Reads the entries of a directory, as a reader of a store does.

    Args:
        directory: The directory.

    Raises:
        StoreError: If it is none that a :class:`Shipper` has written.
    """

    def __init__(self, directory: str) -> None:
        self._directory = directory
        self._texts: dict[int, RawText | None] = {}
        path = os.path.join(directory, DESCRIPTION)
        if not os.path.exists(path):
            raise StoreError(f"{directory}: this directory is no backup of a ledger: it has no {DESCRIPTION}")
        self._meta = _unpack_description(path)

    def meta(self, key: str) -> bytes | None:
        """Give a value of the ledger's description."""
        return self._meta.get(key)

    def first_sequence(self) -> int:
        """Give 0: a directory has all entries from the first one on."""
        return 0

    def last_entry(self) -> StoredEntry | None:
        """Give the newest entry."""
        for path in _files(self._directory)[-1:]:
            return list(_read_entries(path))[-1][0]
        return None

    def entries(self, sequence: int) -> Iterator[StoredEntry]:
        """Give the entries that hold decisions after ``sequence``, in order."""
        for stored, text in chain.from_iterable(map(_read_entries, _files(self._directory))):
            if stored.sequence + stored.count > sequence:
                self._texts = {stored.sequence: text}
                yield stored

    def raw_text(self, sequence: int) -> RawText | None:
        """Give the raw texts of the entry that :meth:`entries` gave last."""
        return self._texts.get(sequence)

    def close(self) -> None:
        """Do nothing: files are closed once they are read."""


def _files(directory: str) -> list[str]:
    return [os.path.join(directory, name) for name in sorted(os.listdir(directory)) if _NAME.fullmatch(name)]


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _checked(path: str, magic: bytes) -> bytes:
    """Read a file, check its hash and version, and give what is between."""
    data = _read(path)
    body = data[:-HASH_BYTES]
    if len(data) < _HEAD.size + HASH_BYTES or hash_of(body) != data[-HASH_BYTES:] or body[:4] != magic:
        raise StoreDamagedError(
            f"{path}: this file is not what was written; take it from another copy of the backup"
        )
    _, version = _HEAD.unpack_from(body)
    if version > _VERSION:
        raise StoreError(
            f"{path}: a later version of Holdfast has written this file (format {version}); use that one"
        )
    return body[_HEAD.size :]


def _read_entries(path: str) -> Iterator[tuple[StoredEntry, RawText | None]]:
    body = memoryview(_checked(path, b"HFSE"))
    (count,) = _COUNT.unpack_from(body)
    at = _COUNT.size
    for _ in range(count):
        sequence, decisions, time_us, length = _ENTRY.unpack_from(body, at)
        at += _ENTRY.size
        stored = StoredEntry(sequence, decisions, time_us, bytes(body[at : at + length]))
        at += length
        (text_length,) = _COUNT.unpack_from(body, at)
        at += _COUNT.size
        text = RawText(sequence, bytes(body[at : at + text_length - 1])) if text_length else None
        at += max(0, text_length - 1)
        yield stored, text


def _pack_description(meta: dict[str, bytes]) -> bytes:
    data = _HEAD.pack(b"HFSD", _VERSION) + b"".join(
        _COUNT.pack(len(meta[key])) + meta[key] for key in META_KEYS
    )
    return data + hash_of(data)


def _unpack_description(path: str) -> dict[str, bytes]:
    body = _checked(path, b"HFSD")
    meta, at = {}, 0
    for key in META_KEYS:
        (length,) = _COUNT.unpack_from(body, at)
        at += _COUNT.size
        meta[key] = body[at : at + length]
        at += length
    return meta
