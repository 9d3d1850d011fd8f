"""What the tests of sessions share: an engine that remembers what it decided, and a connection without a network."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast import Engine
from holdfast.domain.model import Model
from holdfast.domain.outcome import Outcome
from holdfast.domain.transaction import TransactionType
from holdfast.protocol.messages import Event, Failure, Reply, Summary
from holdfast.protocol.server_session import Session
from holdfast.protocol.wire import encode_all, parse_reply

if TYPE_CHECKING:
    from holdfast.kernel.batch import Batch
    from holdfast.kernel.tally import Tally
    from holdfast.protocol.server_context import ServerContext

HEADER = b"type,client,tx,amount\n"
DecidedRow = tuple[int, int, int, int, Outcome]
"""Type (0 for a row that is malformed), client, tx, amount in units, and what became of it."""


class RecordingEngine(Engine):
    """An engine that remembers the rows it decided, in the order in which it did."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[DecidedRow] = []
        self.recorder = self

    def record(  # as the ledger calls it
        self,
        batch: Batch,
        start: int,
        stop: int,
        sequence: int,
        _stream: str | None,
        _position: int,
        _tally: Tally,
    ) -> None:
        """Remember rows that were decided."""
        assert sequence == len(self.recorded)
        for row in range(start, stop):
            outcome = Outcome(batch.outcomes[row])
            self.recorded.append(
                (batch.types[row], batch.clients[row], batch.txs[row], batch.amounts[row], outcome)
            )

    def check_against_model(self) -> None:
        """Let the specification decide the same rows in the same order: outcomes and accounts are the same."""
        model = Model()
        for type_, client, tx, amount, outcome in self.recorded:
            if outcome.phase.value != "decode":
                assert model.apply(TransactionType(type_), client, tx, amount) is outcome
        assert list(self.accounts()) == model.accounts()
        assert self.decided == len(self.recorded)


class Line:
    """A connection without a network: a session, and all that it said.

    Args:
        intake: What the session feeds.
        now: The time.
    """

    def __init__(self, intake: ServerContext, now: float = 0.0) -> None:
        self.session = Session(intake, self, now)
        self.output = b""
        self.now = now

    def deliver(self, events: list[Event]) -> None:
        """Take the last events of a session that was superseded."""
        self.output += encode_all(events)

    def send(self, data: bytes, *, seconds: float = 0.0) -> list[Reply]:
        """Send bytes, some time after the last ones; give the replies."""
        self.now += seconds
        if data and not self.session.has_ended:
            # A buffer that others write into as soon as the session has returned.
            buffer = bytearray(data)
            view = memoryview(buffer)
            for start in range(0, len(view), self.session.piece_bytes):
                if not self.session.has_ended:
                    piece = view[start : start + self.session.piece_bytes]
                    self.deliver(self.session.receive(piece, self.now))
            buffer[:] = b"#" * len(buffer)
        return self.take()

    def end(self) -> list[Reply]:
        """End the input; give the replies."""
        self.deliver(self.session.end_of_input(self.now))
        return self.take()

    def wait(self, seconds: float) -> list[Reply]:
        """Let time pass, as a transport does: wake the session when it wants to be, and check it."""
        until = self.now + seconds
        if self.session.wake_at is not None and self.session.wake_at <= until:
            self.deliver(self.session.wake(self.session.wake_at))
        self.now = until
        self.deliver(self.session.check(until))
        return self.take()

    def take(self) -> list[Reply]:
        """Give the replies that have not been taken yet."""
        output, self.output = self.output, b""
        assert not output or output.endswith(b"\n")
        found = [parse_reply(line) for line in output.splitlines()]
        assert all(not isinstance(reply, Failure | Summary) for reply in found[:-1])
        return found
