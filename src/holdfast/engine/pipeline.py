"""Reading and decoding ahead of the one writer, on other threads, in order.

One thread reads blocks and cuts them at line ends. If there is one core beside the writer's, this thread also decodes them; if
there are more cores, as many threads decode. The writer takes the batches in the order of the input. Reading ahead is bounded:
when the queue of blocks is full, nothing more is read until one is taken. The lines of a slow sender are decided as they arrive:
an idle writer takes the whole lines of the block that is still being filled.
"""

from __future__ import annotations

import os

from holdfast.io import background
from holdfast.io.raw import InputError
from holdfast.kernel.csv.header import HeaderError

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    import threading
    from collections import deque
    from collections.abc import Callable, Generator, Iterator

    from holdfast.domain.dialect import Dialect
    from holdfast.io.compression import InputStream
    from holdfast.io.formats.format import Decoder
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.csv.decoder import CsvDecoder

BLOCK_BYTES = 512 * 1024
"""How much is read at a time: some 20,000 rows, which fit into the second-level cache together with their columns."""
DECODERS_MAX = 8
WAIT_SECONDS = 0.05
"""How long the writer waits for input at a time: it notices signals at least this often."""


def decoder_threads() -> int:
    """Say how many threads decode: one for each core except the writer's."""
    # Not every system can say which cores this process may use.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores - 1, DECODERS_MAX))


def use_dialect(stream: InputStream, decoder: CsvDecoder, dialect: Dialect) -> CsvDecoder:
    """Let an input that was not read yet be read in a dialect; give the decoder for it.

    Args:
        stream: The input.
        decoder: A new decoder for plain inputs.
        dialect: How it is written.
    """
    from holdfast.kernel.csv.dialect import in_dialect  # noqa: PLC0415  # a plain input does without

    if dialect.encoding != "utf-8":
        stream.use_encoding(dialect.encoding)
    return in_dialect(decoder, dialect)


def read_input(
    stream: InputStream, decoder: Decoder, on_wait: Callable[[], None] | None = None
) -> Generator[Batch]:
    """Decode an input to its end, ahead of the writer, on as many threads as there are spare cores.

    Raises:
        InputError: If it has no usable header, or is compressed and corrupt.
        OSError: If it cannot be read.
    """
    try:
        yield from read_batches(stream, decoder, decoder_threads(), on_wait)
    except HeaderError as error:
        raise InputError(stream.name, str(error)) from error


def read_batches(
    stream: InputStream, decoder: Decoder, threads: int, on_wait: Callable[[], None] | None = None
) -> Generator[Batch]:
    """Decode an input to its end.

    Args:
        stream: What to read.
        decoder: A new decoder.
        threads: How many threads decode.
        on_wait: Called every 50 ms while there is nothing to do, and after input without a row; an exception in it
            ends the reading.

    Yields:
        Batches in the order of the input.

    Raises:
        OSError: If the input cannot be read.
        HeaderError: If it has no usable header.
    """
    if stream.raw_size is not None and stream.raw_size <= BLOCK_BYTES:
        # Not worth a thread. Only a regular file or memory has a size, so this read never waits for a sender.
        yield from _read_here(stream, decoder, on_wait)
        return
    ahead = _ReadAhead(stream, decoder, threads)
    try:
        yield from ahead.batches(on_wait)
    finally:
        ahead.stop()


def _read_here(stream: InputStream, decoder: Decoder, on_wait: Callable[[], None] | None) -> Iterator[Batch]:
    buffer = memoryview(bytearray(BLOCK_BYTES))
    while count := stream.readinto(buffer):
        batches = decoder.feed(buffer[:count])
        if not batches and on_wait is not None:
            on_wait()
        yield from batches
    last = decoder.finish()
    if last is not None:
        yield last


class _Block:
    """A stretch of whole lines, on its way from the reader through a decoder to the writer."""

    __slots__ = ("batches", "begin", "buffer", "decoder", "end", "error", "is_decoded", "is_last", "lines")

    def __init__(
        self, decoder: Decoder, buffer: bytearray | None, begin: int, end: int, *, is_last: bool = False
    ) -> None:
        self.decoder = decoder
        self.buffer = buffer
        self.begin = begin
        self.end = end
        self.is_last = is_last
        self.batches: list[Batch] = []
        self.lines = 0
        self.error: BaseException | None = None
        self.is_decoded = False

    def decode(self) -> None:
        """Turn the text into batches, with lines counted from where this block's decoder began."""
        try:
            if self.buffer is not None:
                self.batches = self.decoder.feed(memoryview(self.buffer)[self.begin : self.end])
            last = self.decoder.finish() if self.is_last else self.decoder.flush()
            if last is not None:
                self.batches.append(last)
            # A decoder that still waits for its header continues with the next block, and counts these lines itself.
            self.lines = self.decoder.lines if self.decoder.has_header else 0
        except BaseException as error:  # noqa: BLE001  # raised again by the writer, in its place in the order
            self.error = error


class _ReadAhead:
    """The threads and the state that they share, guarded by one condition."""

    def __init__(self, stream: InputStream, decoder: Decoder, threads: int) -> None:
        import threading  # noqa: PLC0415  # not needed for a small file
        from collections import deque  # noqa: PLC0415

        self._stream = stream
        self._decoder = decoder
        self._offset = 0
        self._shared = threading.Condition()
        self._blocks: deque[_Block] = deque()  # in the order of the input
        self._to_decode: deque[_Block] = deque()
        self._buffers: list[bytearray] = []
        # The reader fills this buffer. While it waits for more, it lends the lines in it to the writer.
        self._buffer = bytearray(BLOCK_BYTES)
        self._begin = 0
        self._filled = 0
        self._is_lent = False
        self._has_read_all = False
        self._blocks_max = threads + 2
        self._decodes_itself = threads == 1
        self._stopped = False
        self._was_forked = False
        self._threads: list[threading.Thread] = [
            threading.Thread(target=self._read, name="holdfast-read", daemon=True),
            *(
                threading.Thread(target=self._decode, name=f"holdfast-decode-{number}", daemon=True)
                for number in range(0 if self._decodes_itself else threads)
            ),
        ]
        # Daemon threads, since one may wait for a pipe for ever; background stops them before the interpreter ends.
        background.began(self)
        try:
            for thread in self._threads:
                thread.start()
        except BaseException:
            self._has_read_all = not self._threads[0].is_alive()
            self._threads = [thread for thread in self._threads if thread.is_alive()]
            self.stop()
            raise

    def batches(self, on_wait: Callable[[], None] | None) -> Iterator[Batch]:
        """Give the batches in order, waiting for each."""
        lines = 0
        while True:
            block = self._next_block(on_wait)
            if not block.batches and on_wait is not None:
                on_wait()
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
        """Stop the threads, and wait until they have ended.

        A thread that waits for a pipe's next byte cannot be woken. It ends with that byte, or with the process, and decodes
        nothing more.
        """
        if self._was_forked:
            return
        with self._shared:
            self._stopped = True
            self._stream.cancel()
            self._shared.notify_all()
            may_wait = self._stream.raw_size is None
            while may_wait and not self._is_lent and not self._has_read_all:
                self._shared.wait()
        # The others never wait for a sender, so join them: the file must not be closed before its last read.
        for thread in self._threads[1:] if may_wait else self._threads:
            thread.join()
        background.stopped(self)

    def forget_threads(self) -> None:
        """Note that this process was forked and has none of the threads."""
        self._was_forked = True

    def _next_block(self, on_wait: Callable[[], None] | None) -> _Block:
        while True:
            if self._was_forked:
                raise RuntimeError(
                    "the process was forked while it read this input: read an input to its end in one process"
                )
            with self._shared:
                if not (self._blocks and self._blocks[0].is_decoded):
                    self._shared.wait(WAIT_SECONDS)
                if self._blocks and self._blocks[0].is_decoded:
                    block = self._blocks.popleft()
                    self._shared.notify_all()
                    return block
                lent = self._take_lent()
            if lent is not None:
                return lent
            if on_wait is not None:
                on_wait()

    def _take_lent(self) -> _Block | None:
        """Decode the whole lines that the reader holds while it waits. The caller holds the lock."""
        if self._blocks or not self._is_lent:
            return None
        end = self._buffer.rfind(b"\n", self._begin, self._filled) + 1
        if not end:
            return None
        block = _Block(self._decoder, self._buffer, self._begin, end)
        block.decode()
        self._offset += end - self._begin
        self._begin = end
        self._continue_with(block.decoder)
        return block

    def _read(self) -> None:
        """Run the reader thread: read blocks of whole lines until the input ends or the writer stops."""
        try:
            self._read_blocks()
        except BaseException as error:  # noqa: BLE001  # raised again by the writer, in its place in the order
            failed = _Block(self._decoder, None, 0, 0, is_last=True)
            failed.error = error
            failed.is_decoded = True
            self._put(failed)
        finally:
            with self._shared:
                self._has_read_all = True
                self._shared.notify_all()

    def _read_blocks(self) -> None:
        while not self._stopped:
            count = self._fill()
            if self._has_stopped():
                return
            if not count:
                self._put(_Block(self._decoder, self._buffer, self._begin, self._filled, is_last=True))
                return
            if self._filled == len(self._buffer) and not self._hand_on():
                return

    def _has_stopped(self) -> bool:
        return self._stopped

    def _fill(self) -> int:
        """Read more into the rest of the buffer."""
        with self._shared:
            if self._stopped:
                return 0
            self._is_lent = True
            self._shared.notify_all()
        try:
            count = self._stream.readinto(memoryview(self._buffer)[self._filled :])
        finally:
            with self._shared:
                self._is_lent = False
        self._filled += count
        return count

    def _hand_on(self) -> bool:
        """Queue the whole lines of a full buffer; False if the writer has stopped."""
        buffer, begin, filled = self._buffer, self._begin, self._filled
        end = buffer.rfind(b"\n", begin, filled) + 1
        if not end and not begin:
            # One line is longer than a block: the decoder keeps what it needs of it and drops the rest.
            self._decoder.feed(buffer)
            self._offset += filled
            self._filled = 0
            return True
        end = max(begin, end)
        self._buffer, self._begin, self._filled = self._new_buffer(), 0, filled - end
        self._buffer[: filled - end] = memoryview(buffer)[end:filled]
        if begin == end:
            self._give_back(buffer)
            return True
        self._offset += end - begin
        block = _Block(self._decoder, buffer, begin, end)
        if not block.decoder.has_header:
            # The header says how to decode everything after it, so nothing may overtake it.
            self._decode_block(block)
        if not self._put(block) or block.error is not None:
            return False
        self._continue_with(block.decoder)
        return True

    def _continue_with(self, decoder: Decoder) -> None:
        if decoder.has_header:
            self._decoder = decoder.at(self._offset)

    def _put(self, block: _Block) -> bool:
        """Queue a block as soon as there is room; False if the writer has stopped."""
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
        """Run a decoder thread: decode the next block, until the writer stops."""
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
