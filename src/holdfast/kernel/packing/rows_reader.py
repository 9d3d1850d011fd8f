"""Packed rows, unpacked a stretch at a time; :mod:`rows` says how they look, and is not believed: every byte is checked.

A stretch ends at any row. What is known at the beginning (numbers of rows, lengths of columns) is checked there; all else is
checked when its stretch is unpacked, and that everything is used up when the last one is.
"""

import cython
from cython.cimports.holdfast.kernel.codes import APPLIED, UNDECIDED, WITHDRAWAL, is_unreadable
from cython.cimports.holdfast.kernel.packing.rows import ROWS_HEADER_BYTES, UNREADABLE_BYTES, is_sparse
from cython.cimports.holdfast.kernel.packing.words import (
    PackedColumn,
    is_used_up,
    open_column,
    take_bytes,
    take_words,
)
from cython.cimports.holdfast.kernel.platform import cbytes, hf_load_4, hf_load_8, hf_trailing_zeros
from cython.cimports.holdfast.kernel.tally import CODES_MAX
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memset


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_rows(reader: cython.pointer[RowsReader], source: cbytes, size: cython.Py_ssize_t) -> cython.int:
    """Find the parts of packed rows, which stay where they are while they are unpacked; give what is wrong, or 0."""
    if size < ROWS_HEADER_BYTES:
        return TOO_SHORT
    reader.rows = hf_load_4(source)
    reader.unreadable = hf_load_4(source + 4)
    reader.refused = hf_load_4(source + 8)
    reader.transfers = hf_load_4(source + 12)
    reader.rows_done = reader.unreadable_done = reader.refused_done = reader.transfers_done = 0
    reader.next_place = reader.next_refused = 0
    readable: cython.Py_ssize_t = reader.rows - reader.unreadable
    if readable < 0 or reader.refused > readable or reader.transfers > readable:
        return BAD_NUMBERS
    offset: cython.Py_ssize_t = ROWS_HEADER_BYTES
    reader.unreadable_rows = source + offset
    offset += reader.unreadable * UNREADABLE_BYTES
    if offset > size:
        return TOO_SHORT
    reader.refused_rows = source + offset
    if is_sparse(readable, reader.refused):
        offset += 5 * reader.refused
    elif reader.refused:
        reader.codes = reader.refused_rows + ((readable + 7) >> 3)
        offset += ((readable + 7) >> 3) + reader.refused
    if offset > size:
        return TOO_SHORT
    others: cython.Py_ssize_t = readable - reader.transfers
    offset = _open_column(cython.address(reader.types), source, size, offset, readable)
    if offset > 0:
        offset = _open_column(cython.address(reader.clients), source, size, offset, readable)
    if offset > 0:
        offset = _open_column(cython.address(reader.transfer_txs), source, size, offset, reader.transfers)
    if offset > 0:
        offset = _open_column(cython.address(reader.other_txs), source, size, offset, others)
    if offset > 0:
        offset = _open_column(cython.address(reader.amounts), source, size, offset, reader.transfers)
    return 0 if offset == size else TOO_SHORT


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _open_column(
    column: cython.pointer[PackedColumn],
    source: cbytes,
    size: cython.Py_ssize_t,
    offset: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
) -> cython.Py_ssize_t:
    """Find a column; give the offset after it, or -1."""
    if size - offset < 4:
        return -1
    length: cython.Py_ssize_t = hf_load_4(source + offset)
    offset += 4
    if size - offset < length:
        return -1
    open_column(column, source + offset, length, count)
    return offset + length


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def take_rows(
    reader: cython.pointer[RowsReader],
    target: cython.pointer[cython.const[RowColumns]],
    count: cython.Py_ssize_t,
) -> cython.int:
    """Unpack the next rows, of which there are so many; give what is wrong, or 0."""
    start: cython.Py_ssize_t
    fault: cython.int
    unreadable: cython.Py_ssize_t = _count_unreadable(reader, reader.rows_done + count)
    if unreadable < 0:
        return BAD_UNREADABLE
    readable: cython.Py_ssize_t = count - unreadable
    if not _take_outcomes(reader, target.outcomes, readable):
        return BAD_OUTCOME
    for start in range(0, readable, 1024):
        fault = _take_step(
            reader, target, start, min(readable - start, cython.cast(cython.Py_ssize_t, STEP_ROWS))
        )
        if fault:
            return fault
    memset(target.undecided, UNDECIDED, count)
    if unreadable and not _spread(reader, target, count, unreadable):
        return BAD_UNREADABLE
    reader.rows_done += count
    return 0 if reader.rows_done < reader.rows else _fault_at_end(reader)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _fault_at_end(reader: cython.pointer[RowsReader]) -> cython.int:
    """Give what was said to be there and was not, or 0."""
    if reader.unreadable_done != reader.unreadable:
        return BAD_UNREADABLE
    if reader.refused_done != reader.refused:
        return BAD_OUTCOME
    if reader.transfers_done != reader.transfers:
        return BAD_TYPE
    is_all: cython.bint = (
        is_used_up(cython.address(reader.types))
        and is_used_up(cython.address(reader.clients))
        and is_used_up(cython.address(reader.transfer_txs))
        and is_used_up(cython.address(reader.other_txs))
        and is_used_up(cython.address(reader.amounts))
    )
    return 0 if is_all else BAD_COLUMN


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_step(
    reader: cython.pointer[RowsReader],
    target: cython.pointer[cython.const[RowColumns]],
    start: cython.Py_ssize_t,
    count: cython.Py_ssize_t,
) -> cython.int:
    """Unpack some readable rows, side by side; give what is wrong, or 0."""
    types: cython.pointer[uint8_t] = target.types + start
    if not take_bytes(cython.address(reader.types), types, count):
        return BAD_TYPE
    transfers: cython.Py_ssize_t = _count_transfers(types, count)
    reader.transfers_done += transfers
    if not (
        take_words(cython.address(reader.clients), target.clients + start, count)
        and take_words(cython.address(reader.transfer_txs), reader.step_transfer_txs, transfers)
        and take_words(cython.address(reader.other_txs), reader.step_other_txs, count - transfers)
        and take_words(cython.address(reader.amounts), reader.step_amounts, transfers)
    ):
        return BAD_COLUMN
    txs: cython.pointer[uint64_t] = target.txs + start
    amounts: cython.pointer[int64_t] = target.amounts + start
    row: cython.Py_ssize_t
    transfers = 0
    for row in range(count):
        is_transfer: cython.Py_ssize_t = cython.cast(uint8_t, types[row] - 1) < WITHDRAWAL
        # Both are read, and one of them is kept: no branch depends on what nobody can predict.
        mask: uint64_t = -cython.cast(uint64_t, is_transfer)
        txs[row] = reader.step_transfer_txs[transfers] & mask | reader.step_other_txs[row - transfers] & ~mask
        amounts[row] = cython.cast(int64_t, reader.step_amounts[transfers] & mask)
        transfers += is_transfer
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _count_transfers(
    types: cython.pointer[cython.const[uint8_t]], count: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Count deposits and withdrawals, in stretches whose count fits a byte, so that sixteen can be counted at once."""
    start: cython.Py_ssize_t
    row: cython.Py_ssize_t
    transfers: cython.Py_ssize_t = 0
    for start in range(0, count, 240):
        part: uint8_t = 0
        for row in range(start, min(start + 240, count)):
            part += cython.cast(uint8_t, types[row] - 1) < WITHDRAWAL
        transfers += part
    return transfers


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _take_outcomes(
    reader: cython.pointer[RowsReader], outcomes: cython.pointer[uint8_t], count: cython.Py_ssize_t
) -> cython.bint:
    """Give the outcomes of the next readable rows; False if they are not in order."""
    first: cython.Py_ssize_t = reader.rows_done - reader.unreadable_done
    memset(outcomes, APPLIED, count)
    if reader.refused == 0:
        return True
    if is_sparse(reader.rows - reader.unreadable, reader.refused):
        return _take_listed(reader, outcomes, first, first + count)
    row: cython.Py_ssize_t = first
    while row < first + count:
        bits: uint64_t = reader.refused_rows[row >> 3] >> (row & 7)
        if bits == 0:
            row = (row | 7) + 1
            continue
        row += hf_trailing_zeros(bits)
        if row >= first + count:
            break
        if reader.refused_done == reader.refused or not _is_refusal(reader.codes[reader.refused_done]):
            return False
        outcomes[row - first] = reader.codes[reader.refused_done]
        reader.refused_done += 1
        row += 1
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _take_listed(
    reader: cython.pointer[RowsReader],
    outcomes: cython.pointer[uint8_t],
    first: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
) -> cython.bint:
    while reader.refused_done < reader.refused:
        entry: cbytes = reader.refused_rows + 5 * reader.refused_done
        row: cython.Py_ssize_t = hf_load_4(entry)
        if row >= stop:
            break
        if row < reader.next_refused or not _is_refusal(entry[4]):
            return False
        outcomes[row - first] = entry[4]
        reader.next_refused = row + 1
        reader.refused_done += 1
    # Those that were not listed so far are later ones, or not in order.
    reader.next_refused = max(reader.next_refused, stop)
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _is_refusal(code: uint8_t) -> cython.bint:
    return APPLIED < code < CODES_MAX and not is_unreadable(code)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count_unreadable(reader: cython.pointer[RowsReader], stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Count the unreadable rows up to a row; -1 if they are not in order."""
    count: cython.Py_ssize_t = 0
    while reader.unreadable_done + count < reader.unreadable:
        entry: cbytes = reader.unreadable_rows + (reader.unreadable_done + count) * UNREADABLE_BYTES
        place: cython.Py_ssize_t = hf_load_4(entry)
        if place >= stop:
            break
        if place < reader.next_place or not is_unreadable(entry[4]):
            return -1
        reader.next_place = place + 1
        count += 1
    reader.next_place = max(reader.next_place, stop)
    return count


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _spread(
    reader: cython.pointer[RowsReader],
    target: cython.pointer[cython.const[RowColumns]],
    count: cython.Py_ssize_t,
    unreadable: cython.Py_ssize_t,
) -> cython.bint:
    """Put the unreadable rows between the others, from the last one on; False if their numbers have changed meanwhile."""
    number: cython.Py_ssize_t
    row: cython.Py_ssize_t
    stop: cython.Py_ssize_t = count
    for number in range(unreadable - 1, -1, -1):
        entry: cbytes = reader.unreadable_rows + (reader.unreadable_done + number) * UNREADABLE_BYTES
        place: cython.Py_ssize_t = hf_load_4(entry) - reader.rows_done
        # Below the row go as many readable rows as there are rows without those that are still to come.
        if not number <= place < stop:
            return False
        for row in range(stop - 1, place, -1):
            _copy_row(target, row - number - 1, row)
        target.undecided[place] = target.outcomes[place] = entry[4]
        target.types[place] = entry[6]
        target.clients[place] = hf_load_8(entry + 8)
        target.txs[place] = hf_load_8(entry + 16)
        target.amounts[place] = cython.cast(int64_t, hf_load_8(entry + 24))
        stop = place
    reader.unreadable_done += unreadable
    return True


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _copy_row(
    target: cython.pointer[cython.const[RowColumns]], row: cython.Py_ssize_t, to: cython.Py_ssize_t
) -> cython.void:
    target.types[to] = target.types[row]
    target.clients[to] = target.clients[row]
    target.txs[to] = target.txs[row]
    target.amounts[to] = target.amounts[row]
    target.outcomes[to] = target.outcomes[row]
