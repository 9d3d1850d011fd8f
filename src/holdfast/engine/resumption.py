"""A named stream that goes on: rows that the engine has decided before are compared and skipped."""

from __future__ import annotations

from holdfast.engine.streams import KnownStream, StreamChangedError

TYPE_CHECKING = False  # typing costs as much to import as a small job to do
if TYPE_CHECKING:
    from holdfast.engine.interface import AnyEngine
    from holdfast.engine.review import Review, Stop
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.inlet import Inlet


class Resumption:
    """Lets an inlet go on where its stream was.

    Args:
        engine: Knows the stream.
        stream: The stream's name.
        inlet: A fresh inlet for its rows, opened for this stream, which come from the first one on.
    """

    __slots__ = ("_known", "_stream")

    def __init__(self, engine: AnyEngine, stream: str, inlet: Inlet) -> None:
        self._stream = stream
        self._known = engine.find_stream(stream) or KnownStream()
        inlet.follow(inlet.stream, self._known.rows, self._known.digest, self._known.budgeted)
        inlet.skip_rows(self._known.rows, 0)

    def compare(self, inlet: Inlet, review: Review, batch: Batch, row: int, name: str) -> Stop | None:
        """Compare the rows that were skipped; stop again where the policy stopped before.

        Args:
            inlet: The inlet, which has skipped all of them.
            review: Asks the policy.
            batch: The batch that has the last of them,
            row: and its place there.
            name: The input.

        Raises:
            StreamChangedError: If they are other rows.
        """
        known = self._known
        if inlet.skipped_digest != known.digest:
            raise StreamChangedError(
                self._stream, f"its first {known.rows} rows are not those that were decided before"
            )
        if not known.stopped:
            return None
        return review.ask_again(batch, row, name, known, exceeds_budget=inlet.exceeds_budget)

    def check_end(self, inlet: Inlet) -> None:
        """Check, at the end of the stream, that all of the rows that were decided before have come.

        Raises:
            StreamChangedError: If there were fewer.
        """
        if inlet.rows_to_skip:
            raise StreamChangedError(
                self._stream,
                f"it ends after {inlet.skipped} rows, and {self._known.rows} rows were decided before",
            )
