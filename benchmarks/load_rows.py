"""The rows that many senders send at once: made before anybody connects, so that sending them costs next to nothing.

Every sender has as many rows as the others. Its rows hang together by themselves, as those of one sender of
``workloads.py`` do, so that they mean the same in whatever order the senders' rows arrive. Tx ids count through the
senders in turn: the same rows in one file, one of each sender after the other, have dense ids, as a file has.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from benchmarks.workloads import CACHE, Columns, Workload, header, make_columns, render

CLIENT_KINDS = ("disjoint", "hot")
"""Whether every sender has its own clients, or all share the same few."""

_HOT_CLIENTS = 16
_ROWS_PER_CLIENT_MIN = 20
# Enough kinds of senders that no processor can learn a pattern.
_TEMPLATES_MAX = 64
_RENDER_ROWS = 32_768


@dataclass(frozen=True, slots=True)
class StreamWorkload:
    """The parameters of the rows of many senders.

    Args:
        connections: How many senders there are.
        rows_each: How many rows each of them sends.
        mix: A name out of ``workloads.MIXES``.
        clients: A name out of :data:`CLIENT_KINDS`.
        clients_max: How many clients there may be, numbered from 0.
        tx_first: The lowest tx id; a server that has seen ids before wants other ones.
        seed: Another seed gives other rows of the same kind.
    """

    connections: int
    rows_each: int
    mix: str = "mixed"
    clients: str = "disjoint"
    clients_max: int = 60_000
    tx_first: int = 1
    seed: int = 1

    @property
    def rows(self) -> int:
        """How many rows all senders have together."""
        return self.connections * self.rows_each

    def clients_each(self) -> int:
        """Say how many clients the rows of one sender name."""
        if self.clients == "hot":
            return _HOT_CLIENTS
        # A client with a few rows has hardly a withdrawal that its deposits cover.
        return max(1, min(self.clients_max // self.connections, self.rows_each // _ROWS_PER_CLIENT_MIN))


class StreamRows(NamedTuple):
    """The rows of all senders as text, one sender after the other, and where each batch of them ends."""

    text: bytes
    batch_ends: list[int]
    batches_each: int
    batch_rows: int
    rows_each: int

    @property
    def connections(self) -> int:
        """How many senders there are."""
        return len(self.batch_ends) // self.batches_each

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.connections * self.rows_each

    def begin(self, connection: int) -> int:
        """Give the place in the text where a sender's rows begin."""
        return self.batch_ends[connection * self.batches_each - 1] if connection else 0

    def end(self, connection: int) -> int:
        """Give the place in the text where a sender's rows end."""
        return self.batch_ends[(connection + 1) * self.batches_each - 1]


def make_stream_columns(workload: StreamWorkload) -> Columns:
    """Make the rows of all senders, one sender after the other.

    Raises:
        ValueError: If there are no rows, or more clients or tx ids than 16 and 32 bits hold.
    """
    connections, rows_each = workload.connections, workload.rows_each
    if connections < 1 or rows_each < 1:
        raise ValueError(f"{connections} connections of {rows_each} rows each: both must be 1 or more")
    if workload.clients == "disjoint" and connections > workload.clients_max:
        raise ValueError(
            f"{connections} connections cannot have clients of their own out of {workload.clients_max}; "
            "take hot clients or fewer connections"
        )
    if workload.tx_first + workload.rows > 2**32:
        raise ValueError(
            f"tx ids from {workload.tx_first} on for {workload.rows} rows do not fit into 32 bits"
        )
    templates = [_template(workload, number) for number in range(min(connections, _TEMPLATES_MAX))]
    rng = np.random.default_rng(workload.seed)
    chosen = rng.integers(len(templates), size=connections)
    types, clients, txs, amounts = (np.stack(columns)[chosen] for columns in zip(*templates, strict=True))
    sender = np.arange(connections, dtype=np.uint64)[:, None]
    if workload.clients == "disjoint":
        clients += sender * np.uint64(workload.clients_each())
    txs = (txs - np.uint64(1)) * np.uint64(connections) + sender + np.uint64(workload.tx_first)
    return Columns(types.ravel(), clients.ravel(), txs.ravel(), amounts.ravel())


def _template(workload: StreamWorkload, number: int) -> Columns:
    """Make the rows of one sender, its clients numbered from 0 and its tx ids from 1."""
    return make_columns(
        Workload(
            workload.rows_each,
            clients=workload.clients_each(),
            mix=workload.mix,
            popularity="zipf" if workload.clients == "hot" else "uniform",
            seed=workload.seed * _TEMPLATES_MAX + number,
        )
    )


def render_streams(columns: Columns, connections: int, batch_rows: int) -> StreamRows:
    """Write the rows of all senders as text, without headers, for sending in batches of this many rows."""
    rows_each = columns.rows // connections
    text = b"".join(render(piece) for piece in columns.slices(_RENDER_ROWS))
    row_ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n")).reshape(connections, rows_each) + 1
    last_rows = np.append(np.arange(batch_rows, rows_each, batch_rows), rows_each) - 1
    batch_ends = row_ends[:, last_rows].ravel().tolist()
    return StreamRows(text, batch_ends, len(last_rows), batch_rows, rows_each)


def stream_file(workload: StreamWorkload) -> str:
    """Give the path of a file with the same rows, one row of each sender in turn; it replaces the file made before."""
    columns = make_stream_columns(workload)
    shape = (workload.connections, workload.rows_each)
    in_turn = Columns._make(np.ascontiguousarray(column.reshape(shape).T).ravel() for column in columns)
    os.makedirs(CACHE, exist_ok=True)
    path = os.path.join(CACHE, "streams.csv")
    with open(path, "wb") as file:
        file.write(header())
        file.writelines(render(piece) for piece in in_turn.slices(_RENDER_ROWS))
    return path
