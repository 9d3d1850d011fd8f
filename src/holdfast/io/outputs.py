"""Writes every file that anything in Holdfast writes.

A file appears under its name complete and safely on disk, or not at all. It is written under a temporary name in the
same directory, with the permissions and the owner that it will have, then synced and renamed, and the directory is
synced. A symbolic link is followed. A FIFO, a device or an inherited descriptor (``/dev/stdout``, ``/dev/fd/3``) cannot
be replaced and is written through.

Every error is an ``OSError`` that names the output as the caller knows it.
"""

from __future__ import annotations

import errno
import os
import stat

from holdfast.io.descriptors import PLAIN_WAITS, RawOutput, buffered, discard, name_error
from holdfast.io.permissions import take_over

TYPE_CHECKING = False  # typing costs more to import than all of this
if TYPE_CHECKING:
    import io
    from types import TracebackType

    from holdfast.io.descriptors import Waits

_LINKS_MAX = 40
_NAME_PART_BYTES = 40


class Output:
    """A context manager that gives a file open for bytes.

    Leaving it normally puts the file in its place. Leaving it by an exception removes what was written and keeps what was
    there before; what was written through stays.

    An existing file keeps its permissions, and its owner and group where the system lets us set them. Hard links to it keep
    the former content.

    Args:
        path: The name under which the file appears.
        waits: The contexts of blocking writes.
        whole: Whether writes to a FIFO or a device are undisturbed as well, so that they are never cut.
        replaces_only: Whether to refuse what cannot be replaced, and could block for ever.
    """

    def __init__(
        self, path: str, *, waits: Waits = PLAIN_WAITS, whole: bool = False, replaces_only: bool = False
    ) -> None:
        self._path = path
        self._waits = waits
        self._whole = whole
        self._replaces_only = replaces_only
        self._temporary: str | None = None
        self._final = ""
        self._file: io.BufferedWriter | None = None

    def __enter__(self) -> io.BufferedWriter:
        try:
            return self._open()
        except BaseException as error:
            self._clean_up()
            if isinstance(error, OSError):
                name_error(error, self._path)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        try:
            if kind is None and self._file is not None:
                self._commit(self._file)
        except OSError as error:
            name_error(error, self._path)
            raise
        finally:
            self._clean_up()

    def _open(self) -> io.BufferedWriter:
        target = _find_target(self._path, replaces_only=self._replaces_only)
        if target.descriptor is not None:
            # Opening /dev/stdout anew would start at the beginning of a file that others have written to.
            return self._buffer(os.dup(target.descriptor), blocks=True)
        if target.is_written_through:
            # A FIFO without a reader blocks right here.
            with self._waits.undisturbed() if self._whole else self._waits.interruptible():
                descriptor = os.open(self._path, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
            return self._buffer(descriptor, blocks=True)
        descriptor, self._temporary = _create_temporary(target)
        self._final = target.path
        file = self._buffer(descriptor, blocks=False)
        if target.existing is not None:
            take_over(descriptor, target.path, target.existing)
        return file

    def _buffer(self, descriptor: int, *, blocks: bool) -> io.BufferedWriter:
        is_interruptible = blocks and not self._whole
        wait = self._waits.interruptible() if is_interruptible else self._waits.undisturbed()
        self._file = buffered(RawOutput(descriptor, self._path, wait))
        return self._file

    def _commit(self, file: io.BufferedWriter) -> None:
        file.flush()
        if self._temporary is None:
            file.close()
            return
        os.fsync(file.fileno())
        file.close()
        os.replace(self._temporary, self._final)
        self._temporary = None
        _sync_directory(os.path.dirname(self._final))

    def _clean_up(self) -> None:
        if self._file is not None:
            discard(self._file)
        if self._temporary is not None:
            _remove(self._temporary)
            self._temporary = None


def check_output(path: str, *, replaces_only: bool = False) -> None:
    """Find out before the work whether an output can be written after it, and leave no trace.

    Args:
        path: Its name.
        replaces_only: As for :class:`Output`.

    Raises:
        OSError: If it cannot be written; the error names it.
    """
    try:
        target = _find_target(path, replaces_only=replaces_only)
        if target.descriptor is None and not target.is_written_through:
            descriptor, temporary = _create_temporary(target)
            os.close(descriptor)
            os.unlink(temporary)
    except OSError as error:
        name_error(error, path)
        raise


def append_line(path: str, line: bytes, *, mode: int = 0o600, waits: Waits = PLAIN_WAITS) -> None:
    """Add a line to a regular file and wait until it is on disk; all of the line is there, or none of it.

    Writers that use this function take turns. A last line without an end gets one first.

    Args:
        path: The file; made if there is none.
        line: What to add, without a line end.
        mode: The permissions of a file that is made; those of an existing one stay.
        waits: The context in which the writers before this one are waited for.

    Raises:
        OSError: If the line cannot be added; the error names the file, which is then as it was (empty if it was made).
    """
    try:
        is_new = _stat_or_none(path) is None
        # Without O_NONBLOCK a FIFO could block here; a regular file takes no notice of it.
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
        descriptor = os.open(path, flags, mode)
        try:
            _append(descriptor, line, waits)
        finally:
            os.close(descriptor)
        if is_new:
            _sync_directory(os.path.dirname(os.path.realpath(path)))
    except OSError as error:
        name_error(error, path)
        raise


def create_private(path: str, *, mode: int = 0o600) -> None:
    """Make an empty file that its owner alone can read, for a library that then opens it itself.

    Raises:
        OSError: If there is one already, or it cannot be made; the error names it.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode))
    _sync_directory(os.path.dirname(os.path.abspath(path)))


def make_private_directory(path: str, *, mode: int = 0o700) -> None:
    """Make a directory that its owner alone can enter.

    Raises:
        OSError: If it cannot be made; the error names it.
    """
    os.mkdir(path, mode)
    _sync_directory(os.path.dirname(os.path.abspath(path)))


def remove_partial(path: str) -> None:
    """Remove a file of :func:`create_private` that could not be filled."""
    _remove(path)


def inherited_descriptor(path: str) -> int | None:
    """Give the number of the open descriptor that a path is a name for (``/dev/stdout``, ``/dev/fd/3``), if it is one."""
    try:
        return _follow_links(path)[1]
    except OSError:
        return None


def _append(descriptor: int, line: bytes, waits: Waits) -> None:
    import fcntl  # noqa: PLC0415  # nothing else here locks

    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError(errno.EINVAL, "lines can only be added to a regular file")
    with waits.interruptible():
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    size = os.fstat(descriptor).st_size
    # An editor may have left the last line without its end.
    begin = b"\n" if size and os.pread(descriptor, 1, size - 1) != b"\n" else b""
    rest = memoryview(b"%b%b\n" % (begin, line))
    try:
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except BaseException:
        os.ftruncate(descriptor, size)
        raise


class _Target:
    """What a path turns out to be.

    Args:
        path: Where the file is renamed to: the path with its links followed.
        descriptor: The inherited descriptor that the path names, if it names one.
        existing: What is there now, if anything is.
    """

    __slots__ = ("descriptor", "existing", "path")

    def __init__(self, path: str, descriptor: int | None, existing: os.stat_result | None) -> None:
        self.path = path
        self.descriptor = descriptor
        self.existing = existing

    @property
    def is_written_through(self) -> bool:
        """Whether it is something that a file cannot take the place of: a FIFO, a terminal, a device."""
        return self.existing is not None and not stat.S_ISREG(self.existing.st_mode)


def _find_target(path: str, *, replaces_only: bool) -> _Target:
    """Find out what a path is, and what can be known of why it could not be written.

    Raises:
        OSError: If it cannot.
    """
    resolved, descriptor = _follow_links(path)
    if descriptor is not None:
        _check_is_writable(descriptor)
    # The path as it was given: what a descriptor of another process leads to has no name.
    target = _Target(resolved, descriptor, None if descriptor is not None else _stat_or_none(path))
    if replaces_only and (target.descriptor is not None or target.is_written_through):
        raise OSError(errno.EINVAL, "this is not a regular file, and only those are written here")
    if target.existing is not None:
        _check_existing(path, target, target.existing)
    elif descriptor is None:
        _check_is_name(path, resolved)
    return target


def _check_existing(path: str, target: _Target, existing: os.stat_result) -> None:
    if stat.S_ISDIR(existing.st_mode):
        raise _error(errno.EISDIR)
    if stat.S_ISSOCK(existing.st_mode):
        raise OSError(errno.ENXIO, "this is a socket; name a file or a pipe")
    if not os.access(path, os.W_OK):
        # Renaming would get round a file's own write protection.
        raise _error(errno.EACCES)
    if target.is_written_through:
        return
    directory = os.stat(os.path.dirname(target.path))
    if directory.st_mode & stat.S_ISVTX and os.geteuid() not in {0, directory.st_uid, existing.st_uid}:
        raise OSError(
            errno.EPERM, "this file is somebody else's, in a directory where only owners replace files"
        )
    if _is_mount_point(target.path):
        raise OSError(
            errno.EBUSY, "this is a mount point, which no file can replace; mount its directory instead"
        )


def _check_is_name(path: str, resolved: str) -> None:
    """Check the name of a file that is not there yet."""
    if not os.path.basename(path):
        raise _error(errno.EISDIR if path else errno.ENOENT)
    directory = os.path.dirname(resolved)
    if not os.path.isdir(directory):
        given = os.path.dirname(path)
        # A symbolic link may be there and lead to a directory that is not.
        missing = directory if not given or os.path.isdir(given) else given
        raise OSError(errno.ENOENT, f"there is no directory {missing}")


def _check_is_writable(descriptor: int) -> None:
    import fcntl  # noqa: PLC0415  # rarely needed

    if fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
        raise _error(errno.EBADF)


def _follow_links(path: str) -> tuple[str, int | None]:
    """Follow symbolic links up to a file, or to a name for an open descriptor of this process; give the number of that.

    Links to descriptors are not followed: they would lead to a file, which is not what was opened, or to nothing.
    """
    for _ in range(_LINKS_MAX):
        directory, name = os.path.split(path)
        directory = os.path.realpath(directory)
        if name.isascii() and name.isdecimal() and _lists_own_descriptors(directory):
            return path, int(name)
        path = os.path.join(directory, name)
        try:
            path = os.path.join(directory, os.readlink(path))
        except OSError:
            return path, None
    raise _error(errno.ELOOP)


def _lists_own_descriptors(directory: str) -> bool:
    """Whether a directory, its links followed, is the one whose entries are the open descriptors of this process."""
    own = f"/proc/{os.getpid()}"
    return directory in {"/dev/fd", f"{own}/fd"} or (
        directory.startswith(f"{own}/task/") and directory.endswith("/fd")
    )


def _is_mount_point(path: str) -> bool:
    """Whether a file is a mount point; False where the system does not say."""
    mount = _mount_id(path)
    return mount is not None and mount != _mount_id(os.path.dirname(path))


def _mount_id(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (AttributeError, OSError):
        return None
    try:
        with open(f"/proc/self/fdinfo/{descriptor}", "rb") as file:
            return next((line for line in file if line.startswith(b"mnt_id:")), None)
    except OSError:
        return None
    finally:
        os.close(descriptor)


def _create_temporary(target: _Target) -> tuple[int, str]:
    """Create the file that will take the target's place; nobody may read it who may not read the target."""
    directory, name = os.path.split(target.path)
    # A part of the name says what a leftover was; all of it may already be as long as names get.
    part = os.fsencode(name)[:_NAME_PART_BYTES].decode(errors="ignore")
    temporary = os.path.join(directory, f".{part}.{os.urandom(8).hex()}.tmp")
    mode = 0o666 if target.existing is None else target.existing.st_mode & 0o600
    try:
        return os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode), temporary
    except FileNotFoundError as error:
        # The directory was removed while it is in use, or is one of the system's own (/proc).
        raise OSError(errno.ENOENT, f"no file can be made in {directory}") from error


def _stat_or_none(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except FileNotFoundError:
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
        # Somebody else has changed the directory; the error that brought us here matters more.
        pass


def _error(code: int) -> OSError:
    return OSError(code, os.strerror(code))
