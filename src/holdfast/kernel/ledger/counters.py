"""What belongs to the state of a ledger beside its pages: counts, which also say whether all pages are there.

Packed counters are numbers of eight bytes, little-endian, in the order of :data:`FIELDS`.
"""

import cython
from cython.cimports.holdfast.kernel.ledger.fold import LedgerState
from cython.cimports.holdfast.kernel.ledger.pages import number_clients
from cython.cimports.libc.stdint import uint64_t

VERSION = 1
FIELDS = (
    "version", "client_max", "tx_max", "decided", "accounts", "locked accounts", "account pages", "client numbers", "runs",
    "records in runs", "records in the index", "change pages", "burned ids", "open disputes",
)  # fmt: skip
"""What each number counts; ``client numbers`` is 0 if the number of an account is its client's id."""


@cython.cfunc
def pack_counters(
    state: cython.pointer[cython.const[LedgerState]], decided: uint64_t, numbers: uint64_t
) -> bytes:
    """Pack the counters of a ledger that has made this many decisions, and numbered this many clients."""
    values: list = [
        VERSION,
        state.client_max,
        state.tx_max,
        decided,
        state.accounts.count,
        state.accounts.locked,
        _count_pages(state),
        0 if state.is_direct else numbers,
        state.records.run_count,
        state.records.in_runs,
        state.records.index.count,
        state.records.log.next_number,
        state.burned,
        state.open_disputes,
    ]
    return b"".join([value.to_bytes(8, "little") for value in values])


@cython.cfunc
def _count_pages(state: cython.pointer[cython.const[LedgerState]]) -> object:
    number: uint64_t
    count: uint64_t = 0
    for number in range(state.accounts.page_capacity):
        count += state.accounts.pages[number] != cython.NULL
    return count


@cython.cfunc
@cython.exceptval(0, check=True)
def count_indexed(counters: bytes) -> uint64_t:
    """Say how many records the index of a state has, as its counters tell; 0 if they are too short."""
    place: cython.Py_ssize_t = 8 * FIELDS.index("records in the index")
    return int.from_bytes(counters[place : place + 8], "little")


@cython.cfunc
def restore_counters(state: cython.pointer[LedgerState], counters: bytes) -> object:
    """Take over the counters of a state whose pages are loaded, after comparing what can be compared; give the decisions.

    Raises:
        ValueError: If something differs; the message says what.
    """
    if len(counters) != 8 * len(FIELDS):
        raise ValueError(f"counters have {8 * len(FIELDS)} bytes, not {len(counters)}")
    values: list = [
        int.from_bytes(counters[place : place + 8], "little") for place in range(0, len(counters), 8)
    ]
    version, client_max, tx_max, decided, accounts, locked, pages, numbers, *rest = values
    runs, in_runs, in_index, chunks, burned, disputes = rest
    if version != VERSION:
        raise ValueError(f"counters are of version {version}, and this one reads {VERSION}")
    if client_max > state.client_max or tx_max > state.tx_max:
        raise ValueError("the state is one of wider ids than the settings")
    was_direct: cython.bint = client_max == 0xFFFF
    _compare("account pages", _count_pages(state), pages)
    _compare("accounts", state.accounts.count, accounts)
    _compare("locked accounts", state.accounts.locked, locked)
    _compare("runs", state.records.run_count, runs)
    _compare("records in the index", state.records.index.count, in_index)
    _compare("change pages", state.records.log.next_number, chunks)
    if not state.is_direct:
        number_clients(state, 1 << 16 if was_direct else numbers, was_direct)
    if in_runs > runs << 13 or burned > in_runs + in_index or disputes > in_runs + in_index:
        raise ValueError("counters do not go together")
    state.records.in_runs = in_runs
    state.burned = burned
    state.open_disputes = disputes
    state.accounts.epoch = 1
    state.accounts_done_epoch = 0
    return decided


@cython.cfunc
@cython.exceptval(-1, check=False)
def _compare(what: str, found: uint64_t, expected: object) -> cython.int:
    if found != expected:
        raise ValueError(f"there are {found} {what}, and there should be {expected}")
    return 0
