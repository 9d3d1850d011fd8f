"""Streams: any number of sources, one exact, ordered ledger.

The names below are imported when they are first used, so that whoever needs one of them pays for no other.
"""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.streaming.adapters import batched, tee_rejects, throttled
    from holdfast.streaming.processor import Running, StreamProcessor
    from holdfast.streaming.sharding import MergedAccounts, ShardOverlapError, Shards
    from holdfast.streaming.snapshots import Snapshot, Snapshots
    from holdfast.streaming.sources import Source
    from holdfast.streaming.statistics import SourceReport, SourceState

_HOMES = {
    "MergedAccounts": "sharding",
    "Running": "processor",
    "ShardOverlapError": "sharding",
    "Shards": "sharding",
    "Snapshot": "snapshots",
    "Snapshots": "snapshots",
    "Source": "sources",
    "SourceReport": "statistics",
    "SourceState": "statistics",
    "StreamProcessor": "processor",
    "batched": "adapters",
    "tee_rejects": "adapters",
    "throttled": "adapters",
}

__all__ = [
    "MergedAccounts",
    "Running",
    "ShardOverlapError",
    "Shards",
    "Snapshot",
    "Snapshots",
    "Source",
    "SourceReport",
    "SourceState",
    "StreamProcessor",
    "batched",
    "tee_rejects",
    "throttled",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'holdfast.streaming' has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415  # only what is used is imported

    value: object = getattr(import_module(f"holdfast.streaming.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
