"""What does a ledger cost that is larger than its memory, and how soon is one open after its process was killed?"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from typing import TYPE_CHECKING

from benchmarks import ROOT
from benchmarks.report import Figure

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.measure import Effort

_PAGED_ROWS = 300_000_000
_PAGED_BYTES = 512 << 20
_OLD_EVERY = 10_000
_KILLED_ROWS = 100_000_000
_SCATTERED_ROWS = 50_000_000


def answer(effort: Effort) -> Iterator[Figure]:
    """Record 300 M rows in 512 MB; kill processes with 100 M recorded transactions; record 50 M scattered ones."""
    limit = _PAGED_BYTES if not effort.quick else 8 << 20
    yield from _page(effort.size(_PAGED_ROWS), limit)
    for ids, key in (("dense", "open-dense"), ("sparse", "open-sparse")):
        yield from _kill(effort.size(_KILLED_ROWS), ids, key)
    yield from _write(effort.size(_SCATTERED_ROWS))


@contextmanager
def _ledger() -> Iterator[str]:
    """Give the path of a ledger on the disk of this tree."""
    os.makedirs(os.path.join(ROOT, ".build"), exist_ok=True)
    directory = tempfile.mkdtemp(dir=os.path.join(ROOT, ".build"))
    try:
        yield os.path.join(directory, "p.db")
    finally:
        shutil.rmtree(directory)


def _child(*arguments: object) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.large_ledger", *map(str, arguments)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT)


def _record(
    path: str, rows: int, ids: str, memory_bytes_max: int, old_every: int, *, kill: bool
) -> dict[str, float]:
    """Record rows in a child; let it close its ledger, or kill it; give what it said."""
    with _child("record", path, rows, ids, memory_bytes_max, old_every) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        found: dict[str, float] = json.loads(child.stdout.readline())
        if kill:
            child.kill()
            return found
        child.stdin.close()
        found |= json.loads(child.stdout.readline())
    assert child.returncode == 0
    return found


def _page(rows: int, limit: int) -> Iterator[Figure]:
    what = f"{rows:,} sequential rows in {limit >> 20} MiB"
    seconds = []
    peak = 0.0
    for memory_bytes_max, old_every in ((0, 0), (limit, 0), (limit, _OLD_EVERY)):
        with _ledger() as path:
            found = _record(path, rows, "dense", memory_bytes_max, old_every, kill=False)
        seconds.append(found["seconds"])
        peak = max(peak, found["peak_bytes"] if memory_bytes_max else 0)
    plain, new, old = seconds
    yield Figure(f"{what}: rate, over no limit", rows / new, "rows/s", plain / new, "paged-new")
    yield Figure(
        f"{what}, one in 10,000 disputes an old one: the same", rows / old, "rows/s", plain / old, "paged-old"
    )
    yield Figure(f"{what}: peak of anonymous memory", peak / 1e6, "MB", None, "paged-peak")


def _kill(rows: int, ids: str, key: str) -> Iterator[Figure]:
    with _ledger() as path:
        _record(path, rows, ids, 0, 0, kill=True)
        with _child("open", path) as child:
            assert child.stdout is not None
            found = json.loads(child.stdout.readline())
    assert found["decided"] == rows + 1, found
    yield Figure(
        f"{rows:,} transactions, {ids} ids, killed: open, to the first decided row",
        found["seconds"],
        "s",
        None,
        key,
    )


def _write(rows: int) -> Iterator[Figure]:
    with _ledger() as path:
        found = _record(path, rows, "sparse", 0, 0, kill=False)
    ratio = found["written_bytes"] / found["entry_bytes"]
    what = f"{rows:,} scattered ids: bytes written, over the journal's own"
    yield Figure(what, found["written_bytes"] / 1e6, "MB", ratio, "written")
