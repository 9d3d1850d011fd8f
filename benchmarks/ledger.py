"""What does it cost that nothing is lost: loading durably, packing, replaying, opening, a limit of memory?"""

from __future__ import annotations

import os
import tempfile
import time
from typing import TYPE_CHECKING

from benchmarks import ROOT
from benchmarks.measure import Cost, Effort, holdfast_command, median, run_command, side_by_side
from benchmarks.report import Figure
from benchmarks.workloads import BATCH_ROWS, Columns, Workload, csv_file, make_columns, make_deposits
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.packing.decided_rows import DecidedRowBuffer
from holdfast.kernel.packing.unpacking import RowUnpacker
from holdfast.kernel.tally import Tally
from holdfast.storage.ledger import Ledger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_ROWS = 10_000_000
_PACKED_ROWS = 2_000_000
_PACKED_AT_ONCE = 262_144
_PAGED_ROWS = 30_000_000
_PAGED_BYTES = 64 << 20
_OLD_EVERY = 10_000


def answer(effort: Effort) -> Iterator[Figure]:
    """Load, open and replay 10 M plain rows; pack 2 M; record 30 M in 64 MB."""
    yield from _load(Workload(effort.size(_ROWS)), effort)
    for ids, bar in (("dense", "packed-plain"), ("sparse", "packed-sparse")):
        yield from _pack(Workload(effort.size(_PACKED_ROWS), clients=65_536, ids=ids), bar, effort)
    yield from _page(effort.size(_PAGED_ROWS))


def _directory() -> tempfile.TemporaryDirectory[str]:
    """Make a directory on the disk of this tree: the system's own for temporary files may be memory."""
    os.makedirs(os.path.join(ROOT, ".build"), exist_ok=True)
    return tempfile.TemporaryDirectory(dir=os.path.join(ROOT, ".build"))


def _load(workload: Workload, effort: Effort) -> Iterator[Figure]:
    path = csv_file(workload)
    with _directory() as directory:
        data, output = os.path.join(directory, "p.db"), os.path.join(directory, "out")

        def load() -> Cost:
            for suffix in ("", "-wal", "-shm", "-writer"):
                if os.path.exists(data + suffix):
                    os.unlink(data + suffix)
            return run_command(
                [*holdfast_command(), "load", "-q", path, "--data", data, "--stream", "s"], output
            )

        costs = side_by_side(
            {"plain": lambda: run_command([*holdfast_command(), "-q", path], output), "load": load},
            effort.repeats,
        )
        walls = {name: median(each.wall for each in found) for name, found in costs.items()}
        what = f"{workload.rows:,} plain rows"
        rate = workload.rows / walls["load"]
        yield Figure(
            f"{what} loaded durably: wall, over the plain command",
            rate,
            "rows/s",
            walls["load"] / walls["plain"],
            "load",
        )
        size = os.path.getsize(data) / workload.rows
        yield Figure(f"{what} loaded durably: bytes on disk for each", size, "bytes", None, "load-bytes")
        # Of one core: with two, reading ahead takes less time, and no less work.
        replaying = median(_open(data, 0, time.process_time) for _ in range(effort.repeats))
        yield Figure(f"{what} replayed, CPU time", workload.rows / replaying, "rows/s", None, "replay")
        opening = median(_open(data, None) for _ in range(effort.repeats))
        yield Figure(f"{what}: opening from a checkpoint", opening, "s", None, "open")


def _open(data: str, checkpoint: int | None, clock: Callable[[], float] = time.perf_counter) -> float:
    """Give the seconds that opening a ledger takes, from a checkpoint or an older one."""
    began = clock()
    with Ledger.open(data, checkpoint=checkpoint, read_only=True):
        return clock() - began


def _pack(workload: Workload, bar: str, effort: Effort) -> Iterator[Figure]:
    batches = [_batch(part) for part in make_columns(workload).slices(_PACKED_AT_ONCE)]
    core = LedgerCore()
    for batch in batches:
        core.decide(batch)
    runs = [_pack_and_unpack(batches) for _ in range(effort.repeats)]
    packing, unpacking = median(run[0] for run in runs), median(run[1] for run in runs)
    what = f"{workload.rows:,} rows, {workload.ids} ids"
    yield Figure(f"{what}: packed bytes for each", runs[0][2] / workload.rows, "bytes", None, bar)
    yield Figure(f"{what}: packing, CPU time", workload.rows / packing, "rows/s", None, "packing")
    yield Figure(f"{what}: unpacking, CPU time", workload.rows / unpacking, "rows/s", None, "packing")


def _pack_and_unpack(batches: list[Batch]) -> tuple[float, float, int]:
    """Give the seconds of CPU time that packing and unpacking take, and how many bytes the packed rows have."""
    buffer, unpacker = DecidedRowBuffer(_PACKED_AT_ONCE), RowUnpacker()
    packed_bytes, packing, unpacking = 0, 0.0, 0.0
    for batch in batches:
        buffer.append(batch, 0, batch.rows)
        began = time.thread_time()
        packed = buffer.pack()
        packing += time.thread_time() - began
        buffer.clear()
        began = time.thread_time()
        unpacker.open(packed)
        while unpacker.next_piece():
            pass
        unpacking += time.thread_time() - began
        packed_bytes += len(packed)
    return packing, unpacking, packed_bytes


def _page(rows: int) -> Iterator[Figure]:
    limit = _PAGED_BYTES
    plain = _record(rows, None, old=False)
    new = _record(rows, limit, old=False)
    old = _record(rows, limit, old=True)
    what = f"{rows:,} sequential rows in {limit >> 20} MiB"
    yield Figure(f"{what}: rate, over no limit", rows / new, "rows/s", plain / new, "paged-new")
    yield Figure(
        f"{what}, one in 10,000 disputes an old one: the same", rows / old, "rows/s", plain / old, "paged-old"
    )


def _record(rows: int, memory_bytes_max: int | None, *, old: bool) -> float:
    """Give the seconds that it takes to record rows durably."""
    seconds = 0.0
    tally = Tally()
    with (
        _directory() as directory,
        Ledger.open(os.path.join(directory, "p.db"), memory_bytes_max=memory_bytes_max) as ledger,
    ):
        for start in range(0, rows, BATCH_ROWS):
            stop = min(start + BATCH_ROWS, rows)
            columns = make_deposits(start, stop)
            if old and start // _OLD_EVERY < stop // _OLD_EVERY and start:
                tx = stop * 7919 % start
                columns.types[0] = int(TransactionType.DISPUTE)
                columns.txs[0] = make_deposits(tx, tx + 1).txs[0]
                columns.clients[0] = make_deposits(tx, tx + 1).clients[0]
            batch = _batch(columns)
            began = time.perf_counter()
            ledger.wait_for_room()
            ledger.decide(batch, 0, stop - start, tally, None, 0)
            seconds += time.perf_counter() - began
        began = time.perf_counter()
        ledger.wait_durable()
        return seconds + time.perf_counter() - began


def _batch(columns: Columns) -> Batch:
    return Batch.from_columns(columns.types, columns.clients, columns.txs, columns.amounts)
