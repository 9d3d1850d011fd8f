"""Where the server listens, and how many connections the system lets it have."""

from __future__ import annotations

import ipaddress
import os
import resource
import socket
from typing import TYPE_CHECKING

from holdfast.net.address import Address

if TYPE_CHECKING:
    from collections.abc import Iterable

DESCRIPTORS_RESERVED = 128
"""For listening sockets, files, refused connections that read their error, and the interpreter."""


def resolve(address: Address) -> list[tuple[socket.AddressFamily, Address]]:
    """Look a host's addresses up.

    Raises:
        OSError: If there are none; the error names it.
    """
    try:
        found = socket.getaddrinfo(
            address.host or None, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except (socket.gaierror, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise OSError(getattr(error, "errno", 0) or 0, f"no such host ({reason})", str(address)) from error
    families = (socket.AF_INET, socket.AF_INET6)
    unique = {
        (family, Address(str(name[0]), address.port)) for family, _, _, _, name in found if family in families
    }
    return sorted(unique)


def is_loopback(address: Address) -> bool:
    """Say whether only this machine can reach an address that was resolved."""
    return ipaddress.ip_address(address.host.partition("%")[0]).is_loopback


def bind(addresses: Iterable[tuple[socket.AddressFamily, Address]]) -> list[socket.socket]:
    """Bind a socket to each address.

    Raises:
        OSError: If one cannot be had; the error names it, and none stays bound.
    """
    bound: list[socket.socket] = []
    try:
        for family, address in addresses:
            bound.append(_bind_one(family, address))
    except BaseException:
        for each in bound:
            each.close()
        raise
    return bound


def _bind_one(family: socket.AddressFamily, address: Address) -> socket.socket:
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setblocking(False)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it: a sender whose machine is gone is found out, however long it may be idle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if family == socket.AF_INET6:
            # The IPv4 address of the same name has a socket of its own.
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        listener.bind((address.host, address.port))
    except OSError as error:
        listener.close()
        raise OSError(
            error.errno, f"cannot listen there ({os.strerror(error.errno or 0)})", str(address)
        ) from error
    return listener


def bound_address(listener: socket.socket) -> Address:
    """Say where a socket is bound, its real port included."""
    host, port, *_ = listener.getsockname()
    return Address(host, port)


def raise_descriptor_limit(connections_max: int) -> int:
    """Raise the number of files that this process may open as far as it needs and may.

    Returns:
        How many connections that leaves room for, ``connections_max`` at most.
    """
    needed = connections_max + DESCRIPTORS_RESERVED
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < needed:
        wanted = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
        soft = max(soft, wanted)
    return max(1, min(connections_max, soft - DESCRIPTORS_RESERVED))
