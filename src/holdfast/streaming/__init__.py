"""Streams: any number of sources, one exact, ordered ledger.

The names below are imported when they are first used, so that a program pays only for those that it uses.
"""

from holdfast._lazy import lazy_names as _lazy_names

TYPE_CHECKING = False
if TYPE_CHECKING:
    from holdfast.streaming.adapters import batched, decoded, tee_rejects, throttled
    from holdfast.streaming.processor import Running, StreamProcessor
    from holdfast.streaming.sharding import MergedAccounts, ShardOverlapError, Shards
    from holdfast.streaming.snapshots import Snapshot, Snapshots
    from holdfast.streaming.source_types import SourceData
    from holdfast.streaming.sources import Source
    from holdfast.streaming.statistics import SourceReport, SourceState

_HOMES = {
    "MergedAccounts": "streaming.sharding",
    "Running": "streaming.processor",
    "ShardOverlapError": "streaming.sharding",
    "Shards": "streaming.sharding",
    "Snapshot": "streaming.snapshots",
    "Snapshots": "streaming.snapshots",
    "Source": "streaming.sources",
    "SourceData": "streaming.source_types",
    "SourceReport": "streaming.statistics",
    "SourceState": "streaming.statistics",
    "StreamProcessor": "streaming.processor",
    "batched": "streaming.adapters",
    "decoded": "streaming.adapters",
    "tee_rejects": "streaming.adapters",
    "throttled": "streaming.adapters",
}

__all__ = [
    "MergedAccounts",
    "Running",
    "ShardOverlapError",
    "Shards",
    "Snapshot",
    "Snapshots",
    "Source",
    "SourceData",
    "SourceReport",
    "SourceState",
    "StreamProcessor",
    "batched",
    "decoded",
    "tee_rejects",
    "throttled",
]

__getattr__, __dir__ = _lazy_names(__name__, _HOMES)
