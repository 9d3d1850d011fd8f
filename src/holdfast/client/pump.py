"""Does what a session says on a connection; whoever runs it does the waiting, blocking or awaiting.

A :class:`Pump` gives generators of requests, so that what happens between the waits is written once for both
fronts.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any, NamedTuple

from holdfast.client.errors import ConnectionLostError
from holdfast.client.link import say_loss
from holdfast.client.steps import Connect, Done, End, Read, Seek, Sleep, Wait, Write

if TYPE_CHECKING:
    from holdfast.client.feeds import Feed
    from holdfast.client.link import Link
    from holdfast.client.session import ClientSession
    from holdfast.client.steps import Step


class Open(NamedTuple):
    """Open a connection; the answer is its :class:`Link`, or an ``OSError`` thrown in."""


class Pause(NamedTuple):
    """Wait so long."""

    seconds: float


class Call(NamedTuple):
    """Call this, which may wait for a disk; the answer is what it gives, or the ``OSError`` that it raises."""

    function: Callable[[], object]
    does_block: bool


class Ready(NamedTuple):
    """Wait until the link can be read, can be written, has been woken, or the time is over."""

    link: Link
    seconds: float | None
    for_room: bool


Request = Open | Pause | Call | Ready
Requests = Generator[Request, Any, None]


class Pump:
    """Moves one session's bytes.

    Args:
        session: What is to be done.
        feed: Its rows.
        on_step: Is called after everything that happened.
    """

    def __init__(
        self, session: ClientSession, feed: Feed, on_step: Callable[[], object] = lambda: None
    ) -> None:
        self.session = session
        self.link: Link | None = None
        self._feed = feed
        self._on_step = on_step

    def run(self) -> Requests:
        """Go on until everything is decided.

        Raises:
            SendError: If that cannot be.
        """
        return self.run_until(lambda: False)

    def run_until(self, is_enough: Callable[[], bool]) -> Requests:
        """Go on until everything is decided, or until there is nothing to write and it is enough.

        Raises:
            SendError: If that cannot be.
        """
        session = self.session
        while True:
            if not session.is_connected:
                self.close()
            step = session.next_step()
            if isinstance(step, Done):
                self.close()
                return
            if isinstance(step, Wait) and self.link is not None and self._receive(self.link):
                # What has come may leave something else to do than to wait.
                self._on_step()
                continue
            if isinstance(step, Wait) and session.is_streaming and is_enough():
                return
            yield from self._do(step)
            self._on_step()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self.link is not None:
            self.link.close()
            self.link = None

    def _do(self, step: Step) -> Requests:
        session = self.session
        match step:
            case Connect():
                yield from self._connect()
            case Sleep(seconds):
                yield Pause(seconds)
            case Seek(row):
                yield Call(lambda: self._feed.seek(row), self._feed.does_block)
                session.positioned()
            case Read():
                session.take_input((yield Call(self._feed.read, self._feed.does_block)))
            case Write(data) if self.link is not None:
                yield from self._write(self.link, data)
            case End() if self.link is not None:
                yield from self._end(self.link)
            case Wait() if self.link is not None and session.is_connected:
                yield Ready(self.link, session.seconds_left(), for_room=False)
                session.on_time()

    def _connect(self) -> Requests:
        try:
            self.link = yield Open()
        except ssl.SSLCertVerificationError as error:
            raise ConnectionLostError(
                f"the server's certificate is not trusted: {error.verify_message}"
            ) from error
        except OSError as error:
            self.session.connection_lost(f"cannot connect: {say_loss(error)}")
        else:
            self.session.connected()

    def _write(self, link: Link, data: bytes | memoryview) -> Requests:
        view = memoryview(data)
        session = self.session
        try:
            while (view or not link.is_flushed) and session.is_connected:
                count = link.write_some(view)
                if count:
                    view = view[count:]
                    session.written(count)
                    self._on_step()
                has_received = self._receive(link)
                if not count and not has_received and self.session.is_connected:
                    yield Ready(link, session.seconds_left(is_writing=True), for_room=True)
                    session.on_time(is_writing=True)
        except OSError as error:
            self._lose(link, error)

    def _end(self, link: Link) -> Requests:
        try:
            # What has come is read first: TLS cannot end its side with the peer's bytes unread.
            while self._receive(link):
                pass
            if not self.session.is_connected:
                return
            link.end()
            yield from self._write(link, b"")
        except OSError as error:
            self._lose(link, error)

    def _receive(self, link: Link) -> bool:
        """Take what has come; whether there was any, and may be more."""
        if not self.session.is_connected:
            return False
        try:
            data = link.read_some()
        except OSError as error:
            self.session.connection_lost(say_loss(error))
            return False
        if data is None:
            return False
        if data:
            self.session.receive(data)
            return True
        self.session.connection_lost("the server closed the connection")
        return False

    def _lose(self, link: Link, error: OSError) -> None:
        """A connection that takes no more may still have the server's reason in it."""
        while self._receive(link):
            pass
        if self.session.is_connected:
            self.session.connection_lost(say_loss(error))
