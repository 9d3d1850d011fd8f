"""One process that serves: a ledger behind TCP, its configuration, and what puts it together.

The names below are imported when they are first used.
"""

from holdfast._lazy import lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.net.address import Address
    from holdfast.protocol.limits import ServerLimits
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
    "Address": "net.address",
    "ConfigError": "server.config",
    "InsecureAddressError": "server.config",
    "LastSnapshotError": "server.service",
    "ServerLimits": "protocol.limits",
    "SecurityConfig": "server.config",
    "ServerConfig": "server.config",
    "Service": "server.service",
    "SnapshotConfig": "server.config",
    "Status": "server.status",
    "StoppedAtOnceError": "server.running",
    "run": "server.running",
}

__all__ = [
    "Address",
    "ConfigError",
    "InsecureAddressError",
    "LastSnapshotError",
    "SecurityConfig",
    "ServerConfig",
    "ServerLimits",
    "Service",
    "SnapshotConfig",
    "Status",
    "StoppedAtOnceError",
    "run",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES)
