cimport cython
from holdfast.kernel.batch cimport Batch
from holdfast.kernel.csv.decoder cimport CsvDecoder
from holdfast.kernel.ledger.ledger cimport Ledger
from holdfast.kernel.platform cimport cbytes
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport uint64_t

@cython.final
cdef class Totals:
    cdef readonly uint64_t input_bytes
    cdef Tally tally

@cython.final
cdef class Stock:
    cdef Ledger ledger
    cdef CsvDecoder settings  # also keeps the batch that they share
    cdef Tally like
    cdef Totals totals
    cdef CsvDecoder decoder  # of a stream that has ended, or None
    cdef Tally tally

    cdef CsvDecoder take_decoder(self)
    cdef Tally take_tally(self)

cdef class Inlet:
    cdef Stock stock
    cdef CsvDecoder own_decoder
    cdef Tally counts  # both are there from the stream's first piece until its end
    cdef public bint takes_text
    cdef readonly bint has_ended
    cdef public uint64_t input_bytes
    cdef uint64_t rows_at_end
    cdef dict refused_at_end  # None if there were none

    cdef Inlet make(self)
    cdef int begin(self) except -1
    cdef int decide(self, Batch batch) except -1
    cdef Py_ssize_t take_text(self, object data, cbytes text, Py_ssize_t size) except -1
