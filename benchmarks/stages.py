"""The stages of the kernel as functions of one thread, for the questions about single stages."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from holdfast.domain.rules import STANDARD
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.ledger import LedgerCore

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from benchmarks.workloads import Columns

APPLIED = 1
_CHUNK_BYTES = 1 << 20


def read_chunks(path: str) -> Iterator[bytes]:
    """Read a file in chunks as large as a reader of the engine would take."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        while chunk := os.read(descriptor, _CHUNK_BYTES):
            yield chunk
    finally:
        os.close(descriptor)


def decode(chunks: Iterable[bytes]) -> Iterator[Batch]:
    """Decode a CSV."""
    decoder = CsvDecoder()
    for chunk in chunks:
        yield from decoder.feed(chunk)
    last = decoder.finish()
    if last is not None:
        yield last


def make_batches(columns: Columns) -> list[Batch]:
    """Point batches of the usual size at columns."""
    return [Batch.from_columns(*piece) for piece in columns.slices()]


def make_ledger(client_bits: int = 16, tx_bits: int = 32, huge_pages: bool = True) -> LedgerCore:
    """Make an empty ledger, by default with huge pages, as the command has them."""
    return LedgerCore(
        make_settings(STANDARD, client_bits=client_bits, tx_bits=tx_bits), huge_pages=huge_pages
    )


def apply_all(ledger: LedgerCore, batches: Iterable[Batch]) -> None:
    """Apply batches one after the other."""
    for batch in batches:
        ledger.decide(batch)


def applied_share(batches: Iterable[Batch]) -> float:
    """Give the share of applied rows: a benchmark of refusals would measure the wrong thing."""
    outcomes = b"".join(bytes(batch.outcomes) for batch in batches)
    return outcomes.count(APPLIED) / max(1, len(outcomes))
