"""What a server is told: one frozen value, made by the command line or by a program."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from holdfast.domain.picklable import Picklable
from holdfast.engine.policy import ErrorPolicy
from holdfast.net.address import Address
from holdfast.protocol.limits import ServerLimits

if TYPE_CHECKING:
    import os

LoopName = Literal["auto", "asyncio", "uvloop"]
"""The event loop; ``auto`` is uvloop if it is installed."""
PORT_DEFAULT = 7070


class ConfigError(ValueError):
    """Settings of a server that do not go together; the message says which, and what to do."""


class InsecureAddressError(Picklable, ConfigError):
    """A server that others than this machine can reach needs certificates and tokens, or has to be told that it does not.

    Args:
        address: Where it was to listen.
    """

    def __init__(self, address: Address) -> None:
        super().__init__(f"other machines could send to {address} without TLS and tokens")
        self.address = address


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotConfig:
    """Where and how often a server writes its accounts while it runs; the last time is at its end."""

    target: str | os.PathLike[str]
    """The file: ``accounts.csv``, or ``accounts-{sequence}.csv`` for one file each."""
    every_seconds: float | None = None
    """How often; None for when somebody asks, and at the end."""
    keep: int | None = None
    """How many files stay; None for all. Needs ``{sequence}``."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityConfig:
    """The files that say who may connect and who may send; they are read again by :meth:`Service.reload`."""

    tls_cert: str | None = None
    """The certificate and those that lead up to its root, PEM; None for connections that are not encrypted."""
    tls_key: str | None = None
    """Its private key, PEM; None if it is in the same file."""
    tls_client_ca: str | None = None
    """The certificates that sign those of senders, PEM; None if senders need none."""
    tokens: str | None = None
    """The file of tokens; None if senders need none."""
    allow_insecure: bool = False
    """Whether to listen on other addresses than loopback without certificates and tokens."""

    def __post_init__(self) -> None:
        if self.tls_cert is None and (self.tls_key or self.tls_client_ca):
            raise ConfigError("a private key and a CA for senders go with a certificate: tls_cert is missing")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerConfig:
    """Everything that a server needs to know beside the engine that it feeds.

    Raises:
        ConfigError: If two settings do not go together.
        ValueError: If a number is out of range.
    """

    listen: tuple[Address, ...] = (Address("127.0.0.1", PORT_DEFAULT),)
    """Where to listen; port 0 is any that is free."""
    policy: ErrorPolicy = field(default_factory=ErrorPolicy)
    """What to do about rows that are not applied, for each connection by itself."""
    limits: ServerLimits = field(default_factory=ServerLimits)
    """What connections, and all of them together, may cost."""
    security: SecurityConfig = field(default_factory=SecurityConfig)
    """Who may connect and who may send."""
    snapshots: SnapshotConfig | None = None
    """Where the accounts are written while the server runs."""
    grace_seconds: float = 10.0
    """How long connections may go on after the server is told to stop."""
    loop: LoopName = "auto"
    """The event loop."""
    status_every_seconds: float = 60.0
    """How often the status is logged; 0 is never."""

    def __post_init__(self) -> None:
        if not self.listen:
            raise ConfigError("a server listens on at least one address")
        for name in ("grace_seconds", "status_every_seconds"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"{name} is 0 or more, not {getattr(self, name)}")
