"""A scripted server for the load generator: it speaks the protocol, decides nothing, and follows a script."""

from __future__ import annotations

import selectors
import socket
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from holdfast.protocol.messages import Ack, ErrorCode, Failure, Summary
from holdfast.protocol.wire import encode, parse_directive

if TYPE_CHECKING:
    from types import TracebackType

_TICK_SECONDS = 0.02


@dataclass(slots=True)
class Script:
    """The script: what the sink does beside acknowledging rows.

    Args:
        stall_after_rows: After this many rows in all, it does nothing for a while, once.
        stall_seconds: For how long.
        fail_after_rows: A connection that has sent this many rows gets an error and is closed.
        cut_after_rows: A connection that has sent this many rows is closed without a line.
        acks: Whether rows are acknowledged at all.
    """

    stall_after_rows: int | None = None
    stall_seconds: float = 0.5
    fail_after_rows: int | None = None
    cut_after_rows: int | None = None
    acks: bool = True


@dataclass(slots=True)
class _Peer:
    socket: socket.socket
    text: bytearray = field(default_factory=bytearray)
    wants_acks: bool = False
    has_header: bool = False
    rows: int = 0


class Sink:
    """The server, in a thread of its own."""

    def __init__(self, script: Script | None = None) -> None:
        self._script = script or Script()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self._listener.setblocking(False)
        self.port: int = self._listener.getsockname()[1]
        self.rows = 0
        self.greetings: list[bytes] = []
        self.texts: list[bytes] = []
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._thread.join(10)
        for key in list(self._selector.get_map().values()):
            key.fileobj.close()  # type: ignore[union-attr]  # only sockets are registered
        self._selector.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            for key, _ in self._selector.select(_TICK_SECONDS):
                if key.data is None:
                    peer, _ = self._listener.accept()
                    self._selector.register(peer, selectors.EVENT_READ, _Peer(peer))
                else:
                    self._receive(key.data)

    def _receive(self, peer: _Peer) -> None:
        data = peer.socket.recv(65_536)
        peer.text += data
        if not peer.has_header and not self._greet(peer):
            return
        before = peer.rows
        peer.rows = peer.text.count(b"\n")
        self.rows += peer.rows - before
        script = self._script
        if script.stall_after_rows is not None and self.rows >= script.stall_after_rows:
            script.stall_after_rows = None
            time.sleep(script.stall_seconds)
        if script.cut_after_rows is not None and peer.rows >= script.cut_after_rows:
            self._end(peer, b"")
        elif script.fail_after_rows is not None and peer.rows >= script.fail_after_rows:
            self._end(peer, encode(Failure(ErrorCode.MEMORY_LIMIT, "as scripted", peer.rows, self.rows)))
        elif not data:
            self._end(peer, encode(Summary(peer.rows, peer.rows, {}, 0, self.rows)))
        elif peer.wants_acks and script.acks and peer.rows > before:
            peer.socket.sendall(encode(Ack(peer.rows, self.rows)))

    def _greet(self, peer: _Peer) -> bool:
        """Take the lines before the rows; False while they are not complete."""
        while (end := peer.text.find(b"\n")) >= 0:
            line = bytes(peer.text[: end + 1])
            del peer.text[: end + 1]
            self.greetings.append(line)
            if not line.startswith(b"#"):
                peer.has_header = True
                return True
            peer.wants_acks = parse_directive(line).wants_acks
        return False

    def _end(self, peer: _Peer, line: bytes) -> None:
        self.texts.append(bytes(peer.text))
        self._selector.unregister(peer.socket)
        peer.socket.sendall(line)
        if line:
            # Closing a socket with unread data would send a reset.
            peer.socket.shutdown(socket.SHUT_WR)
            peer.socket.settimeout(1.0)
            while self._script.fail_after_rows is not None and peer.socket.recv(65_536):
                pass
        peer.socket.close()
