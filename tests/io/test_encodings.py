"""Text in other encodings becomes UTF-8 while it is read, and comes back byte for byte."""

from __future__ import annotations

import gzip
import io
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.io.compression import open_source
from holdfast.io.encodings import TextDecoder, encode_text
from holdfast.io.raw import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

ENCODINGS = [
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "latin-1",
    "cp1252",
    "cp850",
    "shift_jis",
    "gb18030",
    "utf-7",
    "cp037",
]


class Pieces:
    """Gives bytes piece by piece."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def readinto(self, buffer: memoryview) -> int:
        """Give the next piece."""
        piece = next(self._pieces, b"")
        buffer[: len(piece)] = piece
        return len(piece)


def read(data: bytes, encoding: str, step: int = 100, pieces: int = 60_000) -> bytes:
    """Read all of an input in steps, whose bytes come in pieces."""
    # Any bytes: some would be taken for compressed data.
    chunks = iter([data[at : at + pieces] for at in range(0, len(data), pieces)])
    stream = TextDecoder(Pieces(chunks), encoding, "<pieces>")
    buffer, found = bytearray(step), b""
    while count := stream.readinto(memoryview(buffer)):
        found += buffer[:count]
    return found


@given(st.text(), st.sampled_from(ENCODINGS), st.integers(1, 9), st.integers(1, 9))
def test_any_text_in_any_steps(text: str, encoding: str, step: int, pieces: int) -> None:
    """What the encoding has is what comes out."""
    text = text.encode(encoding, "ignore").decode(encoding)
    assert read(text.encode(encoding), encoding, step, pieces) == text.encode()


@given(st.binary(), st.sampled_from(ENCODINGS), st.integers(1, 9))
def test_any_bytes_in_any_steps(data: bytes, encoding: str, pieces: int) -> None:
    """Nothing fails, whatever the bytes, and the steps make no difference."""
    data = {"utf-16": b"\xff\xfe", "utf-32": b"\xff\xfe\0\0"}.get(encoding, b"") + data
    assert read(data, encoding, pieces=pieces) == read(data, encoding)


@given(st.binary())
@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "cp850"])
def test_single_bytes_come_back(encoding: str, data: bytes) -> None:
    """Also those that the encoding does not have."""
    assert encode_text(read(data, encoding), encoding) == data


@pytest.mark.parametrize(
    ("data", "encoding"),
    [
        (b"a\x81b", "cp1252"),
        ("a".encode("utf-16-le") + b"\x00\xd8" + "b".encode("utf-16-le"), "utf-16-le"),
        (b"a\x81", "shift_jis"),
    ],
)
def test_what_is_no_text_is_no_utf_8(data: bytes, encoding: str) -> None:
    """So its row is malformed, and no other."""
    with pytest.raises(UnicodeDecodeError):
        read(data, encoding).decode()


def test_compressed_text_is_decompressed_first() -> None:
    """As a partner sends it."""
    stream = open_source(gzip.compress("é".encode("utf-16")))
    stream.use_encoding("utf-16")
    buffer = bytearray(9)
    assert buffer[: stream.readinto(buffer)] == "é".encode()


def test_utf_16_without_a_mark_is_an_error_with_a_way_out() -> None:
    """The encodings that need none are named."""
    with pytest.raises(InputError, match=r"no text in utf-16: .* utf-16-le or utf-16-be is the encoding"):
        read("a,b".encode("utf-16-le"), "utf-16")


def test_a_closed_input_gives_nothing() -> None:
    """As without an encoding."""
    stream = open_source(io.BytesIO(b"x"))
    stream.use_encoding("latin-1")
    stream.close()
    with pytest.raises(ValueError, match="closed"):
        stream.readinto(bytearray(4))
