"""Runs a server in a process of its own: the event loop, signals, and the garbage collector's settings."""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import time
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from holdfast.domain.picklable import Picklable
from holdfast.server.config import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.net.address import Address
    from holdfast.server.config import LoopName
    from holdfast.server.service import OnStatus, Service

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1)
"""What a running server handles."""
_REPEATED_SIGNAL_SECONDS = 0.05
# A loop that serves thousands of connections makes few cycles, and looking for them takes milliseconds.
_GARBAGE_THRESHOLDS = (50_000, 20, 50)

_log = logging.getLogger("holdfast.server")


class StoppedAtOnceError(Picklable, Exception):
    """A second signal has ended the server at once: without a last snapshot, and with connections cut off.

    Args:
        signal_number: Which one.
    """

    def __init__(self, signal_number: int) -> None:
        super().__init__(f"stopped at once by {signal.Signals(signal_number).name}")
        self.signal_number = signal_number


def run(
    service: Service,
    *,
    on_signals_handled: Callable[[], None] | None = None,
    on_listening: Callable[[list[Address]], None] | None = None,
    on_status: OnStatus | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM; SIGHUP reloads, SIGUSR1 logs all numbers. To be called in the main thread.

    A signal that was ignored at the start stays ignored; the handlers that were there are put back at the end.

    Args:
        service: The server.
        on_signals_handled: Called once signals are handled: it may look for one that came before, and raise.
        on_listening: Called with the addresses once connections are accepted.
        on_status: Called with the status now and then, and at the end with None.

    Raises:
        ConfigError: If the event loop is not installed.
        StoppedAtOnceError: If a second signal came before the server had ended.
        LastSnapshotError: If the last snapshot cannot be written.
        OSError: If an address cannot be had.
    """
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    thresholds = gc.get_threshold()
    process = _Process(service)
    try:
        with asyncio.Runner(loop_factory=_loop_factory(service.config.loop)) as loop:
            gc.freeze()
            gc.set_threshold(*_GARBAGE_THRESHOLDS)
            loop.run(process.run(on_signals_handled, on_listening, on_status))
    except asyncio.CancelledError:
        if process.stopped_by is None:
            raise
        raise StoppedAtOnceError(process.stopped_by) from None
    finally:
        service.close()
        gc.set_threshold(*thresholds)
        gc.unfreeze()
        for number, handler in handlers.items():
            signal.signal(number, handler)


class _Process:
    """Turns signals into calls of a service."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._stop_began: float | None = None
        self._main: asyncio.Task[None] | None = None
        self.stopped_by: int | None = None

    async def run(
        self,
        on_signals_handled: Callable[[], None] | None,
        on_listening: Callable[[list[Address]], None] | None,
        on_status: OnStatus | None,
    ) -> None:
        loop = asyncio.get_running_loop()
        self._main = asyncio.current_task()
        loop.set_exception_handler(_log_trouble)
        self._handle_signals(loop)
        try:
            if on_signals_handled is not None:
                on_signals_handled()
            await self._service.serve(on_listening=on_listening, on_status=on_status)
        finally:
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    def _handle_signals(self, loop: asyncio.AbstractEventLoop) -> None:
        actions: dict[signal.Signals, Callable[[], None]] = {
            signal.SIGINT: lambda: self._stop_by(signal.SIGINT),
            signal.SIGTERM: lambda: self._stop_by(signal.SIGTERM),
            signal.SIGHUP: self._service.reload,
            signal.SIGUSR1: self._service.dump,
        }
        for number, action in actions.items():
            # What was ignored when the command started (nohup) stays ignored.
            if signal.getsignal(number) is not signal.SIG_IGN:
                loop.add_signal_handler(number, action)

    def _stop_by(self, number: signal.Signals) -> None:
        now = time.monotonic()
        if self._stop_began is None:
            self._stop_began = now
            self._service.stop()
        # ``timeout`` and process groups send one signal twice.
        elif now - self._stop_began >= _REPEATED_SIGNAL_SECONDS and self.stopped_by is None:
            self.stopped_by = number
            if self._main is not None:
                self._main.cancel()


def _loop_factory(name: LoopName) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio" or (name == "auto" and find_spec("uvloop") is None):
        return asyncio.new_event_loop
    try:
        factory: Callable[[], asyncio.AbstractEventLoop] = import_module("uvloop").new_event_loop
    except ImportError as error:
        raise ConfigError(
            f"uvloop cannot be used ({error}); pip install 'holdfast[uvloop]', or choose asyncio"
        ) from error
    return factory


def _log_trouble(_loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
    """Log what the event loop reports; nothing of it ends the server."""
    error = context.get("exception")
    _log.error("%s", context.get("message"), exc_info=error if isinstance(error, Exception) else None)
