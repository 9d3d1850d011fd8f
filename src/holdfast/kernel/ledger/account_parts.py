"""All accounts of an image in the order of their clients, for who needs all of them once.

An order of account numbers leads to a random place in memory for each account. Instead, the accounts are read once from the first
to the last and copied into parts by the first bits of their clients' ids. A part has some hundred accounts, so that it is sorted
and read in the cache. That takes 32 bytes an account while it lasts.
"""

import cython
from cython.cimports.holdfast.kernel.ledger.accounts import (
    EXISTS,
    LOCKED,
    PAGE_ACCOUNTS,
    PAGE_BITS,
    AccountPage,
)
from cython.cimports.holdfast.kernel.ledger.id_sort import Numbered, sort_by_id
from cython.cimports.holdfast.kernel.ledger.image import Image
from cython.cimports.holdfast.kernel.platform import hf_bit_length, hf_check, hf_map_pages, hf_unmap_pages
from cython.cimports.libc.stdint import UINT64_MAX, uint32_t, uint64_t
from cython.cimports.libc.stdlib import free, malloc
from cython.cimports.libc.string import memset

HUGE_BYTES = cython.declare(cython.size_t, 4 << 20)


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def open_parts(parts: cython.pointer[AccountParts], image: Image) -> cython.int:
    """Copy the accounts of an image whose clients have wide ids; 1 if they are in order as they are, -1 without memory."""
    least: uint64_t = UINT64_MAX
    most: uint64_t = 0
    last: uint64_t = 0
    is_sorted: cython.bint = True
    number: uint64_t
    slot: cython.int
    memset(parts, 0, cython.sizeof(AccountParts))
    for number in range((image.numbers + PAGE_ACCOUNTS - 1) >> PAGE_BITS):
        page: cython.pointer[AccountPage] = image.pages[number]
        for slot in range(PAGE_ACCOUNTS if page != cython.NULL else 0):
            if page.flags[slot] & EXISTS:
                client: uint64_t = page.clients[slot]
                is_sorted = is_sorted and client >= last
                last = client
                least = min(least, client)
                most = max(most, client)
    if is_sorted:
        return 1
    parts.records_bytes = image.count * cython.sizeof(AccountRecord)
    parts.records = cython.cast(
        cython.pointer[AccountRecord], hf_map_pages(parts.records_bytes, parts.records_bytes >= HUGE_BYTES)
    )
    if parts.records == cython.NULL:
        return -1
    bits: cython.int = max(0, min(ACCOUNT_PARTS_BITS, hf_bit_length(image.count) - 8))
    # Few accounts are one part, or two where their ids need all bits.
    shift: cython.int = min(63, max(0, hf_bit_length(most - least) - bits))
    parts.least = least
    parts.shift = shift
    _count(parts, image, least, shift)
    largest: uint64_t = 0
    part: cython.int
    total: uint64_t = 0
    for part in range(ACCOUNT_PARTS_MAX):
        count: uint64_t = parts.ends[part]
        largest = max(largest, count)
        # Where the part begins, until its accounts are there.
        parts.ends[part] = total
        total += count
    hf_check(total == image.count)
    parts.keys = cython.cast(cython.pointer[Numbered], malloc(largest * cython.sizeof(Numbered)))
    if parts.keys == cython.NULL:
        close_parts(parts)
        return -1
    _scatter(parts, image, least, shift)
    return 0


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def close_parts(parts: cython.pointer[AccountParts]) -> cython.void:
    """Free the copies."""
    if parts.records != cython.NULL:
        hf_unmap_pages(parts.records, parts.records_bytes)
    free(parts.keys)
    parts.records = cython.NULL
    parts.keys = cython.NULL


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _count(
    parts: cython.pointer[AccountParts], image: Image, least: uint64_t, shift: cython.int
) -> cython.void:
    number: uint64_t
    slot: cython.int
    for number in range((image.numbers + PAGE_ACCOUNTS - 1) >> PAGE_BITS):
        page: cython.pointer[AccountPage] = image.pages[number]
        for slot in range(PAGE_ACCOUNTS if page != cython.NULL else 0):
            if page.flags[slot] & EXISTS:
                parts.ends[(page.clients[slot] - least) >> shift] += 1


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def _scatter(
    parts: cython.pointer[AccountParts], image: Image, least: uint64_t, shift: cython.int
) -> cython.void:
    number: uint64_t
    slot: cython.int
    for number in range((image.numbers + PAGE_ACCOUNTS - 1) >> PAGE_BITS):
        page: cython.pointer[AccountPage] = image.pages[number]
        for slot in range(PAGE_ACCOUNTS if page != cython.NULL else 0):
            if page.flags[slot] & EXISTS:
                client: uint64_t = page.clients[slot]
                end: cython.pointer[uint64_t] = cython.address(parts.ends[(client - least) >> shift])
                record: cython.pointer[AccountRecord] = parts.records + end[0]
                end[0] += 1
                record.client = client
                record.available = page.balances[slot].available
                record.held = page.balances[slot].held
                record.is_locked = page.flags[slot] & LOCKED


@cython.cfunc
@cython.nogil
@cython.exceptval(check=False)
def sort_part(
    parts: cython.pointer[AccountParts], part: cython.int, count: cython.pointer[uint64_t]
) -> cython.pointer[AccountRecord]:
    """Put the keys of a part in order: each has the number of its record in what this gives."""
    start: uint64_t = parts.ends[part - 1] if part else 0
    row: uint32_t
    count[0] = parts.ends[part] - start
    records: cython.pointer[AccountRecord] = parts.records + start
    if not _place_keys(parts, part, records, cython.cast(uint32_t, count[0])):
        for row in range(cython.cast(uint32_t, count[0])):
            parts.keys[row].id = records[row].client
            parts.keys[row].number = row
        sort_by_id(parts.keys, count[0])
    return records


@cython.cfunc
@cython.inline
@cython.nogil
@cython.exceptval(check=False)
def _place_keys(
    parts: cython.pointer[AccountParts],
    part: cython.int,
    records: cython.pointer[AccountRecord],
    count: uint32_t,
) -> cython.bint:
    """Put the keys of scattered ids in order: nearly so by their next bits, and then each before those that are larger.

    False, with nothing done, if too many have the same bits.
    """
    nexts: uint32_t[513]  # of each place, and one
    row: uint32_t
    place: cython.int
    base: uint64_t = parts.least + (cython.cast(uint64_t, part) << parts.shift)
    shift: cython.int = max(0, parts.shift - KEY_BITS)
    together: uint32_t = 0
    memset(nexts, 0, cython.sizeof(nexts))
    for row in range(count):
        nexts[((records[row].client - base) >> shift) + 1] += 1
    for place in range(KEY_PLACES):
        together = max(together, nexts[place + 1])
        nexts[place + 1] += nexts[place]
    if together > KEYS_TOGETHER_MAX:
        return False
    for row in range(count):
        next_place: cython.pointer[uint32_t] = cython.address(nexts[(records[row].client - base) >> shift])
        parts.keys[next_place[0]].id = records[row].client
        parts.keys[next_place[0]].number = row
        next_place[0] += 1
    for row in range(1, count):
        key: Numbered = parts.keys[row]
        target: uint32_t = row
        while target > 0 and parts.keys[target - 1].id > key.id:
            parts.keys[target] = parts.keys[target - 1]
            target -= 1
        parts.keys[target] = key
    return True
