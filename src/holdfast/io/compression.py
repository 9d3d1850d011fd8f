"""Inputs as plain bytes: gzip, zstd, bzip2 and xz are decompressed while they are read.

A path's suffix tells the format; where there is none, the first bytes do. Reading streams: one read gives no more than
fits its buffer, however well the data was compressed.
"""

from __future__ import annotations

import sys

from holdfast.io.raw import STDIN_NAME, File, InputError, open_raw

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol, Self

    from holdfast.io.encodings import TextDecoder
    from holdfast.io.input_types import Input
    from holdfast.io.raw import Raw

    class _Member(Protocol):
        """Decompresses one member (a frame, a stream) of a file that may have several."""

        @property
        def eof(self) -> bool: ...
        @property
        def needs_input(self) -> bool: ...
        @property
        def unused_data(self) -> bytes: ...
        def decompress(self, data: bytes, /, max_length: int) -> bytes: ...

    _Tools = tuple[Callable[[], _Member], type[Exception]]


__all__ = ["STDIN_NAME", "InputError", "InputStream", "open_input", "open_source"]

_READ_BYTES = 128 * 1024
# What a decompressor is given at a time. Small: it is copied as long as the output has no room for all of
# it, and a corrupt place is known to within one slice.
_SLICE_BYTES = 16 * 1024
# xz -9 needs 65 MiB; a hostile file asks for 4 GiB.
_XZ_MEMORY_BYTES = 256 * 1024 * 1024
# The limit that zstd itself has.
_ZSTD_MEMORY_BYTES = 128 * 1024 * 1024
# What the libraries say about a limit; they have no other way to tell it from corrupt data.
_MEMORY_ERRORS = ("Memory usage limit exceeded", "requires too much memory")


class InputStream:
    """The bytes of one input, decompressed; made by :func:`open_input` and :func:`open_source`.

    Args:
        raw: The bytes as they are stored.
        suffix_format: The compression that the path's suffix promises; None to look at the first bytes.
    """

    def __init__(self, raw: Raw, suffix_format: _Format | None = None) -> None:
        self.name = raw.name
        self.raw_size = raw.size
        self._raw = raw
        self._feed = _Feed(raw)
        self._plain: _Feed | _Decompressor | TextDecoder | None = None
        self._encoding: str | None = None
        if suffix_format is not None:
            self._plain = _Decompressor(self._feed, suffix_format, raw.name)
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def readinto(self, buffer: bytearray | memoryview) -> int:
        """Fill a buffer with what is there, waiting until there is something.

        Returns:
            How many bytes were written to the buffer's beginning; 0 at the end.

        Raises:
            OSError: If the input cannot be read.
            InputError: If it is compressed and corrupt, cut short, or followed by something else.
            TypeError: If it gives text.
            ValueError: If it is closed.
        """
        if self._closed:
            raise ValueError(f"{self.name}: the input is closed")
        if self._plain is None:
            # Not before the first read, so that opening a pipe never waits for its first bytes.
            self._plain = self._detect()
        if self._encoding is not None:
            self._plain = self._decode_text(self._plain, self._encoding)
        view = memoryview(buffer).cast("B")
        return self._plain.readinto(view) if view else 0

    def use_encoding(self, encoding: str) -> None:
        """Give UTF-8, made of text in another encoding; to be called before the first read."""
        self._encoding = encoding

    def _decode_text(self, source: _Feed | _Decompressor | TextDecoder, encoding: str) -> TextDecoder:
        from holdfast.io.encodings import TextDecoder  # noqa: PLC0415  # as the formats: only who needs it pays for it

        self._encoding = None
        return TextDecoder(source, encoding, self.name)

    def raw_position(self) -> int:
        """How many of the bytes, as they are stored, were used so far."""
        return self._feed.position

    def cancel(self) -> None:
        """Let a read on another thread end soon, and all later ones fail.

        Compressed data may go on for long without giving a byte of text.
        """
        self._feed.is_cancelled = True

    def close(self) -> None:
        """Close what was opened for this input; standard input and file objects of the caller stay open."""
        self._closed = True
        self._raw.close()

    def _detect(self) -> _Feed | _Decompressor:
        found = self._feed.sniff(_FORMATS)
        return self._feed if found is None else _Decompressor(self._feed, found, self.name)


def open_input(name: str) -> InputStream:
    """Open a file, or standard input.

    Args:
        name: A path; ``-`` for standard input.

    Raises:
        OSError: If there is no such file, it is a directory, or it may not be read.
    """
    return InputStream(File(None)) if name == "-" else open_source(name)


def open_source(source: Input) -> InputStream:
    """Open anything that bytes can come from.

    Args:
        source: A path, bytes, a binary file object (which you close), or an iterable of bytes.

    Raises:
        OSError: If it is a path and cannot be opened.
        TypeError: If it is none of these, a file in text mode above all.
    """
    raw = open_raw(source)
    if not isinstance(raw, File):
        return InputStream(raw)
    name = raw.name.lower()
    return InputStream(raw, next((format_ for format_ in _FORMATS if name.endswith(format_.suffix)), None))


def without_suffix(name: str) -> str:
    """Give a file's name, in lower case, without the suffix of a compression."""
    return next((name.removesuffix(each.suffix) for each in _FORMATS if name.endswith(each.suffix)), name)


class _Format:
    """A compression format.

    Args:
        name: As people call it.
        suffix: What the names of its files end with.
        magics: What a member begins with, one of these.
        load: Imports what is needed; gives what makes a member's decompressor, and its error.
        padded: Whether zeros may follow a member.
        memory_bytes_max: How much memory decompressing may take; 0 if the format needs little.
        command: The program that decompresses such a file whatever it takes.
    """

    def __init__(
        self,
        name: str,
        suffix: str,
        magics: tuple[bytes, ...],
        load: Callable[[], _Tools],
        *,
        padded: bool,
        memory_bytes_max: int = 0,
        command: str = "",
    ) -> None:
        self.name = name
        self.suffix = suffix
        self.magics = magics
        self.load = load
        self.padded = padded
        self.memory_bytes_max = memory_bytes_max
        self.command = command


class _Feed:
    """The bytes of an input as they are stored, with a look ahead."""

    def __init__(self, raw: Raw) -> None:
        self._raw = raw
        self._read = 0
        self._ended = False
        self._ahead = b""
        self._at = 0
        self.is_cancelled = False

    @property
    def position(self) -> int:
        """How many bytes were taken."""
        return self._read - (len(self._ahead) - self._at)

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer: with what the look ahead left over, then directly."""
        if self._at == len(self._ahead):
            return self._read_raw(buffer)
        piece = self.take(len(buffer))
        buffer[: len(piece)] = piece
        return len(piece)

    def take(self, size: int) -> bytes:
        """Give up to so many bytes; none at the end."""
        if self._at == len(self._ahead):
            self._look_further()
        piece = self._ahead[self._at : self._at + size]
        self._at += len(piece)
        return piece

    def give_back(self, count: int) -> None:
        """Undo the end of the last :meth:`take`."""
        self._at -= count

    def sniff(self, formats: tuple[_Format, ...]) -> _Format | None:
        """Find the format whose magic bytes come next, reading no further than it takes to know."""
        while True:
            head = self._ahead[self._at : self._at + _MAGIC_BYTES_MAX]
            open_question = False
            for format_ in formats:
                if head.startswith(format_.magics):
                    return format_
                open_question |= any(magic.startswith(head) for magic in format_.magics)
            if not open_question or not self._look_further():
                return None

    def skip_zeros(self) -> None:
        """Take all the zero bytes that come next."""
        while True:
            rest = len(self._ahead[self._at :].lstrip(b"\0"))
            self._at = len(self._ahead) - rest
            if rest or not self._look_further():
                return

    def at_end(self) -> bool:
        """Whether nothing comes next."""
        return self._at == len(self._ahead) and not self._look_further()

    def _look_further(self) -> bool:
        buffer = memoryview(bytearray(_READ_BYTES))
        count = self._read_raw(buffer)
        self._ahead = self._ahead[self._at :] + buffer[:count]
        self._at = 0
        return count > 0

    def _read_raw(self, buffer: memoryview) -> int:
        if self.is_cancelled:
            raise InputError(self._raw.name, "reading was cancelled")
        # A terminal gives more after its end.
        count = 0 if self._ended else self._raw.readinto(buffer)
        self._ended = count == 0
        self._read += count
        return count


class _Decompressor:
    """The plain bytes of a compressed feed, member after member."""

    def __init__(self, feed: _Feed, format_: _Format, name: str) -> None:
        self._feed = feed
        self._format = format_
        self._name = name
        self._new_member, self._member_error = format_.load()
        self._member: _Member | None = None
        self._started = False
        self._slice_position = 0
        self._full = False

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer with what one slice of compressed data gives, or a part of it."""
        while True:
            member = self._member or self._next_member()
            if member is None:
                return 0
            output = self._decompress(member, len(buffer))
            # What fills the buffer may not be all: zlib and bzip2 hold back more without saying so.
            self._full = len(output) == len(buffer)
            if member.eof:
                self._feed.give_back(len(member.unused_data))
                self._member, self._full = None, False
            if output:
                buffer[: len(output)] = output
                return len(output)

    def _next_member(self) -> _Member | None:
        if self._started:
            if self._format.padded:
                self._feed.skip_zeros()
            if self._feed.at_end():
                return None
        if self._feed.sniff((self._format,)) is None:
            raise InputError(self._name, self._say_not_a_member())
        self._started = True
        self._member = self._new_member()
        return self._member

    def _decompress(self, member: _Member, limit: int) -> bytes:
        data = b""
        if member.needs_input and not self._full:
            self._slice_position = self._feed.position
            data = self._feed.take(_SLICE_BYTES)
            if not data:
                end = self._feed.position
                raise InputError(self._name, f"cut short: the {self._format.name} data stops at byte {end}")
        try:
            return member.decompress(data, limit)
        except self._member_error as error:
            raise InputError(self._name, self._describe(str(error))) from error

    def _describe(self, reason: str) -> str:
        format_ = self._format
        if any(text in reason for text in _MEMORY_ERRORS):
            return (
                f"this {format_.name} data needs more memory than {format_.memory_bytes_max >> 20} MiB "
                f"to decompress; decompress it first ({format_.command})"
            )
        where = f"between byte {self._slice_position} and byte {self._feed.position}"
        return f"corrupt {format_.name} data {where}: {reason}"

    def _say_not_a_member(self) -> str:
        if not self._started:
            return f"not {self._format.name} data, although the name ends in {self._format.suffix}"
        return f"what follows from byte {self._feed.position} on is not {self._format.name} data"


def _load_gzip() -> _Tools:
    import zlib  # noqa: PLC0415  # as the other formats: only an input that needs it pays for it

    class GzipMember:
        """zlib's decompressor with the interface that the other formats share."""

        def __init__(self) -> None:
            self._inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)

        @property
        def eof(self) -> bool:
            return self._inflater.eof

        @property
        def needs_input(self) -> bool:
            return not self._inflater.unconsumed_tail

        @property
        def unused_data(self) -> bytes:
            return self._inflater.unused_data

        def decompress(self, data: bytes, /, max_length: int) -> bytes:
            return self._inflater.decompress(self._inflater.unconsumed_tail or data, max_length)

    return GzipMember, zlib.error


def _load_zstd() -> _Tools:
    if sys.version_info >= (3, 14):
        from compression import zstd  # noqa: PLC0415
    else:
        from backports import zstd  # noqa: PLC0415
    return zstd.ZstdDecompressor, zstd.ZstdError


def _load_bzip2() -> _Tools:
    import bz2  # noqa: PLC0415

    return bz2.BZ2Decompressor, OSError


def _load_xz() -> _Tools:
    import lzma  # noqa: PLC0415

    return lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, _XZ_MEMORY_BYTES), lzma.LZMAError


# After the level comes the mark of a block, or that of the end of a file with nothing in it.
_BZIP2_MAGICS = tuple(
    b"BZh%d" % level + next_
    for level in range(1, 10)
    for next_ in (bytes.fromhex("314159265359"), bytes.fromhex("177245385090"))
)
# A frame, or one with metadata, which decompresses to nothing.
_ZSTD_MAGICS = (b"\x28\xb5\x2f\xfd", *(bytes([first]) + b"\x2a\x4d\x18" for first in range(0x50, 0x60)))
_FORMATS = (
    _Format("gzip", ".gz", (b"\x1f\x8b\x08",), _load_gzip, padded=True),
    _Format(
        "zstd",
        ".zst",
        _ZSTD_MAGICS,
        _load_zstd,
        padded=False,
        memory_bytes_max=_ZSTD_MEMORY_BYTES,
        command="zstd -dc --long=31",
    ),
    _Format("bzip2", ".bz2", _BZIP2_MAGICS, _load_bzip2, padded=False),
    _Format(
        "xz",
        ".xz",
        (b"\xfd7zXZ\x00",),
        _load_xz,
        padded=True,
        memory_bytes_max=_XZ_MEMORY_BYTES,
        command="xz -dc",
    ),
)
_MAGIC_BYTES_MAX = max(len(magic) for format_ in _FORMATS for magic in format_.magics)
