"""What tests of a ledger in PostgreSQL do behind its back."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from typing import Self

psycopg = pytest.importorskip("psycopg")


def ask(url: str, statement: str, *values: object) -> list[tuple[Any, ...]]:
    """Run a statement over a connection of its own, in the ledger's schema."""
    server, _, query = url.partition("?")
    schema = query.partition("holdfast_schema=")[2].partition("&")[0]
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"SET search_path TO {schema}")
        cursor = connection.execute(statement, values)
        return [] if cursor.description is None else cursor.fetchall()


def cut_connections(url: str, kind: str) -> int:
    """End the connections of a ledger's writer or readers at the server."""
    return len(
        ask(
            url,
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s",
            f"holdfast {kind} %",
        )
    )


def _port_of(url: str) -> str:
    return url.partition("127.0.0.1:")[2].partition("/")[0]


def through(url: str, proxy: CuttingProxy) -> str:
    """Give the URL by way of a proxy."""
    return url.replace(f":{_port_of(url)}/", f":{proxy.port}/")


class CuttingProxy:
    """Passes bytes between clients and the server of a URL; cuts the connection after so many bytes one way."""

    def __init__(self, url: str) -> None:
        self._port = int(_port_of(url))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.cut_after = {"there": -1, "back": -1}
        self.cuts = 0
        self.answers = 0
        self._threads: list[threading.Thread] = []
        self._sockets: list[socket.socket] = []
        self._start(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _start(self, function: Any, *values: object) -> None:
        thread = threading.Thread(target=function, args=values)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(("127.0.0.1", self._port))
            self._sockets += [client, server]
            self._start(self._pass, client, server, "there")
            self._start(self._pass, server, client, "back")

    def _pass(self, source: socket.socket, target: socket.socket, way: str) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                self.answers += way == "back"
                left = self.cut_after[way]
                if 0 <= left < len(data):
                    self.cut_after[way] = -1
                    self.cuts += 1
                    target.sendall(data[:left])
                    break
                if left >= 0:
                    self.cut_after[way] = left - len(data)
                target.sendall(data)
        for each in (source, target):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """End all connections."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join()
        for each in self._sockets:
            each.close()
