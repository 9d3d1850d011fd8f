"""An event loop in a thread of its own, and a caller that waits for it: how code that blocks uses code that is awaited."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import threading
import weakref
from collections import deque
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextlib import AbstractContextManager
    from typing import Any

    Waiting = Callable[[], AbstractContextManager[object]]

_Result = TypeVar("_Result")
_Item = TypeVar("_Item")

CALLBACKS_HELD_MAX = 16_384
"""From so many calls on that wait for the caller's thread, :attr:`LoopThread.is_held` is true."""
_FAULTS = {signal.SIGSEGV, signal.SIGBUS, signal.SIGFPE, signal.SIGILL, signal.SIGABRT, signal.SIGTRAP}
# A thread that waits for a disk is not waited for any longer.
_JOIN_SECONDS = 10.0


class LoopThread:
    """Runs coroutines in a thread while one caller's thread waits for them.

    Callbacks run in the caller's thread, while it waits in :meth:`call` or :meth:`wait_for_input`; signals interrupt these waits.
    The thread ends with :meth:`close`, when this object is gone, or when the interpreter exits. After a fork it does not
    exist in the child, where every call is an error.

    Args:
        waiting: Makes the context that every wait happens in.
        on_wait: Is called in the caller's thread after every wait.
        wait_seconds_max: How long a wait lasts before ``on_wait`` is called; None: until something happens.
    """

    def __init__(
        self,
        waiting: Waiting = nullcontext,
        on_wait: Callable[[], object] = lambda: None,
        wait_seconds_max: float | None = None,
    ) -> None:
        self._waiting = waiting
        self._on_wait = on_wait
        self._wait_milliseconds = None if wait_seconds_max is None else max(1, int(wait_seconds_max * 1000))
        self._process = os.getpid()
        self._loop = asyncio.new_event_loop()
        self._callbacks: deque[tuple[Callable[[Any], object], Any]] = deque()
        self._on_room: Callable[[], object] | None = None
        self._posted: Callable[[], object] | None = None
        callbacks = self._callbacks
        self.is_held: Callable[[], bool] = lambda: len(callbacks) >= CALLBACKS_HELD_MAX
        """Says whether so many callbacks wait for the caller's thread that no more should come."""
        self._bell = _Bell()
        self.ring = self._bell.ring
        """Ends a wait of the caller's; called on the loop."""
        thread = threading.Thread(target=_run_loop, args=(self._loop,), name="holdfast-client", daemon=True)
        thread.start()
        # Also called at exit, when daemon threads still run: none is left when the interpreter goes.
        self._close = weakref.finalize(self, _stop, self._process, self._loop, thread)

    def deliver(self, function: Callable[[_Item], object]) -> Callable[[_Item], None]:
        """Make a function that may be called on the loop and calls another one in the caller's thread."""
        callbacks, bell = self._callbacks, self._bell

        def enqueue(item: _Item) -> None:
            callbacks.append((function, item))
            bell.ring()

        return enqueue

    def call(self, coroutine: Coroutine[Any, Any, _Result]) -> _Result:
        """Run a coroutine on the loop and wait for its result; callbacks run meanwhile.

        Raises:
            RuntimeError: After :meth:`close`, or in another process than this was made in.
        """
        try:
            self.require_open()
        except RuntimeError:
            coroutine.close()
            raise
        bell = self._bell
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        future.add_done_callback(lambda _: bell.ring())
        try:
            while not future.done():
                self._wait()
        except BaseException:
            future.cancel()
            raise
        self.run_callbacks()
        return future.result()

    def require_open(self) -> None:
        """Check that there is a loop to run on.

        Raises:
            RuntimeError: After :meth:`close`, or in another process than this was made in.
        """
        if self._process != os.getpid():
            raise RuntimeError(
                "this client belongs to the process that made it; make another one after a fork"
            )
        if not self._close.alive:
            raise RuntimeError("this client is closed")

    def wait_for_input(self, descriptor: int, is_over: Callable[[], bool]) -> bool:
        """Wait until a descriptor can be read; callbacks run meanwhile.

        Args:
            descriptor: Of a pipe, a terminal, anything that can be polled.
            is_over: Whether there is no reason to wait any longer.

        Returns:
            Whether it can be read; False if it is over.
        """
        while not is_over():
            if self._wait(descriptor):
                return True
        return False

    def post(self, function: Callable[[], object]) -> None:
        """Call a function on the loop, soon and without a wait; of several calls in a row, one may be left out."""
        if self._posted is function:
            return
        self._posted = function
        self._loop.call_soon_threadsafe(self._run_posted)

    def run_callbacks(self) -> None:
        """Call what waits for the caller's thread."""
        was_held = False
        try:
            while self._callbacks:
                # More may come while one of them takes its time.
                was_held |= self.is_held()
                function, item = self._callbacks.popleft()
                function(item)
        finally:
            if was_held and self._on_room is not None and self._close.alive:
                self._loop.call_soon_threadsafe(self._on_room)

    def when_room(self, function: Callable[[], object]) -> None:
        """Set what is called on the loop when :attr:`is_held` is over."""
        self._on_room = function

    def close(self) -> None:
        """Cancel what runs, end the thread and wait for its end. In a child after a fork, do nothing."""
        self._close()

    def _run_posted(self) -> None:
        function, self._posted = self._posted, None
        if function is not None:
            function()

    def _wait(self, descriptor: int | None = None) -> bool:
        """Wait for the loop, or for a descriptor; whether that can be read."""
        poll = select.poll()
        poll.register(self._bell.descriptor, select.POLLIN)
        if descriptor is not None:
            poll.register(descriptor, select.POLLIN)
        with self._waiting():
            ready = poll.poll(self._wait_milliseconds)
        self._bell.silence()
        self.run_callbacks()
        self._on_wait()
        return any(each == descriptor for each, _ in ready)


class _Bell:
    """Wakes a thread that polls."""

    def __init__(self) -> None:
        self.descriptor, self._rope = os.pipe()
        self._is_rung = False
        os.set_blocking(self.descriptor, False)
        os.set_blocking(self._rope, False)

    def ring(self) -> None:
        """Wake it, now or when it polls next."""
        if not self._is_rung:
            self._is_rung = True
            # A full pipe rings already.
            with suppress(BlockingIOError):
                os.write(self._rope, b"\0")

    def silence(self) -> None:
        """Forget that it rang."""
        with suppress(BlockingIOError):
            os.read(self.descriptor, 4096)
        # After the read: the other order could leave the mark set and the pipe empty. What rang in between is looked at next.
        self._is_rung = False

    def __del__(self) -> None:
        os.close(self.descriptor)
        os.close(self._rope)


def _run_loop(loop: asyncio.AbstractEventLoop) -> None:
    # Signals are for the caller's thread, whose waits they interrupt; faults are for the thread that has them.
    signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals() - _FAULTS)
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        if tasks:
            loop.run_until_complete(asyncio.wait(tasks))
        loop.run_until_complete(loop.shutdown_default_executor())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def _stop(process: int, loop: asyncio.AbstractEventLoop, thread: threading.Thread) -> None:
    if process != os.getpid():
        # After a fork there is no such thread, and the loop's descriptors are shared with the parent.
        return
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(loop.stop)
    # The last reference may have gone in the thread itself.
    if thread is not threading.current_thread():
        thread.join(_JOIN_SECONDS)
