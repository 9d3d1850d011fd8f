"""Shards: what they guarantee, sentence by sentence; the kernel's routing; the merged accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast import Action, Deposit, Dispute, Engine, Outcome, PolicyAbort, TablePolicy
from holdfast.kernel import routing
from holdfast.kernel.batch import Batch
from holdfast.kernel.tally import STOP, Tally
from holdfast.streaming import ShardOverlapError, Shards, Source, StreamProcessor
from scenarios import columns
from strategies import rules, transaction_streams
from streaming.sending import HEADER, deposits, model_of, run, text_of, waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from holdfast import Rules
    from holdfast.domain.transaction import Transaction
    from scenarios import TransactionRow


def clients_of(shards: Shards, shard: int, count: int) -> list[int]:
    """Give clients that belong to a shard."""
    return [client for client in range(1_000) if shards.number_of(client) == shard][:count]


def decide(shards: Shards, transactions: Sequence[Transaction]) -> list[Outcome]:
    """Apply transactions to shards, one after the other; give what became of each."""
    seen: list[Outcome] = []
    for transaction in transactions:
        report = run(StreamProcessor(shards).merge([[transaction]]))
        seen.append(next(iter(report.refused_by_outcome), Outcome.APPLIED))
    return seen


# --- the kernel's part ---


@given(transaction_streams(client_bits=64), st.integers(1, 9), st.data())
def test_split_and_gather_keep_the_order(
    rows: list[TransactionRow], shards: int, data: st.DataObject
) -> None:
    """Every row comes to its client's shard, in order, and its outcome comes back to it; counts are those of one ledger."""
    batch = Batch.from_columns(*columns(rows))
    start = data.draw(st.integers(0, len(rows)))
    stop = data.draw(st.integers(start, len(rows)))
    parts = routing.split(batch, start, stop, shards)
    for number, part in enumerate(parts):
        expected = [row for row in rows[start:stop] if routing.shard_of(row[1], shards) == number]
        seen = (
            [] if part is None else list(zip(part.types, part.clients, part.txs, part.amounts, strict=True))
        )
        assert seen == expected
    engines = [Engine(client_bits=64) for _ in range(shards)]
    outcomes: list[list[int]] = []
    for engine, part in zip(engines, parts, strict=True):
        if part is not None:
            engine.decide(part, 0, part.rows, Tally(), None, 0)
        outcomes.append([] if part is None else list(part.outcomes))
    tally = Tally()
    assert routing.gather(batch, start, parts, tally) == tally.rows == stop - start
    expected_codes = [outcomes[routing.shard_of(row[1], shards)].pop(0) for row in rows[start:stop]]
    assert list(batch.outcomes) == [0] * start + expected_codes + [0] * (len(rows) - stop)
    assert tally.refused == sum(code != Outcome.APPLIED for code in expected_codes)
    assert tally.refused_by_code() == {
        code: expected_codes.count(code) for code in sorted(set(expected_codes) - {Outcome.APPLIED})
    }


@given(transaction_streams(client_bits=32), st.integers(1, 9))
def test_runs_cover_the_rows(rows: list[TransactionRow], shards: int) -> None:
    """Stretches of rows of one shard are contiguous, from the first row to the last, and as long as possible."""
    batch = Batch.from_columns(*columns(rows))
    at, last = 0, -1
    for shard, stop in routing.runs(batch, 0, len(rows), shards):
        assert at < stop
        assert shard != last
        assert {routing.shard_of(row[1], shards) for row in rows[at:stop]} == {shard}
        at, last = stop, shard
    assert at == len(rows)


def test_routing_checks_what_it_is_given() -> None:
    """Rows and shards out of range are errors, and so are parts of another batch."""
    batch = Batch.from_columns(*columns([(1, 1, 1, 1)]))
    with pytest.raises(ValueError, match="shards is 1 to 256, not 0"):
        routing.shard_of(1, 0)
    with pytest.raises(ValueError, match="shards is 1 to 256, not 257"):
        routing.split(batch, 0, 1, 257)
    with pytest.raises(IndexError):
        routing.split(batch, 0, 2, 2)
    with pytest.raises(IndexError):
        routing.runs(batch, 1, 0, 2)
    with pytest.raises(IndexError):
        routing.gather(batch, 1, routing.split(batch, 0, 1, 2), Tally())
    clients = [client for client in range(100) if routing.shard_of(client, 2) == 0][:4]
    others = Batch.from_columns(*columns([(1, client, 1, 1) for client in clients]))
    with pytest.raises(ValueError, match="not split from these rows"):
        routing.gather(others, 0, routing.split(others, 0, 4, 2)[::-1], Tally())


def test_tallies_that_may_stop() -> None:
    """A tally without actions never stops, one with actions may."""
    assert not Tally().may_stop()
    assert Tally(bytes([0] * 40 + [STOP] + [0] * 215)).may_stop()


def test_clients_spread_evenly() -> None:
    """Consecutive ids, and multiples of a power of two, spread evenly over the shards."""
    for step in (1, 2**16, 2**32):
        counts = [0] * 4
        for client in range(4_000):
            counts[routing.shard_of(client * step, 4)] += 1
        assert all(800 <= count <= 1_200 for count in counts)


# --- by client ---


@given(transaction_streams(), rules(), st.integers(1, 5), st.booleans())
def test_accounts_are_those_of_one_engine_while_tx_ids_are_unique(
    rows: list[TransactionRow], profile: Rules, count: int, may_stop: bool
) -> None:
    """So are the outcomes, but for CLIENT_MISMATCH and TX_NOT_FOUND; whatever the policy."""
    # A tx is its first client's: what others send under the same id is left out, references stay.
    owners: dict[int, int] = {}
    rows = [row for row in rows if row[0] > 2 or owners.setdefault(row[2], row[1]) == row[1]]
    shards = Shards(count, lambda: Engine(profile))
    seen: dict[int, Outcome] = {}

    def note(rejection: object) -> Action:
        seen[rejection.line - 2] = rejection.outcome  # type: ignore[attr-defined]
        return Action.SKIP

    policy = TablePolicy(Action.CALLBACK, callback=note) if may_stop else None
    report = run(StreamProcessor(shards, policy=policy).merge([[HEADER + text_of(rows)]]))
    expected, accounts = model_of(rows, profile)
    assert list(shards.accounts()) == accounts
    assert report.rows == shards.decided == len(rows)
    alike = {Outcome.CLIENT_MISMATCH: Outcome.TX_NOT_FOUND}
    counts: dict[Outcome, int] = {}
    for outcome, count_ in report.refused_by_outcome.items():
        counts[alike.get(outcome, outcome)] = counts.get(alike.get(outcome, outcome), 0) + count_
    plain = [alike.get(outcome, outcome) for outcome in expected if outcome is not Outcome.APPLIED]
    assert counts == {outcome: plain.count(outcome) for outcome in plain}
    if may_stop:
        refused = {row: out for row, out in enumerate(expected) if out is not Outcome.APPLIED}
        assert {row: alike.get(out, out) for row, out in seen.items()} == {
            row: alike.get(out, out) for row, out in refused.items()
        }


def test_a_tx_id_is_unique_within_a_shard() -> None:
    """A tx id used again is refused for a client of the same shard, and applied for one of another shard."""
    shards = Shards(2)
    (one, two), (other, _) = clients_of(shards, 0, 2), clients_of(shards, 1, 2)
    outcomes = decide(shards, [Deposit(one, 1, "5"), Deposit(two, 1, "5"), Deposit(other, 1, "5")])
    assert outcomes == [Outcome.APPLIED, Outcome.TX_ID_REUSED, Outcome.APPLIED]
    assert [account.client for account in shards.accounts() if account.total] == sorted([one, other])


def test_a_client_s_own_duplicates_are_always_found() -> None:
    """The same client is always in the same shard."""
    shards = Shards(5)
    for client in range(20):
        again = [Deposit(client, client, "5"), Deposit(client, client, "5"), Deposit(client, client, "6")]
        expected = [Outcome.APPLIED, Outcome.DUPLICATE_TX, Outcome.TX_ID_REUSED]
        assert decide(shards, again) == expected


def test_a_stranger_s_dispute_is_refused_either_way() -> None:
    """A dispute of another client's transaction is a CLIENT_MISMATCH within a shard and a TX_NOT_FOUND across shards."""
    shards = Shards(2)
    (one, two), (other, _) = clients_of(shards, 0, 2), clients_of(shards, 1, 2)
    outcomes = decide(shards, [Deposit(one, 1, "5"), Dispute(two, 1), Dispute(other, 1)])
    assert outcomes == [Outcome.APPLIED, Outcome.CLIENT_MISMATCH, Outcome.TX_NOT_FOUND]
    assert [(each.client, each.held_units) for each in shards.accounts()] == [(one, 0)]


def test_behind_the_row_at_which_a_policy_stops_nothing_is_applied() -> None:
    """Nothing after the row is applied in any shard, and the rows before it stand, as with one engine."""
    rows = b"".join(b"deposit,%d,%d,1\n" % (client, client) for client in range(100))
    text = HEADER + rows + b"withdrawal,5,200,9\n" + rows.replace(b",1\n", b",2\n")
    shards = Shards(4)
    processor = StreamProcessor(shards, policy=TablePolicy(Action.ABORT))
    with pytest.raises(PolicyAbort, match="line 102"):
        run(processor.chain([text]))
    assert processor.report()[:2] == (101, 100)
    assert {account.total_units for account in shards.accounts()} == {10_000}
    assert len(shards.accounts()) == 100


def test_malformed_rows_are_counted_once() -> None:
    """A row without a client is decided in some shard, and shown at its place."""
    shards = Shards(3)
    report = run(
        StreamProcessor(shards).merge([[HEADER + b"x,1,1,1\ndeposit,99999999,1,1\ndeposit,2,2,1\n\xff\n"]])
    )
    assert (report.rows, report.applied, shards.decided) == (4, 1, 4)
    assert report.refused_by_outcome == {
        Outcome.MALFORMED_ROW: 1,
        Outcome.UNKNOWN_TYPE: 1,
        Outcome.INVALID_CLIENT: 1,
    }


# --- by source ---


def names_of(shards: Shards, shard: int, count: int) -> list[str]:
    """Give names of sources that go to a shard."""
    return [name for name in map(str, range(1_000)) if shards.number_of(name) == shard][:count]


def test_columns_are_checked_in_every_shard() -> None:
    """An invalid type is refused, even with the widest ids."""
    shards = Shards(3, lambda: Engine(client_bits=64, tx_bits=64))
    batch = Batch.from_columns(*columns([(0, 1, 1, 5), (1, 1, 2, 7), (6, 1, 2, 0), (1, 2, 3, 1)]))
    assert shards.decide(batch, 0, 4, Tally()) == 4
    assert list(batch.outcomes) == [Outcome.UNKNOWN_TYPE, 1, Outcome.UNKNOWN_TYPE, 1]
    assert [account.total_units for account in shards.accounts()] == [7, 1]


# 19 and 23 divide the checksum of the name "1", as of the empty one.
@pytest.mark.parametrize("count", [1, 2, 3, 19, 23])
def test_sources_go_to_the_shard_of_their_names(count: int) -> None:
    """All rows of a source meet in one engine, and sources whose clients don't overlap give one set of accounts."""
    shards = Shards(count, by="source")
    sources = {str(n): waiting([deposits(n, 10 * n, 10)]) for n in range(9)}
    report = run(StreamProcessor(shards).merge(sources))
    assert report.applied == 90
    for number, engine in enumerate(shards.engines):
        expected = [n for n in range(9) if shards.number_of(str(n)) == number]
        assert [account.client for account in engine.accounts()] == expected
    assert [account.client for account in shards.accounts()] == list(range(9))


def test_a_client_in_two_shards_is_an_error_that_names_it() -> None:
    """Sources of one shard may share clients. If sources of several do, reading the accounts is an error."""
    shards = Shards(2, by="source")
    (one, two), (other, _) = names_of(shards, 0, 2), names_of(shards, 1, 2)
    processor = StreamProcessor(shards)
    run(processor.merge({one: [deposits(7, 1, 1)], two: [deposits(7, 2, 1)], "x": [HEADER]}))
    assert shards.accounts()[7].total_units == 2
    run(processor.merge([Source([deposits(7, 3, 1)], name=other)]))
    accounts = shards.accounts()
    for read in (accounts.to_csv, lambda: list(accounts), lambda: accounts.get(7), lambda: accounts[7]):
        with pytest.raises(ShardOverlapError, match="client 7 has accounts in several shards") as caught:
            read()
        assert caught.value.client == 7


def test_a_tx_id_is_unique_within_a_shard_by_source_too() -> None:
    """The same id in sources of different shards is applied twice."""
    shards = Shards(2, by="source")
    (one, two), (other, _) = names_of(shards, 0, 2), names_of(shards, 1, 2)
    report = run(
        StreamProcessor(shards).merge(
            {one: [deposits(1, 5, 1)], two: [deposits(2, 5, 1)], other: [deposits(3, 5, 1)]}
        )
    )
    assert (report.applied, report.refused_by_outcome) == (2, {Outcome.TX_ID_REUSED: 1})


# --- the whole ---


def test_merged_accounts_are_accounts() -> None:
    """Iterating, looking up and writing give what one engine's accounts give; a later row changes nothing."""
    text = (
        HEADER
        + b"".join(b"deposit,%d,%d,1.5\n" % (client * 7 % 65_536, client) for client in range(12_000))
        + b"dispute,7,1,\nchargeback,7,1,\n"
    )
    one, shards = Engine(), Shards(3)
    for target in (one, shards):
        run(StreamProcessor(target).merge([text]))
    expected, accounts = one.accounts(), shards.accounts()
    run(StreamProcessor(shards).merge([deposits(1, 2**30, 1)]))
    assert accounts.to_csv() == expected.to_csv()
    assert list(accounts) == list(expected)
    assert (len(accounts), accounts.locked_accounts, accounts.sequence) == (12_000, 1, 12_002)
    assert accounts[7] == expected[7]
    assert 7 in accounts
    assert 1 not in accounts
    assert accounts.get(1) is None
    with pytest.raises(KeyError):
        accounts[1]
    assert shards.totals()[:4] == (12_001, 1, 12_001, 0)
    assert len(shards) == 3


def test_settings_that_cannot_be() -> None:
    """Shards are chosen by client or by source, and asked for accordingly."""
    with pytest.raises(ValueError, match="by client or by source, not by 'row'"):
        Shards(2, by="row")
    with pytest.raises(ValueError, match="shards is 1 to 256"):
        Shards(0)
    with pytest.raises(TypeError, match="chosen by client, and 'a' is not a client id"):
        Shards(2).number_of("a")
    with pytest.raises(TypeError, match="chosen by source, and 1 is not a source's name"):
        Shards(2, by="source").number_of(1)


def test_shards_are_alike_and_apart() -> None:
    """Engines that read amounts differently, or one engine twice, would move wrong money."""
    decimals = iter((2, 4))
    with pytest.raises(ValueError, match="same settings"):
        Shards(2, lambda: Engine(decimals=next(decimals)))
    engine = Engine()
    with pytest.raises(ValueError, match="engine of its own"):
        Shards(2, lambda: engine)
