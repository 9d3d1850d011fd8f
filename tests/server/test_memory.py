"""How much memory a server may use if nobody says: the machine's, or what its control groups allow."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from holdfast.server.memory import available_memory_bytes, default_memory_bytes

if TYPE_CHECKING:
    from pathlib import Path

MACHINE = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
MIB = 2**20


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("", {}, MACHINE),
        ("0::/\n", {"memory.max": f"{64 * MIB}\n"}, 64 * MIB),
        ("0::/\n", {"memory.max": "max\n"}, MACHINE),
        ("0::/a/b\n", {"a/memory.max": f"{32 * MIB}\n", "a/b/memory.max": "max\n"}, 32 * MIB),
        ("0::/a/b\n", {"a/memory.max": f"{64 * MIB}\n", "a/b/memory.max": f"{32 * MIB}\n"}, 32 * MIB),
        ("0::/../a\n", {"a/memory.max": f"{32 * MIB}\n"}, 32 * MIB),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": f"{32 * MIB}\n"}, 32 * MIB),
        ("4:cpu,memory:/x\n", {"memory/memory.limit_in_bytes": f"{32 * MIB}\n"}, 32 * MIB),
        ("4:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9223372036854771712\n"}, MACHINE),
        ("4:cpu:/x\nnonsense\n0::/\n", {"memory.max": "nonsense\n"}, MACHINE),
    ],
)
def test_the_least_limit_counts(groups: str, files: dict[str, str], expected: int, tmp_path: Path) -> None:
    """Of the machine and of all groups around this process the least one is what there is."""
    root = tmp_path / "cgroup"
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    listed = tmp_path / "groups"
    listed.write_text(groups)
    assert available_memory_bytes(str(listed), str(root)) == expected


def test_without_any_groups(tmp_path: Path) -> None:
    """A system without control groups has its memory."""
    assert available_memory_bytes(str(tmp_path / "missing"), str(tmp_path)) == MACHINE


def test_the_default_leaves_a_quarter() -> None:
    """Three quarters of what there is."""
    assert default_memory_bytes() == available_memory_bytes() * 3 // 4
