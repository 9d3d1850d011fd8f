"""Writes to descriptors: they wait as the caller says, and an interrupted one is the last."""

from __future__ import annotations

import io
import os
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, BinaryIO, cast

import pytest

from holdfast import Engine, RejectWriter
from holdfast.io.outputs import Output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from _typeshed import ReadableBuffer


class _Waits:
    """Waits that note what is asked for, and end with an exception where they are told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.entered: list[str] = []
        self._error = error

    @contextmanager
    def _wait(self, name: str) -> Iterator[None]:
        self.entered.append(name)
        if name == "interruptible" and self._error is not None:
            raise self._error
        yield

    def interruptible(self) -> AbstractContextManager[None]:
        """Note it."""
        return _Again(lambda: self._wait("interruptible"))

    def undisturbed(self) -> AbstractContextManager[None]:
        """Note it."""
        return _Again(lambda: self._wait("undisturbed"))


class _Again(AbstractContextManager[None]):
    """A context that can be entered again and again."""

    def __init__(self, make: Callable[[], AbstractContextManager[None]]) -> None:
        self._make = make
        self._stack: list[AbstractContextManager[None]] = []

    def __enter__(self) -> None:
        self._stack.append(self._make())
        self._stack[-1].__enter__()

    def __exit__(self, *error: object) -> None:
        self._stack.pop().__exit__(*error)  # type: ignore[arg-type]  # as it was given


@pytest.mark.parametrize(("whole", "expected"), [(False, "interruptible"), (True, "undisturbed")])
def test_what_may_block_waits_as_the_caller_says(tmp_path: Path, whole: bool, expected: str) -> None:
    """Opening and writing a FIFO happen in the one context, writing a file in the other."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    waits = _Waits()
    with Output(str(fifo), waits=waits, whole=whole) as file:
        file.write(b"x")
    os.close(reader)
    assert waits.entered == [expected, expected]
    waits = _Waits()
    with Output(str(tmp_path / "file"), waits=waits, whole=whole) as file:
        file.write(b"x")
    assert waits.entered == ["undisturbed"]


def test_after_an_interrupted_write_nothing_is_written(tmp_path: Path) -> None:
    """The exception of the wait comes again with every write: what got through is unknown."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    waits = _Waits()
    stop = ZeroDivisionError()

    def write() -> None:
        with Output(str(fifo), waits=waits) as file:
            waits._error = stop
            for _ in range(2):
                with pytest.raises(ZeroDivisionError):
                    file.raw.write(b"x")
            waits._error = None
            file.write(b"y")

    with pytest.raises(ZeroDivisionError):
        write()
    assert os.read(reader, 10) == b""
    os.close(reader)


class Short(io.RawIOBase):
    """A file without a buffer that takes a few bytes at a time, up to a limit, as a full disk and a pipe do."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.taken = b""

    def writable(self) -> bool:
        """Yes."""
        return True

    def write(self, data: ReadableBuffer, /) -> int | None:
        """Take up to seven bytes."""
        piece = bytes(memoryview(data)[: min(7, self.limit - len(self.taken))])
        self.taken += piece
        return len(piece) or None


def test_a_file_without_a_buffer_gets_all() -> None:
    """What takes a part at a time gets the rest as well, and what takes no more is an error."""
    engine = Engine()
    rejects, file = Short(10**6), Short(10**6)
    text = b"type,client,tx,amount\ndeposit,1,1,5\ndeposit,2,2,6\nnonsense\n"
    engine.process(text, rejects=RejectWriter(rejects))
    engine.accounts().write_csv(cast("BinaryIO", file))
    assert file.taken == engine.accounts().to_csv()
    assert rejects.taken.endswith(b'"nonsense"\n')
    with pytest.raises(BlockingIOError):
        engine.accounts().write_csv(cast("BinaryIO", Short(50)))
    with pytest.raises(BlockingIOError):
        RejectWriter(Short(5))


def test_errors_name_one_file(tmp_path: Path) -> None:
    """The message ends with the name, and not with an arrow to nothing."""
    missing = tmp_path / "missing" / "accounts.csv"
    with pytest.raises(FileNotFoundError) as caught:
        Engine().accounts().write_csv(missing)
    assert str(caught.value).endswith(f"'{missing}'")
    link = tmp_path / "link"
    link.symlink_to(missing)
    with pytest.raises(FileNotFoundError, match=f"there is no directory {missing.parent}"):
        Engine().accounts().write_csv(link)
