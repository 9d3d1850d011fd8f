"""Where the bytes of an input come from: a file, standard input, or a Python object."""

from __future__ import annotations

import errno
import io
import os
import stat

from holdfast.domain.picklable import Picklable

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from holdfast.io.input_types import Chunk, Input, Readable, ReadableInto

    class Raw(Protocol):
        """The bytes of an input as they are stored."""

        name: str
        size: int | None

        def readinto(self, buffer: memoryview, /) -> int:
            """Fill a buffer with what is there, waiting until there is something; 0 at the end."""

        def close(self) -> None:
            """Give back what was opened for this input."""


STDIN_NAME = "<stdin>"
_READ_BYTES = 128 * 1024


class InputError(Picklable, OSError):
    """An input that cannot be read; the message is one sentence that names it.

    Args:
        name: The input.
        reason: What is wrong with it.
    """

    def __init__(self, name: str, reason: str) -> None:
        super().__init__(errno.EBADMSG, reason, name)

    def __str__(self) -> str:
        return f"{self.filename}: {self.strerror}"


class File:
    """A file that is opened here, or standard input.

    Args:
        path: Its path; None for standard input.

    Raises:
        OSError: If it cannot be opened or is a directory.
    """

    def __init__(self, path: str | None) -> None:
        self.name = STDIN_NAME if path is None else path
        self._read_bytes = 0
        try:
            self._file = io.FileIO(0, closefd=False) if path is None else io.FileIO(path)
            self.size = self._remaining_bytes()
        except OSError as error:
            error.filename = self.name
            raise

    def readinto(self, buffer: memoryview) -> int:
        """Fill a buffer with one large read.

        Raises:
            InputError: If the file ends before the size that it had when it was opened.
            OSError: If it cannot be read.
        """
        count = self._read(buffer)
        self._read_bytes += count
        if not count and len(buffer) and self.size is not None and self._read_bytes < self.size:
            raise InputError(
                self.name,
                f"the file ends at byte {self._read_bytes} but had {self.size} bytes when it was opened: "
                "it was cut while it was read; read it again when no program writes to it",
            )
        return count

    def _read(self, buffer: memoryview) -> int:
        while True:
            try:
                return os.readv(self._file.fileno(), [buffer])
            except BlockingIOError:
                # The process that started this one left standard input non-blocking.
                _wait_until_readable(self._file.fileno())
            except OSError as error:
                error.filename = self.name
                raise

    def close(self) -> None:
        """Close the file; standard input stays open."""
        self._file.close()

    def _remaining_bytes(self) -> int | None:
        descriptor = self._file.fileno()
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            return None
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        # Standard input may have been read from before.
        return max(0, status.st_size - os.lseek(descriptor, 0, os.SEEK_CUR))


class _FileObject:
    """A file object that the caller opened, and closes."""

    def __init__(self, source: ReadableInto, name: str) -> None:
        self.name = name
        self.size: int | None = None
        self._source = source

    def readinto(self, buffer: memoryview) -> int:
        count = self._source.readinto(buffer)
        if count is None:
            raise _no_data(self.name)
        if not 0 <= count <= len(buffer):
            raise InputError(self.name, f"readinto() gave {count} for a buffer of {len(buffer)} bytes")
        return count

    def close(self) -> None:
        """Leave it open."""


class _Chunks:
    """Bytes that come in pieces of any size."""

    def __init__(self, chunks: Iterator[Chunk], name: str, size: int | None) -> None:
        self.name = name
        self.size = size
        self._chunks = chunks
        self._rest = memoryview(b"")

    def readinto(self, buffer: memoryview) -> int:
        while not self._rest:
            chunk = next(self._chunks, None)
            if chunk is None:
                return 0
            self._rest = _view(chunk, self.name)
        count = min(len(buffer), len(self._rest))
        buffer[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count

    def close(self) -> None:
        """Let go of the last piece."""
        self._rest = memoryview(b"")


def open_raw(source: Input) -> Raw:
    """Open anything that bytes can come from.

    Args:
        source: A path, bytes, a binary file object, or an iterable of pieces of bytes.

    Raises:
        OSError: If it is the path of something that cannot be opened.
        InputError: If it is text with several lines: CSV is given as bytes.
        TypeError: If it is none of these, a file in text mode above all.
    """
    if isinstance(source, str | os.PathLike):
        path = os.fsdecode(source)
        if "\n" in path and not os.path.exists(path):
            raise InputError(
                "<str>", "text is taken for a path, and there is no such file; give CSV as bytes"
            )
        return File(path)
    if isinstance(source, bytes | bytearray | memoryview):
        view = memoryview(source)
        return _Chunks(iter([view]), f"<{type(source).__name__}>", view.nbytes)
    name = getattr(source, "name", None)
    if not isinstance(name, str):
        name = f"<{type(source).__name__}>"
    if isinstance(source, io.TextIOBase):
        raise _text_error(name)
    if hasattr(source, "readinto"):
        return _FileObject(source, name)  # type: ignore[arg-type]  # hasattr has just looked
    if hasattr(source, "read"):
        # Not a generator: an exception out of read() would end it, and the next read would look like the end.
        return _Chunks(iter(_reader(source, name), b""), name, None)  # type: ignore[arg-type]  # the same
    if hasattr(source, "__iter__"):
        return _Chunks(iter(source), name, None)
    raise TypeError(
        f"an input is a path, bytes, a binary file or an iterable of bytes, not {type(source).__name__}"
    )


def _reader(source: Readable, name: str) -> Callable[[], Chunk]:
    def read() -> Chunk:
        chunk = source.read(_READ_BYTES)
        if chunk is None:
            raise _no_data(name)
        return chunk

    return read


def _view(chunk: object, name: str) -> memoryview:
    if isinstance(chunk, str):
        raise _text_error(name)
    if not isinstance(chunk, bytes | bytearray | memoryview):
        raise TypeError(f"{name}: an input consists of bytes, not of {type(chunk).__name__}")
    return memoryview(chunk).cast("B")


def _text_error(name: str) -> TypeError:
    return TypeError(f"{name}: this gives text; open the file in binary mode ('rb')")


def _no_data(name: str) -> BlockingIOError:
    return BlockingIOError(errno.EAGAIN, "the file is non-blocking and has no data yet", name)


def _wait_until_readable(descriptor: int) -> None:
    import select  # noqa: PLC0415  # rarely needed

    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    poll.poll()
