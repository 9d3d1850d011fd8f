"""Concurrent senders, one ledger, snapshots on the side: ``python examples/streams.py``."""

from __future__ import annotations

import asyncio
import random
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from holdfast import Engine, parse_policy
from holdfast.streaming import Snapshots, Source, StreamProcessor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

SENDERS = 200
ROWS = 50


async def sender(number: int) -> AsyncIterator[bytes]:
    """Send rows in pieces, at a pace of its own."""
    pace = random.Random(number)  # noqa: S311  # a pace is no secret
    yield b"type,client,tx,amount\n"
    for row in range(ROWS):
        await asyncio.sleep(pace.random() / 1_000)
        yield b"deposit,%d,%d,0.5\n" % (number % 10, number * ROWS + row)


async def careless_sender() -> AsyncIterator[bytes]:
    """Send a row that cannot be applied; its own policy stops it there, and nobody else."""
    yield b"type,client,tx,amount\nwithdrawal,99,4000000000,1\ndeposit,99,4000000001,1\n"


async def main() -> None:
    """Merge them all; print what became of them."""
    engine = Engine()
    with tempfile.TemporaryDirectory() as directory:
        snapshots = Snapshots(engine, Path(directory) / "accounts-{sequence}.csv", every_seconds=0.02, keep=3)
        processor = StreamProcessor(engine, snapshots=snapshots)
        async with processor.running() as running:
            for number in range(SENDERS):
                running.add(sender(number), name=f"sender {number}")
            running.add(Source(careless_sender(), policy=parse_policy("abort")), name="careless")
            await running.wait()
        last = await snapshots.take()
        print(f"{processor.report().applied} rows applied, the last snapshot is at {last.sequence}")
        print(f"careless: {processor.sources['careless'].error}")
        print(f"client 7: {engine.account(7).available} available")


if __name__ == "__main__":
    asyncio.run(main())
