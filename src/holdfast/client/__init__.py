"""Sends transactions to a Holdfast server: files, pipes or single transactions, exactly once, whatever the network does.

:func:`send` and :class:`Client` block, :func:`send_async` and :class:`AsyncClient` are awaited. The names are imported
when they are first used: whoever blocks does without asyncio.
"""

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
    "Address": "holdfast.net.address",
    "AsyncClient": "holdfast.client.aio",
    "Client": "holdfast.client.blocking",
    "ConnectionLostError": "holdfast.client.errors",
    "DeadlineError": "holdfast.client.errors",
    "Limits": "holdfast.client.connection",
    "LostRowsError": "holdfast.client.errors",
    "ProtocolError": "holdfast.client.errors",
    "RefusedRow": "holdfast.client.report",
    "SendError": "holdfast.client.errors",
    "SendReport": "holdfast.client.report",
    "ServerError": "holdfast.client.errors",
    "StreamMismatchError": "holdfast.client.errors",
    "make_tls_context": "holdfast.client.connection",
    "parse_address": "holdfast.net.address",
    "send": "holdfast.client.blocking",
    "send_async": "holdfast.client.aio",
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


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast.client' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # each name brings what it needs, and no more

    value: object = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
