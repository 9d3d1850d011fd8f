"""Snapshots of the accounts while streams run: on demand, or at regular intervals.

The image is taken on the event loop, between two batches, in microseconds; a thread does the rest, encoding and writing. So the
writer never waits, and a snapshot is a point in time, named by its sequence number: the accounts after exactly that many rows.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import re
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, Protocol

from holdfast.io.outputs import Output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from holdfast.engine.accounts import Accounts

SEQUENCE_FIELD = "{sequence}"
"""The part of a path that is replaced by the sequence number."""
_WRITERS: dict[str, Callable[[Accounts, BinaryIO], None]] = {
    ".csv": lambda accounts, file: accounts.write_csv(file),
}
_DURABLE_SECONDS = 0.005
"""How often a snapshot looks whether its rows are durable by now."""
_log = logging.getLogger("holdfast.streaming")


class HasAccounts(Protocol):
    """An object to take snapshots of: an engine, or shards."""

    @property
    def durable(self) -> int:
        """Rows decided that a crash would not lose."""

    @property
    def failure(self) -> BaseException | None:
        """Why nothing becomes durable any more; None while all is well."""

    def decided_accounts(self) -> Accounts:
        """Take an image of all accounts, at once."""


class Snapshot(NamedTuple):
    """A snapshot that was written."""

    sequence: int
    """How many rows were decided before it: its point in time."""
    path: str | None
    """Where it is; None if it went to a sink."""
    accounts: int
    """How many accounts it holds."""
    seconds: float
    """Wall-clock time from taking the image until the file is in place."""


class Snapshots:
    """Takes snapshots of an engine's accounts.

    Use it on one event loop, the one on which the engine's rows are applied.

    Args:
        engine: An engine, or anything else that gives an image of its accounts.
        target: A path, or a sink: a function that is given the accounts and awaited. The file at a path is replaced when all
            is written and safely on disk, and keeps its permissions and owner; a pipe or a device is refused when it is
            written. ``{sequence}`` in the file's name becomes the sequence number; the suffix says how accounts are written:
            ``.csv``.
        every_seconds: How often :meth:`run` takes one.
        keep: How many files stay; the oldest ones beyond are removed. Needs ``{sequence}``, and touches no file whose name is not
            exactly the target's with a number in it.

    Raises:
        ValueError: For a suffix that is not known, ``{sequence}`` twice or in a directory's name, ``keep`` without it, or a
            number that is not positive.
    """

    def __init__(
        self,
        engine: HasAccounts,
        target: str | os.PathLike[str] | Callable[[Accounts], Awaitable[None]],
        *,
        every_seconds: float | None = None,
        keep: int | None = None,
    ) -> None:
        if every_seconds is not None and not every_seconds > 0:
            raise ValueError(f"every_seconds is above 0, not {every_seconds}")
        self.every_seconds = every_seconds
        self._engine = engine
        self._sink: Callable[[Accounts], Awaitable[None]] | None = None
        self._files: _Files | None = None
        if isinstance(target, str | os.PathLike):
            self._files = _Files(os.fsdecode(target), keep)
        elif keep is not None:
            raise ValueError(f"keep={keep} is about files: a sink keeps what it wants to")
        else:
            self._sink = target
        self._turn = asyncio.Lock()

    async def take(self) -> Snapshot:
        """Take a snapshot now.

        Calls run one after the other, and a call that had to wait takes a fresh image. Cancelling waits for a file that is being
        written, so that none is left half-written.

        Raises:
            OSError: If it cannot be written; an existing file is then unchanged.
        """
        loop = asyncio.get_running_loop()
        async with self._turn:
            start = loop.time()
            accounts = self._engine.decided_accounts()
            while self._engine.durable < accounts.sequence:  # a watermark tells nobody that it moves
                # A snapshot is a promise: a crash must not take back rows that it holds.
                if self._engine.failure is not None:
                    raise OSError(errno.EIO, f"its rows will never be durable: {self._engine.failure}")
                await asyncio.sleep(_DURABLE_SECONDS)
            path = None
            if self._files is not None:
                path = self._files.path(accounts.sequence)
                await _to_the_end(loop.run_in_executor(None, self._files.write, accounts, path))
            elif self._sink is not None:
                await self._sink(accounts)
            return Snapshot(accounts.sequence, path, len(accounts), loop.time() - start)

    async def run(self) -> None:
        """Take a snapshot every ``every_seconds`` until cancelled; do nothing without ``every_seconds``.

        A snapshot that fails is logged, and the next one is taken at its usual time. If one takes longer than ``every_seconds``,
        those that were due meanwhile are left out.
        """
        if self.every_seconds is None:
            return
        loop = asyncio.get_running_loop()
        due = loop.time()
        while True:
            due = max(due + self.every_seconds, loop.time())
            await asyncio.sleep(due - loop.time())
            try:
                await self.take()
            except Exception as error:  # noqa: BLE001  # a sink is foreign code; the streams go on whatever it does
                _log.error(
                    "no snapshot was written, the next one is due in %s s: %s",
                    self.every_seconds,
                    error,
                    exc_info=None if isinstance(error, OSError) else error,
                )


class _Files:
    """The files of a target: how they are named, written and removed."""

    def __init__(self, target: str, keep: int | None) -> None:
        self._directory, self._name = os.path.split(target)
        if SEQUENCE_FIELD in self._directory or self._name.count(SEQUENCE_FIELD) > 1:
            raise ValueError(f"{target}: {SEQUENCE_FIELD} may occur once, in the name of the file")
        if keep is not None and keep < 1:
            raise ValueError(f"keep is 1 or more, not {keep}")
        if keep is not None and SEQUENCE_FIELD not in self._name:
            raise ValueError(f"{target}: to keep {keep}, write {SEQUENCE_FIELD} where the number belongs")
        suffix = os.path.splitext(self._name)[1].lower()
        if suffix not in _WRITERS:
            raise ValueError(
                f"{target}: a snapshot is written as one of {', '.join(_WRITERS)}, not {suffix!r}"
            )
        self._write = _WRITERS[suffix]
        self._keep = keep
        before, _, behind = self._name.partition(SEQUENCE_FIELD)
        self._pattern = re.compile(f"{re.escape(before)}(0|[1-9][0-9]*){re.escape(behind)}")

    def path(self, sequence: int) -> str:
        """Say where the snapshot with this number belongs."""
        return os.path.join(self._directory, self._name.replace(SEQUENCE_FIELD, str(sequence)))

    def write(self, accounts: Accounts, path: str) -> None:
        """Write a snapshot; then remove those that are not kept.

        Raises:
            OSError: If it cannot be written. A file that cannot be removed is logged: the snapshot is there.
        """
        # Nobody could wait for the reader of a pipe, nor end a wait for it: this runs in a thread.
        with Output(path, replaces_only=True) as file:
            self._write(accounts, file)
        if self._keep is not None:
            try:
                self._remove_old(os.path.basename(path), self._keep)
            except OSError as error:
                _log.warning("a snapshot that is not kept could not be removed: %s", error)

    def _remove_old(self, newest: str, keep: int) -> None:
        with os.scandir(self._directory or ".") as entries:
            found = [
                (entry.stat(follow_symlinks=False).st_mtime_ns, entry.name)
                for entry in entries
                if entry.name != newest
                and self._pattern.fullmatch(entry.name)
                and entry.is_file(follow_symlinks=False)
            ]
        # By age, not by number: a new engine counts from zero, and its first files are the newest.
        for _, name in sorted(found, reverse=True)[keep - 1 :]:
            os.unlink(os.path.join(self._directory, name))


async def _to_the_end(writing: asyncio.Future[None]) -> None:
    """Wait for a thread's work. A task that is cancelled meanwhile waits for it all the same, and is cancelled then."""
    cancelled: asyncio.CancelledError | None = None
    while not writing.done():
        try:
            await asyncio.wait((writing,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled is None:
        writing.result()
        return
    writing.exception()
    raise cancelled
