"""Reading ahead: the same rows in the same order, whatever the threads and wherever the blocks end."""

from __future__ import annotations

import queue
import threading
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from holdfast.domain.settings import make_settings
from holdfast.engine import pipeline
from holdfast.engine.pipeline import read_batches
from holdfast.io.compression import open_source
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from reference_decoder import Config, decode, rows_of

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from holdfast.kernel.batch import Batch

TIMEOUT_SECONDS = 20.0
HEADER = b"type,client,tx,amount\n"
ROW = b"deposit,1,1,1\n"
CONFIG = Config(row_bytes_max=60)
# Blank lines, both line ends, quotes, malformed rows, lines longer than a row may be, no last line end.
MIXED = (
    b"\n \r\n"
    + HEADER
    + b"".join(
        b"deposit,%d,%d,1.5\n\nwithdrawal, 1, %d, 1\r\n \t\ndispute,1,%d\nnonsense\n" % (tx, tx, tx + 1, tx)
        for tx in range(12)
    )
    + b"x" * 61
    + b"\n"
    + b'"deposit","1",77,"5"\r\n'
    + b"y" * 700
    + b"\r\n\r\n"
    + b"resolve,1,5\nchargeback,1,6"
)
BLOCKS = [*range(1, 30, 3), 60, 61, 62, 63, 64, 100, 127, 300, len(MIXED) - 1, len(MIXED), len(MIXED) + 1]

pytestmark = pytest.mark.usefixtures("no_thread_is_left")


def reader_threads() -> list[threading.Thread]:
    """List the threads that read ahead or decode."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("holdfast-")]


@pytest.fixture
def no_thread_is_left() -> Iterator[None]:
    """After every test, all threads of its readers end."""
    yield
    deadline = time.monotonic() + TIMEOUT_SECONDS
    for thread in reader_threads():
        thread.join(max(0.0, deadline - time.monotonic()))
    assert not reader_threads()


def read(
    source: bytes | Iterator[bytes],
    threads: int = 1,
    on_wait: Callable[[], None] | None = None,
    batch_rows: int = 5,
) -> Generator[Batch]:
    """Read an input whose size is not known beforehand, so that threads are used."""
    stream = open_source(iter([source]) if isinstance(source, bytes) else source)
    decoder = CsvDecoder(
        make_settings(row_bytes_max=CONFIG.row_bytes_max, batch_rows=batch_rows), keep_source=True
    )
    return read_batches(stream, decoder, threads, on_wait)


def deadline() -> Callable[[], None]:
    """Give a listener that ends a reading that waits for too long."""
    end = time.monotonic() + TIMEOUT_SECONDS

    def look() -> None:
        assert time.monotonic() < end, "nothing came"

    return look


@pytest.mark.parametrize("threads", [1, 2, 4])
@pytest.mark.parametrize("wait_seconds", [0.0, 0.05])
def test_block_boundaries_do_not_show(
    threads: int, wait_seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes, columns, lines, offsets and raw rows are the reference's for every size of a block.

    A writer that never waits takes half-filled blocks all the time.
    """
    monkeypatch.setattr(pipeline, "WAIT_SECONDS", wait_seconds)
    expected = decode(MIXED, CONFIG)
    assert len(expected) == 12 * 4 + 5
    for block_bytes in BLOCKS:
        monkeypatch.setattr(pipeline, "BLOCK_BYTES", block_bytes)
        assert rows_of(read(MIXED, threads)) == expected, block_bytes


@pytest.mark.parametrize("threads", [1, 2])
def test_pieces_of_any_size_make_the_same_rows(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One read may give a byte, or more than a block."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 50)
    monkeypatch.setattr(pipeline, "WAIT_SECONDS", 0.0)
    expected = decode(MIXED, CONFIG)
    for size in (1, 2, 7, 49, 50, 51, 120):
        pieces = (MIXED[start : start + size] for start in range(0, len(MIXED), size))
        assert rows_of(read(pieces, threads)) == expected, size


@pytest.mark.parametrize("threads", [1, 4])
def test_many_blank_lines_before_the_header(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines are counted from the first one, even if the header comes blocks later."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 32)
    data = b"\n" * 100 + b"\r\n" * 50 + HEADER + ROW * 10
    assert [row.line for row in rows_of(read(data, threads))] == list(range(152, 162))
    assert rows_of(read(data, threads)) == decode(data, CONFIG)


def test_a_small_file_needs_no_thread() -> None:
    """An input that fits into one block is decoded in the caller's thread."""
    started: list[threading.Thread] = []
    stream = open_source(MIXED)
    decoder = CsvDecoder(make_settings(row_bytes_max=CONFIG.row_bytes_max), keep_source=True)
    for batch in read_batches(stream, decoder, 4):
        started += reader_threads()
        assert batch.rows == len(decode(MIXED, CONFIG))
    assert not started


def test_batches_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """No batch has more rows than the decoder's limit."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 1000)
    sizes = [batch.rows for batch in read(HEADER + ROW * 1000, 2, batch_rows=7)]
    assert max(sizes) == 7
    assert sum(sizes) == 1000


@pytest.mark.parametrize("threads", [1, 4])
def test_what_is_read_ahead_is_bounded(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """However long the writer takes, the reader is a bounded number of blocks ahead."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 1000)
    blocks = 0
    is_enough = threading.Event()

    def source() -> Iterator[bytes]:
        nonlocal blocks
        yield HEADER
        while True:
            blocks += 1
            if blocks > threads + 2:
                is_enough.set()
            yield ROW * 72

    batches = read(source(), threads)
    next(batches)
    assert is_enough.wait(TIMEOUT_SECONDS)
    # Every read is most of a block: queued ones, one being decoded by each thread, one being filled.
    assert blocks <= 2 * (threads + 2) + 4
    batches.close()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_line_of_many_blocks_takes_no_memory(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line without an end is one row that is too long, and is dropped while it is read."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 1 << 16)
    piece = b"7" * 50_000

    def source() -> Iterator[bytes]:
        yield HEADER + ROW
        for _ in range(1000):
            yield piece
        yield b"\n" + ROW

    tracemalloc.start()
    try:
        batches = rows_of(read(source(), threads))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [(row.line, row.offset, len(row.raw)) for row in batches] == [
        (2, len(HEADER), 13),
        (3, len(HEADER + ROW), CONFIG.row_bytes_max),
        (4, len(HEADER + ROW) + 50_000_001, 13),
    ]
    assert peak < 2_000_000


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_rows_before_an_error_come_first(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """An input that breaks gives all whole blocks before its end, then its error."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 100)

    def source() -> Iterator[bytes]:
        yield HEADER + ROW * 500
        raise OSError(5, "Input/output error")

    rows = 0
    with pytest.raises(OSError, match="Input/output"):  # noqa: PT012  # how many rows came before it
        for batch in read(source(), threads):
            rows += batch.rows
    assert 490 <= rows <= 500


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("data", [b"a,b,c\n" + ROW * 500, b"\n" * 500 + b"a,b\n", b"z" * 5000, b"\n\n", b""])
def test_header_errors_pass_through(data: bytes, threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer gets the error of an unusable header, before any row."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 100)
    with pytest.raises(HeaderError):
        next(read(data, threads))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_closing_early_ends_the_threads(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Closing the batches ends the reading of an endless input."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 1000)

    def source() -> Iterator[bytes]:
        yield HEADER
        while True:
            yield ROW * 10

    batches = read(source(), threads)
    next(batches)
    running = reader_threads()
    assert len(running) == (1 if threads == 1 else threads + 1)
    batches.close()
    for thread in running:
        thread.join(TIMEOUT_SECONDS)
        assert not thread.is_alive()


def test_closing_a_file_early_leaves_no_thread_that_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the batches are closed, reading an input of known size has ended: nobody reads a closed file."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 1000)
    stream = open_source(HEADER + ROW * 10_000)
    batches = read_batches(stream, CsvDecoder(make_settings(batch_rows=5)), 2)
    next(batches)
    assert reader_threads()
    batches.close()
    assert not reader_threads()


@pytest.mark.parametrize("threads", [1, 2])
def test_a_slow_senders_rows_are_seen_as_they_come(threads: int) -> None:
    """Rows that have arrived are decided while the sender is silent, and later rows keep their places."""
    sent = [HEADER + ROW, ROW * 2 + b"deposit,1", b",2,2\n" + ROW, b"\n\n" + ROW, b"\nnonsense"]
    expected = decode(b"".join(sent), CONFIG)
    arrivals: queue.Queue[bytes] = queue.Queue()
    batches = read(iter(lambda: arrivals.get(timeout=TIMEOUT_SECONDS), b""), threads, deadline())
    for piece, rows in zip(sent, (expected[:1], expected[1:3], expected[3:5], expected[5:6]), strict=False):
        arrivals.put(piece)
        assert rows_of([next(batches)]) == rows
    arrivals.put(sent[-1])
    arrivals.put(b"")
    assert rows_of(batches) == expected[6:]
    assert len(expected) == 7


def test_a_header_that_comes_slowly_is_judged_at_once() -> None:
    """A wrong header is an error before the end of the input."""
    go_on = threading.Event()

    def source() -> Iterator[bytes]:
        yield b"\n\n"
        yield b"nonsense\n"
        assert go_on.wait(TIMEOUT_SECONDS)

    with pytest.raises(HeaderError, match="line 3"):
        next(read(source(), 1, deadline()))
    go_on.set()


@pytest.mark.parametrize("threads", [1, 2])
def test_the_listener_hears_while_nothing_comes(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a silent input, one of blank lines only and one of half a row, an exception of the listener ends the reading."""
    monkeypatch.setattr(pipeline, "BLOCK_BYTES", 1000)
    done = threading.Event()

    class StopError(Exception):
        pass

    def stop() -> None:
        raise StopError

    def silence() -> Iterator[bytes]:
        yield HEADER + b"depo"
        assert done.wait(TIMEOUT_SECONDS)

    def endless(piece: bytes) -> Iterator[bytes]:
        yield HEADER
        end = time.monotonic() + TIMEOUT_SECONDS
        while not done.is_set() and time.monotonic() < end:
            yield piece

    try:
        for source in (silence(), endless(b"\n" * 300), endless(b"x" * 300)):
            with pytest.raises(StopError):
                next(read(source, threads, stop))
    finally:
        done.set()


def test_blank_lines_in_a_small_packed_file_can_be_interrupted() -> None:
    """A small compressed file may hold hours of blank lines; the listener is called after each read."""
    heard = 0

    def count() -> None:
        nonlocal heard
        heard += 1

    packed = open_source(HEADER + b"\n" * 100_000)
    assert packed.raw_size is not None
    assert list(read_batches(packed, CsvDecoder(), 1, count)) == []
    assert heard >= 1


def test_one_thread_fewer_than_cores_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The writer has its own core; there is always one decoder, and never too many."""
    counts = []
    for cores in (1, 2, 3, 64):
        monkeypatch.setattr("os.sched_getaffinity", lambda _pid, cores=cores: set(range(cores)))
        counts.append(pipeline.decoder_threads())
    assert counts == [1, 1, 2, pipeline.DECODERS_MAX]
    monkeypatch.delattr("os.sched_getaffinity")
    monkeypatch.setattr("os.cpu_count", lambda: 3)
    assert pipeline.decoder_threads() == 2
