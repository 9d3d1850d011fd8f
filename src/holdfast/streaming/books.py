"""The books of a run: its sources by name, and what each came to.

Compiled, because a source may be a row long and there may be thousands. So it does only what is done for every source; what is
unusual about one, a policy of its own or another class than the one before, is left to a subclass.
"""

from collections import deque

import cython
from cython.cimports.holdfast.kernel.inlet import Inlet, Totals


@cython.cclass
class Entry(Inlet):
    """One source in the books. Its lane has one made, and all others are made like that one."""

    def seconds(self, now: cython.double) -> float:
        """Say for how long it has run, or ran."""
        return (self.end if self.has_ended else now) - self.start


@cython.cclass
class Books:
    """Enters sources and notes how they ended.

    Args:
        clock: Gives the loop's time.
        running: The state of a source that has not ended.
        readers: Handed to whatever opens a source.
        reports_max: How many ended sources are remembered; of older ones the counts stay in the totals.
    """

    def __init__(self, clock, running, readers, reports_max: cython.Py_ssize_t):
        self.streams = {}
        self.totals = Totals()
        self.clock = clock
        self.running = running
        self.readers = readers
        self.ended = deque()
        self.note_ended = self.ended.append
        self.reports_max = reports_max

    def expect(self, source_kind: type, open_kind, like: Entry) -> None:
        """Open sources of a class without asking :meth:`open_other`, from now on: nearly always the next one is of that class.

        Args:
            source_kind: The class.
            open_kind: Opens such a source.
            like: What an entry is made like.
        """
        self.source_kind = source_kind
        self.open_kind = open_kind
        self.like = like

    def open(self, source, name=None) -> tuple:
        """Enter a source and open it; it is called by its number if it has no name.

        Raises:
            TypeError: If it is no source.
            ValueError: If there is one of this name.
            PolicyError: If its own policy cannot be used.
        """
        self.number += 1
        if type(source) is not self.source_kind:
            return self.open_other(source, name)
        return self.enter(name, self.open_kind(source, self.readers), self.like)

    def open_other(self, source, name) -> tuple:
        """Do what :meth:`open` does for a source of a class that is not expected; a subclass knows how."""
        raise NotImplementedError

    @cython.ccall
    def enter(self, name, pieces, like: Entry) -> tuple:
        """Enter a source that was opened; give it and its pieces.

        Raises:
            ValueError: If there is one of this name.
        """
        if name is None:
            name = str(self.number)
        entry: Entry = like.make()
        if self.streams.setdefault(name, entry) is not entry:
            raise ValueError(f"there are two sources of the name {name!r}: give one of them another name")
        entry.name = name
        entry.lane = like.lane
        entry.kind = like.kind
        entry.state = self.running
        entry.start = self.clock()
        return entry, pieces

    def close(self, entry: Entry, state, error=None) -> None:
        """Note how a source ended."""
        oldest: Entry
        if entry.has_ended:
            return
        entry.release()
        entry.lane = None
        entry.state = state
        entry.error = error
        entry.end = self.clock()
        self.note_ended(entry)
        self.ended_count += 1
        if self.ended_count > self.reports_max:
            self.ended_count -= 1
            oldest = self.ended.popleft()
            del self.streams[oldest.name]

    def running_streams(self) -> list:
        """List the sources that have not ended."""
        if len(self.streams) == self.ended_count:
            return []
        return [entry for entry in self.streams.values() if not entry.has_ended]
