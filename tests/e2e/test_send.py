"""``holdfast send`` against ``holdfast serve``, as a person would use them."""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING, NamedTuple

import pytest

from client.peers import Peer, resume, scripted
from e2e.command import HEADER, TIMEOUT_SECONDS, Result, finish, run, start
from e2e.serving import serving
from server.certificates import make_pair

if TYPE_CHECKING:
    from pathlib import Path

ROWS = b"".join(
    b"%b,%d,%d,%d.5\n" % (b"deposit" if tx % 4 else b"withdrawal", tx % 11, tx, tx % 23 + 1)
    for tx in range(1, 3001)
)


def send(*arguments: str | os.PathLike[str], data: bytes | None = None) -> Result:
    """Run the command."""
    return run("send", *arguments, data=data)


@pytest.fixture
def transactions(tmp_path: Path) -> Path:
    """A file with rows of which some are refused."""
    path = tmp_path / "transactions.csv"
    path.write_bytes(HEADER + ROWS)
    return path


def test_a_file_sent_is_a_file_processed(transactions: Path, tmp_path: Path) -> None:
    """The accounts, the summary and the rejects are those of ``holdfast FILE``."""
    alone = run(transactions, "--rejects", tmp_path / "alone.csv", "--json-summary", tmp_path / "alone.json")
    with serving(tmp_path, "-o", tmp_path / "served.csv") as server:
        sent = send(
            transactions, "--to", f"127.0.0.1:{server.port}", "--rejects", tmp_path / "sent.csv",
            "--json-summary", tmp_path / "sent.json", "--fail-on-reject",
        )  # fmt: skip
        assert server.stop() == 0
    assert (sent.code, sent.output) == (3, b"")
    assert (
        sent.errors == alone.errors == "holdfast: 5 of 3,000 rows were not applied (INSUFFICIENT_FUNDS 5)\n"
    )
    assert (tmp_path / "served.csv").read_bytes() == alone.output
    assert (tmp_path / "sent.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    report, processed = (json.loads((tmp_path / name).read_bytes()) for name in ("sent.json", "alone.json"))
    common = ("rows", "applied", "refused", "refused_by_code", "sequence")
    assert {key: report[key] for key in common} == {key: processed[key] for key in common}
    assert report["untold"] == 0


def test_several_files_and_a_pipe_are_resumable_streams(transactions: Path, tmp_path: Path) -> None:
    """Files with different headers are one stream; given again, also through a pipe, nothing is decided twice."""
    second = tmp_path / "second.csv.gz"
    second.write_bytes(gzip.compress(b"tx,type,amount,client\n9001,deposit,1,1\n9002,deposit,1,7\n"))
    with serving(tmp_path) as server:
        to = ("--to", f"127.0.0.1:{server.port}", "--stream", "daily", "--json-summary")
        reports = []
        for files, data in (
            ([transactions], None),
            ([transactions, second], None),
            ([transactions, second], None),
            ([], HEADER + ROWS + b"deposit,1,9001,1\ndeposit,7,9002,1\ndeposit,1,9003,1"),
        ):
            result = send(*files, *to, tmp_path / "report.json", data=data)
            reports.append(json.loads((tmp_path / "report.json").read_bytes()))
            skipped = reports[-1]["skipped"]
            said = (
                f"holdfast: {skipped:,} rows were skipped: the server had them as the first rows of daily\n"
            )
            assert result.code == 0
            assert (said in result.errors) is (skipped > 0)
        assert send("-q", *to, tmp_path / "report.json", data=data).errors == ""
        assert [(report["rows"], report["skipped"]) for report in reports] == [
            (3000, 0),
            (2, 3000),
            (0, 3002),
            (1, 3002),
        ]
        assert server.stop() == 0


def test_the_summary_and_the_refused_rows_are_said(tmp_path: Path) -> None:
    """With -v: each refused row where it stands, then the counts."""
    with serving(tmp_path) as server:
        result = send(
            "-v", "--to", f"127.0.0.1:{server.port}", data=HEADER + b"\ndeposit,1,1,1e5\ndeposit,1,1,1"
        )
    assert result.code == 0
    assert "<stdin>, line 3, byte 23: INVALID_AMOUNT" in result.errors
    assert (
        "rows       2\napplied    1\nrefused    1\n  INVALID_AMOUNT       1\nskipped    0\n" in result.errors
    )


def test_an_input_without_rows_is_said(tmp_path: Path) -> None:
    """As by the command on files: a header alone is valid, and named."""
    path = tmp_path / "empty.csv"
    path.write_bytes(HEADER)
    with serving(tmp_path) as server:
        to = ("--to", f"127.0.0.1:{server.port}")
        assert send(path, *to) == (0, b"", f"holdfast: {path}: 0 rows, a header at most\n")
        assert send(path, *to, "-q") == (0, b"", "")


def test_a_token_comes_from_a_file_or_the_environment(
    transactions: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never from the command line, which everybody on the machine can read; a wrong one is an error at once."""
    monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
    tokens = tmp_path / "tokens"
    made = run("token", "partner-*")
    token, entry = _token_and_entry(made)
    tokens.write_text(entry)
    tokens.chmod(0o600)
    (tmp_path / "token").write_text(token + "\n")
    with serving(tmp_path, "--tokens", tokens) as server:
        to = (transactions, "--to", f"127.0.0.1:{server.port}", "--stream")
        assert send(*to, "partner-1", "--token-file", tmp_path / "token").code == 0
        refused = send(*to, "partner-1")
        forbidden = send(*to, "other", "--token-file", tmp_path / "token")
        monkeypatch.setenv("HOLDFAST_TOKEN", token)
        assert send(*to, "partner-2").code == 0
    assert (refused.code, forbidden.code) == (1, 1)
    assert "UNAUTHORIZED" in refused.errors
    assert "FORBIDDEN_STREAM" in forbidden.errors
    assert len(refused.errors.splitlines()) == 1
    assert token not in refused.errors + forbidden.errors


def _token_and_entry(made: Result) -> tuple[str, str]:
    text = made.output.decode() + made.errors
    token = next(word for word in text.split() if word.startswith("holdfast_"))
    return token, text[text.index("sha256:") :]


def test_tls_verifies_the_server(transactions: Path, tmp_path: Path) -> None:
    """A server that is trusted gets files and pipes."""
    server_pair = make_pair(tmp_path, "server")
    with serving(tmp_path, "--tls-cert", server_pair.cert, "--tls-key", server_pair.key) as server:
        to = ("--to", f"127.0.0.1:{server.port}", "--stream", "s", "--tls-ca", server_pair.cert)
        trusted = send(transactions, "--summary", *to)
        piped = send(*to, data=HEADER + ROWS + b"deposit,1,7777,1\n")
    assert (trusted.code, piped.code) == (0, 0)
    assert "rows       3,000" in trusted.errors


class Mistake(NamedTuple):
    """A command that can never work."""

    server: tuple[str, ...]
    """The server's options."""
    sender: tuple[str, ...]
    """The sender's."""
    said: str
    """What its error names."""


MISTAKES = {
    "TLS to a plain server": Mistake((), ("--tls",), "leave out --tls"),
    "plain to a TLS server": Mistake(("--tls-cert", "server.crt", "--tls-key", "server.key"), (), "give --tls"),
    "a server that is not trusted": Mistake(
        ("--tls-cert", "server.crt", "--tls-key", "server.key"), ("--tls",), "--tls-ca FILE"
    ),
    "no certificate of one's own": Mistake(
        ("--tls-cert", "server.crt", "--tls-key", "server.key", "--tls-client-ca", "client.crt"),
        ("--tls-ca", "server.crt"), "--tls-cert FILE",
    ),
    "a certificate that the server does not trust": Mistake(
        ("--tls-cert", "server.crt", "--tls-key", "server.key", "--tls-client-ca", "client.crt"),
        ("--tls-ca", "server.crt", "--tls-cert", "server.crt", "--tls-key", "server.key"), "--tls-cert FILE",
    ),
    "no token": Mistake(("--tokens", "tokens"), (), "--token-file FILE"),
    "a wrong token": Mistake(("--tokens", "tokens"), ("--token-file", "wrong"), "--token-file FILE"),
    "a host that does not exist": Mistake((), ("--to", "no-such-host.invalid:7070"), "check the host in --to"),
}  # fmt: skip


@pytest.mark.parametrize("stream", [("--stream", "s"), ()], ids=["named", "anonymous"])
@pytest.mark.parametrize("mistake", MISTAKES.values(), ids=MISTAKES)
def test_what_will_never_work_is_one_error_at_once(
    mistake: Mistake,
    stream: tuple[str, ...],
    transactions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not tried for five minutes, and the error names the option that mends it."""
    monkeypatch.delenv("HOLDFAST_TOKEN", raising=False)
    monkeypatch.chdir(tmp_path)
    for name in ("server", "client"):
        make_pair(tmp_path, name)
    _, entry = _token_and_entry(run("token", "*"))
    (tmp_path / "tokens").write_text(entry)
    (tmp_path / "tokens").chmod(0o600)
    (tmp_path / "wrong").write_text("wrong\n")
    with serving(tmp_path, *mistake.server) as server:
        result = send(transactions, "--to", f"127.0.0.1:{server.port}", *stream, *mistake.sender)
    assert result.code == 1
    assert mistake.said in result.errors
    assert len(result.errors.splitlines()) == 1
    assert "trying again" not in result.errors


def test_another_file_under_the_same_name_is_refused(transactions: Path, tmp_path: Path) -> None:
    """None of its rows is sent, whatever its length; the error says what to do, and the same file is welcome."""
    tuesday = tmp_path / "tuesday.csv"
    with serving(tmp_path, "-o", tmp_path / "served.csv") as server:
        to = ("--to", f"127.0.0.1:{server.port}", "--stream", "partner-7")
        assert send(transactions, *to).code == 0
        for rows in (
            ROWS[len(b"withdrawal,1,1,2.5\n") :],
            ROWS.replace(b"deposit", b"withdrawal"),
            ROWS[:100],
            2 * ROWS[::-1],
        ):
            tuesday.write_bytes(HEADER + rows)
            for arguments, data in (([tuesday], None), ([], HEADER + rows)):
                result = send(*arguments, *to, data=data)
                assert result.code == 1
                assert "other content was sent under this name" in result.errors
                assert "use one name per input" in result.errors
        assert send(transactions, *to).code == 0
        assert server.stop() == 0
    assert (tmp_path / "served.csv").read_bytes() == run(transactions).output


@pytest.mark.parametrize("rows", [b"", b"deposit,1,1,1\n"])
def test_the_deadline_is_kept_while_standard_input_is_silent(rows: bytes, tmp_path: Path) -> None:
    """The error says how far it got."""
    with serving(tmp_path) as server:
        to = ("--to", f"127.0.0.1:{server.port}", "--stream", "s", "--deadline", "0.7")
        process = start("send", *to, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(HEADER + rows)
        process.stdin.flush()
        assert process.wait(TIMEOUT_SECONDS) == 1
        errors = finish(process).errors
    count = rows.count(b"\n")
    assert (
        f"not done after 0.7 seconds; {count} rows are acknowledged; at least {count} rows are decided"
        in errors
    )


def test_rejects_of_a_pipe_are_those_of_a_file(tmp_path: Path) -> None:
    """With every row refused, and some of them told nowhere else than in the text of the pipe."""
    data = HEADER + b"".join(b"dispute,1,%d,\n" % tx if tx % 2 else b",,,\n" for tx in range(1, 16_001))
    (tmp_path / "all.csv").write_bytes(data)
    with serving(tmp_path) as server:
        to = ("--to", f"127.0.0.1:{server.port}", "--rejects")
        assert send(tmp_path / "all.csv", *to, tmp_path / "file.csv").code == 0
        assert send(*to, tmp_path / "pipe.csv", data=data).code == 0
    listed = (tmp_path / "file.csv").read_bytes()
    assert listed.count(b"\n") == 16_001
    assert (tmp_path / "pipe.csv").read_bytes() == listed.replace(
        str(tmp_path / "all.csv").encode(), b"<stdin>"
    )


@pytest.mark.parametrize(
    ("options", "code", "said"),
    [
        ([], 0, "2 rows are decided, but what became of them was lost with a connection\n"),
        (["--rejects", "REJECTS"], 1, "are missing in REJECTS\n"),
        (["-q", "--rejects", "REJECTS"], 1, "are missing in REJECTS\n"),
        (["--rejects", "REJECTS", "--fail-on-reject"], 3, "are missing in REJECTS\n"),
        (["-q"], 0, ""),
    ],
)
def test_outcomes_that_were_lost_are_no_success(
    options: list[str], code: int, said: str, tmp_path: Path
) -> None:
    """A list of refused rows from which some may be missing is not what was asked for."""
    data = HEADER + b"withdrawal,1,1,5\nwithdrawal,1,2,5\n"
    path, rejects = tmp_path / "two.csv", tmp_path / "rejects.csv"
    path.write_bytes(data)
    options = [str(rejects) if each == "REJECTS" else each for each in options]

    def lose(peer: Peer) -> None:
        peer.line()
        peer.say(resume(0))
        for _ in range(4):
            peer.line()

    def sum_up(peer: Peer) -> None:
        peer.line()
        peer.say(resume(2, data))
        peer.rest()
        peer.say(
            b'{"rows": 0, "applied": 0, "refused": 0, "refused_by_code": {}, "skipped": 0, "sequence": 2, '
            b'"stream": "s", "resume": 2}'
        )

    with scripted(lose, sum_up) as address:
        result = send(path, "--to", address, "--stream", "s", *options)
    assert result.code == code
    assert result.errors.endswith(said.replace("REJECTS", str(rejects)))
    assert ("was lost with a connection" in result.errors) is bool(said)


def test_of_several_files_the_one_at_fault_is_named(transactions: Path, tmp_path: Path) -> None:
    """A header that cannot be used, and a file without rows."""
    bad, empty = tmp_path / "bad.csv", tmp_path / "empty.csv"
    bad.write_bytes(b"a,b\n1,2\n")
    empty.write_bytes(HEADER)
    with serving(tmp_path) as server:
        to = ("--to", f"127.0.0.1:{server.port}")
        result = send(transactions, bad, *to)
        assert result.code == 1
        assert f"{bad}: BAD_HEADER" in result.errors
        assert "3,000 rows are decided" in result.errors
        assert "same command" not in result.errors
        for files in ((empty, transactions), (transactions, empty), (transactions, empty, transactions)):
            assert f"holdfast: {empty}: 0 rows, a header at most\n" in send(*files, *to).errors


def test_an_input_that_breaks_off_says_how_far_it_got(transactions: Path, tmp_path: Path) -> None:
    """Rows were sent before the error: nobody may take them for unsent."""
    cut = tmp_path / "cut.csv.gz"
    cut.write_bytes(gzip.compress(transactions.read_bytes() + ROWS * 40)[:-20])
    with serving(tmp_path) as server:
        result = send(cut, "--to", f"127.0.0.1:{server.port}")
    assert result.code == 1
    assert re.search(r"stopped; at least [\d,]+ rows are decided\n", result.errors)
    assert "cut short" in result.errors


def test_a_server_that_says_less_than_was_sent_is_an_error(transactions: Path) -> None:
    """Exit code 0 means that every row is decided."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        process = start("send", transactions, "--to", f"127.0.0.1:{listener.getsockname()[1]}")
        connection, _ = listener.accept()
        with connection, connection.makefile("rb") as sent:
            sent.read()
            connection.sendall(
                b'{"rows": 2, "applied": 2, "refused": 0, "refused_by_code": {}, "skipped": 0, "sequence": 2}\n'
            )
        result = finish(process)
    assert result.code == 1
    assert (
        "the server's summary does not match what was sent: it says rows 2, but it is 3000" in result.errors
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_cleanly(number: signal.Signals, tmp_path: Path) -> None:
    """It says how far it got, and the same command goes on from there."""
    with serving(tmp_path) as server:
        to = ("--to", f"127.0.0.1:{server.port}", "--stream", "s")
        process = start("send", *to, stdin=subprocess.PIPE)
        assert process.stdin is not None
        process.stdin.write(HEADER + b"deposit,1,1,1\ndeposit,1,2,1\n")
        process.stdin.flush()
        with socket.create_connection(("127.0.0.1", server.port)) as other:
            _wait_for_rows(other, server.port)
        process.send_signal(number)
        process.stdin.close()
        process.stdin = None
        stopped = finish(process)
        assert stopped.code == 128 + number
        assert "stopped; " in stopped.errors
        # The last ack may not have come.
        assert re.search(
            r"[0-2] rows are decided, up to row [0-2] of s; give the same command again", stopped.errors
        )
        resumed = send(*to, "--summary", data=HEADER + b"deposit,1,1,1\ndeposit,1,2,1\ndeposit,1,3,1\n")
    assert "rows       1\napplied    1\n" in resumed.errors
    assert "skipped    2\n" in resumed.errors


def _wait_for_rows(_connection: socket.socket, port: int) -> None:
    """Wait until the server has decided two rows, by asking with streams of one's own."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while True:
        with socket.create_connection(("127.0.0.1", port)) as probe:
            probe.sendall(HEADER)
            probe.shutdown(socket.SHUT_WR)
            with probe.makefile("rb") as replies:
                if json.loads(replies.readline())["sequence"] >= 2:
                    return
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_server_that_is_not_there(transactions: Path) -> None:
    """It is tried again until the time is over; the error says what, where and how far."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        to = f"127.0.0.1:{bound.getsockname()[1]}"
        at_once = send(transactions, "--to", to, "--retry", "0")
        late = send(transactions, "--to", to, "--deadline", "0.4", "--stream", "s")
    assert at_once.code == late.code == 1
    assert at_once.errors.splitlines()[-1].startswith(
        f"holdfast: {to}: cannot connect: Connection refused; gave up"
    )
    assert f"{to}: cannot connect: Connection refused; trying again in" in late.errors
    assert "not done after 0.4 seconds; 0 rows are acknowledged" in late.errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--to", "localhost"], "is not HOST:PORT"),
        (["--to", "::1:7070"], "write an IPv6 address in brackets, [::1]:7070"),
        (["--to", "h:1", "--stream", "a b"], "a name is 1 to 128 of"),
        (["--to", "h:1", "--deadline", "soon"], "'soon' is not a number of seconds"),
        (["--to", "h:1", "--tls-key", "k"], "--tls-key belongs to --tls-cert"),
        (["-", "--to", "h:1"], "cannot be read twice"),
        ([], "the following arguments are required: --to"),
    ],
)
def test_a_command_line_that_cannot_be_meant(arguments: list[str], said: str, transactions: Path) -> None:
    """It is refused before anything is sent."""
    result = send(transactions, *arguments)
    assert result.code == 2
    assert said in result.errors


def test_an_input_that_is_not_there(tmp_path: Path) -> None:
    """An ordinary error in one line, without a connection."""
    result = send(tmp_path / "nothing.csv", "--to", "127.0.0.1:1")
    assert (result.code, len(result.errors.splitlines())) == (1, 1)
    assert "nothing.csv: No such file or directory" in result.errors


def test_a_terminal_shows_how_far_it_is(tmp_path: Path) -> None:
    """Rows acknowledged, bytes and refused rows, on a line that is gone in the end."""
    primary, secondary = os.openpty()
    with serving(tmp_path) as server:
        process = start(
            "send",
            "--to",
            f"127.0.0.1:{server.port}",
            "--stream",
            "s",
            stdin=subprocess.PIPE,
            stderr=secondary,
        )
        os.close(secondary)
        assert process.stdin is not None
        seen = b""
        process.stdin.write(HEADER)
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while b" refused" not in seen or b"0 rows," in seen.split(b"\r")[-1]:
            assert time.monotonic() < deadline
            process.stdin.write(b"deposit,1,1,1\n")
            process.stdin.flush()
            time.sleep(0.02)
            if select.select([primary], [], [], 0)[0]:
                seen += os.read(primary, 4096)
        process.stdin.close()
        process.stdin = None
        assert finish(process).code == 0
        while select.select([primary], [], [], 0)[0]:
            try:
                seen += os.read(primary, 4096)
            except OSError:
                break
    os.close(primary)
    assert re.search(rb"\r[0-9]+ rows, [0-9]+ rows/s, [0-9.]+ k?B, [0-9]+ refused", seen)
    assert re.search(rb" \rholdfast: [0-9]+ of [0-9]+ rows were not applied [^\n]*\n$", seen)


@pytest.mark.parametrize("is_opened", [False, True])
def test_the_deadline_is_kept_while_an_output_is_not_read(is_opened: bool, tmp_path: Path) -> None:
    """A reader of the refused rows that stands still, or never comes, holds the command up no longer than that."""
    data = HEADER + b"".join(b"withdrawal,1,%d,5\n" % tx for tx in range(1, 20_001))
    path, pipe = tmp_path / "refused.csv", tmp_path / "pipe"
    path.write_bytes(data)
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK) if is_opened else None
    try:
        with serving(tmp_path) as server:
            to = ("--to", f"127.0.0.1:{server.port}", "--stream", "s", "--deadline", "0.7")
            began = time.monotonic()
            result = send(path, *to, "--rejects", pipe)
            assert time.monotonic() - began < TIMEOUT_SECONDS / 2
    finally:
        if reader is not None:
            os.close(reader)
    assert result.code == 1
    assert "not done after 0.7 seconds" in result.errors
