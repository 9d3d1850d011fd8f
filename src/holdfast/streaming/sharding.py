"""Shards: several engines behind one interface, each with clients of its own.

What one engine guarantees about a client's rows, shards guarantee as well: all rows of a client meet in one engine, in order.
What an engine knows about all clients together is known within a shard only, and that is one thing, the transaction ids:

- A tx id is unique within a shard. Used again by a client of another shard, it is taken for a new one and may be applied, where
  one engine says TX_ID_REUSED. Used again by the same client, it is a DUPLICATE_TX or TX_ID_REUSED as ever.
- A dispute, resolve or chargeback of another client's transaction is refused in any case, as CLIENT_MISMATCH if that client is of
  the same shard, as TX_NOT_FOUND if not.

So, where senders keep tx ids unique over all clients, the accounts are those of one engine, row by row, and outcomes differ in
nothing but these two codes.
"""

from __future__ import annotations

import heapq
import zlib
from operator import itemgetter
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.engine.accounts import Accounts
from holdfast.engine.engine import Engine
from holdfast.engine.rows import to_row
from holdfast.engine.totals import add_totals
from holdfast.kernel import routing
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.encoder import HEADER
from holdfast.kernel.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.domain.account import Account
    from holdfast.domain.settings import Settings
    from holdfast.domain.transaction import Transaction
    from holdfast.engine.totals import Totals
    from holdfast.kernel.csv.decoder import CsvDecoder

_LINES_AT_ONCE = 4096


class ShardOverlapError(ValueError):
    """Two shards have an account of the same client: the sources of a client went to different shards.

    Args:
        client: The first such client that was found.
    """

    def __init__(self, client: int) -> None:
        super().__init__(
            f"client {client} has accounts in several shards, so neither is complete: the sources that name a client must go to "
            "one shard; give them names that do (Shards.number_of), or route by client"
        )
        self.client = client


class Shards:
    """Several engines behind the interface that streams need.

    With ``by="client"``, a client's number decides on the engine. The rows of a batch are decided as if one after the other:
    their outcomes stand in the batch in its order, policies and counts see them in that order, and behind a row at which a
    policy stops nothing is applied. With ``by="source"``, the name of a source decides (``number_of``), and a client's rows
    must all come from sources of one shard; reading the merged accounts finds a client for whom this does not hold.

    Args:
        shards: How many, 1 to 256.
        make_engine: Makes each of them; all alike.
        by: ``client`` or ``source``.

    Raises:
        ValueError: For a number of shards out of range, or another way to route.
    """

    def __init__(
        self,
        shards: int,
        make_engine: Callable[[], Engine] = Engine,
        *,
        by: str = "client",
    ) -> None:
        routing.shard_of(0, shards)  # checks the number
        if by not in {"client", "source"}:
            raise ValueError(f"shards are chosen by client or by source, not by {by!r}")
        self.by = by
        self.engines = tuple(make_engine() for _ in range(shards))

    def __len__(self) -> int:
        return len(self.engines)

    @property
    def settings(self) -> Settings:
        """The settings of all."""
        return self.engines[0].settings

    @property
    def decided(self) -> int:
        """Rows decided by all shards together."""
        return sum(engine.decided for engine in self.engines)

    @property
    def durable(self) -> int:
        """Rows of them that a crash would not lose."""
        return sum(engine.durable for engine in self.engines)

    def apply(self, transaction: Transaction) -> Outcome:
        """Apply one transaction to its client's shard.

        Raises:
            TypeError: If it is no transaction.
        """
        batch = Batch.from_rows([to_row(transaction, self.settings)])
        self.decide(batch, 0, 1)
        return Outcome(batch.outcome(0))

    def number_of(self, key: int | str) -> int:
        """Say which shard a client (by client) or a source (by source) belongs to; that never changes.

        Raises:
            TypeError: For a name where clients decide, or a client where names do.
        """
        if isinstance(key, str) != (self.by == "source"):
            raise TypeError(f"shards are chosen by {self.by}: {key!r} is none")
        if isinstance(key, str):
            return zlib.crc32(key.encode(errors="surrogateescape")) % len(self.engines)
        return routing.shard_of(key, len(self.engines))

    @property
    def spreads_sources(self) -> bool:
        """Whether what the rows of a source go to depends on its name."""
        return self.by == "source"

    def engine_of(self, source_name: str) -> Engine | Shards:
        """Say what the rows of a source go to."""
        return self.engines[self.number_of(source_name)] if self.by == "source" else self

    def new_decoder(self, *, keep_source: bool) -> CsvDecoder:
        """Make a decoder with the engines' settings."""
        return self.engines[0].new_decoder(keep_source=keep_source)

    def accounts(self) -> MergedAccounts:
        """Take an image of all accounts of all shards: a point in time, unchanged by what is applied later."""
        return MergedAccounts(
            [engine.accounts() for engine in self.engines], self.engines[0].settings.decimals
        )

    def totals(self) -> Totals:
        """Count accounts, transactions and rows."""
        return add_totals(engine.totals() for engine in self.engines)

    def decide(  # noqa: PLR0917  # called from compiled code
        self,
        batch: Batch,
        start: int,
        stop: int,
        tally: Tally | None = None,
        stream: str | None = None,
        position: int = 0,
    ) -> int:
        """Decide rows of a batch in their clients' shards, under a policy's tally; give the first row that was not decided."""
        tally = Tally() if tally is None else tally
        if tally.may_stop():
            return self._decide_in_turn(batch, start, stop, tally, stream, position)
        parts = routing.split(batch, start, stop, len(self.engines))
        # One after the other: beside a piece of a stream, a few thousand rows, handing parts to threads costs more than it saves.
        for engine, part in zip(self.engines, parts, strict=True):
            if part is not None:
                engine.decide(part, 0, part.rows, Tally(), stream, position)
        return start + routing.gather(batch, start, parts, tally)

    def _decide_in_turn(  # noqa: PLR0917  # as decide
        self, batch: Batch, start: int, stop: int, tally: Tally, stream: str | None, position: int
    ) -> int:
        """Go through the rows in order, so that a policy can stop at any of them."""
        first = start
        for shard, end in routing.runs(batch, start, stop, len(self.engines)):
            start = self.engines[shard].decide(batch, start, end, tally, stream, position + start - first)
            if tally.is_stopped:
                break
        return start


class MergedAccounts(Accounts):
    """The accounts of several shards as one set, in order of their clients.

    Args:
        parts: The shards' accounts.
        decimals: How many decimals a unit stands for.
    """

    def __init__(self, parts: Sequence[Accounts], decimals: int) -> None:
        self._parts = tuple(parts)
        self._decimals = decimals
        self.sequence = sum(part.sequence for part in self._parts)

    @property
    def locked_accounts(self) -> int:
        """How many of the accounts are locked."""
        return sum(part.locked_accounts for part in self._parts)

    def __len__(self) -> int:
        return sum(map(len, self._parts))

    def __iter__(self) -> Iterator[Account]:
        """Go through the accounts in order of their clients.

        Raises:
            ShardOverlapError: At a client that two shards have an account of.
        """
        last = -1
        for account in heapq.merge(*self._parts, key=_client_of):
            if account.client == last:
                raise ShardOverlapError(last)
            last = account.client
            yield account

    def __contains__(self, client: object) -> bool:
        return any(client in part for part in self._parts)

    def get(self, client: int) -> Account | None:
        """Look a client's account up, or give None.

        Raises:
            ShardOverlapError: If two shards have one.
        """
        found = [account for part in self._parts if (account := part.get(client)) is not None]
        if len(found) > 1:
            raise ShardOverlapError(client)
        return found[0] if found else None

    def chunks(self) -> Iterator[bytes]:
        """Give the accounts as CSV, in pieces of whole rows, the header first.

        Raises:
            ShardOverlapError: At a client that two shards have an account of.
        """
        yield HEADER
        last = -1
        lines: list[bytes] = []
        for client, line in heapq.merge(*map(_numbered_lines, self._parts), key=itemgetter(0)):
            if client == last:
                raise ShardOverlapError(client)
            last = client
            lines.append(line)
            if len(lines) == _LINES_AT_ONCE:
                yield b"".join(lines)
                lines.clear()
        if lines:
            yield b"".join(lines)


def _client_of(account: Account) -> int:
    return account.client


def _numbered_lines(accounts: Accounts) -> Iterator[tuple[int, bytes]]:
    chunks = accounts.chunks()
    next(chunks)
    for chunk in chunks:
        for line in chunk.splitlines(keepends=True):
            yield int(line[: line.index(b",")]), line
