"""What a ledger says about its memory is what the system says about the process."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.ledger import LedgerCore

PROGRAM = """
import sys
import numpy as np
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.ledger import LedgerCore

def resident():
    # What is the process's own, without the files that it has mapped.
    with open("/proc/self/statm") as file:
        _, pages, shared, *_ = map(int, file.read().split())
    return (pages - shared) * 4096

kind, rows, step = sys.argv[1], 3_000_000, 50_000
bits = {"dense": (16, 32), "sparse": (16, 32), "wide": (64, 64), "images": (32, 32)}[kind]
generator = np.random.default_rng(1)
types, amounts = np.ones(step, np.uint8), np.ones(step, np.int64)

def apply(start):
    txs = np.arange(start, start + step, dtype=np.uint64)
    clients = txs % 65536
    if kind == "sparse":
        txs = generator.integers(0, 2**32, step, dtype=np.uint64)
    if kind == "wide":
        clients = txs = generator.integers(0, 2**63, step, dtype=np.uint64)
    if kind == "images":
        clients = generator.integers(0, 300_000, step, dtype=np.uint64)
    ledger.decide(Batch.from_columns(types, clients, txs, amounts))

# What Python and numpy take for the first rows is not the ledger's.
ledger = LedgerCore(make_settings(client_bits=bits[0], tx_bits=bits[1]))
for start in range(0, 10 * step, step):
    apply(start)
del ledger
before, images = resident(), []
ledger = LedgerCore(make_settings(client_bits=bits[0], tx_bits=bits[1]))
for start in range(0, rows, step):
    apply(start)
    if kind == "images":
        images.append(ledger.image())
print(resident() - before, ledger.memory_bytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the system says it in /proc")
@pytest.mark.skipif("asan" in os.environ.get("LD_PRELOAD", ""), reason="a sanitizer takes memory of its own")
@pytest.mark.parametrize("kind", ["dense", "sparse", "wide", "images"])
def test_memory_is_what_the_system_says(kind: str) -> None:
    """Sequential ids, scattered ones, wide ones, and pages that only images show: within a tenth of what is resident."""
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM, kind], capture_output=True, text=True, check=True, timeout=600
    )
    resident, counted = map(int, run.stdout.split())
    assert counted == pytest.approx(resident, rel=0.1), f"{counted / resident:.2f}"


def test_images_are_counted_while_they_live() -> None:
    """An image costs its table and its order, the pages that are copied because of it, and nothing once it is gone."""
    ledger = LedgerCore(make_settings(client_bits=32))
    columns = (
        bytes([1]),
        memoryview(bytes(8)).cast("Q"),
        memoryview(bytes(8)).cast("Q"),
        memoryview(b"\1" + bytes(7)).cast("q"),
    )
    ledger.decide(Batch.from_columns(*columns))
    alone = ledger.memory_bytes
    image = ledger.image()
    with_image = ledger.memory_bytes
    assert with_image > alone
    image.rows(0, 1)
    with_order = ledger.memory_bytes
    assert with_order == with_image + 4
    batch = Batch.from_columns(bytes([1]), columns[1], memoryview(b"\2" + bytes(7)).cast("Q"), columns[3])
    ledger.decide(batch)
    copied = ledger.memory_bytes
    assert copied > with_order + 8_000
    del image
    batch.clear_outcomes()
    ledger.decide(batch)
    assert ledger.memory_bytes < copied - 8_000
