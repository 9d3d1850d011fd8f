"""Runs what may wait for a disk in a thread that neither the event loop nor the end of the process waits for."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")


async def run_in_background(job: Callable[[], _T]) -> _T:
    """Run a function in a daemon thread and give what it returns.

    The threads of an executor are joined at the end; a file on a network that is gone would keep the process from ending.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[_T] = loop.create_future()

    def tell(result: _T | None, error: Exception | None) -> None:
        if future.done():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # the job's, whatever that is

    def work() -> None:
        result: _T | None = None
        failure: Exception | None = None
        try:
            result = job()
        except Exception as error:  # noqa: BLE001  # raised where the result is waited for
            failure = error
        # The loop may be closed by now.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(tell, result, failure)

    threading.Thread(target=work, name="holdfast-background", daemon=True).start()
    return await future
