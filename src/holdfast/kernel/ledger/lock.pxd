cimport cython
from cpython.pythread cimport PyThread_type_lock

@cython.final
cdef class LedgerLock:
    cdef PyThread_type_lock lock  # held by the thread that decides rows or reads accounts
    cdef unsigned long owner  # that thread, while it holds the lock
    cdef PyThread_type_lock turn  # held by the thread that gets the lock next
    cdef Py_ssize_t waiting  # threads that wait for either: the one that decides lets them go first
    cdef unsigned int forks  # how often the process had forked when the locks were last looked at

    cdef int enter(self) except -1
    cdef void leave(self) noexcept
    cdef int wait(self) except -1
