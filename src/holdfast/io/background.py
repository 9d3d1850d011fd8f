"""Threads that read in the background: they have ended, or wait for input, before the interpreter ends.

A thread that is at work while the interpreter is taken apart is ended at the first Python code that it comes to, wherever that
is. So what reads in the background is stopped before that, and none of its threads runs compiled code any more.
"""

from __future__ import annotations

import os

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from typing import Protocol

    class BackgroundReader(Protocol):
        """What has threads that read in the background."""

        def stop(self) -> None:
            """Let the threads end; return once none is at work, though one may wait for input."""

        def forget_threads(self) -> None:
            """Take note that the threads are gone, and the locks they held with them: this process was forked."""


_at_work: set[BackgroundReader] = set()
_is_registered = False


def began(reader: BackgroundReader) -> None:
    """Stop a reader when the interpreter ends, unless it has stopped by then."""
    global _is_registered  # noqa: PLW0603  # once for the process
    if not _is_registered:
        import atexit  # noqa: PLC0415  # a small file has nothing to stop

        _is_registered = True
        atexit.register(_stop_all)
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=_forget_all)
    _at_work.add(reader)


def stopped(reader: BackgroundReader) -> None:
    """Take note that a reader has stopped."""
    _at_work.discard(reader)


def _stop_all() -> None:
    while _at_work:
        _at_work.pop().stop()


def _forget_all() -> None:
    while _at_work:
        _at_work.pop().forget_threads()
