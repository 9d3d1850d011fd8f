"""TLS over memory: both sides of a connection, without a socket."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest

from holdfast.net.tls import NEED_MORE, TlsChannel, make_server_tls_context, make_tls_context
from server.certificates import make_pair

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from server.certificates import Pair

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    """A certificate that signs itself."""
    return make_pair(tmp_path_factory.mktemp("tls"), "server")


def make_channels(pair: Pair) -> tuple[TlsChannel, TlsChannel]:
    """Give a client and a server that trust each other's certificates and have shaken hands."""
    client = TlsChannel(make_tls_context(ca_file=str(pair.cert)), HOST)
    server = TlsChannel(make_server_tls_context(str(pair.cert), str(pair.key), None))
    client.shake_hands()
    while not (client.is_open and server.is_open):
        move(client, server)
        move(server, client)
    return client, server


def move(source: TlsChannel, target: TlsChannel) -> None:
    """Carry what there is from one side to the other."""
    data = source.take_outgoing()
    if data:
        target.feed(data)


def read(channel: TlsChannel) -> tuple[bytes, int]:
    """Read all there is, and how that ended."""
    buffer = memoryview(bytearray(1000))
    parts = []
    while (count := channel.read_into(buffer)) > 0:
        parts.append(bytes(buffer[:count]))
    return b"".join(parts), count


def test_bytes_come_out_as_they_went_in(pair: Pair) -> None:
    """In both directions, also those that were written before the handshake, and more than a record holds."""
    client = TlsChannel(make_tls_context(ca_file=str(pair.cert)), HOST)
    server = TlsChannel(make_server_tls_context(str(pair.cert), str(pair.key), None))
    early = b"early" * 10_000
    server.write(early)
    client.shake_hands()
    while not (client.is_open and server.is_open):
        assert read(client) == (b"", NEED_MORE)
        move(client, server)
        move(server, client)
    move(server, client)
    assert read(client) == (early, NEED_MORE)
    client.write(memoryview(early))
    move(client, server)
    assert read(server) == (early, NEED_MORE)


def test_one_side_ends_and_still_hears_the_other(pair: Pair) -> None:
    """The protocol ends its input by closing one direction; the replies come after it."""
    client, server = make_channels(pair)
    client.write(b"rows")
    client.end_output()
    move(client, server)
    assert read(server) == (b"rows", 0)
    server.write(b"summary")
    server.end_output()
    move(server, client)
    assert read(client) == (b"summary", 0)


def test_an_end_without_a_farewell_is_an_error(pair: Pair) -> None:
    """It may be somebody else's doing."""
    client, server = make_channels(pair)
    server.write(b"half")
    move(server, client)
    client.feed(b"")
    buffer = memoryview(bytearray(1000))
    assert client.read_into(buffer) == 4
    with pytest.raises(ssl.SSLError):
        client.read_into(buffer)


def test_a_client_that_speaks_no_tls_is_told(pair: Pair) -> None:
    """In the one form that it can recognise: a record that is an alert, in plain."""
    server = TlsChannel(make_server_tls_context(str(pair.cert), str(pair.key), None))
    with pytest.raises(ssl.SSLError):
        server.feed(b"#holdfast stream=s ack=rows\n")
    assert server.take_outgoing().startswith(b"\x15\x03")


def test_a_server_that_is_not_trusted_is_refused(pair: Pair, tmp_path: Path) -> None:
    """By its issuer, or by its name."""
    other = make_pair(tmp_path, "other")
    for context, name in (
        (make_tls_context(ca_file=str(other.cert)), HOST),
        (make_tls_context(ca_file=str(pair.cert)), "ledger.example"),
    ):
        client = TlsChannel(context, name)
        server = TlsChannel(make_server_tls_context(str(pair.cert), str(pair.key), None))
        client.shake_hands()
        move(client, server)
        with pytest.raises(ssl.SSLCertVerificationError):
            move(server, client)


def test_files_that_cannot_be_used_are_named(pair: Pair, tmp_path: Path) -> None:
    """Whichever side they are for."""
    broken = tmp_path / "broken.pem"
    broken.write_text("nothing")
    makers: list[tuple[Callable[[], object], str]] = [
        (lambda: make_tls_context(ca_file=str(broken)), "certificates"),
        (lambda: make_tls_context(cert_file=str(broken)), "a certificate and the private key"),
        (lambda: make_tls_context(cert_file=str(pair.cert), key_file=str(broken)), "broken.pem"),
        (lambda: make_server_tls_context(str(broken), None, None), "a certificate and the private key"),
        (lambda: make_server_tls_context(str(pair.cert), str(pair.key), str(broken)), "certificates"),
    ]
    for make, said in makers:
        with pytest.raises(OSError, match=said) as caught:
            make()
        assert "broken.pem" in str(caught.value.filename)
    with pytest.raises(ValueError, match="give the certificate as well"):
        make_tls_context(key_file=str(pair.key))
