"""Signals: where a job is interrupted and where it is not, the second signal, ignored signals, threads."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest

from commands import finish, run, start, wait_until_blocked, wait_until_ready
from holdfast.app.signals import SAME_SIGNAL_SECONDS, Interrupted, StopSignals

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def signals() -> Iterator[StopSignals]:
    """Installed handlers, put back after the test."""
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    stop_signals = StopSignals()
    stop_signals.install()
    yield stop_signals
    stop_signals.restore()
    signal.signal(signal.SIGTERM, before)


def _terminate() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_before_a_wait_is_raised_on_entering(signals: StopSignals) -> None:
    """No race: a signal that came just before the wait keeps it from being entered."""
    _terminate()
    with pytest.raises(Interrupted, match="stopped by SIGTERM") as caught, signals.interruptible():
        pytest.fail("the wait was entered")
    assert caught.value.signal_number == signal.SIGTERM


def test_a_signal_inside_a_wait_is_raised_there(signals: StopSignals) -> None:
    """Whatever blocks inside a marked wait is left at once."""

    def wait() -> None:
        with signals.interruptible():
            _terminate()
            pytest.fail("the wait was not left")

    with pytest.raises(Interrupted):
        wait()


def test_a_signal_outside_a_wait_interrupts_nothing(signals: StopSignals) -> None:
    """Before a wait, between two and after one a signal is only noted."""
    with signals.interruptible():
        pass
    _terminate()
    with pytest.raises(Interrupted):
        signals.check()


def test_an_outer_wait_outlasts_an_inner_one(signals: StopSignals) -> None:
    """Waits nest: leaving the inner one leaves the outer one open to signals."""

    def wait() -> None:
        with signals.interruptible():
            with signals.interruptible():
                pass
            _terminate()
            pytest.fail("the outer wait was not left")

    with pytest.raises(Interrupted):
        wait()


def test_a_job_that_was_told_can_wait_while_it_cleans_up(signals: StopSignals) -> None:
    """Waits raise once; check() goes on raising, in case somebody swallowed the exception."""
    _terminate()
    with pytest.raises(Interrupted), signals.interruptible():
        pass
    cleaned = []
    with signals.interruptible():
        cleaned.append(True)
    assert cleaned == [True]
    for _ in range(2):
        with pytest.raises(Interrupted):
            signals.check()


def test_undisturbed_work_is_finished(signals: StopSignals) -> None:
    """Inside it no check and no wait hears of a signal, before it or during it; the next check behind it does."""
    for _ in range(2):
        with signals.undisturbed():
            _terminate()
            with signals.undisturbed():
                signals.check()
            with signals.interruptible():
                signals.check()
        with pytest.raises(Interrupted):
            signals.check()
        signals.restore()
        signals.install()


def test_a_wait_hears_of_a_signal_when_the_undisturbed_work_in_it_is_done(signals: StopSignals) -> None:
    """What is undisturbed inside a wait only delays the interruption, and does not end the wait."""
    reached = []

    def wait() -> None:
        with signals.interruptible():
            with signals.undisturbed(), signals.interruptible():
                pass
            with signals.undisturbed():
                _terminate()
                reached.append(True)
            pytest.fail("the wait was not left")

    with pytest.raises(Interrupted):
        wait()
    assert reached == [True]


def test_the_same_signal_again_ends_undisturbed_work() -> None:
    """Nothing holds a process against the second signal."""
    job = """
        def job(runner):
            with runner.undisturbed():
                while True:
                    os.write(1, b"ready\\n")
                    os.read(0, 1)
    """
    process = start(job, stdin=subprocess.PIPE)
    assert process.stdin is not None
    wait_until_ready(process)
    wait_until_blocked(process)
    process.terminate()
    process.stdin.write(b"x")
    process.stdin.flush()
    wait_until_ready(process)
    time.sleep(2 * SAME_SIGNAL_SECONDS)
    process.terminate()
    assert process.wait(30) == -signal.SIGTERM
    assert finish(process) == (-signal.SIGTERM, b"", "")


def test_the_first_signal_counts(signals: StopSignals) -> None:
    """A different signal on top of the first one changes nothing."""
    before = signal.getsignal(signal.SIGHUP)
    _terminate()
    os.kill(os.getpid(), signal.SIGHUP)
    with pytest.raises(Interrupted, match="SIGTERM"):
        signals.check()
    signals.restore()
    assert signal.getsignal(signal.SIGHUP) != before


def test_no_wait_in_another_thread_interrupts_the_main_thread(signals: StopSignals) -> None:
    """A worker's wait is not a wait of the main thread, which alone gets signals."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with signals.interruptible():
            inside.set()
            leave.wait(30)

    worker = threading.Thread(target=work)
    worker.start()
    assert inside.wait(30)
    _terminate()
    leave.set()
    worker.join(30)
    with pytest.raises(Interrupted):
        signals.check()


def test_a_signal_ends_a_wait_for_a_lock() -> None:
    """A main thread that waits for a lock nobody gives back is stopped too."""
    job = """
        def job(runner):
            lock = threading.Lock()
            lock.acquire()
            os.write(1, b"ready\\n")
            with runner.interruptible():
                lock.acquire()
            return 0
    """
    process = start(job)
    wait_until_ready(process)
    wait_until_blocked(process)
    process.terminate()
    assert finish(process) == (143, b"", "")


def test_the_same_signal_again_ends_the_process_at_once() -> None:
    """A job that hangs while it cleans up is killed by the second signal, and by the first kind only."""
    job = """
        def job(runner):
            try:
                os.write(1, b"ready\\n")
                with runner.interruptible():
                    os.read(0, 1)
            except Interrupted:
                os.write(1, b"ready\\n")
                while os.read(0, 1):
                    os.write(1, b"ready\\n")
                os.write(1, b"survived")
            return 0
    """
    process = start(job, stdin=subprocess.PIPE)
    assert process.stdin is not None
    wait_until_ready(process)
    process.terminate()
    wait_until_ready(process)
    process.send_signal(signal.SIGINT)
    process.stdin.write(b"x")
    process.stdin.flush()
    wait_until_ready(process)
    time.sleep(2 * SAME_SIGNAL_SECONDS)
    process.terminate()
    assert process.wait(30) == -signal.SIGTERM
    assert finish(process) == (-signal.SIGTERM, b"", "")


def test_a_signal_that_is_sent_twice_is_one() -> None:
    """``timeout`` sends it to its child, and at once to the group that the child is in."""
    job = """
        def job(runner):
            os.write(1, b"ready\\n")
            try:
                with runner.interruptible():
                    os.read(0, 1)
            except Interrupted:
                os.read(0, 1)
                os.write(1, b"cleaned up")
            return 3
    """
    process = start(job, stdin=subprocess.PIPE)
    assert process.stdin is not None
    wait_until_ready(process)
    process.terminate()
    process.terminate()
    process.stdin.write(b"x")
    process.stdin.flush()
    assert finish(process) == (3, b"cleaned up", "")


def test_an_ignored_signal_stays_ignored() -> None:
    """Under nohup, a hang-up does not stop the job."""
    job = """
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

        def job(runner):
            os.kill(os.getpid(), signal.SIGHUP)
            runner.check()
            return 6
    """
    assert run(job) == (6, b"", "")
