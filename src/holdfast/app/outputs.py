"""Outputs of a command: buffered standard output, and files that appear complete or not at all.

Every error is an ``OSError`` that names the output as the person knows it. A write that blocks, because
nobody reads at the other end of a pipe, ends with a signal, unless the output was asked for whole. A write to a
file on disk waits for nobody and is never torn.
"""

from __future__ import annotations

import errno
import io
import os
import stat
import sys

from holdfast.app.signals import Interrupted

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    from types import TracebackType

    from _typeshed import ReadableBuffer

    from holdfast.app.signals import StopSignals

STDOUT_NAME = "<stdout>"
_BUFFER_BYTES = 256 * 1024


class OutputClosedError(BrokenPipeError):
    """Nobody reads an output any more: no error of the job's (``| head``), but no reason to go on either."""


class AtomicOutput:
    """A context manager for a file that appears under its name complete and safely on disk, or not at all.

    Leaving it normally flushes the file to disk, renames it into place and flushes the directory; leaving it
    by an exception removes what was written and keeps what stood there before. An existing file keeps its
    permissions, a symbolic link is followed, and a pipe, a terminal or another special file is written to
    directly.

    Args:
        signals: What ends a blocked write.
        path: The name under which the file appears.
        whole: Whether a signal waits for blocked writes as well, so that what was written is never cut.
    """

    def __init__(self, signals: StopSignals, path: str, *, whole: bool = False) -> None:
        self._signals = signals
        self._path = path
        self._whole = whole
        self._target = ""
        self._temporary: str | None = None
        self._file: io.BufferedWriter | None = None

    def __enter__(self) -> io.BufferedWriter:
        try:
            return self._open()
        except OSError as error:
            self._clean_up()
            _name(error, self._path)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._file is not None:
                self._commit(self._file)
        except OSError as error:
            _name(error, self._path)
            raise
        finally:
            self._clean_up()

    def _open(self) -> io.BufferedWriter:
        inherited = _inherited_descriptor(self._path)
        if inherited is not None:
            # Opening /dev/stdout anew would start at the beginning of a file that others have written to.
            return self._buffer(os.dup(inherited), blocks=True)
        existing = _stat_or_none(self._path)
        if existing is not None and not stat.S_ISREG(existing.st_mode):
            # A FIFO without a reader blocks right here.
            with self._signals.interruptible():
                descriptor = os.open(self._path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
            return self._buffer(descriptor, blocks=True)
        return self._open_temporary(existing)

    def _open_temporary(self, existing: os.stat_result | None) -> io.BufferedWriter:
        name = os.path.basename(self._path)
        if not name:
            code = errno.EISDIR if self._path else errno.ENOENT
            raise OSError(code, os.strerror(code))
        self._target = os.path.realpath(self._path)
        if existing is not None and not os.access(self._target, os.W_OK):
            # Renaming would get round a file's own write protection.
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        # A part of the name says what a leftover was; all of it may already be as long as names get.
        temporary = os.path.join(os.path.dirname(self._target), f".{name[:40]}.{os.urandom(8).hex()}.tmp")
        mode = 0o666 if existing is None else 0o600
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
        self._temporary = temporary
        file = self._buffer(descriptor, blocks=False)
        if existing is not None:
            os.fchmod(descriptor, stat.S_IMODE(existing.st_mode) & 0o777)
        return file

    def _buffer(self, descriptor: int, *, blocks: bool) -> io.BufferedWriter:
        self._file = open_buffered(
            self._signals, descriptor, self._path, is_interruptible=blocks and not self._whole
        )
        return self._file

    def _commit(self, file: io.BufferedWriter) -> None:
        file.flush()
        if self._temporary is not None:
            os.fsync(file.fileno())
        file.close()
        if self._temporary is not None:
            os.replace(self._temporary, self._target)
            self._temporary = None
            _sync_directory(os.path.dirname(self._target))

    def _clean_up(self) -> None:
        if self._file is not None:
            discard(self._file)
        if self._temporary is not None:
            _remove(self._temporary)
            self._temporary = None


class _Descriptor(io.FileIO):
    """A file descriptor whose errors name it and whose blocking writes end with a signal, if they may."""

    def __init__(
        self, signals: StopSignals, descriptor: int, label: str, *, closefd: bool, is_interruptible: bool
    ) -> None:
        super().__init__(descriptor, "wb", closefd=closefd)
        self._waiting = signals.interruptible() if is_interruptible else signals.undisturbed()
        self._label = label
        self._torn: Interrupted | None = None

    def write(self, data: ReadableBuffer, /) -> int:
        if self._torn is not None:
            # How much of the interrupted write got through is unknown: what is written now could come twice.
            raise self._torn
        try:
            return self._write(data)
        except Interrupted as stop:
            self._torn = stop
            raise
        except BrokenPipeError as error:
            raise OutputClosedError(error.errno, error.strerror, self._label) from error
        except OSError as error:
            _name(error, self._label)
            raise

    def _write(self, data: ReadableBuffer) -> int:
        while True:
            with self._waiting:
                try:
                    return os.write(self.fileno(), data)
                except BlockingIOError:
                    # Whoever gave us the descriptor left it non-blocking.
                    _wait_until_writable(self.fileno())


def open_buffered(
    signals: StopSignals,
    descriptor: int,
    label: str,
    *,
    closefd: bool = True,
    is_interruptible: bool = True,
) -> io.BufferedWriter:
    """Put a large buffer before a descriptor.

    Args:
        signals: What ends a blocked write.
        descriptor: Where it goes.
        label: What errors call it.
        closefd: Whether closing the file closes the descriptor.
        is_interruptible: Whether a signal ends a blocked write.
    """
    raw = _Descriptor(signals, descriptor, label, closefd=closefd, is_interruptible=is_interruptible)
    return io.BufferedWriter(raw, _BUFFER_BYTES)


def discard(file: io.BufferedWriter) -> None:
    """Close a file without writing what its buffer still holds, now or at interpreter shutdown."""
    file.raw.close()


def reserve_standard_descriptors() -> None:
    """Keep files that are opened later from becoming standard descriptors closed at the start (``>&-``).

    Each becomes /dev/null, opened the wrong way round: using it is an error, and not using it is none.
    """
    for descriptor, flags in ((0, os.O_WRONLY), (1, os.O_RDONLY), (2, os.O_RDONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            # The lowest number that is free is the one just found closed.
            os.open(os.devnull, flags)


def flush_text_stdout() -> None:
    """Write out what was printed (``--help``): a failure is an ordinary error here, not one at shutdown."""
    if sys.stdout is None or sys.stdout.closed:
        return
    try:
        sys.stdout.flush()
    except OSError as error:
        try:  # noqa: SIM105  # contextlib is slow to import
            sys.stdout.close()
        except OSError:
            # The same error once more; what is closed is flushed by nobody.
            pass
        if isinstance(error, BrokenPipeError):
            raise OutputClosedError(error.errno, error.strerror, STDOUT_NAME) from error
        _name(error, STDOUT_NAME)
        raise


def has_stdout_reader_left() -> bool:
    """Whether standard output is a pipe that nobody reads any more."""
    import select  # noqa: PLC0415  # rarely needed

    poll = select.poll()
    poll.register(1, 0)
    return bool(poll.poll(0))


def _wait_until_writable(descriptor: int) -> None:
    import select  # noqa: PLC0415  # rarely needed

    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    poll.poll()


def _stat_or_none(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _inherited_descriptor(path: str) -> int | None:
    """The number of the open descriptor that a path under /dev is a name for, if it is one."""
    named = {"/dev/stdout": 1, "/dev/stderr": 2}
    if path in named:
        return named[path]
    for prefix in ("/dev/fd/", "/proc/self/fd/"):
        number = path.removeprefix(prefix)
        if number != path and number.isascii() and number.isdecimal():
            return int(number)
    return None


def _sync_directory(path: str) -> None:
    """Make a rename last, where the directory can be opened and its file system knows how."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)


def _remove(path: str) -> None:
    try:  # noqa: SIM105  # contextlib is slow to import
        os.unlink(path)
    except OSError:
        # Somebody else's hand was in the directory; the error that brought us here matters more.
        pass


def _name(error: OSError, path: str) -> None:
    """Let an error speak of the name that the person knows, instead of a temporary one or none."""
    error.filename = path
    error.filename2 = None
