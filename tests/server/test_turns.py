"""Turns of the event loop: a budget, a queue, and who goes on when."""

from __future__ import annotations

import asyncio

from holdfast.server.tcp.reading import READ_BYTES_MIN, next_read_bytes
from holdfast.server.tcp.turns import TURN_SECONDS, Turns


class Connection:
    """Counts its turns, and spends what it is told to.

    Args:
        turns: What it takes turns in.
        piece_seconds: What each of its pieces costs.
        pieces: How many pieces it has.
    """

    def __init__(self, turns: Turns, piece_seconds: float, pieces: int) -> None:
        self.piece_seconds = piece_seconds
        self.left = pieces
        self.taken_at: list[float] = []
        self._turns = turns

    def take_turn(self) -> None:
        """Spend a piece, and wait for the next turn if there is more."""
        self.left -= 1
        self.taken_at.append(len(self.taken_at))
        self._turns.spend(self.piece_seconds)
        if self.left:
            self._turns.wait(self)


def test_connections_take_turns() -> None:
    """No connection has its next turn before every other one had its own, and a turn of the loop has a budget."""
    order: list[int] = []
    spent: list[float] = []

    class Noted(Connection):
        def take_turn(self) -> None:
            order.append(connections.index(self))
            super().take_turn()

    async def job() -> None:
        for each in connections:
            turns.wait(each)
        while len(turns):
            before = len(order)
            await asyncio.sleep(0)
            spent.append((len(order) - before) * TURN_SECONDS / 4)

    turns = Turns(lambda: False)
    connections = [Noted(turns, TURN_SECONDS / 4, 3) for _ in range(30)]
    asyncio.run(job())
    assert order == list(range(30)) * 3
    assert max(spent) <= TURN_SECONDS
    assert len(turns) == 0


def test_one_that_costs_more_than_a_turn_goes_on_all_the_same() -> None:
    """A budget that is too small for anybody lets one go on in each turn."""

    async def job() -> None:
        for each in connections:
            turns.wait(each)
        for _ in range(20):
            await asyncio.sleep(0)

    turns = Turns(lambda: False)
    connections = [Connection(turns, TURN_SECONDS * 10, 2) for _ in range(5)]
    asyncio.run(job())
    assert [each.left for each in connections] == [0] * 5


def test_the_budget_is_that_of_one_turn() -> None:
    """What is spent in one turn is forgotten in the next."""

    async def job() -> None:
        turns = Turns(lambda: False)
        turns.spend(TURN_SECONDS)
        seen = [(turns.is_spent, turns.is_crowded)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        seen.append((turns.is_spent, turns.is_crowded))
        assert seen == [(True, True), (False, False)]

    asyncio.run(job())


def test_pieces_are_shorter_the_more_connections_wait() -> None:
    """One sender alone reads much at a time; of a thousand each reads little."""

    async def job() -> None:
        turns = Turns(lambda: False)
        alone = turns.piece_seconds
        for _ in range(1000):
            turns.wait(Connection(turns, 1.0, 1))
        assert turns.piece_seconds < alone / 4
        turns.clear()
        assert turns.piece_seconds == alone

    asyncio.run(job())


def test_what_is_read_next_follows_what_the_last_piece_cost() -> None:
    """Twice the time makes half the size, between a least and a most."""
    assert next_read_bytes(10_000, 0.001, 0.002, 100_000) == 20_000
    assert next_read_bytes(10_000, 0.004, 0.002, 100_000) == 5_000
    assert next_read_bytes(10_000, 0.0001, 0.002, 100_000) == 100_000
    assert next_read_bytes(10_000, 1.0, 0.002, 100_000) == READ_BYTES_MIN
    assert next_read_bytes(1, 0.0, 0.002, 100_000) == READ_BYTES_MIN
