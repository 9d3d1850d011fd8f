"""One large ledger in a process of its own: record rows, say what it cost, and wait to be killed or told to close.

``python -m benchmarks.large_ledger record LEDGER ROWS IDS MEMORY_BYTES OLD`` prints a line of JSON when all rows are durable, and
closes the ledger at the end of its standard input. ``... open LEDGER`` opens it, decides a row, and prints how long that took.
"""

from __future__ import annotations

import json
import sys
import threading
import time

from benchmarks.workloads import BATCH_ROWS, make_deposits
from holdfast.domain.transaction import Deposit, TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import Tally
from holdfast.storage.ledger import Ledger
from holdfast.storage.stores import open_store
from holdfast.storage.view import LedgerView

_SAMPLE_SECONDS = 0.05


class PeakMemory:
    """The most anonymous memory that this process has had, sampled in a thread of its own."""

    def __init__(self) -> None:
        self.peak_bytes = 0
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while True:
            self.peak_bytes = max(self.peak_bytes, _field("/proc/self/status", "RssAnon:") * 1024)
            time.sleep(_SAMPLE_SECONDS)


def record(path: str, rows: int, ids: str, memory_bytes_max: int, old_every: int) -> None:
    """Record deposits durably; with ``old_every``, one row in so many disputes an old one."""
    memory = PeakMemory()
    tally = Tally()
    seconds = 0.0
    ledger = Ledger.open(path, memory_bytes_max=memory_bytes_max or None, client_bits=32, tx_bits=64)
    for start in range(0, rows, BATCH_ROWS):
        stop = min(start + BATCH_ROWS, rows)
        columns = make_deposits(start, stop, ids=ids)
        if old_every and start and start // old_every < stop // old_every:
            tx = stop * 7919 % start
            disputed = make_deposits(tx, tx + 1, ids=ids)
            columns.types[0] = int(TransactionType.DISPUTE)
            columns.txs[0], columns.clients[0] = disputed.txs[0], disputed.clients[0]
        batch = Batch.from_columns(columns.types, columns.clients, columns.txs, columns.amounts)
        began = time.perf_counter()
        ledger.wait_for_room()
        ledger.decide(batch, 0, stop - start, tally, None, 0)
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    ledger.wait_durable()
    seconds += time.perf_counter() - began
    _say(seconds=seconds, peak_bytes=memory.peak_bytes)
    sys.stdin.read()
    ledger.close()
    with LedgerView(open_store(path, read_only=True)) as view:
        sizes = view.info().sizes
    _say(
        written_bytes=_field("/proc/self/io", "write_bytes:"),
        entry_bytes=sizes.entry_bytes,
        disk_bytes=sizes.disk_bytes,
    )


def open_it(path: str) -> None:
    """Open a ledger and decide a row."""
    began = time.perf_counter()
    with Ledger.open(path) as ledger:
        assert ledger.apply(Deposit(1, (1 << 63) - 1, "1")).is_applied
        _say(seconds=time.perf_counter() - began, decided=ledger.decided)


def _field(path: str, name: str) -> int:
    with open(path, encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))


def _say(**values: float) -> None:
    print(json.dumps(values), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "record":
        record(sys.argv[2], int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), int(sys.argv[6]))
    else:
        open_it(sys.argv[2])
