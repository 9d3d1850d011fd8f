"""A cut taken at any moment, while rows go on, restores to that moment; records may leave memory and come back."""

from __future__ import annotations

import array
import platform
import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.domain.model import Model
from holdfast.domain.outcome import Outcome
from holdfast.domain.rules import CARDS, STANDARD, Rules
from holdfast.domain.settings import Settings, make_settings
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.ledger.cut import Cut
from holdfast.kernel.ledger.ledger import LedgerCore
from scenarios import AccountRow, TransactionRow, columns

if TYPE_CHECKING:
    from holdfast.kernel.ledger.image import Image

ACCOUNTS, RUN, CHANGES = 1, 2, 3
BURNING = CARDS._replace(refused_tx_id="burned")


def image_rows(image: Image) -> list[AccountRow]:
    """List all accounts of an image."""
    return image.rows(0, len(image))


@dataclass
class World:
    """A ledger, the model of it, and the store that its pages go to."""

    settings: Settings
    rng: random.Random
    core: LedgerCore = field(init=False)
    pages: dict[tuple[int, int], bytes] = field(default_factory=dict)
    rows: list[TransactionRow] = field(default_factory=list)
    unlocks: list[tuple[int, int]] = field(default_factory=list)
    cut: Cut | None = None
    pages_of_cut: dict[tuple[int, int], bytes] = field(default_factory=dict)
    counters: bytes = b""
    sequence: int = 0
    """That of the last cut that is done."""

    def __post_init__(self) -> None:
        self.core = LedgerCore(self.settings, pages=True)
        self.model = Model(self.settings.rules)
        wide = self.settings.client_bits > 16
        self.clients = [0, 1, 511, 512, 65_535] + ([70_000, 2**32 - 1] if wide else [])
        # Neighbours within runs, runs apart, and, beyond 32 bits, ids of the index.
        runs = [0, 1, 2, 400, 2**19 - 1]
        self.txs = [run * 8192 + place for run in runs for place in (0, 1, 8191)]
        if self.settings.tx_bits == 64:
            self.txs += [2**32 + place for place in range(12)] + [2**64 - 1]

    def draw_rows(self, count: int) -> list[TransactionRow]:
        """Draw rows over few clients and ids, so that most of them meet."""
        rng = self.rng
        return [
            (
                rng.choice((1, 1, 1, 2, 2, 3, 3, 4, 5)),
                rng.choice(self.clients),
                rng.choice(self.txs),
                rng.choice((1, 1, 2, 3, 50, 2**62, 2**63 - 1, 0, -1)),
            )
            for _ in range(count)
        ]

    def decide(self, rows: list[TransactionRow]) -> None:
        """Decide rows, bringing back pages, and compare every outcome with the model's."""
        batch = Batch.from_columns(*columns(rows))
        reached = 0
        while reached < len(rows):
            reached = self.core.decide(batch, reached)
            if reached < len(rows):
                assert self.core.lacks_page
                wanted = self.core.wanted_pages(batch, reached, len(rows), self.rng.choice((1, 3, 99)))
                assert wanted
                for number in wanted:
                    self.core.load_page(RUN, number, self.pages[RUN, number])
        expected = [self.model.apply(TransactionType(type_), *rest) for type_, *rest in rows]
        assert bytes(batch.outcomes) == bytes(expected)
        self.rows += rows

    def unlock(self) -> None:
        """Unlock a client, or get the same error as from the model."""
        client = self.rng.choice(self.clients)
        try:
            self.model.unlock(client)
        except (KeyError, ValueError) as error:
            with pytest.raises(type(error)):
                self.core.unlock(client, None)
        else:
            self.core.unlock(client, None)
            self.unlocks.append((len(self.rows), client))

    def begin_cut(self) -> None:
        """Begin to write out the state, unless that is going on."""
        if self.cut is None:
            self.cut = self.core.cut()
            self.state_at_cut = (self.model_accounts(), len(self.rows), len(self.unlocks))

    def take_pages(self, count: int) -> None:
        """Take pages of the cut; with the last of them, it is done."""
        if self.cut is None:
            return
        for _ in range(count):
            page = self.cut.next_page()
            if page is None:
                break
            kind, number, data = page
            assert (kind, number) not in self.pages_of_cut
            self.pages_of_cut[kind, number] = data
        if self.cut.pages_left == 0:
            assert self.cut.next_page() is None
            self.cut.done()
            self.pages |= self.pages_of_cut
            self.pages_of_cut = {}
            self.counters, self.sequence = self.cut.counters, self.cut.sequence
            self.cut = None
            self.done_state = self.state_at_cut

    def model_accounts(self) -> list[AccountRow]:
        """Give the model's accounts."""
        return [
            (acc.client, acc.available_units, acc.held_units, acc.locked) for acc in self.model.accounts()
        ]

    def restore(self, settings: Settings | None = None) -> LedgerCore:
        """Make a new ledger of the pages of the last cut that is done."""
        core = LedgerCore(settings or self.settings, pages=True)
        if self.rng.random() < 0.5:
            core.expect_state(self.counters)
        for kind in (ACCOUNTS, CHANGES):
            for (of, number), data in sorted(self.pages.items()):
                if of == kind:
                    core.load_page(kind, number, data)
        for of, number in sorted(self.pages):
            if of == RUN:
                core.add_absent_run(number)
        core.finish_restore(self.counters)
        return core

    def check_restored(self, settings: Settings | None = None) -> None:
        """Compare a restored ledger with the model at the cut: accounts, counts, and what every further row comes to."""
        accounts, rows, unlocks = self.done_state
        core = self.restore(settings)
        assert core.decided == self.sequence == rows + unlocks
        assert image_rows(core.image()) == accounts
        assert core.accounts == len(accounts)
        assert core.locked_accounts == sum(account[3] for account in accounts)
        again = World(settings or self.settings, self.rng)
        again.core, again.pages = core, dict(self.pages)
        done = 0
        for before, client in [*self.unlocks[:unlocks], (rows, -1)]:
            for type_, *rest in self.rows[done:before]:
                again.model.apply(TransactionType(type_), *rest)
            done = before
            if client >= 0:
                again.model.unlock(client)
        probe = [
            (type_, client, tx, 1) for tx in self.txs for client in self.clients[:3] for type_ in (3, 4, 1)
        ]
        again.decide(probe + self.draw_rows(50))
        assert image_rows(core.image()) == again.model_accounts()


@pytest.mark.parametrize(
    ("rules", "client_bits", "tx_bits"),
    [(STANDARD, 16, 32), (CARDS, 16, 64), (BURNING, 32, 64), (BURNING, 64, 32)],
)
@given(seed=st.integers(0, 2**32), steps=st.lists(st.sampled_from("rrrrcpppeu"), min_size=8, max_size=60))
def test_a_cut_restores_to_its_moment(
    rules: Rules, client_bits: int, tx_bits: int, seed: int, steps: list[str]
) -> None:
    """Rows, unlocks, cuts, pages and evictions in any order: the last cut that is done restores exactly."""
    world = World(make_settings(rules, client_bits=client_bits, tx_bits=tx_bits), random.Random(seed))
    for step in steps:
        if step == "r":
            world.decide(world.draw_rows(world.rng.choice((1, 7, 40, 200))))
        elif step == "c":
            world.begin_cut()
        elif step == "p":
            world.take_pages(world.rng.choice((1, 3)))
        elif step == "e":
            world.core.evict(world.rng.choice((1, 10**9)))
        else:
            world.unlock()
    assert image_rows(world.core.image()) == world.model_accounts()
    world.begin_cut()
    world.take_pages(10**6)
    world.check_restored()


def test_a_ledger_is_restored_with_wider_ids() -> None:
    """Accounts and records of narrow ids come back under wide ones, and go on as if they had always been wide."""
    world = World(make_settings(CARDS), random.Random(7))
    world.decide(world.draw_rows(3000))
    world.begin_cut()
    world.take_pages(10**6)
    world.check_restored(make_settings(CARDS, client_bits=32, tx_bits=64))
    world.check_restored(make_settings(CARDS, client_bits=64, tx_bits=32))


@pytest.mark.parametrize("tx_bits", [32, 64])
def test_room_is_made_for_scattered_records_before_they_come(tx_bits: int) -> None:
    """The index of a restored state has its size before the first record, and the system's memory where it was asked for."""
    draw = random.Random(5)
    count = 120_000
    txs = array.array("Q", [draw.randrange(1, 1 << tx_bits) for _ in range(count)])
    core = LedgerCore(make_settings(CARDS, tx_bits=tx_bits), pages=True)
    core.decide(
        Batch.from_columns(
            bytes([1]) * count, array.array("Q", [1]) * count, txs, array.array("q", [1]) * count
        )
    )
    cut = core.cut()
    pages = []
    while (page := cut.next_page()) is not None:
        pages.append(page)
    cut.done()
    again = LedgerCore(make_settings(CARDS, tx_bits=tx_bits), pages=True)
    empty_bytes = again.memory_bytes
    room = again.expect_state(cut.counters)
    assert room == pytest.approx(again.memory_bytes - empty_bytes, abs=4096)
    assert room > 3_000_000
    if int(platform.release().split(".")[0]) > 5:
        # What the allocator gives back meanwhile counts as well, above all under a sanitizer: one look of several is enough.
        others = [LedgerCore(make_settings(CARDS, tx_bits=tx_bits), pages=True) for _ in range(5)]
        assert max(bytes_touched(other, cut.counters) for other in others) > room // 2
    again.touch_memory()
    for kind, number, data in sorted(pages):
        if kind == RUN:
            again.add_absent_run(number)
        else:
            again.load_page(kind, number, data)
    log_bytes = 8192 * 20
    assert again.memory_bytes - empty_bytes < room * 1.06 + 300 * 4200 + log_bytes
    again.finish_restore(cut.counters)
    with pytest.raises(ValueError, match="new ledger"):
        again.expect_state(cut.counters)
    for kind, number, data in pages:
        if kind == RUN:
            again.load_page(kind, number, data)
    assert again.digest() == core.digest()


def bytes_touched(core: LedgerCore, counters: bytes) -> int:
    """Make room for a state, and say how much more memory of this process the system has given once it is touched."""
    core.expect_state(counters)
    before = resident_bytes()
    core.touch_memory()
    return resident_bytes() - before


def resident_bytes() -> int:
    """Say how much memory of this process the system has given."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def test_settings_become_wider_where_there_is_room() -> None:
    """Room for wide ids changes no outcome until the settings allow them; without room, and to narrower ones, nothing changes."""
    wide = make_settings(CARDS, client_bits=32, tx_bits=64)
    rows = [(1, 70_000, 2, 5, 0), (1, 1, 1 << 40, 5, 0), (1, 1, 1, 5, 0)]

    def decide(core: LedgerCore) -> list[int]:
        batch = Batch.from_rows(rows)
        core.decide(batch)
        return [batch.outcome(row) for row in range(batch.rows)]

    narrow, roomy = LedgerCore(make_settings(CARDS)), LedgerCore(make_settings(CARDS), room=wide)
    assert decide(narrow) == decide(roomy) == [Outcome.INVALID_CLIENT, Outcome.INVALID_TX, Outcome.APPLIED]
    with pytest.raises(OverflowError, match="no room"):
        narrow.change_settings(wide, None)
    roomy.change_settings(wide, None)
    assert decide(roomy) == [Outcome.APPLIED, Outcome.APPLIED, Outcome.DUPLICATE_TX]
    with pytest.raises(ValueError, match="never narrower"):
        roomy.change_settings(make_settings(CARDS, client_bits=32), None)
    with pytest.raises(ValueError, match="decimals of a ledger never change"):
        roomy.change_settings(wide._replace(decimals=2), None)
    with pytest.raises(ValueError, match="no room"):
        LedgerCore(wide, room=make_settings(CARDS))
    assert (narrow.decided, roomy.decided) == (3, 7)


def test_wider_ids_do_not_become_narrower() -> None:
    """A state of wide ids is refused under narrower settings."""
    world = World(make_settings(CARDS, client_bits=32, tx_bits=64), random.Random(7))
    world.decide(world.draw_rows(300))
    world.begin_cut()
    world.take_pages(10**6)
    for narrow in (make_settings(CARDS, client_bits=16, tx_bits=64), make_settings(CARDS, client_bits=32)):
        with pytest.raises(ValueError, match=r"wider|damaged"):
            world.restore(narrow)


def test_evicted_records_leave_memory() -> None:
    """What is let go is no longer counted, nothing that a cut has not stored is let go, and it all comes back."""
    world = World(make_settings(STANDARD), random.Random(3))
    rows: list[TransactionRow] = [(1, 1, tx, 1) for tx in range(200_000)]
    world.decide(rows)
    assert world.core.evict(10**12) == 0
    world.begin_cut()
    world.take_pages(3)
    assert world.core.evict(10**12) == 0
    world.take_pages(10**6)
    before = world.core.memory_bytes
    freed = world.core.evict(10**12)
    assert freed == 25 * 8192 * 12
    assert before - world.core.memory_bytes >= freed - 2 * 2**20
    world.decide([(3, 1, tx, 0) for tx in range(0, 200_000, 999)] + [(1, 1, 5, 1), (1, 1, 200_000, 1)])


def test_damaged_pages_are_refused() -> None:
    """Every byte of every kind of page flipped, and every truncation: an error, or another state; never a crash."""
    world = World(make_settings(BURNING, client_bits=32, tx_bits=64), random.Random(5))
    world.decide(world.draw_rows(2000))
    world.begin_cut()
    world.take_pages(10**6)
    good = dict(world.pages)
    refused = 0
    for key, data in good.items():
        step = max(1, len(data) // 200)
        damaged = [
            data[:place] + bytes([data[place] ^ 0x41]) + data[place + 1 :]
            for place in range(0, len(data), step)
        ]
        damaged += [data[:place] for place in range(0, len(data), step)] + [data + b"\0", b""]
        for bad in damaged:
            world.pages = {**good, key: bad}
            try:
                core = world.restore()
                for kind, number in good:
                    if kind == RUN:
                        core.load_page(RUN, number, world.pages[kind, number])
            except ValueError:
                # What is still a state, though another one, is found by the checksums around pages.
                refused += 1
    assert refused > 100
    world.pages = good
    for missing in good:
        world.pages = {key: data for key, data in good.items() if key != missing}
        with pytest.raises(ValueError, match=r"there should be|comes in the place|not there|damaged"):
            world.restore()


def test_cuts_say_what_is_wrong() -> None:
    """One cut at a time, all pages before it is done, and pages only where they belong."""
    plain = LedgerCore()
    for call in (plain.cut, lambda: plain.evict(1), lambda: plain.load_page(ACCOUNTS, 0, b"")):
        with pytest.raises(RuntimeError, match="pages=True"):
            call()
    world = World(make_settings(STANDARD), random.Random(1))
    world.decide([(1, 1, 1, 5)])
    cut = world.core.cut()
    with pytest.raises(RuntimeError, match="not done"):
        world.core.cut()
    with pytest.raises(RuntimeError, match="2 pages"):
        cut.done()
    with pytest.raises(ValueError, match="not one that is missing"):
        world.core.load_page(RUN, 0, b"")
    with pytest.raises(ValueError, match="new ledger"):
        world.core.load_page(ACCOUNTS, 0, b"")
    with pytest.raises(TypeError):
        Cut()  # type: ignore[call-arg]


def test_a_transaction_is_looked_up() -> None:
    """A record tells its type, client, amount and dispute; one that is not in memory names its page."""
    world = World(make_settings(CARDS), random.Random(1))
    world.decide([(1, 1, 1, 5), (2, 1, 2, 3), (1, 2, 3, 9), (3, 1, 1, 0), (3, 2, 3, 0), (5, 2, 3, 0)])
    core = world.core
    assert [core.transaction(tx) for tx in range(5)] == [None, (1, 1, 5, 1), (2, 1, 3, 0), (1, 2, 9, 3), None]
    world.begin_cut()
    world.take_pages(99)
    core.evict(10**9)
    with pytest.raises(LookupError) as caught:
        core.transaction(2)
    assert caught.value.args == (0,)
