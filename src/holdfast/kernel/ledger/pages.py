"""The state of a ledger as pages of bytes: accounts, records side by side, changes of records in the index.

Numbers are little-endian. A page is a count (4 bytes) and packed columns (:mod:`holdfast.kernel.packing.words`), one after the
other:

* Accounts (kind 1, number: that of the first account divided by 512): 512 accounts. Columns: flags (1 exists, 2 locked),
  available, held; and, if the count is 1, the ids of the clients. If the count is 0, the number of an account is its client's
  id.
* A run (kind 2, number: the first tx id divided by 8,192): count is 8,192. Columns: owners, amounts. An owner of 0 is no record.
* Changes (kind 3, numbered on for ever): count is how many. Columns: tx ids, owners, amounts. A later change of a record replaces
  an earlier one.

An owner is the number of the account plus one, times 8; plus 4 for a withdrawal; plus 0 if there never was a dispute, 1 while
one is open, 2 after a resolve, 3 after a chargeback. The account number plus one is 2**29 - 1 if the id was burned by a
refusal.
"""

import cython
from cython.cimports.cpython.bytes import PyBytes_FromStringAndSize
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_ACCOUNTS,
    PAGE_BITS,
    AccountPage,
    replace_page,
    reserve_accounts,
)
from cython.cimports.holdfast.kernel.ledger.fold import LedgerState
from cython.cimports.holdfast.kernel.ledger.index import (
    Home,
    Index,
    Vacancy,
    append_number,
    find_number,
    home_of,
    make_room,
)
from cython.cimports.holdfast.kernel.ledger.records import (
    ACCOUNTS_LIMIT,
    RUN_RECORDS,
    Run,
)
from cython.cimports.holdfast.kernel.packing.words import pack_words, packed_bytes_max, unpack_words
from cython.cimports.holdfast.kernel.platform import cbytes, hf_load_4, hf_store_4
from cython.cimports.libc.stdint import int64_t, uint8_t, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc


@cython.cfunc
def pack_accounts(page: cython.pointer[cython.const[AccountPage]]) -> bytes:
    """Pack a page of accounts that nobody changes any more."""
    words: uint64_t[PAGE_ACCOUNTS]
    number: cython.int
    column: cython.int
    target: cython.pointer[uint8_t] = cython.cast(
        cython.pointer[uint8_t], malloc(COUNT_BYTES + 4 * packed_bytes_max(PAGE_ACCOUNTS))
    )
    if target == cython.NULL:
        raise MemoryError
    size: cython.Py_ssize_t = COUNT_BYTES
    with cython.nogil:
        hf_store_4(target, page.clients != cython.NULL)
        for column in range(4 if page.clients != cython.NULL else 3):
            for number in range(PAGE_ACCOUNTS):
                if column == 0:
                    words[number] = page.flags[number]
                elif column == 1:
                    words[number] = cython.cast(uint64_t, page.balances[number].available)
                elif column == 2:
                    words[number] = cython.cast(uint64_t, page.balances[number].held)
                else:
                    words[number] = page.clients[number]
            size += pack_words(words, PAGE_ACCOUNTS, target + size)
    packed: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_char, target), size)
    free(target)
    return packed


@cython.cfunc
def load_accounts(
    state: cython.pointer[LedgerState], number: uint64_t, data: cbytes, size: cython.Py_ssize_t
) -> object:
    """Put a page of accounts into a ledger that has none there."""
    words: uint64_t[PAGE_ACCOUNTS]
    column: cython.int
    place: cython.int
    if number >= (ACCOUNTS_LIMIT >> PAGE_BITS) + 1 or (state.is_direct and number >= 128):
        raise ValueError(f"there is no page {number} of accounts")
    if reserve_accounts(cython.address(state.accounts), (number + 1) << PAGE_BITS) < 0:
        raise MemoryError
    if state.accounts.pages[number] != cython.NULL:
        raise ValueError(f"page {number} of accounts comes twice")
    if size < COUNT_BYTES or hf_load_4(data) > 1:
        raise ValueError(f"page {number} of accounts is damaged")
    names_clients: cython.bint = hf_load_4(data) == 1
    if names_clients and state.is_direct:
        raise ValueError(f"page {number} of accounts is one of wider client ids")
    page: cython.pointer[AccountPage] = replace_page(cython.address(state.accounts), number)
    if page == cython.NULL:
        raise MemoryError
    offset: cython.Py_ssize_t = COUNT_BYTES
    for column in range(4 if names_clients else 3):
        taken: cython.Py_ssize_t = unpack_words(data + offset, size - offset, words, PAGE_ACCOUNTS)
        if taken < 0:
            raise ValueError(f"page {number} of accounts is damaged")
        offset += taken
        for place in range(PAGE_ACCOUNTS):
            if column == 0:
                if words[place] > (EXISTS | LOCKED) or words[place] == LOCKED:
                    raise ValueError(f"page {number} of accounts has an account in no possible state")
                page.flags[place] = cython.cast(uint8_t, words[place])
                state.accounts.count += words[place] != 0
                state.accounts.locked += words[place] == EXISTS | LOCKED
            elif column == 1:
                page.balances[place].available = cython.cast(int64_t, words[place])
            elif column == 2:
                page.balances[place].held = cython.cast(int64_t, words[place])
            elif words[place] > state.client_max:
                raise ValueError(f"page {number} of accounts is one of wider client ids")
            else:
                page.clients[place] = words[place]
    if offset != size:
        raise ValueError(f"page {number} of accounts is longer than it says")
    if not names_clients and not state.is_direct:
        for place in range(PAGE_ACCOUNTS):
            page.clients[place] = (number << PAGE_BITS) + place
    return None


@cython.cfunc
def number_clients(state: cython.pointer[LedgerState], numbers: uint64_t, is_direct: cython.bint) -> object:
    """Fill the index of wide clients from the pages of accounts, in the order in which the clients came.

    Args:
        state: The ledger.
        numbers: How many clients have a number.
        is_direct: Whether the accounts come from a ledger in which the number of an account was its client's id.
    """
    vacancy: Vacancy
    index: cython.pointer[Index] = cython.address(state.client_index)
    number: uint64_t
    if numbers > ACCOUNTS_LIMIT:
        raise ValueError(f"there cannot be {numbers} accounts")
    if reserve_accounts(cython.address(state.accounts), numbers) < 0:
        raise MemoryError
    for number in range(numbers):
        page: cython.pointer[AccountPage] = state.accounts.pages[number >> PAGE_BITS]
        client: uint64_t = number
        if not is_direct:
            if page == cython.NULL or not page.flags[number & (PAGE_ACCOUNTS - 1)] & EXISTS:
                # This number was given to a client whose account then found no memory.
                index.count += 1
                continue
            client = page.clients[number & (PAGE_ACCOUNTS - 1)]
        if number & 63 == 0 and make_room(index) < 0:
            raise MemoryError
        home: Home = home_of(index, client)
        if find_number(index, client, home, cython.address(vacancy)) >= 0:
            raise ValueError(f"client {client} has two accounts")
        append_number(index, client, home, cython.address(vacancy))
    return None


# --- records ---


@cython.cfunc
def pack_run(run: cython.pointer[cython.const[Run]]) -> bytes:
    """Pack a run that nobody changes meanwhile."""
    number: cython.Py_ssize_t
    words: cython.pointer[uint64_t] = cython.cast(
        cython.pointer[uint64_t], malloc(8 * RUN_RECORDS + COUNT_BYTES + 2 * packed_bytes_max(RUN_RECORDS))
    )
    if words == cython.NULL:
        raise MemoryError
    target: cython.pointer[uint8_t] = cython.cast(cython.pointer[uint8_t], words + RUN_RECORDS)
    size: cython.Py_ssize_t = COUNT_BYTES
    with cython.nogil:
        hf_store_4(target, RUN_RECORDS)
        for number in range(RUN_RECORDS):
            words[number] = turn(run.records[number].owner)
        size += pack_words(words, RUN_RECORDS, target + size)
        for number in range(RUN_RECORDS):
            words[number] = cython.cast(uint64_t, run.records[number].amount)
        size += pack_words(words, RUN_RECORDS, target + size)
    packed: bytes = PyBytes_FromStringAndSize(cython.cast(cython.p_char, target), size)
    free(words)
    return packed


@cython.cfunc
def load_run(
    state: cython.pointer[LedgerState], run: cython.pointer[Run], data: cbytes, size: cython.Py_ssize_t
) -> object:
    """Fill a run with records. If they are damaged, the run is left as it was."""
    words: cython.pointer[uint64_t] = cython.cast(cython.pointer[uint64_t], malloc(16 * RUN_RECORDS))
    number: cython.Py_ssize_t
    taken: cython.Py_ssize_t = -1
    more: cython.Py_ssize_t = -1
    if words == cython.NULL:
        raise MemoryError
    amounts: cython.pointer[uint64_t] = words + RUN_RECORDS
    is_whole: cython.bint = False
    with cython.nogil:
        if size >= COUNT_BYTES and hf_load_4(data) == RUN_RECORDS:
            taken = unpack_words(data + COUNT_BYTES, size - COUNT_BYTES, words, RUN_RECORDS)
        if taken >= 0:
            taken += COUNT_BYTES
            more = unpack_words(data + taken, size - taken, amounts, RUN_RECORDS)
            is_whole = more >= 0 and taken + more == size
        for number in range(RUN_RECORDS if is_whole else 0):
            if words[number] >> 32 or (
                words[number]
                and not is_owner(
                    state,
                    turn_back(cython.cast(uint32_t, words[number])),
                    cython.cast(int64_t, amounts[number]),
                )
            ):
                is_whole = False
                break
        for number in range(RUN_RECORDS if is_whole else 0):
            run.records[number].owner = turn_back(cython.cast(uint32_t, words[number]))
            run.records[number].amount = cython.cast(int64_t, amounts[number])
    free(words)
    if not is_whole:
        raise ValueError("a page of transactions is damaged, or names an account that is not there")
    return None
