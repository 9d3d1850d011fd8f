"""Requests with keys and messages of a partition, in a process that is killed at any moment: each is decided once.

HOLDFAST_KILLS says how many kills there are; ``make torture`` sets it high.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import textwrap
import threading
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Ledger, SourceMessages

if TYPE_CHECKING:
    from pathlib import Path

KILLS = int(os.environ.get("HOLDFAST_KILLS", "5"))
HEADER = b"type,client,tx,amount\n"
CHILD = textwrap.dedent(
    """
    import sys, threading
    import holdfast

    ledger = holdfast.Ledger.open(sys.argv[1])
    said = threading.Lock()

    def say(what, number):
        with said:
            print(what, number, flush=True)

    def send(first):
        for number in range(first, 1 << 30):
            # The last one before comes again: it may have been answered, and the answer lost.
            for each in (max(0, number - 1), number):
                outcome = ledger.apply(holdfast.Deposit(1, 1_000_000 + each, "1"), idempotency_key=f"order {each}")
                assert outcome.is_applied, (each, outcome)
            say("request", number)

    def consume():
        position = ledger.source_position("pay", 3)
        offset = 0 if position is None else position.next_offset
        while True:
            rows = b"".join(b"deposit,2,%d,1\\n" % (offset * 10 + row) for row in range(offset % 7 + 1))
            ledger.process(
                b"type,client,tx,amount\\n" + rows, messages=holdfast.SourceMessages("pay", 3, (offset,)), actor="consumer"
            )
            say("message", offset)
            offset += 1

    say("open", 0)
    threading.Thread(target=consume, daemon=True).start()
    send(int(sys.argv[2]))
    """
)


def run_until_killed(location: str, first: int, seconds: float) -> tuple[int, int]:
    """Let a process work for a while and kill it; give the last request and the last message that it acknowledged."""
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, location, str(first)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "open 0\n"
    threading.Timer(seconds, process.kill).start()
    last = {"request": -1, "message": -1}
    for line in process.stdout:
        what, _, number = line.strip().partition(" ")
        if number and line.endswith("\n"):
            last[what] = int(number)
    errors = process.stderr.read()
    assert process.wait() == -9, errors
    assert not errors
    process.stdout.close()
    process.stderr.close()
    return last["request"], last["message"]


def check(location: str, request: int, message: int) -> None:
    """Open the ledger: what was acknowledged is there, nothing is there twice, and nothing was refused."""
    with Ledger.open(location) as ledger:
        before = ledger.decided
        found = {account.client: account.available_units // 10_000 for account in ledger.accounts()}
        assert sum(found.values()) == before
        assert found.get(1, 0) > request
        for each in range(max(0, request - 50), request + 1):
            known = ledger.apply(Deposit(1, 1_000_000 + each, "1"), idempotency_key=f"order {each}")
            assert known.is_applied
        position = ledger.source_position("pay", 3)
        if message >= 0:
            assert position is not None
            assert (position.next_offset, position.row) >= (message, message % 7 + 1)
        if position is not None:
            rows = sum(offset % 7 + 1 for offset in range(position.next_offset)) + position.row
            assert found.get(2, 0) == rows
            old = HEADER + b"deposit,2,0,1\n"
            if position.next_offset:
                assert ledger.process(old, messages=SourceMessages("pay", 3, (0,))).rows == 0
        assert ledger.decided == before
        ledger.verify()


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGKILL")
@pytest.mark.parametrize("store", ["sqlite", "postgres"])
def test_requests_and_messages_of_a_process_that_is_killed(
    store: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """Killed again and again; each time it goes on with what the ledger says, and with requests whose answers were lost."""
    location = str(tmp_path / "p.db") if store == "sqlite" else request.getfixturevalue("postgres_url")
    rng = random.Random(7)
    last = -1
    for _ in range(KILLS):
        acknowledged, message = run_until_killed(location, last + 1, rng.uniform(0.05, 0.5))
        last = max(last, acknowledged)
        check(location, last, message)
    assert last > 0
