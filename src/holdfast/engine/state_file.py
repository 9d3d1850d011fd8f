"""The whole state of an engine as one file, and back.

The file is ``HFST``, a version (2 bytes, little-endian as all numbers), 2 zeros, the length of the settings (4) and the
settings as TOML, the length of the counters (4) and the counters; then pages, each with its kind (1), number (8), length (4)
and bytes; then a kind of 0, the number of pages (8) and a length of 0; and at the end the BLAKE2b (32 bytes) of everything
before. The pages are those of checkpoints; see :mod:`holdfast.kernel.ledger.pages`.
"""

from __future__ import annotations

import os
import struct
from hashlib import blake2b
from typing import TYPE_CHECKING

from holdfast.domain.settings_text import decode_settings, encode_settings
from holdfast.io.outputs import Output
from holdfast.io.raw import InputError
from holdfast.kernel.ledger.ledger import LedgerCore

if TYPE_CHECKING:
    import io
    from collections.abc import Iterator

_MAGIC = b"HFST"
_VERSION = 1
_HEAD = struct.Struct("<4sHH")
_LENGTH = struct.Struct("<I")
_PAGE = struct.Struct("<BQI")
_HASH_BYTES = 32
_RUN = 2
_PAGE_BYTES_MAX = 1 << 20


def save_state(core: LedgerCore, path: str) -> None:
    """Write a state to a file, which is there whole or not at all.

    Raises:
        OSError: If it cannot be written.
        RuntimeError: If a state is being written already.
    """
    core.follow()
    try:
        _write(core, path)
    finally:
        core.unfollow()


def _write(core: LedgerCore, path: str) -> None:
    cut = core.cut()
    with Output(path, replaces_only=True) as file:
        checksum = blake2b(digest_size=_HASH_BYTES)
        for part in _parts(core, cut.counters):
            checksum.update(part)
            file.write(part)
        pages = 0
        while (page := cut.next_page()) is not None:
            kind, number, data = page
            part = _PAGE.pack(kind, number, len(data)) + data
            checksum.update(part)
            file.write(part)
            pages += 1
        part = _PAGE.pack(0, pages, 0)
        checksum.update(part)
        file.write(part + checksum.digest())


def load_state(path: str | os.PathLike[str], *, batch_rows: int, huge_pages: bool) -> LedgerCore:
    """Read a state back.

    Raises:
        InputError: If it is no state, or not what was written.
        OSError: If it cannot be read.
    """
    name = os.fsdecode(path)
    with open(path, "rb") as file:
        reader = _Reader(file)
        try:
            magic, version, _ = _HEAD.unpack(reader.take(_HEAD.size))
            if magic != _MAGIC:
                raise InputError(
                    name, "this is no saved state; holdfast process --save and Engine.save() write one"
                )
            if version != _VERSION:
                raise InputError(
                    name, f"a later version of Holdfast has saved this state (format {version}); use that one"
                )
            settings = decode_settings(reader.take(reader.length()))._replace(batch_rows=batch_rows)
            counters = reader.take(reader.length())
            core = LedgerCore(settings, huge_pages=huge_pages, pages=True)
            for kind, number, data in reader.pages():
                if kind == _RUN:
                    core.add_absent_run(number)
                core.load_page(kind, number, data)
            reader.check_end()
            core.finish_restore(counters)
            core.unfollow()
        except (struct.error, ValueError) as error:
            raise InputError(name, f"this saved state is damaged: {error}") from error
    return core


def _parts(core: LedgerCore, counters: bytes) -> Iterator[bytes]:
    yield _HEAD.pack(_MAGIC, _VERSION, 0)
    for part in (encode_settings(core.settings), counters):
        yield _LENGTH.pack(len(part)) + part


class _Reader:
    """Reads a file of states, and follows its checksum."""

    def __init__(self, file: io.BufferedReader) -> None:
        self._file = file
        self._checksum = blake2b(digest_size=_HASH_BYTES)

    def take(self, count: int) -> bytes:
        data = self._file.read(count)
        if len(data) < count:
            raise ValueError("it ends too early")
        self._checksum.update(data)
        return data

    def length(self) -> int:
        (length,) = _LENGTH.unpack(self.take(_LENGTH.size))
        if length > _PAGE_BYTES_MAX:
            raise ValueError(f"a part has {length} bytes")
        return int(length)

    def pages(self) -> Iterator[tuple[int, int, bytes]]:
        count = 0
        while True:
            kind, number, length = _PAGE.unpack(self.take(_PAGE.size))
            if kind == 0:
                if number != count:
                    raise ValueError(f"it has {count} pages and says {number}")
                return
            if length > _PAGE_BYTES_MAX:
                raise ValueError(f"a page has {length} bytes")
            yield kind, number, self.take(length)
            count += 1

    def check_end(self) -> None:
        expected = self._checksum.digest()
        if self._file.read() != expected:
            raise ValueError("its checksum is wrong, or more comes after it")
