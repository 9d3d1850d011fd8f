"""Sends transactions to a Holdfast server: files, pipes or single transactions, exactly once, whatever the network does.

:func:`send` and :class:`Client` block, :func:`send_async` and :class:`AsyncClient` are awaited. The names are imported
when they are first used: whoever blocks does without asyncio.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.client.aio import AsyncClient, send_async
    from holdfast.client.blocking import Client, send
    from holdfast.client.connection import Address, Limits, make_tls_context, parse_address
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

_HOMES = {
    "Address": "connection",
    "AsyncClient": "aio",
    "Client": "blocking",
    "ConnectionLostError": "errors",
    "DeadlineError": "errors",
    "Limits": "connection",
    "LostRowsError": "errors",
    "ProtocolError": "errors",
    "RefusedRow": "report",
    "SendError": "errors",
    "SendReport": "report",
    "ServerError": "errors",
    "StreamMismatchError": "errors",
    "make_tls_context": "connection",
    "parse_address": "connection",
    "send": "blocking",
    "send_async": "aio",
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

    value: object = getattr(import_module(f"holdfast.client.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
