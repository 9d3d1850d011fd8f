"""``holdfast serve`` with certificates: who gets in, what the end of the input is, and exchanging them while it runs."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import ssl
import warnings
from typing import TYPE_CHECKING, Self

import pytest

from e2e.command import HEADER, TIMEOUT_SECONDS, run
from e2e.serving import Serving, deposits, error_code, serving
from server.certificates import Pair, make_pair

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPS = ("asyncio", "uvloop")


class TlsPeer:
    """A sender with TLS that can end its input and still read: what Python's TLS sockets cannot do.

    Args:
        port: Where the server listens.
        context: Whom the sender trusts.
    """

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT_SECONDS)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._ssl = context.wrap_bio(self._incoming, self._outgoing, server_hostname="127.0.0.1")

    def __enter__(self) -> Self:
        try:
            self._shake_hands()
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    @property
    def version(self) -> str | None:
        """The protocol's version."""
        return self._ssl.version()

    @property
    def peer_name(self) -> str:
        """The name in the server's certificate."""
        certificate = self._ssl.getpeercert()
        assert certificate is not None
        return dict(pair for name in certificate["subject"] for pair in name)["commonName"]  # type: ignore[misc]  # a tuple of tuples of pairs

    def send(self, data: bytes) -> None:
        """Send."""
        self._ssl.write(data)
        self._flush()

    def end_input(self) -> None:
        """Say that nothing else comes."""
        with contextlib.suppress(ssl.SSLError):
            self._ssl.unwrap()
        self._flush()

    def close_without_farewell(self) -> None:
        """End the TCP connection's half alone, as somebody in between could."""
        self._socket.shutdown(socket.SHUT_WR)

    def replies(self) -> list[dict[str, object]]:
        """Receive up to the end."""
        received = b""
        while True:
            try:
                piece = self._ssl.read(65536)
            except ssl.SSLWantReadError:
                self._move()
            except ssl.SSLError:
                break
            else:
                received += piece
                if not piece:
                    break
        return [json.loads(line) for line in received.splitlines()]

    def _shake_hands(self) -> None:
        while True:
            try:
                self._ssl.do_handshake()
            except ssl.SSLWantReadError:
                self._move()
            else:
                self._flush()
                return

    def _move(self) -> None:
        self._flush()
        data = self._socket.recv(65536)
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._socket.sendall(self._outgoing.read())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Make a certificate that others are signed with."""
    return make_pair(tmp_path_factory.mktemp("authority"), "authority")


@pytest.fixture(scope="module")
def pair(authority: Pair, tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """Make the server's certificate."""
    return make_pair(tmp_path_factory.mktemp("server"), "server", authority)


@pytest.fixture
def trusting(authority: Pair) -> ssl.SSLContext:
    """Make what a sender trusts."""
    return ssl.create_default_context(cafile=str(authority.cert))


@contextlib.contextmanager
def tls_serving(tmp_path: Path, pair: Pair, *options: object) -> Iterator[Serving]:
    """Start a server with a certificate."""
    if "uvloop" in options:
        pytest.importorskip("uvloop")
    with serving(tmp_path, "--tls-cert", pair.cert, "--tls-key", pair.key, *map(str, options)) as server:
        yield server


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_summary_comes_after_the_farewell(
    loop: str, version: ssl.TLSVersion, pair: Pair, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """The end of the input is the sender's close_notify, and the summary still comes; large inputs and replies included."""
    trusting.minimum_version = trusting.maximum_version = version
    with tls_serving(tmp_path, pair, "--loop", loop) as server, TlsPeer(server.port, trusting) as peer:
        peer.send(b"#holdfast stream=a ack=rows refused=rows\n" + HEADER)
        for start in range(0, 50_000, 5000):
            peer.send(deposits(start, 5000) + b"nonsense\n" * 50)
        peer.end_input()
        *others, summary = peer.replies()
        assert (summary["rows"], summary["applied"], summary["resume"]) == (50_500, 50_000, 50_500)
        assert others[0]["resume"] == 0
        assert sum("refused" in reply for reply in others) == 500
        assert others[-1]["ack"] == 50_500


def test_end_without_farewell(pair: Pair, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """The end of the TCP connection alone decides nothing: half a row is gone, and there is no summary."""
    with tls_serving(tmp_path, pair) as server:
        with TlsPeer(server.port, trusting) as peer:
            peer.send(HEADER + b"deposit,1,1,1\ndeposit,1,2,100")
            peer.close_without_farewell()
            assert peer.replies() == []
        with TlsPeer(server.port, trusting) as peer:
            peer.send(HEADER)
            peer.end_input()
            assert peer.replies()[0]["sequence"] == 1


def test_error_arrives(pair: Pair, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """An error line arrives over TLS as it does without, though the sender goes on."""
    with tls_serving(tmp_path, pair) as server, TlsPeer(server.port, trusting) as peer:
        peer.send(b"not a header\n" + b"x" * 100_000)
        assert error_code(peer.replies()[0]) == "BAD_HEADER"


def test_refused_connection_is_told_why(pair: Pair, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """A connection too many is told so, though it is refused before its handshake."""
    with (
        tls_serving(tmp_path, pair, "--connections-max", 1) as server,
        TlsPeer(server.port, trusting),
        TlsPeer(server.port, trusting) as late,
    ):
        assert error_code(late.replies()[0]) == "TOO_MANY_CONNECTIONS"


def test_plain_text_to_a_tls_server(pair: Pair, tmp_path: Path) -> None:
    """A sender without TLS is not understood, and the server lives on."""
    with tls_serving(tmp_path, pair) as server:
        with server.connect(HEADER) as connection:
            answer = connection.recv(100)
            # An alert of TLS, or nothing.
            assert answer[:1] in {b"\x15", b""}
        assert server.process.poll() is None


def test_client_certificates(authority: Pair, pair: Pair, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """With --tls-client-ca a sender needs a certificate of its own."""
    client = make_pair(tmp_path, "client", authority)
    with tls_serving(tmp_path, pair, "--tls-client-ca", authority.cert) as server:
        with TlsPeer(server.port, trusting) as peer:
            with contextlib.suppress(OSError):
                peer.send(HEADER)
                peer.end_input()
            with contextlib.suppress(OSError):
                assert peer.replies() == []
        trusting.load_cert_chain(client.cert, client.key)
        with TlsPeer(server.port, trusting) as peer:
            peer.send(HEADER)
            peer.end_input()
            assert peer.replies()[0]["sequence"] == 0


def test_old_versions_are_refused(pair: Pair, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """TLS 1.1 and before are not spoken."""
    with tls_serving(tmp_path, pair) as server:
        trusting.set_ciphers("ALL:@SECLEVEL=0")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            trusting.minimum_version = trusting.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(ssl.SSLError), TlsPeer(server.port, trusting):
            pass


def test_certificates_are_read_again(
    authority: Pair, pair: Pair, trusting: ssl.SSLContext, tmp_path: Path
) -> None:
    """SIGHUP exchanges the certificate for connections to come; a bad file changes nothing, and old connections go on."""
    used = Pair(tmp_path / "used.crt", tmp_path / "used.key")
    used.cert.write_bytes(pair.cert.read_bytes())
    used.key.write_bytes(pair.key.read_bytes())
    renewed = make_pair(tmp_path, "renewed", authority)
    with tls_serving(tmp_path, used) as server, TlsPeer(server.port, trusting) as old:
        assert old.peer_name == "server"
        used.cert.write_bytes(renewed.cert.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        # The key is still the old one.
        assert "private key" in server.wait_for_log("stay as they were")
        with TlsPeer(server.port, trusting) as peer:
            assert peer.peer_name == "server"
        used.key.write_bytes(renewed.key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        server.wait_for_log("read again")
        with TlsPeer(server.port, trusting) as peer:
            assert peer.peer_name == "renewed"
        old.send(HEADER + deposits(1, 1))
        old.end_input()
        assert old.replies()[0]["rows"] == 1


def test_files_that_are_no_certificates(pair: Pair, tmp_path: Path) -> None:
    """Each file that cannot be used is named, with what it should have been."""
    junk = tmp_path / "junk"
    junk.write_text("junk")
    for options, said in (
        (["--tls-cert", junk], f"{junk}: this is not a certificate and the private key"),
        (["--tls-cert", pair.cert, "--tls-key", junk], f"{pair.cert}, {junk}: this is not a certificate"),
        (
            ["--tls-cert", pair.cert, "--tls-key", pair.key, "--tls-client-ca", junk],
            f"{junk}: this is not certificates in PEM",
        ),
        (["--tls-cert", pair.cert, "--tls-key", tmp_path / "none"], f"{tmp_path / 'none'}: No such file"),
    ):
        result = run("serve", "--listen", "127.0.0.1:0", *map(str, options))
        assert result.code == 1
        assert said in result.errors, result.errors


def test_key_that_others_may_read(pair: Pair, tmp_path: Path) -> None:
    """A private key that everybody may read is used, with a warning that says what to do."""
    key = tmp_path / "open.key"
    key.write_bytes(pair.key.read_bytes())
    key.chmod(0o644)
    with tls_serving(tmp_path, Pair(pair.cert, key)) as server:
        assert (
            f"{key}: all users of this machine may read this private key; chmod o= it"
            in server.log.read_text()
        )


def test_tls_and_tokens_open_the_door(pair: Pair, trusting: ssl.SSLContext, tmp_path: Path) -> None:
    """With both, the server listens on addresses that others can reach; with one of them it refuses."""
    tokens = tmp_path / "tokens"
    token = run("token", "--append", tokens).output.decode().strip()
    refused = run("serve", "--listen", "0.0.0.0:0", "--tls-cert", pair.cert, "--tls-key", pair.key)
    assert refused.code == 2
    options = ("--tokens", tokens, "--listen", "0.0.0.0:0")
    with tls_serving(tmp_path, pair, *options) as server, TlsPeer(server.port, trusting) as peer:
        peer.send(f"#holdfast token={token}\n".encode() + HEADER)
        peer.end_input()
        assert peer.replies()[0]["sequence"] == 0
