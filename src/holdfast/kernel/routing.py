"""Routes rows by client to several ledgers: splits a batch, and puts the outcomes back in its order.

A client's shard depends only on the client's id and the number of shards.
"""

import cython
from cython.cimports.holdfast.kernel.batch import Batch, new_batch
from cython.cimports.holdfast.kernel.codes import APPLIED, UNDECIDED, is_unreadable
from cython.cimports.holdfast.kernel.platform import hf_read_64, hf_unlikely
from cython.cimports.holdfast.kernel.tally import Tally
from cython.cimports.libc.stdint import int64_t, uint8_t, uint64_t
from cython.cimports.libc.string import memset

SHARDS_MAX = 256

# The digits of the golden ratio: they spread ids of any regular pattern.
spread = cython.declare(uint64_t, 0x4F1BBCDCBFA53E0B)

_Columns = cython.struct(
    types=cython.pointer[uint8_t],
    clients=cython.pointer[uint64_t],
    txs=cython.pointer[uint64_t],
    amounts=cython.pointer[int64_t],
    outcomes=cython.pointer[uint8_t],
    filled=cython.Py_ssize_t,
    room=cython.Py_ssize_t,
)


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _shard_of(client: uint64_t, shards: uint64_t) -> cython.int:
    """Spread consecutive ids as evenly as random ids: by the upper half of a product with the golden ratio."""
    return cython.cast(cython.int, ((client * spread) >> 32) % shards)


@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_shards(shards: cython.Py_ssize_t) -> cython.int:
    if not 1 <= shards <= SHARDS_MAX:
        raise ValueError(f"shards is 1 to {SHARDS_MAX}, not {shards}")
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def _check_rows(batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t) -> cython.int:
    if not 0 <= start <= stop <= batch.rows:
        raise IndexError(f"rows {start} to {stop} of a batch of {batch.rows}")
    return 0


def shard_of(client: uint64_t, shards: cython.Py_ssize_t) -> int:
    """Give the shard of a client, for a number of shards.

    Raises:
        ValueError: If the number of shards is out of range.
    """
    _check_shards(shards)
    return _shard_of(client, shards)


def split(batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, shards: cython.Py_ssize_t) -> list:
    """Copy rows into one batch per shard, in their order; None for a shard without rows.

    Outcomes go with their rows: a malformed row keeps its code in any shard. The batches have no text.

    Raises:
        IndexError: If there are no such rows.
        ValueError: If the number of shards is out of range, or a row was decided before.
    """
    _check_shards(shards)
    _check_rows(batch, start, stop)
    counts: cython.Py_ssize_t[256]
    row: cython.Py_ssize_t
    code: cython.int
    decided: cython.Py_ssize_t = -1
    memset(counts, 0, 256 * cython.sizeof(cython.Py_ssize_t))
    with cython.nogil:
        for row in range(start, stop):
            counts[_shard_of(batch.client_column[row], shards)] += 1
            code = batch.outcome_column[row]
            if hf_unlikely(code != UNDECIDED and not is_unreadable(code)) and decided < 0:
                decided = row
    if decided >= 0:
        batch.refuse_decided(decided)
    parts: list = [new_batch(counts[shard]) if counts[shard] else None for shard in range(shards)]
    columns: _Columns[256]
    part: Batch
    shard: cython.Py_ssize_t
    memset(columns, 0, 256 * cython.sizeof(_Columns))
    for shard in range(shards):
        if counts[shard]:
            _point_at(cython.address(columns[shard]), parts[shard], batch, counts[shard])
    with cython.nogil:
        for row in range(start, stop):
            client: uint64_t = hf_read_64(batch.client_column + row)
            _put(cython.address(columns[_shard_of(client, shards)]), batch, row, client)
    for shard in range(shards):
        if counts[shard]:
            part = parts[shard]
            part.rows = columns[shard].filled
    return parts


@cython.cfunc
@cython.exceptval(-1, check=False)
def _point_at(
    columns: cython.pointer[_Columns], part: Batch, batch: Batch, rows: cython.Py_ssize_t
) -> cython.int:
    part.client_max = batch.client_max
    part.tx_max = batch.tx_max
    part.is_unchecked = batch.is_unchecked
    memset(part.offset_column, 0, 8 * rows)
    columns.types = part.type_column
    columns.clients = part.client_column
    columns.txs = part.tx_column
    columns.amounts = part.amount_column
    columns.outcomes = part.outcome_column
    columns.room = rows
    return 0


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _put(
    columns: cython.pointer[_Columns], batch: Batch, row: cython.Py_ssize_t, client: uint64_t
) -> cython.void:
    place: cython.Py_ssize_t = columns.filled
    if hf_unlikely(place == columns.room):
        # Python code has changed the clients of its batch since they were counted; gather() reports that.
        return
    columns.types[place] = batch.type_column[row]
    columns.clients[place] = client
    columns.txs[place] = batch.tx_column[row]
    columns.amounts[place] = batch.amount_column[row]
    columns.outcomes[place] = batch.outcome_column[row]
    columns.filled = place + 1


def gather(batch: Batch, start: cython.Py_ssize_t, parts: list, tally: Tally) -> int:
    """Write the outcomes of batches made by :func:`split` back to their rows, and count them in order.

    The tally's actions are ignored: the rows after one at which they would stop are applied already.

    Args:
        batch: The batch that was split.
        start: The first row that was split.
        parts: The batches from :func:`split`, now decided.
        tally: Counts the outcomes.

    Returns:
        The number of rows, up to the first one that was not decided.

    Raises:
        ValueError: If the number of shards is out of range, or the batches are not those of these rows.
    """
    shards: cython.Py_ssize_t = len(parts)
    _check_shards(shards)
    outcomes: cython.pointer[uint8_t][256]
    left: cython.Py_ssize_t[256]
    rows: cython.Py_ssize_t = 0
    shard: cython.Py_ssize_t
    for shard in range(shards):
        left[shard] = 0
        if parts[shard] is not None:
            part: Batch = parts[shard]
            outcomes[shard] = part.outcome_column
            left[shard] = part.rows
            rows += part.rows
    _check_rows(batch, start, start + rows)
    row: cython.Py_ssize_t
    code: cython.int
    for row in range(start, start + rows):
        shard = _shard_of(batch.client_column[row], shards)
        if left[shard] == 0:
            raise ValueError(
                "the batches were not split from these rows, or their clients were changed since"
            )
        left[shard] -= 1
        code = outcomes[shard][0]
        outcomes[shard] += 1
        if code == UNDECIDED:
            return row - start
        batch.outcome_column[row] = code
        tally.rows += 1
        if code != APPLIED:
            tally.counts[code] += 1
            tally.refused_rows += 1
    return rows


def runs(batch: Batch, start: cython.Py_ssize_t, stop: cython.Py_ssize_t, shards: cython.Py_ssize_t) -> list:
    """List the stretches of rows that go to one shard, as (shard, row to stop before), in order.

    Raises:
        IndexError: If there are no such rows.
        ValueError: If the number of shards is out of range.
    """
    _check_shards(shards)
    _check_rows(batch, start, stop)
    found: list = []
    row: cython.Py_ssize_t = start
    shard: cython.int
    while row < stop:
        shard = _shard_of(batch.client_column[row], shards)
        while row < stop and _shard_of(batch.client_column[row], shards) == shard:
            row += 1
        found.append((shard, row))
    return found
