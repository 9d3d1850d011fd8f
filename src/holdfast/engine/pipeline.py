"""Reading and decoding ahead of the one writer, on other threads, in order.

One thread reads blocks and cuts them at line ends. Where there is one core beside the writer's it decodes them as well; where
there are more, as many threads do. The writer takes the batches in the order of the input. What is read ahead is bounded: so
many blocks, and no more is read until one of them is taken.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from holdfast.kernel.csv_decoder import CsvDecoder

if TYPE_CHECKING:
    import threading
    from collections import deque
    from collections.abc import Callable, Iterator

    from holdfast.io.compression import InputStream
    from holdfast.kernel.batch import Batch

BLOCK_BYTES = 512 * 1024
"""How much is read at a time: some 20,000 rows, which fit the second-level cache with their columns."""
DECODERS_MAX = 8
WAIT_SECONDS = 0.05
"""How long the writer waits for input before it looks up: signals are seen at least this often."""
_SLOW_SECONDS = 0.05


def decoder_threads() -> int:
    """How many threads decode: one for each core but the writer's."""
    return max(1, min(len(os.sched_getaffinity(0)) - 1, DECODERS_MAX))


def read_batches(
    stream: InputStream, decoder: CsvDecoder, threads: int, on_wait: Callable[[], None] | None = None
) -> Iterator[Batch]:
    """Decode an input to its end.

    Args:
        stream: What to read.
        decoder: A new decoder.
        threads: How many threads decode.
        on_wait: Called every 50 ms while there is nothing to do; what it raises ends the reading.

    Yields:
        Batches in the order of the input.

    Raises:
        OSError: If the input cannot be read.
        HeaderError: If it has no usable header.
    """
    if stream.raw_size is not None and stream.raw_size <= BLOCK_BYTES:
        # Not worth a thread; only a regular file or memory has a size, so nothing here waits for anybody.
        yield from _read_here(stream, decoder)
        return
    ahead = _ReadAhead(stream, decoder, threads)
    try:
        yield from ahead.batches(on_wait)
    finally:
        ahead.stop()


def _read_here(stream: InputStream, decoder: CsvDecoder) -> Iterator[Batch]:
    buffer = memoryview(bytearray(BLOCK_BYTES))
    while count := stream.readinto(buffer):
        yield from decoder.feed(buffer[:count])
    last = decoder.finish()
    if last is not None:
        yield last


class _Block:
    """A stretch of whole lines, on its way from the reader through a decoder to the writer."""

    __slots__ = ("batches", "buffer", "decoder", "error", "is_decoded", "is_last", "lines", "size")

    def __init__(self, decoder: CsvDecoder, buffer: bytearray | None, size: int, *, is_last: bool) -> None:
        self.decoder = decoder
        self.buffer = buffer
        self.size = size
        self.is_last = is_last
        self.batches: list[Batch] = []
        self.lines = 0
        self.error: BaseException | None = None
        self.is_decoded = False

    def decode(self) -> None:
        """Turn the text into batches, with lines counted from where this block's decoder began."""
        try:
            if self.buffer is not None:
                self.batches = self.decoder.feed(memoryview(self.buffer)[: self.size])
            last = self.decoder.finish() if self.is_last else self.decoder.flush()
            if last is not None:
                self.batches.append(last)
            self.lines = self.decoder.lines
        except BaseException as error:  # noqa: BLE001  # raised again by the writer, in its place in the order
            self.error = error


class _ReadAhead:
    """The threads and what they share, all of it guarded by one condition."""

    def __init__(self, stream: InputStream, decoder: CsvDecoder, threads: int) -> None:
        import threading  # noqa: PLC0415  # a small file does without
        from collections import deque  # noqa: PLC0415

        self._stream = stream
        self._decoder = decoder
        self._offset = 0
        self._shared = threading.Condition()
        self._blocks: deque[_Block] = deque()  # in the order of the input
        self._to_decode: deque[_Block] = deque()
        self._buffers: list[bytearray] = []
        self._blocks_max = threads + 2
        self._decodes_itself = threads == 1
        self._stopped = False
        self._threads: list[threading.Thread] = [
            threading.Thread(target=self._read, name="holdfast-read", daemon=True),
            *(
                threading.Thread(target=self._decode, name=f"holdfast-decode-{number}", daemon=True)
                for number in range(0 if self._decodes_itself else threads)
            ),
        ]
        for thread in self._threads:
            thread.start()

    def batches(self, on_wait: Callable[[], None] | None) -> Iterator[Batch]:
        """Give the batches in order, waiting for them."""
        lines = 0
        while True:
            block = self._next_block(on_wait)
            for batch in block.batches:
                if lines:
                    batch.move_lines(lines)
                yield batch
            if block.error is not None:
                raise block.error
            if block.is_last:
                return
            lines += block.lines

    def stop(self) -> None:
        """Let the threads end. One that waits for a pipe's next byte cannot be woken, and ends with the process."""
        with self._shared:
            self._stopped = True
            self._shared.notify_all()

    def _next_block(self, on_wait: Callable[[], None] | None) -> _Block:
        while True:
            with self._shared:
                if not (self._blocks and self._blocks[0].is_decoded):
                    self._shared.wait(WAIT_SECONDS)
                if self._blocks and self._blocks[0].is_decoded:
                    block = self._blocks.popleft()
                    self._shared.notify_all()
                    return block
            if on_wait is not None:
                on_wait()

    def _read(self) -> None:
        """The reader thread: blocks of whole lines, until the input ends or the writer has had enough."""
        try:
            self._read_blocks()
        except BaseException as error:  # noqa: BLE001  # raised again by the writer, in its place in the order
            failed = _Block(self._decoder, None, 0, is_last=True)
            failed.error = error
            failed.is_decoded = True
            self._put(failed)

    def _read_blocks(self) -> None:
        buffer, filled = self._new_buffer(), 0
        while True:
            waiting_since = time.monotonic()
            count = self._stream.readinto(memoryview(buffer)[filled:])
            filled += count
            if count and filled < len(buffer) and time.monotonic() - waiting_since < _SLOW_SECONDS:
                # More is likely to be there at once; a sender who takes his time gets each line decided as it comes.
                continue
            if not count:
                self._put(_Block(self._decoder, buffer, filled, is_last=True))
                return
            cut = buffer.rfind(b"\n", 0, filled) + 1
            if not cut and filled < len(buffer):
                continue
            following = self._new_buffer()
            rest = filled - cut if cut else 0
            following[:rest] = memoryview(buffer)[filled - rest : filled]
            if not self._hand_on(buffer, filled - rest, is_cut=cut > 0):
                return
            buffer, filled = following, rest

    def _hand_on(self, buffer: bytearray, size: int, *, is_cut: bool) -> bool:
        """Send a block on its way; False if nobody wants any more."""
        decoder = self._decoder
        self._offset += size
        if not is_cut:
            # One line longer than a block: its decoder remembers what it needs of it and drops the rest.
            decoder.feed(memoryview(buffer)[:size])
            self._give_back(buffer)
            return not self._stopped
        block = _Block(decoder, buffer, size, is_last=False)
        if not decoder.has_header:
            # The header says how to decode everything behind it, so nothing overtakes it.
            self._decode_block(block)
            return self._put(block) and block.error is None and self._continue_with(decoder)
        return self._put(block) and self._continue_with(decoder)

    def _continue_with(self, decoder: CsvDecoder) -> bool:
        if decoder.has_header:
            self._decoder = decoder.at(self._offset)
        return True

    def _put(self, block: _Block) -> bool:
        """Queue a block as soon as there is room; False if nobody wants any more."""
        with self._shared:
            while len(self._blocks) >= self._blocks_max and not self._stopped:
                self._shared.wait()
            if self._stopped:
                return False
            self._blocks.append(block)
            if not block.is_decoded and not self._decodes_itself:
                self._to_decode.append(block)
            self._shared.notify_all()
        if not block.is_decoded and self._decodes_itself:
            self._decode_block(block)
        return True

    def _decode(self) -> None:
        """A decoder thread: whatever comes next."""
        while True:
            with self._shared:
                while not self._to_decode and not self._stopped:
                    self._shared.wait()
                if self._stopped:
                    return
                block = self._to_decode.popleft()
            self._decode_block(block)

    def _decode_block(self, block: _Block) -> None:
        block.decode()
        buffer, block.buffer = block.buffer, None
        with self._shared:
            if buffer is not None:
                self._buffers.append(buffer)
            block.is_decoded = True
            self._shared.notify_all()

    def _new_buffer(self) -> bytearray:
        with self._shared:
            return self._buffers.pop() if self._buffers else bytearray(BLOCK_BYTES)

    def _give_back(self, buffer: bytearray) -> None:
        with self._shared:
            self._buffers.append(buffer)
