"""How long does taking an image delay the writer, and what does it cost the next batch?"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from benchmarks.measure import Effort, median, seconds
from benchmarks.report import Figure
from benchmarks.stages import apply_all, make_batches, make_ledger
from benchmarks.workloads import BATCH_ROWS, make_accounts, nth_ids, unique_ids

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.kernel.batch import Batch
    from holdfast.kernel.ledger.ledger import LedgerCore

_BUILD_ROWS = 128 * BATCH_ROWS
_IMAGES_PER_REPEAT = 4


def answer(effort: Effort) -> Iterator[Figure]:
    """Take images of a small and a large ledger; in between, apply batches that touch accounts all over it."""
    for full, wide, bar in ((65_536, False, "image-small"), (10_000_000, True, "image-large")):
        accounts = effort.size(full)
        yield from _measure(accounts, wide, bar, effort.repeats * _IMAGES_PER_REPEAT)


def _measure(accounts: int, wide: bool, bar: str, images: int) -> Iterator[Figure]:
    ledger = _build(accounts, wide)
    taking, after, without = [], [], []
    for turn in range(images):
        without.append(seconds(ledger.decide, _touch(accounts, wide, 2 * turn)))
        begin = time.perf_counter()
        image = ledger.image()
        taking.append(time.perf_counter() - begin)
        after.append(seconds(ledger.decide, _touch(accounts, wide, 2 * turn + 1)))
        del image
    name = f"{accounts:,} accounts, {64 if wide else 16}-bit ids"
    yield Figure(f"{name}: taking an image", median(taking) * 1e3, "ms", bar=bar)
    paid = median(after)
    yield Figure(
        f"{name}: a batch while an image is held / without", paid * 1e3, "ms", paid / median(without)
    )


def _build(accounts: int, wide: bool) -> LedgerCore:
    ledger = make_ledger(client_bits=64 if wide else 16)
    for start in range(0, accounts, _BUILD_ROWS):
        apply_all(ledger, make_batches(make_accounts(start, min(accounts, start + _BUILD_ROWS), wide)))
    return ledger


def _touch(accounts: int, wide: bool, turn: int) -> Batch:
    """Make one batch of deposits to accounts all over the ledger, with tx ids not used before."""
    start = accounts + turn * BATCH_ROWS
    numbers = unique_ids(start, start + BATCH_ROWS, "wide") % accounts
    clients = nth_ids(numbers, "wide") if wide else numbers
    (batch,) = make_batches(make_accounts(start, start + BATCH_ROWS, wide)._replace(clients=clients))
    return batch
