"""A stream's way into an engine: pieces of text or batches in, decided rows out, and the one loop that asks a policy.

Every row of a file, a source or a connection goes through an inlet. The inlet decodes text, hands each batch to an engine or to
shards, counts the outcomes, and calls its listener where the policy's table says stop. It also follows the position of its
stream: how many rows were decided before, which of the rows to come are among these and skipped, and the digest of all rows.

With many short streams, the cost per stream and per piece matters more than the cost per row. So inlets are compiled, the inlets
of one pool share a batch, and a stream that ends leaves its decoder and its tally to the next one.
"""

import cython
from cython.cimports.cpython.buffer import PyBuffer_Release
from cython.cimports.cpython.bytes import PyBytes_AS_STRING, PyBytes_GET_SIZE
from cython.cimports.holdfast.kernel.batch import Batch
from cython.cimports.holdfast.kernel.columns import open_text
from cython.cimports.holdfast.kernel.csv.decoder import CsvDecoder
from cython.cimports.holdfast.kernel.platform import cbytes
from cython.cimports.holdfast.kernel.row_copy import copy_rows
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import uint64_t

PIECE_BYTES = 64 * 1024
"""How much text is taken at a time: some 2,500 rows, a fraction of a millisecond."""
CALL_COST = 256
"""The cost of taking a piece, beside its rows, in bytes of text that take as long."""

piece_bytes = cython.declare(cython.Py_ssize_t, PIECE_BYTES)
call_cost = cython.declare(cython.Py_ssize_t, CALL_COST)


@cython.cclass
class InletPool:
    """The shared parts of all streams under one policy, their common counts, and the parts that ended streams leave to new ones.

    Args:
        decide: ``decide(batch, start, stop, tally, stream, position)`` decides rows and gives the first that was not decided; see
            :meth:`LedgerCore.decide`.
        decoder: A decoder with the settings for all streams.
        tally: A tally with the actions for all streams.
        shows: Whether listeners get all rows that are not applied, and not only those at which the policy stops.
        decide_present: As ``decide``, but it ends before a row that needs what is not in memory. That row and all after it then
            wait in the inlet, until :meth:`Inlet.go_on`. None if rows never wait.
    """

    def __init__(
        self, decide, decoder: CsvDecoder, tally: Tally, *, shows: bool = False, decide_present=None
    ):
        if decoder is None or tally is None or not callable(decide):
            raise TypeError("a pool needs a function that decides, a decoder and a tally")
        if decide_present is not None and not callable(decide_present):
            raise TypeError("decide_present is a function, or None")
        self.decide = decide
        self.decide_present = decide_present
        self.decoder_like = decoder
        self.tally_like = tally
        self.shows = shows
        self.ended = Tally.__new__(Tally)

    def open(self, stream, listener) -> Inlet:
        """Make the inlet of a stream; this is cheap enough for a stream of a single row.

        Args:
            stream: Its name, or what else is known of where its rows come from (:class:`Origin`), or None.
            listener: Gets calls of ``on_stopped(batch, row)`` for rows at which the policy stops: the method raises an exception
                to end the stream, or returns to go on. If the pool shows rows, the listener also gets calls of
                ``on_refused(batch, start, stop, position)`` with decided rows, at least one of which was not applied, and the
                number of rows of the stream before them.
        """
        if self.tally_like is None:
            raise ValueError("this pool was not made by its constructor")
        inlet: Inlet = Inlet.__new__(Inlet)
        inlet.pool = self
        inlet.stream = stream
        inlet.listener = listener
        inlet.takes_text = True
        return inlet

    @property
    def ended_rows(self) -> int:
        """How many rows of ended streams were decided."""
        return 0 if self.ended is None else self.ended.rows

    def ended_refused_by_code(self) -> dict:
        """Give the number of refused rows of ended streams for each code that occurred."""
        return {} if self.ended is None else self.ended.refused_by_code()

    @cython.cfunc
    def take_decoder(self) -> CsvDecoder:
        decoder: CsvDecoder = self.spare_decoder
        self.spare_decoder = None
        return self.decoder_like.fresh() if decoder is None else decoder

    @cython.cfunc
    def take_tally(self) -> Tally:
        tally: Tally = self.spare_tally
        self.spare_tally = None
        return self.tally_like.fresh() if tally is None else tally


# Not tracked by the garbage collector, since there may be thousands. An inlet and its listener may refer to each other;
# release() breaks that cycle.
@cython.no_gc
@cython.cclass
class Inlet:
    """One stream's way in; :meth:`InletPool.open` makes it. Its opener must call :meth:`release`, however the stream ends."""

    def __init__(self):
        raise TypeError("an Inlet is made by InletPool.open()")

    @property
    def rows(self) -> int:
        """How many rows are decided so far."""
        return self.rows_at_end if self.counts is None else self.counts.rows

    @property
    def refused(self) -> int:
        """How many of them were not applied."""
        if self.counts is not None:
            return self.counts.refused_rows
        return 0 if self.refused_at_end is None else sum(self.refused_at_end.values())

    @property
    def position(self) -> int:
        """How many rows of the stream are decided, here or before."""
        return self.rows_before + self.rows

    @property
    def exceeds_budget(self) -> bool:
        """Whether more rows count against the policy's budget than it covers, however few rows there were."""
        return self.counts is not None and self.counts.exceeds_budget

    @property
    def has_ended(self) -> bool:
        """Whether the stream was released."""
        return self.pool is None

    @property
    def has_begun(self) -> bool:
        """Whether there was a piece, even an empty one."""
        return self.counts is not None

    @property
    def has_header(self) -> bool:
        """Whether the header of the stream's text has been decoded."""
        return self.own_decoder is not None and self.own_decoder.has_header

    @property
    def lines(self) -> int:
        """How many lines of text were taken so far: rows, blank lines and the header."""
        return 0 if self.own_decoder is None else self.own_decoder.lines

    @property
    def carried_bytes(self) -> int:
        """How many bytes of an unfinished line are kept until it ends."""
        return 0 if self.own_decoder is None else self.own_decoder.carried

    @property
    def is_parked(self) -> bool:
        """Whether rows wait for what is not in memory."""
        return self.parked is not None

    def first_parked(self) -> Batch | None:
        """Give the batch of the first rows that wait, all of which are undecided; None if none do."""
        return None if self.parked is None else self.parked[0]

    def go_on(self, *, waits: bool = True) -> None:
        """Decide the rows that wait, as far as what they need is in memory now.

        Args:
            waits: Whether those that still need something go on waiting; otherwise it is brought there.

        Raises:
            Exception: What a listener or ``decide`` raises; the rows that still waited are dropped, undecided.
        """
        parked: list = self.parked
        self.parked = None
        self.parked_rows = 0
        self.is_waiting_in_vain = not waits
        batch: Batch
        try:
            for batch in parked or ():
                self.decide(batch, 0, batch.rows)
        finally:
            self.is_waiting_in_vain = False

    def refused_by_code(self) -> dict:
        """Give the number of refused rows so far for each code that occurred, in order of the codes."""
        if self.counts is not None:
            return self.counts.refused_by_code()
        return {} if self.refused_at_end is None else self.refused_at_end

    def follow(self, stream, rows_before: uint64_t, digest: uint64_t, budgeted: uint64_t = 0) -> None:
        """Set what is known of the stream; before the first piece.

        Args:
            stream: Its name.
            rows_before: How many of its rows were decided before.
            digest: Their digest.
            budgeted: How many of them count against the budget of its policy.

        Raises:
            ValueError: After the first piece.
        """
        self.require_fresh()
        self.stream = stream
        self.rows_before = rows_before
        self.budgeted_before = budgeted
        self.digest = digest
        self.has_digest = True

    def skip_rows(self, rows: uint64_t, digest: uint64_t) -> None:
        """Skip the first rows to come: they are the last of the rows that were decided before.

        After them, and before any later row is decided, the listener's ``on_skipped(batch, row)`` is called with the last of
        them. :attr:`skipped_digest` is then the digest of all rows before the first one to decide.

        Args:
            rows: How many rows to skip.
            digest: The digest of the rows before them.

        Raises:
            ValueError: After the first piece, or if fewer rows were decided before.
        """
        self.require_fresh()
        if rows > self.rows_before:
            raise ValueError(f"{rows} rows are to be skipped, and {self.rows_before} were decided before")
        self.rows_to_skip = rows
        self.skip_position = self.rows_before - rows
        self.skipped_digest = digest

    def take(self, data) -> int:
        """Decode a piece of text and decide its rows.

        Args:
            data: Bytes, a bytearray or a memoryview of bytes; it may be changed after this call.

        Returns:
            The cost: its bytes and :data:`CALL_COST`. 0 if the piece was not taken, because it is larger than
            :data:`PIECE_BYTES`, is not text, or :attr:`takes_text` is false.

        Raises:
            HeaderError: If the stream does not begin with a usable header.
            MemoryError: If there is no memory for a row; the rows before it stand.
            ValueError: After :meth:`finish`, or for a memoryview of something else.
        """
        size: cython.Py_ssize_t
        if not self.takes_text:
            return 0
        if type(data) is bytes:
            size = PyBytes_GET_SIZE(data)
            if size > piece_bytes:
                return 0
            self.take_text(data, cython.cast(cbytes, PyBytes_AS_STRING(data)), size)
            return size + call_cost
        if not isinstance(data, (bytes, bytearray, memoryview)):
            return 0
        view: Py_buffer
        open_text(data, cython.address(view))
        size = view.len
        try:
            if size > piece_bytes:
                return 0
            self.take_text(data, cython.cast(cbytes, view.buf), size)
        finally:
            PyBuffer_Release(cython.address(view))
        return size + call_cost

    def take_batch(self, batch: Batch, start: cython.Py_ssize_t = 0, stop: cython.Py_ssize_t = -1) -> None:
        """Decide rows of a batch that was decoded elsewhere.

        Raises:
            IndexError: If there are no such rows.
            MemoryError: If there is no memory for a row; the rows before it stand.
            ValueError: After :meth:`finish`.
        """
        stop = batch.check_range(start, stop)
        self.begin()
        self.decide(batch, start, stop)

    def finish(self) -> None:
        """Decide the rest of the text: its last line may have no line end. Without any piece, do nothing.

        Raises:
            HeaderError: If the pieces had no header; also if all of them were empty.
            MemoryError: If there is no memory for a row.
        """
        if self.counts is None or not self.takes_text:
            return
        batch: Batch = self.own_decoder.finish()
        if batch is not None:
            self.decide(batch, 0, batch.rows)

    def release(self) -> None:
        """End the stream: keep its counts, add them to the pool's, and leave decoder and tally to the next stream."""
        tally: Tally = self.counts
        pool: InletPool = self.pool
        if tally is not None:
            self.own_decoder.renew()
        self.pool = self.listener = self.parked = None
        self.parked_rows = 0
        if tally is None or pool is None:
            return
        self.rows_at_end = tally.rows
        if tally.refused_rows:
            self.refused_at_end = tally.refused_by_code()
        pool.ended_input_bytes += self.input_bytes
        pool.ended.add(tally)
        tally.clear()
        pool.spare_decoder = self.own_decoder
        pool.spare_tally = tally
        self.own_decoder = self.counts = None

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def begin(self) -> cython.int:
        if self.counts is not None:
            return 0
        if self.pool is None:
            raise ValueError("the stream has ended")
        self.own_decoder = self.pool.take_decoder()
        self.counts = self.pool.take_tally()
        if self.rows_before:
            self.counts.go_on(self.rows_before, self.budgeted_before)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def require_fresh(self) -> cython.int:
        if self.counts is not None or self.pool is None:
            raise ValueError("the stream has begun")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def take_text(self, data: object, text: cbytes, size: cython.Py_ssize_t) -> cython.int:
        self.begin()
        pool: InletPool = self.pool
        decoder: CsvDecoder = self.own_decoder
        batch: Batch = pool.decoder_like.take_rest()
        if batch is not None:
            decoder.lend(batch)
        self.input_bytes += size
        try:
            for batch in decoder.feed_text(text, size, data):
                self.decide(batch, 0, batch.rows)
            batch = decoder.take_rest()
            if batch is not None and batch.rows:
                self.decide(batch, 0, batch.rows)
        finally:
            # Drop a batch that was not decided: its rows must not appear again.
            decoder.take_rest()
        if batch is not None:
            # Rows that wait are a copy.
            pool.decoder_like.lend(batch)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def park(self, batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
        """Let rows wait."""
        if start < stop:
            waiting: Batch = copy_rows(batch, start, stop)
            if self.parked is None:
                self.parked = []
            self.parked.append(waiting)
            self.parked_rows += stop - start
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def decide(self, batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
        """Have rows decided; call the listener where the tally stops, and with rows that were not applied."""
        tally: Tally = self.counts
        pool: InletPool = self.pool
        self.require_own(tally)
        reached: cython.Py_ssize_t
        if self.rows_to_skip:
            start = self.skip(batch, start, stop)
            self.require_own(tally)
        if self.parked is not None:
            return self.park(batch, start, stop)
        may_wait: cython.bint = pool.decide_present is not None and not self.is_waiting_in_vain
        decide: object = pool.decide_present if may_wait else pool.decide
        while start < stop:
            position: uint64_t = self.rows_before + tally.rows
            refused_before: uint64_t = tally.refused_rows
            try:
                reached = decide(batch, start, stop, tally, self.stream, position)
            except BaseException:
                # The rows before the failure stand: they are counted, so they are followed and shown as well.
                reached = start + cython.cast(cython.Py_ssize_t, self.rows_before + tally.rows - position)
                self.follow_rows(batch, start, min(reached, stop), position, refused_before)
                raise
            if may_wait and start <= reached < stop and not tally.is_stopped:
                self.follow_rows(batch, start, reached, position, refused_before)
                return self.park(batch, reached, stop)
            if not start < reached <= stop:
                raise RuntimeError(f"decide() was given the rows {start} to {stop} and returned {reached}")
            self.follow_rows(batch, start, reached, position, refused_before)
            if tally.is_stopped:
                self.listener.on_stopped(batch, reached - 1)
                self.require_own(tally)
            start = reached
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def require_own(self, tally: Tally) -> cython.int:
        """Check that no callback ended the stream: its tally may belong to another stream by now."""
        if tally is None or self.counts is not tally:
            raise ValueError("the stream was ended while its rows were decided")
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def follow_rows(
        self,
        batch: Batch,
        start: cython.Py_ssize_t,
        stop: cython.Py_ssize_t,
        position: uint64_t,
        refused_before: uint64_t,
    ) -> cython.int:
        """Add decided rows to the digest, and show those that were not applied."""
        tally: Tally = self.counts
        if self.has_digest:
            self.digest += batch.add_digest(start, stop, position)
        if self.pool.shows and tally.refused_rows > refused_before:
            self.listener.on_refused(batch, start, stop, position)
            self.require_own(tally)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def skip(self, batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.Py_ssize_t:
        """Skip rows that were decided before; give the first row that was not."""
        rows: cython.Py_ssize_t = stop - start
        if cython.cast(uint64_t, rows) > self.rows_to_skip:
            rows = self.rows_to_skip
        self.skipped_digest += batch.add_digest(start, start + rows, self.skip_position)
        self.skip_position += rows
        self.skipped += rows
        self.rows_to_skip -= rows
        if self.rows_to_skip == 0:
            self.listener.on_skipped(batch, start + rows - 1)
        return start + rows
