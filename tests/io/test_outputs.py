"""Outputs: complete or not there, permissions and owners, special files, mount points, errors that name the path given."""

from __future__ import annotations

import fcntl
import os
import re
import resource
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from commands import TIMEOUT_SECONDS
from holdfast.io.outputs import Output, append_line, check_output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def _write(path: Path | str, data: bytes = b"new") -> None:
    with Output(str(path)) as file:
        file.write(data)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    """While it is written the target is not there; after that, nothing else is."""
    target = tmp_path / "accounts.csv"
    with Output(str(target)) as file:
        file.write(b"x" * 1_000_000)
        file.flush()
        assert not target.exists()
        assert len(list(tmp_path.iterdir())) == 1
    assert target.read_bytes() == b"x" * 1_000_000
    assert list(tmp_path.iterdir()) == [target]


def test_an_exception_leaves_what_was_there(tmp_path: Path) -> None:
    """A job that fails half-way leaves the former file and no other."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")

    def fail() -> None:
        with Output(str(target)) as file:
            file.write(b"new")
            file.flush()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_it_is_on_disk_before_it_has_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The order that survives a power cut: the data, the name, the directory."""
    steps = []

    def note(name: str) -> None:
        real = getattr(os, name)

        def noted(*arguments: object) -> object:
            is_directory = name == "fsync" and stat.S_ISDIR(os.fstat(int(str(arguments[0]))).st_mode)
            steps.append(f"{name} directory" if is_directory else name)
            return real(*arguments)

        monkeypatch.setattr(os, name, noted)

    note("fsync")
    note("replace")
    _write(tmp_path / "accounts.csv")
    assert steps == ["fsync", "replace", "fsync directory"]


def _fail_for_directories(monkeypatch: pytest.MonkeyPatch, name: str, error: OSError) -> None:
    real = getattr(os, name)

    def fail(subject: str | int, *arguments: int) -> object:
        if stat.S_ISDIR(os.stat(subject).st_mode if os.path.exists(subject) else 0):
            raise error
        return real(subject, *arguments)

    monkeypatch.setattr(os, name, fail)


@pytest.mark.parametrize(
    ("name", "error"),
    [("open", PermissionError(13, "Permission denied")), ("fsync", OSError(22, "Invalid argument"))],
)
def test_a_directory_that_cannot_be_flushed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: OSError
) -> None:
    """A directory one may not read, or whose file system has no such thing, is no reason to fail."""
    _fail_for_directories(monkeypatch, name, error)
    _write(tmp_path / "accounts.csv")
    assert (tmp_path / "accounts.csv").read_bytes() == b"new"


def test_a_directory_that_fails_to_be_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk error is one, also in the last step."""
    _fail_for_directories(monkeypatch, "fsync", OSError(5, "Input/output error"))
    with pytest.raises(OSError, match="Input/output error") as caught:
        _write(tmp_path / "accounts.csv")
    assert caught.value.filename == str(tmp_path / "accounts.csv")


def test_a_failed_rename_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last step fails like the first: one error with the path given, no leftover."""

    def fail(source: str, target: str) -> None:
        raise OSError(5, "Input/output error", source, None, target)

    monkeypatch.setattr(os, "replace", fail)
    target = tmp_path / "accounts.csv"
    with pytest.raises(OSError, match="Input/output error") as caught:
        _write(target)
    assert (caught.value.filename, caught.value.filename2) == (str(target), None)
    assert list(tmp_path.iterdir()) == []


def test_a_new_file_honours_the_umask(tmp_path: Path) -> None:
    """A new file has the permissions that any other program would give it."""
    before = os.umask(0o027)
    try:
        _write(tmp_path / "accounts.csv")
    finally:
        os.umask(before)
    assert _mode(tmp_path / "accounts.csv") == 0o640


def _modes_over_time(monkeypatch: pytest.MonkeyPatch, directory: Path) -> list[tuple[str, int, int]]:
    """Note the mode and the owner of every file in a directory after each system call that could change them."""
    seen: list[tuple[str, int, int]] = []

    def note(name: str) -> None:
        real = getattr(os, name)

        def noted(*arguments: object) -> object:
            result = real(*arguments)
            for path in directory.glob(".*.tmp"):
                status = path.stat()
                seen.append((name, stat.S_IMODE(status.st_mode), status.st_uid))
            return result

        monkeypatch.setattr(os, name, noted)

    for name in ("open", "fchown", "fchmod", "fsync"):
        note(name)
    return seen


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o666])
def test_an_existing_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    """Replacing a file neither opens nor closes it to anybody, whatever the umask."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    target.chmod(mode)
    _write(target)
    assert (target.read_bytes(), _mode(target)) == (b"new", mode)


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o660, 0o400, 0o200])
def test_a_private_file_is_never_open_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int
) -> None:
    """From its first moment the temporary file allows nobody what the file it replaces does not allow."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    target.chmod(mode)
    monkeypatch.setattr(os, "access", lambda _path, _mode: True)
    seen = _modes_over_time(monkeypatch, tmp_path)
    _write(target)
    assert {name for name, _, _ in seen} >= {"open", "fchmod", "fsync"}
    assert all(found & ~mode == 0 for _, found, _ in seen), seen
    assert _mode(target) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
@pytest.mark.parametrize("mode", [0o600, 0o640, 0o644])
def test_an_existing_file_keeps_its_owner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int) -> None:
    """The owner and the group are those of the file that is replaced, before a byte is written."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    os.chown(target, 1234, 2345)
    target.chmod(mode)
    seen = _modes_over_time(monkeypatch, tmp_path)
    _write(target)
    status = target.stat()
    assert (status.st_uid, status.st_gid, _mode(target)) == (1234, 2345, mode)
    assert [owner for name, _, owner in seen if name == "fsync"] == [1234]
    assert all(found & ~mode == 0 for _, found, _ in seen), seen


@pytest.mark.parametrize(
    ("mode", "kept"), [(0o640, 0o600), (0o644, 0o644), (0o664, 0o644), (0o666, 0o666), (0o600, 0o600)]
)
def test_a_group_that_cannot_be_kept_gets_no_more_than_everybody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, kept: int
) -> None:
    """Where the system lets us set neither owner nor group, our own group may not read what it could not read before."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    target.chmod(mode)
    real = os.stat

    def of_somebody_else(path: str) -> os.stat_result:
        status = real(path)
        return os.stat_result((*status[:4], 1234, 2345, *status[6:])) if path == str(target) else status

    def refuse(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "stat", of_somebody_else)
    monkeypatch.setattr(os, "fchown", refuse)
    _write(target)
    monkeypatch.undo()
    assert (target.read_bytes(), _mode(target)) == (b"new", kept)


def _acl(*entries: tuple[int, int, int]) -> bytes:
    """Write an access control list as Linux does: tag, permissions, id."""
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


NOBODY = 0xFFFFFFFF
ACL = _acl((1, 6, NOBODY), (2, 4, 1234), (4, 0, NOBODY), (16, 4, NOBODY), (32, 0, NOBODY))
DEFAULT_ACL = _acl((1, 7, NOBODY), (2, 7, 1234), (4, 0, NOBODY), (16, 7, NOBODY), (32, 0, NOBODY))


def _set_acl(path: Path, name: str, acl: bytes) -> None:
    try:
        os.setxattr(path, f"system.posix_acl_{name}", acl)
    except OSError as error:
        pytest.skip(f"no access control lists here: {error}")


def test_an_existing_file_keeps_its_access_control_list(tmp_path: Path) -> None:
    """A list that lets one user read and the group not stays that list."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    _set_acl(target, "access", ACL)
    _write(target)
    assert target.read_bytes() == b"new"
    assert os.getxattr(target, "system.posix_acl_access") == ACL


def test_a_list_of_the_directory_opens_no_existing_file(tmp_path: Path) -> None:
    """A directory whose new files let one user in does not let that user into a file that was there before."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    target.chmod(0o640)
    _set_acl(tmp_path, "default", DEFAULT_ACL)
    _write(target)
    assert _mode(target) == 0o640
    with pytest.raises(OSError, match="No data available"):
        os.getxattr(target, "system.posix_acl_access")


def test_a_list_that_cannot_be_kept_closes_the_file_to_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The permissions of the group are the limits of the list: alone they would say something else."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    _set_acl(target, "access", ACL)

    def refuse(*_: object) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "setxattr", refuse)
    _write(target)
    assert _mode(target) == 0o600


def test_a_write_protected_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Write protection protects, although a rename would get round it."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    target.chmod(0o444)
    # Root may write to anything, and tests are often root.
    monkeypatch.setattr(os, "access", lambda path, mode: mode != os.W_OK or Path(path) != target)
    with pytest.raises(PermissionError):
        _write(target)
    assert target.read_bytes() == b"old"


def test_permissions_that_cannot_be_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error before the first byte removes the temporary file too."""

    def fail(descriptor: int, mode: int) -> None:
        raise PermissionError(1, "Operation not permitted", descriptor, None, mode)

    monkeypatch.setattr(os, "fchmod", fail)
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    with pytest.raises(PermissionError) as caught:
        _write(target)
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == [target]


def test_an_interrupted_beginning_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever ends it before the first byte, Ctrl-C for one, removes the temporary file."""

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fchmod", interrupt)
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        _write(target)
    assert list(tmp_path.iterdir()) == [target]


def test_a_symbolic_link_is_followed(tmp_path: Path) -> None:
    """The file behind a link is replaced, in its own directory; the link stays one."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(Path("real", "accounts.csv"))
    _write(link, b"first")
    _write(link, b"second")
    assert link.is_symlink()
    assert (tmp_path / "real" / "accounts.csv").read_bytes() == b"second"
    assert len(list((tmp_path / "real").iterdir())) == 1


def test_the_longest_name_there_is(tmp_path: Path) -> None:
    """The temporary name is no longer than the target's may be."""
    target = tmp_path / ("é" * 127)
    _write(target)
    assert target.read_bytes() == b"new"


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("missing/accounts.csv", FileNotFoundError),
        ("file/accounts.csv", NotADirectoryError),
        ("directory", IsADirectoryError),
        ("directory/", IsADirectoryError),
        ("new/", IsADirectoryError),
        ("", FileNotFoundError),
    ],
)
def test_errors_name_the_path_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, error: type[OSError]
) -> None:
    """A path that cannot be written to is an error that names it, and nothing is left behind."""
    monkeypatch.chdir(tmp_path)
    Path("file").write_bytes(b"")
    Path("directory").mkdir()
    for attempt in (check_output, _write):
        with pytest.raises(error) as caught:
            attempt(name)
        assert caught.value.filename == name
    assert sorted(os.listdir()) == ["directory", "file"]
    assert os.listdir("directory") == []


def test_a_dangling_link_gets_its_file(tmp_path: Path) -> None:
    """A link to a file that is not there yet makes that file."""
    (tmp_path / "real").mkdir()
    link = tmp_path / "link.csv"
    link.symlink_to(Path("real", "accounts.csv"))
    check_output(str(link))
    _write(link)
    assert link.is_symlink()
    assert (tmp_path / "real" / "accounts.csv").read_bytes() == b"new"


def test_a_link_to_itself(tmp_path: Path) -> None:
    """Links that lead nowhere are an error."""
    link = tmp_path / "link"
    link.symlink_to(link)
    with pytest.raises(OSError, match="symbolic links") as caught:
        _write(link)
    assert caught.value.filename == str(link)


def test_writing_to_a_device_goes_through(tmp_path: Path) -> None:
    """A full device is an error that names it, and a link to a device stays one."""
    with pytest.raises(OSError, match="No space left on device") as caught:
        _write("/dev/full", b"x" * 1_000_000)
    assert caught.value.filename == "/dev/full"
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    _write(link)
    assert link.is_symlink()


@pytest.mark.parametrize("kind", ["fd", "link", "self", "pid", "task"])
def test_names_of_open_descriptors_are_written_through(tmp_path: Path, kind: str) -> None:
    """Whatever it is called, an open file is continued where others left off, and not replaced."""
    target = tmp_path / "file"
    with target.open("wb", buffering=0) as file:
        number = file.fileno()
        names = {
            "fd": f"/dev/fd/{number}",
            "link": str(tmp_path / "link"),
            "self": f"/proc/self/fd/{number}",
            "pid": f"/proc/{os.getpid()}/fd/{number}",
            "task": f"/proc/thread-self/fd/{number}",
        }
        (tmp_path / "link").symlink_to(f"/dev/fd/{number}")
        inode = target.stat().st_ino
        file.write(b"before,")
        check_output(names[kind])
        _write(names[kind], b"between,")
        file.write(b"after")
    assert target.read_bytes() == b"before,between,after"
    assert target.stat().st_ino == inode


def test_a_descriptor_that_cannot_be_written(tmp_path: Path) -> None:
    """One that is open for reading, or not open at all, is found out at once."""
    (tmp_path / "file").write_bytes(b"old")
    with (tmp_path / "file").open("rb") as file:
        for number in (file.fileno(), 987):
            with pytest.raises(OSError, match="Bad file descriptor"):
                check_output(f"/dev/fd/{number}")


def test_a_write_that_must_replace_refuses_the_rest(tmp_path: Path) -> None:
    """Where nothing could end a wait, pipes, devices and descriptors are no outputs."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path in (str(fifo), "/dev/null", "/dev/stdout"):
        with pytest.raises(OSError, match="not a regular file"), Output(path, replaces_only=True):
            pass
        with pytest.raises(OSError, match="not a regular file"):
            check_output(path, replaces_only=True)


def test_a_socket_is_no_output(tmp_path: Path) -> None:
    """It cannot be opened, and is named as what it is."""
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        with pytest.raises(OSError, match="this is a socket"):
            check_output(str(path))


@pytest.fixture
def mount_point(tmp_path: Path) -> Iterator[Path]:
    """Make a file a mount point, as containers do with single files."""
    target, source = tmp_path / "accounts.csv", tmp_path / "mounted.csv"
    for path in (target, source):
        path.write_bytes(b"old")
    done = subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not permitted here")
    yield target
    subprocess.run(["umount", target], check=True)


def test_a_mount_point_is_found_before_the_work(mount_point: Path) -> None:
    """No file can take its place; the error says what to mount instead, and nothing is left behind."""
    for attempt in (check_output, _write):
        with pytest.raises(OSError, match="mount its directory instead") as caught:
            attempt(str(mount_point))
        assert caught.value.filename == str(mount_point)
    assert mount_point.read_bytes() == b"old"
    assert len(list(mount_point.parent.iterdir())) == 2


def test_a_file_on_a_mounted_file_system_is_none(tmp_path: Path) -> None:
    """The directory may be a mount point, and the file in it an ordinary file."""
    done = subprocess.run(["mount", "-t", "tmpfs", "tmpfs", tmp_path], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("mounting is not permitted here")
    try:
        target = tmp_path / "accounts.csv"
        _write(target, b"first")
        _write(target, b"second")
        assert target.read_bytes() == b"second"
    finally:
        subprocess.run(["umount", tmp_path], check=True)


def test_a_file_that_became_a_mount_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be found before the work fails in the last step: one error, the former file, no leftover."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")

    def busy(source: str, path: str) -> None:
        raise OSError(16, "Device or resource busy", source, None, path)

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(OSError, match="busy") as caught:
        _write(target)
    assert (caught.value.filename, caught.value.filename2) == (str(target), None)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"


def test_a_directory_that_vanishes(tmp_path: Path) -> None:
    """The name has no place any more: an error, and nothing in a directory of another name."""
    directory, moved = tmp_path / "out", tmp_path / "moved"
    directory.mkdir()

    def write() -> None:
        with Output(str(directory / "accounts.csv")) as file:
            file.write(b"new")
            directory.rename(moved)

    with pytest.raises(FileNotFoundError) as caught:
        write()
    assert caught.value.filename == str(directory / "accounts.csv")
    assert not (moved / "accounts.csv").exists()


def test_somebody_elses_file_in_a_sticky_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In /tmp only the owner replaces a file: that is found before the work."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    with pytest.raises(PermissionError, match="somebody else's"):
        check_output(str(target))


def test_checking_leaves_no_trace(tmp_path: Path) -> None:
    """An output that can be written is as it was before, and one that is not there stays so."""
    target, fifo = tmp_path / "accounts.csv", tmp_path / "fifo"
    target.write_bytes(b"old")
    os.mkfifo(fifo)
    for path in (target, tmp_path / "new.csv", fifo, "/dev/null", tmp_path / ("é" * 127)):
        check_output(str(path))
    assert target.read_bytes() == b"old"
    assert sorted(tmp_path.iterdir()) == [target, fifo]


def test_a_fifo_is_written_to_directly(tmp_path: Path) -> None:
    """What reads at the other end of a named pipe gets everything, and the pipe stays one."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    _write(fifo, b"x" * 1_000_000)
    reader.join(30)
    assert received == [b"x" * 1_000_000]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


def test_a_fifo_whose_reader_leaves(tmp_path: Path) -> None:
    """A reader that leaves a named pipe is told apart from other errors."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)

    def write() -> None:
        with Output(str(fifo)) as file:
            os.close(reader)
            file.write(b"x")

    with pytest.raises(BrokenPipeError) as caught:
        write()
    assert caught.value.filename == str(fifo)


# --- waits ---


class _Waits:
    """Waits that note what is asked for, and end with an exception where they are told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.entered: list[str] = []
        self._error = error

    @contextmanager
    def _wait(self, name: str) -> Iterator[None]:
        self.entered.append(name)
        if name == "interruptible" and self._error is not None:
            raise self._error
        yield

    def interruptible(self) -> AbstractContextManager[None]:
        """Note it."""
        return _Again(lambda: self._wait("interruptible"))

    def undisturbed(self) -> AbstractContextManager[None]:
        """Note it."""
        return _Again(lambda: self._wait("undisturbed"))


class _Again(AbstractContextManager[None]):
    """A context that can be entered again and again."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._stack: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        self._stack.append(self._make())
        self._stack[-1].__enter__()

    def __exit__(self, *error: object) -> None:
        self._stack.pop().__exit__(*error)  # type: ignore[arg-type]  # as it was given


@pytest.mark.parametrize(("whole", "expected"), [(False, "interruptible"), (True, "undisturbed")])
def test_what_may_block_waits_as_the_caller_says(tmp_path: Path, whole: bool, expected: str) -> None:
    """Opening and writing a FIFO happen in the one context, writing a file in the other."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    waits = _Waits()
    with Output(str(fifo), waits=waits, whole=whole) as file:
        file.write(b"x")
    os.close(reader)
    assert waits.entered == [expected, expected]
    waits = _Waits()
    with Output(str(tmp_path / "file"), waits=waits, whole=whole) as file:
        file.write(b"x")
    assert waits.entered == ["undisturbed"]


def test_after_an_interrupted_write_nothing_is_written(tmp_path: Path) -> None:
    """The exception of the wait comes again with every write: what got through is unknown."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    waits = _Waits()
    stop = ZeroDivisionError()

    def write() -> None:
        with Output(str(fifo), waits=waits) as file:
            waits._error = stop
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    file.raw.write(b"x")
            waits._error = None
            file.write(b"y")

    with pytest.raises(ZeroDivisionError):
        write()
    assert os.read(reader, 10) == b""
    os.close(reader)


# --- lines added ---


def test_a_line_is_added(tmp_path: Path) -> None:
    """A new file is for its owner alone; an existing one keeps its permissions, and its last line gets its end."""
    path = tmp_path / "tokens"
    append_line(str(path), b"one")
    assert (path.read_bytes(), _mode(path)) == (b"one\n", 0o600)
    path.write_bytes(b"zero")
    path.chmod(0o640)
    append_line(str(path), b"one")
    append_line(str(path), b"two")
    assert (path.read_bytes(), _mode(path)) == (b"zero\none\ntwo\n", 0o640)


def test_a_link_to_a_file_of_lines_is_followed(tmp_path: Path) -> None:
    """The file it leads to gets the line, also one that is not there yet."""
    (tmp_path / "link").symlink_to("real")
    append_line(str(tmp_path / "link"), b"one")
    append_line(str(tmp_path / "link"), b"two")
    assert (tmp_path / "real").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize("kind", ["fifo", "device", "directory", "missing"])
def test_what_takes_no_lines(tmp_path: Path, kind: str) -> None:
    """Anything but a regular file is an error that names it, without a wait."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    path = {"fifo": fifo, "device": "/dev/full", "directory": tmp_path, "missing": tmp_path / "no" / "file"}[
        kind
    ]
    with pytest.raises(OSError, match=r"regular file|directory") as caught:
        append_line(str(path), b"one")
    assert caught.value.filename == str(path)


def test_half_a_line_is_none(tmp_path: Path) -> None:
    """A disk that is full after half of the line: the file is as it was."""
    path = tmp_path / "tokens"
    path.write_bytes(b"zero\n")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (7, before[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            append_line(str(path), b"one")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.filename == str(path)
    assert path.read_bytes() == b"zero\n"


def test_lines_of_many_writers(tmp_path: Path) -> None:
    """Writers that come at one time take turns: every line is there, and whole."""
    path = tmp_path / "tokens"
    program = """if True:
        import sys
        from holdfast.io.outputs import append_line
        for _ in range(50):
            append_line(sys.argv[1], sys.argv[2].encode() * 200)
    """
    writers = [subprocess.Popen([sys.executable, "-c", program, path, letter]) for letter in "abcd"]
    for writer in writers:
        assert writer.wait(60) == 0
    lines = path.read_bytes().splitlines()
    assert sorted(lines) == sorted(letter * 200 for letter in (b"a", b"b", b"c", b"d") for _ in range(50))


def test_a_line_waits_for_the_writer_before_it(tmp_path: Path) -> None:
    """A writer that has the lock and is half-way through its line is waited for."""
    path = tmp_path / "tokens"
    program = "import sys; from holdfast.io.outputs import append_line; append_line(sys.argv[1], b'second')"
    with path.open("wb", buffering=0) as first:
        fcntl.flock(first, fcntl.LOCK_EX)
        first.write(b"fir")
        with subprocess.Popen([sys.executable, "-c", program, path]) as second:
            wait_until_locked(second, path)
            first.write(b"st\n")
            fcntl.flock(first, fcntl.LOCK_UN)
            assert second.wait(60) == 0
    assert path.read_bytes() == b"first\nsecond\n"


def wait_until_locked(process: subprocess.Popen[bytes], path: Path) -> None:
    """Wait until the system has a process wait for the lock of a file."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    waiting = re.compile(rf"^\d+: -> FLOCK .* {process.pid} .*:{path.stat().st_ino} ", re.MULTILINE)
    while not waiting.search(Path("/proc/locks").read_text()):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_a_new_file_of_lines_is_on_disk_with_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synced, and its directory where the name is new."""
    synced: list[bool] = []
    real = os.fsync

    def note(descriptor: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    append_line(str(tmp_path / "tokens"), b"one")
    append_line(str(tmp_path / "tokens"), b"two")
    assert synced == [False, True, False]
