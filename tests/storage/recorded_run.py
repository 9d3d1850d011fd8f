"""A program whose system calls are recorded: it keeps a ledger, and says how many rows are acknowledged.

It takes the path of the ledger. Rows come with checkpoints and copies of SQLite's log in between; in the middle the ledger is
closed, pruned, compacted, and opened again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from holdfast import Ledger
from holdfast.storage.pruning import prune
from holdfast.storage.sqlite import store as sqlite_store
from holdfast.storage.stores import open_store
from storage.ledgers import csv_of, draw_rows

COUNT = 900
STEP = 75
ROWS = draw_rows(COUNT, txs=COUNT)


def load(path: str, begin: int, end: int) -> None:
    """Load rows up to a number of them, and say so each time that some are acknowledged."""
    with Ledger.open(path, checkpoints_keep=1) as ledger:
        for stop in range(begin + STEP, end + 1, STEP):
            ledger.process(csv_of(ROWS[:stop]), stream="day")
            os.write(1, b"ack %d\n" % stop)
            if stop % (3 * STEP) == 0:
                ledger.checkpoint()


def main(path: str) -> None:
    """Live the life of a ledger."""
    vars(sqlite_store)["_LOG_BYTES_MAX"] = 300_000
    load(path, 0, COUNT // 2)
    with open_store(path) as store:
        prune(store, COUNT // 4, None)
        store.compact()
    load(path, COUNT // 2, COUNT)


if __name__ == "__main__":
    main(sys.argv[1])
