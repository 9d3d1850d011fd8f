# Packed rows, unpacked little by little; rows_reader.py says how.

from holdfast.kernel.packing.words cimport PackedColumn
from holdfast.kernel.platform cimport cbytes
from libc.stdint cimport int64_t, uint8_t, uint64_t

cdef enum:
    # What is wrong with packed rows; nothing if 0.
    TOO_SHORT = 1
    BAD_NUMBERS = 2
    BAD_UNREADABLE = 3
    BAD_OUTCOME = 4
    BAD_COLUMN = 5
    BAD_TYPE = 6
    # Rows that are put together at a time: their parts fit into a processor's nearest cache.
    STEP_ROWS = 1024

# Where unpacked rows go.
ctypedef struct RowColumns:
    uint8_t *types
    uint64_t *clients
    uint64_t *txs
    int64_t *amounts
    uint8_t *outcomes  # those that were journaled
    uint8_t *undecided  # 0, or the code of a row that could not be read

# How far packed rows are unpacked. The first four are numbers of rows in all.
ctypedef struct RowsReader:
    Py_ssize_t rows
    Py_ssize_t unreadable
    Py_ssize_t refused
    Py_ssize_t transfers
    Py_ssize_t rows_done
    Py_ssize_t unreadable_done
    Py_ssize_t refused_done
    Py_ssize_t transfers_done
    Py_ssize_t next_place  # where the next unreadable row may be at the earliest
    Py_ssize_t next_refused  # and the next refused one among the readable ones, if they are listed by number
    cbytes unreadable_rows
    cbytes refused_rows  # their numbers with their codes, or bits
    cbytes codes  # after bits
    PackedColumn types
    PackedColumn clients
    PackedColumn transfer_txs
    PackedColumn other_txs
    PackedColumn amounts
    # The parts of a step, with room for one that is read and not used.
    uint64_t step_transfer_txs[1025]
    uint64_t step_other_txs[1025]
    uint64_t step_amounts[1025]

cdef int open_rows(RowsReader *reader, cbytes source, Py_ssize_t size) noexcept nogil
cdef int take_rows(RowsReader *reader, const RowColumns *target, Py_ssize_t count) noexcept nogil
