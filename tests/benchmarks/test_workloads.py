"""The workloads of the benchmarks: the same for a seed, and what they say they are."""

from __future__ import annotations

import csv
import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from benchmarks.workloads import (
    CHARGEBACK,
    DEPOSIT,
    DISPUTE,
    ID_KINDS,
    MIXES,
    POPULARITIES,
    RESOLVE,
    WITHDRAWAL,
    Columns,
    Workload,
    churn,
    csv_bytes,
    csv_file,
    make_accounts,
    make_columns,
    make_deposits,
    ndjson_bytes,
    unique_ids,
)

from benchmarks import workloads
from holdfast.domain.amount import parse_units
from holdfast.domain.model import Model
from holdfast.domain.outcome import Outcome
from holdfast.domain.settings import make_settings
from holdfast.domain.transaction import TransactionType
from holdfast.kernel.ndjson.decoder import NdjsonDecoder

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

ROWS = 5_000
EVERY_MIX = [Workload(ROWS, clients=200, mix=mix) for mix in MIXES]
EVERY_KIND = [
    *EVERY_MIX,
    *(Workload(ROWS, clients=200, ids=kind) for kind in ID_KINDS),
    *(Workload(ROWS, clients=200, popularity=popularity) for popularity in POPULARITIES),
    Workload(ROWS, clients=1),
    Workload(ROWS, clients=65_536, mix="mixed", separator=", "),
]
SMALL = [Workload(rows, mix=mix) for rows in (0, 1, 2, 10) for mix in MIXES]


def name_of(workload: Workload) -> str:
    """Name a test's case."""
    return workload.name


def same(one: Columns, other: Columns) -> bool:
    """Whether all four columns are equal."""
    pairs: list[tuple[NDArray[Any], NDArray[Any]]] = list(zip(one, other, strict=True))
    return all(np.array_equal(mine, its) for mine, its in pairs)


def read_back(text: bytes, separator: str) -> list[tuple[int, int, int, int]]:
    """Read a CSV row by row, the slow way."""
    lines = text.decode().splitlines()
    assert lines[0] == separator.join(("type", "client", "tx", "amount"))
    return [
        (TransactionType[type_.upper()], int(client), int(tx), parse_units(amount) if amount else 0)
        for type_, client, tx, amount in csv.reader(lines[1:], skipinitialspace=True)
    ]


@pytest.mark.parametrize("workload", EVERY_KIND, ids=name_of)
def test_seed_decides_everything(workload: Workload) -> None:
    """The same parameters give the same rows; another seed gives others."""
    columns = make_columns(workload)
    assert same(columns, make_columns(workload))
    assert not same(columns, make_columns(replace(workload, seed=workload.seed + 1)))


@pytest.mark.parametrize("workload", EVERY_KIND, ids=name_of)
def test_ndjson_has_the_same_rows(workload: Workload) -> None:
    """What is written as NDJSON decodes to the columns."""
    columns = make_columns(workload)
    decoder = NdjsonDecoder(make_settings(client_bits=64, tx_bits=64))
    batches = [batch for piece in ndjson_bytes(columns) for batch in decoder.feed(piece)]
    batches += [batch for batch in (decoder.finish(),) if batch is not None]
    amounts = columns.amounts.copy()
    amounts[columns.types > WITHDRAWAL] = 0
    expected = Columns(columns.types, columns.clients, columns.txs, amounts)
    for name in ("types", "clients", "txs", "amounts"):
        found: NDArray[Any] = np.concatenate([getattr(batch, name) for batch in batches])
        assert np.array_equal(found, getattr(expected, name))


PINNED = b"""\
type,client,tx,amount
deposit,2,2953697901,949
deposit,2,1323811302,249.23
dispute,2,1323811302,
resolve,2,1323811302,
deposit,0,4061340446,311.9
deposit,0,4003033437,870
"""


def test_rows_never_change_unnoticed() -> None:
    """This test fails if a seed gives other rows: raise VERSION then, or cached files are stale."""
    text = b"".join(csv_bytes(make_columns(Workload(6, clients=3, mix="lookup-heavy", ids="sparse"))))
    assert (workloads.VERSION, text) == (1, PINNED)


@pytest.mark.parametrize("workload", [*EVERY_KIND, *SMALL], ids=name_of)
def test_text_agrees_with_columns(workload: Workload) -> None:
    """The CSV says what the columns say."""
    columns = make_columns(workload)
    text = b"".join(csv_bytes(columns, workload.separator))
    assert read_back(text, workload.separator) == list(
        zip(*(column.tolist() for column in columns), strict=True)
    )


@pytest.mark.parametrize("workload", EVERY_MIX, ids=name_of)
def test_mix_is_what_it_says(workload: Workload) -> None:
    """The share of each type is that of the mix, except for settlements that would find no dispute."""
    deposits, withdrawals, disputes, settlements = MIXES[workload.mix]
    types = make_columns(workload).types
    for type_, share in ((DEPOSIT, deposits), (WITHDRAWAL, withdrawals), (DISPUTE, disputes)):
        assert np.count_nonzero(types == type_) / ROWS == pytest.approx(share / 100, abs=0.03)
    assert np.count_nonzero(types >= RESOLVE) / ROWS == pytest.approx(settlements / 100, abs=0.03)


@pytest.mark.parametrize("workload", [*EVERY_KIND, *SMALL], ids=name_of)
def test_references_exist(workload: Workload) -> None:
    """A dispute names an earlier deposit of its client, a settlement a dispute not settled before."""
    deposits: set[tuple[int, int]] = set()
    waiting: dict[tuple[int, int], int] = {}
    columns = make_columns(workload)
    for type_, client, tx in zip(*(column.tolist() for column in columns[:3]), strict=True):
        key = (client, tx)
        if type_ == DEPOSIT:
            deposits.add(key)
        elif type_ == DISPUTE:
            assert key in deposits
            waiting[key] = waiting.get(key, 0) + 1
        elif type_ >= RESOLVE:
            assert waiting.get(key, 0) > 0
            waiting[key] -= 1


@pytest.mark.parametrize("workload", EVERY_MIX, ids=name_of)
def test_most_rows_are_applied_and_most_accounts_stay_open(workload: Workload) -> None:
    """Most rows are applied, and few accounts are locked."""
    model, applied = Model(), 0
    columns = make_columns(workload)
    for type_, client, tx, units in zip(*(column.tolist() for column in columns), strict=True):
        applied += model.apply(TransactionType(type_), client, tx, units) is Outcome.APPLIED
    accounts = model.accounts()
    assert applied / ROWS > 0.75
    assert sum(account.locked for account in accounts) <= len(accounts) / 50
    if MIXES[workload.mix][3] >= 10:
        assert np.any(columns.types == CHARGEBACK)


@pytest.mark.parametrize("kind", ID_KINDS)
def test_ids_never_repeat_and_can_be_made_in_pieces(kind: str) -> None:
    """A stream can be made piece by piece, with ids that fit their width."""
    ids = unique_ids(0, 100_000, kind)
    assert len(np.unique(ids)) == len(ids)
    assert np.array_equal(ids, np.concatenate([unique_ids(0, 777, kind), unique_ids(777, 100_000, kind)]))
    assert int(ids.max()) < (2**64 if kind == "wide" else 2**32)
    assert np.array_equal(ids, np.sort(ids)) == (kind == "dense")


def test_zipf_clients_are_hot() -> None:
    """One client in a hundred has a large part of the transactions, the uniform one in a hundred has not."""
    hottest = {}
    for popularity in POPULARITIES:
        clients = make_columns(Workload(20_000, clients=1000, mix="deposits", popularity=popularity)).clients
        counts = np.sort(np.bincount(clients.astype(np.int64), minlength=1000))
        hottest[popularity] = counts[-10:].sum() / len(clients)
    assert hottest["zipf"] > 0.4
    assert hottest["uniform"] < 0.05


def test_amounts_have_all_numbers_of_decimals() -> None:
    """Amounts are positive and have from none to four decimals."""
    amounts = make_columns(Workload(ROWS, mix="deposits")).amounts
    assert amounts.min() > 0
    for scale in (1, 10, 100, 1000, 10_000):
        assert np.any((amounts % scale == 0) & (amounts % (scale * 10) != 0))


@pytest.mark.parametrize("wide", [False, True])
def test_accounts_are_one_for_each_row(wide: bool) -> None:
    """As many accounts as rows, in any number of pieces."""
    clients = np.concatenate(
        [make_accounts(0, 40_000, wide).clients, make_accounts(40_000, 65_536, wide).clients]
    )
    assert len(np.unique(clients)) == 65_536
    assert wide or int(clients.max()) == 65_535


def test_endless_deposits_can_be_made_in_pieces() -> None:
    """Two pieces make the whole."""
    whole, first, second = make_deposits(0, 9000), make_deposits(0, 5000), make_deposits(5000, 9000)
    assert same(whole.slice(0, 5000), first)
    assert same(whole.slice(5000, 9000), second)


def test_file_is_made_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the whole CSV, no unfinished file is left, and the next caller gets the same file."""
    monkeypatch.setattr(workloads, "CACHE", str(tmp_path))
    workload = Workload(1000)
    path = csv_file(workload)
    assert os.listdir(tmp_path) == [f"{workload.name}.csv"]
    with open(path, "rb") as file:
        assert file.read() == b"".join(csv_bytes(make_columns(workload)))
    made = os.stat(path)
    assert csv_file(workload) == path
    assert os.stat(path) == made


def test_churn_records_little() -> None:
    """Whatever its length, the stream records the same few deposits, and every row of it is applied."""
    text = b"".join(churn(3_000_000, deposits=50))
    assert 2_999_900 < len(text) <= 3_000_000
    rows = read_back(text, ",")
    assert sum(type_ == DEPOSIT for type_, *_ in rows) == 50
    model = Model()
    outcomes = {model.apply(TransactionType(type_), *rest) for type_, *rest in rows[:20_000]}
    assert outcomes == {Outcome.APPLIED}
