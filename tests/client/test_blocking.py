"""The front that blocks: a connection that lives between calls, callbacks in the caller's thread, forks, exits, signals."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from typing import TYPE_CHECKING

import pytest

import holdfast
from client.peers import HEADER, QUICK, TIMEOUT_SECONDS, Peer, deposits, scripted
from client.test_fronts import summary
from holdfast.client import Client, DeadlineError, Limits, RefusedRow, SendReport, ServerError, send
from holdfast.client.loop_thread import CALLBACKS_HELD_MAX

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KEPT_ALIVE = QUICK._replace(keep_alive_seconds=0.05)


def client_threads() -> list[threading.Thread]:
    """List the threads of clients."""
    return [thread for thread in threading.enumerate() if thread.name == "holdfast-client"]


def take_all(peer: Peer, rows: int) -> None:
    """Be a server for an anonymous stream."""
    peer.rest()
    peer.say(b'{"ack": %d, "sequence": %d}' % (rows, rows), summary(rows))


def test_an_idle_client_keeps_its_connection_between_calls() -> None:
    """It sends blank lines while its caller does something else."""
    heard = threading.Event()

    def script(peer: Peer) -> None:
        assert [peer.line() for _ in range(4)] == [b"#holdfast ack=rows\n", HEADER, b"\n", b"\n"]
        heard.set()
        while (line := peer.line()) == b"\n":
            pass
        assert line == deposits(1)
        peer.say(b'{"ack": 1, "sequence": 1}')
        peer.rest()
        peer.say(summary(1))

    with scripted(script) as address, Client(address, limits=KEPT_ALIVE) as client:
        assert heard.wait(TIMEOUT_SECONDS)
        client.send(deposits(1))
        assert client.flush() == 1


def test_an_idle_pipe_keeps_its_connection(tmp_path: Path) -> None:
    """While its writer is silent, blank lines go to the server; rows go when they come."""
    heard = threading.Event()
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)

    def script(peer: Peer) -> None:
        assert [peer.line() for _ in range(4)] == [b"#holdfast ack=rows\n", HEADER, b"\n", b"\n"]
        heard.set()
        take_all(peer, 2)

    def write() -> None:
        with open(pipe, "wb", buffering=0) as file:
            file.write(HEADER + b"depo")
            heard.wait(TIMEOUT_SECONDS)
            file.write(deposits(2)[4:])

    writing = threading.Thread(target=write)
    writing.start()
    with scripted(script) as address:
        assert send(str(pipe), address, limits=KEPT_ALIVE).rows == 2
    writing.join()


def test_the_deadline_is_kept_while_a_pipe_has_no_writer(tmp_path: Path) -> None:
    """Nothing waits for one to come."""
    os.mkfifo(tmp_path / "pipe")
    limits = QUICK._replace(deadline_seconds=0.2)
    with pytest.raises(DeadlineError, match=r"not done after 0\.2 seconds"):
        send(str(tmp_path / "pipe"), "127.0.0.1:1", limits=limits)


@pytest.mark.parametrize("first", [b"", HEADER, HEADER + deposits(3)])
def test_the_deadline_is_kept_while_a_pipe_is_read(first: bytes, tmp_path: Path) -> None:
    """Before its header, before its rows, and after them; the report has what the server took."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    over = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(5):
            peer.line()
        peer.say(b'{"ack": 3, "sequence": 3}')
        peer.rest()

    def write() -> None:
        with open(pipe, "wb", buffering=0) as file:
            file.write(first)
            over.wait(TIMEOUT_SECONDS)

    writing = threading.Thread(target=write)
    writing.start()
    limits = QUICK._replace(deadline_seconds=0.4)
    try:
        with (
            scripted(*([script] if first else [])) as address,
            pytest.raises(DeadlineError, match=r"not done after 0\.4 seconds") as caught,
        ):
            send(str(pipe), address, limits=limits)
    finally:
        over.set()
        writing.join()
    assert caught.value.report is not None
    assert caught.value.report.rows == (3 if b"deposit" in first else 0)


def refuse(peer: Peer, rows: int) -> None:
    """Refuse all rows of an anonymous stream."""
    peer.rest()
    for row in range(1, rows + 1):
        peer.say(b'{"refused": {"row": %d, "code": "TX_NOT_FOUND"}}' % row)
    peer.say(
        b'{"ack": %d, "sequence": 9}' % rows,
        json.dumps({
            "rows": rows, "applied": 0, "refused": rows, "refused_by_code": {"TX_NOT_FOUND": rows}, "skipped": 0,
            "sequence": 9,
        }).encode(),
    )  # fmt: skip


def test_callbacks_run_in_the_callers_thread() -> None:
    """So do iterables that are given: what they use may belong to that thread."""
    threads: list[int] = []

    def rows() -> Iterator[holdfast.Transaction]:
        for tx in range(1, 4):
            threads.append(threading.get_ident())
            yield holdfast.Deposit(1, tx, "1")

    def take(_refused: RefusedRow) -> None:
        threads.append(threading.get_ident())

    with scripted(lambda peer: refuse(peer, 3)) as address:
        assert send(rows(), address, on_refused=take, limits=QUICK).refused == 3
    assert threads == [threading.get_ident()] * 6


def test_callbacks_that_wait_are_bounded_and_none_is_lost() -> None:
    """A caller that stays away holds the server's replies back, and gets all of them, in order, when it is back."""
    rows = 3 * CALLBACKS_HELD_MAX
    seen: list[int] = []
    ended = threading.Event()

    def script(peer: Peer) -> None:
        for _ in range(2 + rows):
            peer.line()
        for row in range(1, rows + 1):
            peer.say(b'{"refused": {"row": %d, "code": "TX_NOT_FOUND"}}' % row)
        peer.say(b'{"ack": %d, "sequence": 9}' % rows)
        ended.wait(TIMEOUT_SECONDS)

    with scripted(script) as address:
        client = Client(address, on_refused=lambda refused: seen.append(refused.row), limits=QUICK)
        client.send(deposits(rows))
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while client.report().refused < CALLBACKS_HELD_MAX and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        assert not seen
        assert client.report().refused < CALLBACKS_HELD_MAX + 3000
        assert client.flush() == rows
        assert seen == list(range(1, rows + 1))
        ended.set()
        del client


def test_a_callback_that_fails_ends_the_call_and_nothing_else_is_called() -> None:
    """Its exception comes out of the call; the thread is gone afterwards."""
    seen: list[int] = []

    def fail(refused: RefusedRow) -> None:
        seen.append(refused.row)
        raise KeyError("mine")

    def script(peer: Peer) -> None:
        for _ in range(5):
            peer.line()
        peer.say(*[b'{"refused": {"row": %d, "code": "TX_NOT_FOUND"}}' % row for row in (1, 2)])
        peer.rest()

    def use(address: str) -> None:
        with Client(address, on_refused=fail, limits=QUICK) as client:
            client.send(deposits(3))
            client.flush()

    with scripted(script) as address, pytest.raises(KeyError, match="mine"):
        use(address)
    assert seen == [1]
    assert not client_threads()


def test_it_blocks_in_a_thread_that_runs_an_event_loop() -> None:
    """The loop of the client is another one."""

    async def main(address: str) -> SendReport:
        return send(HEADER + deposits(3), address, limits=QUICK)

    with scripted(lambda peer: take_all(peer, 3)) as address:
        assert asyncio.run(main(address)).rows == 3


def test_nothing_is_left_of_a_client_that_is_dropped() -> None:
    """Without a close, its thread ends with it; a closed one cannot be used again, and gives its report again."""
    with scripted(lambda peer: peer.rest()) as address:
        client = Client(address, limits=QUICK)
        client.send(deposits(1))
        assert client_threads()
        del client
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while client_threads() and time.monotonic() < deadline:
            # What the thread was doing may have held a reference for a moment.
            gc.collect()
            time.sleep(0.01)
        assert not client_threads()
    with scripted(lambda peer: take_all(peer, 1)) as address:
        with Client(address, limits=QUICK) as client:
            client.send(deposits(1))
        assert client.close() == client.close() == client.report()
        with pytest.raises(RuntimeError, match="this client is closed"):
            client.send(deposits(1))


def test_a_client_that_failed_stays_failed() -> None:
    """The next call says again why, and so does the end."""
    heard = threading.Event()

    def script(peer: Peer) -> None:
        peer.line(), peer.line()
        peer.say(b'{"error": {"code": "INTERNAL", "message": "a bug"}, "rows": 0, "sequence": 0}')
        peer.rest()
        heard.set()

    def use(address: str) -> None:
        with Client(address, limits=QUICK) as client:
            heard.wait(TIMEOUT_SECONDS)
            for call in (client.flush, lambda: client.send(deposits(1))):
                with pytest.raises(ServerError, match="INTERNAL: a bug"):
                    call()

    with scripted(script) as address, pytest.raises(ServerError, match="INTERNAL: a bug"):
        use(address)


class _StopError(Exception):
    """What a signal handler raises."""


@pytest.mark.parametrize("call", ["send", "flush", "open", "pipe"])
def test_a_signal_ends_a_wait_at_once(call: str, tmp_path: Path) -> None:
    """An exception of its handler comes out of whatever call waits, and the client can be closed."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = os.open(pipe, os.O_RDWR)
    os.write(writer, HEADER)
    done = threading.Event()

    def stop(_number: int, _frame: object) -> None:
        raise _StopError

    def wait(address: str) -> None:
        limits = Limits(buffer_bytes_max=1)
        if call == "pipe":
            send(str(pipe), address, limits=limits)
        # The buffer is full with a row, which nobody acknowledges; a named stream waits for the server's first line.
        if call == "flush":
            limits = Limits()
        with Client(address, stream="s" if call == "open" else None, limits=limits) as client:
            client.send(deposits(1))
            client.flush()

    before = signal.signal(signal.SIGALRM, stop)
    try:
        with scripted(lambda _: done.wait(TIMEOUT_SECONDS)) as address:
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            with pytest.raises(_StopError):
                wait(address)
            done.set()
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        os.close(writer)
    assert not client_threads()


def run_program(program: str, address: str) -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own, with warnings as errors but that about forks of threads."""
    command = [
        sys.executable,
        "-W",
        "error",
        "-W",
        "ignore::DeprecationWarning",
        "-c",
        textwrap.dedent(program),
        address,
    ]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=TIMEOUT_SECONDS)


def test_a_fork_leaves_the_client_to_the_parent() -> None:
    """In the child every call is an error at once, and its exit does not disturb the parent's connection."""
    program = """
        import os, sys
        from holdfast.client import Client
        with Client(sys.argv[1]) as client:
            client.send(b"deposit,1,1,1\\n")
            child = os.fork()
            if child == 0:
                try:
                    client.flush()
                except RuntimeError as error:
                    print(error, flush=True)
                    sys.exit(7)
            assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
            print(client.send(b"deposit,1,2,1\\n"))
        print(client.report().rows)
    """
    with scripted(lambda peer: take_all(peer, 2)) as address:
        done = run_program(program, address)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "make another one after a fork" in lines[0]
    assert lines[1:] == ["2", "2"]


@pytest.mark.parametrize(
    "ending",
    [
        "pass",
        "sys.exit(0)",
        "client.close = None; globals().clear()",
        "import threading; threading.Thread(target=client.flush, daemon=True).start()",
    ],
)
def test_the_interpreter_exits_with_an_open_client(ending: str) -> None:
    """It neither hangs nor crashes, however often."""
    program = f"""
        import sys
        from holdfast.client import Client
        client = Client(sys.argv[1], on_refused=print)
        client.send(b"deposit,1,1,1\\n" * 1000)
        {ending}
    """
    with scripted(*[lambda peer: peer.rest()] * 5) as address:
        for _ in range(5):
            done = run_program(program, address)
            # A thread that was waiting in a call sees it end.
            errors = "" if "thread" in ending else done.stderr
            assert (done.returncode, done.stdout, errors) == (0, "", "")


def refused_summary(rows: int, refused: int) -> bytes:
    """Give the reply that ends an anonymous connection on which the first rows were refused."""
    codes = f'{{"TX_NOT_FOUND": {refused}}}'
    return (
        f'{{"rows": {rows}, "applied": {rows - refused}, "refused": {refused}, "refused_by_code": {codes}, "skipped": 0, '
        f'"sequence": {rows}}}'.encode()
    )


def refuse_all(peer: Peer, rows: int) -> None:
    """Be a server that refuses every row of an anonymous stream."""
    peer.rest()
    for first in range(1, rows + 1, 1000):
        some = range(first, min(first + 1000, rows + 1))
        peer.say(*[b'{"refused": {"row": %d, "code": "TX_NOT_FOUND"}}' % row for row in some])
    peer.say(b'{"ack": %d, "sequence": %d}' % (rows, rows), refused_summary(rows, rows))


def test_a_callback_that_takes_its_time_delays_and_stops_nothing() -> None:
    """While it runs, more come than may wait; they are taken as soon as there is room."""
    rows = 4 * CALLBACKS_HELD_MAX
    seen: list[int] = []

    def take(refused: RefusedRow) -> None:
        if not seen:
            time.sleep(1.0)
        seen.append(refused.row)

    with scripted(lambda peer: refuse_all(peer, rows)) as address:
        report = send(HEADER + deposits(rows), address, on_refused=take, limits=QUICK)
    assert report.refused == rows
    assert seen == list(range(1, rows + 1))


def test_an_interrupted_send_gives_no_half_row() -> None:
    """A caller who goes on after a callback failed has sent whole rows only, however long the bytes were."""
    data = b"".join(b"deposit,1,%d,9000\n" % tx for tx in range(1, 60_001))
    received: list[bytes] = []

    def fail(_refused: RefusedRow) -> None:
        raise KeyError("mine")

    def script(peer: Peer) -> None:
        lines = [peer.line() for _ in range(5)]
        peer.say(b'{"refused": {"row": 1, "code": "TX_NOT_FOUND"}}')
        received.extend([*lines[2:], peer.rest()])
        rows = b"".join(received).count(b"\n")
        peer.say(b'{"ack": %d, "sequence": 1}' % rows, refused_summary(rows, 1))

    limits = QUICK._replace(buffer_bytes_max=1)
    with scripted(script) as address, Client(address, on_refused=fail, limits=limits) as client:
        with pytest.raises(KeyError, match="mine"):
            client.send(data)
        # What follows is the part of a caller who goes on.
        assert client.acked == 0
    sent = b"".join(received)
    assert data.startswith(sent)
    assert sent.endswith(b",9000\n")


def test_what_was_refused_is_told_before_the_error() -> None:
    """A stream that the server ends: the refusals that came before come out of the call that raises its reason."""
    seen: list[int] = []
    failure = b'{"error": {"code": "POLICY_ABORT", "message": "enough"}, "rows": 3, "sequence": 3}'

    def script(peer: Peer) -> None:
        for _ in range(5):
            peer.line()
        peer.say(*[b'{"refused": {"row": %d, "code": "TX_NOT_FOUND"}}' % row for row in (1, 2, 3)], failure)

    def use(address: str) -> None:
        with Client(address, on_refused=lambda refused: seen.append(refused.row), limits=QUICK) as client:
            client.send(deposits(3))
            deadline = time.monotonic() + TIMEOUT_SECONDS
            while client.report().refused < 3 and time.monotonic() < deadline:
                time.sleep(0.01)
            time.sleep(0.1)
            client.send(deposits(1, 4))

    with scripted(script) as address, pytest.raises(ServerError, match="enough"):
        use(address)
    assert seen == [1, 2, 3]


def test_an_address_that_never_answers_keeps_from_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a host with several addresses each has its share of the time."""
    with socket.create_server(("127.0.0.2", 0), backlog=0) as silent, contextlib.ExitStack() as stack:
        for _ in range(4):
            # The queue is full: the system answers no more.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(silent.getsockname())
        with scripted(lambda peer: take_all(peer, 1)) as address:
            port = int(address.rpartition(":")[2])
            found = [
                (socket.AF_INET, socket.SOCK_STREAM, 6, "", target)
                for target in (silent.getsockname(), ("127.0.0.1", port))
            ]
            monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: found)
            limits = QUICK._replace(connect_seconds_max=1.0, retry_seconds_max=0.0)
            assert send(HEADER + deposits(1), f"host.example:{port}", limits=limits).rows == 1
