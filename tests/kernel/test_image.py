"""Images: unchanged whatever is applied, alive while somebody looks, then gone without a trace."""

from __future__ import annotations

import contextlib
import gc
import os
import resource
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from holdfast.domain.rules import STANDARD
from holdfast.domain.settings import make_settings
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.encoder import encode_accounts
from holdfast.kernel.ledger.ledger import LedgerCore
from scenarios import columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import numpy.typing as npt

    from holdfast.kernel.ledger.image import Image

DEPOSIT, WITHDRAWAL, DISPUTE, RESOLVE, CHARGEBACK = 1, 2, 3, 4, 5
PAGE_ACCOUNTS = 512
WIDTHS = [16, 32, 64]


class Bank:
    """A ledger and what its accounts should be, fed with deposits."""

    def __init__(self, client_bits: int = 16) -> None:
        self.ledger = LedgerCore(make_settings(STANDARD, client_bits=client_bits, tx_bits=64))
        self.balances: dict[int, int] = {}
        self.tx = 0

    def deposit(self, clients: Iterable[int], amount: int = 1) -> None:
        """Give each of the clients something."""
        rows = []
        for client in clients:
            self.tx += 1
            rows.append((DEPOSIT, client, self.tx, amount))
            self.balances[client] = self.balances.get(client, 0) + amount
        self.ledger.decide(Batch.from_columns(*columns(rows)))

    def rows(self) -> list[tuple[int, int, int, bool]]:
        """Give what an image taken now has to show."""
        return [(client, self.balances[client], 0, False) for client in sorted(self.balances)]


def rows_of(image: Image) -> list[tuple[int, int, int, bool]]:
    """Give all rows of an image."""
    return image.rows(0, len(image))


@pytest.mark.parametrize("bits", WIDTHS)
def test_an_image_never_changes(bits: int) -> None:
    """Images taken between writes to old pages, new ones and the same again each show their own moment."""
    bank = Bank(bits)
    taken = []
    for turn in range(12):
        bank.deposit(range(turn * 300, turn * 300 + 700), 1 + turn)
        bank.deposit([5, 2**bits - 1 - turn], 1)
        taken.append((bank.ledger.image(), bank.rows()))
    for image, rows in taken:
        assert rows_of(image) == rows
        assert len(image) == len(rows)
    # In no particular order: what is freed for one must not be another's.
    for place in (3, 0, 7, 4):
        del taken[place]
        gc.collect()
        bank.deposit(range(0, 4_000, 100))
        for image, rows in taken:
            assert rows_of(image) == rows


@pytest.mark.parametrize("bits", WIDTHS)
def test_order_is_asked_for_late(bits: int) -> None:
    """An image that is sorted only after much was applied, growth included, shows the old accounts."""
    bank = Bank(bits)
    bank.deposit(np.random.default_rng(1).integers(0, min(2**bits, 2**63) - 1, 3_000).tolist())
    image, rows = bank.ledger.image(), bank.rows()
    bank.deposit(np.random.default_rng(2).integers(0, min(2**bits, 2**63) - 1, 50_000).tolist())
    assert rows_of(image) == rows
    assert rows_of(bank.ledger.image()) == bank.rows()


@pytest.mark.parametrize("bits", WIDTHS)
def test_find(bits: int) -> None:
    """Every account is found, the first and the last among them, and nothing between or beside them."""
    bank = Bank(bits)
    clients = [0, 1, 5, 511, 512, 1_000, 2**16 - 2, 2**bits - 1]
    bank.deposit(clients, 7)
    image = bank.ledger.image()
    bank.deposit([2, *clients], 1)
    for client in clients:
        assert image.find(client) == (7, 0, False)
    for client in (2, 4, 6, 513, 40_000, -1, 2**bits, 2**64, -(2**70), 2**70):
        assert image.find(client) is None


def test_find_in_an_empty_image() -> None:
    """Before there are accounts, none is found."""
    image = LedgerCore().image()
    assert (len(image), image.rows(0, 10), image.find(0), image.locked_accounts) == (0, [], None, 0)


@pytest.mark.parametrize(
    ("start", "stop", "places"),
    [
        (0, 3, [0, 1, 2]),
        (1, 2, [1]),
        (0, 0, []),
        (2, 1, []),
        (2, 99, [2]),
        (3, 99, []),
        (-5, 1, [0]),
        (-5, -1, []),
    ],
)
def test_rows(start: int, stop: int, places: list[int]) -> None:
    """Positions beyond the ends give nothing, and are no error."""
    bank = Bank()
    bank.deposit([30, 10, 20])
    expected = [(10, 1, 0, False), (20, 1, 0, False), (30, 1, 0, False)]
    assert bank.ledger.image().rows(start, stop) == [expected[place] for place in places]


def test_locked_accounts() -> None:
    """Balances, what is held, and locks are those of the image's moment."""
    ledger = LedgerCore()

    def apply(*rows: tuple[int, int, int, int]) -> Image:
        ledger.decide(Batch.from_columns(*columns(rows)))
        return ledger.image()

    images = [
        apply((DEPOSIT, 1, 1, 10), (DEPOSIT, 2, 2, 20), (DEPOSIT, 1, 3, 5)),
        apply((DISPUTE, 1, 1, 0)),
        apply((CHARGEBACK, 1, 1, 0), (DISPUTE, 2, 2, 0)),
        apply((CHARGEBACK, 2, 2, 0)),
    ]
    assert [image.locked_accounts for image in images] == [0, 0, 1, 2]
    assert [image.find(1) for image in images] == [(15, 0, False), (5, 10, False), (5, 0, True), (5, 0, True)]
    assert [image.find(2) for image in images] == [
        (20, 0, False),
        (20, 0, False),
        (0, 20, False),
        (0, 0, True),
    ]
    assert ledger.locked_accounts == 2


@pytest.mark.parametrize("bits", WIDTHS)
def test_an_image_outlives_its_ledger(bits: int) -> None:
    """An image keeps what it needs of its ledger, sorted before or not."""
    bank = Bank(bits)
    bank.deposit([7, 3, 2**bits - 1])
    sorted_image, image, rows = bank.ledger.image(), bank.ledger.image(), bank.rows()
    assert rows_of(sorted_image) == rows
    bank.deposit(range(2_000))
    del bank
    gc.collect()
    rubbish = [Bank(bits) for _ in range(5)]
    for other in rubbish:
        other.deposit(range(3_000), 9)
    assert rows_of(sorted_image) == rows_of(image) == rows
    assert image.find(3) == (1, 0, False)
    assert b"".join(encode_accounts(image)).count(b"\n") == 4


def test_an_encoder_keeps_its_image() -> None:
    """An encoder that was begun goes on after image and ledger are out of sight."""
    bank = Bank()
    bank.deposit(range(20_000))
    chunks = encode_accounts(bank.ledger.image())
    assert next(chunks).startswith(b"client,")
    bank.deposit(range(20_000))
    del bank
    gc.collect()
    assert b"".join(chunks).count(b",0.0001,0.0000,0.0001,false\n") == 20_000


def _resident_bytes() -> int:
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize()


def write_to_every_page(clients: npt.NDArray[np.uint64], ledger: LedgerCore, turn: int) -> None:
    """Write to one account of each page, so that each page an image shows is copied."""
    txs = clients + np.uint64(turn * 2**20)
    ledger.decide(
        Batch.from_columns(np.ones(len(clients), np.uint8), clients, txs, np.ones(len(clients), np.int64))
    )


@pytest.mark.skipif(
    not os.path.exists("/proc/self/statm"), reason="the system does not say how much memory is resident"
)
@pytest.mark.parametrize("kept", [0, 1, 3])
@pytest.mark.parametrize("bits", [16, 64])
def test_pages_are_given_back(bits: int, kept: int) -> None:
    """Thousands of images with writes between take no more memory than the few that live at a time."""
    ledger = LedgerCore(make_settings(STANDARD, client_bits=bits, tx_bits=64))
    clients = np.arange(0, 64 * PAGE_ACCOUNTS, PAGE_ACCOUNTS, dtype=np.uint64)
    everyone = np.arange(64 * PAGE_ACCOUNTS, dtype=np.uint64)
    write_to_every_page(everyone, ledger, 0)
    alive: deque[Image] = deque(maxlen=kept)
    before = 0
    for turn in range(1, 3_001):
        alive.append(ledger.image())
        write_to_every_page(clients, ledger, turn)
        if turn == 500:
            before = _resident_bytes()
    # If pages stayed, 2,500 images times 64 pages of 9 KB were 1.4 GB. The transactions are some 8 MB.
    assert _resident_bytes() - before < 40_000_000
    assert all(len(image) == len(everyone) for image in alive)


def test_images_alone_take_nothing() -> None:
    """Images of a ledger nobody writes to come and go."""
    bank = Bank()
    bank.deposit(range(1_000))
    for _ in range(20_000):
        bank.ledger.image()
    assert rows_of(bank.ledger.image()) == bank.rows()


@contextlib.contextmanager
def deciding(ledger: LedgerCore) -> Iterator[int]:
    """Let another thread decide so many rows of one batch."""
    rows = 2_000_000
    clients = np.zeros(rows, np.uint64)
    txs = np.random.default_rng(3).permutation(np.arange(rows, dtype=np.uint64))
    batch = Batch.from_columns(np.ones(rows, np.uint8), clients, txs, np.ones(rows, np.int64))
    thread = threading.Thread(target=ledger.decide, args=(batch,))
    thread.start()
    try:
        yield rows
    finally:
        thread.join()


def test_an_image_waits_for_another_threads_batch() -> None:
    """An image in the middle of a batch would show half of it: it is taken after the batch, and so is a second writer's turn."""
    ledger = LedgerCore(make_settings(STANDARD, tx_bits=64))
    small = Batch.from_columns(*columns([(DISPUTE, 1, 1, 0)]))
    with deciding(ledger) as rows:
        # Once there is something to see, the other thread still needs far longer than these calls.
        while ledger.transactions == 0:
            time.sleep(0)
        assert ledger.image().sequence == rows
        assert ledger.account(0) == (rows, 0, False)
        assert ledger.decide(small) == 1
    assert ledger.decided == rows + 1


def test_images_are_read_while_another_thread_applies() -> None:
    """An image taken before is read, sorted and encoded beside the writer."""
    for bits in WIDTHS:
        bank = Bank(bits)
        bank.deposit(range(0, 40_000, 3))
        image, rows = bank.ledger.image(), bank.rows()
        with deciding(bank.ledger):
            for _ in range(5):
                assert rows_of(image) == rows
                assert b"".join(encode_accounts(image, 0)).count(b"\n") == len(rows) + 1


def test_images_die_in_other_threads() -> None:
    """It does not matter which thread lets go of an image."""
    bank = Bank(64)
    bank.deposit(range(5_000))
    for _ in range(50):
        images: list[Image] = [bank.ledger.image() for _ in range(10)]
        rows = bank.rows()
        thread = threading.Thread(target=images.clear)
        last = images[-1]
        thread.start()
        bank.deposit(range(0, 5_000, 50))
        thread.join()
        assert rows_of(last) == rows


def test_counts_are_read_only() -> None:
    """Nobody changes an image from outside."""
    image: Any = LedgerCore().image()
    with pytest.raises(AttributeError):
        image.locked_accounts = 1
