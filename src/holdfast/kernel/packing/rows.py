"""Decided rows in few bytes.

All numbers are little-endian. A body is:

* ``rows``, ``unreadable``, ``refused``, ``transfers``: four numbers of four bytes. Of the rows, so many could not be read where
  they came in; of the others, so many were not applied; and so many of the others are deposits or withdrawals.
* For each unreadable row, in order, 32 bytes: its number in the body (4 bytes), outcome code (1), flags (1; bit 0: it was text),
  type (1), a zero, and client, tx and amount as they are (8 each). The amount of a row that was text is a hash of it.
* The outcomes of the readable rows. If ``refused`` is 0, nothing. Else, if five bytes for each refused row are fewer than a bit
  for each readable row and a byte for each refused one: for each refused row its number among the readable rows (4) and its
  code (1). Otherwise the bits, in whole bytes, bit ``n % 8`` of byte ``n // 8`` set if row ``n`` was refused, and then the
  codes.
* Five packed columns (:mod:`words`), each after its length in bytes (4): the types of the readable rows; their clients; the tx
  ids of the deposits and withdrawals among them; the tx ids of all others; the amounts of the deposits and withdrawals.

Deposits and withdrawals are the rows of type 1 and 2. The amount of any other readable row means nothing, and comes back as 0.
"""

import cython
from cython.cimports.holdfast.kernel.codes import APPLIED, WITHDRAWAL
from cython.cimports.holdfast.kernel.packing.words import pack_bytes, pack_words, packed_bytes_max
from cython.cimports.holdfast.kernel.platform import hf_load_8, hf_store_4, hf_store_8
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.string import memset

# Eight outcomes of rows that were applied.
ALL_APPLIED = cython.declare(uint64_t, 0x0101010101010101)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def rows_bytes_max(count: cython.Py_ssize_t, unreadable: cython.Py_ssize_t) -> cython.Py_ssize_t:
    """Give the room that pack_rows() needs at most."""
    return (
        ROWS_HEADER_BYTES
        + unreadable * UNREADABLE_BYTES
        + 2 * count
        + 5 * 4
        + 3 * packed_bytes_max(count)
        + 2 * packed_bytes_max(count)
    )


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def pack_rows(
    rows: cython.pointer[cython.const[DecidedRows]],
    spare: cython.pointer[uint64_t],
    target: cython.pointer[uint8_t],
) -> cython.Py_ssize_t:
    """Pack rows; give how many bytes that took.

    Args:
        rows: The rows; those that are readable are moved together, over those that are not.
        spare: Room for twice as many numbers as there are rows.
        target: Room for rows_bytes_max() bytes.
    """
    end: cython.pointer[uint8_t] = target + ROWS_HEADER_BYTES
    end = _put_unreadable(rows, end)
    readable: cython.Py_ssize_t = _close_up(rows)
    refused: cython.Py_ssize_t = _count_refused(rows.outcomes, readable)
    end = _put_outcomes(rows, readable, refused, end)
    size: cython.Py_ssize_t = pack_bytes(rows.types, readable, end + 4)
    hf_store_4(end, cython.cast(uint32_t, size))
    end = _put_column(rows.clients, readable, end + 4 + size)
    # Those of transfers from the front, those of all others from the middle.
    others: cython.pointer[uint64_t] = spare + rows.count
    transfers: cython.Py_ssize_t = _part_transfers(
        rows.types, rows.txs, rows.amounts, readable, spare, others
    )
    end = _put_column(spare, transfers, end)
    end = _put_column(others, readable - transfers, end)
    end = _put_column(cython.cast(cython.pointer[uint64_t], rows.amounts), transfers, end)
    hf_store_4(target, cython.cast(uint32_t, rows.count))
    hf_store_4(target + 4, cython.cast(uint32_t, rows.unreadable_count))
    hf_store_4(target + 8, cython.cast(uint32_t, refused))
    hf_store_4(target + 12, cython.cast(uint32_t, transfers))
    return end - target


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _part_transfers(
    types: cython.pointer[cython.const[uint8_t]],
    txs: cython.pointer[cython.const[uint64_t]],
    amounts: cython.pointer[int64_t],
    count: cython.Py_ssize_t,
    transfer_txs: cython.pointer[uint64_t],
    other_txs: cython.pointer[uint64_t],
) -> cython.Py_ssize_t:
    """Part the tx ids of deposits and withdrawals from all others, and close up their amounts; give how many there are."""
    row: cython.Py_ssize_t
    transfers: cython.Py_ssize_t = 0
    for row in range(count):
        # Both are written, and one of them is kept: no branch depends on what nobody can predict.
        transfer_txs[transfers] = txs[row]
        other_txs[row - transfers] = txs[row]
        amounts[transfers] = amounts[row]
        transfers += cython.cast(uint8_t, types[row] - 1) < WITHDRAWAL
    return transfers


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put_column(
    values: cython.pointer[cython.const[uint64_t]], count: cython.Py_ssize_t, target: cython.pointer[uint8_t]
) -> cython.pointer[uint8_t]:
    size: cython.Py_ssize_t = pack_words(values, count, target + 4)
    hf_store_4(target, cython.cast(uint32_t, size))
    return target + 4 + size


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_unreadable(
    rows: cython.pointer[cython.const[DecidedRows]], target: cython.pointer[uint8_t]
) -> cython.pointer[uint8_t]:
    number: cython.Py_ssize_t
    for number in range(rows.unreadable_count):
        row: uint32_t = rows.unreadable[number].row
        hf_store_4(target, row)
        target[4] = rows.outcomes[row]
        target[5] = WAS_TEXT if rows.unreadable[number].was_text else 0
        target[6] = rows.types[row]
        target[7] = 0
        hf_store_8(target + 8, rows.clients[row])
        hf_store_8(target + 16, rows.txs[row])
        hf_store_8(target + 24, cython.cast(uint64_t, rows.amounts[row]))
        target += UNREADABLE_BYTES
    return target


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count_refused(
    outcomes: cython.pointer[cython.const[uint8_t]], count: cython.Py_ssize_t
) -> cython.Py_ssize_t:
    """Count the rows that were not applied, in stretches whose count fits a byte, so that sixteen can be counted at once."""
    start: cython.Py_ssize_t
    row: cython.Py_ssize_t
    refused: cython.Py_ssize_t = 0
    for start in range(0, count, 240):
        part: uint8_t = 0
        for row in range(start, min(start + 240, count)):
            part += outcomes[row] != APPLIED
        refused += part
    return refused


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _close_up(rows: cython.pointer[cython.const[DecidedRows]]) -> cython.Py_ssize_t:
    """Move the readable rows together; give how many there are."""
    number: cython.Py_ssize_t
    kept: cython.Py_ssize_t
    if rows.unreadable_count == 0:
        return rows.count
    kept = rows.unreadable[0].row
    for number in range(rows.unreadable_count):
        first: cython.Py_ssize_t = rows.unreadable[number].row + 1
        stop: cython.Py_ssize_t = rows.count
        if number + 1 < rows.unreadable_count:
            stop = rows.unreadable[number + 1].row
        _move(rows, first, stop, kept)
        kept += stop - first
    return kept


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _move(
    rows: cython.pointer[cython.const[DecidedRows]],
    first: cython.Py_ssize_t,
    stop: cython.Py_ssize_t,
    to: cython.Py_ssize_t,
) -> cython.void:
    row: cython.Py_ssize_t
    for row in range(first, stop):
        rows.types[to] = rows.types[row]
        rows.clients[to] = rows.clients[row]
        rows.txs[to] = rows.txs[row]
        rows.amounts[to] = rows.amounts[row]
        rows.outcomes[to] = rows.outcomes[row]
        to += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _put_outcomes(
    rows: cython.pointer[cython.const[DecidedRows]],
    readable: cython.Py_ssize_t,
    refused: cython.Py_ssize_t,
    target: cython.pointer[uint8_t],
) -> cython.pointer[uint8_t]:
    number: cython.Py_ssize_t
    bits: cython.Py_ssize_t = (readable + 7) >> 3
    codes: cython.pointer[uint8_t]
    if refused == 0:
        return target
    if is_sparse(readable, refused):
        for number in range(readable):
            if rows.outcomes[number] != APPLIED:
                hf_store_4(target, cython.cast(uint32_t, number))
                target[4] = rows.outcomes[number]
                target += 5
        return target
    memset(target, 0, bits)
    codes = target + bits
    number = 0
    while number < readable:
        if number + 8 <= readable and hf_load_8(rows.outcomes + number) == ALL_APPLIED:
            number += 8
            continue
        if rows.outcomes[number] != APPLIED:
            target[number >> 3] |= 1 << (number & 7)
            codes[0] = rows.outcomes[number]
            codes += 1
        number += 1
    return codes
