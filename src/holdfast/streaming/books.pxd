from holdfast.kernel.inlet cimport Inlet, Totals

cdef class Entry(Inlet):
    cdef readonly object name
    cdef public object kind
    cdef public object lane
    cdef readonly object state
    cdef readonly object error
    cdef double start
    cdef double end

cdef class Books:
    cdef readonly dict streams
    cdef readonly Totals totals
    cdef object clock
    cdef object running
    cdef object ended
    cdef object note_ended
    cdef Py_ssize_t ended_count
    cdef Py_ssize_t reports_max
    cdef readonly Py_ssize_t number
    cdef Entry like
    cdef type source_kind
    cdef object open_kind
    cdef readonly object readers

    cpdef tuple enter(self, object name, object pieces, Entry like)
