"""Text of any encoding as UTF-8, while it is read.

A sequence that is no text of the encoding becomes bytes that are no UTF-8, so that its row, and no other, is malformed.
"""

from __future__ import annotations

import codecs

from holdfast.io.raw import InputError

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    from typing import Protocol

    class _Bytes(Protocol):
        def readinto(self, buffer: memoryview, /) -> int: ...


_READ_BYTES = 64 * 1024
_HANDLER = "holdfast.undecodable"
_FIRST_ESCAPE, _LAST_ESCAPE = 0xDC80, 0xDCFF
# A byte that no UTF-8 has.
_NO_TEXT = 0xFF


class TextDecoder:
    """The bytes of a text as UTF-8.

    Args:
        source: Its bytes as they come.
        encoding: Its encoding.
        name: The input, for error messages.
    """

    def __init__(self, source: _Bytes, encoding: str, name: str) -> None:
        self._source = source
        self._encoding = encoding
        self._name = name
        self._decoder = codecs.getincrementaldecoder(encoding)(_HANDLER)
        self._buffer = memoryview(bytearray(_READ_BYTES))
        self._rest = memoryview(b"")
        self._has_ended = False

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer; give 0 at the end.

        Raises:
            InputError: If the whole is no text of the encoding.
            OSError: If the source cannot be read.
        """
        while not self._rest:
            if self._has_ended:
                return 0
            count = self._source.readinto(self._buffer)
            self._has_ended = count == 0
            self._rest = memoryview(self._decode(bytes(self._buffer[:count])))
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def _decode(self, data: bytes) -> bytes:
        try:
            return self._decoder.decode(data, self._has_ended).encode("utf-8", _HANDLER)
        except UnicodeError as error:
            # Only UTF-16 and UTF-32 say so of a whole: it begins without a byte order mark.
            name = codecs.lookup(self._encoding).name
            hint = f"{name}-le or {name}-be is the encoding of a file without one"
            raise InputError(self._name, f"this is no text in {self._encoding}: {error}; {hint}") from error


def encode_text(text: bytes, encoding: str) -> bytes:
    """Give text that was decoded here in its encoding again, byte for byte where the encoding has one way to write it."""
    return text.decode("utf-8", _HANDLER).encode(encoding, _HANDLER)


def _keep_bytes(error: UnicodeError) -> tuple[str | bytes, int]:
    """Keep what cannot be decoded: a byte as what Python's surrogateescape makes of it, a sequence as one that is no text."""
    if isinstance(error, UnicodeDecodeError):
        found = error.object[error.start : error.end]
        is_single = len(found) == 1 and found[0] >= _FIRST_ESCAPE & 0xFF
        return chr(_FIRST_ESCAPE - 0x80 + (found[0] if is_single else _NO_TEXT)), error.end
    if isinstance(error, UnicodeEncodeError):
        return b"".join(_escaped_byte(ord(each)) for each in error.object[error.start : error.end]), error.end
    raise error


def _escaped_byte(code: int) -> bytes:
    return bytes([code & 0xFF if _FIRST_ESCAPE <= code <= _LAST_ESCAPE else _NO_TEXT])


codecs.register_error(_HANDLER, _keep_bytes)
