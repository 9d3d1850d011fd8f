"""Changes columns and text from another thread while the kernel works on them.

Run as a program by kernel/test_changing_memory.py: python changing_memory.py SCENARIO SECONDS.
"""

from __future__ import annotations

import contextlib
import random
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from holdfast.domain.settings import make_settings
from holdfast.kernel import routing
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore
from holdfast.kernel.ndjson.decoder import NdjsonDecoder
from holdfast.kernel.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROWS = 200_000
WIDTHS = ((16, 16), (16, 32), (32, 32), (64, 64), (16, 64))
EXTREMES = np.array(
    [0, 1, 511, 512, 2**16 - 1, 2**16, 2**31, 2**32 - 1, 2**32, 2**40, 2**63, 2**64 - 1], dtype=np.uint64
)
WIDE = make_settings(client_bits=64, tx_bits=64)
CODES_MAX = 41
TEXT = b"".join(
    b"%b,%d,%d,1.5\n" % (kind, row % 9, row) for row in range(8_000) for kind in (b"deposit", b"dispute")
)


def extremes(random_source: np.random.Generator, rows: int) -> Any:
    """Draw ids that are none of this ledger's, or of no ledger's."""
    return EXTREMES[random_source.integers(0, len(EXTREMES), rows)]


class Columns:
    """Four columns that are valid at first, and what to put into them later."""

    def __init__(self, client_bits: int, tx_bits: int, seed: int) -> None:
        generator = np.random.default_rng(seed)
        self.types = generator.integers(1, 6, ROWS).astype(np.uint8)
        self.clients = generator.integers(0, 2 ** min(client_bits, 20), ROWS).astype(np.uint64)
        self.txs = generator.integers(0, 2 ** min(tx_bits, 40), ROWS).astype(np.uint64)
        self.amounts = generator.integers(-5, 1_000, ROWS).astype(np.int64)
        # Ready-made, so that the other thread does nothing but write.
        self.others = [
            (
                generator.integers(0, 256, ROWS).astype(np.uint8),
                extremes(generator, ROWS),
                extremes(generator, ROWS),
                extremes(generator, ROWS).astype(np.int64),
            )
            for _ in range(3)
        ]
        self.first = tuple(column.copy() for column in self.all())

    def all(self) -> tuple[Any, Any, Any, Any]:
        """List the columns."""
        return self.types, self.clients, self.txs, self.amounts

    def change(self) -> None:
        """Write all columns over and over: other values, then those of the beginning."""
        for values in (*self.others, self.first):
            for column, value in zip(self.all(), values, strict=True):
                column[:] = value


@contextlib.contextmanager
def beside(work: Callable[[], None]) -> Iterator[None]:
    """Do something again and again on another thread."""
    stopped = threading.Event()

    def loop() -> None:
        while not stopped.is_set():
            work()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def check(ledger: LedgerCore, client_bits: int) -> None:
    """See that a ledger is whole: every account in order, within range, and found by its client."""
    image = ledger.image()
    rows = image.rows(0, len(image))
    clients = [row[0] for row in rows]
    assert clients == sorted(set(clients))
    assert len(rows) == ledger.accounts
    assert not clients or clients[-1] < 2**client_bits
    for client, *balances in rows[:: max(1, len(rows) // 500)]:
        assert ledger.account(client) == tuple(balances)


def apply_columns(seed: int) -> None:
    """Apply batches of columns that somebody changes meanwhile."""
    client_bits, tx_bits = WIDTHS[seed % len(WIDTHS)]
    columns = Columns(client_bits, tx_bits, seed)
    ledger = LedgerCore(
        make_settings(("standard", "cards")[seed % 2], client_bits=client_bits, tx_bits=tx_bits)
    )
    with beside(columns.change):
        for _ in range(4):
            batch = Batch.from_columns(*columns.all())
            ledger.decide(batch)
            assert max(bytes(batch.outcomes)) <= CODES_MAX
    check(ledger, client_bits)


def stop_and_change(seed: int) -> None:
    """Change columns where a policy's callback may: between two rows of a batch that was checked."""
    client_bits, tx_bits = WIDTHS[seed % len(WIDTHS)]
    columns = Columns(client_bits, tx_bits, seed)
    ledger = LedgerCore(make_settings(client_bits=client_bits, tx_bits=tx_bits))
    batch = Batch.from_columns(*columns.all())
    tally = Tally(bytes([0, 0] + [1] * 254))
    reached = 0
    while reached < 5_000:
        reached = ledger.decide(batch, reached, 6_000, tally)
        for column, values in zip(columns.all(), random.Random(reached).choice(columns.others), strict=True):
            column[reached : reached + 300] = values[reached : reached + 300]
    check(ledger, client_bits)


def split_columns(seed: int) -> None:
    """Split batches whose clients change between counting and copying."""
    columns = Columns(64, 64, seed)
    with beside(columns.change):
        for shards in (1, 2, 7, 256):
            batch = Batch.from_columns(*columns.all())
            parts = routing.split(batch, 0, ROWS, shards)
            assert sum(len(part) for part in parts if part is not None) <= ROWS
            for part in parts:
                if part is not None:
                    LedgerCore(WIDE).decide(part)
            with contextlib.suppress(ValueError):
                routing.gather(batch, 0, parts, Tally())
            routing.runs(batch, 0, 1_000, shards)


def decode_text(seed: int) -> None:
    """Decode text that changes while it is read."""
    generator = np.random.default_rng(seed)
    text = bytearray(b"type,client,tx,amount\n" + TEXT)
    array = np.frombuffer(text, dtype=np.uint8)
    first = array.copy()
    alphabet = np.frombuffer(b'\n\n\r\r,,,  "0123456789.-withdrawaldepositresolve\xff\x00', dtype=np.uint8)
    others = [alphabet[generator.integers(0, len(alphabet), len(array))] for _ in range(3)]
    others += [np.where(generator.random(len(array)) < 0.02, other, first) for other in others]

    def change() -> None:
        for other in (*others, first):
            array[30:] = other[30:]

    with beside(change):
        for piece in (len(text), 50_000, 997):
            decoder = CsvDecoder(make_settings(batch_rows=1_000), keep_source=bool(seed % 2))
            for start in range(0, len(text), piece):
                for batch in decoder.feed(memoryview(text)[start : start + piece]):
                    assert max(bytes(batch.types)) <= 5
            decoder.finish()


def decode_objects(seed: int) -> None:
    """Decode NDJSON that changes while it is read: line ends, quotes, digits and escapes come and go."""
    generator = np.random.default_rng(seed)
    row = b'{"type":"deposit","client":%d,"tx":%d,"amount":"%d.5"}\n{"tx":1,"type":"disp\\u0075te","client":[1,{}]}\n'
    text = bytearray(b"".join(row % (tx % 99, tx, tx) for tx in range(4_000)))
    array = np.frombuffer(text, dtype=np.uint8)
    first = array.copy()
    alphabet = np.frombuffer(b'\n\n\r{}[],:""\\u0123456789.-null\xff\x00', dtype=np.uint8)
    others = [alphabet[generator.integers(0, len(alphabet), len(array))] for _ in range(2)]
    others += [np.where(generator.random(len(array)) < 0.02, other, first) for other in others]

    def change() -> None:
        for other in (*others, first):
            array[:] = other

    with beside(change):
        for piece in (len(text), 50_000, 997):
            decoder = NdjsonDecoder(make_settings(batch_rows=1_000), keep_source=bool(seed % 2))
            for start in range(0, len(text), piece):
                for batch in decoder.feed(memoryview(text)[start : start + piece]):
                    assert max(bytes(batch.types)) <= 5
            decoder.finish()


SCENARIOS: dict[str, Callable[[int], None]] = {
    "apply": apply_columns,
    "stop": stop_and_change,
    "split": split_columns,
    "decode": decode_text,
    "objects": decode_objects,
}


def main() -> None:
    """Repeat one scenario with other numbers until the time is over, ten times at least."""
    scenario, end = SCENARIOS[sys.argv[1]], time.monotonic() + float(sys.argv[2])
    sys.setswitchinterval(1e-4)
    seed = 0
    while seed < 10 or time.monotonic() < end:
        print(sys.argv[1], seed, flush=True)
        scenario(seed)
        seed += 1


if __name__ == "__main__":
    main()
