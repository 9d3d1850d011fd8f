"""Pages that come back from the store, and a ledger that is closed meanwhile."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from holdfast import Ledger
from holdfast.storage.failures import LedgerClosedError
from holdfast.storage.paging import Pager

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

PAGES = 12
RUN = 8192


def test_closing_waits_for_the_page_that_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And for no other: a thread that loads many of them is done with the store when it is closed, and is told so."""
    path = tmp_path / "p.db"
    rows = [b"deposit,1,%d,5\n" % tx for page in range(PAGES) for tx in range(RUN * page, RUN * page + 300)]
    with Ledger.open(path) as ledger:
        ledger.process(b"type,client,tx,amount\n" + b"".join(rows))
    read_run, reads, reading = Pager.read_run, list[bool](), threading.Event()
    is_closed = threading.Event()
    ledger = Ledger.open(path)

    def slowly(pager: Pager, number: int) -> bytes:
        reading.set()
        time.sleep(0.05)
        reads.append(is_closed.is_set())
        return read_run(pager, number)

    monkeypatch.setattr(Pager, "read_run", slowly)
    told: list[BaseException] = []

    def load() -> None:
        try:
            ledger.load_pages(range(PAGES))
        except LedgerClosedError as error:
            told.append(error)

    loader = threading.Thread(target=load)
    loader.start()
    assert reading.wait(10)
    ledger.close()
    is_closed.set()
    loader.join(10)
    assert 0 < len(reads) < PAGES
    assert not any(reads)
    assert len(told) == 1
