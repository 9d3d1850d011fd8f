"""The kernel's ledger is the model: row by row, codes and accounts, on streams made to tell them apart."""

from __future__ import annotations

import itertools
import random
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from big_streams import BIG_STREAMS, BigStream, seeded_transactions
from csv_strategies import CsvCase, csv_cases
from holdfast.domain.model import Model
from holdfast.domain.outcome import UNDECIDED, Outcome, Phase
from holdfast.domain.rules import CARDS, KNOBS, PROFILES, STANDARD, Rules, make_rules
from holdfast.domain.settings import make_settings
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.batch import Batch
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.csv.encoder import encode_accounts
from holdfast.kernel.ledger.ledger import LedgerCore
from knob_scenarios import LEDGER_KNOBS
from reference_decoder import UnusableHeaderError, decode
from scenarios import AccountRow, TransactionRow, account_rows, columns
from strategies import cut, cuts, rules, transaction_streams

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from holdfast.kernel.ledger.image import Image

SEEDS = (1, 2)
BIG_ROWS = 60_000


class Pair:
    """A model and a ledger that see the same rows and are compared after every batch."""

    def __init__(self, profile: Rules, client_bits: int = 16, tx_bits: int = 32) -> None:
        self.profile = profile
        self.model = Model(profile)
        self.ledger = LedgerCore(make_settings(profile, client_bits=client_bits, tx_bits=tx_bits))
        self.seen: dict[Outcome, int] = {}
        self.recorded = 0

    def apply(self, rows: Sequence[TransactionRow]) -> None:
        """Apply rows to both as one batch."""
        batch = Batch.from_columns(*columns(rows))
        assert self.ledger.decide(batch) == len(rows)
        expected = [self.model.apply(TransactionType(type_), *rest) for type_, *rest in rows]
        if bytes(batch.outcomes) != bytes(expected):
            self.explain(rows, expected, list(batch.outcomes))
        for (type_, *_), outcome in zip(rows, expected, strict=True):
            self.seen[outcome] = self.seen.get(outcome, 0) + 1
            self.recorded += outcome is Outcome.APPLIED and type_ <= TransactionType.WITHDRAWAL

    def explain(self, rows: Sequence[TransactionRow], expected: list[Outcome], found: list[int]) -> None:
        """Fail with the first row on which the two disagree."""
        for place, (row, wanted, got) in enumerate(zip(rows, expected, found, strict=True)):
            assert got == wanted, f"row {place}, {row}: model {wanted!r}, kernel {got}, {self.profile}"

    def model_accounts(self) -> list[AccountRow]:
        """Give the model's accounts."""
        return [
            (acc.client, acc.available_units, acc.held_units, acc.locked) for acc in self.model.accounts()
        ]

    def check_accounts(self) -> None:
        """Compare all accounts, by image and one by one, and the counts."""
        expected = self.model_accounts()
        assert image_rows(self.ledger.image()) == expected
        assert self.ledger.accounts == len(expected)
        for client, *balances in expected:
            found = self.ledger.account(client)
            assert found is not None
            assert list(found) == balances
        if self.profile.refused_tx_id == "reusable":
            assert self.ledger.transactions == self.recorded


def image_rows(image: Image) -> list[AccountRow]:
    """Read an image back."""
    return account_rows(encode_accounts(image, 0))


def replay(pair: Pair, pieces: Iterable[Sequence[TransactionRow]]) -> None:
    """Apply batches to both sides and compare everything at the end."""
    for rows in pieces:
        pair.apply(rows)
    pair.check_accounts()


@given(rules(), transaction_streams(16, 32), cuts())
def test_narrow_ids(profile: Rules, rows: list[TransactionRow], places: list[int]) -> None:
    """With 16-bit clients and 32-bit transactions, however the stream is cut into batches."""
    replay(Pair(profile, 16, 32), cut(rows, places))


@given(rules(), transaction_streams(64, 64), cuts())
def test_wide_ids(profile: Rules, rows: list[TransactionRow], places: list[int]) -> None:
    """With 64-bit ids, both ends of the range included."""
    replay(Pair(profile, 64, 64), cut(rows, places))


@given(rules(), st.data(), st.sampled_from([16, 32, 64]), st.sampled_from([16, 32, 64]))
def test_mixed_widths(profile: Rules, data: st.DataObject, client_bits: int, tx_bits: int) -> None:
    """With every pair of widths."""
    replay(Pair(profile, client_bits, tx_bits), [data.draw(transaction_streams(client_bits, tx_bits))])


@pytest.mark.parametrize("profile", PROFILES)
@given(rows=transaction_streams(), places=cuts())
def test_named_profiles(profile: str, rows: list[TransactionRow], places: list[int]) -> None:
    """With each of the named profiles."""
    replay(Pair(PROFILES[profile]), cut(rows, places))


@given(transaction_streams(), st.sampled_from([7, 100, 65_535]))
def test_unknown_accounts(rows: list[TransactionRow], client: int) -> None:
    """Exactly the clients of the model have accounts."""
    pair = Pair(STANDARD)
    pair.apply(rows)
    known = {account.client for account in pair.model.accounts()}
    assert (pair.ledger.account(client) is not None) == (client in known)


def test_every_combination_of_knobs() -> None:
    """All 512 combinations of the ledger's knobs, each on a stream of its own."""
    combinations = itertools.product(*(KNOBS[knob] for knob in LEDGER_KNOBS))
    stream = BigStream("knobs", BIG_STREAMS[0].tx_ids, 4, weights=(30, 20, 30, 12, 8))
    for seed, values in enumerate(combinations):
        profile = make_rules(dict(zip(LEDGER_KNOBS, values, strict=True)))
        pair = Pair(profile, 16, 32)
        replay(pair, [stream.rows(seed, 300)])


@pytest.mark.parametrize("widths", [(16, 32), (64, 64)], ids=str)
def test_seeded_limits(widths: tuple[int, int]) -> None:
    """Many short streams on the limits of ids and balances, each under knobs of its own."""
    reached: set[Outcome] = set()
    for seed in range(300):
        source = random.Random(seed)
        profile = make_rules({knob: source.choice(values) for knob, values in KNOBS.items()})
        pair = Pair(profile, *widths)
        replay(pair, [seeded_transactions(seed, 150, *widths)])
        reached |= set(pair.seen)
    assert reached == {outcome for outcome in Outcome if outcome.phase is not Phase.DECODE}


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("stream", BIG_STREAMS, ids=str)
@pytest.mark.parametrize("seed", SEEDS)
def test_big_streams(stream: BigStream, profile: str, seed: int) -> None:
    """Long streams, in which the indexes grow many times over, in batches of all sizes."""
    rows = stream.rows(seed, BIG_ROWS)
    sizes = random.Random(seed)
    places = [sizes.randrange(BIG_ROWS) for _ in range(40)]
    replay(Pair(PROFILES[profile], stream.client_bits, stream.tx_bits), cut(rows, places))


def test_big_streams_reach_every_outcome() -> None:
    """Together the big streams reach all codes of the rules."""
    seen: set[Outcome] = set()
    for stream, profile in zip(BIG_STREAMS * 2, [STANDARD, CARDS] * len(BIG_STREAMS), strict=True):
        model = Model(profile)
        seen |= {model.apply(TransactionType(type_), *rest) for type_, *rest in stream.rows(7, 20_000)}
    assert seen == {outcome for outcome in Outcome if outcome.phase is not Phase.DECODE}


@given(rules(), transaction_streams(64, 64), cuts())
def test_images_stay_as_they_were(profile: Rules, rows: list[TransactionRow], places: list[int]) -> None:
    """An image taken between any two batches shows that moment for ever, with many of them alive."""
    pair = Pair(profile, 64, 64)
    taken: list[tuple[Image, list[AccountRow]]] = []
    for piece in cut(rows, places):
        taken.append((pair.ledger.image(), pair.model_accounts()))
        pair.apply(piece)
    for image, expected in taken:
        assert image_rows(image) == expected
    pair.check_accounts()


@pytest.mark.parametrize("stream", [BIG_STREAMS[1], BIG_STREAMS[3]], ids=str)
def test_images_of_big_streams(stream: BigStream) -> None:
    """Images are made and freed in any order while accounts change and their table grows."""
    pair = Pair(CARDS, stream.client_bits, stream.tx_bits)
    source = random.Random(3)
    alive: list[tuple[Image, list[AccountRow]]] = []
    for piece in cut(stream.rows(3, BIG_ROWS), [source.randrange(BIG_ROWS) for _ in range(20)]):
        alive.append((pair.ledger.image(), pair.model_accounts()))
        pair.apply(piece)
        if len(alive) > 4:
            image, expected = alive.pop(source.randrange(len(alive)))
            assert image_rows(image) == expected
    for image, expected in alive:
        assert image_rows(image) == expected
    pair.check_accounts()


def test_image_outlives_its_ledger() -> None:
    """An image is still readable when nobody holds its ledger any more."""
    pair = Pair(STANDARD)
    pair.apply(BIG_STREAMS[0].rows(1, 5_000))
    image, expected = pair.ledger.image(), pair.model_accounts()
    del pair
    assert image_rows(image) == expected


@given(rules(), csv_cases())
def test_from_bytes_to_accounts(profile: Rules, case: CsvCase) -> None:
    """Decoding and applying bytes gives the same as the reference decoder and the model."""
    try:
        rows = decode(case.data, case.config)
    except UnusableHeaderError:
        return
    model = Model(profile)
    expected = [
        row.outcome or model.apply(TransactionType(row.type), row.client, row.tx, row.amount) for row in rows
    ]
    decoder = CsvDecoder(case.config.settings(case.batch_rows))
    ledger = LedgerCore(
        make_settings(profile, client_bits=case.config.client_bits, tx_bits=case.config.tx_bits)
    )
    outcomes: list[int] = []
    for batch in (*decoder.feed(case.data), decoder.finish()):
        if batch is not None:
            ledger.decide(batch)
            outcomes.extend(batch.outcomes)
    assert UNDECIDED not in outcomes
    assert outcomes == expected
    accounts = [(acc.client, acc.available_units, acc.held_units, acc.locked) for acc in model.accounts()]
    assert image_rows(ledger.image()) == accounts
