"""One writer for a ledger: a lock on a file beside it, which ends with the process."""

from __future__ import annotations

import fcntl
import os
import socket
import weakref
from contextlib import suppress

from holdfast.storage.ports import StoreBusyError, StoreError

SUFFIX = "-writer"
_MODE = 0o600
_held: weakref.WeakSet[WriterLock] = weakref.WeakSet()


class WriterLock:
    """Held by the process that writes to a ledger; its file says who that is.

    Args:
        path: The ledger's path.

    Raises:
        StoreBusyError: If another process holds it, or this one does already.
        StoreError: If the file cannot be made.
    """

    def __init__(self, path: str) -> None:
        try:
            self._descriptor = os.open(path + SUFFIX, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        except OSError as error:
            raise StoreError(f"{path}: cannot be opened for writing: {error.strerror}") from error
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            holder = os.pread(self._descriptor, 200, 0).decode(errors="replace").strip() or "another process"
            os.close(self._descriptor)
            raise StoreBusyError(
                f"{path} is open for writing in {holder}; end that, or read beside it with read_only=True"
            ) from error
        except OSError as error:
            os.close(self._descriptor)
            raise StoreError(
                f"{path}: cannot be locked against other writers: {error.strerror}; keep it on a disk that has locks"
            ) from error
        # Who holds it is only for people: a full disk is no reason to be without the lock.
        with suppress(OSError):
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode(), 0)

        _held.add(self)

    def release(self) -> None:
        """Let others write; the file stays, since somebody may be about to lock it."""
        _held.discard(self)
        os.close(self._descriptor)


def _let_go_of_all() -> None:
    """Close the descriptors in a child: each would keep the lock of a parent that ends before it."""
    for each in list(_held):
        each.release()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_of_all)
