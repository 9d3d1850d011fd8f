cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.csv.decoder cimport CsvDecoder
from holdfast.kernel.platform cimport cbytes
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport uint64_t

@cython.final
cdef class InletPool:
    cdef object decide
    cdef CsvDecoder decoder_like  # also keeps the batch that the inlets share
    cdef Tally tally_like
    cdef bint shows
    cdef object decide_present  # None if rows never wait
    cdef readonly uint64_t ended_input_bytes
    cdef Tally ended
    cdef CsvDecoder spare_decoder  # of a stream that has ended, or None
    cdef Tally spare_tally

    cdef CsvDecoder take_decoder(self)
    cdef Tally take_tally(self)

@cython.final
cdef class Inlet:
    cdef InletPool pool  # None once the stream has ended
    cdef object listener
    cdef CsvDecoder own_decoder
    cdef Tally counts  # both are there from the stream's first piece until its end
    cdef public bint takes_text
    cdef readonly uint64_t input_bytes
    cdef readonly object stream
    cdef uint64_t rows_before  # rows of the stream that were decided before this inlet
    cdef readonly uint64_t rows_to_skip
    cdef readonly uint64_t skipped
    cdef uint64_t budgeted_before
    cdef uint64_t skip_position  # how many rows of the stream come before the next one to skip
    cdef bint has_digest
    cdef readonly uint64_t digest
    cdef readonly uint64_t skipped_digest
    cdef uint64_t rows_at_end
    cdef dict refused_at_end  # None if there were none
    cdef list parked  # batches of rows that wait, in order; None if there are none
    cdef readonly Py_ssize_t parked_rows
    cdef bint is_waiting_in_vain

    cdef int park(self, Batch batch, Py_ssize_t start, Py_ssize_t stop) except -1

    cdef int begin(self) except -1
    cdef int require_fresh(self) except -1
    cdef int require_own(self, Tally tally) except -1
    cdef Py_ssize_t skip(self, Batch batch, Py_ssize_t start, Py_ssize_t stop) except -1
    cdef int follow_rows(self, Batch batch, Py_ssize_t start, Py_ssize_t stop, uint64_t position, uint64_t refused_before) except -1
    cdef int decide(self, Batch batch, Py_ssize_t start, Py_ssize_t stop) except -1
    cdef int take_text(self, object data, cbytes text, Py_ssize_t size) except -1
