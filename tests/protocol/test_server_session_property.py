"""Any number of senders, any interleaving, any split, any loss: every row is decided once, in order, as the model says."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from csv_strategies import CsvCase, csv_cases
from holdfast import Engine
from holdfast.protocol.messages import Ack, Directive, Failure, Refused, Reply, Resume, Summary
from holdfast.protocol.server_context import ServerContext
from holdfast.protocol.wire import format_directive
from protocol.sessions import HEADER, DecidedRow, Line, RecordingEngine
from reference_decoder import UnusableHeaderError, decode
from strategies import cut, cuts

if TYPE_CHECKING:
    from hypothesis.strategies import DrawFn

    from holdfast.domain.outcome import Outcome

ROWS = st.one_of(
    st.builds(
        lambda type_, client, tx, amount: b"%b,%d,%d,%d.5" % (type_, client, tx, amount),
        st.sampled_from([b"deposit", b"deposit", b"withdrawal"]),
        st.integers(1, 2),
        st.integers(1, 9),
        st.integers(0, 3),
    ),
    st.builds(
        lambda type_, client, tx: b"%b,%d,%d" % (type_, client, tx),
        st.sampled_from([b"dispute", b"resolve", b"chargeback"]),
        st.integers(1, 2),
        st.integers(1, 9),
    ),
    st.sampled_from([b"nonsense", b"deposit,1,1,-1", b"deposit,1,1,", b"x" * 5000, b"\xff\0,,,"]),
)


class Sender:
    """Sends the rows of one stream, again where it has to, and checks what it is told.

    Args:
        engine: To see what is decided while it sends.
        intake: Where it sends to.
        rows: What it has to send.
        asked: What it asks for; its stream above all.
        overlap: How many rows before the resume mark it sends again; None to send all and leave ``from`` out.
    """

    def __init__(
        self,
        engine: RecordingEngine,
        intake: ServerContext,
        rows: list[bytes],
        asked: Directive,
        overlap: int | None,
    ) -> None:
        self._engine = engine
        self._intake = intake
        self._rows = rows
        self._asked = asked
        self._overlap = overlap
        self._acked = 0
        self._refused: list[tuple[int, Outcome]] = []
        self.decided: list[DecidedRow] = []
        self._line: Line | None = None
        self._unsent = b""

    @property
    def is_done(self) -> bool:
        """Whether everything was sent."""
        return self._line is not None and not self._unsent

    def send(self, size: int) -> None:
        """Send this many more bytes, after connecting if necessary."""
        if self._line is None:
            self._connect()
        piece, self._unsent = self._unsent[:size], self._unsent[size:]
        self._follow(piece)

    def lose(self) -> None:
        """Lose the connection, in the middle of a line perhaps; what was sent for an anonymous stream is done with."""
        if self._line is not None and self._asked.stream is not None:
            self._line.session.leave()
            self._line = None

    def finish(self) -> None:
        """Send the rest and end the input; the summary agrees with what was decided."""
        self.send(len(self._unsent) + 2**20)
        assert self._line is not None
        before = len(self._engine.recorded)
        *others, summary = self._line.end()
        self._check(others, before)
        assert isinstance(summary, Summary), summary
        assert summary.sequence == self._engine.decided
        assert summary.stream == self._asked.stream
        if self._asked.stream is not None:
            assert summary.resume == len(self._rows)
        else:
            assert summary.rows == len(self._rows)
        assert len(self.decided) == len(self._rows)
        if self._asked.wants_acks:
            assert self._acked == len(self._rows)
        if self._asked.wants_refused:
            refused = [row for row in enumerate((row[4] for row in self.decided), 1) if not row[1].is_applied]
            assert self._refused == refused

    def _connect(self) -> None:
        self._line = Line(self._intake)
        first = 0
        if self._asked != Directive():
            self._follow(format_directive(self._asked))
            assert self._asked.stream is None or self._resume == len(self.decided)
            if self._overlap is not None and self._asked.stream is not None:
                first = max(0, self._resume - self._overlap)
                self._follow(format_directive(Directive(first_row=first + 1)))
        self._unsent = HEADER + b"".join(row + b"\n" for row in self._rows[first:])

    def _follow(self, data: bytes) -> None:
        assert self._line is not None
        before = len(self._engine.recorded)
        self._check(self._line.send(data, seconds=0.004), before)
        if self._line.session.wake_at is not None and len(data) % 2:
            self._check(self._line.wait(0.01), len(self._engine.recorded))

    def _check(self, replies: list[Reply], decided_before: int) -> None:
        self.decided += self._engine.recorded[decided_before:]
        for reply in replies:
            assert not isinstance(reply, Failure | Summary), reply
            if isinstance(reply, Resume):
                self._resume = reply.rows
            elif isinstance(reply, Ack):
                assert self._acked <= reply.rows <= len(self.decided)
                assert reply.sequence <= self._engine.decided
                self._acked = reply.rows
            else:
                assert isinstance(reply, Refused)
                assert reply.row > self._acked
                self._refused.append((reply.row, reply.code))


@st.composite
def senders(draw: DrawFn, engine: RecordingEngine, intake: ServerContext) -> list[Sender]:
    """Generate senders of different streams."""
    return [
        Sender(
            engine,
            intake,
            draw(st.lists(ROWS, max_size=12)),
            draw(
                st.builds(
                    Directive,
                    stream=st.sampled_from([f"stream/{number}", None]),
                    wants_acks=st.booleans(),
                    wants_refused=st.booleans(),
                    token=st.none(),
                    first_row=st.none(),
                    digest=st.none(),
                )
            ),
            draw(st.none() | st.integers(0, 3)),
        )
        for number in range(draw(st.integers(1, 4)))
    ]


@given(st.data())
def test_every_row_once_and_in_order(data: st.DataObject) -> None:
    """However senders take turns, are cut off and reconnect, the rows of each are decided once and in order."""
    engine = RecordingEngine()
    intake = ServerContext(engine)
    all_senders = data.draw(senders(engine, intake))
    turns = data.draw(
        st.lists(st.tuples(st.integers(0, 3), st.integers(0, 60) | st.integers(0, 9000)), max_size=40)
    )
    for number, size in turns:
        sender = all_senders[number % len(all_senders)]
        # A turn without bytes is a loss.
        sender.send(size) if size else sender.lose()
    for sender in all_senders:
        sender.finish()
    engine.check_against_model()
    expected = defaultdict[str, int](int)
    for row in engine.recorded:
        expected[row[4].name] += 1
    assert sum(expected.values()) == sum(len(sender.decided) for sender in all_senders)
    assert sum(count for name, count in expected.items() if name != "APPLIED") == intake.refused_by_ended


@given(csv_cases(), cuts())
def test_split_does_not_matter(case: CsvCase, places: list[int]) -> None:
    """An anonymous stream of any bytes gives what the reference decoder gives for a file with these bytes."""
    engine = RecordingEngine()
    line = Line(ServerContext(engine))
    # The engine has its own settings: the same ones for the reference.
    config = type(case.config)()
    data = case.data if not case.data.startswith(b"#") else b"\n" + case.data
    try:
        rows = decode(data, config)
    except UnusableHeaderError:
        rows = None
    replies: list[Reply] = []
    for piece in cut(data, places):
        replies += line.send(piece)
    replies += line.end()
    if rows is None:
        assert [type(reply) for reply in replies] == [Failure]
        assert engine.decided == 0
        return
    (summary,) = replies
    assert isinstance(summary, Summary)
    assert summary.rows == len(rows)
    assert [(row[4] if row[4].phase.value == "decode" else 0) for row in engine.recorded] == [
        row.outcome for row in rows
    ]
    engine.check_against_model()


@given(
    st.binary(max_size=300),
    cuts(),
    st.sampled_from([b"", b"#holdfast ", b"#holdfast stream=a ack=rows\n", HEADER]),
)
def test_hostile_bytes(junk: bytes, places: list[int], before: bytes) -> None:
    """Whatever it gets, a session answers with whole lines of the protocol, keeps little, and ends with one last line."""
    intake = ServerContext(Engine())
    line = Line(intake)
    replies: list[Reply] = []
    for piece in cut(before + junk, places):
        replies += line.send(piece)
        assert line.session.held_bytes <= intake.engine.settings.row_bytes_max + 1100
    replies += line.end()
    assert line.session.has_ended
    assert isinstance(replies[-1], Failure | Summary)
    assert replies[-1].sequence == intake.engine.decided
