"""Where bytes come from: files, every kind of Python object, and what is none of them."""

from __future__ import annotations

import array
import gzip
import io
import mmap
import os
import subprocess
import sys
import tempfile
import threading
from typing import TYPE_CHECKING, ClassVar

import pytest

from commands import wait_until_blocked
from holdfast.io.compression import InputError, InputStream, open_input, open_source

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from holdfast.io.input_types import Input

DATA = b"type,client,tx,amount\n" * 20_000


class Reader:
    """A file object that can only read()."""

    def __init__(self, data: bytes) -> None:
        self._file = io.BytesIO(data)

    def read(self, size: int, /) -> bytes:
        """Give a little at a time."""
        return self._file.read(min(size, 1_000))


def _read_all(stream: InputStream) -> bytes:
    buffer = bytearray(65_536)
    result = bytearray()
    while count := stream.readinto(buffer):
        result += buffer[:count]
    return bytes(result)


def _pieces() -> Iterator[bytes]:
    yield b""
    for at in range(0, len(DATA), 999):
        yield DATA[at : at + 999]
        yield b""


@pytest.mark.parametrize(
    ("source", "name", "size"),
    [
        (DATA, "<bytes>", len(DATA)),
        (bytearray(DATA), "<bytearray>", len(DATA)),
        (memoryview(DATA), "<memoryview>", len(DATA)),
        (memoryview(array.array("I", DATA)), "<memoryview>", len(DATA)),
        (io.BytesIO(DATA), "<BytesIO>", None),
        (Reader(DATA), "<Reader>", None),
        ([DATA[:5], bytearray(DATA[5:7]), memoryview(DATA)[7:]], "<list>", None),
        (_pieces(), "<generator>", None),
    ],
    ids=lambda value: type(value).__name__,
)
def test_python_objects(source: Input, name: str, size: int | None) -> None:
    """Bytes, binary files and iterables of bytes all read alike."""
    stream = open_source(source)
    assert (stream.name, stream.raw_size) == (name, size)
    assert _read_all(stream) == DATA
    assert stream.raw_position() == len(DATA)


def test_files_that_python_opened(tmp_path: Path) -> None:
    """Open files, buffered or not, decompressed by Python or not, are read and stay open."""
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(DATA))
    with path.open("rb") as buffered, path.open("rb", buffering=0) as unbuffered, gzip.open(path) as plain:
        for file in (buffered, unbuffered, plain):
            with open_source(file) as stream:
                assert stream.name == str(path)
                assert _read_all(stream) == DATA
            assert not file.closed
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        assert _read_all(open_source(mapped)) == DATA


def test_paths(tmp_path: Path) -> None:
    """A path is a str or a path object, and may hold bytes that are no text."""
    path = tmp_path / os.fsdecode(b"caf\xe9.csv")
    path.write_bytes(DATA)
    for source in (path, str(path)):
        with open_source(source) as stream:
            assert (stream.name, stream.raw_size) == (str(path), len(DATA))
            assert _read_all(stream) == DATA


def test_text_is_refused(tmp_path: Path) -> None:
    """Files in text mode are told to be opened in binary mode, before or when the first text shows up."""
    path = tmp_path / "a.csv"
    path.write_text("type")
    with path.open(encoding="utf-8") as file, pytest.raises(TypeError, match="'rb'"):
        open_source(file)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="'rb'"):
        open_source(io.StringIO("type"))  # type: ignore[arg-type]
    with (
        tempfile.NamedTemporaryFile("w+", encoding="utf-8") as wrapped,
        pytest.raises(TypeError, match="'rb'"),
    ):
        open_source(wrapped).readinto(bytearray(1))
    with pytest.raises(TypeError, match="'rb'"):
        open_source(["type"]).readinto(bytearray(1))  # type: ignore[list-item]


@pytest.mark.parametrize("source", [5, None, object()])
def test_what_is_no_source(source: object) -> None:
    """Anything else is a TypeError that lists what would do."""
    with pytest.raises(TypeError, match="a path, bytes, a binary file or an iterable of bytes"):
        open_source(source)  # type: ignore[arg-type]


def test_iterables_of_something_else() -> None:
    """An iterable of numbers is no input."""
    with pytest.raises(TypeError, match="consists of bytes, not of int"):
        open_source([1, 2]).readinto(bytearray(1))  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("name", "error"),
    [("missing.csv", FileNotFoundError), ("directory", IsADirectoryError), ("a.csv/b", NotADirectoryError)],
)
def test_what_cannot_be_opened(tmp_path: Path, name: str, error: type[OSError]) -> None:
    """The system's own error, with the path given."""
    (tmp_path / "directory").mkdir()
    (tmp_path / "a.csv").write_bytes(b"")
    path = str(tmp_path / name)
    with pytest.raises(error) as caught:
        open_input(path)
    assert caught.value.filename == path


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kept", [0, 1, 100, 5_000])
def test_a_file_that_is_cut_while_it_is_read(tmp_path: Path, suffix: str, kept: int) -> None:
    """Its size was known: an end before that is an error, compressed or not, and not the end of the input."""
    path = tmp_path / f"a.csv{suffix}"
    data = os.urandom(10_000)
    path.write_bytes(gzip.compress(data) if suffix else data)
    size = path.stat().st_size
    with open_input(str(path)) as stream:
        os.truncate(path, kept)
        with pytest.raises(InputError, match=f"ends at byte {kept} but had {size} .* cut while it was read"):
            _read_all(stream)


def test_a_file_that_is_cut_between_two_reads(tmp_path: Path) -> None:
    """The same for what was read from before it was cut; nothing that was read is taken for all of it."""
    path = tmp_path / "a.csv"
    path.write_bytes(DATA)
    with open_input(str(path)) as stream:
        assert stream.readinto(bytearray(1_000)) == 1_000
        os.truncate(path, 500)
        with pytest.raises(InputError, match="ends at byte 131072 but had 440000"):
            _read_all(stream)


def test_a_file_that_grows_while_it_is_read(tmp_path: Path) -> None:
    """What was added by the time the end is reached is read as well."""
    path = tmp_path / "a.csv"
    path.write_bytes(DATA)
    with open_input(str(path)) as stream, path.open("ab", buffering=0) as file:
        file.write(b"more\n")
        assert _read_all(stream) == DATA + b"more\n"


def test_standard_input_in_the_middle_of_a_file(tmp_path: Path) -> None:
    """What was read before counts for nothing: the rest is all there."""
    path = tmp_path / "a.csv"
    path.write_bytes(b"first line\n" + DATA)
    program = (
        "import os\n"
        "from holdfast.io.compression import open_input\n"
        "os.read(0, 11)\n"
        "stream, buffer, total = open_input('-'), bytearray(65536), 0\n"
        "while count := stream.readinto(buffer):\n"
        "    total += count\n"
        "print(total)\n"
    )
    with path.open("rb") as file:
        done = subprocess.run(
            [sys.executable, "-c", program], stdin=file, capture_output=True, check=True, timeout=60
        )
    assert int(done.stdout) == len(DATA)


def test_text_that_is_no_path() -> None:
    """CSV given as text is taken for a path; the message says so instead of quoting all of it."""
    with pytest.raises(
        InputError, match="text is taken for a path, and there is no such file; give CSV as bytes"
    ):
        open_source("type,client,tx,amount\ndeposit,1,1,1\n")


def test_a_read_error_names_the_file() -> None:
    """An error in the middle of a file names it, although the system's read() does not know its name."""
    stream = open_input("/proc/self/mem")
    with pytest.raises(OSError, match="Input/output error") as caught:
        stream.readinto(bytearray(10))
    stream.close()
    assert caught.value.filename == "/proc/self/mem"


def test_an_error_is_not_the_end() -> None:
    """A file object whose read() fails once has not ended with that."""

    class Flaky(Reader):
        """Fails on the second call."""

        calls = 0

        def read(self, size: int, /) -> bytes:
            """Give a little at a time, but for the second."""
            self.calls += 1
            if self.calls == 2:
                raise TimeoutError
            return super().read(size)

    stream = open_source(Flaky(b"x" * 1_500))
    buffer = bytearray(5_000)
    assert stream.readinto(buffer) == 1_000
    with pytest.raises(TimeoutError):
        stream.readinto(buffer)
    assert stream.readinto(buffer) == 500


def test_a_terminal_that_goes_on_after_its_end() -> None:
    """The end is the end: what a terminal would give after that is not asked for."""

    class Terminal:
        """Ends once and then goes on."""

        answers: ClassVar[list[bytes]] = [b"abc", b"", b"more"]

        def readinto(self, buffer: memoryview, /) -> int:
            """Give the next answer."""
            answer = self.answers.pop(0)
            buffer[: len(answer)] = answer
            return len(answer)

    stream = open_source(Terminal())
    assert [stream.readinto(bytearray(10)) for _ in range(3)] == [3, 0, 0]


def test_large_files_are_announced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system is told that a file will be read from its beginning to its end; a pipe has neither."""
    told = []
    monkeypatch.setattr(os, "posix_fadvise", lambda *arguments: told.append(arguments[1:]))
    path = tmp_path / "a.csv"
    path.write_bytes(DATA)
    open_input(str(path)).close()
    assert told == [(0, 0, os.POSIX_FADV_SEQUENTIAL)]
    open_input("/dev/null").close()
    assert len(told) == 1


READ_STDIN = """
import sys
from holdfast.io.compression import open_input
buffer = bytearray(100)
try:
    print(open_input("-").readinto(buffer))
except OSError as error:
    print(type(error).__name__, error.filename)
"""


def test_standard_input_that_is_closed() -> None:
    """Standard input closed at the start is an error that names it."""
    command = ["bash", "-c", '"$@" <&-', "bash", sys.executable, "-c", READ_STDIN]
    answer = subprocess.run(command, capture_output=True, timeout=30, check=True).stdout
    assert answer == b"OSError <stdin>\n"


def test_non_blocking_standard_input_is_waited_for() -> None:
    """Standard input that somebody made non-blocking is read as if it were not."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    process = subprocess.Popen([sys.executable, "-c", READ_STDIN], stdin=read_end, stdout=subprocess.PIPE)
    wait_until_blocked(process)
    os.write(write_end, b"12345")
    os.close(write_end)
    os.close(read_end)
    assert process.communicate(timeout=30)[0] == b"5\n"


def test_a_fifo(tmp_path: Path) -> None:
    """A named pipe is read to its end; how long it will be nobody knows."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    writer = threading.Thread(target=fifo.write_bytes, args=(DATA,))
    writer.start()
    with open_input(str(fifo)) as stream:
        assert stream.raw_size is None
        assert _read_all(stream) == DATA
    writer.join(30)


def test_file_objects_without_data_yet() -> None:
    """A non-blocking file is an error that says so, not the end of the input."""
    read_end, write_end = os.pipe()
    os.set_blocking(read_end, False)
    with open(read_end, "rb", buffering=0) as reader:
        stream = open_source(reader)
        with pytest.raises(BlockingIOError, match="non-blocking"):
            stream.readinto(bytearray(1))
        os.close(write_end)

    class NoData:
        """A file object that can only read(), and has nothing."""

        def read(self, _size: int, /) -> None:
            """Give what a non-blocking file gives."""

    with pytest.raises(BlockingIOError, match="non-blocking"):
        open_source(NoData()).readinto(bytearray(1))


@pytest.mark.parametrize("count", [-1, 200_000])
def test_file_objects_that_lie(count: int) -> None:
    """A readinto() that claims more than the buffer takes is an error, not garbage."""

    class Liar:
        """Claims to have read any number of bytes."""

        def readinto(self, _buffer: memoryview, /) -> int:
            """Claim."""
            return count

    with pytest.raises(InputError, match=f"readinto\\(\\) gave {count} for a buffer of"):
        open_source(Liar()).readinto(bytearray(1))
