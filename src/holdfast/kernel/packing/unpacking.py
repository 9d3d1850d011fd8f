"""Decided rows back from few bytes; :mod:`rows` says how they look, and is not believed: every byte is checked."""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_AS_STRING
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.holdfast.kernel.codes import APPLIED, UNDECIDED, WITHDRAWAL, is_unreadable
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.packing.rows import ROWS_HEADER_BYTES, UNREADABLE_BYTES, is_sparse
from cython.cimports.holdfast.kernel.packing.words import unpack_words
from cython.cimports.holdfast.kernel.platform import cbytes, hf_load_4, hf_load_8
from cython.cimports.holdfast.kernel.tally import CODES_MAX
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memcpy, memset

ROWS_MAX = 1 << 20
"""How many rows a body has at most."""

rows_max = cython.declare(cython.Py_ssize_t, ROWS_MAX)


@cython.final
@cython.cclass
class UnpackedRows:
    """Rows of a journal: as they came in, and what was decided about them.

    Attributes:
        batch: The rows, not decided yet; those that could not be read have their code.
        outcomes: The outcome codes that were journaled, one for each row.
    """

    batch = cython.declare(Batch, visibility="readonly")
    outcomes = cython.declare(bytes, visibility="readonly")

    def __init__(self):
        raise TypeError("UnpackedRows are made by unpack_rows()")

    def first_difference(self) -> int:
        """Give the first row whose outcome in the batch is not the journaled one; -1 if there is none."""
        row: cython.Py_ssize_t
        self.require_rows()
        codes: cython.pointer[cython.const[uint8_t]] = self.outcomes
        for row in range(self.batch.rows):
            if self.batch.outcome_column[row] != codes[row]:
                return row
        return -1

    def adopt_outcomes(self) -> None:
        """Let the journaled outcomes be those of the batch, without any ledger."""
        self.require_rows()
        codes: cython.pointer[cython.const[uint8_t]] = self.outcomes
        memcpy(self.batch.outcome_column, codes, self.batch.rows)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def require_rows(self) -> cython.int:
        if self.batch is None or self.outcomes is None:
            raise ValueError("these rows were not made by unpack_rows()")
        return 0


def unpack_rows(data) -> UnpackedRows:
    """Unpack rows that :meth:`DecidedRowBuffer.pack` has packed.

    Raises:
        TypeError: If the data is no bytes.
        ValueError: If they are not what was packed; the message says what is wrong.
    """
    view: Py_buffer
    open_text(data, cython.address(view))
    try:
        return _unpack(cython.cast(cbytes, view.buf), view.len)
    finally:
        PyBuffer_Release(cython.address(view))


@cython.cfunc
def _unpack(source: cbytes, size: cython.Py_ssize_t) -> UnpackedRows:
    if size < ROWS_HEADER_BYTES:
        raise ValueError(f"packed rows have {ROWS_HEADER_BYTES} bytes at least, not {size}")
    rows: cython.Py_ssize_t = hf_load_4(source)
    unreadable: cython.Py_ssize_t = hf_load_4(source + 4)
    refused: cython.Py_ssize_t = hf_load_4(source + 8)
    transfers: cython.Py_ssize_t = hf_load_4(source + 12)
    readable: cython.Py_ssize_t = rows - unreadable
    if not (rows <= rows_max and readable >= 0 and refused <= readable and transfers <= readable):
        raise ValueError(
            f"packed rows cannot have {rows} rows, {unreadable} unreadable, {refused} refused, {transfers} transfers"
        )
    unpacked: UnpackedRows = UnpackedRows.__new__(UnpackedRows)
    unpacked.batch = new_batch(rows or 1)
    codes: bytes = bytes(rows)
    outcomes: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], PyBytes_AS_STRING(codes))
    spare: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], malloc(16 * rows or 1))
    if spare == cython.NULL:
        raise MemoryError
    fault: cython.int
    with cython.nogil:
        fault = _take_rows(
            source, size, unpacked.batch, outcomes, spare, rows, unreadable, refused, transfers
        )
    free(spare)
    if fault:
        raise ValueError(f"packed rows are damaged: {_FAULTS[fault]}")
    unpacked.outcomes = codes
    batch: Batch = unpacked.batch
    # These rows are no text now.
    batch.offset_column = cython.NULL
    batch.rows = rows
    batch.is_unchecked = True
    return unpacked


_FAULTS = (
    "",
    "they end too early, or later than they say",
    "an unreadable row is not in order, or has no code of one",
    "an outcome is not in order, or is none",
    "a column has another length than its rows",
    "a type is none, or there are other deposits and withdrawals than there should be",
)
_TOO_SHORT, _BAD_UNREADABLE, _BAD_OUTCOME, _BAD_COLUMN, _BAD_TYPE = range(1, 6)
TOO_SHORT = cython.declare(cython.int, _TOO_SHORT)
BAD_UNREADABLE = cython.declare(cython.int, _BAD_UNREADABLE)
BAD_OUTCOME = cython.declare(cython.int, _BAD_OUTCOME)
BAD_COLUMN = cython.declare(cython.int, _BAD_COLUMN)
BAD_TYPE = cython.declare(cython.int, _BAD_TYPE)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_rows(
    source: cbytes,
    size: cython.Py_ssize_t,
    batch: Batch,
    outcomes: cython.pointer[uint8_t],
    spare: cython.pointer[uint64_t],
    rows: cython.Py_ssize_t,
    unreadable: cython.Py_ssize_t,
    refused: cython.Py_ssize_t,
    transfers: cython.Py_ssize_t,
) -> cython.int:
    """Unpack everything into a batch; give the number of what is wrong, or 0."""
    readable: cython.Py_ssize_t = rows - unreadable
    offset: cython.Py_ssize_t = ROWS_HEADER_BYTES
    number: cython.Py_ssize_t
    if size - offset < unreadable * UNREADABLE_BYTES:
        return TOO_SHORT
    offset += unreadable * UNREADABLE_BYTES
    offset = _take_outcomes(source, size, offset, batch.outcome_column, readable, refused)
    if offset < 0:
        return BAD_OUTCOME
    offset = _take_column(source, size, offset, spare, readable)
    if offset < 0:
        return BAD_COLUMN
    counted: cython.Py_ssize_t = 0
    for number in range(readable):
        if spare[number] > 255:
            return BAD_TYPE
        batch.type_column[number] = cython.cast(uint8_t, spare[number])
        counted += 0 < spare[number] <= WITHDRAWAL
    if counted != transfers:
        return BAD_TYPE
    offset = _take_column(source, size, offset, batch.client_column, readable)
    if offset < 0:
        return BAD_COLUMN
    others: cython.pointer[uint64_t] = spare + rows
    offset = _take_column(source, size, offset, spare, transfers)
    if offset >= 0:
        offset = _take_column(source, size, offset, others, readable - transfers)
    if offset < 0:
        return BAD_COLUMN
    transfers = counted = 0
    for number in range(readable):
        is_transfer: cython.Py_ssize_t = 0 < batch.type_column[number] <= WITHDRAWAL
        batch.tx_column[number] = spare[transfers] if is_transfer else others[counted]
        transfers += is_transfer
        counted += 1 - is_transfer
    offset = _take_column(source, size, offset, spare, transfers)
    if offset < 0:
        return BAD_COLUMN
    if offset != size:
        return TOO_SHORT
    transfers = 0
    for number in range(readable):
        is_transfer = 0 < batch.type_column[number] <= WITHDRAWAL
        batch.amount_column[number] = cython.cast(int64_t, spare[transfers]) if is_transfer else 0
        transfers += is_transfer
    if not _spread(source + ROWS_HEADER_BYTES, batch, rows, unreadable):
        return BAD_UNREADABLE
    memcpy(outcomes, batch.outcome_column, rows)
    for number in range(rows):
        if not is_unreadable(batch.outcome_column[number]):
            batch.outcome_column[number] = UNDECIDED
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_column(
    source: cbytes,
    size: cython.Py_ssize_t,
    offset: cython.Py_ssize_t,
    values: cython.pointer[uint64_t],
    count: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Unpack a column; give the offset after it, or -1."""
    if size - offset < 4:
        return -1
    length: cython.Py_ssize_t = hf_load_4(source + offset)
    offset += 4
    if size - offset < length or unpack_words(source + offset, length, values, count) != length:
        return -1
    return offset + length


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_outcomes(
    source: cbytes,
    size: cython.Py_ssize_t,
    offset: cython.Py_ssize_t,
    outcomes: cython.pointer[uint8_t],
    readable: cython.Py_ssize_t,
    refused: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Unpack the outcomes of the readable rows; give the offset after them, or -1."""
    number: cython.Py_ssize_t
    row: cython.Py_ssize_t
    after: cython.Py_ssize_t = 0
    memset(outcomes, APPLIED, readable)
    if refused == 0:
        return offset
    if is_sparse(readable, refused):
        if size - offset < 5 * refused:
            return -1
        for number in range(refused):
            row = hf_load_4(source + offset)
            if not (after <= row < readable and _is_refusal(source[offset + 4])):
                return -1
            outcomes[row] = source[offset + 4]
            after = row + 1
            offset += 5
        return offset
    bits: cython.Py_ssize_t = (readable + 7) >> 3
    if size - offset < bits + refused:
        return -1
    codes: cbytes = source + offset + bits
    number = 0
    for row in range(readable):
        if source[offset + (row >> 3)] >> (row & 7) & 1:
            if number == refused or not _is_refusal(codes[number]):
                return -1
            outcomes[row] = codes[number]
            number += 1
    return offset + bits + refused if number == refused else -1


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_refusal(code: uint8_t) -> cython.bint:
    return APPLIED < code < CODES_MAX and not is_unreadable(code)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _spread(
    source: cbytes, batch: Batch, rows: cython.Py_ssize_t, unreadable: cython.Py_ssize_t
) -> cython.bint:
    """Put the unreadable rows between the others, from the last one on; False if they are not in order."""
    number: cython.Py_ssize_t
    row: cython.Py_ssize_t
    stop: cython.Py_ssize_t = rows
    for number in range(unreadable - 1, -1, -1):
        entry: cbytes = source + number * UNREADABLE_BYTES
        place: cython.Py_ssize_t = hf_load_4(entry)
        # Below the row go as many readable rows as there are rows without those that are still to come.
        if not (number <= place < stop and is_unreadable(entry[4])):
            return False
        for row in range(stop - 1, place, -1):
            _copy_row(batch, row - number - 1, row)
        batch.outcome_column[place] = entry[4]
        batch.type_column[place] = entry[6]
        batch.client_column[place] = hf_load_8(entry + 8)
        batch.tx_column[place] = hf_load_8(entry + 16)
        batch.amount_column[place] = cython.cast(int64_t, hf_load_8(entry + 24))
        stop = place
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_row(batch: Batch, row: cython.Py_ssize_t, to: cython.Py_ssize_t) -> cython.void:
    batch.type_column[to] = batch.type_column[row]
    batch.client_column[to] = batch.client_column[row]
    batch.tx_column[to] = batch.tx_column[row]
    batch.amount_column[to] = batch.amount_column[row]
    batch.outcome_column[to] = batch.outcome_column[row]
