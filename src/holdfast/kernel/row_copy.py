"""Copies of rows that outlive the batch in which they were decoded."""

import cython
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.libc.stdint import uint64_t
from cython.cimports.libc.stdlib import malloc
from cython.cimports.libc.string import memcpy


@cython.cfunc
def copy_rows(batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> Batch:
    """Copy some rows, with their outcomes, lines and text, to a batch that has room for no more."""
    rows: cython.Py_ssize_t = stop - start
    copy: Batch = new_batch(max(rows, 1))
    memcpy(copy.type_column, batch.type_column + start, rows)
    memcpy(copy.client_column, batch.client_column + start, 8 * rows)
    memcpy(copy.tx_column, batch.tx_column + start, 8 * rows)
    memcpy(copy.amount_column, batch.amount_column + start, 8 * rows)
    memcpy(copy.outcome_column, batch.outcome_column + start, rows)
    if batch.offset_column == cython.NULL:
        copy.offset_column = cython.NULL
    else:
        memcpy(copy.offset_column, batch.offset_column + start, 8 * rows)
    copy.first_line = batch.first_line + start
    if batch.line_column != cython.NULL:
        copy.line_column = cython.cast(cython.pointer[uint64_t], malloc(8 * max(rows, 1)))
        if copy.line_column == cython.NULL:
            raise MemoryError
        memcpy(copy.line_column, batch.line_column + start, 8 * rows)
    copy.rows = rows
    copy.client_max = batch.client_max
    copy.tx_max = batch.tx_max
    copy.is_unchecked = batch.is_unchecked
    copy.row_bytes_max = batch.row_bytes_max
    copy.roles = batch.roles
    copy.dialect = batch.dialect
    copy.was_table = batch.was_table
    if batch.was_table:
        copy.texts = {row - start: text for row, text in batch.texts.items() if start <= row < stop}
    copy.sources = list(batch.sources) if batch.sources is not None else None
    return copy
