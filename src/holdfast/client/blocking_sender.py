"""Sends from a thread that blocks: the sender itself runs on a loop in a thread of its own."""

from __future__ import annotations

from contextlib import closing, nullcontext
from typing import TYPE_CHECKING, NamedTuple

from holdfast.client.buffered import BufferedSender
from holdfast.client.file_rows import FileRows
from holdfast.client.inputs import BLOCK_BYTES, NotWantedError, PipeInput
from holdfast.client.loop_thread import LoopThread
from holdfast.client.rows import HEADER, EncodedRows, group_rows
from holdfast.client.sender import Hooks, Sender
from holdfast.io.compression import open_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from holdfast.client.inputs import File
    from holdfast.client.loop_thread import Waiting
    from holdfast.client.options import Options
    from holdfast.client.report import SendReport
    from holdfast.client.stream_state import StreamState
    from holdfast.domain.transaction import Transaction
    from holdfast.io.compression import InputStream
    from holdfast.io.input_types import Input


class BlockingSender:
    """Sends one stream; a context manager that ends everything that it began.

    Args:
        options: Where and how.
        hooks: What is called meanwhile, in the caller's thread.
        waiting: Makes the context that every wait happens in: how a signal ends it.
        on_wait: Is called after every wait.
        wait_seconds_max: How long a wait lasts before that; None: until something happens.
    """

    def __init__(
        self,
        options: Options,
        hooks: Hooks,
        waiting: Waiting = nullcontext,
        on_wait: Callable[[], object] = lambda: None,
        wait_seconds_max: float | None = None,
    ) -> None:
        self._options = options
        self._waiting = waiting
        self._thread = LoopThread(waiting, on_wait, wait_seconds_max)
        self._hooks = _in_callers_thread(hooks, self._thread)
        self._is_over: Callable[[], bool] = lambda: False
        self.raw_position: Callable[[], int] = lambda: 0
        """Says how many bytes of the input, as they are stored, were used so far."""
        self._files: FileRows | None = None
        self._sender: Sender | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def state(self) -> StreamState | None:
        """How far the stream is; None before it has begun."""
        return None if self._sender is None else self._sender.state

    def report(self) -> SendReport | None:
        """Say how far the stream got; None before it has begun."""
        return None if self._sender is None else self._sender.report()

    def part(self) -> int:
        """Say which file is being sent, the first being 0."""
        return 0 if self._files is None else self._files.part

    def empty_parts(self) -> list[int]:
        """Say which files had no rows, when all are sent."""
        return [] if self._files is None else self._files.empty_parts()

    def send_files(self, files: Sequence[File]) -> SendReport:
        """Send what can be read again.

        Raises:
            SendError: If not all was taken.
            OSError: If a file cannot be read.
        """
        self._files = source = FileRows(files)
        self.raw_position = lambda: source.raw_position
        self._sender = sender = Sender(self._options, source, self._hooks, owns_loop=True)
        self._thread.when_room(sender.wake)
        return self._thread.call(sender.run())

    def send_input(self, source: Input) -> SendReport:
        """Send what can be read once.

        Raises:
            SendError: If not all was taken.
            OSError: If it cannot be read.
        """
        with open_source(source) as stream:
            return self._send_stream(stream, self._waiting)

    def send_pipe(self, path: str | None) -> SendReport:
        """Send a pipe, a terminal, standard input; what ends the sender ends the wait for its bytes.

        Args:
            path: Where it is; None for standard input.

        Raises:
            SendError: If not all was taken.
            OSError: If it cannot be read.
        """
        pipe = PipeInput(path, self._wait_for_input)
        with closing(pipe), open_source(pipe) as stream:
            return self._send_stream(stream, nullcontext)

    def send_transactions(self, transactions: Iterable[Transaction], decimals: int) -> SendReport:
        """Send transactions, whose iterable is called in this thread.

        Raises:
            SendError: If not all was taken.
        """
        with_rows = self.begin("<transactions>", header=HEADER, first_row=1)
        for rows in group_rows(transactions, decimals):
            with_rows.put(rows)
        return with_rows.finish()

    def begin(self, name: str, *, header: bytes | None, first_row: int | None) -> GivenRows:
        """Begin to send rows that are given one after the other.

        Args:
            name: How errors call the source.
            header: The header of the rows that will be given; None: it is what is given first.
            first_row: The number of the first row that will be given; None: the one after those the server has.
        """
        buffered = BufferedSender(
            self._options, name, header=header, first_row=first_row, hooks=self._hooks, owns_loop=True
        )
        self._sender, self.raw_position = buffered.sender, lambda: buffered.buffer.raw_position
        self._thread.when_room(buffered.sender.wake)
        self._thread.call(self._start(buffered))
        return GivenRows(buffered, self._thread)

    def run_callbacks(self) -> None:
        """Call what still waits for this thread, after an error."""
        self._thread.run_callbacks()

    def close(self) -> None:
        """End the connection and the thread."""
        self._thread.close()

    async def _start(self, buffered: BufferedSender) -> None:
        task = buffered.start()
        ring = self._thread.ring
        task.add_done_callback(lambda _: ring())
        self._is_over = task.done

    def _send_stream(self, stream: InputStream, waiting: Waiting) -> SendReport:
        rows = self.begin(stream.name, header=None, first_row=1)
        block = memoryview(bytearray(BLOCK_BYTES))
        try:
            while True:
                with waiting():
                    count = stream.readinto(block)
                if not count:
                    break
                rows.put(EncodedRows(bytes(block[:count])))
        except NotWantedError:
            # What the sender ended with comes out of finish().
            pass
        return rows.finish()

    def _wait_for_input(self, descriptor: int) -> bool:
        return self._thread.wait_for_input(descriptor, self._is_over)


class GivenRows:
    """Takes rows for a sender that runs on the loop of a thread.

    Args:
        buffered: Has begun.
        thread: Runs it.
    """

    def __init__(self, buffered: BufferedSender, thread: LoopThread) -> None:
        self._buffered = buffered
        self._thread = thread
        self._wake = buffered.sender.wake

    @property
    def last_row(self) -> int:
        """The number of the last whole row that was given."""
        return self._buffered.buffer.rows

    def open(self) -> None:
        """Wait until rows can be sent.

        Raises:
            SendError: If the stream has ended.
        """
        self._thread.call(self._buffered.open())

    def put(self, rows: EncodedRows) -> None:
        """Give rows, and wait only while too much is kept.

        Raises:
            SendError: If the stream has ended, or these are not the rows that the server has.
            InputError: If a header is not usable, or a line does not end.
        """
        self._thread.require_open()
        try:
            self._buffered.give(rows)
        except Exception:
            # What was refused before the stream ended is told first.
            self._thread.run_callbacks()
            raise
        self._thread.post(self._wake)
        if self._buffered.buffer.is_full:
            self._thread.call(self._buffered.wait_for_room())
        else:
            self._thread.run_callbacks()

    def flush(self) -> int:
        """Wait until every whole row that was given is decided; give the number of the last one.

        Raises:
            SendError: If the stream has ended.
        """
        return self._thread.call(self._buffered.flush())

    def finish(self) -> SendReport:
        """End the input and wait until all of it is decided.

        Raises:
            SendError: If that cannot be.
        """
        return self._thread.call(self._buffered.finish())


class _Loss(NamedTuple):
    reason: str
    seconds: float


def _in_callers_thread(hooks: Hooks, thread: LoopThread) -> Hooks:
    """Make hooks that may be called on the loop from those that are called in the caller's thread."""
    on_lost = hooks.on_lost

    def lose(loss: _Loss) -> None:
        if on_lost is not None:
            on_lost(loss.reason, loss.seconds)

    lost = None if on_lost is None else thread.deliver(lose)
    return Hooks(
        on_refused=None if hooks.on_refused is None else thread.deliver(hooks.on_refused),
        on_rejection=None if hooks.on_rejection is None else thread.deliver(hooks.on_rejection),
        on_lost=None if lost is None else lambda reason, seconds: lost(_Loss(reason, seconds)),
        is_held=thread.is_held,
    )
