cimport cython
from holdfast.kernel.csv_decoder cimport CsvDecoder
from holdfast.kernel.ledger cimport Ledger
from holdfast.kernel.tally cimport Tally
from libc.stdint cimport uint64_t

@cython.final
cdef class Inlet:
    cdef Ledger ledger
    cdef CsvDecoder settings  # also keeps the batch that they share
    cdef CsvDecoder decoder
    cdef readonly Tally tally
    cdef readonly bint is_used  # it was given a piece, if only an empty one
    cdef readonly uint64_t input_bytes
