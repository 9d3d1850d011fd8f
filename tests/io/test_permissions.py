"""Files that take the place of others: permissions, owners, access control lists, from the first moment on."""

from __future__ import annotations

import os
import stat
import struct
from typing import TYPE_CHECKING

import pytest

from holdfast.io.outputs import Output

if TYPE_CHECKING:
    from pathlib import Path


def _write(path: Path | str, data: bytes = b"new") -> None:
    with Output(str(path)) as file:
        file.write(data)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


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
