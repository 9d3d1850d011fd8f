"""Compares accounts with what somebody else says they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from holdfast.io.statements import AMOUNT_COLUMNS, Statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from holdfast.engine.accounts import Accounts


class Difference(NamedTuple):
    """One value in which a statement differs from the accounts."""

    client: int
    column: str
    ours: int | None
    """Units, or 1 or 0 for ``locked``; None if we have no such client."""
    theirs: int | None
    """The same; None if the statement has no such client."""

    @property
    def difference(self) -> int:
        """How much more the statement says, a missing client counting as nothing."""
        return (self.theirs or 0) - (self.ours or 0)


class Reconciliation(NamedTuple):
    """What a comparison has found."""

    columns: tuple[str, ...]
    """The columns that both sides have, and that were compared."""
    clients: int
    """How many clients were compared: those of either side."""
    clients_differing: int
    missing_here: int
    """How many clients only the statement has."""
    missing_there: int
    """How many clients only we have."""
    differences: list[Difference]
    """All of them, by client, and within one in the order of the columns."""

    @property
    def agrees(self) -> bool:
        """Whether there is no difference."""
        return not self.differences

    def sums(self) -> dict[str, int]:
        """Say for each column of amounts how much more the statement says in all, in units."""
        return {
            column: sum(each.difference for each in self.differences if each.column == column)
            for column in self.columns
            if column in AMOUNT_COLUMNS
        }


def statement_of(accounts: Accounts, name: str) -> Statement:
    """State accounts as they are."""
    return Statement(
        name,
        ("available", "held", "total", "locked"),
        {
            each.client: (each.available_units, each.held_units, each.total_units, int(each.locked))
            for each in accounts
        },
    )


def reconcile(ours: Statement, theirs: Statement) -> Reconciliation:
    """Compare two statements in the columns that both have.

    A client that one side lacks differs in every column, also where the other side says nothing but zeros.

    Raises:
        ValueError: If they have no column in common.
    """
    columns = tuple(column for column in ours.columns if column in theirs.columns)
    if not columns:
        raise ValueError(
            f"nothing to compare: {ours.name} has {', '.join(ours.columns)}, and {theirs.name} has {', '.join(theirs.columns)}"
        )
    our_places = [ours.columns.index(column) for column in columns]
    their_places = [theirs.columns.index(column) for column in columns]
    differences: list[Difference] = []
    differing = missing_here = missing_there = clients = 0
    for client in _clients(ours, theirs):
        clients += 1
        mine, other = ours.accounts.get(client), theirs.accounts.get(client)
        missing_here += mine is None
        missing_there += other is None
        before = len(differences)
        for column, our_place, their_place in zip(columns, our_places, their_places, strict=True):
            here = None if mine is None else mine[our_place]
            there = None if other is None else other[their_place]
            if here != there:
                differences.append(Difference(client, column, here, there))
        differing += len(differences) > before
    return Reconciliation(columns, clients, differing, missing_here, missing_there, differences)


def _clients(ours: Statement, theirs: Statement) -> Iterator[int]:
    return iter(sorted(ours.accounts.keys() | theirs.accounts.keys()))
