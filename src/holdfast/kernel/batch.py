"""The typed columns that cross every boundary: type, client, tx, amount, and one outcome per row.

A batch decoded from text owns its columns, in one allocation of 42 bytes a row (1 type, 8 client, 8 tx, 8 amount, 1 outcome,
8 byte offset, and 8 line number only once a blank line stands between its rows). A batch made from columns points into
memory that others own, and keeps it alive. An outcome of 0 means that nobody has decided on the row; the decoder writes its
code there for a malformed row, and whoever applies the batch leaves such rows alone.
"""

import cython
from cython.cimports.cpython.buffer import (
    PyBUF_FORMAT,
    PyBUF_WRITABLE,
    PyBuffer_FillInfo,
)
from cython.cimports.holdfast.kernel.codes import (
    AMOUNT_OUT_OF_RANGE,
    APPLIED,
    CHARGEBACK,
    DEPOSIT,
    INVALID_CLIENT,
    INVALID_TX,
    NEWLINE,
    RETURN,
    UNDECIDED,
    UNKNOWN_TYPE,
    WITHDRAWAL,
)
from cython.cimports.holdfast.kernel.platform import cbytes, hf_check
from cython.cimports.libc.stdint import INT64_MIN, UINT64_MAX, int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import calloc, free, malloc
from cython.cimports.libc.string import memchr, memset

ROWS_DEFAULT = 8192
"""How many rows a decoder puts into a batch: its columns then fit a core's second-level cache."""
ROWS_MAX = 1 << 20



@cython.cclass
class _Column:
    """One column as a buffer; keeps its batch alive for as long as somebody looks at it."""

    batch: Batch
    start: cython.p_void
    rows: cython.Py_ssize_t
    item_bytes: cython.Py_ssize_t

    def __getbuffer__(self, view: cython.pointer[Py_buffer], flags: cython.int):
        PyBuffer_FillInfo(view, self, self.start, self.rows * self.item_bytes, 1, flags)


@cython.cfunc
def _column(batch: Batch, start: cython.p_void, item_bytes: cython.Py_ssize_t, code: str):
    column: _Column = _Column.__new__(_Column)
    column.batch = batch
    column.start = start if start != cython.NULL else cython.cast(cython.p_void, "")
    column.rows = batch.rows
    column.item_bytes = item_bytes
    return memoryview(column).cast("B").cast(code)


@cython.cclass
class Batch:
    """Rows as columns. Made by a decoder, or from columns of one's own with :meth:`from_columns`."""

    def __init__(self):
        raise TypeError("a Batch is made by a decoder or by Batch.from_columns()")

    def __dealloc__(self):
        free(self.memory)
        free(self.line_column)

    @staticmethod
    def from_columns(types, clients, txs, amounts) -> Batch:
        """Point at columns that others own, without a copy.

        Args:
            types: uint8 transaction types (1 deposit, 2 withdrawal, 3 dispute, 4 resolve, 5 chargeback), shape (rows,).
            clients: uint64 or int64, shape (rows,).
            txs: uint64 or int64, shape (rows,).
            amounts: int64 units, shape (rows,); not looked at for disputes, resolves and chargebacks.

        Raises:
            TypeError: If a column is no contiguous one-dimensional buffer of such integers.
            ValueError: If the columns have different lengths.
        """
        views = [
            _checked_view("types", types, 1, "Bb"),
            _checked_view("clients", clients, 8, "QqLl"),
            _checked_view("txs", txs, 8, "QqLl"),
            _checked_view("amounts", amounts, 8, "ql"),
        ]
        lengths = [len(view) for view in views]
        if len(set(lengths)) != 1:
            raise ValueError(f"columns have different lengths: types, clients, txs and amounts have {lengths}")
        batch: Batch = Batch.__new__(Batch)
        batch.rows = batch.capacity = lengths[0]
        batch.owners = views
        batch.type_column = cython.cast(cython.pointer[uint8_t], _address(views[0]))
        batch.client_column = cython.cast(cython.pointer[uint64_t], _address(views[1]))
        batch.tx_column = cython.cast(cython.pointer[uint64_t], _address(views[2]))
        batch.amount_column = cython.cast(cython.pointer[int64_t], _address(views[3]))
        batch.memory = calloc(batch.rows or 1, 1)
        if batch.memory == cython.NULL:
            raise MemoryError
        batch.outcome_column = cython.cast(cython.pointer[uint8_t], batch.memory)
        batch.client_max = batch.tx_max = UINT64_MAX
        # An int64 id below zero would be taken for a huge one.
        _refuse_negative(batch, batch.client_column, views[1].format, INVALID_CLIENT)
        _refuse_negative(batch, batch.tx_column, views[2].format, INVALID_TX)
        return batch

    def __len__(self) -> int:
        return self.rows

    @property
    def types(self):
        """Transaction types, uint8, shape (rows,); 0 where the decoder could not tell."""
        return _column(self, self.type_column, 1, "B")

    @property
    def clients(self):
        """Client ids, uint64, shape (rows,)."""
        return _column(self, self.client_column, 8, "Q")

    @property
    def txs(self):
        """Transaction ids, uint64, shape (rows,)."""
        return _column(self, self.tx_column, 8, "Q")

    @property
    def amounts(self):
        """Amounts in units, int64, shape (rows,)."""
        return _column(self, self.amount_column, 8, "q")

    @property
    def outcomes(self):
        """Outcome codes, uint8, shape (rows,); 0 where nobody has decided yet."""
        return _column(self, self.outcome_column, 1, "B")

    def clear_outcomes(self) -> None:
        """Make every row undecided again, so that a batch from columns can be applied to another ledger."""
        memset(self.outcome_column, UNDECIDED, self.rows)

    def refused_rows(self, start: cython.Py_ssize_t = 0, stop: cython.Py_ssize_t = -1) -> list:
        """List the rows from ``start`` to before ``stop`` that were decided and not applied."""
        if stop < 0 or stop > self.rows:
            stop = self.rows
        rows: list = []
        row: cython.Py_ssize_t
        for row in range(start, stop):
            if self.outcome_column[row] > APPLIED:
                rows.append(row)
        return rows

    def rows_about(self, client=None, tx=None, start: cython.Py_ssize_t = 0) -> list:
        """List the rows from ``start`` on that name this client, or this tx, or both if both are given."""
        rows: list = []
        row: cython.Py_ssize_t
        by_client: cython.bint = client is not None
        by_tx: cython.bint = tx is not None
        client_id: uint64_t = client if by_client else 0
        tx_id: uint64_t = tx if by_tx else 0
        for row in range(start, self.rows):
            code: cython.int = self.outcome_column[row]
            if by_client and (self.client_column[row] != client_id or UNDECIDED < code <= INVALID_CLIENT and code > APPLIED):
                continue
            if by_tx and (self.tx_column[row] != tx_id or UNDECIDED < code <= INVALID_TX and code > APPLIED):
                continue
            rows.append(row)
        return rows

    def offset(self, row: cython.Py_ssize_t) -> int:
        """Say at which byte of its stream a row begins, the first byte being 0."""
        self.require_text(row)
        return self.offset_column[row]

    def line(self, row: cython.Py_ssize_t) -> int:
        """Say on which line of its stream a row stands, the first line being 1."""
        self.require_text(row)
        if self.line_column != cython.NULL:
            return self.line_column[row]
        return self.first_line + cython.cast(uint64_t, row)

    def raw(self, row: cython.Py_ssize_t) -> bytes:
        """Give a row as it stood in the stream, without its line end; of one that is too long, as much as the limit allows.

        Raises:
            ValueError: If the decoder was not told to keep its source.
        """
        self.require_text(row)
        offset = self.offset_column[row]
        for start, source in reversed(self.sources):
            if start <= offset:
                return _row_text(source, offset - start, self.row_bytes_max)
        raise ValueError("this batch keeps no text: make the decoder with keep_source=True")

    def move_lines(self, lines: uint64_t) -> None:
        """Count lines from further down: the batch turned out to stand so many lines further down its stream."""
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
    @cython.exceptval(-1, check=False)
    def set_line(self, line: uint64_t) -> cython.int:
        """Note the line of the row that comes next; called only where lines were skipped since the row before."""
        row: cython.Py_ssize_t
        if self.line_column == cython.NULL:
            if self.rows == 0:
                self.first_line = line
                return 0
            self.line_column = cython.cast(cython.pointer[uint64_t], malloc(self.capacity * 8))
            if self.line_column == cython.NULL:
                raise MemoryError
            for row in range(self.rows):
                self.line_column[row] = self.first_line + row
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def check(self, client_max: uint64_t, tx_max: uint64_t) -> cython.int:
        """Write the decoder's codes for undecided rows that no ledger of these widths may see."""
        row: cython.Py_ssize_t
        for row in range(self.rows):
            if self.outcome_column[row] != UNDECIDED:
                continue
            type_: cython.int = self.type_column[row]
            if not DEPOSIT <= type_ <= CHARGEBACK:
                self.outcome_column[row] = UNKNOWN_TYPE
            elif self.client_column[row] > client_max:
                self.outcome_column[row] = INVALID_CLIENT
            elif self.tx_column[row] > tx_max:
                self.outcome_column[row] = INVALID_TX
            elif type_ <= WITHDRAWAL and self.amount_column[row] == INT64_MIN:
                self.outcome_column[row] = AMOUNT_OUT_OF_RANGE
        self.client_max = client_max
        self.tx_max = tx_max
        return 0


@cython.cfunc
def new_batch(capacity: cython.Py_ssize_t) -> Batch:
    """Make an empty batch for a decoder to fill."""
    batch: Batch = Batch.__new__(Batch)
    # The 8-byte columns first, so that each begins on its natural boundary.
    batch.memory = malloc(capacity * 34)
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
    hf_check(cython.cast(cython.p_char, batch.outcome_column) + capacity == cython.cast(cython.p_char, batch.memory) + capacity * 34)
    return batch


@cython.cfunc
def _refuse_negative(batch: Batch, ids: cython.pointer[uint64_t], code: str, outcome: cython.int):
    row: cython.Py_ssize_t
    if code not in "ql":
        return
    for row in range(batch.rows):
        if ids[row] >> 63 and batch.outcome_column[row] == UNDECIDED:
            batch.outcome_column[row] = outcome


def _checked_view(name, column, item_bytes, codes):
    view = memoryview(column)
    if view.ndim != 1 or not view.c_contiguous or view.itemsize != item_bytes or view.format not in codes:
        wanted = "8-bit" if item_bytes == 1 else "64-bit"
        raise TypeError(
            f"{name}: a contiguous one-dimensional buffer of {wanted} integers is needed, not one of format "
            f"{view.format!r} with {view.ndim} dimension(s)"
        )
    return view


@cython.cfunc
def _address(view: object) -> cython.p_void:
    data: cython.const[uint8_t][::1] = view.cast("B")
    if data.shape[0] == 0:
        return cython.NULL
    return cython.cast(cython.p_void, cython.address(data[0]))


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
