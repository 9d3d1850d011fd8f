"""Requests that were answered, by their idempotency keys: one that comes again gets its first answer and decides nothing.

Keys are remembered within a window: at least the last 65,536 of them, and each for 24 hours. What is remembered is in two
generations. When the younger one is full it becomes the older one, and what was that is forgotten. Beside each generation is a
list of its records as a checkpoint holds them; it only grows, so a checkpoint takes it as it is, without a copy.
"""

from __future__ import annotations

import struct
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from holdfast.storage.failures import KeyReusedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from holdfast.domain.origin import RequestKey

KEYS_MAX = 65_536
"""How many keys are remembered at least, and half of how many at most: some 400 bytes of memory each."""
SECONDS_MAX = 86_400
"""For how long a key is remembered."""
_RECORD = struct.Struct("<QQ16sHI")


class KnownRequest(NamedTuple):
    """A request that was answered."""

    fingerprint: bytes
    outcomes: bytes
    """The outcome codes of its rows."""
    decided_at: int
    """How many decisions there were after it: the watermark that makes the answer durable."""
    time_us: int
    """When it was decided, in microseconds since 1970 (UTC)."""


class RequestRecords(NamedTuple):
    """Requests at one point in time."""

    records: Sequence[bytes]
    """Packed requests, in order; more may be added."""
    size: int
    """How many of them belong to that point."""


class Requests:
    """The requests within the window, in memory.

    Args:
        known: Those so far, in order.
    """

    def __init__(self, known: Sequence[RequestRecords] = ()) -> None:
        self._young: dict[str, KnownRequest] = {}
        self._young_records: list[bytes] = []
        self._old: dict[str, KnownRequest] = {}
        self._old_records: list[bytes] = []
        self._pending: set[str] = set()
        self._is_settled = threading.Condition()
        for records, size in known:
            for record in records[:size]:
                self._add(*_unpack(record), record)

    def copy(self) -> tuple[RequestRecords, ...]:
        """Give all of them as they are now, at once."""
        found = (self._old_records, self._young_records)
        return tuple(RequestRecords(each, len(each)) for each in found if each)

    def content(self) -> dict[str, tuple[bytes, bytes]]:
        """Give fingerprint and outcomes by key; when they were decided is told by the journal alone."""
        return {key: each[:2] for part in (self._old, self._young) for key, each in part.items()}

    def find(self, key: str) -> KnownRequest | None:
        """Give what was answered to a request; None if its key is not known, or not any more."""
        known = self._young.get(key) or self._old.get(key)
        if known is None or known.time_us + SECONDS_MAX * 1_000_000 < time.time_ns() // 1000:
            return None
        return known

    @contextmanager
    def claimed(self, request: RequestKey) -> Iterator[KnownRequest | None]:
        """Answer a request; whoever brings the same key meanwhile waits for that. Gives what was answered before, if it was.

        Raises:
            KeyReusedError: If its key was used for another request.
        """
        with self._is_settled:
            self._is_settled.wait_for(lambda: request.key not in self._pending)
            known = self.find(request.key)
            if known is not None and known.fingerprint != request.fingerprint:
                raise KeyReusedError(request.key, known.decided_at)
            self._pending.add(request.key)
        try:
            yield known
        finally:
            with self._is_settled:
                self._pending.discard(request.key)
                self._is_settled.notify_all()

    def remember(self, key: str, known: KnownRequest, rows_before: int) -> None:
        """Take note of rows of a request that are decided.

        Args:
            key: The request's key.
            known: The request, with the outcomes of these rows.
            rows_before: How many rows of it were decided before; they are remembered with these.
        """
        if rows_before:
            former = self._young.get(key) or self._old.get(key)
            if former is not None and former.fingerprint == known.fingerprint:
                known = known._replace(outcomes=former.outcomes[:rows_before] + known.outcomes)
        self._add(key, known, _pack(key, known))

    def _add(self, key: str, known: KnownRequest, record: bytes) -> None:
        if len(self._young) >= KEYS_MAX:
            self._old, self._old_records = self._young, self._young_records
            self._young, self._young_records = {}, []
        self._young[key] = known
        self._young_records.append(record)


def pack_requests(parts: Sequence[RequestRecords]) -> bytes:
    """Pack requests, one after the other.

    Each is decisions after it (8 bytes), time (8), fingerprint (16), length of its key (2), outcomes (4), the key, the outcomes.
    """
    return b"".join(record for records, size in parts for record in records[:size])


def unpack_requests(data: bytes) -> tuple[RequestRecords, ...]:
    """Read requests back.

    Raises:
        ValueError: If they are cut off.
    """
    records = []
    offset = 0
    while offset < len(data):
        if len(data) - offset < _RECORD.size:
            raise ValueError("a request is cut off")
        *_, key_length, outcomes = _RECORD.unpack_from(data, offset)
        end = offset + _RECORD.size + key_length + outcomes
        if end > len(data):
            raise ValueError("a request is cut off")
        records.append(data[offset:end])
        offset = end
    return (RequestRecords(records, len(records)),) if records else ()


def _pack(key: str, known: KnownRequest) -> bytes:
    encoded = key.encode()
    head = _RECORD.pack(known.decided_at, known.time_us, known.fingerprint, len(encoded), len(known.outcomes))
    return head + encoded + known.outcomes


def _unpack(record: bytes) -> tuple[str, KnownRequest]:
    decided_at, time_us, fingerprint, length, _ = _RECORD.unpack_from(record)
    begin = _RECORD.size + length
    key = record[_RECORD.size : begin].decode()
    return key, KnownRequest(fingerprint, record[begin:], decided_at, time_us)
