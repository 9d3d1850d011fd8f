"""What a program does to the files of a directory, as strace tells it, and what a power loss may leave of that."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import random
    from collections.abc import Iterator, Sequence
    from pathlib import Path

_CALLS = (
    "openat,open,creat,close,write,pwrite64,writev,pwritev,pwritev2,ftruncate,truncate,fdatasync,fsync,sync_file_range,msync,"
    "unlink,unlinkat,rename,renameat,renameat2,link,linkat,dup,dup2,dup3"
)
_OF_NAMES = {
    "openat", "open", "creat", "unlink", "unlinkat", "rename", "renameat", "renameat2", "link", "linkat", "truncate",
}  # fmt: skip
_STRING = re.compile(r'"((?:\\x[0-9a-f]{2})*)"(\.\.\.)?')
_LINE = re.compile(r"(\d+) +(.*)")
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>,? ?")
_CALL = re.compile(r"(\w+)\((.*)\) += (-?\d+)")


class Event(NamedTuple):
    """One thing that happened: create, write, truncate, sync, unlink, sync-directory, say."""

    what: str
    file: int
    """The file's number in the order of creation; a name may mean several files, one after the other."""
    name: str = ""
    place: int = 0
    """An offset or a size."""
    data: bytes = b""


@cache
def can_record() -> bool:
    """Tell whether there is an strace that may look at other processes here."""
    if not sys.platform.startswith("linux") or shutil.which("strace") is None:
        return False
    tried = subprocess.run(["strace", "-f", "-o", "/dev/null", "true"], capture_output=True, check=False)
    return tried.returncode == 0


def record(directory: Path, log: Path, *command: str) -> list[Event]:
    """Run a program to its end; give what it did to files of a directory, and what it said on standard output."""
    options = ["-f", "-xx", "-s", str(1 << 20), "-e", f"trace={_CALLS}", "-o", str(log)]
    subprocess.run(["strace", *options, *command], stdout=subprocess.DEVNULL, check=True)
    with log.open(encoding="ascii") as lines:
        return list(_Reading(directory).events(lines))


def _whole_calls(lines: Iterator[str]) -> Iterator[str]:
    """Give the calls in the order of their ends; of those that others came in between, strace writes two parts."""
    begun: dict[str, str] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, text = found[1], found[2]
        if text.endswith("<unfinished ...>"):
            begun[thread] = text.removesuffix("<unfinished ...>").rstrip()
        elif _RESUMED.match(text):
            yield begun.pop(thread) + _RESUMED.sub("", text, count=1)
        else:
            yield text


class _Reading:
    """Follows descriptors and names."""

    def __init__(self, directory: Path) -> None:
        self._directory = str(directory)
        self._names: dict[str, int] = {}
        self._descriptors: dict[int, int | None] = {}
        self._files = 0

    def events(self, lines: Iterator[str]) -> Iterator[Event]:
        """Give what happened, in order."""
        for text in _whole_calls(lines):
            found = _CALL.match(text)
            if found is None or int(found[3]) < 0:
                continue
            name, arguments, result = found[1], found[2], int(found[3])
            strings = [bytes.fromhex(each[1].replace("\\x", "")) for each in _STRING.finditer(arguments)]
            event = self._event(name, arguments, strings, result)
            if event is not None:
                yield event

    def _event(self, call: str, arguments: str, strings: list[bytes], result: int) -> Event | None:
        if call in _OF_NAMES:
            return self._named(call, arguments, strings[0], result)
        descriptor = int(re.match(r"\d+", arguments)[0]) if arguments[:1].isdigit() else -1  # type: ignore[index]  # it is there
        if call == "write" and descriptor == 1:
            return Event("say", -1, data=strings[0])
        if descriptor not in self._descriptors:
            return None
        file = self._descriptors[descriptor]
        if call == "close":
            del self._descriptors[descriptor]
            return None
        if file is None:
            return Event("sync-directory", -1) if call in {"fsync", "fdatasync"} else None
        return _change_of(call, file, arguments, strings, result)

    def _named(self, call: str, arguments: str, path: bytes, result: int) -> Event | None:
        if call == "openat":
            return self._opened(arguments, path, result)
        name = self._name_of(path)
        if name is None or name not in self._names:
            return None
        assert call == "unlink", f"{call} is not replayed"
        return Event("unlink", self._names.pop(name), name)

    def _name_of(self, path: bytes) -> str | None:
        head, _, name = path.decode().rpartition("/")
        # The log's index is made anew, and the writer's lock is gone with its process.
        return name if head == self._directory and not name.endswith(("-shm", "-writer")) else None

    def _opened(self, arguments: str, path: bytes, descriptor: int) -> Event | None:
        self._descriptors.pop(descriptor, None)
        if path.decode() == self._directory:
            self._descriptors[descriptor] = None
            return None
        name = self._name_of(path)
        if name is None:
            return None
        assert "O_TRUNC" not in arguments, "nobody empties a file of a ledger on opening it"
        is_new = name not in self._names
        if is_new:
            self._names[name] = self._files
            self._files += 1
        self._descriptors[descriptor] = self._names[name]
        return Event("create", self._names[name], name) if is_new else None


def _change_of(call: str, file: int, arguments: str, strings: list[bytes], result: int) -> Event:
    """Give a call on a descriptor of a file."""
    assert call in {"pwrite64", "ftruncate", "fdatasync", "fsync"}, f"{call} is not replayed"
    if call == "pwrite64":
        assert len(strings[0]) == result, "strace has cut it off, or the system has"
        return Event("write", file, place=int(arguments.rpartition(",")[2]), data=strings[0])
    if call == "ftruncate":
        return Event("truncate", file, place=int(arguments.rpartition(",")[2]))
    return Event("sync", file)


def what_is_left(events: Sequence[Event], rng: random.Random, mode: str) -> dict[str, bytes]:
    """Say which files a disk has after a power loss.

    Args:
        events: What happened until then.
        rng: Draws what arrived.
        mode: ``all`` that was written has arrived; only what was ``synced``; or ``some`` of the rest, perhaps torn.
    """
    synced = {each.file: number for number, each in enumerate(events) if each.what == "sync"}
    listed = max([number for number, each in enumerate(events) if each.what == "sync-directory"], default=0)
    # A directory's changes arrive in order.
    changes = [number for number, each in enumerate(events) if each.what in {"create", "unlink"}]
    arrived = {"all": len(events), "synced": listed}.get(mode)
    if arrived is None:
        arrived = rng.choice([listed, *(number + 1 for number in changes if number >= listed)])
    names: dict[str, int] = {}
    contents: dict[int, bytearray] = {}
    for number, event in enumerate(events):
        if event.what in {"create", "unlink"}:
            if number >= arrived:
                continue
            if event.what == "create":
                names[event.name] = event.file
            elif names.get(event.name) == event.file:
                del names[event.name]
        elif event.what in {"write", "truncate"}:
            is_safe = mode == "all" or number < synced.get(event.file, 0)
            if is_safe or (mode == "some" and rng.random() < 0.5):
                is_torn = not is_safe and rng.random() < 0.3
                _change(contents.setdefault(event.file, bytearray()), event, rng if is_torn else None)
    return {name: bytes(contents.get(file, b"")) for name, file in names.items()}


def _change(content: bytearray, event: Event, tearing: random.Random | None) -> None:
    if event.what == "truncate":
        del content[event.place :]
        content.extend(bytes(event.place - len(content)))
        return
    data = event.data if tearing is None else event.data[: tearing.randrange(len(event.data) + 1)]
    content.extend(bytes(max(0, event.place + len(data) - len(content))))
    content[event.place : event.place + len(data)] = data
