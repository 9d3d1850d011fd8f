"""The client's session without a connection: what it sends, what replies mean to it, which replies it refuses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.outcome import Outcome
from holdfast.protocol.client_session import ClientSession, RemoteProtocolError, TlsRecordError
from holdfast.protocol.messages import (
    Ack,
    Directive,
    ErrorCode,
    Failure,
    Refused,
    Resume,
    StreamSettings,
    Summary,
)
from holdfast.protocol.wire import REPLY_LINE_BYTES_MAX, encode

RESUME = (
    b'{"resume": %d, "digest": "00000000000000ff", "settings": {"decimals": 4, "client_bits": 16, "tx_bits": 32, '
    b'"row_bytes_max": 4096, "excess_decimals": "refuse"}}\n'
)
SUMMARY = (
    b'{"rows": 3, "applied": 2, "refused": 1, "refused_by_code": {"TX_NOT_FOUND": 1}, "skipped": 0, "sequence": 9, '
    b'"stream": "s", "resume": 3}\n'
)
ASKING = Directive(stream="s", wants_acks=True)


def streaming(directive: Directive = ASKING, *, rows: int = 3, rows_before: int = 0) -> ClientSession:
    """Give a session that has sent so many rows."""
    session = ClientSession(directive, rows_before=rows_before)
    session.open()
    if directive.stream is not None:
        session.receive(RESUME % 0)
        assert session.next_event() is not None
    session.start(rows_before + 1)
    session.rows_sent(rows_before + rows)
    return session


def events(session: ClientSession, data: bytes) -> list[object]:
    """Give all events that some bytes make."""
    session.receive(data)
    found: list[object] = []
    while (event := session.next_event()) is not None:
        found.append(event)
    return found


def test_a_named_stream_waits_for_the_servers_answer() -> None:
    """The directive first; after the answer the second one, with the first row and the digest of those before it."""
    session = ClientSession(Directive(stream="s", wants_acks=True, token="secret"))  # noqa: S106  # no secret
    assert session.open() == b"#holdfast stream=s ack=rows token=secret\n"
    assert (session.is_open, session.is_reply_due) == (False, True)
    assert events(session, RESUME % 2) == [Resume(2, 255, StreamSettings())]
    assert session.is_open
    assert session.start(3, 255) == b"#holdfast from=3 digest=00000000000000ff\n"
    assert (session.is_streaming, session.is_reply_due, session.has_sent_rows) == (True, False, False)


def test_an_anonymous_stream_is_sent_at_once_and_numbered_after_the_rows_before() -> None:
    """Nobody answers its directive. A connection counts from 1, its events count on."""
    session = ClientSession(Directive(wants_acks=True, wants_refused=True), rows_before=10)
    assert session.open() == b"#holdfast ack=rows refused=rows\n"
    assert session.is_open
    assert session.start(11) == b""
    session.rows_sent(13)
    replies = b'{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n{"ack": 3, "sequence": 7}\n'
    assert events(session, replies) == [Refused(12, Outcome.TX_NOT_FOUND), Ack(13, 7)]


def test_a_reply_is_due_while_sent_rows_are_not_acknowledged() -> None:
    """And for the greeting and the summary; not on an idle connection."""
    session = streaming(rows=2)
    due = [session.is_reply_due]
    events(session, b'{"ack": 2, "sequence": 2}\n')
    due.append(session.is_reply_due)
    session.end()
    assert [*due, session.is_reply_due] == [True, False, True]


@given(st.lists(st.integers(1, 300), max_size=8))
def test_replies_mean_the_same_in_any_split(cuts: list[int]) -> None:
    """Bytes come as they come."""
    session = streaming(ASKING._replace(wants_refused=True))
    session.end()
    replies = b'{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n{"ack": 3, "sequence": 9}\n' + SUMMARY
    found = []
    for start, end in zip([0, *sorted(cuts)], [*sorted(cuts), len(replies)], strict=True):
        found += events(session, replies[start:end])
    assert found == [
        Refused(2, Outcome.TX_NOT_FOUND),
        Ack(3, 9),
        Summary(3, 2, {Outcome.TX_NOT_FOUND: 1}, 0, 9, "s", 3),
    ]
    assert session.is_closed


@pytest.mark.parametrize("code", ErrorCode)
def test_a_failure_closes_the_session(code: ErrorCode) -> None:
    """Nothing that follows it means anything."""
    session = streaming()
    line = b'{"error": {"code": "%b", "message": "why"}, "rows": 2, "sequence": 8}\n' % code.encode()
    assert events(session, line + b"nonsense\n") == [Failure(code, "why", 2, 8)]
    assert session.is_closed


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "is no reply of this protocol"),
        (b"\xff\xfe\n", "is no reply of this protocol"),
        (b"[1]\n", "is no reply of this protocol"),
        (RESUME % 0, "out of turn"),
        (b'{"ack": 4, "sequence": 1}\n', "only 3 rows were sent"),
        (b'{"ack": 2, "sequence": 1}\n{"ack": 1, "sequence": 1}\n', "row 1 after row 2"),
        (b'{"ack": 1, "sequence": 5}\n{"ack": 2, "sequence": 4}\n', "sequence went back from 5 to 4"),
        (b'{"ack": -1, "sequence": 1}\n', "is no reply of this protocol"),
        (b'{"refused": {"row": 1, "code": "TX_NOT_FOUND"}}\n', "were not asked for"),
        (SUMMARY, "before the input did"),
        (
            b'{"error": {"code": "INTERNAL", "message": "why"}, "rows": 4, "sequence": 8}\n',
            r"row 4 is decided, but only 3 rows were sent \(INTERNAL: why\)",
        ),
        (b'{"a": "' + b"x" * REPLY_LINE_BYTES_MAX, "does not end after 16,384 bytes"),
        (b'{"a": "' + b"x" * REPLY_LINE_BYTES_MAX + b'"}\n', "longer than 16,384 bytes"),
        (b"[" * 10_000 + b"\n", "is no reply of this protocol"),
    ],
)
def test_hostile_replies_are_a_clear_error(replies: bytes, said: str) -> None:
    """Whatever a peer says that no Holdfast server would."""
    session = streaming()
    with pytest.raises(RemoteProtocolError, match=said):
        events(session, replies)


def test_a_reply_before_its_time_is_an_error() -> None:
    """Before the stream is opened there is nothing to acknowledge, refuse or sum up."""
    for reply in (b'{"ack": 0, "sequence": 0}\n', SUMMARY):
        session = ClientSession(ASKING)
        session.open()
        with pytest.raises(RemoteProtocolError):
            events(session, reply)


@pytest.mark.parametrize(
    ("replies", "said"),
    [
        (b'{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n' * 2, "row 2 out of order"),
        (
            b'{"ack": 2, "sequence": 2}\n{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n',
            "row 2 out of order",
        ),
        (b'{"refused": {"row": 4, "code": "TX_NOT_FOUND"}}\n', "refused row 4, but only 3 rows were sent"),
    ],
)
def test_refused_rows_come_once_and_in_order(replies: bytes, said: str) -> None:
    """A row at or before the last ack, or the last refused one, was decided before; one that was not sent cannot be."""
    session = streaming(ASKING._replace(wants_refused=True))
    with pytest.raises(RemoteProtocolError, match=said):
        events(session, replies)


GOOD = Summary(3, 2, {Outcome.TX_NOT_FOUND: 1}, 0, 9, "s", 3)


@pytest.mark.parametrize(
    ("summary", "said"),
    [
        (GOOD._replace(rows=2, applied=1), "it says rows 2, but it is 3"),
        (GOOD._replace(rows=4, applied=3), "it says rows 4, but it is 3"),
        (GOOD._replace(skipped=1), "it says skipped 1, but it is 0"),
        (GOOD._replace(applied=1), "it says applied and refused rows 2, but it is 3"),
        (GOOD._replace(refused_by_outcome={}), "it says applied and refused rows 2, but it is 3"),
        (GOOD._replace(stream="t"), "it says stream 't', but it is 's'"),
        (GOOD._replace(stream=None, resume=None), "it says stream None, but it is 's'"),
        (GOOD._replace(resume=2), "it says resume 2, but it is 3"),
        (GOOD._replace(resume=7), "it says resume 7, but it is 3"),
    ],
)
def test_a_summary_that_differs_from_what_was_sent_is_an_error(summary: Summary, said: str) -> None:
    """In any of its numbers: a server that decided less than all must not look like success."""
    for reply in (GOOD, summary):
        session = streaming()
        session.end()
        if reply is GOOD:
            assert events(session, encode(reply)) == [GOOD]
            continue
        with pytest.raises(RemoteProtocolError, match=said):
            events(session, encode(reply))


def test_a_summary_that_differs_from_the_refused_rows_is_an_error() -> None:
    """Rows that were named one by one are those that it counts."""
    for refused in (b"", b'{"refused": {"row": 2, "code": "TX_NOT_FOUND"}}\n'):
        session = streaming(ASKING._replace(wants_refused=True))
        session.end()
        events(session, refused)
        if refused:
            assert events(session, encode(GOOD)) == [GOOD]
            continue
        with pytest.raises(RemoteProtocolError, match="other refused rows than were named"):
            events(session, encode(GOOD))


@pytest.mark.parametrize("record", [b"\x15\x03\x01\x00\x02\x02F", b"\x16\x03\x03"])
def test_a_server_that_speaks_tls_is_recognised(record: bytes) -> None:
    """Its first bytes are a TLS record, also one at a time; later on, such bytes are a broken reply."""
    session = ClientSession(ASKING)
    session.open()
    session.receive(record[:1])
    with pytest.raises(TlsRecordError):
        session.receive(record[1:])
    with pytest.raises(RemoteProtocolError, match="no reply"):
        events(streaming(), record + b"\n")


def test_a_call_out_of_turn_is_a_bug_of_the_callers() -> None:
    """Rows before the server's answer, the end before the rows."""
    session = ClientSession(ASKING)
    with pytest.raises(RuntimeError, match="new, not open"):
        session.start(1)
    with pytest.raises(RuntimeError, match="new, not streaming"):
        session.end()
