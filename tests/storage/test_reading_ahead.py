"""Reading ahead gives what the iterator gives, in another thread, and leaves none behind."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from holdfast.storage.reading_ahead import ReadAhead

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_items_come_in_order_from_another_thread() -> None:
    """All of them, a few ahead of whoever wants them, each read under the lock."""
    reading = threading.Lock()
    readers = set()
    read: list[int] = []

    def source() -> Iterator[int]:
        for number in range(50):
            assert reading.locked()
            readers.add(threading.current_thread())
            read.append(number)
            yield number

    with ReadAhead(source(), reading, 3) as items:
        iterator = iter(items)
        assert next(iterator) == 0
        deadline = time.monotonic() + 10
        while len(read) < 4 and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(0.02)
        # One is wanted, three are kept, and one waits for room.
        assert 4 <= len(read) <= 5
        assert list(iterator) == list(range(1, 50))
    assert threading.current_thread() not in readers
    assert not any(thread.is_alive() for thread in readers)


def test_a_failure_comes_after_what_was_read_before_it() -> None:
    """It is raised where the items are wanted."""

    def source() -> Iterator[int]:
        yield 1
        yield 2
        raise ValueError("no more")

    with ReadAhead(source(), threading.Lock(), 8) as items:
        iterator = iter(items)
        assert (next(iterator), next(iterator)) == (1, 2)
        with pytest.raises(ValueError, match="no more"):
            next(iterator)


def test_whoever_stops_early_leaves_no_thread() -> None:
    """Even while it waits for room."""

    def source() -> Iterator[int]:
        number = 0
        while True:
            yield number
            number += 1

    before = threading.active_count()
    with ReadAhead(source(), threading.Lock(), 1) as items:
        assert next(iter(items)) == 0
    assert threading.active_count() == before
