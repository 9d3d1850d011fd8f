"""Sends transactions to a Holdfast server: files, pipes or single transactions, exactly once, whatever the network does.

:func:`send` and :class:`Client` block, :func:`send_async` and :class:`AsyncClient` are awaited. The names are imported
when they are first used: a program that blocks does without asyncio.
"""

from holdfast._lazy import lazy_names as _lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.client.aio import AsyncClient, send_async
    from holdfast.client.blocking import Client, send
    from holdfast.client.connection import Limits, make_tls_context
    from holdfast.client.errors import (
        ConnectionLostError,
        DeadlineError,
        LostRowsError,
        ProtocolError,
        SendError,
        ServerError,
        StreamMismatchError,
    )
    from holdfast.client.report import RefusedRow, SendReport
    from holdfast.net.address import Address, parse_address

_HOMES = {
    "Address": "net.address",
    "AsyncClient": "client.aio",
    "Client": "client.blocking",
    "ConnectionLostError": "client.errors",
    "DeadlineError": "client.errors",
    "Limits": "client.connection",
    "LostRowsError": "client.errors",
    "ProtocolError": "client.errors",
    "RefusedRow": "client.report",
    "SendError": "client.errors",
    "SendReport": "client.report",
    "ServerError": "client.errors",
    "StreamMismatchError": "client.errors",
    "make_tls_context": "client.connection",
    "parse_address": "net.address",
    "send": "client.blocking",
    "send_async": "client.aio",
}

__all__ = [
    "Address",
    "AsyncClient",
    "Client",
    "ConnectionLostError",
    "DeadlineError",
    "Limits",
    "LostRowsError",
    "ProtocolError",
    "RefusedRow",
    "SendError",
    "SendReport",
    "ServerError",
    "StreamMismatchError",
    "make_tls_context",
    "parse_address",
    "send",
    "send_async",
]

__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
