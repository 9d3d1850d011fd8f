"""Sends transactions to a Holdfast server: files, pipes or single transactions, exactly once, whatever the network does.

:func:`send` and :class:`Client` block, :func:`send_async` and :class:`AsyncClient` are awaited. The names are imported
when they are first used.
"""

from holdfast._lazy import lazy_names as _lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.client.aio import AsyncClient, send_async
    from holdfast.client.blocking import Client, send
    from holdfast.client.errors import (
        ConnectionFault,
        ConnectionLostError,
        DeadlineError,
        LostRowsError,
        ProtocolError,
        SendError,
        ServerError,
        SettingsMismatchError,
        StreamMismatchError,
    )
    from holdfast.client.options import Limits
    from holdfast.client.report import RefusedRow, SendReport
    from holdfast.net.address import Address, parse_address
    from holdfast.net.tls import make_tls_context

_HOMES = {
    "Address": "net.address",
    "AsyncClient": "client.aio",
    "Client": "client.blocking",
    "ConnectionFault": "client.errors",
    "ConnectionLostError": "client.errors",
    "DeadlineError": "client.errors",
    "Limits": "client.options",
    "LostRowsError": "client.errors",
    "ProtocolError": "client.errors",
    "RefusedRow": "client.report",
    "SendError": "client.errors",
    "SendReport": "client.report",
    "ServerError": "client.errors",
    "SettingsMismatchError": "client.errors",
    "StreamMismatchError": "client.errors",
    "make_tls_context": "net.tls",
    "parse_address": "net.address",
    "send": "client.blocking",
    "send_async": "client.aio",
}

__all__ = [
    "Address",
    "AsyncClient",
    "Client",
    "ConnectionFault",
    "ConnectionLostError",
    "DeadlineError",
    "Limits",
    "LostRowsError",
    "ProtocolError",
    "RefusedRow",
    "SendError",
    "SendReport",
    "ServerError",
    "SettingsMismatchError",
    "StreamMismatchError",
    "make_tls_context",
    "parse_address",
    "send",
    "send_async",
]

__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
