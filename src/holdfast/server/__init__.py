"""One process that serves: a ledger behind TCP, its configuration, and what puts it together.

The names below are imported when they are first used.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.protocol.limits import Limits
    from holdfast.server.config import (
        ConfigError,
        InsecureAddressError,
        SecurityConfig,
        ServerConfig,
        SnapshotConfig,
    )
    from holdfast.server.running import StoppedAtOnceError, run
    from holdfast.server.service import LastSnapshotError, Service
    from holdfast.server.status import Status

_HOMES = {
    "ConfigError": "holdfast.server.config",
    "InsecureAddressError": "holdfast.server.config",
    "LastSnapshotError": "holdfast.server.service",
    "Limits": "holdfast.protocol.limits",
    "SecurityConfig": "holdfast.server.config",
    "ServerConfig": "holdfast.server.config",
    "Service": "holdfast.server.service",
    "SnapshotConfig": "holdfast.server.config",
    "Status": "holdfast.server.status",
    "StoppedAtOnceError": "holdfast.server.running",
    "run": "holdfast.server.running",
}

__all__ = [
    "ConfigError",
    "InsecureAddressError",
    "LastSnapshotError",
    "Limits",
    "SecurityConfig",
    "ServerConfig",
    "Service",
    "SnapshotConfig",
    "Status",
    "StoppedAtOnceError",
    "run",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast.server' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only what is used is imported

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
