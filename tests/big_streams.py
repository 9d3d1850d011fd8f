"""Big seeded streams of transactions: volume where Hypothesis has ingenuity."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.domain.amount import UNITS_MAX
from holdfast.domain.transaction import TransactionType
from strategies import POWERS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from scenarios import TransactionRow


def dense_ids(_random: random.Random) -> Iterator[int]:
    """Count, as most senders do."""
    yield from range(1, 2**32)


def sparse_ids(source: random.Random) -> Iterator[int]:
    """Give 32-bit ids in no order at all, each once."""
    # An odd multiplier makes this a permutation of all 32-bit numbers.
    start = source.getrandbits(32)
    for step in range(2**32):
        yield (start + step * 2_654_435_761) % 2**32


def clustered_ids(source: random.Random) -> Iterator[int]:
    """Give 64-bit ids, each once: in runs around powers of two, and in runs that differ in high bits only."""
    seen: set[int] = set()
    while True:
        base = source.choice(POWERS) + source.randrange(-500, 500)
        stride = source.choice([1, 1, 1, -1, 16, 4096, 2**32, 2**48, 2**56])
        for step in range(source.choice([1, 30, 400])):
            tx = (base + step * stride) % 2**64
            if tx not in seen:
                seen.add(tx)
                yield tx


@dataclass(frozen=True, slots=True)
class BigStream:
    """What one of the big streams looks like; the same arguments always give the same rows."""

    name: str
    tx_ids: Callable[[random.Random], Iterator[int]]
    clients: int
    client_bits: int = 16
    tx_bits: int = 32
    # deposit, withdrawal, dispute, resolve, chargeback
    weights: tuple[int, int, int, int, int] = (45, 25, 16, 8, 2)

    def __str__(self) -> str:
        return self.name

    def rows(self, seed: int, count: int) -> list[TransactionRow]:
        """Generate the stream's first rows."""
        source = random.Random(f"{self.name} {seed}")
        sender = _Sender(source, self.tx_ids(source), self._clients(source))
        return [sender.row(type_) for type_ in source.choices(list(TransactionType), self.weights, k=count)]

    def _clients(self, source: random.Random) -> list[int]:
        if self.clients >= 2**self.client_bits:
            return list(range(2**self.client_bits))
        edges = [0, 2**self.client_bits - 1]
        return edges + [source.getrandbits(self.client_bits) for _ in range(self.clients - 2)]


class _Sender:
    """Remembers what it sent, so that it can send it again or refer to it."""

    def __init__(self, source: random.Random, fresh: Iterator[int], clients: list[int]) -> None:
        self.source = source
        self.fresh = fresh
        self.clients = clients
        self.known: list[TransactionRow] = []
        self.disputed: list[TransactionRow] = []

    def row(self, type_: TransactionType) -> TransactionRow:
        """Make one row; one in twenty has something wrong with it on purpose."""
        fault = self.source.randrange(100)
        if type_ <= TransactionType.WITHDRAWAL:
            return self._transfer(type_, fault)
        return self._reference(type_, fault)

    def _transfer(self, type_: TransactionType, fault: int) -> TransactionRow:
        if self.known and fault < 2:
            return self.source.choice(self.known)
        amount = self.source.randrange(1, 100_000)
        if self.known and fault < 4:
            return (*self.source.choice(self.known)[:3], amount)
        if fault < 6:
            amount = -fault if fault < 5 else UNITS_MAX - fault
        row = (int(type_), self.source.choice(self.clients), next(self.fresh), amount)
        self.known.append(row)
        return row

    def _reference(self, type_: TransactionType, fault: int) -> TransactionRow:
        if not self.known or fault < 2:
            return (int(type_), self.source.choice(self.clients), next(self.fresh), 0)
        # Mostly recent ones, now and then one from long ago.
        pool = self.known if type_ is TransactionType.DISPUTE or not self.disputed else self.disputed
        chosen = self.source.choice(pool[-200:] if fault < 80 else pool)
        if type_ is TransactionType.DISPUTE:
            self.disputed.append(chosen)
        client = self.source.choice(self.clients) if fault < 4 else chosen[1]
        return (int(type_), client, chosen[2], fault)


BIG_STREAMS = (
    BigStream("dense ids, few clients", dense_ids, 50, weights=(50, 25, 16, 8, 1)),
    BigStream("dense ids, all clients", dense_ids, 2**16),
    BigStream("sparse ids", sparse_ids, 3_000),
    BigStream("clustered 64-bit ids", clustered_ids, 20_000, client_bits=64, tx_bits=64),
    BigStream(
        "deposits only, 64-bit", clustered_ids, 20_000, client_bits=64, tx_bits=64, weights=(1, 0, 0, 0, 0)
    ),
    BigStream("disputes above all", sparse_ids, 500, client_bits=32, weights=(20, 10, 40, 25, 3)),
)


def seeded_transactions(
    seed: int, count: int, client_bits: int = 16, tx_bits: int = 32
) -> list[TransactionRow]:
    """Generate rows on the limits, with few clients and transactions, like :func:`transaction_streams`."""
    source = random.Random(seed)
    clients = [source.choice([power for power in POWERS if power < 2**client_bits]) for _ in range(2)]
    txs = [source.choice([power for power in POWERS if power < 2**tx_bits]) for _ in range(12)]
    limits = [
        1,
        2,
        UNITS_MAX,
        UNITS_MAX - 1,
        UNITS_MAX // 2,
        UNITS_MAX // 2 + 1,
        2**62,
        2**62 + 1,
        2**31,
        2**32,
    ]
    pool = [0, -1, *source.choices(limits, k=3), source.randrange(1, 50), source.randrange(1, 50)]
    types = source.choices(list(TransactionType), k=6)
    rows: list[TransactionRow] = []
    for _ in range(count):
        type_, tx = (
            source.choice([TransactionType.DEPOSIT, TransactionType.WITHDRAWAL, *types]),
            source.randrange(12),
        )
        client = clients[(tx + (source.random() < 0.05)) % 2]
        rows.append((int(type_), client, txs[tx], source.choice(pool)))
    return rows
