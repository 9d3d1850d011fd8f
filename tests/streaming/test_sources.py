"""What a source may be, and how it is read: beside the loop where it may wait, never further ahead than stated."""

from __future__ import annotations

import asyncio
import gzip
import io
import os
import socket
import tempfile
import threading
import time
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csv_strategies import amount_texts
from holdfast import Chargeback, Deposit, Dispute, Engine, Resolve, Withdrawal
from holdfast.io.compression import open_source
from holdfast.streaming import SourceState, StreamProcessor
from holdfast.streaming.sources import BLOCK_BYTES, ThreadReader
from strategies import edge_integers
from streaming.sending import HEADER, Recorder, deposits, run, until, waiting

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from holdfast import Transaction

TEXT = deposits(7, 1, 30_000)
"""More than two blocks of a thread."""


def file_of(kind: str, tmp_path: Path) -> Any:
    """Make a source of a kind that gives the text."""
    path = tmp_path / "rows.csv"
    path.write_bytes(TEXT)
    if kind == "compressed":
        path = tmp_path / "rows.csv.gz"
        path.write_bytes(gzip.compress(TEXT, 1))
    if kind == "temporary file":
        wrapper = tempfile.NamedTemporaryFile()  # noqa: SIM115  # the test closes it
        wrapper.write(TEXT)
        wrapper.seek(0)
        return wrapper
    view = memoryview(TEXT)
    makers: dict[str, Any] = {
        "path": lambda: path,
        "name of a path": lambda: str(path),
        "compressed": lambda: path,
        "open input": lambda: open_source(path),
        "file": lambda: io.BytesIO(TEXT),
        "bytes": lambda: TEXT,
        "bytearray": lambda: bytearray(TEXT),
        "memoryview": lambda: view,
        "list of chunks": lambda: [TEXT[:10], bytearray(TEXT[10:300_000]), view[300_000:]],
        "asynchronous chunks": lambda: waiting([TEXT[:10], TEXT[10:]]),
        "batches": lambda: Engine().new_decoder(keep_source=False).feed(TEXT),
        "transactions": lambda: (Deposit(7, tx, 1) for tx in range(1, 30_001)),
        "lists of transactions": lambda: [[Deposit(7, tx, 1) for tx in range(1, 30_001)]],
        "asynchronous transactions": lambda: waiting(Deposit(7, tx, 1) for tx in range(1, 30_001)),
    }
    return makers[kind]()


@pytest.mark.parametrize(
    "kind",
    [
        "path",
        "name of a path",
        "compressed",
        "open input",
        "file",
        "temporary file",
        "bytes",
        "bytearray",
        "memoryview",
        "list of chunks",
        "asynchronous chunks",
        "batches",
        "transactions",
        "lists of transactions",
        "asynchronous transactions",
    ],
)
def test_every_kind_gives_its_rows(kind: str, tmp_path: Path) -> None:
    """Rows and accounts are the same, wherever they come from."""
    source = file_of(kind, tmp_path)
    engine = Engine()
    rows = 24_576 if kind == "batches" else 30_000  # what a decoder still holds is not among its batches
    report = run(StreamProcessor(engine).merge({"only": source}, on_source_error="raise"))
    assert (report.rows, report.applied) == (rows, rows)
    assert engine.account(7).total_units == rows
    if hasattr(source, "close") and kind == "temporary file":
        source.close()


def test_a_stream_reader_is_read_to_its_end() -> None:
    """A socket's reader is a source; a last line without an end is a row."""

    async def job() -> int:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        with theirs:
            theirs.sendall(deposits(1, 1, 100)[:-1])
        report = await StreamProcessor(Engine()).merge([reader])
        writer.close()
        await writer.wait_closed()
        return report.applied

    assert run(job()) == 100


def test_an_empty_stream_reader_is_no_input() -> None:
    """Text of 0 bytes has no header."""

    async def job() -> str:
        reader = asyncio.StreamReader()
        reader.feed_eof()
        processor = StreamProcessor(Engine())
        await processor.merge([reader])
        return str(processor.sources["1"].error)

    assert run(job()) == "1: the input is empty"


@pytest.mark.parametrize("data", [b"", b"\n\n", bytearray()])
def test_text_without_a_header_fails(data: bytes) -> None:
    """Text without a header fails, however short; a source without transactions is valid."""
    processor = StreamProcessor(Engine())
    run(processor.merge({"bytes": data, "file": io.BytesIO(data), "chunks": [data], "nothing": []}))
    states = [each.state for each in processor.sources.values()]
    assert states == [SourceState.FAILED] * 3 + [SourceState.ENDED]


def test_text_files_and_other_objects_are_refused(tmp_path: Path) -> None:
    """The message says what a source is, and what to do about text."""
    path = tmp_path / "rows.csv"
    path.write_bytes(HEADER)
    with path.open() as file, pytest.raises(TypeError, match="open the file in binary mode"):
        run(StreamProcessor(Engine()).merge([file]))  # type: ignore[list-item]
    with pytest.raises(TypeError, match="not object"):
        run(StreamProcessor(Engine()).merge([object()]))  # type: ignore[list-item]


_AMOUNTS = amount_texts() | st.builds(Decimal, st.from_regex(r"-?[0-9]{1,12}(\.[0-9]{1,6})?", fullmatch=True))
_IDS = st.sampled_from([1, 2, -1, 2**16, 2**32, 2**64, 10**5000]) | edge_integers(0, 2**33)


@given(
    st.lists(
        st.builds(Deposit, _IDS, _IDS, _AMOUNTS | edge_integers(-(2**64), 2**64))
        | st.builds(Withdrawal, _IDS, _IDS, _AMOUNTS | st.sampled_from([Decimal("NaN"), Decimal("1e999")]))
        | st.builds(Dispute, _IDS, _IDS)
        | st.builds(Resolve, _IDS, _IDS)
        | st.builds(Chargeback, _IDS, _IDS),
        max_size=12,
    )
)
def test_transactions_are_decided_as_by_the_engine(transactions: list[Transaction]) -> None:
    """A source of transactions gives the outcomes that Engine.apply gives, one by one."""
    one_by_one = Engine()
    expected = [one_by_one.apply(transaction) for transaction in transactions]
    engine = Recorder()
    run(StreamProcessor(engine).merge([transactions], on_source_error="raise"))
    assert [outcome for _, outcome in engine.recorded] == expected
    assert engine.accounts().to_csv() == one_by_one.accounts().to_csv()


# --- reading ahead ---


class FastFile:
    """An endless file that counts what was read of it."""

    def __init__(self) -> None:
        self.read_bytes = 0
        self._row = 0

    def readinto(self, buffer: memoryview) -> int:
        """Fill the buffer with rows that fit."""
        data = HEADER if self.read_bytes == 0 else b"deposit,1,1,0.0001\n" * (len(buffer) // 19)
        buffer[: len(data)] = data
        self.read_bytes += len(data)
        return len(data)


def test_a_fast_file_waits_for_a_slow_loop() -> None:
    """While nobody takes blocks, only two are read: memory stays flat, and the sender waits."""
    file = FastFile()

    async def job() -> None:
        reader = ThreadReader(file)
        for _ in range(20):
            taken = len(await reader.next_block())
            before = file.read_bytes
            assert taken <= BLOCK_BYTES
            # A busy loop: nothing is awaited, and yet the thread goes no further than its blocks.
            time.sleep(0.005)  # noqa: ASYNC251
            assert file.read_bytes - before <= 2 * BLOCK_BYTES
        await asyncio.sleep(0.02)
        stalled = file.read_bytes
        await asyncio.sleep(0.05)
        assert file.read_bytes == stalled
        await reader.stop()

    run(job())


def test_a_fast_generator_is_not_asked_while_its_rows_are_decided() -> None:
    """A source is asked for a piece only after all rows of the piece before it are decided."""
    engine = Recorder()
    given_rows = 0

    async def source() -> AsyncIterator[bytes]:
        nonlocal given_rows
        yield HEADER
        for row in range(200):
            assert len(engine.recorded) == given_rows
            given_rows += 50
            yield deposits(1, row * 50, 50).removeprefix(HEADER)

    assert run(StreamProcessor(engine).merge([source()], on_source_error="raise")).applied == 10_000


def test_only_so_many_files_are_read_at_a_time() -> None:
    """There are as many threads as the limit allows, and all files are read in the end."""
    most = 0

    class Watched(io.BytesIO):
        def readinto(self, buffer: Any, /) -> int:
            nonlocal most
            count = sum(thread.name == "holdfast-source" for thread in threading.enumerate())
            most = max(most, count)
            return super().readinto(buffer)

    processor = StreamProcessor(Engine(), readers_max=2)
    report = run(processor.merge([Watched(deposits(1, 10 * n, 10)) for n in range(12)]))
    assert report.applied == 120
    # One more may be on its way out when the next one begins.
    assert 1 <= most <= 4


def test_a_pipe_without_a_writer_holds_up_nobody(tmp_path: Path) -> None:
    """Opening and reading a pipe wait on a thread; other sources are decided meanwhile, and it continues with new data."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    async def job() -> int:
        processor = StreamProcessor(Engine())
        async with processor.running() as running:
            running.add(pipe, name="pipe")
            running.add([deposits(1, 1, 10)])
            await until(lambda: running.report().applied == 10)
            await asyncio.to_thread(pipe.write_bytes, deposits(2, 100, 5))
        return processor.sources["pipe"].applied

    assert run(job()) == 5
