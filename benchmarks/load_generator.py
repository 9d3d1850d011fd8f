"""Many senders in one process: plain sockets, one epoll, text made beforehand.

There are two ways to send. All at once: every sender sends as fast as its socket accepts data, in turn; the result is how many
rows a second the server takes. On a schedule: each batch has a due time, fixed before the first one is sent, and is sent then,
whatever happened to those before it. Its latency counts from its due time, not from when it could be sent: while a server stalls,
the batches that become due meanwhile are late too, and are counted as late.
"""

from __future__ import annotations

import gc
import select
import socket
import ssl
import time
from array import array
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Self

from benchmarks.load_statistics import LoadReport
from benchmarks.load_target import LoadError, allow_files
from holdfast.protocol.messages import Failure, Resume, Summary
from holdfast.protocol.wire import parse_reply

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

    from benchmarks.load_rows import StreamRows
    from benchmarks.load_target import Target
    from holdfast.protocol.messages import Reply

PIECE_BYTES = 16_384
"""How much a sender sends before the next one's turn, if all send at once."""

_RECEIVE_BYTES = 65_536
_OPENERS = 32
# Beside the connections: standard streams, the epoll, and files that Python keeps open.
_FILES_BESIDE = 64
_SENDS_BETWEEN_POLLS = 64
_EVENTS_MAX = 1_024
_POLL_SECONDS_MAX = 0.1
_WOULD_BLOCK = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
_EVENTS = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET
_ENDED = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_ACK = b'{"ack": '


class _Sender:
    """One connection: how far it has sent, how far it may send, how far the server is."""

    __slots__ = (
        "batches_acked",
        "end",
        "file",
        "is_blocked",
        "is_done",
        "is_open",
        "number",
        "partial",
        "sent",
        "socket",
    )

    def __init__(self, number: int, connected: socket.socket, begin: int, end: int) -> None:
        self.number = number
        self.socket = connected
        self.file = connected.fileno()
        self.sent = begin
        self.end = end
        self.batches_acked = 0
        self.partial = b""
        self.is_blocked = False
        self.is_done = False
        self.is_open = True


class Load:
    """Some senders and their rows. Open it, send once in either way, and end it.

    Args:
        rows: The rows to send.
        target: The server to send to.
    """

    def __init__(self, rows: StreamRows, target: Target) -> None:
        self._rows = rows
        self._target = target
        self._view = memoryview(rows.text)
        self._poll = select.epoll()
        self._senders: list[_Sender] = []
        self._by_file: dict[int, _Sender] = {}
        self._senders_unsent = rows.connections
        self._rows_awaited = rows.rows
        self._schedule: tuple[float, float] | None = None
        self.report = LoadReport(rows.connections, rows.rows)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self) -> None:
        """Connect all senders, and send the lines before the rows.

        Raises:
            LoadError: If the process may not open that many files, or the server cannot be reached.
        """
        allow_files(self._rows.connections + _FILES_BESIDE)
        begin = time.perf_counter()
        with ThreadPoolExecutor(_OPENERS) as openers:
            opened = [
                openers.submit(self._target.connect, number) for number in range(self._rows.connections)
            ]
        failed = next((error for each in opened if (error := each.exception()) is not None), None)
        if failed is not None:
            for each in opened:
                if each.exception() is None:
                    each.result().close()
            raise LoadError(f"{self._target.host}:{self._target.port}: {failed}") from failed
        for number, each in enumerate(opened):
            connected = each.result()
            connected.setblocking(False)
            sender = _Sender(number, connected, self._rows.begin(number), self._rows.end(number))
            self._senders.append(sender)
            self._by_file[sender.file] = sender
            self._poll.register(sender.file, _EVENTS)
        self.report.seconds_opening = time.perf_counter() - begin

    def send_all(self, seconds_max: float) -> None:
        """Send everything as fast as possible, and wait for the acks, if any."""
        deadline = time.perf_counter() + seconds_max
        with self._sending():
            ready = deque(self._senders)
            while self._senders_unsent or (self._target.wants_acks and self._is_waiting()):
                for _ in range(min(len(ready), _SENDS_BETWEEN_POLLS)):
                    sender = ready.popleft()
                    self._send(sender, min(sender.sent + PIECE_BYTES, sender.end))
                    if sender.sent < sender.end and sender.is_open and not sender.is_blocked:
                        ready.append(sender)
                left = deadline - time.perf_counter()
                if left <= 0:
                    break
                ready.extend(self._take_events(0 if ready else min(left, _POLL_SECONDS_MAX)))

    def send_on_schedule(self, rows_per_second: float, seconds_spare: float) -> None:
        """Send each batch when it is due, the senders in turn, and wait for the last acks.

        Args:
            rows_per_second: How many rows are due in a second, of all senders together.
            seconds_spare: How long to wait for acks when everything was due.
        """
        rows, report = self._rows, self.report
        batches, spacing = len(rows.batch_ends), rows.batch_rows / rows_per_second
        with self._sending():
            start = time.perf_counter()
            self._schedule = (start, spacing)
            report.latencies = array("d", [0.0]) * batches
            deadline = start + batches * spacing + seconds_spare
            number = 0
            while number < batches or self._is_waiting():
                now = time.perf_counter()
                if now > deadline:
                    break
                stop = min(batches, int((now - start) / spacing) + 1, number + _SENDS_BETWEEN_POLLS)
                for batch in range(number, stop):
                    report.lags.append(time.perf_counter() - (start + batch * spacing))
                    turn, place = divmod(batch, rows.connections)
                    self._send_due(self._senders[place], rows.batch_ends[place * rows.batches_each + turn])
                number = max(number, stop)
                next_due = start + number * spacing if number < batches else deadline
                for sender in self._take_events(min(_POLL_SECONDS_MAX, next_due - time.perf_counter())):
                    self._send_due(sender, self._due_end(sender, number))
            self._count_unanswered()

    def end(self, seconds_max: float) -> None:
        """End the input of all senders, and read the summaries."""
        begin = time.perf_counter()
        for sender in self._senders:
            if sender.is_open:
                self._half_close(sender)
        while self._by_file and (left := begin + seconds_max - time.perf_counter()) > 0:
            self._take_events(min(left, _POLL_SECONDS_MAX))
        self.report.errors["NO_SUMMARY"] += sum(not sender.is_done for sender in self._by_file.values())
        self.report.seconds_ending = time.perf_counter() - begin

    def close(self) -> None:
        """Close all connections that are still open."""
        for sender in list(self._by_file.values()):
            self._drop(sender)
        self._poll.close()

    # ------------------------------------------------------------------------------------------- sending

    @contextmanager
    def _sending(self) -> Iterator[None]:
        """Measure the cost of sending, with the garbage collector off."""
        gc.collect()
        gc.disable()
        begin, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.report.seconds_sending = time.perf_counter() - begin
            self.report.cpu_seconds = time.process_time() - cpu
            gc.enable()
            self.report.rows_sent = sum(map(self._rows_sent, self._senders))

    def _rows_sent(self, sender: _Sender) -> int:
        if sender.sent == self._rows.end(sender.number):
            return self._rows.rows_each
        return self._rows.text.count(b"\n", self._rows.begin(sender.number), sender.sent)

    def _send(self, sender: _Sender, end: int) -> None:
        if not sender.is_open:
            return
        try:
            sender.sent += sender.socket.send(self._view[sender.sent : end])
        except OSError as error:
            # A closed connection may still have an unread line that says why; reading finds it, and the end.
            sender.is_blocked = True
            if not isinstance(error, _WOULD_BLOCK):
                self._receive(sender, to_end=True)
            return
        if sender.sent == sender.end:
            self._senders_unsent -= 1

    def _send_due(self, sender: _Sender, end: int) -> None:
        while sender.sent < end and sender.is_open and not sender.is_blocked:
            self._send(sender, end)

    def _due_end(self, sender: _Sender, number: int) -> int:
        """Give the end of a sender's due rows, for a number of due batches."""
        batches = (number - sender.number + self._rows.connections - 1) // self._rows.connections
        if batches <= 0:
            return self._rows.begin(sender.number)
        return self._rows.batch_ends[sender.number * self._rows.batches_each + batches - 1]

    def _half_close(self, sender: _Sender) -> None:
        with suppress(OSError):
            if isinstance(sender.socket, ssl.SSLSocket):
                sender.socket.unwrap()
            else:
                sender.socket.shutdown(socket.SHUT_WR)

    # ----------------------------------------------------------------------------------------- receiving

    def _is_waiting(self) -> bool:
        return self._rows_awaited > 0

    def _take_events(self, seconds: float) -> list[_Sender]:
        """Wait for events, read replies, and give the senders that can send again."""
        # epoll has milliseconds only; batches are due more often than that.
        if seconds > 0:
            select.select([self._poll], [], [], seconds)
        writable = []
        for file, event in self._poll.poll(0, _EVENTS_MAX):
            sender = self._by_file.get(file)
            if sender is None:
                continue
            if event & ~select.EPOLLOUT:
                self._receive(sender, to_end=bool(event & _ENDED) or self._target.tls is not None)
            if event & select.EPOLLOUT and sender.is_blocked and sender.is_open:
                sender.is_blocked = False
                writable.append(sender)
        return writable

    def _receive(self, sender: _Sender, *, to_end: bool) -> None:
        """Read all data that is there: an edge is reported only once, so read on if the buffer was full."""
        while True:
            try:
                data = sender.socket.recv(_RECEIVE_BYTES)
            except _WOULD_BLOCK:
                return
            except OSError:
                data = b""
            if not data:
                if not sender.is_done:
                    self.report.errors["CUT_OFF"] += 1
                self._drop(sender)
                return
            *lines, sender.partial = (sender.partial + data).split(b"\n")
            for line in lines:
                if line.startswith(_ACK):
                    self._take_ack(sender, int(line[len(_ACK) : line.index(b",")]))
                else:
                    self._take_reply(sender, parse_reply(line))
            if len(data) < _RECEIVE_BYTES and not to_end:
                return

    def _take_ack(self, sender: _Sender, rows: int) -> None:
        before = sender.batches_acked
        batches = self._rows.batches_each if rows >= self._rows.rows_each else rows // self._rows.batch_rows
        if batches <= before:
            return
        sender.batches_acked = batches
        acked = self._rows_in(batches) - self._rows_in(before)
        self._rows_awaited -= acked
        self.report.rows_acked += acked
        if self._schedule is not None:
            self._keep_latencies(sender, range(before, batches), time.perf_counter())

    def _rows_in(self, batches: int) -> int:
        return min(batches * self._rows.batch_rows, self._rows.rows_each)

    def _keep_latencies(self, sender: _Sender, turns: range, now: float) -> None:
        assert self._schedule is not None
        start, spacing = self._schedule
        for turn in turns:
            batch = turn * self._rows.connections + sender.number
            self.report.latencies[batch] = now - (start + batch * spacing)

    def _count_unanswered(self) -> None:
        """Count the waiting time of batches without an ack: leaving them out would make the server look good."""
        now = time.perf_counter()
        for sender in self._senders:
            unanswered = range(sender.batches_acked, self._rows.batches_each)
            self.report.batches_unanswered += len(unanswered)
            self._keep_latencies(sender, unanswered, now)

    def _take_reply(self, sender: _Sender, reply: Reply) -> None:
        """Take one of the rarer replies: a stream's position, an error, the summary."""
        match reply:
            case Failure():
                self.report.errors[reply.code.name] += 1
                sender.is_done = True
            case Summary():
                self.report.rows_decided += reply.rows
                self.report.applied += reply.applied
                for outcome, count in reply.refused_by_outcome.items():
                    self.report.refused_by_code[outcome.name] += count
                self.report.errors["ENDED_EARLY"] += sender.sent < sender.end
                sender.is_done = True
            case Resume(rows) if rows:
                # The server would skip rows of an earlier run, and they would be measured as if it had decided them.
                self.report.errors["STREAM_NOT_NEW"] += 1

    def _drop(self, sender: _Sender) -> None:
        """Close a connection, and stop waiting for its replies."""
        del self._by_file[sender.file]
        sender.is_open = False
        sender.socket.close()
        if sender.sent < sender.end:
            self._senders_unsent -= 1
        self._rows_awaited -= self._rows.rows_each - self._rows_in(sender.batches_acked)
