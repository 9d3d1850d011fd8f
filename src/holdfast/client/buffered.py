"""Sends rows as a caller gives them, in a task of its own."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.client.row_buffer import RowBuffer
from holdfast.client.sender import Hooks, Sender

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.client.options import Options
    from holdfast.client.report import SendReport
    from holdfast.client.rows import EncodedRows


class BufferedSender:
    """Keeps rows until they are decided, and a task that sends them. It belongs to one event loop.

    Args:
        options: Where and how.
        name: How errors call the source.
        header: The header of the rows that will be given; None: it is what is given first.
        first_row: The number of the first row that will be given; None: the one after those the server has.
        hooks: What is called meanwhile; ``on_change`` is used here.
        owns_loop: Whether nobody else uses the event loop.
    """

    def __init__(
        self,
        options: Options,
        name: str,
        *,
        header: bytes | None,
        first_row: int | None,
        hooks: Hooks = Hooks(),  # noqa: B008  # a tuple
        owns_loop: bool = False,
    ) -> None:
        self.buffer = RowBuffer(
            name, header=header, first_row=first_row, bytes_max=options.limits.buffer_bytes_max
        )
        self.sender = Sender(
            options, self.buffer, hooks._replace(on_change=self._notify), owns_loop=owns_loop
        )
        self._task: asyncio.Task[SendReport] | None = None
        self._waiters: set[asyncio.Future[None]] = set()

    def start(self) -> asyncio.Task[SendReport]:
        """Begin to send, if that has not begun."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self.sender.run())
            self._task.add_done_callback(self._end)
        return self._task

    async def open(self) -> None:
        """Wait until rows can be sent.

        Raises:
            SendError: If the stream has ended.
        """
        await self._wait_until(lambda: self.sender.is_streaming)

    def give(self, rows: EncodedRows) -> None:
        """Take rows without a wait; wake the sender after it. Any thread may call this after :meth:`start`.

        Raises:
            SendError: If the stream has ended, or these are not the rows that the server has.
            InputError: If a header is not usable, or a line does not end.
        """
        if self._task is not None and self._task.done():
            self._task.result()
        if rows.unit_decimals is not None:
            self.sender.require_decimals(rows.unit_decimals)
        if rows.rows is None:
            self.buffer.put(rows.data)
        else:
            self.buffer.put_rows(rows.data, rows.rows)

    async def put(self, rows: EncodedRows) -> int:
        """Take rows and wait while too much is kept; give the number of the last whole row.

        Raises:
            SendError: If the stream has ended, or these are not the rows that the server has.
            InputError: If a header is not usable, or a line does not end.
        """
        self.start()
        self.give(rows)
        number = self.buffer.rows
        self.sender.wake()
        # The task that sends has its turn after every piece, not only when the buffer is full.
        await asyncio.sleep(0)
        await self.wait_for_room()
        return number

    async def wait_for_room(self) -> None:
        """Wait while too much is kept.

        Raises:
            SendError: If the stream has ended.
        """
        await self._wait_until(lambda: not self.buffer.is_full)

    async def flush(self) -> int:
        """Wait until every whole row that was given is decided; give the number of the last one.

        Raises:
            SendError: If the stream has ended.
        """
        await self._wait_until(lambda: self.buffer.is_settled)
        return self.sender.state.acked

    async def finish(self) -> SendReport:
        """End the input and wait until all of it is decided.

        Raises:
            SendError: If that cannot be.
        """
        task = self.start()
        if not task.done():
            self.buffer.end()
            self.sender.wake()
            await self._wait_until(task.done)
        return task.result()

    async def close(self) -> None:
        """Stop, whatever is left to do."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    async def _wait_until(self, is_enough: Callable[[], bool]) -> None:
        task = self.start()
        while not task.done() and not is_enough():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await waiter
            finally:
                self._waiters.discard(waiter)
        if task.done():
            task.result()

    def _end(self, task: asyncio.Task[SendReport]) -> None:
        if not task.cancelled():
            # It is raised where somebody asks. A client that was dropped asks no more, and is no reason to complain.
            task.exception()
        self._notify()

    def _notify(self) -> None:
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)
