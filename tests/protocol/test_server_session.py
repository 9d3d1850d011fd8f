"""One session at a time: timeouts, acks, policies, limits, by a clock that the test moves."""

from __future__ import annotations

import pytest

from holdfast import Action, Budget, Deposit, Engine, ErrorPolicy, Outcome, TablePolicy
from holdfast.kernel.csv.decoder import CsvDecoder, HeaderError
from holdfast.protocol.durability import DurableRows
from holdfast.protocol.limits import ServerLimits
from holdfast.protocol.messages import Ack, ErrorCode, Failure, Refused, Reply, Resume, Summary
from holdfast.protocol.server_context import ServerContext
from holdfast.protocol.server_session import ACK_ROWS_MAX
from protocol.sessions import HEADER, Line


def deposits(first_tx: int, count: int) -> bytes:
    """Write deposits of one unit."""
    return b"".join(b"deposit,1,%d,0.0001\n" % tx for tx in range(first_tx, first_tx + count))


def intake(policy: ErrorPolicy | None = None, **limits: float) -> ServerContext:
    """Make an intake with limits of its own."""
    return ServerContext(Engine(), policy=policy, limits=ServerLimits(**limits))  # type: ignore[arg-type]  # limits are numbers


def resume(rows: int) -> Resume:
    """Give the position of a stream of :func:`deposits` after this many rows."""
    decoder = CsvDecoder()
    decoder.feed(HEADER + deposits(1, rows))
    batch = decoder.finish()
    return Resume(rows, 0 if batch is None else batch.digest())


def failure(line: Line) -> Failure:
    """Give the one reply that there is, an error."""
    (reply,) = line.take()
    assert isinstance(reply, Failure)
    return reply


def test_plain_rows_have_no_replies() -> None:
    """A sender that asked for nothing gets nothing until the end."""
    line = Line(intake())
    assert line.send(HEADER + deposits(1, 3) + b"nonsense\n") == []
    assert line.wait(1) == []
    assert line.end() == [Summary(4, 3, {Outcome.MALFORMED_ROW: 1}, 0, 4)]


def test_a_client_that_speaks_tls_is_told_at_once() -> None:
    """Its first bytes need not have a line end in them: it would wait for one, and the session too."""
    for rest in (b"", b"\x01\x02\x00", b"\x01\n\n"):
        line = Line(intake())
        (reply,) = line.send(b"\x16\x03" + rest)
        assert isinstance(reply, Failure)
        assert reply.code is ErrorCode.BAD_HEADER
        assert "this is TLS" in reply.message


@pytest.mark.parametrize(
    ("header", "fact"),
    [
        (b"type;client;tx;amount", "separated by semicolons, not by commas"),
        ("type,client,tx,amount".encode("utf-16"), "looks like UTF-16 text"),
        (b"type,client,tx,Stra\xdfe", "is not UTF-8"),
        (b'{"type":"deposit"}', "looks like NDJSON"),
        (b"{", "looks like JSON"),
        (b"[", "looks like a JSON array"),
        (b"sep=;", "Excel's line 'sep='"),
        (b"Art,client,tx,amount", "has no column type"),
        (b"types,client,tx,amount", "perhaps 'types' for 'type' is meant"),
    ],
)
def test_advice_is_for_who_gets_it(header: bytes, fact: str) -> None:
    """Over a network there are no options of the command; on a file the same header names one that reads it."""
    failed = failure_of(header)
    assert fact in failed.message
    assert "--" not in failed.message
    with pytest.raises(HeaderError) as caught:
        CsvDecoder().feed(header + b"\n")
    assert str(caught.value).startswith(f"{failed.message}; ")
    assert "--" in str(caught.value)


def failure_of(header: bytes) -> Failure:
    """Send a header that is none, and give the reply."""
    line = Line(intake())
    (reply,) = line.send(header + b"\n")
    assert isinstance(reply, Failure)
    assert reply.code is ErrorCode.BAD_HEADER
    return reply


def test_acks_are_coalesced() -> None:
    """An ack is sent at once if the last is 10 ms old, and otherwise after these 10 ms, for all rows since."""
    line = Line(intake())
    assert line.send(b"#holdfast ack=rows\n" + HEADER + deposits(1, 1)) == [Ack(1, 1)]
    assert line.send(deposits(2, 1), seconds=0.002) == []
    assert line.send(deposits(3, 1), seconds=0.002) == []
    assert line.session.wake_at == pytest.approx(0.01)
    assert line.wait(0.005) == []
    assert line.wait(0.005) == [Ack(3, 3)]
    assert line.session.wake_at is None
    assert line.send(deposits(4, 1), seconds=0.02) == [Ack(4, 4)]


def test_many_rows_are_acknowledged_at_once() -> None:
    """At most 65,536 rows go without an ack, however fast they arrive."""
    line = Line(intake())
    line.send(b"#holdfast ack=rows\n" + HEADER + deposits(1, 1))
    acked, count = 1, 200_000
    for reply in line.send(deposits(2, count)):
        assert isinstance(reply, Ack)
        assert acked < reply.rows <= acked + ACK_ROWS_MAX
        acked = reply.rows
    assert count + 1 - acked <= ACK_ROWS_MAX
    assert line.end()[0] == Ack(count + 1, count + 1)


def test_skipped_rows_are_acknowledged_once() -> None:
    """Rows that are sent again are acknowledged once, with the stream's position."""
    shared = intake()
    first = Line(shared)
    first.send(b"#holdfast stream=a\n" + HEADER + deposits(1, 5))
    first.end()
    line = Line(shared)
    assert line.send(b"#holdfast stream=a ack=rows\n" + HEADER + deposits(1, 2)) == [resume(5), Ack(5, 5)]
    assert line.send(deposits(3, 2), seconds=1) == []
    assert line.send(deposits(5, 2), seconds=1) == [Ack(6, 6)]


def test_last_ack_comes_before_an_error() -> None:
    """A sender gets the ack of all decided rows before the error that ends its connection."""
    line = Line(intake(TablePolicy(Action.ABORT)))
    line.send(b"#holdfast ack=rows refused=rows\n" + HEADER + deposits(1, 1))
    replies = line.send(deposits(2, 2) + b"nonsense\n" + deposits(4, 1), seconds=0.001)
    assert replies[:2] == [Refused(4, Outcome.MALFORMED_ROW), Ack(4, 4)]
    assert isinstance(replies[2], Failure)
    assert replies[2].code is ErrorCode.POLICY_ABORT
    assert (replies[2].rows, replies[2].sequence) == (4, 4)


def test_policy_is_each_connections_own() -> None:
    """Each sender has its own budget, whatever another has used up."""
    shared = intake(TablePolicy(Action.BUDGET, budget=Budget(rows=1)))
    first, second = Line(shared), Line(shared)
    assert first.send(HEADER + b"nonsense\n") == []
    assert second.send(HEADER + b"nonsense\n") == []
    (reply,) = first.send(b"nonsense\n")
    assert isinstance(reply, Failure)
    assert "row 2: the budget of 1 rows that may go unapplied is exceeded" in reply.message
    assert second.send(deposits(1, 1)) == []
    assert isinstance(second.end()[0], Summary)


def test_budget_in_percent_is_judged_at_the_end() -> None:
    """A budget in percent is checked at the end of the input too."""
    line = Line(intake(TablePolicy(Action.BUDGET, budget=Budget(ppm=100_000))))
    assert line.send(HEADER + deposits(1, 3) + b"nonsense\n") == []
    (reply,) = line.end()
    assert isinstance(reply, Failure)
    assert (reply.code, reply.rows) == (ErrorCode.POLICY_ABORT, 4)
    assert "1 of 4 rows" in reply.message


def test_callback_sees_the_row() -> None:
    """A policy's callback sees the row's text, and may go on."""
    seen: list[bytes] = []

    class Asking(ErrorPolicy):
        def action(self, outcome: object, severity: object) -> Action:  # noqa: ARG002  # asks about all
            return Action.CALLBACK

        def decide(self, rejection: object) -> Action:
            seen.append(rejection.raw)  # type: ignore[attr-defined]  # a Rejection
            return Action.SKIP if len(seen) < 3 else Action.ABORT

    line = Line(intake(Asking()))
    assert line.send(HEADER + b"one\n" + deposits(1, 1) + b"two\n") == []
    (reply,) = line.send(deposits(2, 1) + b"three\n" + deposits(3, 1))
    assert isinstance(reply, Failure)
    assert seen == [b"one", b"two", b"three"]
    assert reply.rows == 5


def test_handshake_timeout() -> None:
    """The header must arrive in time, whatever trickles in meanwhile."""
    line = Line(intake(handshake_seconds_max=1))
    for byte in b"type":
        assert line.send(bytes([byte]), seconds=0.25) == []
    line.deliver(line.session.check(line.now + 0.01))
    assert failure(line).code is ErrorCode.HANDSHAKE_TIMEOUT


def test_idle_timeout_and_keep_alive() -> None:
    """A blank line keeps a connection open; silence ends it."""
    line = Line(intake(idle_seconds_max=1))
    line.send(HEADER)
    for _ in range(5):
        assert line.wait(0.9) == []
        assert line.send(b"\n") == []
    (reply,) = line.wait(1.1)
    assert isinstance(reply, Failure)
    assert reply.code is ErrorCode.IDLE_TIMEOUT


def test_idle_for_ever() -> None:
    """A limit of 0 means no limit."""
    line = Line(intake(idle_seconds_max=0))
    line.send(HEADER)
    assert line.wait(1e9) == []


def test_line_timeout() -> None:
    """One byte a second is not enough to end a line in time; whole lines in between are."""
    line = Line(intake(line_seconds_max=3))
    line.send(HEADER)
    for _ in range(10):
        line.send(b"deposit,1,")
        assert line.wait(2) == []
        line.send(b"1,1\n")
        assert line.wait(2) == []
    for byte in b"dep":
        assert line.send(bytes([byte])) == []
        assert line.wait(1) == []
    line.send(b"o")
    (reply,) = line.wait(1.1)
    assert isinstance(reply, Failure)
    assert reply.code is ErrorCode.LINE_TIMEOUT
    assert "line 12 has no end" in reply.message


def test_held_back_senders_are_not_blamed() -> None:
    """Time limits do not run for a sender that the server does not read from."""
    line = Line(intake(line_seconds_max=1, idle_seconds_max=1))
    line.send(HEADER)
    assert line.session.check(100, is_held=True) == []
    line.send(b"dep")
    for now in range(200, 220):
        assert line.session.check(now, is_held=True) == []


@pytest.mark.parametrize("size", [1, 7, 100, 1999])
def test_line_too_long(size: int) -> None:
    """The length of a line is counted to the byte, in pieces of any size, though the decoder keeps at most a row of it."""
    line = Line(ServerContext(Engine(), limits=ServerLimits(line_bytes_max=6000)))
    line.send(HEADER + deposits(1, 1))
    for start in range(0, 6000, size):
        assert line.send(b"x" * min(size, 6000 - start)) == []
        assert line.session.held_bytes < 4200
    (reply,) = line.send(b"x")
    assert isinstance(reply, Failure)
    assert (reply.code, reply.rows) == (ErrorCode.LINE_TOO_LONG, 1)
    assert "line 3 has no end after 6000 bytes" in reply.message


def test_line_that_ends_in_time_is_a_row() -> None:
    """A line between the longest row and the longest line is a row that is too long, and the next line is read normally."""
    line = Line(ServerContext(Engine(), limits=ServerLimits(line_bytes_max=6000)))
    line.send(HEADER)
    for _ in range(3):
        assert line.send(b"x" * 5000) == []
        assert line.send(b"x" * 999 + b"\n" + deposits(1, 1)) == []
    assert line.end() == [Summary(6, 1, {Outcome.ROW_TOO_LONG: 3, Outcome.DUPLICATE_TX: 2}, 0, 6)]


def test_directive_that_never_ends() -> None:
    """The beginning of a directive is kept, up to the longest directive."""
    line = Line(intake())
    assert line.send(b"#holdfast token=") == []
    (reply,) = line.send(b"a" * 1024)
    assert isinstance(reply, Failure)
    assert reply.code is ErrorCode.BAD_DIRECTIVE


def test_nothing_comes_after_the_end() -> None:
    """A session that has ended takes no input and gives no events."""
    line = Line(intake())
    line.send(b"nonsense\n")
    assert line.session.has_ended
    assert line.session.receive(memoryview(HEADER), 1.0) == []
    assert line.session.end_of_input(1.0) == []
    assert line.session.check(1e9) == []


def test_superseded_session_ends_where_it_stands() -> None:
    """The newer connection gets a position with all rows of the older one, and the older one gets the error."""
    shared = intake()
    old, new = Line(shared), Line(shared)
    old.send(b"#holdfast stream=a\n" + HEADER + deposits(1, 3) + b"depo")
    assert new.send(b"#holdfast stream=a\n") == [resume(3)]
    assert failure(old).code is ErrorCode.SUPERSEDED
    new.send(HEADER + deposits(1, 5))
    assert new.end()[-1] == Summary(2, 2, {}, 3, 5, "a", 5)


def test_failed_opening_gives_its_stream_back() -> None:
    """A stream is released after its sender announced a gap."""
    shared = intake(streams_max=1)
    line = Line(shared)
    line.send(b"#holdfast stream=a from=2\n")
    assert line.session.has_ended
    assert Line(shared).send(b"#holdfast stream=b\n") == [resume(0)]


def test_anonymous_rows_may_be_numbered_from_one() -> None:
    """An anonymous stream can only begin with its first row."""
    line = Line(intake())
    assert line.send(b"#holdfast from=1\n" + HEADER + deposits(1, 1)) == []
    assert line.end() == [Summary(1, 1, {}, 0, 1)]


def test_third_directive() -> None:
    """A third directive is an error."""
    line = Line(intake())
    replies = line.send(b"#holdfast stream=a\n#holdfast from=1\n#holdfast from=1\n")
    assert replies[0] == resume(0)
    assert isinstance(replies[1], Failure)
    assert replies[1].code is ErrorCode.BAD_DIRECTIVE


def test_directives_may_end_with_crlf() -> None:
    """Directives may end with CR LF, up to the longest directive."""
    line = Line(intake())
    longest = b"#holdfast token=".ljust(1024, b"a")
    assert line.send(longest + b"\r") == []
    assert line.send(b"\n" + HEADER.replace(b"\n", b"\r\n")) == []


def test_limits_leave_room_for_a_row() -> None:
    """Limits under which no row could ever be taken are refused."""
    with pytest.raises(ValueError, match="line_bytes_max is 4096, too little"):
        ServerContext(Engine(), limits=ServerLimits(line_bytes_max=4096))
    with pytest.raises(ValueError, match="connections_max is greater than 0"):
        ServerLimits(connections_max=0)


def digest_of(first_tx: int, count: int) -> int:
    """Give the digest of a stream of deposits."""
    decoder = CsvDecoder()
    decoder.feed(HEADER + deposits(first_tx, count))
    batch = decoder.finish()
    assert batch is not None
    return batch.digest()


def after_rows(count: int) -> ServerContext:
    """Make a server that has decided this many deposits of its stream "a"."""
    shared = intake()
    line = Line(shared)
    line.send(b"#holdfast stream=a\n" + HEADER + deposits(1, count))
    line.end()
    return shared


def refusal(replies: list[Reply]) -> Failure:
    """Give the last reply, which is an error."""
    assert isinstance(replies[-1], Failure)
    return replies[-1]


@pytest.mark.parametrize("start", [b"", b" from=1"])
@pytest.mark.parametrize("extra", [0, 1, 5])
def test_other_rows_under_a_known_name_are_refused(start: bytes, extra: int) -> None:
    """Rows that are sent again are compared with the decided ones; if they differ, nothing after them is applied."""
    shared = after_rows(3)
    line = Line(shared)
    error = refusal(line.send(b"#holdfast stream=a" + start + b"\n" + HEADER + deposits(7, 3 + extra)))
    assert (error.code, error.rows, error.sequence) == (ErrorCode.STREAM_CHANGED, 3, 3)
    assert not error.code.is_retryable
    assert shared.engine.decided == 3
    again = Line(shared)
    assert again.send(b"#holdfast stream=a\n") == [resume(3)]


@pytest.mark.parametrize("first", [2, 3, 4])
def test_rows_from_the_middle_are_compared_with_the_senders_digest(first: int) -> None:
    """With the digest of the rows before, any overlap can be compared; a wrong digest is found even without overlap."""
    for wrong in (0, 1):
        shared = after_rows(3)
        line = Line(shared)
        digest = digest_of(1, first - 1) ^ wrong
        said = b"#holdfast stream=a\n#holdfast from=%d digest=%016x\n" % (first, digest)
        replies = line.send(said + HEADER + deposits(first, 5 - first))
        if wrong:
            assert refusal(replies).code is ErrorCode.STREAM_CHANGED
            assert shared.engine.decided == 3
        else:
            assert line.end()[-1] == Summary(1, 1, {}, 4 - first, 4, "a", 4)


def test_rows_from_the_middle_without_a_digest_are_taken_at_their_word() -> None:
    """Without that digest, an overlap in the middle cannot be compared."""
    line = Line(after_rows(3))
    line.send(b"#holdfast stream=a from=3\n" + HEADER + deposits(9, 2))
    assert line.end() == [Summary(1, 1, {}, 1, 4, "a", 4)]


@pytest.mark.parametrize("rows", [1, 2])
def test_an_input_that_ends_too_early_is_another_one(rows: int) -> None:
    """An input that ends too early is an error, even if the rows that it has are the same."""
    line = Line(after_rows(3))
    assert line.send(b"#holdfast stream=a\n" + HEADER + deposits(1, rows))[1:] == []
    error = refusal(line.end())
    assert error.code is ErrorCode.STREAM_CHANGED
    assert f"the input ended {('2 rows', '1 row')[rows - 1]} before that" in error.message


def test_a_header_alone_changes_nothing() -> None:
    """A sender that sends no row gets no error about its rows."""
    line = Line(after_rows(3))
    line.send(b"#holdfast stream=a\n" + HEADER)
    assert line.end() == [Summary(0, 0, {}, 0, 3, "a", 3)]


def test_how_rows_are_written_makes_no_difference() -> None:
    """Blanks, case, quotes, other columns and their order do not change the digest."""
    line = Line(after_rows(2))
    line.send(b"#holdfast stream=a\nnote,Amount, tx ,client,type\n")
    line.send(b'x,0.00010,"1",01,DEPOSIT\r\n\r\n,+.0001, 2,1,"deposit"\n')
    assert line.end() == [Summary(0, 0, {}, 2, 2, "a", 2)]


class Lagging(Engine):
    """An engine whose rows become durable when the test says so."""

    lasting = 0

    @property
    def durable(self) -> int:
        """Rows that a crash would not lose."""
        return self.lasting


def test_acks_and_summaries_wait_until_rows_are_durable() -> None:
    """Rows that are decided but not durable are in no ack and no summary."""
    engine = Lagging()
    line = Line(ServerContext(engine))
    assert line.send(b"#holdfast ack=rows stream=a\n" + HEADER + deposits(1, 2))[1:] == []
    assert line.send(deposits(3, 2), seconds=1) == []
    engine.lasting = 2
    assert line.send(deposits(5, 1), seconds=1) == [Ack(2, 2)]
    assert line.end() == []
    assert not line.session.has_ended
    line.deliver(line.session.wake(line.now))
    assert line.take() == []
    engine.lasting = 5
    line.deliver(line.session.wake(line.now))
    assert line.take() == [Ack(5, 5), Summary(5, 5, {}, 0, 5, "a", 5)]


def test_an_error_names_what_is_durable() -> None:
    """After a lost connection, a sender sends the rows again that are not durable."""
    engine = Lagging()
    line = Line(ServerContext(engine, policy=TablePolicy(Action.ABORT)))
    line.send(HEADER + deposits(1, 3))
    engine.lasting = 2
    error = refusal(line.send(b"nonsense\n"))
    assert (error.rows, error.sequence) == (0, 2)
    assert engine.decided == 4


def test_an_ack_comes_when_the_watermark_has_moved() -> None:
    """A sender that waits for it sends nothing else meanwhile."""
    engine = Lagging()
    line = Line(ServerContext(engine))
    line.send(b"#holdfast ack=rows stream=a\n" + HEADER + deposits(1, 2))
    assert line.wait(1) == []
    engine.lasting = 1
    line.deliver(line.session.wake(line.now))
    assert line.take() == []
    engine.lasting = 2
    line.deliver(line.session.wake(line.now))
    assert line.take() == [Ack(2, 2)]
    line.send(deposits(3, 1))
    engine.lasting = 3
    assert line.wait(1) == [Ack(3, 3)]


class Moving(Lagging):
    """An engine whose rows become durable between two looks at it, as if a thread had committed them."""

    looks_left = 1_000_000

    @property
    def durable(self) -> int:
        """All rows, from some look on."""
        self.looks_left -= 1
        return self.decided if self.looks_left < 0 else 0


@pytest.mark.parametrize("looks", range(16))
def test_rows_that_become_durable_while_an_ack_is_made_are_acknowledged(looks: int) -> None:
    """No commit follows that would wake the session once more: it has to have noticed, or to look again by itself."""
    engine = Moving()
    line = Line(ServerContext(engine))
    line.send(b"#holdfast ack=rows\n" + HEADER + deposits(1, 1))
    engine.looks_left = looks
    replies = line.send(deposits(2, 1), seconds=1)
    for _ in range(10):
        replies += line.wait(1)
    assert replies[-1] == Ack(2, 2)


def test_where_a_stream_is_waits_until_that_is_durable() -> None:
    """A sender would let go of rows that a crash could still lose; rows that it sends meanwhile are taken."""
    engine = Lagging()
    shared = ServerContext(engine)
    Line(shared).send(b"#holdfast stream=a\n" + HEADER + deposits(1, 3))
    line = Line(shared)
    assert line.send(b"#holdfast stream=a ack=rows\n") == []
    assert line.send(HEADER + deposits(1, 4), seconds=1) == []
    engine.lasting = 2
    assert line.wait(1) == []
    engine.lasting = 4
    replies = line.wait(1)
    assert replies[0] == resume(3)
    assert replies[1:] == [Ack(4, 4)]


def test_an_error_before_the_position_is_durable_names_no_position() -> None:
    """There is no first line then, and no row is promised."""
    engine = Lagging()
    shared = ServerContext(engine)
    Line(shared).send(b"#holdfast stream=a\n" + HEADER + deposits(1, 3))
    line = Line(shared)
    line.send(b"#holdfast stream=a ack=rows\n")
    (error,) = line.send(b"#holdfast stream=b\n")
    assert isinstance(error, Failure)
    assert (error.code, error.rows) == (ErrorCode.BAD_DIRECTIVE, 0)


def test_a_last_row_that_was_decided_before_needs_no_line_end() -> None:
    """It is compared, and not decided, so that half a row does no harm."""
    shared = intake()
    text = HEADER + deposits(1, 3).rstrip(b"\n")
    for asked, skipped in ((b"", 0), (b" ack=rows", 3), (b"", 3)):
        line = Line(shared)
        line.send(b"#holdfast stream=a" + asked + b"\n" + text)
        summary = line.end()[-1]
        assert isinstance(summary, Summary)
        assert (summary.skipped, summary.resume) == (skipped, 3)
    assert shared.engine.decided == 3


def test_memory_of_marks_is_bounded() -> None:
    """A watermark that stands still costs no more, however many rows come."""
    engine = Lagging()
    rows = DurableRows(engine)
    for row in range(1, 1_000):
        engine.apply(Deposit(1, row, "1"))
        rows.note(row)
    assert rows.count() == 0
    engine.lasting = 40
    assert rows.count() == 40
    engine.lasting = 998
    assert 0 < rows.count() < 999
    engine.lasting = 999
    assert rows.count() == 999


@pytest.mark.parametrize("stream", [b"", b"stream=a "])
def test_a_digest_of_no_rows(stream: bytes) -> None:
    """No row comes before the first one; a digest of none that is not zero is a mistake."""
    line = Line(intake())
    assert (
        refusal(line.send(b"#holdfast " + stream + b"from=1 digest=00000000000000ff\n")).code
        is ErrorCode.BAD_DIRECTIVE
    )
