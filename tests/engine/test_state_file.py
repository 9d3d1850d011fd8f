"""An engine's whole state as a file: saved while rows go on, loaded again, and refused if it is damaged."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import pytest

from holdfast import Deposit, Engine, InputError, Outcome
from holdfast.kernel.batch import Batch
from scenarios import columns

if TYPE_CHECKING:
    from pathlib import Path

    from scenarios import TransactionRow


def rows(count: int, seed: int, tx_bits: int) -> list[TransactionRow]:
    """Draw rows over neighbouring and scattered ids."""
    rng = random.Random(seed)
    txs = [*range(3000), *(rng.randrange(2**tx_bits) for _ in range(3000))]
    return [
        (rng.choice((1, 1, 1, 2, 3, 4, 5)), rng.randrange(50), rng.choice(txs), rng.randrange(1, 1000))
        for _ in range(count)
    ]


@pytest.mark.parametrize("profile", ["standard", "cards"])
@pytest.mark.parametrize(("client_bits", "tx_bits"), [(16, 32), (32, 64)])
def test_a_state_comes_back(tmp_path: Path, profile: str, client_bits: int, tx_bits: int) -> None:
    """The loaded engine and the saved one decide all further rows alike; both can be saved again."""
    path = tmp_path / "state"
    engine = Engine(profile, client_bits=client_bits, tx_bits=tx_bits)
    for round_ in range(3):
        engine.apply_batch(*columns(rows(4000, round_, tx_bits)))
        engine.save(path)
        loaded = Engine.load(path, batch_rows=100)
        assert loaded.settings == engine.settings._replace(batch_rows=100)
        assert loaded.accounts().to_csv() == engine.accounts().to_csv()
        assert loaded.totals()[:6] == engine.totals()[:6]
        probe = rows(3000, 99 + round_, tx_bits)
        assert loaded.apply_batch(*columns(probe)) == engine.apply_batch(*columns(probe))
        loaded.save(path)
        engine = Engine.load(path)
    assert engine.decided == 3 * 7000


def test_rows_go_on_while_it_is_saved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file has the state at one point in time."""
    engine = Engine()
    engine.apply_batch(*columns([(1, 1, tx, 5) for tx in range(20_000)]))
    before = engine.accounts().to_csv()
    from holdfast.engine import state_file  # noqa: PLC0415  # to be watched

    parts = state_file._parts

    def meddling(*arguments: object) -> object:
        engine.apply_batch(*columns([(3, 1, tx, 0) for tx in range(0, 20_000, 7)]))
        return parts(*arguments)  # type: ignore[arg-type]  # as they came

    monkeypatch.setattr(state_file, "_parts", meddling)
    engine.save(tmp_path / "state")
    assert engine.accounts().to_csv() != before
    loaded = Engine.load(tmp_path / "state")
    assert loaded.accounts().to_csv() == before
    assert loaded.totals().open_disputes == 0


def test_a_damaged_state_is_refused(tmp_path: Path) -> None:
    """Every byte of it is guarded, and so is its end."""
    path = tmp_path / "state"
    engine = Engine()
    engine.apply(Deposit(1, 1, "1"))
    engine.save(path)
    good = path.read_bytes()
    for place in range(len(good)):
        path.write_bytes(good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :])
        with pytest.raises(InputError, match=r"saved state|saved this state"):
            Engine.load(path)
    for bad in (good[:-1], good + b"\0", b"", b"type,client,tx,amount\n"):
        path.write_bytes(bad)
        with pytest.raises(InputError, match="saved state"):
            Engine.load(path)
    path.write_bytes(good)
    assert Engine.load(path).apply(Deposit(1, 1, "1")) is Outcome.DUPLICATE_TX
    with pytest.raises(FileNotFoundError):
        Engine.load(tmp_path / "nowhere")


def test_a_batch_is_decided_by_both(tmp_path: Path) -> None:
    """The way in of a loaded engine is its own ledger's."""
    engine = Engine()
    engine.save(tmp_path / "state")
    loaded = Engine.load(tmp_path / "state")
    batch = Batch.from_columns(*columns([(1, 1, 1, 5)]))
    assert loaded.decide(batch, 0, 1, None, None, 0) == 1
    assert (loaded.decided, engine.decided) == (1, 0)
