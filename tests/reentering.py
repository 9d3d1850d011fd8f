"""Comes back to an engine or a decoder that is at work: from a signal handler, a ``__del__``, another thread, a child process.

Run as a program by engine/test_reentrancy.py: python reentering.py SCENARIO. It prints how often it came back, and what it got.
"""

from __future__ import annotations

import collections
import contextlib
import gc
import os
import random
import signal
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

from holdfast import Engine
from holdfast.domain.settings import make_settings
from holdfast.domain.transaction import Deposit
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.inlet import InletPool
from holdfast.kernel.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable

    from holdfast.kernel.batch import Batch
    from holdfast.kernel.inlet import Inlet

HEADER = b"type,client,tx,amount\n"
ROWS = 120_000
DATA = HEADER + b"".join(b"deposit,%d,%d,1.5\n" % (tx % 7, tx) for tx in range(ROWS))
GOT: collections.Counter[str] = collections.Counter()


def look(engine: Engine) -> None:
    """Look at an engine in every way there is, and decide a row; note what came of it."""
    ways: tuple[Callable[[], object], ...] = (
        engine.accounts,
        lambda: engine.account(1),
        lambda: engine.find_balances(1),
        engine.totals,
        lambda: engine.apply(Deposit(1, 2**31 + GOT.total(), 1)),
    )
    for way in ways:
        try:
            way()
            GOT["answer"] += 1
        except RuntimeError:
            GOT["RuntimeError"] += 1
        except KeyError:
            GOT["no account"] += 1


def from_a_signal_handler() -> None:
    """Let a timer look while rows are decided."""
    engine = Engine()
    signal.signal(signal.SIGALRM, lambda *_: look(engine))
    signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
    for _ in range(5):
        engine.process(DATA)
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert engine.totals().transactions >= ROWS


class LooksWhenItGoes:
    """Looks at an engine when it is collected."""

    engine: Engine

    def __init__(self) -> None:
        self.self = self

    def __del__(self) -> None:
        look(self.engine)


def from_a_finalizer() -> None:
    """Let the garbage collector come upon objects that look, wherever it runs."""
    engine = LooksWhenItGoes.engine = Engine(batch_rows=64)
    gc.set_threshold(1, 1, 1)
    for tx in range(3_000):
        LooksWhenItGoes()
        engine.apply(Deposit(1, tx, 1))

    def leave_one_behind(*_: int) -> None:
        LooksWhenItGoes()

    engine.process(DATA[:200_000].rpartition(b"\n")[0], on_progress=leave_one_behind)


def from_threads() -> None:
    """Let other threads look and decide: they wait, and get an answer."""
    engine, is_over = Engine(), threading.Event()

    def keep_looking() -> None:
        while not is_over.is_set():
            look(engine)

    threads = [threading.Thread(target=keep_looking) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(3):
        engine.process(DATA)
    is_over.set()
    for thread in threads:
        thread.join()
    assert GOT["RuntimeError"] == 0, GOT


def from_a_child() -> None:
    """Fork while another thread decides: the child gets an answer or an error, and ends."""
    engine, is_over = Engine(batch_rows=100_000), threading.Event()

    def keep_deciding() -> None:
        while not is_over.is_set():
            engine.process(DATA)

    thread = threading.Thread(target=keep_deciding)
    thread.start()
    for _ in range(15):
        time.sleep(0.003)
        child = os.fork()
        if not child:
            look(engine)
            os._exit(0 if GOT.total() else 1)
        _, status = os.waitpid(child, 0)
        assert status == 0
        GOT["answer"] += 1
    is_over.set()
    thread.join()


def from_a_second_feeder() -> None:
    """Feed one decoder from several threads: each piece is taken or refused, whole."""
    decoder = CsvDecoder(make_settings(batch_rows=5_000), keep_source=True)
    decoder.feed(HEADER)

    def feed() -> None:
        for number in range(60):
            try:
                decoder.feed(DATA[len(HEADER) : 400_000])
                GOT["answer"] += 1
                if number % 3 == 0:
                    decoder.flush()
            except RuntimeError:
                GOT["RuntimeError"] += 1

    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=feed) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with contextlib.suppress(RuntimeError):
        decoder.finish()


class FeedsWhenItGoes:
    """Feeds, flushes and ends a decoder when it is collected."""

    decoder: CsvDecoder

    def __init__(self) -> None:
        self.self = self

    def __del__(self) -> None:
        ways: tuple[Callable[[], Any], ...] = (
            lambda: self.decoder.feed(b"deposit,1,1,1\nx"),
            self.decoder.flush,
            lambda: self.decoder.fresh().feed(HEADER),
        )
        for way in ways:
            try:
                way()
                GOT["answer"] += 1
            except RuntimeError:
                GOT["RuntimeError"] += 1


def from_a_finalizer_of_a_decoder() -> None:
    """Let the garbage collector come upon objects that feed the decoder that is being fed."""
    decoder = FeedsWhenItGoes.decoder = CsvDecoder(make_settings(batch_rows=2), keep_source=True)
    decoder.feed(HEADER)
    gc.set_threshold(1, 1, 1)
    for _ in range(1_000):
        FeedsWhenItGoes()
        decoder.feed(b'deposit,1,1,1\n\n"deposit",1,1,1\nnonsense\ndeposit,1,')
        decoder.feed(bytearray(b"2,1\n"))


class HostileListener:
    """Does to its inlet, in the middle of it, whatever can be done to one."""

    def __init__(self, pool: InletPool, seed: int) -> None:
        self.random = random.Random(seed)
        self.pool = pool
        self.inlets: list[Inlet] = []
        self.depth = 0

    def open(self) -> Inlet:
        """Open an inlet that this listens to."""
        inlet = self.pool.open("s", self)
        self.inlets.append(inlet)
        return inlet

    def meddle(self, batch: Batch) -> None:
        """Do one of these things."""
        inlet = self.random.choice(self.inlets)
        piece = self.random.choice((DATA[:3_000], b"x\ndeposit,1,1,1\ndeposit,1,", DATA[:60_000]))
        ways: tuple[Callable[[], Any], ...] = (
            inlet.release,
            inlet.finish,
            lambda: inlet.take(piece),
            lambda: self.open().take(piece),
            lambda: inlet.take_batch(batch),
            lambda: inlet.follow("s", 5, 5),
            lambda: inlet.skip_rows(2, 5),
            inlet.refused_by_code,
            batch.clear_outcomes,
            lambda: iter(()).__next__(),
        )
        if self.depth > 5:
            return
        self.depth += 1
        try:
            self.random.choice(ways)()
            GOT["answer"] += 1
        finally:
            self.depth -= 1

    def on_refused(self, batch: Batch, *_: int) -> None:
        """Meddle."""
        self.meddle(batch)

    def on_stopped(self, batch: Batch, _: int) -> None:
        """Meddle."""
        self.meddle(batch)

    def on_skipped(self, batch: Batch, _: int) -> None:
        """Meddle."""
        self.meddle(batch)


def from_a_listener() -> None:
    """Let the listener of a stream do to it what it likes, at rows at which a policy stops."""
    for seed in range(400):
        engine = Engine(batch_rows=random.Random(seed).choice((3, 50, 8_192)))
        tally = Tally(bytes([0, 0] + [random.Random(seed).choice((0, 1))] * 254))
        pool = InletPool(
            engine.decide, engine.new_decoder(keep_source=bool(seed % 2)), tally, shows=seed % 3 == 0
        )
        listener = HostileListener(pool, seed)
        for number in range(6):
            inlet = listener.open()
            if number % 2:
                inlet.follow("s", 9, 0)
                inlet.skip_rows(4, 0)
            for piece in (HEADER + b"x\ndeposit,1,1,1\n" * 30, DATA[len(HEADER) : 40_000], b"x\nx", b"\n"):
                try:
                    inlet.take(piece)
                    inlet.finish()
                except (RuntimeError, ValueError, IndexError, StopIteration) as error:
                    GOT[type(error).__name__] += 1


SCENARIOS: dict[str, Callable[[], None]] = {
    "signal": from_a_signal_handler,
    "finalizer": from_a_finalizer,
    "threads": from_threads,
    "child": from_a_child,
    "feeders": from_a_second_feeder,
    "listener": from_a_listener,
    "decoder": from_a_finalizer_of_a_decoder,
}


def main() -> None:
    """Run one scenario, with everything imported: a handler that interrupts an import meets half a module."""
    look(Engine())
    GOT.clear()
    SCENARIOS[sys.argv[1]]()
    print(dict(GOT))


if __name__ == "__main__":
    main()
