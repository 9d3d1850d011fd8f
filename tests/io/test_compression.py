"""Compressed inputs: every format, however it is told, cut and split; corrupt data; bounded memory."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import random
import subprocess
import sys
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from holdfast.io.compression import InputError, InputStream, open_input, open_source

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from typing import Protocol

    class Decompressor(Protocol):
        """What the standard library's decompressors have in common."""

        def decompress(self, data: bytes, /) -> bytes:
            """Give all that the data stands for."""


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": lambda data: gzip.compress(data, mtime=0),
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
DECOMPRESSOR: dict[str, Callable[[], Decompressor]] = {
    "gzip": lambda: zlib.decompressobj(wbits=31),
    "zstd": zstd.ZstdDecompressor,
    "bzip2": bz2.BZ2Decompressor,
    "xz": lzma.LZMADecompressor,
}
SUFFIX = {"gzip": ".gz", "zstd": ".zst", "bzip2": ".bz2", "xz": ".xz"}
FORMATS = list(COMPRESS)
TEXT = b"type,client,tx,amount\n" + b"".join(
    b"deposit,%d,%d,%d.5\n" % (i % 100, i, i * i) for i in range(20_000)
)
# Does not compress, so that its compressed form spans many reads.
NOISE = random.Random(1).randbytes(600_000)
SKIPPABLE = b"\x5e\x2a\x4d\x18\x03\x00\x00\x00abc"


def _read_all(stream: InputStream, size: int = 65_536) -> bytes:
    buffer = bytearray(size)
    result = bytearray()
    with stream:
        while count := stream.readinto(buffer):
            result += buffer[:count]
        assert stream.readinto(buffer) == 0
    return bytes(result)


def _error(data: bytes, path: Path) -> InputError:
    path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        _read_all(open_input(str(path)))
    assert caught.value.filename == str(path)
    assert str(caught.value) == f"{path}: {caught.value.strerror}"
    assert "\n" not in str(caught.value)
    return caught.value


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE], ids=["empty", "byte", "text", "noise"])
def test_told_by_suffix_and_by_first_bytes(tmp_path: Path, name: str, data: bytes) -> None:
    """A compressed file reads like the plain one, whatever it is called."""
    for file_name in (f"a.csv{SUFFIX[name]}", f"A.CSV{SUFFIX[name].upper()}", "a.csv"):
        path = tmp_path / file_name
        path.write_bytes(COMPRESS[name](data))
        assert _read_all(open_input(str(path))) == data
        assert _read_all(open_source(path)) == data


@pytest.mark.parametrize("size", [1, 7, 4096, 1_000_000])
@pytest.mark.parametrize("name", FORMATS)
def test_any_buffer_size(name: str, size: int) -> None:
    """Small buffers get everything too, a little at a time."""
    data = TEXT[:5_000] if size < 10 else TEXT
    assert _read_all(open_source(COMPRESS[name](data)), size) == data


@pytest.mark.parametrize("name", FORMATS)
def test_any_split_of_the_input(name: str) -> None:
    """Byte by byte or in odd pieces: the split of the compressed data makes no difference."""
    data = COMPRESS[name](TEXT[:3_000]) + COMPRESS[name](b"second")
    for size in (1, 2, 5, 1_000):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert _read_all(open_source(pieces)) == TEXT[:3_000] + b"second"


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_kept_back(name: str) -> None:
    """However small the buffer, all that the data so far stands for is given before more is read."""
    reference = DECOMPRESSOR[name]()
    due, given = 0, 0

    def pieces() -> Iterator[bytes]:
        nonlocal due
        compressed = COMPRESS[name](TEXT[:2_000] + b"x" * 2_000)
        for at in range(len(compressed)):
            assert given == due
            piece = compressed[at : at + 1]
            due += len(reference.decompress(piece))
            yield piece

    stream = open_source(pieces())
    while stream.readinto(bytearray(1)):
        given += 1
    assert given == due == 4_000


@pytest.mark.parametrize("name", FORMATS)
def test_many_members(tmp_path: Path, name: str) -> None:
    """Files joined with cat are read to the end, empty members between them included."""
    path = tmp_path / "a"
    path.write_bytes(b"".join(COMPRESS[name](data) for data in (b"", TEXT, b"", NOISE, b"", b"last")))
    assert _read_all(open_input(str(path))) == TEXT + NOISE + b"last"


@pytest.mark.parametrize("name", ["gzip", "xz"])
def test_zeros_after_a_member(name: str) -> None:
    """Padding, which these formats know, is no garbage: at the end, between members, over many reads."""
    member = COMPRESS[name](TEXT)
    for padding in (b"\0" * 4, b"\0" * 400_000):
        assert _read_all(open_source(member + padding + member + padding)) == TEXT + TEXT


@pytest.mark.parametrize("data", [SKIPPABLE + zstd.compress(TEXT), zstd.compress(TEXT) + SKIPPABLE])
def test_zstd_frames_with_metadata(data: bytes) -> None:
    """Frames that parallel and seekable zstd add decompress to nothing."""
    assert _read_all(open_source(data)) == TEXT


@pytest.mark.parametrize(
    "data",
    [b"", b"\x1f", b"\x1f\x8b", b"BZh", b"BZh9 is no bzip2 file", b"\xfd7zXY\x00", b"(\xb5/", b"P", TEXT],
)
def test_plain_data_stays_as_it_is(data: bytes) -> None:
    """What only begins like a compressed file is not one."""
    assert _read_all(open_source(data)) == data
    assert _read_all(open_source([data[at : at + 1] for at in range(len(data[:50]))])) == data[:50]


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("data", [b"", b"\x1f", TEXT], ids=["empty", "byte", "text"])
def test_a_name_that_promises_too_much(tmp_path: Path, name: str, data: bytes) -> None:
    """A file called .gz or .GZ that is none is an error that says so, not garbage."""
    for suffix in (SUFFIX[name], SUFFIX[name].upper()):
        error = _error(data, tmp_path / f"a.csv{suffix}")
        assert error.strerror == f"not {name} data, although the name ends in {SUFFIX[name]}"


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("data", [b"", TEXT, NOISE], ids=["empty", "text", "noise"])
def test_cut_short(tmp_path: Path, name: str, data: bytes) -> None:
    """A download that broke off is an error wherever it broke, with the place; never a shorter file."""
    compressed = COMPRESS[name](data)
    magic_bytes = 10
    for end in {magic_bytes, len(compressed) // 2, len(compressed) - 5, len(compressed) - 1}:
        if end < magic_bytes:
            continue
        error = _error(compressed[:end], tmp_path / "a")
        assert error.strerror == f"cut short: the {name} data stops at byte {end}"


@pytest.mark.parametrize("name", FORMATS)
def test_corrupt(tmp_path: Path, name: str) -> None:
    """A flipped bit is found by the format's checksum, and the place where it was found is said."""
    compressed = bytearray(COMPRESS[name](NOISE))
    place = len(compressed) // 2
    compressed[place] ^= 0x10
    error = _error(bytes(compressed), tmp_path / "a")
    reason = str(error.strerror)
    assert reason.startswith(f"corrupt {name} data between byte ")
    start, end = [int(word.strip(":")) for word in reason.split() if word.strip(":").isdecimal()][:2]
    assert place <= end <= len(compressed)
    assert 0 <= end - start <= 16_384


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("garbage", [b"x", b"\x1f", b"garbage" * 100_000], ids=["byte", "magic byte", "much"])
def test_trailing_garbage(tmp_path: Path, name: str, garbage: bytes) -> None:
    """What follows the compressed data and is none is an error at exactly its first byte."""
    member = COMPRESS[name](TEXT)
    error = _error(member + garbage, tmp_path / "a")
    assert error.strerror == f"what follows from byte {len(member)} on is not {name} data"


@pytest.mark.parametrize("name", ["zstd", "bzip2"])
def test_zeros_are_garbage_where_the_format_says_so(tmp_path: Path, name: str) -> None:
    """Formats without padding have none."""
    member = COMPRESS[name](TEXT)
    assert str(len(member)) in str(_error(member + b"\0" * 4, tmp_path / "a"))


def test_raw_position_and_size(tmp_path: Path) -> None:
    """Progress is told in bytes of the file as it is stored."""
    path = tmp_path / "a.gz"
    compressed = gzip.compress(NOISE)
    path.write_bytes(compressed)
    buffer = bytearray(50_000)
    with open_input(str(path)) as stream:
        assert (stream.raw_size, stream.raw_position()) == (len(compressed), 0)
        read = 0
        while count := stream.readinto(buffer):
            read += count
            assert abs(stream.raw_position() - read) < 60_000
        assert stream.raw_position() == len(compressed)
    plain = tmp_path / "a.csv"
    plain.write_bytes(TEXT)
    with open_input(str(plain)) as stream:
        assert stream.readinto(memoryview(buffer)[:100]) == 100
        assert (stream.raw_size, stream.raw_position()) == (len(TEXT), 100)


@pytest.mark.parametrize("name", FORMATS)
def test_a_bomb_does_not_blow_memory(name: str, tmp_path: Path) -> None:
    """Some kilobytes that stand for 64 MiB are read through in little more memory than the buffer takes."""
    path = tmp_path / f"bomb{SUFFIX[name]}"
    path.write_bytes(COMPRESS[name](bytes(64 * 1024 * 1024)))
    program = """
import resource, sys
from holdfast.io.compression import open_input
buffer = bytearray(65_536)
total = 0
with open_input(sys.argv[1]) as stream:
    total += stream.readinto(buffer)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while count := stream.readinto(buffer):
        total += count
print(total, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    command = [sys.executable, "-c", program, str(path)]
    output = subprocess.run(command, capture_output=True, timeout=60, check=True).stdout
    total, grown_kib = (int(number) for number in output.split())
    assert total == 64 * 1024 * 1024
    assert grown_kib < 16 * 1024


def _xz_with_dictionary(code: int) -> bytes:
    """Make an xz file whose header asks for a larger dictionary than it was made with."""
    data = bytearray(lzma.compress(TEXT))
    header = 12  # bytes of the stream's header, before that of the block
    length = 4 * data[header]  # without its checksum
    assert data[header + 2 : header + 4] == b"\x21\x01"  # LZMA2, with one byte that says how large
    data[header + 4] = code
    checksum = zlib.crc32(data[header : header + length])
    data[header + length : header + length + 4] = checksum.to_bytes(4, "little")
    return bytes(data)


def _zstd_with_window(descriptor: int) -> bytes:
    """Make a zstd frame whose header asks for a larger window than it was made with."""
    compressor = zstd.ZstdCompressor()
    data = bytearray(compressor.compress(TEXT) + compressor.flush())
    assert not data[4] & 0x20  # not a single segment: the window is given
    data[5] = descriptor
    return bytes(data)


@pytest.mark.parametrize(
    ("suffix", "data", "limit"),
    [
        # Dictionaries of 384 MiB and of 4 GiB - 1, windows of 256 MiB and of 2 GiB.
        (".xz", _xz_with_dictionary(33), "xz data needs more memory than 256 MiB"),
        (".xz", _xz_with_dictionary(40), "xz data needs more memory than 256 MiB"),
        (".zst", _zstd_with_window(0x90), "zstd data needs more memory than 128 MiB"),
        (".zst", _zstd_with_window(0xA8), "zstd data needs more memory than 128 MiB"),
    ],
)
def test_memory_is_limited(tmp_path: Path, suffix: str, data: bytes, limit: str) -> None:
    """A file that takes much memory to be read is refused; it is not said to be corrupt."""
    message = str(_error(data, tmp_path / f"a{suffix}"))
    assert limit in message
    assert "decompress it first" in message
    assert "corrupt" not in message


@pytest.mark.parametrize(
    ("suffix", "data"), [(".xz", _xz_with_dictionary(30)), (".zst", _zstd_with_window(0x88))]
)
def test_large_windows_within_the_limit(tmp_path: Path, suffix: str, data: bytes) -> None:
    """128 MiB are no reason to refuse a file."""
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with open_input(str(path)) as stream:
        assert _read_all(stream) == TEXT


def test_detection_waits_for_no_more_than_it_needs() -> None:
    """From a slow pipe, the first byte of a plain input comes at once, before there is a second."""
    read_end, write_end = os.pipe()
    with open(read_end, "rb", buffering=0) as reader:
        stream = open_source(reader)
        os.write(write_end, b"t")
        buffer = bytearray(10)
        assert stream.readinto(buffer) == 1
        os.write(write_end, b"ype")
        assert stream.readinto(buffer) == 3
        assert buffer[:3] == b"ype"
        os.close(write_end)
        assert stream.readinto(buffer) == 0


@pytest.mark.parametrize("name", [None, *FORMATS])
def test_standard_input(name: str | None, tmp_path: Path) -> None:
    """``-`` reads standard input, from a pipe and from a file of which a part was read before."""
    program = """
import os, sys
from holdfast.io.compression import open_input
os.read(0, int(sys.argv[1]))
buffer = bytearray(100_000)
with open_input("-") as stream:
    print(stream.name, stream.raw_size, file=sys.stderr)
    while count := stream.readinto(buffer):
        sys.stdout.buffer.write(buffer[:count])
os.fstat(0)
"""
    data = COMPRESS[name](TEXT) if name else TEXT
    piped = subprocess.run(
        [sys.executable, "-c", program, "0"], input=data, capture_output=True, timeout=60, check=False
    )
    assert (piped.stdout, piped.stderr) == (TEXT, b"<stdin> None\n")
    path = tmp_path / "file"
    path.write_bytes(b"12345" + data)
    with path.open("rb") as file:
        read = subprocess.run(
            [sys.executable, "-c", program, "5"], stdin=file, capture_output=True, timeout=60, check=False
        )
    assert (read.stdout, read.stderr) == (TEXT, f"<stdin> {len(data)}\n".encode())


def test_formats_are_imported_when_they_are_needed() -> None:
    """Reading a plain file imports no decompressor."""
    program = f"""
import sys
sys.path[:0] = {sys.path!r}
from holdfast.io.compression import open_input
open_input(sys.executable).readinto(bytearray(10))
print(*sys.modules)
"""
    command = [sys.executable, "-I", "-B", "-c", program]
    listed = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.split()
    assert "holdfast.io.compression" in listed
    assert not {"gzip", "zlib", "bz2", "lzma", "backports.zstd", "compression.zstd"} & set(listed)


def test_reading_streams_from_a_pipe() -> None:
    """Compressed data that has arrived is given before the rest has."""
    read_end, write_end = os.pipe()
    compressor = zstd.ZstdCompressor()
    first = compressor.compress(TEXT[:1000], mode=zstd.ZstdCompressor.FLUSH_BLOCK)
    last = compressor.compress(b"last", mode=zstd.ZstdCompressor.FLUSH_FRAME)
    buffer = bytearray(65_536)
    with open(read_end, "rb", buffering=0) as reader, open_source(reader) as stream:
        os.write(write_end, first)
        assert stream.readinto(buffer) == 1000
        os.write(write_end, last)
        os.close(write_end)
        assert stream.readinto(buffer) == 4
        assert stream.readinto(buffer) == 0


def test_a_closed_stream(tmp_path: Path) -> None:
    """Reading after close() is the caller's mistake, for every kind of input."""
    path = tmp_path / "a"
    path.write_bytes(b"x")
    for stream in (open_input(str(path)), open_source(b"x"), open_source(io.BytesIO(b"x"))):
        stream.close()
        with pytest.raises(ValueError, match="closed"):
            stream.readinto(bytearray(1))


def test_a_read_can_be_cancelled() -> None:
    """Members that give no text keep a reader busy for as long as there are more of them; another thread can end that."""

    class Endless:
        """Empty members without an end."""

        def __init__(self) -> None:
            self.begun = threading.Event()

        def readinto(self, buffer: memoryview, /) -> int:
            """Give many."""
            self.begun.set()
            members = gzip.compress(b"") * 100
            buffer[: len(members)] = members
            return len(members)

    endless = Endless()
    stream = open_source(endless)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(stream.readinto, bytearray(10))
        assert endless.begun.wait(10)
        stream.cancel()
        with pytest.raises(InputError, match="cancelled"):
            reading.result(10)
