"""Power loss at any moment: every state that a disk may be left in opens to a prefix that holds all that was acknowledged.

SQLite keeps its promises only if it is used as documented. So a file system of the tests' own records every write, truncation and
sync of a ledger's files. Prefixes of the record are then laid out as files: as if all writes had arrived, as if only those
before a sync had, and with the others dropped or torn. apsw, which lets tests put a file system below SQLite, brings a SQLite
of its own; the states are opened with the one that ships with Python.
"""

from __future__ import annotations

import os
import random
import time
from typing import TYPE_CHECKING, Any

import pytest

from holdfast import Deposit, Ledger
from holdfast.storage.sqlite import store
from storage.apsw_driver import drive_with
from storage.ledgers import csv_of, draw_rows, expected_accounts, found_accounts

if TYPE_CHECKING:
    from pathlib import Path

apsw: Any = pytest.importorskip("apsw")

Event = tuple[str, str, int, bytes]
"""What happened (write, truncate, sync, ack), the file's suffix, an offset, size or number of rows, and bytes."""


class Recorder:
    """What happened to the files of a ledger, in order."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.events: list[Event] = []

    def suffix(self, name: str) -> str:
        """Give what comes after the ledger's path."""
        return name.removeprefix(self.path)


def recording_vfs(recorder: Recorder) -> Any:
    """Make a file system that records."""

    class File(apsw.VFSFile):  # type: ignore[misc]  # apsw is not always there
        def __init__(self, inherit: str, name: Any, flags: list[int]) -> None:
            self.suffix = recorder.suffix(name.filename() if hasattr(name, "filename") else str(name))
            super().__init__(inherit, name, flags)

        def xWrite(self, data: bytes, offset: int) -> None:  # noqa: N802  # SQLite's names
            recorder.events.append(("write", self.suffix, offset, bytes(data)))
            super().xWrite(data, offset)

        def xTruncate(self, size: int) -> None:  # noqa: N802
            recorder.events.append(("truncate", self.suffix, size, b""))
            super().xTruncate(size)

        def xSync(self, flags: int) -> None:  # noqa: N802
            super().xSync(flags)
            recorder.events.append(("sync", self.suffix, 0, b""))

    class System(apsw.VFS):  # type: ignore[misc]  # the same
        def __init__(self) -> None:
            super().__init__("recording", "")

        def xOpen(self, name: Any, flags: list[int]) -> Any:  # noqa: N802
            return File("", name, flags)

    return System()


def what_arrives(events: list[Event], rng: random.Random, mode: str) -> list[Event]:
    """Say which writes a disk has after a power loss: all, those before a sync, or some of the others, perhaps torn."""
    synced = {suffix: number for number, (what, suffix, *_) in enumerate(events) if what == "sync"}
    arrived = []
    for number, (what, suffix, place, data) in enumerate(events):
        if what not in {"write", "truncate"}:
            continue
        is_safe = mode == "all" or number < synced.get(suffix, 0)
        if not is_safe and (mode == "synced" or rng.random() < 0.5):
            continue
        is_torn = not is_safe and what == "write" and rng.random() < 0.3
        arrived.append((what, suffix, place, data[: rng.randrange(len(data) + 1)] if is_torn else data))
    return arrived


def lay_out(events: list[Event], path: Path) -> str:
    """Make the files that these events make; give the ledger's path."""
    files = {"": bytearray(), "-wal": bytearray()}
    for what, suffix, place, data in events:
        file = files.setdefault(suffix, bytearray())
        if what == "write":
            file.extend(bytes(max(0, place + len(data) - len(file))))
            file[place : place + len(data)] = data
        else:
            del file[place:]
    for suffix in ("-shm", "-writer"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    for suffix in ("", "-wal"):
        path.with_name(path.name + suffix).write_bytes(files[suffix])
    return str(path)


def test_every_state_of_the_disk_opens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a power loss leaves: all that was acknowledged, nothing that was not decided, and it goes on."""
    recorded = tmp_path / "recorded"
    recorded.mkdir()
    recorder = Recorder(str(recorded / "p.db"))
    vfs = recording_vfs(recorder)
    drive_with(monkeypatch, "recording")
    monkeypatch.setattr(store, "_LOG_BYTES_MAX", 100_000)
    rows = draw_rows(1500, txs=1500)
    with Ledger.open(recorder.path) as ledger:
        for start in range(0, 1500, 75):
            ledger.process(csv_of(rows[: start + 75]), stream="day")
            recorder.events.append(("ack", "", start + 75, b""))
            if start % 300 == 0:
                ledger.checkpoint()
    del vfs
    monkeypatch.undo()
    rng = random.Random(int(os.environ.get("HOLDFAST_SEED", "1")))
    states = int(os.environ.get("HOLDFAST_STATES", "25"))
    events = recorder.events
    assert sum(what == "sync" for what, *_ in events) > 20
    created = next(number for number, (what, *_) in enumerate(events) if what == "sync")
    replayed = tmp_path / "replayed"
    replayed.mkdir()
    for _ in range(states):
        length = rng.randrange(created, len(events) + 1)
        acknowledged = max([place for what, _, place, _ in events[:length] if what == "ack"], default=0)
        for mode in ("all", "synced", "some"):
            path = lay_out(what_arrives(events[:length], rng, mode), replayed / "p.db")
            with Ledger.open(path) as ledger:
                assert acknowledged <= ledger.decided <= 1500, (length, mode)
                assert found_accounts(ledger.accounts()) == expected_accounts(rows[: ledger.decided])
                if rng.random() < 0.2:
                    ledger.verify()
                assert ledger.apply(Deposit(1, 10**9, "1")).is_applied


@pytest.mark.parametrize("durability", ["interval:40", "none"])
def test_the_interval_ends_while_nothing_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, durability: str
) -> None:
    """A commit that was not synced is synced when its interval ends, also if no other follows; without syncs, never."""
    recorder = Recorder(str(tmp_path / "p.db"))
    vfs = recording_vfs(recorder)
    drive_with(monkeypatch, "recording")
    with Ledger.open(recorder.path, durability=durability) as ledger:
        ledger.apply(Deposit(1, 1, "1"))
        ledger.apply(Deposit(1, 2, "1"))
        written = len(recorder.events)
        until = time.monotonic() + (10 if durability != "none" else 0.3)
        while not any_sync(recorder.events[written:]) and time.monotonic() < until:
            time.sleep(0.01)
        assert any_sync(recorder.events[written:]) is (durability != "none")
        quiet = len(recorder.events)
        time.sleep(0.15)
        assert len(recorder.events) == quiet, "what is synced is left alone"
    del vfs


def any_sync(events: list[Event]) -> bool:
    """Tell whether SQLite's log was synced."""
    return any(what == "sync" and suffix == "-wal" for what, suffix, *_ in events)
