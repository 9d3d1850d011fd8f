"""Outputs: complete or not there, special files, mount points, errors that name the path given."""

from __future__ import annotations

import os
import socket
import stat
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from holdfast.io.outputs import Output, check_output

if TYPE_CHECKING:
    from collections.abc import Iterator


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


def test_a_file_of_the_system_is_no_output() -> None:
    """What cannot be replaced, though it is a regular file, is found before the work."""
    with pytest.raises(OSError, match="no file can be made in /proc") as caught:
        check_output("/proc/version")
    assert caught.value.filename == "/proc/version"


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
