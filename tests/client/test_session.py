"""The session without a socket: what it does next, what replies mean to it, when it tries again, when it gives up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.peers import HEADER, deposits
from holdfast.client.connection import Limits
from holdfast.client.errors import ConnectionLostError, DeadlineError, ProtocolError, ServerError
from holdfast.client.retry import Backoff
from holdfast.client.row_buffer import RowBuffer
from holdfast.client.session import ClientSession
from holdfast.client.steps import Connect, Done, End, Read, Seek, Sleep, Wait, Write
from holdfast.domain.outcome import Outcome
from holdfast.protocol.messages import Directive, ErrorCode
from holdfast.protocol.wire import REPLY_LINE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.client.report import RefusedRow

SUMMARY = (
    b'{"rows": 3, "applied": 2, "refused": 1, "refused_by_code": {"TX_NOT_FOUND": 1}, "skipped": 0, "sequence": 9, '
    b'"stream": "s", "resume": 3}\n'
)


class Clock:
    """Time that passes when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell it."""
        return self.now


class Bench:
    """A session over three rows, with a clock and a jitter in the test's hand."""

    def __init__(
        self,
        *,
        stream: str | None = "s",
        limits: Limits = Limits(),  # noqa: B008  # a tuple
        on_refused: Callable[[RefusedRow], object] | None = None,
    ) -> None:
        self.clock = Clock()
        self.bounds: list[float] = []
        self.lost: list[str] = []
        self.feed = RowBuffer("<test>", header=HEADER, first_row=1, bytes_max=1000)
        self.feed.put(deposits(3))
        self.feed.end()
        self.session = ClientSession(
            self.feed,
            limits,
            Directive(stream=stream),
            on_refused=on_refused,
            on_lost=lambda reason, _: self.lost.append(reason),
            clock=self.clock,
            backoff=Backoff(limits.backoff_seconds, limits.backoff_seconds_max, self._uniform),
        )

    def _uniform(self, low: float, high: float) -> float:
        assert low == 0
        self.bounds.append(high)
        return high

    def connect(self, resume: int | None = 0) -> bytes:
        """Go on until all rows are sent; give what was written."""
        assert self.session.next_step() == Connect()
        self.session.connected()
        sent = b""
        while True:
            match self.session.next_step():
                case Write(data):
                    sent += data
                    self.session.written(len(data))
                case Seek(row):
                    self.feed.seek(row)
                    self.session.positioned()
                case Read():
                    self.session.take_input(self.feed.read())
                case Wait() if resume is not None and not self.session.is_streaming:
                    self.session.receive(b'{"resume": %d}\n' % resume)
                    resume = None
                case End():
                    return sent
                case step:
                    raise AssertionError(step)

    def lose(self, reason: str = "reset") -> float:
        """Lose the connection; give the seconds until the next attempt."""
        self.session.connection_lost(reason)
        step = self.session.next_step()
        assert isinstance(step, Sleep)
        self.clock.now += step.seconds
        return step.seconds


def test_a_named_stream_is_greeted_and_sent_from_where_it_stands() -> None:
    """The directive first, then, after the answer, the row to begin with, the header and that row."""
    bench = Bench()
    sent = bench.connect(resume=2)
    assert sent == b"#holdfast stream=s ack=rows\n#holdfast from=3\n" + HEADER + deposits(1, first=3)


def test_an_anonymous_stream_is_sent_at_once() -> None:
    """Nobody answers its directive, so nobody waits for an answer."""
    assert Bench(stream=None).connect(resume=None) == b"#holdfast ack=rows\n" + HEADER + deposits(3)


def test_the_summary_ends_the_stream() -> None:
    """The report has the server's counts and what was sent."""
    bench = Bench()
    sent = bench.connect()
    bench.clock.now += 2
    bench.session.receive(b'{"ack": 3, "sequence": 9}\n' + SUMMARY)
    assert bench.session.next_step() == Done()
    report = bench.session.report()
    assert (report.rows, report.applied, report.refused, report.untold, report.skipped) == (3, 2, 1, 0, 0)
    assert report.refused_by_outcome == {Outcome.TX_NOT_FOUND: 1}
    assert (report.sequence, report.sent_bytes, report.seconds) == (9, len(sent), 2.0)


@given(st.lists(st.integers(1, 200), max_size=8))
def test_replies_mean_the_same_in_any_split(cuts: list[int]) -> None:
    """Bytes come as they come."""
    seen: list[RefusedRow] = []
    bench = Bench(on_refused=seen.append)
    bench.connect()
    replies = b'{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n{"ack": 3, "sequence": 9}\n' + SUMMARY
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(replies)], strict=True):
        bench.session.receive(replies[start:end])
    assert bench.session.is_done
    assert seen == [(2, Outcome.TX_NOT_FOUND)]
    assert bench.session.report().refused_by_outcome == {Outcome.TX_NOT_FOUND: 1}


def test_a_lost_connection_is_resumed_behind_the_last_decided_row() -> None:
    """Wherever the stream stands by the server's word: at, behind or before the last ack that came."""
    bench = Bench()
    bench.connect()
    bench.session.receive(b'{"ack": 1, "sequence": 1}\n')
    bench.lose()
    assert bench.connect(resume=2).endswith(b"from=3\n" + HEADER + deposits(1, first=3))
    assert bench.session.acked == 2
    assert bench.session.report().reconnects == 1


def test_rows_whose_outcome_was_lost_are_counted_as_untold() -> None:
    """What a lost connection had told counts; what it had not is said to be unknown."""
    bench = Bench(on_refused=lambda _: None)
    bench.connect()
    bench.session.receive(b'{"refused": {"row": 1, "code": "TX_NOT_FOUND"}}\n{"ack": 1, "sequence": 1}\n')
    bench.lose()
    bench.connect(resume=2)
    last = SUMMARY.replace(b'"rows": 3', b'"rows": 1').replace(b'"applied": 2', b'"applied": 1')
    bench.session.receive(last.replace(b'"TX_NOT_FOUND": 1', b""))
    report = bench.session.report()
    assert (report.rows, report.applied, report.refused, report.untold) == (3, 1, 1, 1)


def test_the_backoff_doubles_to_its_end_and_begins_again_after_progress() -> None:
    """Full jitter: any time from nothing to the bound; an acknowledged row makes it small again."""
    bench = Bench(limits=Limits(backoff_seconds=1, backoff_seconds_max=5))
    for _ in range(5):
        assert bench.session.next_step() == Connect()
        bench.lose("refused")
    assert bench.bounds == [1, 2, 4, 5, 5]
    bench.connect()
    bench.session.receive(b'{"ack": 1, "sequence": 1}\n')
    assert bench.lose() == 1


def test_reconnecting_ends_when_there_is_no_progress() -> None:
    """The time without a further row is what counts, not the number of attempts."""
    bench = Bench(limits=Limits(backoff_seconds=4, backoff_seconds_max=4, retry_seconds_max=10))
    bench.connect()
    bench.lose()
    bench.session.next_step()
    bench.lose()
    bench.session.next_step()
    with pytest.raises(ConnectionLostError, match=r"cannot connect; gave up after 8\.0 seconds"):
        bench.session.connection_lost("cannot connect")


def test_no_retry_at_all_when_none_is_wanted() -> None:
    """With a limit of nothing, the first loss is the last."""
    bench = Bench(limits=Limits(retry_seconds_max=0, backoff_seconds=0))
    bench.connect()
    with pytest.raises(ConnectionLostError, match="reset"):
        bench.session.connection_lost("reset")


def test_the_deadline_ends_everything() -> None:
    """Also in the middle of a wait, which is no longer than the deadline allows."""
    bench = Bench(limits=Limits(deadline_seconds=10, backoff_seconds=60, backoff_seconds_max=60))
    bench.connect()
    bench.session.receive(b'{"ack": 2, "sequence": 1}\n')
    assert bench.lose() == 10
    with pytest.raises(DeadlineError, match=r"not done after 10 seconds; 2 rows are acknowledged"):
        bench.session.next_step()


def test_silence_is_a_lost_connection_when_an_answer_is_due() -> None:
    """The time is counted from the last byte in either direction."""
    bench = Bench(limits=Limits(reply_seconds_max=30))
    bench.connect()
    bench.clock.now += 20
    bench.session.receive(b'{"ack": 1, "sequence": 1}\n')
    assert bench.session.seconds_left() == 30
    connected = []
    for seconds in (29, 1):
        bench.clock.now += seconds
        bench.session.on_time()
        connected.append(bench.session.is_connected)
    assert connected == [True, False]
    assert bench.lost == ["nothing moved for 30 seconds"]


def test_an_idle_stream_is_kept_alive() -> None:
    """A blank line now and then, which is no row; and no answer is waited for."""
    feed = RowBuffer("<test>", header=HEADER, first_row=1, bytes_max=1000)
    clock = Clock()
    session = ClientSession(feed, Limits(keep_alive_seconds=60), Directive(), clock=clock)
    session.next_step()
    session.connected()
    for _ in range(3):
        if isinstance(session.next_step(), Seek):
            feed.seek(1)
            session.positioned()
    session.take_input(None)
    assert session.seconds_left() == 60
    clock.now += 60
    session.on_time()
    assert session.next_step() == Write(b"\n")


def test_an_anonymous_stream_is_not_resumed() -> None:
    """Rows may have been decided, and nobody can say which."""
    bench = Bench(stream=None)
    bench.connect(resume=None)
    with pytest.raises(ConnectionLostError, match="A stream without a name cannot be resumed"):
        bench.session.connection_lost("reset")


def test_an_anonymous_stream_is_tried_again_when_nothing_can_have_been_decided() -> None:
    """The server was not reached, or says that it took no row."""
    bench = Bench(stream=None)
    bench.session.next_step()
    bench.lose("refused")
    bench.connect(resume=None)
    error = b'{"error": {"code": "TOO_MANY_CONNECTIONS", "message": "full"}, "rows": 0, "sequence": 0}\n'
    bench.session.receive(error)
    assert isinstance(bench.session.next_step(), Sleep)
    assert bench.lost == ["refused", "TOO_MANY_CONNECTIONS: full"]


@pytest.mark.parametrize("code", ErrorCode)
def test_errors_are_final_or_tried_again(code: ErrorCode) -> None:
    """As the code says; a final one is raised with all that the server said."""
    bench = Bench()
    bench.connect()
    line = b'{"error": {"code": "%b", "message": "why"}, "rows": 2, "sequence": 8}\n' % code.encode()
    if code.is_retryable:
        bench.session.receive(line)
        assert isinstance(bench.session.next_step(), Sleep)
    else:
        with pytest.raises(ServerError, match=f"{code}: why") as caught:
            bench.session.receive(line)
        assert (caught.value.code, caught.value.rows, caught.value.sequence) == (code, 2, 8)
    assert bench.session.acked == 2


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "is no reply of this protocol"),
        (b"\xff\xfe\n", "is no reply of this protocol"),
        (b"[1]\n", "is no reply of this protocol"),
        (b'{"resume": 0}\n', "out of turn"),
        (b'{"ack": 4, "sequence": 1}\n', "only 3 rows were sent"),
        (b'{"ack": 2, "sequence": 1}\n{"ack": 1, "sequence": 1}\n', "row 1 after row 2"),
        (b'{"ack": -1, "sequence": 1}\n', "is no reply of this protocol"),
        (b'{"refused": {"row": 1, "code": "TX_NOT_FOUND"}}\n', "were not asked for"),
        (SUMMARY.replace(b'"s"', b'"t"'), "another one"),
        (SUMMARY.replace(b'"resume": 3', b'"resume": 2'), "ends at row 2, but 3 rows were sent"),
        (b'{"a": "' + b"x" * REPLY_LINE_BYTES_MAX, "does not end after 16,384 bytes"),
        (b'{"a": "' + b"x" * REPLY_LINE_BYTES_MAX + b'"}\n', "longer than 16,384 bytes"),
        (b"[" * 10_000 + b"\n", "is no reply of this protocol"),
    ],
)
def test_hostile_replies_are_a_clear_error(replies: bytes, said: str) -> None:
    """Whatever a peer says that no Holdfast server would."""
    bench = Bench()
    bench.connect()
    with pytest.raises(ProtocolError, match=said):
        bench.session.receive(replies)


def test_a_reply_before_its_time_is_an_error() -> None:
    """Before the stream is greeted there is nothing to acknowledge, refuse or sum up."""
    for reply in (b'{"ack": 0, "sequence": 0}\n', SUMMARY):
        bench = Bench()
        bench.session.next_step()
        bench.session.connected()
        with pytest.raises(ProtocolError):
            bench.session.receive(reply)


def test_refused_rows_come_once_and_in_order() -> None:
    """A row at or before the last ack, or the last refused one, was decided before."""
    bench = Bench(on_refused=lambda _: None)
    bench.connect()
    bench.session.receive(b'{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n')
    with pytest.raises(ProtocolError, match="row 2 out of order"):
        bench.session.receive(b'{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n')
