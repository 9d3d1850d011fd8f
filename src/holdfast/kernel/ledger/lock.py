"""The lock of a ledger: one thread at a time, in turn, and an error instead of a thread that waits for itself."""

import cython
from cython.cimports.cpython.pythread import (
    NOWAIT_LOCK,
    WAIT_LOCK,
    PyThread_acquire_lock,
    PyThread_allocate_lock,
    PyThread_free_lock,
    PyThread_get_thread_ident,
    PyThread_release_lock,
)
from cython.cimports.holdfast.kernel.platform import hf_count_forks, hf_forks

if hf_count_forks() != 0:
    raise MemoryError("no memory to watch for forks")


@cython.cclass
class LedgerLock:
    """Held by the thread that decides rows or looks at accounts; taken and released within one call of it."""

    def __cinit__(self):
        self.lock = PyThread_allocate_lock()
        self.turn = PyThread_allocate_lock()
        self.forks = hf_forks
        if self.lock == cython.NULL or self.turn == cython.NULL:
            raise MemoryError

    def __dealloc__(self):
        if self.lock != cython.NULL:
            PyThread_free_lock(self.lock)
        if self.turn != cython.NULL:
            PyThread_free_lock(self.turn)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def enter(self) -> cython.int:
        """Take the lock, waiting for another thread but never for this one."""
        me: cython.ulong = PyThread_get_thread_ident()
        if self.owner == me:
            raise RuntimeError(
                "this thread is deciding rows of this ledger right now; look at it, and decide others, after that"
            )
        # A thread that decides batch after batch must not come first each time.
        if self.waiting or self.forks != hf_forks or not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
            self.wait()
        self.owner = me
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wait(self) -> cython.int:
        """Take the lock after the thread that has it, in turn."""
        if self.forks != hf_forks:
            if not PyThread_acquire_lock(self.lock, NOWAIT_LOCK):
                raise RuntimeError(
                    "this process was forked while another thread decided rows of this ledger; fork between two batches"
                )
            # Threads that waited are not in this process, and one of them may have had the turn: that lock is left as it is.
            self.turn = PyThread_allocate_lock()
            self.waiting = 0
            self.forks = hf_forks
            if self.turn == cython.NULL:
                PyThread_release_lock(self.lock)
                raise MemoryError
            return 0
        self.waiting += 1
        with cython.nogil:
            PyThread_acquire_lock(self.turn, WAIT_LOCK)
            PyThread_acquire_lock(self.lock, WAIT_LOCK)
            PyThread_release_lock(self.turn)
        self.waiting -= 1
        return 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def leave(self) -> cython.void:
        self.owner = 0
        PyThread_release_lock(self.lock)
