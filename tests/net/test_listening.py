"""Addresses to listen on: how they are written, who can reach them, and how many files that takes."""

from __future__ import annotations

import resource
import socket
from typing import TYPE_CHECKING

import pytest

from holdfast.net.address import Address, parse_listen_address
from holdfast.net.listening import (
    DESCRIPTORS_RESERVED,
    bind,
    bound_address,
    is_loopback,
    raise_descriptor_limit,
    resolve,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:7070", Address("127.0.0.1", 7070)),
        ("localhost:0", Address("localhost", 0)),
        ("[::1]:65535", Address("::1", 65535)),
        (":7070", Address("", 7070)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    """An address is read, and written as it was."""
    assert parse_listen_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text", ["", "7070", "host", "host:", "host:65536", "host:-1", "::1:7070", "[::1]", "a b:1", "h:\u0661"]
)
def test_no_addresses(text: str) -> None:
    """What is no address is refused with how to write one."""
    with pytest.raises(ValueError, match="is not HOST:PORT with a port from 0 to 65,535"):
        parse_listen_address(text)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("0.0.0.0", False),  # noqa: S104  # nothing is bound
        ("::", False),
        ("10.0.0.1", False),
    ],
)
def test_loopback(host: str, expected: bool) -> None:
    """Only this machine can reach loopback addresses; all addresses of the machine are none."""
    assert is_loopback(Address(host, 1)) is expected


def test_every_address_of_the_machine_is_not_loopback() -> None:
    """No host at all is every address."""
    assert not any(is_loopback(address) for _, address in resolve(Address("", 0)))


def test_unknown_host() -> None:
    """A host that does not exist is an error that names it."""
    with pytest.raises(OSError, match="no such host") as raised:
        resolve(Address("no-such-host.invalid", 7070))
    assert raised.value.filename == "no-such-host.invalid:7070"


def test_all_or_none_are_bound() -> None:
    """Where one address cannot be had, the others are given back."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (free,) = bind(resolve(Address("127.0.0.1", 0)))
        port = bound_address(free).port
        free.close()
        both = [
            *resolve(Address("127.0.0.1", port)),
            *resolve(Address("127.0.0.1", taken.getsockname()[1])),
        ]
        with pytest.raises(OSError, match="cannot listen there"):
            bind(both)
        (again,) = bind(both[:1])
        again.close()


@pytest.fixture
def _limits() -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


@pytest.mark.usefixtures("_limits")
def test_descriptor_limit() -> None:
    """The limit is raised as far as needed and allowed, and never lowered."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    assert raise_descriptor_limit(300) == 300
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300 + DESCRIPTORS_RESERVED
    assert raise_descriptor_limit(10) == 10
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == 300 + DESCRIPTORS_RESERVED
    assert raise_descriptor_limit(hard + 1000) == hard - DESCRIPTORS_RESERVED
