"""How much memory a server may use if nobody says: what the machine and its control groups allow."""

from __future__ import annotations

import os

_SHARE = (3, 4)
_GROUPS_OF_PROCESS = "/proc/self/cgroup"
_GROUPS_ROOT = "/sys/fs/cgroup"
# Version 1 writes "no limit" as a number that no machine has.
_UNLIMITED_FROM = 2**60


def default_memory_bytes() -> int:
    """Give three quarters of the memory that this process may have."""
    share, whole = _SHARE
    return available_memory_bytes() * share // whole


def available_memory_bytes(groups_of_process: str = _GROUPS_OF_PROCESS, root: str = _GROUPS_ROOT) -> int:
    """Give the machine's memory, or the least that a control group of this process allows if that is less.

    Args:
        groups_of_process: The file that lists the groups.
        root: Where the groups' directories are.
    """
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([machine, *_group_limits(groups_of_process, root)])


def _group_limits(groups_of_process: str, root: str) -> list[int]:
    limits = []
    for line in _read(groups_of_process).splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            directory, name = root, "memory.max"
        elif "memory" in controllers.split(","):
            directory, name = os.path.join(root, "memory"), "memory.limit_in_bytes"
        else:
            continue
        # A container may show a path that is not there, with its own limit at the root. Each group is bound by those above it.
        parts = [part for part in path.split("/") if part not in {"", ".", ".."}]
        for count in range(len(parts) + 1):
            text = _read(os.path.join(directory, *parts[:count], name)).strip()
            if text.isdigit() and 0 < int(text) < _UNLIMITED_FROM:
                limits.append(int(text))
    return limits


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        # Not Linux, or no such group.
        return ""
