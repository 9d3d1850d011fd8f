"""What type checkers say about calls of the public API.

mypy reads this file with all others, and complains of every ``type: ignore`` that it does not need: a call that is wrong and
passes is an error of the lint stage. The tests show that the same calls are refused when they run.
"""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import TYPE_CHECKING, assert_type

import pytest

import holdfast
import holdfast.client
import holdfast.streaming
from holdfast import Deposit, Engine, Outcome, Report
from holdfast.streaming import Source, StreamProcessor

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from types import ModuleType

    from holdfast import Batch, Input, Settings
    from holdfast.streaming import SourceData

TEXT = b"type,client,tx,amount\ndeposit,1,1,1\n"


def chunks() -> Iterator[bytes]:
    """Give bytes."""
    yield TEXT


async def waiting() -> AsyncIterator[bytes]:
    """Give bytes, some time."""
    yield TEXT


async def transactions() -> AsyncIterator[Deposit | list[Deposit]]:
    """Give transactions, one by one and several at a time."""
    yield Deposit(1, 1, "1")
    yield [Deposit(1, 2, "1")]


def batch() -> Batch:
    """Make a batch."""
    decoder = Engine().new_decoder(keep_source=False)
    decoder.feed(TEXT)
    made = decoder.finish()
    assert made is not None
    return made


def test_what_an_engine_takes(tmp_path: Path) -> None:
    """Paths, bytes, files and iterables of bytes, by the name that the package gives to them."""
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT)
    inputs: list[Input] = [
        str(path),
        path,
        TEXT,
        bytearray(TEXT),
        memoryview(TEXT),
        io.BytesIO(TEXT),
        chunks(),
        [TEXT],
    ]
    with path.open("rb") as file:
        assert_type(Engine().process(*inputs, file), Report)
    settings: Settings = holdfast.make_settings("cards", decimals=2)
    assert settings.decimals == 2


def test_what_an_engine_does_not_take(tmp_path: Path) -> None:
    """Text, numbers, and iterables of them."""
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT)
    engine = Engine()
    with path.open() as file, pytest.raises(TypeError):
        engine.process(file)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        engine.process(5)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        engine.process([5])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        engine.process(["type,client,tx,amount\n"])  # type: ignore[list-item]
    with pytest.raises(TypeError):
        engine.apply(("deposit", 1, 1, "1"))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        engine.apply(holdfast.Dispute(1, 1, "1"))  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        engine.apply(Deposit(1, 1, 1.5))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        engine.apply_batch([1], [1], [1], [1])  # type: ignore[arg-type]
    assert_type(engine.apply(Deposit(1, 1, "1")), Outcome)


def test_what_a_processor_takes(tmp_path: Path) -> None:
    """All of that, and what has to be waited for, batches and transactions; also with a name."""
    path = tmp_path / "t.csv"
    path.write_bytes(TEXT)

    async def run() -> None:
        processor = StreamProcessor(Engine())
        data: list[SourceData] = [
            path,
            TEXT,
            chunks(),
            waiting(),
            transactions(),
            [batch()],
            [Deposit(1, 3, "1")],
        ]
        assert_type(await processor.merge(data), Report)
        assert_type(await processor.merge({"monday": path, "tuesday": waiting()}), Report)
        assert_type(await processor.merge([Source(TEXT, "a"), chunks()]), Report)
        assert_type(await processor.chain(Source(path, "b"), waiting(), TEXT), Report)
        adapted = holdfast.streaming.batched(
            holdfast.streaming.throttled(transactions(), rows_per_second=1e6)
        )
        assert (await processor.merge([adapted])).rows == 2

    asyncio.run(run())


def test_what_a_processor_does_not_take() -> None:
    """Numbers, and what is no list of sources: ``merge([5])`` is refused before it runs and when it runs."""

    async def run() -> None:
        processor = StreamProcessor(Engine())
        with pytest.raises(TypeError):
            await processor.merge([5])  # type: ignore[list-item]
        with pytest.raises(TypeError):
            await processor.merge({"a": 5})  # to a type checker these are names of files
        with pytest.raises(TypeError):
            await processor.merge(TEXT)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await processor.chain(5)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await processor.merge([Source(5)])  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            await processor.merge([None])  # type: ignore[list-item]

    asyncio.run(run())


@pytest.mark.parametrize(
    "package", [holdfast, holdfast.streaming, holdfast.client], ids=lambda package: package.__name__
)
def test_nothing_else_is_public(package: ModuleType) -> None:
    """A name of a public package is in its ``__all__``, begins with an underscore, or is one of its modules."""
    modules = {path.stem for path in Path(package.__path__[0]).iterdir()}
    public = {name for name in vars(package) if not name.startswith("_")} - modules - {"TYPE_CHECKING"}
    assert public <= set(package.__all__)
    assert {name for name in dir(package) if not name.startswith("_")} == set(package.__all__)
    assert sorted(package.__all__) == list(dict.fromkeys(sorted(package.__all__)))
    for name in package.__all__:
        assert getattr(package, name) is not None
