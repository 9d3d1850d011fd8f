"""Network addresses: ``HOST:PORT`` as people write it."""

from __future__ import annotations

import re
from typing import NamedTuple

PORT_MAX = 65_535
_BRACKETED = re.compile(r"\[([^\[\]]+)\]:([0-9]{1,5})", re.ASCII)
_PLAIN = re.compile(r"([^:\[\]\s]*):([0-9]{1,5})", re.ASCII)


class Address(NamedTuple):
    """A host, by name or number, and a TCP port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read the address of a server: ``host:port`` or, for an IPv6 number, ``[host]:port``.

    Raises:
        ValueError: If it is neither, has no host, or its port is not 1 to 65,535.
    """
    address = _parse(text, port_min=1)
    if not address.host:
        raise ValueError(f"{text!r} has no host before its port")
    return address


def parse_listen_address(text: str) -> Address:
    """Read an address to listen on; an empty host means every address of the machine, port 0 any free port.

    Raises:
        ValueError: If it is neither ``HOST:PORT`` nor ``[IPV6]:PORT``.
    """
    return _parse(text, port_min=0)


def _parse(text: str, port_min: int) -> Address:
    match = _BRACKETED.fullmatch(text) or _PLAIN.fullmatch(text)
    if match is None or not port_min <= int(match[2]) <= PORT_MAX:
        hint = "; write an IPv6 address in brackets, [::1]:7070" if text.count(":") > 1 else ""
        raise ValueError(f"{text!r} is not HOST:PORT with a port from {port_min} to {PORT_MAX:,}{hint}")
    return Address(match[1], int(match[2]))
