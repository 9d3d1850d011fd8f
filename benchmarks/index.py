"""What does the index cost for each key, inserted, found and not found, beside a Python dict?"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.measure import Effort, median, seconds, side_by_side
from benchmarks.report import Figure
from benchmarks.workloads import Ids, unique_ids
from holdfast.kernel.ledger.index import KeyIndex

if TYPE_CHECKING:
    from collections.abc import Iterator

_SIZES = (100, 10_000, 100_000, 10_000_000)
# Small sizes are repeated within a run, up to this many keys: the clock is too coarse for a single one.
_KEYS_PER_RUN = 200_000
_OPERATIONS = ("insert", "hit", "miss")

Times = tuple[float, float, float]


def answer(effort: Effort) -> Iterator[Figure]:
    """Try four sizes with random 64-bit keys."""
    for full in _SIZES:
        size = effort.size(full)
        keys, others = unique_ids(0, size, "wide"), unique_ids(size, 2 * size, "wide")
        rounds = 1 if effort.quick else max(1, _KEYS_PER_RUN // size)
        contenders = {
            "index": partial(_time_index, keys, others, rounds),
            "dict": partial(_time_dict, keys, others, rounds),
        }
        times = side_by_side(contenders, effort.repeats)
        for operation, name in enumerate(_OPERATIONS):
            ours, dicts = (median(run[operation] for run in times[who]) / rounds for who in ("index", "dict"))
            yield Figure(f"{name}, {size:,} 64-bit keys, dict / index", ours / size * 1e9, "ns", dicts / ours)


def _time_index(keys: Ids, others: Ids, rounds: int) -> Times:
    indexes = [KeyIndex(key_bits=64) for _ in range(rounds)]
    inserting = seconds(lambda: [index.insert_all(keys) for index in indexes])
    hitting = seconds(lambda: [index.count_present(keys) for index in indexes])
    missing = seconds(lambda: [index.count_present(others) for index in indexes])
    assert indexes[0].count_present(keys) == len(keys)
    assert indexes[0].count_present(others) == 0
    return inserting, hitting, missing


def _time_dict(keys: Ids, others: Ids, rounds: int) -> Times:
    """Do the same with a dict and the fastest loops that Python has."""
    listed, unlisted = keys.tolist(), others.tolist()
    dicts: list[dict[int, None]] = []
    inserting = seconds(lambda: dicts.extend(dict.fromkeys(listed) for _ in range(rounds)))
    hitting = seconds(lambda: [sum(map(each.__contains__, listed)) for each in dicts])
    missing = seconds(lambda: [sum(map(each.__contains__, unlisted)) for each in dicts])
    return inserting, hitting, missing
