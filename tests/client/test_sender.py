"""A stream over several connections: what is counted, what is tried again, what is given up at once."""

from __future__ import annotations

import asyncio
import pickle
import socket
from typing import TYPE_CHECKING

import pytest

import holdfast
from client.peers import HEADER, QUICK, Peer, deposits, resume, scripted
from client.test_fronts import summary
from holdfast.client import (
    AsyncClient,
    Client,
    ConnectionFault,
    ConnectionLostError,
    LostRowsError,
    ProtocolError,
    RefusedRow,
    SendError,
    ServerError,
    SettingsMismatchError,
    StreamMismatchError,
    send,
)
from holdfast.domain.outcome import Outcome
from holdfast.protocol.messages import ErrorCode

if TYPE_CHECKING:
    from collections.abc import Callable

DATA = HEADER + deposits(3)
FAILURE = '{{"error": {{"code": "{}", "message": "why"}}, "rows": {}, "sequence": 8}}'


def take(peer: Peer, *, rows: int) -> None:
    """Answer for a new named stream, and read so many rows."""
    peer.line()
    peer.say(resume(0))
    for _ in range(2 + rows):
        peer.line()


def finish(peer: Peer, *, had: int, rows: int = 3) -> None:
    """Answer for a stream of which the server has some rows, and take the others."""
    peer.line()
    peer.say(resume(had, HEADER + deposits(rows)))
    sent = peer.rest().splitlines(keepends=True)
    assert b"".join(sent[1:]) == HEADER + deposits(rows - had, first=had + 1)
    now = rows - had
    line = summary(rows, "s").replace(b'"rows": %d' % rows, b'"rows": %d' % now)
    peer.say(line.replace(b'"applied": %d' % rows, b'"applied": %d' % now))


def test_a_lost_connection_is_resumed_after_the_last_decided_row() -> None:
    """Wherever the stream is by the server's word: at, after or before the last ack that came."""
    for acked, had in ((1, 1), (1, 2), (2, 0), (3, 3)):

        def script(peer: Peer, acked: int = acked) -> None:
            take(peer, rows=3)
            peer.say(b'{"ack": %d, "sequence": %d}' % (acked, acked))

        with scripted(script, lambda peer, had=had: finish(peer, had=had)) as address:  # type: ignore[misc]  # mypy and lambdas
            report = send(DATA, address, stream="s", limits=QUICK)
        assert (report.rows, report.reconnects, report.restarts) == (3, 1, int(had < acked))


def test_rows_whose_outcome_was_lost_are_counted_as_untold() -> None:
    """What a lost connection had told counts; what it had not is said to be unknown."""
    seen: list[RefusedRow] = []

    def script(peer: Peer) -> None:
        take(peer, rows=3)
        peer.say(b'{"refused": {"row": 1, "code": "TX_NOT_FOUND"}}', b'{"ack": 1, "sequence": 1}')

    with scripted(script, lambda peer: finish(peer, had=2)) as address:
        report = send(DATA, address, stream="s", on_refused=seen.append, limits=QUICK)
    assert (report.rows, report.applied, report.refused, report.untold) == (3, 1, 1, 1)
    assert seen == [(1, Outcome.TX_NOT_FOUND)]


@pytest.mark.parametrize("code", ErrorCode)
def test_errors_are_final_or_tried_again(code: ErrorCode) -> None:
    """As the code says; a final one is raised with everything that the server said."""

    def script(peer: Peer) -> None:
        take(peer, rows=3)
        peer.say(FAILURE.format(code, 2).encode())
        peer.rest()

    if code.is_retryable:
        with scripted(script, lambda peer: finish(peer, had=2)) as address:
            assert send(DATA, address, stream="s", limits=QUICK).reconnects == 1
        return
    with scripted(script) as address, pytest.raises(ServerError, match=f"{code}: why") as caught:
        send(DATA, address, stream="s", limits=QUICK)
    assert (caught.value.code, caught.value.rows, caught.value.sequence) == (code, 2, 8)
    assert caught.value.report is not None
    assert caught.value.report.rows == 2


def test_an_anonymous_stream_is_not_resumed() -> None:
    """Rows may have been decided, and nobody can say which."""
    with (
        scripted(lambda peer: [peer.line() for _ in range(3)]) as address,
        pytest.raises(ConnectionLostError, match="A stream without a name cannot be resumed"),
    ):
        send(DATA, address, limits=QUICK)


def test_an_anonymous_stream_is_tried_again_when_nothing_can_have_been_decided() -> None:
    """The server was not reached, or says that it took no row."""

    def full(peer: Peer) -> None:
        peer.say(FAILURE.format("TOO_MANY_CONNECTIONS", 0).replace("8", "0").encode())
        peer.rest()

    def take_all(peer: Peer) -> None:
        assert peer.rest() == b"#holdfast ack=rows\n" + DATA
        peer.say(summary(3))

    with scripted(full, take_all) as address:
        assert send(DATA, address, limits=QUICK).reconnects == 1


def test_a_server_that_decides_less_than_all_is_an_error() -> None:
    """A summary of two of five rows is no success, also where blank lines are no rows."""
    for data, wrong in (
        (HEADER + deposits(5), (2, 4, 6, 7)),
        (HEADER + b"\n" + deposits(5) + b" \n", (2, 4, 6, 7)),
    ):
        for rows in wrong:

            def script(peer: Peer, rows: int = rows) -> None:
                peer.rest()
                peer.say(summary(rows))

            with (
                scripted(script) as address,
                pytest.raises(
                    ProtocolError, match=f"does not match what was sent: it says rows {rows}, but it is 5"
                ),
            ):
                send(data, address, limits=QUICK)

        def right(peer: Peer) -> None:
            peer.rest()
            peer.say(summary(5))

        with scripted(right) as address:
            assert send(data, address, limits=QUICK).rows == 5


def send_in_some_way(way: str, address: str) -> None:
    """Send the data, from wherever it comes."""
    rows = [holdfast.Deposit(tx % 7, tx, f"{tx % 13 + 1}.5") for tx in range(1, 4)]
    if way == "bytes":
        send(DATA, address, stream="s", limits=QUICK)
    elif way == "pipe":
        send(iter([DATA]), address, stream="s", limits=QUICK)
    elif way == "transactions":
        send(rows, address, stream="s", limits=QUICK)
    else:
        with Client(address, stream="s", first_row=1, limits=QUICK) as client:
            client.send(rows)


@pytest.mark.parametrize("way", ["bytes", "pipe", "transactions", "client"])
def test_another_input_under_the_same_name_is_refused(way: str) -> None:
    """Whatever rows come from: nothing of them is sent."""
    heard: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.line()
        peer.say(resume(2, HEADER + b"deposit,9,9,9\ndeposit,9,10,9\n"))
        heard.append(peer.rest())

    with (
        scripted(script) as address,
        pytest.raises(StreamMismatchError, match="other content was sent") as caught,
    ):
        send_in_some_way(way, address)
    assert caught.value.rows == 2
    assert deposits(1, first=3) not in heard[0]


def test_the_digest_is_said_to_the_server() -> None:
    """It can compare as well; where nobody knows the digest, none is claimed."""
    heard: list[bytes] = []

    def script(peer: Peer) -> None:
        peer.line()
        peer.say(resume(2, DATA))
        heard.append(peer.line())
        peer.rest()
        peer.say(summary(3, "s").replace(b'"rows": 3, "applied": 3', b'"rows": 1, "applied": 1'))

    async def late(address: str) -> None:
        async with AsyncClient(address, stream="s", first_row=1, limits=QUICK) as client:
            await client.send(deposits(3))

    with scripted(script) as address:
        send(DATA, address, stream="s", limits=QUICK)
    with scripted(script) as address:
        asyncio.run(late(address))
    known = resume(2, DATA).split(b'"digest": "')[1][:16]
    assert heard == [b"#holdfast from=3 digest=%b\n" % known, b"#holdfast from=3\n"]


def send_units(way: str, address: str) -> None:
    """Send an amount that is given in units."""
    units: list[holdfast.Transaction] = [holdfast.Dispute(1, 1), holdfast.Deposit(1, 2, 150)]

    async def awaited() -> None:
        async with AsyncClient(address, stream="s", limits=QUICK) as client:
            await client.send(units)

    if way == "transactions":
        send(units, address, stream="s", limits=QUICK)
    elif way == "client":
        with Client(address, stream="s", limits=QUICK) as client:
            client.send(units)
    else:
        asyncio.run(awaited())


@pytest.mark.parametrize("way", ["transactions", "client", "awaited client"])
def test_amounts_in_units_need_the_servers_decimals(way: str) -> None:
    """The error names both numbers; amounts that are not units are sent whatever the decimals."""

    def script(peer: Peer) -> None:
        peer.line()
        peer.say(resume(0, decimals=2))
        peer.rest()

    with (
        scripted(script) as address,
        pytest.raises(SettingsMismatchError, match=r"units of 4 decimals, .* keeps 2"),
    ):
        send_units(way, address)

    def accept(peer: Peer) -> None:
        peer.line()
        peer.say(resume(0, decimals=2))
        peer.rest()
        peer.say(summary(1, "s"))

    for amount, decimals in (("1.50", 4), (150, 2)):
        with scripted(accept) as address:
            sent = [holdfast.Deposit(1, 2, amount)]
            assert send(sent, address, stream="s", decimals=decimals, limits=QUICK).rows == 1


def test_settings_that_cannot_be_are_an_error() -> None:
    """A server says them, so they are checked like everything it says."""
    for settings in ({"decimals": 10}, {"client_bits": 17}, {"excess_decimals": "up"}):

        def script(peer: Peer, settings: dict[str, object] = settings) -> None:  # type: ignore[assignment]  # mixed values
            peer.line()
            peer.say(resume(0, **settings))  # type: ignore[arg-type]  # the same
            peer.rest()

        with scripted(script) as address, pytest.raises(ProtocolError, match=r"settings|no reply"):
            send(DATA, address, stream="s", limits=QUICK)


def _plain(peer: Peer) -> None:
    peer.say(b'{"error": {"code": "BAD_HEADER", "message": "what?"}, "rows": 0, "sequence": 0}')
    peer.rest()


def _alert(peer: Peer) -> None:
    peer.line()
    peer.write(b"\x15\x03\x01\x00\x02\x02F")


@pytest.mark.parametrize(
    ("fault", "target"),
    [
        (ConnectionFault.HOST_NOT_FOUND, "no-such-host.invalid:7070"),
        (ConnectionFault.HOST_NOT_FOUND, f"{'a' * 70}.example:7070"),
        (ConnectionFault.TLS_NOT_SPOKEN, _plain),
        (ConnectionFault.TLS_REQUIRED, _alert),
    ],
)
@pytest.mark.parametrize("stream", ["s", None])
def test_what_will_never_work_is_not_tried_again(
    fault: ConnectionFault, target: str | Callable[[Peer], object], stream: str | None
) -> None:
    """The first attempt is the last, and the error says why."""
    tls = target is _plain
    with scripted(*([] if isinstance(target, str) else [target])) as address:
        to = target if isinstance(target, str) else address
        with pytest.raises(ConnectionLostError) as caught:
            send(DATA, to, stream=stream, tls=tls, limits=QUICK)
    assert caught.value.fault is fault
    assert caught.value.report is not None
    assert caught.value.report.reconnects == 0


def test_a_name_server_that_does_not_answer_may_answer_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its temporary failure is tried again; no real one can be had here."""
    answers: list[Exception] = [socket.gaierror(socket.EAI_AGAIN, "try again")]
    real = socket.getaddrinfo

    def getaddrinfo(host: str, *arguments: object, **options: object) -> object:
        if host == "localhost" and not options.get("flags") and answers:
            raise answers.pop()
        return real(host, *arguments, **options)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)

    def take_all(peer: Peer) -> None:
        peer.rest()
        peer.say(summary(3))

    with scripted(take_all) as address:
        report = send(DATA, address.replace("127.0.0.1", "localhost"), limits=QUICK)
    assert (report.rows, report.reconnects, answers) == (3, 1, [])


def test_errors_survive_a_pickle() -> None:
    """With everything they say: they cross processes."""
    errors: list[SendError] = [
        ServerError(ErrorCode.INTERNAL, "why", 1, 2),
        ConnectionLostError("lost", ConnectionFault.TLS_REQUIRED),
        SettingsMismatchError(4, 2),
        StreamMismatchError("other", 3),
        LostRowsError("lost", 1, 2),
        ProtocolError("what?"),
    ]
    for error in errors:
        again = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
        assert (type(again), str(again), vars(again)) == (type(error), str(error), vars(error))
