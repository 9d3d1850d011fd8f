"""One stream's way into a ledger: text in, rows decided, in one call.

Among many short streams, what is paid for each piece matters more than what is paid for each row. A caller who has nothing to
decide beside the rows, because nobody wants to see those that are not applied and the policy never stops, hands text to an inlet
and gets nothing back but counts. All inlets of a ledger share one batch.
"""

import cython
from cython.cimports.holdfast.kernel.batch import Batch  # noqa: TC002  # the C type of a variable
from cython.cimports.holdfast.kernel.csv_decoder import CsvDecoder
from cython.cimports.holdfast.kernel.ledger import Ledger
from cython.cimports.holdfast.kernel.tally import Tally


# Nothing that it refers to refers to it, and the garbage collector has less to look at where there are thousands.
@cython.no_gc
@cython.cclass
class Inlet:
    """Decodes and applies the pieces of one stream.

    It applies without letting another Python thread run, so that it takes no lock: pieces are to be small.

    Args:
        ledger: What rows are applied to.
        decoder: Whose settings the stream's decoder has.
        like: Under whose actions rows are counted.

    Raises:
        ValueError: If ``like`` may stop at a row: somebody would have to be asked.
    """

    def __cinit__(self, ledger: Ledger, decoder: CsvDecoder, like: Tally):
        if like.may_stop():
            raise ValueError("an inlet asks nobody: its tally must not stop at any outcome")
        self.ledger = ledger
        self.settings = decoder
        self.decoder = decoder.fresh()
        self.tally = Tally.__new__(Tally)

    def fresh(self) -> Inlet:
        """Make an inlet like this one for another stream; cheap enough for a stream of a single row."""
        other: Inlet = Inlet.__new__(Inlet, self.ledger, self.settings, self.tally)
        return other

    def take(self, data) -> int:
        """Decide the rows of a piece.

        Args:
            data: Anything with the buffer protocol; it may be changed once this returns.

        Returns:
            How many bytes it has.

        Raises:
            HeaderError: If the stream does not begin with a usable header.
            MemoryError: If there is no memory for a row; those before it stand.
            RuntimeError: If another thread is applying.
            ValueError: After :meth:`finish`.
        """
        self.is_used = True
        batch: Batch = self.settings.take_rest()
        if batch is not None:
            self.decoder.lend(batch)
        try:
            for batch in self.decoder.feed(data):
                self.ledger.apply_all(batch, self.tally)
            batch = self.decoder.take_rest()
            if batch is not None and batch.rows:
                self.ledger.apply_all(batch, self.tally)
        finally:
            # A batch that was not applied is nobody's: its rows must not be met again.
            self.decoder.take_rest()
        if batch is not None:
            self.settings.lend(batch)
        size: cython.Py_ssize_t = len(data)
        self.input_bytes += size
        return size

    def finish(self) -> None:
        """End the stream: its last line may have no line end. Without a piece there was no stream.

        Raises:
            HeaderError: If there was no header in the pieces, above all if all were empty.
            MemoryError: If there is no memory for a row.
            RuntimeError: If another thread is applying.
        """
        if not self.is_used:
            return
        batch: Batch = self.decoder.finish()
        if batch is not None:
            self.ledger.apply_all(batch, self.tally)
