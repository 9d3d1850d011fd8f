"""Every workload of the benchmarks, seeded: the same parameters always give the same rows, on every machine.

A workload comes as columns (NumPy arrays, for the kernel) and as a CSV file (for the command). The rows
hang together: a dispute names a real earlier deposit of the same client, a resolve or chargeback a dispute
that was opened before and not settled since. Most rows are applied; a few are refused, as in life (a
deposit disputed twice, money that was already withdrawn).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks import ROOT
from holdfast.domain.transaction import TransactionType

if TYPE_CHECKING:
    from collections.abc import Iterator

Bytes = NDArray[np.uint8]
Ids = NDArray[np.uint64]
Units = NDArray[np.int64]
Flags = NDArray[np.bool_]

CACHE = os.path.join(ROOT, ".build", "workloads")
VERSION = 1
"""Part of every cached file's name: raise it with any change to the rows that the same parameters give."""

BATCH_ROWS = 8192
DEPOSIT, WITHDRAWAL, DISPUTE, RESOLVE, CHARGEBACK = (int(type_) for type_ in TransactionType)

MIXES: dict[str, tuple[int, int, int, int]] = {
    "plain": (60, 30, 5, 5),
    "mixed": (45, 25, 15, 15),
    "deposit-heavy": (90, 6, 2, 2),
    "withdrawal-heavy": (32, 60, 4, 4),
    "dispute-heavy": (40, 22, 20, 18),
    "lookup-heavy": (20, 2, 40, 38),
    "deposits": (100, 0, 0, 0),
}
"""Per cent of deposits, withdrawals, disputes and settlements (resolves and a few chargebacks)."""

ID_KINDS = ("dense", "sparse", "wide")
"""Tx ids: 1, 2, 3 …; unique random 32-bit numbers; unique random 64-bit numbers."""
POPULARITIES = ("uniform", "zipf")
"""Which clients transact: all alike, or a few of them nearly always."""

_DEPOSIT_UNITS_MAX = 10_000_000
_WITHDRAWN_SHARE = 0.4
_ZIPF_EXPONENT = 1.1
# One client in this many is charged back, whenever it can be, and no other ever is:
# whatever the number of rows, most accounts stay unlocked.
_CHARGED_BACK_EVERY = 100
# Coprime to every number of clients in use: spreads the hot clients over the table of accounts.
_RANK_STRIDE = 7919
_RENDER_ROWS = 32_768
_NAMES = ("", *(type_.name.lower() for type_ in TransactionType))
_NAME_WIDTH = max(map(len, _NAMES))


@dataclass(frozen=True, slots=True)
class Workload:
    """The parameters of one workload.

    Args:
        rows: How many transactions.
        clients: How many clients take part, numbered from 0.
        mix: A name out of :data:`MIXES`.
        ids: A name out of :data:`ID_KINDS`.
        popularity: A name out of :data:`POPULARITIES`.
        separator: The separator of the fields of the CSV: ``","`` or ``", "``.
        seed: Another seed gives other rows of the same kind.
    """

    rows: int
    clients: int = 10_000
    mix: str = "plain"
    ids: str = "dense"
    popularity: str = "uniform"
    separator: str = ","
    seed: int = 1

    @property
    def name(self) -> str:
        """All parameters in a file's name."""
        separator = {",": "comma", ", ": "spaced"}[self.separator]
        parts = (
            self.mix,
            self.rows,
            self.clients,
            self.ids,
            self.popularity,
            separator,
            self.seed,
            f"v{VERSION}",
        )
        return "-".join(map(str, parts))


class Columns(NamedTuple):
    """Rows as four arrays of one length, typed as the kernel wants them."""

    types: Bytes
    clients: Ids
    txs: Ids
    amounts: Units

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return len(self.types)

    def slice(self, start: int, stop: int) -> Columns:
        """Give some of the rows, without copying them."""
        return Columns(
            self.types[start:stop], self.clients[start:stop], self.txs[start:stop], self.amounts[start:stop]
        )

    def slices(self, rows: int = BATCH_ROWS) -> Iterator[Columns]:
        """Give all rows in pieces of at most ``rows``."""
        for start in range(0, self.rows, rows):
            yield self.slice(start, start + rows)


# ---------------------------------------------------------------------------------------------------- ids


def unique_ids(start: int, stop: int, kind: str, seed: int = 1) -> Ids:
    """Give the ids number ``start`` to ``stop`` of an endless sequence without repetition."""
    return nth_ids(np.arange(start, stop, dtype=np.uint64), kind, seed)


def nth_ids(counter: Ids, kind: str, seed: int = 1) -> Ids:
    """Give the ids with these numbers out of that sequence.

    Random ids come from a keyed bijection of their number, so that they need no memory of those drawn before.
    """
    if kind == "dense":
        return counter + np.uint64(1)
    key = np.random.default_rng(seed).integers(2**63, dtype=np.uint64)
    return _scatter_64(counter ^ key) if kind == "wide" else _scatter_32(counter, key)


def _scatter_64(ids: Ids) -> Ids:
    """Map 64-bit numbers one to one on numbers that look random (the finaliser of SplitMix64)."""
    ids = (ids ^ (ids >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    ids = (ids ^ (ids >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return ids ^ (ids >> np.uint64(31))


def _scatter_32(counter: Ids, key: np.uint64) -> Ids:
    """Map 32-bit numbers one to one on numbers that look random (the finaliser of MurmurHash3)."""
    ids = (counter ^ key).astype(np.uint32)
    ids = (ids ^ (ids >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    ids = (ids ^ (ids >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return (ids ^ (ids >> np.uint32(16))).astype(np.uint64)


# ------------------------------------------------------------------------------------------------ columns


def make_columns(workload: Workload) -> Columns:
    """Make the rows of a workload."""
    rng = np.random.default_rng(workload.seed)
    types = _draw_types(rng, workload)
    columns = Columns(
        types,
        np.zeros(workload.rows, np.uint64),
        np.zeros(workload.rows, np.uint64),
        np.zeros(workload.rows, np.int64),
    )
    _fill_transfers(rng, workload, columns)
    _fill_disputes(rng, columns)
    _fill_settlements(columns)
    return columns


def make_deposits(start: int, stop: int, clients: int = 10_000, ids: str = "dense", seed: int = 1) -> Columns:
    """Make the deposits number ``start`` to ``stop`` of an endless stream, for streams too long to hold."""
    rows = stop - start
    counter = np.arange(start, stop, dtype=np.uint64)
    return Columns(
        np.full(rows, DEPOSIT, np.uint8),
        _scatter_64(counter) % np.uint64(clients),
        unique_ids(start, stop, ids, seed),
        (counter % np.uint64(9_999_999) + np.uint64(1)).astype(np.int64),
    )


def make_accounts(start: int, stop: int, wide: bool) -> Columns:
    """Make deposits that open one account each: clients 0, 1, 2 … or, if ``wide``, scattered 64-bit ids."""
    clients = unique_ids(start, stop, "wide") if wide else np.arange(start, stop, dtype=np.uint64)
    return make_deposits(start, stop)._replace(clients=clients)


def _draw_types(rng: np.random.Generator, workload: Workload) -> Bytes:
    """Draw the types by the mix, settlements as resolves; rows with nothing to refer to become deposits."""
    thresholds = np.cumsum(MIXES[workload.mix])[:-1]
    drawn = rng.integers(100, size=workload.rows, dtype=np.uint8)
    types = (np.searchsorted(thresholds, np.arange(100), side="right") + DEPOSIT).astype(np.uint8)[drawn]
    types[:1] = DEPOSIT
    # A settlement is lost when no dispute is waiting for it:
    # whenever settlements outnumber disputes by a new maximum.
    surplus = np.cumsum(types == RESOLVE, dtype=np.int64) - np.cumsum(types == DISPUTE, dtype=np.int64)
    lost = np.maximum.accumulate(np.maximum(surplus, 0))
    types[np.flatnonzero(np.diff(lost, prepend=0))] = DEPOSIT
    return types


def _draw_clients(rng: np.random.Generator, workload: Workload, count: int) -> Ids:
    if workload.popularity == "uniform":
        return rng.integers(workload.clients, size=count, dtype=np.uint64)
    weights = 1.0 / np.arange(1, workload.clients + 1) ** _ZIPF_EXPONENT
    bounds = np.cumsum(weights)
    drawn = np.searchsorted(bounds, rng.random(count) * bounds[-1], side="right")
    ranks: Ids = np.minimum(drawn, workload.clients - 1).astype(np.uint64)
    spread: Ids = ranks * np.uint64(_RANK_STRIDE) % np.uint64(workload.clients)
    return spread


def _draw_amounts(rng: np.random.Generator, count: int, units_max: int) -> Units:
    """Draw positive amounts with 0 to 4 decimals, each as often as the others."""
    steps = (10 ** np.arange(5, dtype=np.int64))[rng.integers(5, size=count, dtype=np.uint8)]
    return rng.integers(units_max, size=count, dtype=np.int64) // steps * steps + steps


def _fill_transfers(rng: np.random.Generator, workload: Workload, columns: Columns) -> None:
    transfers = np.flatnonzero(columns.types <= WITHDRAWAL)
    columns.clients[transfers] = _draw_clients(rng, workload, len(transfers))
    columns.txs[transfers] = unique_ids(0, len(transfers), workload.ids, workload.seed)
    deposits, withdrawals = (np.flatnonzero(columns.types == type_) for type_ in (DEPOSIT, WITHDRAWAL))
    columns.amounts[deposits] = _draw_amounts(rng, len(deposits), _DEPOSIT_UNITS_MAX)
    # Together, withdrawals take out less than deposits bring in, whatever the mix: few of them lack funds.
    share = len(deposits) / max(1, len(withdrawals))
    units_max = int(_DEPOSIT_UNITS_MAX * min(1.0, _WITHDRAWN_SHARE * share))
    columns.amounts[withdrawals] = _draw_amounts(rng, len(withdrawals), max(1, units_max))


def _fill_disputes(rng: np.random.Generator, columns: Columns) -> None:
    """Let each dispute name any of the deposits before it."""
    deposits, disputes = (np.flatnonzero(columns.types == type_) for type_ in (DEPOSIT, DISPUTE))
    earlier = np.searchsorted(deposits, disputes)
    named = deposits[(rng.random(len(disputes)) * earlier).astype(np.int64)]
    columns.clients[disputes] = columns.clients[named]
    columns.txs[disputes] = columns.txs[named]


def _fill_settlements(columns: Columns) -> None:
    """Let the n-th resolve or chargeback settle the n-th dispute, and charge back few clients only."""
    disputes, settlements = np.flatnonzero(columns.types == DISPUTE), np.flatnonzero(columns.types == RESOLVE)
    settled = disputes[: len(settlements)]
    columns.clients[settlements] = columns.clients[settled]
    columns.txs[settlements] = columns.txs[settled]
    unlucky = columns.clients[settlements] % np.uint64(_CHARGED_BACK_EVERY) == _CHARGED_BACK_EVERY - 1
    columns.types[settlements[unlucky]] = CHARGEBACK


# ---------------------------------------------------------------------------------------------------- CSV


class _Field(NamedTuple):
    """One field of many rows: a matrix of characters, and which of them belong to the text."""

    characters: Bytes
    kept: Flags


def header(separator: str = ",") -> bytes:
    """Give the first line of the CSV."""
    return separator.join(("type", "client", "tx", "amount")).encode() + b"\n"


def render(columns: Columns, separator: str = ",") -> bytes:
    """Write rows as CSV text, without a header.

    All rows are laid out in one matrix of fixed-width fields, out of which the padding is then dropped:
    many times as fast as formatting row by row.
    """
    rows = columns.rows
    with_amount = columns.types <= WITHDRAWAL
    between = _constant(separator, rows)
    # A row without an amount ends in its last comma, with no blank after it.
    before_amount = _Field(between.characters, between.kept & with_amount[:, None])
    before_amount.kept[:, 0] = True
    fields = (
        _type_names(columns.types),
        between,
        _digits(columns.clients),
        between,
        _digits(columns.txs),
        before_amount,
        *(_Field(field.characters, field.kept & with_amount[:, None]) for field in _amounts(columns.amounts)),
        _constant("\n", rows),
    )
    characters = np.concatenate([field.characters for field in fields], axis=1)
    kept = np.concatenate([field.kept for field in fields], axis=1)
    text: Bytes = characters[kept]
    return text.tobytes()


def _constant(text: str, rows: int) -> _Field:
    characters = np.frombuffer(text.encode(), np.uint8)
    return _Field(np.broadcast_to(characters, (rows, len(text))), np.ones((rows, len(text)), np.bool_))


def _type_names(types: Bytes) -> _Field:
    names = np.frombuffer("".join(name.ljust(_NAME_WIDTH) for name in _NAMES).encode(), np.uint8)
    table = names.reshape(len(_NAMES), _NAME_WIDTH)
    return _Field(table[types], (table != ord(" "))[types])


def _digits(numbers: NDArray[Any], width: int | None = None) -> _Field:
    """Write numbers in decimal: with all zeros at a given width, without leading ones otherwise."""
    largest = int(numbers.max(initial=0))
    columns = width or len(str(largest))
    # Division is what this costs; in 32 bits it costs a quarter.
    rest = numbers.astype(np.uint32 if largest < 2**32 else np.uint64)
    characters = np.empty((len(rest), columns), np.uint8)
    kept = np.ones((len(rest), columns), np.bool_)
    for position in reversed(range(columns)):
        if width is None and position < columns - 1:
            kept[:, position] = rest != 0
        rest, digit = np.divmod(rest, rest.dtype.type(10))
        characters[:, position] = digit + ord("0")
    return _Field(characters, kept)


def _amounts(units: Units) -> tuple[_Field, _Field, _Field]:
    """Write amounts without the zeros at their end, and without a point when nothing follows it."""
    fraction = units % 10_000
    digits = _digits(fraction, 4)
    kept = np.stack([fraction % 10**place != 0 for place in (4, 3, 2, 1)], axis=1)
    point = _constant(".", len(units))
    return (
        _digits(units // 10_000),
        _Field(point.characters, (fraction != 0)[:, None]),
        _Field(digits.characters, kept),
    )


def csv_bytes(columns: Columns, separator: str = ",") -> Iterator[bytes]:
    """Write rows as a CSV with its header, in pieces of some hundreds of kilobytes."""
    yield header(separator)
    for piece in columns.slices(_RENDER_ROWS):
        yield render(piece, separator)


def ndjson_bytes(columns: Columns) -> Iterator[bytes]:
    """Write rows as NDJSON, compact, with amounts as strings, in pieces of some megabytes."""
    for piece in columns.slices(_RENDER_ROWS):
        yield _render_ndjson(piece)


def _render_ndjson(columns: Columns) -> bytes:
    rows = columns.rows
    with_amount = (columns.types <= WITHDRAWAL)[:, None]
    amount = (_constant(',"amount":"', rows), *_amounts(columns.amounts), _constant('"', rows))
    fields = (
        _constant('{"type":"', rows),
        _type_names(columns.types),
        _constant('","client":', rows),
        _digits(columns.clients),
        _constant(',"tx":', rows),
        _digits(columns.txs),
        *(_Field(field.characters, field.kept & with_amount) for field in amount),
        _constant("}\n", rows),
    )
    text: Bytes = np.concatenate([field.characters for field in fields], axis=1)[
        np.concatenate([field.kept for field in fields], axis=1)
    ]
    return text.tobytes()


def csv_file(workload: Workload) -> str:
    """Give the path of a workload's CSV file; it is made once and kept in a cache that git ignores."""
    path = os.path.join(CACHE, f"{workload.name}.csv")
    if not os.path.exists(path):
        os.makedirs(CACHE, exist_ok=True)
        unfinished = f"{path}.{os.getpid()}"
        with open(unfinished, "wb") as file:
            file.writelines(csv_bytes(make_columns(workload), workload.separator))
        os.replace(unfinished, path)
    return path


def churn(total_bytes: int, deposits: int = 1000, seed: int = 1) -> Iterator[bytes]:
    """Give a CSV of this many bytes that records little: the same deposits, disputed and resolved for ever.

    It is made while it is read, one block over and over, and is never on disk.
    """
    recorded = make_deposits(0, deposits, clients=deposits, seed=seed)
    start = header() + render(recorded)
    yield start
    named = np.random.default_rng(seed).integers(deposits, size=32_768)
    rows = np.repeat(named, 2)
    types = np.tile(np.array([DISPUTE, RESOLVE], np.uint8), len(named))
    block = render(Columns(types, recorded.clients[rows], recorded.txs[rows], np.zeros(len(rows), np.int64)))
    marks = [*range(len(start), total_bytes, len(block)), total_bytes]
    for begin, end in pairwise(marks):
        # The last block is cut at the end of a row.
        yield block if end - begin == len(block) else block[: block.rfind(b"\n", 0, end - begin) + 1]
