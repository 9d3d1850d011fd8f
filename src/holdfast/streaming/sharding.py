"""Shards: several engines behind one interface, each with its own clients.

Shards guarantee the same as one engine about the rows of one client: all of them meet in one engine, in order. Across clients an
engine knows one thing, the transaction ids, and these are known within a shard only:

- A tx id is unique within a shard. If a client of another shard uses it again, it counts as new and may be applied, where
  one engine says TX_ID_REUSED. If the same client uses it again, the row is a DUPLICATE_TX or TX_ID_REUSED as usual.
- A dispute, resolve or chargeback of another client's transaction is always refused: as CLIENT_MISMATCH if that client is in the
  same shard, as TX_NOT_FOUND if not.

So, if senders keep tx ids unique over all clients, the accounts are those of one engine, row by row, and only these two codes can
differ.
"""

from __future__ import annotations

import heapq
import zlib
from operator import itemgetter
from typing import TYPE_CHECKING

from holdfast.domain.outcome import Outcome
from holdfast.domain.picklable import Picklable
from holdfast.engine.accounts import Accounts
from holdfast.engine.engine import Engine
from holdfast.engine.rows import to_row
from holdfast.engine.totals import add_totals
from holdfast.kernel import routing
from holdfast.kernel.arrow.accounts import order_accounts
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.encoder import HEADER
from holdfast.kernel.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from holdfast.domain.account import Account
    from holdfast.domain.settings import Settings
    from holdfast.domain.transaction import Transaction
    from holdfast.engine.streams import KnownStream
    from holdfast.engine.totals import Totals
    from holdfast.kernel.arrow.accounts import OrderedAccounts
    from holdfast.kernel.csv.decoder import CsvDecoder

_LINES_AT_ONCE = 4096
_KEYS = {"client": "client id", "source": "source's name"}


class ShardOverlapError(Picklable, ValueError):
    """Two shards have an account of the same client: the sources of a client went to different shards.

    Args:
        client: The first such client that was found.
    """

    def __init__(self, client: int) -> None:
        super().__init__(
            f"client {client} has accounts in several shards, so none is complete: all sources with rows of one client must go "
            "to one shard; give them names that do (see Shards.number_of), or choose shards by client"
        )
        self.client = client


class Shards:
    """Several engines behind the interface that streams need.

    With ``by="client"``, the client's id chooses the engine. The rows of a batch are decided as if one after the other: their
    outcomes are in the order of the batch, policies and counts see them in that order, and after a row at which a policy stops
    nothing is applied. With ``by="source"``, the source's name chooses the engine (``number_of``), and a client's rows must all
    come from sources of one shard; reading the merged accounts raises an error for a client that breaks this rule.

    Args:
        shards: How many shards, 1 to 256.
        make_engine: Makes each engine; all must have the same settings.
        by: ``client`` or ``source``.

    Raises:
        ValueError: If ``shards`` is out of range or ``by`` is neither of these.
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
        if len({id(engine) for engine in self.engines}) < shards:
            raise ValueError("each shard needs an engine of its own: make_engine gave the same one twice")
        if any(engine.settings != self.settings for engine in self.engines):
            raise ValueError(
                "all shards need the same settings: make_engine gave engines with different ones"
            )
        self._durable = 0

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
        """How many of these rows a crash would not lose.

        Rows of one shard may be durable before earlier ones of another. So this moves on when all shards have caught up.
        """
        decided = self.decided
        if all(engine.durable >= engine.decided for engine in self.engines):
            self._durable = decided
        return self._durable

    def apply(self, transaction: Transaction) -> Outcome:
        """Apply one transaction to its client's shard.

        Raises:
            RuntimeError: If sources choose the shard.
            TypeError: If it is not a transaction.
        """
        batch = Batch.from_rows([to_row(transaction, self.settings)])
        self.decide(batch, 0, 1)
        return Outcome(batch.outcome(0))

    def number_of(self, key: int | str) -> int:
        """Say which shard a client (with ``by="client"``) or a source (with ``by="source"``) belongs to; this never changes.

        Raises:
            TypeError: If it is a name and clients choose the shard, or a client and names do.
        """
        if isinstance(key, str) != (self.by == "source"):
            raise TypeError(f"shards are chosen by {self.by}, and {key!r} is not a {_KEYS[self.by]}")
        if isinstance(key, str):
            return zlib.crc32(key.encode(errors="surrogateescape")) % len(self.engines)
        return routing.shard_of(key, len(self.engines))

    @property
    def records_origins(self) -> bool:
        """Whether they keep where rows come from; without a journal they do not."""
        return False

    @property
    def spreads_sources(self) -> bool:
        """Whether a source's name decides which engine gets its rows."""
        return self.by == "source"

    def engine_of(self, source_name: str) -> Engine | Shards:
        """Give the engine for the rows of a source, or these shards if each row's client chooses it."""
        return self.engines[self.number_of(source_name)] if self.by == "source" else self

    def new_decoder(self, *, keep_source: bool) -> CsvDecoder:
        """Make a decoder with the engines' settings."""
        return self.engines[0].new_decoder(keep_source=keep_source)

    def accounts(self) -> MergedAccounts:
        """Take an image of all accounts of all shards at this point in time; later rows do not change it."""
        return self.decided_accounts()

    def decided_accounts(self) -> MergedAccounts:
        """Take an image of all accounts, as :meth:`accounts` does: shards are in memory, and there is nothing to wait for."""
        return MergedAccounts(
            [engine.accounts() for engine in self.engines], self.engines[0].settings.decimals
        )

    @property
    def failure(self) -> BaseException | None:
        """Why nothing is decided any more: always None, since there is no journal that could fail."""
        return None

    @property
    def decide_present(self) -> None:
        """None: everything is in memory."""
        return None

    def wanted_pages(self, batch: Batch, start: int, stop: int) -> list[int]:  # noqa: ARG002  # nothing is ever wanted
        """List nothing: everything is in memory."""
        return []

    def load_pages(self, pages: Sequence[int]) -> None:
        """Do nothing: everything is in memory."""

    @property
    def is_congested(self) -> bool:
        """Whether rows should wait: never, since there is no journal that could be slow."""
        return False

    def find_stream(self, name: str) -> KnownStream | None:
        """Give the position of a named stream: always None, since engines in memory remember none."""
        return self.engines[0].find_stream(name)

    def on_durable(self, callback: Callable[[], None], *, leads: bool = False) -> Callable[[], None]:
        """Never call a function: there is no journal."""
        return self.engines[0].on_durable(callback, leads=leads)

    def commit_now(self) -> None:
        """Return at once: there is no journal."""

    def wait_durable(self) -> bool:
        """Return at once: there is no journal."""
        return True

    def wait_for_room(self) -> None:
        """Return at once: there is no journal."""

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
        """Decide rows of a batch in their clients' shards, count them in a tally, and give the first row that was not decided.

        The engines get the stream and the position of the first of these rows; a shard has only some of the rows.

        Raises:
            RuntimeError: If sources choose the shard, since a row alone does not say where it goes.
        """
        if self.by == "source":
            raise RuntimeError(
                "sources choose the shard: decide rows with the engine of their source (Shards.engine_of)"
            )
        tally = Tally() if tally is None else tally
        if tally.may_stop():
            return self._decide_in_turn(batch, start, stop, tally, stream, position)
        parts = routing.split(batch, start, stop, len(self.engines))
        # One after the other: for a few thousand rows, handing parts to threads costs more than it saves.
        rows = 0
        try:
            for engine, part in zip(self.engines, parts, strict=True):
                if part is not None:
                    engine.decide(part, 0, part.rows, Tally(), stream, position)
        finally:
            # Also where a shard fails: the rows before the first one that it did not decide stand.
            rows = routing.gather(batch, start, parts, tally)
        return start + rows

    def _decide_in_turn(  # noqa: PLR0917  # as decide
        self, batch: Batch, start: int, stop: int, tally: Tally, stream: str | None, position: int
    ) -> int:
        """Decide the rows in order, so that a policy can stop at any of them."""
        first = start
        for shard, end in routing.runs(batch, start, stop, len(self.engines)):
            start = self.engines[shard].decide(batch, start, end, tally, stream, position + start - first)
            if tally.is_stopped:
                break
        return start


class MergedAccounts(Accounts):
    """The accounts of several shards as one set, sorted by client.

    Args:
        parts: The shards' accounts.
        decimals: How many decimals amounts have.
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
        """Iterate over the accounts, sorted by client.

        Raises:
            ShardOverlapError: If two shards have an account of one client.
        """
        last = -1
        for account in heapq.merge(*self._parts, key=_client_of):
            if account.client == last:
                raise ShardOverlapError(last)
            last = account.client
            yield account

    def _shown_rows(self) -> list[str]:
        try:
            return super()._shown_rows()
        except ShardOverlapError:
            # Who looks at it in a debugger needs no second error.
            return []

    def _ordered(self) -> OrderedAccounts:
        found = order_accounts(tuple(part._image for part in self._parts))  # noqa: SLF001  # of the same class
        if found.overlap is not None:
            raise ShardOverlapError(found.overlap)
        return found

    def __contains__(self, client: object) -> bool:
        return any(client in part for part in self._parts)

    def get(self, client: int) -> Account | None:
        """Look up a client's account, or give None.

        Raises:
            ShardOverlapError: If two shards have an account of the client.
        """
        found = [account for part in self._parts if (account := part.get(client)) is not None]
        if len(found) > 1:
            raise ShardOverlapError(client)
        return found[0] if found else None

    def chunks(self) -> Iterator[bytes]:
        """Give the accounts as CSV, in pieces of whole rows, beginning with the header.

        Raises:
            ShardOverlapError: If two shards have an account of one client.
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
