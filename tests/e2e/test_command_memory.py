"""A gigabyte through a pipe takes no more memory than ten megabytes."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from e2e.command import HEADER, OUTPUT_HEADER, PLAIN_COMMAND, TIMEOUT_SECONDS, finish, start

BLOCK_BYTES = 1_000_000
MORE_BYTES = 16 * 1024 * 1024
# Rows that record nothing: disputes of transactions that were never applied, some of them dressed up.
_ROWS = b"".join(b"dispute,%d,%d,\n" % (tx % 60_000, tx * 7919 % 2**32) for tx in range(50_000))
BLOCK = _ROWS[: _ROWS.rindex(b"\n", 0, BLOCK_BYTES) + 1]


def peak_bytes(blocks: int, *arguments: str) -> int:
    """Send so many blocks through a pipe; give the most memory that the command ever had at once.

    Read from the process itself while it still waits for more: what the system adds up for ended children
    includes the memory of the process that started them.
    """
    process = start(*arguments, "-", stdin=subprocess.PIPE, command=PLAIN_COMMAND)
    assert process.stdin is not None
    try:
        process.stdin.write(HEADER)
        for _ in range(blocks):
            process.stdin.write(BLOCK)
        process.stdin.flush()
        status = Path(f"/proc/{process.pid}/status").read_text()
        code, output, errors = finish(process)
    finally:
        process.kill()
        process.wait(TIMEOUT_SECONDS)
    assert (code, output) == (0, OUTPUT_HEADER)
    assert errors.count("\n") == 1
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def test_a_hundred_megabytes_take_no_more_memory_than_one() -> None:
    """Memory does not grow with the input."""
    assert peak_bytes(100) <= peak_bytes(1) + MORE_BYTES


@pytest.mark.slow
def test_a_gigabyte_takes_no_more_memory_than_ten_megabytes() -> None:
    """Memory does not grow with the input, however long that is."""
    small, large = peak_bytes(10), peak_bytes(1000)
    print(f"10 MB: {small / 2**20:.1f} MiB, 1 GB: {large / 2**20:.1f} MiB")
    assert large <= small + MORE_BYTES


def test_one_endless_line_takes_no_memory() -> None:
    """A line of a hundred megabytes is one row that is too long."""
    process = start("-", "--summary", stdin=subprocess.PIPE, command=PLAIN_COMMAND)
    assert process.stdin is not None
    process.stdin.write(HEADER)
    for _ in range(100):
        process.stdin.write(b"7" * BLOCK_BYTES)
    process.stdin.flush()
    status = Path(f"/proc/{process.pid}/status").read_text()
    code, output, errors = finish(process)
    found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    assert found is not None
    assert (code, output) == (0, OUTPUT_HEADER)
    assert "ROW_TOO_LONG" in errors
    assert int(found[1]) * 1024 < 64 * 1024 * 1024
