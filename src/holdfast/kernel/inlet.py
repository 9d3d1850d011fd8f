"""One stream's way into a ledger: text in, rows decided, in one call.

Among many short streams, what is paid for each stream and each piece matters more than what is paid for each row. A caller who
has nothing to decide beside the rows, because nobody wants to see all those that are not applied, hands text to an inlet and
gets nothing back but what that cost; he is asked only at a row at which the policy stops. Inlets that were made after one
another share one batch, and a stream that ends leaves its decoder and its tally to one that begins.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.cpython.object import PyObject, PyTypeObject
from cython.cimports.holdfast.kernel.batch import Batch
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.csv.decoder import CsvDecoder
from cython.cimports.holdfast.kernel.ledger.ledger import Ledger
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.holdfast.kernel.tally import Tally

PIECE_BYTES = 64 * 1024
"""How much text is taken at a time: some 2,500 rows, a fraction of a millisecond."""
CALL_COST = 256
"""What taking a piece costs beside its rows: as much as so many bytes of text."""

piece_bytes = cython.declare(cython.Py_ssize_t, PIECE_BYTES)
call_cost = cython.declare(cython.Py_ssize_t, CALL_COST)
no_arguments = cython.declare(tuple, ())


@cython.no_gc
@cython.cclass
class Totals:
    """What all streams that have ended came to together."""

    def __cinit__(self):
        self.tally = Tally.__new__(Tally)

    @property
    def rows(self) -> int:
        """How many rows were decided."""
        return self.tally.rows

    def refused_by_code(self) -> dict:
        """Give for every code that occurred how many rows it refused, in order of the codes."""
        return self.tally.refused_by_code()


@cython.no_gc
@cython.cclass
class Stock:
    """What inlets share that were made after one another, and what the last stream that ended has left for the next."""

    @cython.cfunc
    def take_decoder(self) -> CsvDecoder:
        decoder: CsvDecoder = self.decoder
        self.decoder = None
        return self.settings.fresh() if decoder is None else decoder

    @cython.cfunc
    def take_tally(self) -> Tally:
        tally: Tally = self.tally
        self.tally = None
        return self.like.fresh() if tally is None else tally


# Nothing that it refers to refers to it, and the garbage collector has less to look at where there are thousands.
@cython.no_gc
@cython.cclass
class Inlet:
    """Decodes and applies the pieces of one stream, and counts its rows.

    It applies without letting another Python thread run, so that it takes no lock: pieces are to be small.

    A subclass may take what is no text, and text of which somebody wants to see rows: :meth:`take_other` and :meth:`finish_other`
    are for it to override, :attr:`decoder` and :attr:`tally` for it to use. Where the tally may stop, it says what then:
    :meth:`stopped` and :meth:`judge`.

    Args:
        ledger: What rows are applied to; None if the subclass applies them, so that nothing is text to this class.
        decoder: Whose settings the stream's decoder has.
        like: Under whose actions rows are counted.
        totals: Where the counts go of streams that have ended.
    """

    def __init__(self, ledger: Ledger | None, decoder: CsvDecoder, like: Tally, totals: Totals):
        self.stock = Stock.__new__(Stock)
        self.stock.ledger = ledger
        self.stock.settings = decoder
        self.stock.like = like
        self.stock.totals = totals
        self.takes_text = ledger is not None

    def fresh(self):
        """Make an inlet like this one, of its class, for another stream; cheap enough for a stream of a single row.

        Raises:
            ValueError: After :meth:`release`.
        """
        return self.make()

    @cython.cfunc
    def make(self) -> Inlet:
        if self.stock is None:
            raise ValueError("the stream has ended: make inlets like one that has not")
        kind: type = type(self)
        other: Inlet = cython.cast(cython.pointer[PyTypeObject], kind).tp_new(
            kind, cython.cast(cython.pointer[PyObject], no_arguments), cython.NULL
        )
        other.stock = self.stock
        other.takes_text = self.stock.ledger is not None
        return other

    @property
    def rows(self) -> int:
        """How many rows were decided so far."""
        return self.rows_at_end if self.counts is None else self.counts.rows

    def refused_by_code(self) -> dict:
        """Give for every code that occurred how many rows it refused so far, in order of the codes."""
        if self.counts is not None:
            return self.counts.refused_by_code()
        return {} if self.refused_at_end is None else self.refused_at_end

    @property
    def is_used(self) -> bool:
        """Whether the stream was given a piece, if only an empty one, and has not ended."""
        return self.counts is not None

    @property
    def tally(self) -> Tally:
        """The stream's own tally until it ends; then it is another one's."""
        self.begin()
        return self.counts

    @property
    def decoder(self) -> CsvDecoder:
        """The stream's own decoder until it ends; then it is another one's."""
        self.begin()
        return self.own_decoder

    def take(self, data) -> int:
        """Decide the rows of a piece.

        Args:
            data: Bytes, a bytearray or a memoryview of bytes, which may be changed once this returns; or what
                :meth:`take_other` takes.

        Returns:
            What that cost: its bytes and :data:`CALL_COST`; 0 if it is larger than :data:`PIECE_BYTES`, and was not taken.

        Raises:
            HeaderError: If the stream does not begin with a usable header.
            MemoryError: If there is no memory for a row; those before it stand.
            RuntimeError: If another thread is applying.
            ValueError: After :meth:`finish`, or if it is a memoryview of something else.
        """
        size: cython.Py_ssize_t
        if not self.takes_text:
            return self.take_other(data)
        if type(data) is bytes:
            size = PyBytes_GET_SIZE(data)
            return self.take_text(data, cython.cast(cbytes, PyBytes_AS_STRING(data)), size)
        if not isinstance(data, (bytes, bytearray, memoryview)):
            return self.take_other(data)
        view: Py_buffer
        open_text(data, cython.address(view))
        try:
            return self.take_text(data, cython.cast(cbytes, view.buf), view.len)
        finally:
            PyBuffer_Release(cython.address(view))

    def take_other(self, data) -> int:
        """Take what is no text; a subclass may know how.

        Returns:
            What that cost; 0 if it is too large, and was not taken.

        Raises:
            TypeError: In this class.
        """
        raise TypeError(f"an inlet takes text as bytes, not {type(data).__name__}")

    def finish(self) -> None:
        """Decide what is left: the last line may have no line end. Without a piece there was no stream.

        Raises:
            HeaderError: If there was no header in the pieces, above all if all were empty.
            MemoryError: If there is no memory for a row.
            RuntimeError: If another thread is applying.
        """
        if self.counts is None:
            return
        if not self.takes_text:
            self.finish_other()
            return
        batch: Batch = self.own_decoder.finish()
        if batch is not None:
            self.decide(batch)
        if self.counts.stops:
            self.judge()

    def finish_other(self) -> None:
        """Decide what is left of what is no text; a subclass may know how."""

    def stopped(self, batch: Batch, row: cython.Py_ssize_t) -> None:
        """Say what becomes of the stream, now that the tally has stopped at a row: raise, or go on behind it.

        Raises:
            RuntimeError: In this class.
        """
        raise RuntimeError(f"the tally stopped at row {row} of {batch.rows}: a subclass says what then")

    def judge(self) -> None:
        """Say what there is to say of all rows of a stream whose tally may stop; a subclass may raise."""

    def release(self) -> None:
        """End the stream: keep its counts, add them to the totals, and leave decoder and tally to another stream."""
        tally: Tally = self.counts
        stock: Stock = self.stock
        self.has_ended = True
        self.stock = None
        if tally is None:
            return
        self.rows_at_end = tally.rows
        if tally.refused_rows:
            self.refused_at_end = tally.refused_by_code()
        stock.totals.input_bytes += self.input_bytes
        stock.totals.tally.add(tally)
        self.own_decoder.renew()
        tally.clear()
        stock.decoder = self.own_decoder
        stock.tally = tally
        self.own_decoder = self.counts = None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(self) -> cython.int:
        if self.counts is not None:
            return 0
        if self.stock is None:
            raise ValueError("the stream has ended")
        self.own_decoder = self.stock.take_decoder()
        self.counts = self.stock.take_tally()
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take_text(self, data: object, text: cbytes, size: cython.Py_ssize_t) -> cython.Py_ssize_t:
        if size > piece_bytes:
            return 0
        self.begin()
        decoder: CsvDecoder = self.own_decoder
        settings: CsvDecoder = self.stock.settings
        batch: Batch = settings.take_rest()
        if batch is not None:
            decoder.lend(batch)
        self.input_bytes += size
        try:
            for batch in decoder.feed_text(text, size, data):
                self.decide(batch)
            batch = decoder.take_rest()
            if batch is not None and batch.rows:
                self.decide(batch)
        finally:
            # A batch that was not applied is nobody's: its rows must not be met again.
            decoder.take_rest()
        if batch is not None:
            settings.lend(batch)
        return size + call_cost

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def decide(self, batch: Batch) -> cython.int:
        reached: cython.Py_ssize_t = 0
        while reached < batch.rows:
            reached = self.stock.ledger.apply_small(batch, reached, self.counts)
            if self.counts.is_stopped:
                self.stopped(batch, reached - 1)
        return 0
