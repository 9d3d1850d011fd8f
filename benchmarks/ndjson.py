"""How fast is the decoder of NDJSON alone, beside those of pyarrow, Polars and msgspec?"""

from __future__ import annotations

import importlib.util
import io
import os
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from benchmarks.measure import Effort, median, side_by_side
from benchmarks.report import Figure
from benchmarks.workloads import Workload, make_columns, ndjson_bytes
from holdfast.kernel.ndjson.decoder import NdjsonDecoder

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_ROWS = 10_000_000
_BLOCK_BYTES = 1 << 20
_SPACED = (b'":', b'": '), (b',"', b', "')


def answer(effort: Effort) -> Iterator[Figure]:
    """Decode from memory, on one core; the CPU of all threads counts."""
    rows = effort.size(_ROWS)
    pieces = list(ndjson_bytes(make_columns(Workload(rows))))
    readers: dict[str, Callable[[Sequence[bytes]], object]] = {
        "holdfast": _read_with_holdfast,
        **{name: read for name, read in _OTHERS.items() if importlib.util.find_spec(name) is not None},
    }
    times = side_by_side(
        {name: partial(_cpu_seconds, read, pieces) for name, read in readers.items()}, effort.repeats
    )
    ours = median(times.pop("holdfast"))
    yield Figure(f"{rows:,} NDJSON rows", rows / ours, "rows/s")
    for name, theirs in times.items():
        yield Figure(
            f"{rows:,} NDJSON rows, {name} / holdfast, CPU",
            rows / median(theirs),
            "rows/s",
            median(theirs) / ours,
            "ndjson",
        )
    spaced = [_space(piece) for piece in pieces]
    yield Figure(
        f"{rows:,} NDJSON rows with spaces",
        rows / median([_cpu_seconds(_read_with_holdfast, spaced) for _ in range(effort.repeats)]),
        "rows/s",
    )


def _cpu_seconds(read: Callable[[Sequence[bytes]], object], pieces: Sequence[bytes]) -> float:
    read(pieces[:1])  # whatever is imported or made once
    begin = time.process_time()
    read(pieces)
    return time.process_time() - begin


def _space(piece: bytes) -> bytes:
    for before, after in _SPACED:
        piece = piece.replace(before, after)
    return piece


def _read_with_holdfast(pieces: Sequence[bytes]) -> None:
    decoder = NdjsonDecoder()
    for piece in pieces:
        view = memoryview(piece)
        for start in range(0, len(view), _BLOCK_BYTES):
            decoder.feed(view[start : start + _BLOCK_BYTES])
    decoder.finish()


def _read_with_pyarrow(pieces: Sequence[bytes]) -> object:
    from pyarrow import json  # noqa: PLC0415  # may not be installed

    return json.read_json(io.BytesIO(b"".join(pieces)), read_options=json.ReadOptions(use_threads=False))


def _read_with_polars(pieces: Sequence[bytes]) -> object:
    os.environ.setdefault("POLARS_MAX_THREADS", "1")
    import polars  # noqa: ICN001, PLC0415  # may not be installed

    return polars.read_ndjson(io.BytesIO(b"".join(pieces)))


def _read_with_msgspec(pieces: Sequence[bytes]) -> None:
    """Read into structures, its fastest way, which knows the types; piece by piece, since all rows need gigabytes."""
    import msgspec  # noqa: PLC0415  # may not be installed

    fields: list[Any] = [("type", str), ("client", int), ("tx", int), ("amount", str | None, None)]
    decoder = msgspec.json.Decoder(msgspec.defstruct("Transaction", fields))
    for piece in pieces:
        decoder.decode_lines(piece)


_OTHERS: dict[str, Callable[[Sequence[bytes]], object]] = {
    "pyarrow": _read_with_pyarrow,
    "polars": _read_with_polars,
    "msgspec": _read_with_msgspec,
}
