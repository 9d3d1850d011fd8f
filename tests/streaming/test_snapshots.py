"""Snapshots: a point in time each, written beside the writer, kept as told."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from operator import attrgetter
from typing import TYPE_CHECKING

import pytest

from big_streams import BIG_STREAMS
from holdfast import Deposit, Engine
from holdfast.streaming import Shards, Snapshots, StreamProcessor
from streaming.sending import HEADER, Recorder, run, text_of, until, waiting

if TYPE_CHECKING:
    from pathlib import Path

    from holdfast import Accounts


def deposit(engine: Engine, tx: int) -> None:
    """Decide one row."""
    engine.apply(Deposit(client=1, tx=tx, amount=1))


def test_a_snapshot_is_named_by_its_sequence(tmp_path: Path) -> None:
    """The file has the accounts; its name and the result say after how many rows."""
    engine = Engine()
    deposit(engine, 1)
    snapshot = run(Snapshots(engine, tmp_path / "accounts-{sequence}.csv").take())
    assert snapshot[:3] == (1, str(tmp_path / "accounts-1.csv"), 1)
    assert (tmp_path / "accounts-1.csv").read_bytes() == engine.accounts().to_csv()


def test_a_path_without_a_sequence_is_replaced(tmp_path: Path) -> None:
    """Without a sequence in the name there is one file, always the newest."""
    engine = Engine()
    path = tmp_path / "accounts.csv"
    snapshots = Snapshots(engine, str(path))

    async def take_twice() -> None:
        await snapshots.take()
        deposit(engine, 1)
        await snapshots.take()

    run(take_twice())
    assert path.read_bytes() == engine.accounts().to_csv()
    assert os.listdir(tmp_path) == ["accounts.csv"]


def test_a_sink_is_given_the_accounts() -> None:
    """A sink may be any asynchronous function."""
    engine = Engine()
    deposit(engine, 1)
    seen: list[tuple[int, bytes]] = []

    async def sink(accounts: Accounts) -> None:
        await asyncio.sleep(0)
        seen.append((accounts.sequence, accounts.to_csv()))

    snapshot = run(Snapshots(engine, sink).take())
    assert snapshot.path is None
    assert seen == [(1, engine.accounts().to_csv())]


@pytest.mark.parametrize(
    ("target", "keep", "message"),
    [
        ("accounts.parquet", None, "one of .csv, not '.parquet'"),
        ("accounts", None, "one of .csv, not ''"),
        ("accounts.csv", 2, "write {sequence} where the number belongs"),
        ("a-{sequence}.csv", 0, "keep is 1 or more, not 0"),
        ("{sequence}-{sequence}.csv", None, "may occur once"),
        ("{sequence}/accounts.csv", None, "may occur once, in the name of the file"),
    ],
)
def test_targets_that_cannot_be(target: str, keep: int | None, message: str) -> None:
    """An invalid target is an error before anything runs."""
    with pytest.raises(ValueError, match=message):
        Snapshots(Engine(), target, keep=keep)


def test_other_settings_that_cannot_be() -> None:
    """So are an interval of 0, and a number of files to keep for a sink."""

    async def sink(_: Accounts) -> None:
        """Take nothing."""

    with pytest.raises(ValueError, match="a sink keeps what it wants"):
        Snapshots(Engine(), sink, keep=1)
    with pytest.raises(ValueError, match="every_seconds is above 0"):
        Snapshots(Engine(), "a.csv", every_seconds=0)


def test_the_oldest_are_removed_and_nothing_else(tmp_path: Path) -> None:
    """The newest K files by age stay, whatever their numbers; files with other names are not touched."""
    strangers = [
        "accounts-1.csv.bak",
        "accounts-x.csv",
        "accounts-007.csv",
        "xaccounts-3.csv",
        "accounts-.csv",
    ]
    for name in strangers:
        (tmp_path / name).touch()
    (tmp_path / "accounts-5.csv").mkdir()
    for age, number in enumerate((900, 800)):
        old = tmp_path / f"accounts-{number}.csv"
        old.touch()
        os.utime(old, (1000 - age, 1000 - age))
    engine = Engine()
    snapshots = Snapshots(engine, tmp_path / "accounts-{sequence}.csv", keep=2)

    async def take() -> None:
        await snapshots.take()
        deposit(engine, 1)
        await snapshots.take()

    run(take())
    kept = {"accounts-0.csv", "accounts-1.csv", "accounts-5.csv"}
    assert set(os.listdir(tmp_path)) == {*strangers, *kept}


def test_calls_run_one_after_the_other_and_take_fresh_images() -> None:
    """A snapshot that had to wait shows what was decided meanwhile."""
    engine = Engine()
    seen: list[int] = []
    is_open = False

    async def sink(accounts: Accounts) -> None:
        nonlocal is_open
        assert not is_open
        is_open = True
        await asyncio.sleep(0)
        deposit(engine, accounts.sequence)
        is_open = False
        seen.append(accounts.sequence)

    async def take() -> None:
        snapshots = Snapshots(engine, sink)
        await asyncio.gather(*(snapshots.take() for _ in range(3)))

    run(take())
    assert seen == [0, 1, 2]


def test_cancelling_leaves_no_temporary_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is being written is completed, even if the call is cancelled twice."""
    engine = Engine()
    deposit(engine, 1)
    writing, go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow_fsync(descriptor: int) -> None:
        writing.set()
        assert go_on.wait(10)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow_fsync)

    async def cancel() -> None:
        taking = asyncio.ensure_future(Snapshots(engine, tmp_path / "accounts.csv").take())
        await asyncio.to_thread(writing.wait, 10)
        for _ in range(2):
            taking.cancel()
            await asyncio.sleep(0.01)
        assert not taking.done()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await taking

    run(cancel())
    assert os.listdir(tmp_path) == ["accounts.csv"]
    assert (tmp_path / "accounts.csv").read_bytes() == engine.accounts().to_csv()


def test_periodic_snapshots_survive_errors(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A snapshot that cannot be written is logged; the next one is written."""
    directory = tmp_path / "later"
    snapshots = Snapshots(Engine(), directory / "accounts.csv", every_seconds=0.01)

    async def watch() -> None:
        running = asyncio.ensure_future(snapshots.run())
        await until(lambda: "no snapshot was written" in caplog.text)
        directory.mkdir()
        await until((directory / "accounts.csv").exists)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running

    with caplog.at_level(logging.ERROR, logger="holdfast.streaming"):
        run(watch())
    assert os.listdir(directory) == ["accounts.csv"]


def test_a_sink_that_fails_ends_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """An exception of a sink is logged with its traceback, and the sink is called again."""
    calls = 0

    async def sink(_: Accounts) -> None:
        nonlocal calls
        calls += 1
        raise LookupError("no such bucket")

    async def watch() -> None:
        running = asyncio.ensure_future(Snapshots(Engine(), sink, every_seconds=0.005).run())
        await until(lambda: calls >= 2)
        running.cancel()
        await asyncio.wait((running,))

    run(watch())
    assert "LookupError: no such bucket" in caplog.text


def test_run_without_a_period_has_nothing_to_do() -> None:
    """Without an interval, ``run`` returns at once."""
    run(Snapshots(Engine(), "accounts.csv").run())


@pytest.mark.parametrize("shards", [1, 3])
def test_snapshots_at_full_speed_are_points_in_time(shards: int) -> None:
    """Each snapshot during a merge equals the model's accounts after exactly that many rows in decided order."""
    rows = BIG_STREAMS[0].rows(seed=7, count=6_000)
    engines: list[Recorder] = []

    def make_engine() -> Engine:
        engine = Recorder()
        engines.append(engine)
        return engine

    target = Shards(shards, make_engine) if shards > 1 else make_engine()
    taken: list[tuple[int, list[int], bytes]] = []

    async def sink(accounts: Accounts) -> None:
        counts = [len(engine.recorded) for engine in engines]
        await asyncio.sleep(0.001)
        taken.append((accounts.sequence, counts, accounts.to_csv()))

    async def merge() -> None:
        parts = [HEADER + text_of(rows[start::8]) for start in range(8)]
        pieces = [[part[at : at + 100] for at in range(0, len(part), 100)] for part in parts]
        processor = StreamProcessor(target, snapshots=Snapshots(target, sink, every_seconds=0.002))
        report = await processor.merge([waiting(each) for each in pieces])
        assert report.rows == len(rows)

    run(merge())
    assert len(taken) >= 3
    for sequence, counts, image in taken:
        assert sequence == sum(counts)
        models = [engine.model(count) for engine, count in zip(engines, counts, strict=True)]
        accounts = sorted((each for model in models for each in model.accounts()), key=attrgetter("client"))
        shown = [
            f"{each.client},{each.available},{each.held},{each.total},{str(each.locked).lower()}"
            for each in accounts
        ]
        assert image.decode().splitlines()[1:] == shown


def test_a_snapshot_holds_nothing_that_a_crash_would_lose(tmp_path: Path) -> None:
    """A snapshot is taken at once, and written when all its rows are durable."""

    class Lagging(Engine):
        lasting = 0

        @property
        def durable(self) -> int:
            return self.lasting

    async def job() -> None:
        engine = Lagging()
        engine.process(text_of([(1, 1, 1, 10_000)]).join([HEADER, b""]))
        taking = asyncio.ensure_future(Snapshots(engine, tmp_path / "accounts.csv").take())
        await asyncio.sleep(0.03)
        assert not taking.done()
        assert os.listdir(tmp_path) == []
        engine.process(HEADER + b"deposit,1,2,1\n")
        engine.lasting = 1
        assert (await taking).sequence == 1
        assert b"1,1.0000,0.0000,1.0000,false" in (tmp_path / "accounts.csv").read_bytes()

    run(job())
