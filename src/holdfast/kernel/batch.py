"""The typed columns that cross every boundary: type, client, tx, amount, and one outcome per row.

A batch decoded from text owns its columns, in one allocation of 34 bytes a row (1 type, 8 client, 8 tx, 8
amount, 1 outcome, 8 byte offset; 8 more for line numbers if a blank line is between its rows). A later batch
reuses that memory. A batch made from columns points into memory that others own, and keeps it alive; it copies
and widens a column that is narrower than 64 bits. An outcome of 0 means that the row is not decided yet. The
decoder writes the outcome of a malformed row, and the ledger leaves such rows alone.
"""

import cython
from cython.cimports.holdfast.kernel.batch_memory import give_back, take_memory
from cython.cimports.holdfast.kernel.codes import (
    AMOUNT_OUT_OF_RANGE,
    APPLIED,
    CHARGEBACK,
    DEPOSIT,
    INVALID_CLIENT,
    INVALID_TX,
    MISSING_AMOUNT,
    NEWLINE,
    RETURN,
    UNDECIDED,
    UNKNOWN_TYPE,
    WITHDRAWAL,
    is_unreadable,
)
from cython.cimports.holdfast.kernel.column_view import column_view
from cython.cimports.holdfast.kernel.columns import (
    Column,
    is_null,
    is_usable_as_it_stands,
    read_column,
    widen,
)
from cython.cimports.holdfast.kernel.digest import hash_decoded_row
from cython.cimports.holdfast.kernel.platform import cbytes, hf_check
from cython.cimports.holdfast.kernel.tally import CODES_MAX
from cython.cimports.libc.stdint import INT64_MIN, int64_t, uint8_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.libc.string import memchr, memcpy, memset


@cython.cclass
class Batch:
    """Rows as columns. A decoder makes batches from text, :meth:`from_columns` makes them from your columns."""

    def __init__(self):
        raise TypeError("a Batch is made by a decoder or by Batch.from_columns()")

    def __dealloc__(self):
        give_back(self.memory, self.memory_bytes)
        free(self.line_column)
        free(self.first_outcomes)

    @staticmethod
    def from_columns(types, clients, txs, amounts) -> Batch:
        """Make a batch from columns that others own, without a copy if they are as wide as a batch's.

        A column is anything with the buffer protocol (a numpy array, an array.array, a memoryview) or an
        Arrow array of any library (anything with ``__arrow_c_array__``, slices included). The batch keeps it
        alive. Do not change it while the batch is in use: its values are checked once, and what becomes of rows
        that change after that is undefined. Nothing else suffers from it.

        Nulls of Arrow arrays become outcomes, as empty fields do: UNKNOWN_TYPE, INVALID_CLIENT, INVALID_TX, and
        MISSING_AMOUNT for a deposit or withdrawal. An id below zero is an INVALID_CLIENT or INVALID_TX.

        Args:
            types: 8-bit transaction types (1 deposit, 2 withdrawal, 3 dispute, 4 resolve, 5 chargeback),
                shape (rows,).
            clients: Integers, shape (rows,); narrower ones than uint64 and int64 are copied.
            txs: The same.
            amounts: Integers in units, shape (rows,), but not uint64; narrower ones than int64 are copied.
                Ignored for disputes, resolves and chargebacks.

        Raises:
            TypeError: If a column is not a contiguous one-dimensional column of such integers; the message says
                what to do.
            ValueError: If the columns have different lengths.
        """
        columns: Column[4]
        owners = [
            read_column("types", types, 1, True, cython.address(columns[0])),
            read_column("clients", clients, 8, True, cython.address(columns[1])),
            read_column("txs", txs, 8, True, cython.address(columns[2])),
            read_column("amounts", amounts, 8, False, cython.address(columns[3])),
        ]
        lengths = [columns[0].rows, columns[1].rows, columns[2].rows, columns[3].rows]
        if len(set(lengths)) != 1:
            raise ValueError(
                f"columns have different lengths: types, clients, txs and amounts have {lengths}"
            )
        batch: Batch = Batch.__new__(Batch)
        batch.owners = owners
        _take_columns(batch, columns)
        _refuse_unfit(batch, columns)
        return batch

    @staticmethod
    def from_rows(rows: list) -> Batch:
        """Make a batch of a few rows that are Python numbers.

        Args:
            rows: For each row its type, client, tx, units and outcome code. The code is 0, or that of a row that was refused
                already; numbers that do not fit are then 0.

        Raises:
            OverflowError: If a number does not fit 64 bits.
            ValueError: If a type or a code is out of range.
        """
        # Converting to numbers may run Python code, which must not change the number of rows.
        given: tuple = tuple(rows)
        batch: Batch = new_batch(max(len(given), 1))
        row: cython.Py_ssize_t = 0
        refused: cython.Py_ssize_t = 0
        type_: cython.long
        code: cython.long
        for type_, client, tx, units, code in given:
            if not 0 <= type_ <= 255 or not 0 <= code < CODES_MAX:
                raise ValueError(
                    f"a type is 0 to 255 and a code 0 to {CODES_MAX - 1}, not {type_} and {code}"
                )
            batch.type_column[row] = type_
            batch.client_column[row] = client
            batch.tx_column[row] = tx
            batch.amount_column[row] = units
            batch.outcome_column[row] = code
            refused += code != UNDECIDED
            row += 1
        # These rows were never text.
        batch.offset_column = cython.NULL
        batch.rows = row
        batch.is_unchecked = True
        if refused:
            _keep_first_outcomes(batch)
        return batch

    def __len__(self) -> int:
        return self.rows

    @property
    def types(self):
        """Transaction types, uint8, shape (rows,); 0 where the decoder could not tell."""
        return column_view(self, self.rows, self.type_column, 1, "B")

    @property
    def clients(self):
        """Client ids, uint64, shape (rows,)."""
        return column_view(self, self.rows, self.client_column, 8, "Q")

    @property
    def txs(self):
        """Transaction ids, uint64, shape (rows,)."""
        return column_view(self, self.rows, self.tx_column, 8, "Q")

    @property
    def amounts(self):
        """Amounts in units, int64, shape (rows,); of text that could not be decoded, a hash of its bytes."""
        return column_view(self, self.rows, self.amount_column, 8, "q")

    @property
    def outcomes(self):
        """Outcome codes, uint8, shape (rows,); 0 for rows that are not decided yet."""
        return column_view(self, self.rows, self.outcome_column, 1, "B")

    def outcome(self, row: cython.Py_ssize_t) -> int:
        """Give the outcome code of one row.

        Raises:
            IndexError: If there is no such row.
        """
        self.check_range(row, row + 1)
        return self.outcome_column[row]

    def clear_outcomes(self) -> None:
        """Make the rows undecided again, so that the batch can be applied to another ledger.

        Rows that no ledger can take keep their code: those that a decoder refused, nulls, ids below zero.
        """
        row: cython.Py_ssize_t
        if self.offset_column != cython.NULL or self.was_table:
            for row in range(self.rows):
                if not is_unreadable(self.outcome_column[row]):
                    self.outcome_column[row] = UNDECIDED
            return
        if self.first_outcomes != cython.NULL:
            memcpy(self.outcome_column, self.first_outcomes, self.rows)
        elif self.rows:
            memset(self.outcome_column, UNDECIDED, self.rows)
        # The other ledger may have other widths, and types are checked together with them.
        self.is_unchecked = True

    def refused_rows(self, start: cython.Py_ssize_t = 0, stop: cython.Py_ssize_t = -1) -> list:
        """List the rows from ``start`` to before ``stop`` that were decided and not applied.

        Raises:
            IndexError: If there are no such rows.
        """
        stop = self.check_range(start, stop)
        rows: list = []
        row: cython.Py_ssize_t
        for row in range(start, stop):
            if self.outcome_column[row] > APPLIED:
                rows.append(row)
        return rows

    def rows_about(self, client=None, tx=None) -> list:
        """List the rows that name this client, or this tx, or both if both are given."""
        rows: list = []
        row: cython.Py_ssize_t
        by_client: cython.bint = client is not None
        by_tx: cython.bint = tx is not None
        client_id: uint64_t = client if by_client else 0
        tx_id: uint64_t = tx if by_tx else 0
        for row in range(self.rows):
            code: cython.int = self.outcome_column[row]
            if by_client and (self.client_column[row] != client_id or APPLIED < code <= INVALID_CLIENT):
                continue
            if by_tx and (self.tx_column[row] != tx_id or APPLIED < code <= INVALID_TX):
                continue
            rows.append(row)
        return rows

    def offset(self, row: cython.Py_ssize_t) -> int:
        """Give the byte of its stream at which a row begins; the first byte is 0."""
        self.require_text(row)
        return self.offset_column[row]

    def line(self, row: cython.Py_ssize_t) -> int:
        """Give the line of its stream that has the row; the first line is 1."""
        self.require_text(row)
        if self.line_column != cython.NULL:
            return self.line_column[row]
        return self.first_line + cython.cast(uint64_t, row)

    def raw(self, row: cython.Py_ssize_t) -> bytes:
        """Give the text of a row, as it was in the stream, without its line end.

        The text of a row that is too long is cut at the limit. Of a table, rows that could not be read have a text.

        Raises:
            ValueError: If the decoder was not told to keep its source.
        """
        if self.was_table and row in self.texts:
            return self.texts[row]
        self.require_text(row)
        offset = self.offset_column[row]
        for start, source in reversed(self.sources):
            if start <= offset:
                return _row_text(source, offset - start, self.row_bytes_max)
        raise ValueError("this batch keeps no text: make the decoder with keep_source=True")

    def move_lines(self, lines: uint64_t) -> None:
        """Add to all line numbers, because the batch turned out to be this many lines later in its stream."""
        row: cython.Py_ssize_t
        self.first_line += lines
        if self.line_column != cython.NULL:
            for row in range(self.rows):
                self.line_column[row] += lines

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def require_text(self, row: cython.Py_ssize_t) -> cython.int:
        if not 0 <= row < self.rows:
            raise IndexError(f"row {row} of a batch of {self.rows}")
        if self.offset_column == cython.NULL:
            raise ValueError("this batch was not decoded from text")
        return 0

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def set_line(self, line: uint64_t) -> cython.int:
        """Note the line of the next row, after skipped lines; give -1 if there is no memory."""
        row: cython.Py_ssize_t
        if self.line_column == cython.NULL:
            if self.rows == 0:
                self.first_line = line
                return 0
            self.line_column = cython.cast(cython.pointer[uint64_t], malloc(self.capacity * 8))
            if self.line_column == cython.NULL:
                return -1
            for row in range(self.rows):
                self.line_column[row] = self.first_line + row
        return 0

    def digest(
        self, start: cython.Py_ssize_t = 0, stop: cython.Py_ssize_t = -1, position: uint64_t = 0
    ) -> int:
        """Give the part of rows in the digest of their stream, which is the sum of a hash of each row, modulo 2**64.

        The hash covers a row's type, client, tx, number in the stream, and amount if it is a deposit or withdrawal; for text
        that could not be decoded, it covers the bytes. Batches, splits and formats make no difference. Ask for it under the
        batch's own settings: a ledger of narrower ids writes a decoder's code for an id that is too wide for it.

        Args:
            start: The first row.
            stop: The row to stop before; the end of the batch if negative.
            position: How many rows of the stream come before the first one.

        Raises:
            IndexError: If there are no such rows.
        """
        stop = self.check_range(start, stop)
        result: uint64_t
        if stop - start < DIGEST_ROWS_HELD:
            return self.add_digest(start, stop, position)
        with cython.nogil:
            result = self.add_digest(start, stop, position)
        return result

    @cython.cfunc
    @cython.nogil
    @cython.exceptval(check=False)
    def add_digest(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, position: uint64_t) -> uint64_t:
        row: cython.Py_ssize_t
        result: uint64_t = 0
        is_text: cython.bint = self.offset_column != cython.NULL or self.was_table
        for row in range(start, stop):
            result += hash_decoded_row(
                self.type_column[row],
                self.client_column[row],
                self.tx_column[row],
                self.amount_column[row],
                self.outcome_column[row] if is_text else UNDECIDED,
                position + 1 + cython.cast(uint64_t, row - start),
            )
        return result

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check_range(self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Give the row to stop before; a negative ``stop`` means the end.

        Raises:
            IndexError: If there are no such rows.
        """
        if stop < 0:
            stop = self.rows
        if not 0 <= start <= stop <= self.rows:
            raise IndexError(f"rows {start} to {stop} of a batch of {self.rows}")
        return stop

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def refuse_decided(self, row: cython.Py_ssize_t) -> cython.int:
        """Raise the error for a row that was decided before: to count it again as applied would be a lie.

        Raises:
            ValueError: Always.
        """
        raise ValueError(
            f"row {row} of the batch was decided before; Batch.clear_outcomes() lets all be decided again"
        )

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check(self, client_max: uint64_t, tx_max: uint64_t) -> cython.int:
        """Write the decoder's codes into rows that do not fit a ledger of these widths.

        A row that was refused for its tx or amount is refused for its client instead, if that is too wide.
        """
        start: cython.Py_ssize_t
        for start in range(0, self.rows, 128):
            stop: cython.Py_ssize_t = min(start + CHECKED_ROWS, self.rows)
            if not self.all_fit(start, stop, client_max, tx_max):
                self.check_rows(start, stop, client_max, tx_max)
        self.client_max = client_max
        self.tx_max = tx_max
        self.is_unchecked = False
        return 0

    @cython.cfunc
    @cython.inline
    @cython.exceptval(check=False)
    def all_fit(
        self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, client_max: uint64_t, tx_max: uint64_t
    ) -> cython.bint:
        """Say whether the bits of some rows together tell that there is nothing to write into any of them."""
        row: cython.Py_ssize_t
        misfits: uint8_t = 0
        too_wide: uint64_t = 0
        signs: int64_t = 0
        for row in range(start, stop):
            misfits |= self.outcome_column[row]
            misfits |= cython.cast(uint8_t, self.type_column[row] - 1) >= CHARGEBACK
        for row in range(start, stop):
            # The largest ids have all their bits set.
            too_wide |= self.client_column[row] & ~client_max | self.tx_column[row] & ~tx_max
            # The amount that is out of range is below zero.
            signs |= self.amount_column[row]
        return misfits == 0 and too_wide == 0 and signs >= 0

    @cython.cfunc
    @cython.exceptval(check=False)
    def check_rows(
        self, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, client_max: uint64_t, tx_max: uint64_t
    ) -> cython.void:
        row: cython.Py_ssize_t
        for row in range(start, stop):
            code: cython.int = self.outcome_column[row]
            if code != UNDECIDED and not INVALID_TX <= code <= AMOUNT_OUT_OF_RANGE:
                continue
            type_: cython.int = self.type_column[row]
            if not DEPOSIT <= type_ <= CHARGEBACK:
                self.outcome_column[row] = UNKNOWN_TYPE
            elif self.client_column[row] > client_max:
                self.outcome_column[row] = INVALID_CLIENT
            elif self.tx_column[row] > tx_max:
                self.outcome_column[row] = INVALID_TX
            elif code != UNDECIDED:
                continue
            elif type_ <= WITHDRAWAL and self.amount_column[row] == INT64_MIN:
                self.outcome_column[row] = AMOUNT_OUT_OF_RANGE


@cython.cfunc
def new_batch(capacity: cython.Py_ssize_t) -> Batch:
    """Make an empty batch for a decoder to fill."""
    batch: Batch = Batch.__new__(Batch)
    # The 8-byte columns first, so that each begins on its natural boundary.
    batch.memory_bytes = capacity * ROW_BYTES
    batch.memory = take_memory(batch.memory_bytes)
    if batch.memory == cython.NULL:
        raise MemoryError
    batch.capacity = capacity
    batch.sources = []
    batch.client_column = cython.cast(cython.pointer[uint64_t], batch.memory)
    batch.tx_column = batch.client_column + capacity
    batch.amount_column = cython.cast(cython.pointer[int64_t], batch.tx_column + capacity)
    batch.offset_column = cython.cast(cython.pointer[uint64_t], batch.amount_column + capacity)
    batch.type_column = cython.cast(cython.pointer[uint8_t], batch.offset_column + capacity)
    batch.outcome_column = batch.type_column + capacity
    hf_check(
        cython.cast(cython.p_char, batch.outcome_column) + capacity
        == cython.cast(cython.p_char, batch.memory) + batch.memory_bytes
    )
    return batch


@cython.cfunc
@cython.exceptval(check=False)
def clear_rows(batch: Batch) -> cython.void:
    """Reset a decoder's batch for reuse."""
    batch.rows = 0
    free(batch.line_column)
    batch.line_column = cython.NULL
    if batch.sources:
        batch.sources.clear()


@cython.cfunc
@cython.exceptval(-1, check=False)
def _take_columns(batch: Batch, columns: cython.pointer[Column]) -> cython.int:
    """Point a new batch at columns, or at wider copies of them; the copies and the outcomes are one allocation."""
    rows: cython.Py_ssize_t = columns[0].rows
    number: cython.int
    copies: cython.int = 0
    for number in range(1, 4):
        copies += not is_usable_as_it_stands(cython.address(columns[number]), 8)
    batch.memory = calloc(rows or 1, 8 * copies + 1)
    if batch.memory == cython.NULL:
        raise MemoryError
    free_part: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], batch.memory)
    items: cython.p_void[4]
    for number in range(1, 4):
        items[number] = cython.cast(cython.p_void, columns[number].items)
        if not is_usable_as_it_stands(cython.address(columns[number]), 8):
            widen(cython.address(columns[number]), free_part)
            items[number] = free_part
            free_part += rows
    batch.rows = batch.capacity = rows
    batch.type_column = cython.cast(cython.pointer[uint8_t], columns[0].items)
    batch.client_column = cython.cast(cython.pointer[uint64_t], items[1])
    batch.tx_column = cython.cast(cython.pointer[uint64_t], items[2])
    batch.amount_column = cython.cast(cython.pointer[int64_t], items[3])
    batch.outcome_column = cython.cast(cython.pointer[uint8_t], free_part)
    batch.is_unchecked = True
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _refuse_unfit(batch: Batch, columns: cython.pointer[Column]) -> cython.int:
    """Write the codes of rows that no ledger can take; clear_outcomes() leaves them alone."""
    row: cython.Py_ssize_t
    number: cython.int
    refused: cython.Py_ssize_t = 0
    needs_look: cython.bint = columns[1].is_signed or columns[2].is_signed
    for number in range(4):
        if columns[number].validity != cython.NULL:
            needs_look = True
    if not needs_look:
        return 0
    for row in range(batch.rows):
        code: cython.int = _unfitness(batch, columns, row)
        batch.outcome_column[row] = code
        refused += code != UNDECIDED
    return _keep_first_outcomes(batch) if refused else 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _keep_first_outcomes(batch: Batch) -> cython.int:
    """Remember which rows were refused from the beginning, for clear_outcomes()."""
    size: cython.size_t = max(batch.rows, 1)
    batch.first_outcomes = cython.cast(cython.pointer[uint8_t], malloc(size))
    if batch.first_outcomes == cython.NULL:
        raise MemoryError
    memcpy(batch.first_outcomes, batch.outcome_column, batch.rows)
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _unfitness(batch: Batch, columns: cython.pointer[Column], row: cython.Py_ssize_t) -> cython.int:
    """Give the code of a row with a misplaced null or an id below zero, UNDECIDED for any other."""
    if is_null(cython.address(columns[0]), row):
        return UNKNOWN_TYPE
    type_: cython.int = batch.type_column[row]
    # An int64 id below zero would look like a huge one.
    is_client_unfit: cython.bint = is_null(cython.address(columns[1]), row) or (
        columns[1].is_signed and batch.client_column[row] >> 63 != 0
    )
    is_tx_unfit: cython.bint = is_null(cython.address(columns[2]), row) or (
        columns[2].is_signed and batch.tx_column[row] >> 63 != 0
    )
    is_amount_missing: cython.bint = DEPOSIT <= type_ <= WITHDRAWAL and is_null(
        cython.address(columns[3]), row
    )
    if not (is_client_unfit or is_tx_unfit or is_amount_missing):
        return UNDECIDED
    if not DEPOSIT <= type_ <= CHARGEBACK:
        return UNKNOWN_TYPE
    if is_client_unfit:
        return INVALID_CLIENT
    return INVALID_TX if is_tx_unfit else MISSING_AMOUNT


@cython.cfunc
def _row_text(source: object, start: cython.Py_ssize_t, bytes_max: cython.Py_ssize_t) -> bytes:
    text: cython.const[uint8_t][::1] = source
    left: cython.Py_ssize_t = text.shape[0] - start
    if left <= 0:
        return b""
    row: cbytes = cython.address(text[start])
    end: cbytes = cython.cast(cbytes, memchr(row, NEWLINE, left))
    length: cython.Py_ssize_t = left if end == cython.NULL else end - row
    if length and row[length - 1] == RETURN:
        length -= 1
    return row[: min(length, bytes_max)]
