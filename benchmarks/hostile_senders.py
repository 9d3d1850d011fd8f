"""Senders that mean no good: ``python -m benchmarks.hostile_senders KIND PORT CONNECTIONS SECONDS``.

Each connection that the server ends is replaced at once. Prints ``ready`` when all of them were opened.
"""

from __future__ import annotations

import errno
import os
import select
import socket
import sys
import time
from dataclasses import dataclass

from benchmarks.load_target import allow_files
from benchmarks.workloads import header
from holdfast.protocol.messages import Directive
from holdfast.protocol.wire import format_directive

_FILES_MAX = 12_000
_POLL_SECONDS = 0.05
_SENT_BYTES = 64 * 1024
_REFUSED_ROW = b"dispute,0,0,\n"
_TINY_ROW = b"x\n"


@dataclass(frozen=True, slots=True)
class Kind:
    """What a hostile sender does.

    Args:
        first: What it sends first.
        body: What it sends after that, over and over, as fast as it can.
        pause_seconds: How long it waits between two bytes of the body instead.
        is_reading: Whether it reads replies; it is replaced after the last one.
        is_ending: Whether it ends its input after what it sends first.
    """

    first: bytes
    body: bytes = b""
    pause_seconds: float = 0.0
    is_reading: bool = False
    is_ending: bool = False


def _greeting(directive: Directive) -> bytes:
    return format_directive(directive) + header()


KINDS = {
    "slow": Kind(header(), b"x", pause_seconds=0.1),
    "endless line": Kind(header(), b"x" * _SENT_BYTES),
    "unread acks": Kind(_greeting(Directive(wants_acks=True)), _REFUSED_ROW * 5_000),
    "unread refusals": Kind(_greeting(Directive(wants_refused=True)), _TINY_ROW * (_SENT_BYTES // 2)),
    "tiny rows": Kind(header(), _TINY_ROW * (_SENT_BYTES // 2)),
    "churn": Kind(header(), is_reading=True, is_ending=True),
    "supersede": Kind(_greeting(Directive(stream="wanted")), is_reading=True),
    "half handshakes": Kind(b"#holdf", is_reading=True),
    "descriptors": Kind(header()),
    "token guesses": Kind(_greeting(Directive(token="guess")), is_reading=True),  # noqa: S106  # a wrong one
}
"""By name; docs/server.md says what a server does about each."""


class Senders:
    """Connections of one kind, all of them open all the time.

    Args:
        kind: What each of them does.
        port: Where the server listens, on loopback.
    """

    def __init__(self, kind: Kind, port: int) -> None:
        self._kind = kind
        self._port = port
        self._poll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._greeted: set[int] = set()
        self._missing = 0
        self._next_byte = 0.0

    def open(self, count: int) -> None:
        """Open connections; those that cannot be opened now are opened later."""
        for _ in range(count):
            sender = socket.socket()
            sender.setblocking(False)
            if sender.connect_ex(("127.0.0.1", self._port)) not in {0, errno.EINPROGRESS}:
                # All ports are taken by connections that have ended a moment ago.
                sender.close()
                self._missing += 1
                continue
            self._sockets[sender.fileno()] = sender
            self._poll.register(sender.fileno(), select.EPOLLOUT | select.EPOLLRDHUP)

    def run(self, seconds: float) -> None:
        """Go on for a time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            missing, self._missing = self._missing, 0
            self.open(missing)
            for descriptor, events in self._poll.poll(_POLL_SECONDS):
                self._handle(descriptor, events)
            if self._kind.pause_seconds and time.monotonic() >= self._next_byte:
                self._next_byte = time.monotonic() + self._kind.pause_seconds
                for descriptor in list(self._greeted):
                    self._send(descriptor, self._kind.body)

    def _handle(self, descriptor: int, events: int) -> None:
        if descriptor not in self._sockets:
            return
        if events & (select.EPOLLERR | select.EPOLLHUP):
            self._replace(descriptor)
        elif events & select.EPOLLIN and self._kind.is_reading:
            self._read(descriptor)
        elif events & select.EPOLLRDHUP:
            self._replace(descriptor)
        elif events & select.EPOLLOUT:
            self._greet_or_send(descriptor)

    def _greet_or_send(self, descriptor: int) -> None:
        kind = self._kind
        if descriptor in self._greeted:
            self._send(descriptor, kind.body)
            return
        self._greeted.add(descriptor)
        self._send(descriptor, kind.first)
        if descriptor in self._sockets:
            if kind.is_ending:
                self._sockets[descriptor].shutdown(socket.SHUT_WR)
            wanted = select.EPOLLIN if kind.is_reading else select.EPOLLRDHUP
            if kind.body and not kind.pause_seconds:
                wanted |= select.EPOLLOUT
            self._poll.modify(descriptor, wanted)

    def _send(self, descriptor: int, data: bytes) -> None:
        try:
            self._sockets[descriptor].send(data)
        except BlockingIOError:
            return
        except OSError:
            self._replace(descriptor)

    def _read(self, descriptor: int) -> None:
        try:
            if self._sockets[descriptor].recv(_SENT_BYTES):
                return
        except BlockingIOError:
            return
        except OSError:
            pass
        self._replace(descriptor)

    def _replace(self, descriptor: int) -> None:
        self._poll.unregister(descriptor)
        self._sockets.pop(descriptor).close()
        self._greeted.discard(descriptor)
        self._missing += 1


def main() -> None:
    """Run what the command line says, below the priority of what is measured."""
    name, port, connections, seconds = sys.argv[1:]
    allow_files(_FILES_MAX)
    os.nice(5)
    senders = Senders(KINDS[name], int(port))
    senders.open(int(connections))
    print("ready", flush=True)
    senders.run(float(seconds))


if __name__ == "__main__":
    main()
