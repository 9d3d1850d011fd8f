"""Atomic outputs: complete or not there, permissions, special files, errors that name the path given."""

from __future__ import annotations

import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from commands import finish, run, start, wait_until_blocked, wait_until_ready
from holdfast.app.runner import OutputClosedError, Runner


def _write(path: Path | str, data: bytes = b"new") -> None:
    with Runner().atomic_output(str(path)) as file:
        file.write(data)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    """While it is written the target is not there; after that, nothing else is."""
    target = tmp_path / "accounts.csv"
    with Runner().atomic_output(str(target)) as file:
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
        with Runner().atomic_output(str(target)) as file:
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


@pytest.mark.parametrize("mode", [0o600, 0o664, 0o666])
def test_an_existing_file_keeps_its_permissions(tmp_path: Path, mode: int) -> None:
    """Replacing a file neither opens nor closes it to anybody, whatever the umask."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    target.chmod(mode)
    _write(target)
    assert (target.read_bytes(), _mode(target)) == (b"new", mode)


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
    with pytest.raises(error) as caught:
        _write(name)
    assert caught.value.filename == name
    assert sorted(os.listdir()) == ["directory", "file"]
    assert os.listdir("directory") == []


def test_a_full_disk(tmp_path: Path) -> None:
    """A special file is written to directly; when it is full, the error names it and is said once."""
    with pytest.raises(OSError, match="No space left on device") as caught:
        _write("/dev/full", b"x" * 1_000_000)
    assert caught.value.filename == "/dev/full"
    job = """
        def job(runner):
            with runner.atomic_output("/dev/full") as file:
                file.write(b"x")
            return 0
    """
    assert run(job) == (1, b"", "holdfast: /dev/full: No space left on device\n")
    link = tmp_path / "link"
    link.symlink_to("/dev/null")
    _write(link)
    assert link.is_symlink()


def test_a_size_limit_leaves_what_was_there(tmp_path: Path) -> None:
    """A regular file that cannot grow any further is removed, and the former one kept."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    job = """
        import resource
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)

        def job(runner):
            resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
            with runner.atomic_output(sys.argv[1]) as file:
                for _ in range(10):
                    file.write(b"x" * 100_000)
            return 0
    """
    assert run(job, str(target)) == (1, b"", f"holdfast: {target}: File too large\n")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_signal_removes_the_temporary_file(tmp_path: Path) -> None:
    """A job stopped by SIGTERM half-way leaves the former file and no other."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")
    job = """
        def job(runner):
            with runner.atomic_output(sys.argv[1]) as file:
                file.write(b"x" * 1_000_000)
                os.write(1, b"ready\\n")
                with runner.interruptible():
                    os.read(0, 1)
            return 0
    """
    process = start(job, str(target), stdin=subprocess.PIPE)
    wait_until_ready(process)
    assert len(list(tmp_path.iterdir())) == 2
    process.terminate()
    assert process.wait(30) == 143
    assert finish(process) == (143, b"", "")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


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
        with Runner().atomic_output(str(fifo)) as file:
            os.close(reader)
            file.write(b"x")

    with pytest.raises(OutputClosedError) as caught:
        write()
    assert caught.value.filename == str(fifo)


def test_a_signal_ends_the_wait_for_a_fifos_reader(tmp_path: Path) -> None:
    """Opening a named pipe that nobody reads blocks; a signal ends that too."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    job = """
        def job(runner):
            os.write(1, b"ready\\n")
            with runner.atomic_output(sys.argv[1]) as file:
                file.write(b"x")
            return 0
    """
    process = start(job, str(fifo))
    wait_until_ready(process)
    wait_until_blocked(process)
    process.terminate()
    assert finish(process) == (143, b"", "")


@pytest.mark.parametrize("name", ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"])
def test_inherited_descriptors_are_appended_to(tmp_path: Path, name: str) -> None:
    """/dev/stdout redirected to a file goes on where others left off and does not replace the file."""
    target = tmp_path / "file"
    job = """
        def job(runner):
            os.write(1, b"before,")
            with runner.atomic_output(sys.argv[1]) as file:
                file.write(b"between,")
            os.write(1, b"after")
            return 0
    """
    with target.open("wb") as file:
        assert finish(start(job, name, stdout=file)) == (0, b"", "")
    assert target.read_bytes() == b"before,between,after"


def test_a_whole_output_is_not_cut_by_a_signal(tmp_path: Path) -> None:
    """A slow reader of a FIFO gets all of it where that is asked for; the job hears of the signal behind it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    job = """
        def job(runner):
            with runner.atomic_output(sys.argv[1], whole=True) as file:
                os.write(1, b"ready\\n")
                file.write(b"x" * 1_000_000)
            runner.check()
    """
    process = start(job, str(fifo))
    with fifo.open("rb") as reader:
        wait_until_ready(process)
        wait_until_blocked(process)
        process.terminate()
        assert reader.read() == b"x" * 1_000_000
    assert finish(process) == (143, b"", "")


def test_a_write_to_a_file_is_not_torn_by_a_signal(tmp_path: Path) -> None:
    """A file on disk waits for nobody: a signal that came before the write is heard at the next check only."""
    target = tmp_path / "accounts.csv"
    job = """
        def job(runner):
            with runner.atomic_output(sys.argv[1]) as file:
                os.kill(os.getpid(), signal.SIGTERM)
                file.write(b"x" * 1_000_000)
            runner.check()
    """
    assert run(job, str(target)) == (143, b"", "")
    assert target.read_bytes() == b"x" * 1_000_000


def test_nothing_is_written_after_an_interrupted_write(tmp_path: Path) -> None:
    """How much of an interrupted write got through is unknown: a job that goes on anyway is stopped again."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    job = """
        def job(runner):
            with runner.atomic_output(sys.argv[1]) as file:
                os.write(1, b"ready\\n")
                try:
                    file.write(b"x" * 1_000_000)
                except Interrupted:
                    file.write(b"y" * 1_000_000)
            return 0
    """
    process = start(job, str(fifo))
    wait_until_ready(process)
    wait_until_blocked(process)
    process.terminate()
    assert process.wait(30) == 143
    received = b"".join(iter(lambda: os.read(reader, 65_536), b""))
    os.close(reader)
    assert finish(process)[2] == ""
    assert set(received) == {ord("x")}
