"""Gives a file that takes another one's place what the other one allows, and to whom."""

from __future__ import annotations

import os
import stat

_ACL = "system.posix_acl_access"


def take_over(descriptor: int, path: str, existing: os.stat_result) -> None:
    """Give an open file the owner, group, access control list and permissions of another, in an order that opens it to nobody."""
    mode = stat.S_IMODE(existing.st_mode) & 0o777
    own = os.fstat(descriptor)
    if (own.st_uid, own.st_gid) != (existing.st_uid, existing.st_gid) and not (
        _change_owner(descriptor, existing.st_uid, existing.st_gid)
        or _change_owner(descriptor, -1, existing.st_gid)
    ):
        # The group is another one now: it may do what everybody may, and no more.
        mode &= ~0o070 | (mode & 0o007) << 3
    if not _copy_acl(descriptor, path):
        mode &= ~0o070
    os.fchmod(descriptor, mode)


def _change_owner(descriptor: int, owner: int, group: int) -> bool:
    try:
        os.fchown(descriptor, owner, group)
    except OSError:
        return False
    return True


def _copy_acl(descriptor: int, path: str) -> bool:
    """Give an open file the access control list of another, or none; give False if that cannot be done."""
    if not hasattr(os, "getxattr"):
        return True
    # A new file may have inherited a list from its directory.
    wanted, inherited = _acl(path), _acl(descriptor)
    try:
        if wanted is not None:
            os.setxattr(descriptor, _ACL, wanted)
        elif inherited is not None:
            os.removexattr(descriptor, _ACL)
    except OSError:
        return False
    return True


def _acl(file: str | int) -> bytes | None:
    try:
        return os.getxattr(file, _ACL)
    except OSError:
        # It has none, or its file system has no such thing.
        return None
