"""The engine from Python: transactions one by one, columns, files and whatever else gives bytes, and the accounts."""

from __future__ import annotations

import gzip
import io
from array import array
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

import holdfast
from holdfast import (
    Account,
    Chargeback,
    Deposit,
    Dispute,
    Engine,
    InputError,
    Outcome,
    Resolve,
    RulesError,
    Transaction,
    Withdrawal,
)
from holdfast.domain.amount import UNITS_MAX
from holdfast.kernel.csv.encoder import CHUNK_ROWS
from scenarios import columns

if TYPE_CHECKING:
    from pathlib import Path

HEADER = b"type,client,tx,amount\n"
TWO_ROWS = HEADER + b"deposit,1,1,1.5\nwithdrawal,1,2,0.25\n"
D, W, DISPUTE, RESOLVE, CHARGEBACK = (int(type_) for type_ in holdfast.TransactionType)


def balances(engine: Engine, client: int = 1) -> tuple[int, int, bool]:
    """Give a client's available and held units and whether the account is locked."""
    account = engine.account(client)
    return account.available_units, account.held_units, account.locked


# --- one transaction ---


def test_each_type_does_what_it_says() -> None:
    """All five types applied one after the other, with the balances after each."""
    engine = Engine()
    steps: list[tuple[Transaction, tuple[int, int, bool]]] = [
        (Deposit(1, 1, "5"), (5_0000, 0, False)),
        (Deposit(1, 2, "2.5"), (7_5000, 0, False)),
        (Withdrawal(1, 3, "1"), (6_5000, 0, False)),
        (Dispute(1, 1), (1_5000, 5_0000, False)),
        (Resolve(1, 1), (6_5000, 0, False)),
        (Dispute(1, 2), (4_0000, 2_5000, False)),
        (Chargeback(1, 2), (4_0000, 0, True)),
    ]
    for transaction, expected in steps:
        assert engine.apply(transaction) is Outcome.APPLIED
        assert balances(engine) == expected


@pytest.mark.parametrize(
    ("transaction", "outcome"),
    [
        (Deposit(-1, 1, "1"), Outcome.INVALID_CLIENT),
        (Deposit(65_536, 1, "1"), Outcome.INVALID_CLIENT),
        (Deposit(2**80, 1, "1"), Outcome.INVALID_CLIENT),
        (Dispute(65_536, 1), Outcome.INVALID_CLIENT),
        (Deposit(1, -1, "1"), Outcome.INVALID_TX),
        (Deposit(1, 2**32, "1"), Outcome.INVALID_TX),
        (Chargeback(1, 2**64), Outcome.INVALID_TX),
        (Deposit(65_536, 2**32, "x"), Outcome.INVALID_CLIENT),
        (Deposit(1, 2**32, "x"), Outcome.INVALID_TX),
        (Deposit(1, 2, "x"), Outcome.INVALID_AMOUNT),
        (Deposit(1, 2, "1e5"), Outcome.INVALID_AMOUNT),
        (Withdrawal(1, 2, "1,000"), Outcome.INVALID_AMOUNT),
        (Deposit(1, 2, Decimal("NaN")), Outcome.INVALID_AMOUNT),
        (Deposit(1, 2, Decimal("-Infinity")), Outcome.INVALID_AMOUNT),
        (Deposit(1, 2, "0.00001"), Outcome.AMOUNT_TOO_PRECISE),
        (Withdrawal(1, 2, Decimal("1e-999999")), Outcome.AMOUNT_TOO_PRECISE),
        (Deposit(1, 2, "922337203685477.5808"), Outcome.AMOUNT_OUT_OF_RANGE),
        (Deposit(1, 2, UNITS_MAX + 1), Outcome.AMOUNT_OUT_OF_RANGE),
        (Deposit(1, 2, -(2**63)), Outcome.AMOUNT_OUT_OF_RANGE),
        (Deposit(1, 2, Decimal("1e999999")), Outcome.AMOUNT_OUT_OF_RANGE),
        (Deposit(1, 2, "0"), Outcome.AMOUNT_NOT_POSITIVE),
        (Deposit(1, 2, "-0.0001"), Outcome.AMOUNT_NOT_POSITIVE),
        (Deposit(1, 1, "1"), Outcome.DUPLICATE_TX),
        (Deposit(2, 1, "1"), Outcome.TX_ID_REUSED),
        (Dispute(1, 2), Outcome.TX_NOT_FOUND),
        (Dispute(2, 1), Outcome.CLIENT_MISMATCH),
        (Resolve(1, 1), Outcome.NOT_DISPUTED),
        (Withdrawal(1, 2, "1.0001"), Outcome.INSUFFICIENT_FUNDS),
        (Deposit(1, 2, UNITS_MAX), Outcome.BALANCE_OVERFLOW),
    ],
)  # fmt: skip
def test_what_is_not_applied_is_an_outcome(transaction: Transaction, outcome: Outcome) -> None:
    """A wrong transaction gives a code, never an exception, and moves no money."""
    engine = Engine()
    assert engine.apply(Deposit(1, 1, "1")) is Outcome.APPLIED
    assert engine.apply(transaction) is outcome
    assert balances(engine) == (1_0000, 0, False)
    assert engine.decided == 2


@pytest.mark.parametrize("amount", [1.5, 0.0, float("nan"), True, None, b"1", [1]])
def test_amounts_that_are_not_exact_are_type_errors(amount: Any) -> None:
    """A float is not an amount, and neither is anything else but text, Decimal or units."""
    with pytest.raises(TypeError, match="an amount is"):
        Deposit(1, 1, amount)
    with pytest.raises(TypeError, match="an amount is"):
        Withdrawal(1, 1, amount)


@pytest.mark.parametrize(
    ("amount", "units"),
    [("1.5", 1_5000), (" 1.5\t", 1_5000), (Decimal("1.50"), 1_5000), (15, 15), ("+.5", 5000)],
)
def test_amounts_are_text_decimals_or_units(amount: str | Decimal | int, units: int) -> None:
    """The three ways to write an amount give the same units."""
    engine = Engine()
    assert engine.apply(Deposit(1, 1, amount)) is Outcome.APPLIED
    assert engine.account(1).available_units == units


@pytest.mark.parametrize("bits", [16, 32, 64])
def test_ids_are_as_wide_as_configured(bits: int) -> None:
    """The largest id of a width is accepted, the next one is not; clients and txs have separate widths."""
    top = 2**bits - 1
    by_client, by_tx = Engine(client_bits=bits), Engine(tx_bits=bits)
    assert by_client.apply(Deposit(top, 1, "1")) is Outcome.APPLIED
    assert by_client.apply(Deposit(top + 1, 2, "1")) is Outcome.INVALID_CLIENT
    assert by_tx.apply(Deposit(1, top, "1")) is Outcome.APPLIED
    assert by_tx.apply(Deposit(1, top + 1, "1")) is Outcome.INVALID_TX
    assert by_client.account(top).client == top
    rows = f"deposit,{top},{2},1\ndeposit,{top + 1},3,1\n".encode()
    assert by_client.process(HEADER + rows).refused_by_outcome == {Outcome.INVALID_CLIENT: 1}
    assert by_client.account(top).available_units == 2_0000


@pytest.mark.parametrize("decimals", range(10))
def test_amounts_keep_as_many_decimals_as_configured(decimals: int) -> None:
    """The smallest amount is one unit of the last decimal, in, out, and in the CSV."""
    smallest = Decimal(1).scaleb(-decimals)
    engine = Engine(decimals=decimals)
    assert engine.apply(Deposit(1, 1, smallest)) is Outcome.APPLIED
    assert engine.apply(Deposit(1, 2, smallest / 10)) is Outcome.AMOUNT_TOO_PRECISE
    assert engine.account(1).available_units == 1
    assert engine.account(1).available == smallest
    text = f"{smallest:f}"
    zero = f"{smallest * 0:f}"
    assert engine.accounts().to_csv().decode().splitlines()[1] == f"1,{text},{zero},{text},false"


def test_rules_may_round() -> None:
    """If the rules round excess decimals, single transactions and files are rounded alike."""
    engine = Engine(holdfast.make_rules({"excess_decimals": "half_even"}), decimals=1)
    assert engine.apply(Deposit(1, 1, "0.25")) is Outcome.APPLIED
    engine.process(HEADER + b"deposit,2,2,0.25\ndeposit,3,3,0.35\n")
    assert [account.available_units for account in engine.accounts()] == [2, 2, 4]


def test_profiles_by_name(tmp_path: Path) -> None:
    """A profile is found by its name or the path of a TOML file; a name that is neither is an error."""
    own = tmp_path / "own.toml"
    own.write_text('profile = "cards"\nlocked_deposit = "refuse"\n')
    assert Engine("cards").settings.rules.locked_deposit == "accept"
    assert Engine(str(own)).settings.rules == holdfast.make_rules(
        {"locked_deposit": "refuse"}, Engine("cards").settings.rules
    )
    with pytest.raises(RulesError, match="nonesuch"):
        Engine("nonesuch")


@pytest.mark.parametrize(
    "setting",
    [
        {"decimals": 10}, {"decimals": -1}, {"client_bits": 8}, {"client_bits": 17}, {"tx_bits": 128},
        {"batch_rows": 0}, {"row_bytes_max": 0},
    ],
)  # fmt: skip
def test_settings_out_of_range_are_refused_at_once(setting: dict[str, Any]) -> None:
    """An invalid setting is an error when the engine is made, and the message names it."""
    with pytest.raises(ValueError, match=next(iter(setting)).removesuffix("_bits")):
        Engine(**setting)


# --- columns ---

ROWS = [
    (D, 1, 1, 10), (W, 1, 2, 3), (W, 1, 3, 8), (D, 2, 4, 5), (DISPUTE, 1, 1, 99), (DISPUTE, 2, 4, 0),
    (DISPUTE, 2, 4, 0), (CHARGEBACK, 2, 4, -7), (D, 2, 5, 1), (D, 1, 1, 10), (D, 65_536, 6, 1),
    (D, 1, 2**32, 1), (9, 1, 7, 1), (0, 1, 7, 1), (D, 1, 8, 0), (D, 1, 9, -(2**63)), (RESOLVE, 1, 50, 0),
]  # fmt: skip
OUTCOMES = [
    Outcome.APPLIED, Outcome.APPLIED, Outcome.INSUFFICIENT_FUNDS, Outcome.APPLIED, Outcome.INSUFFICIENT_FUNDS,
    Outcome.APPLIED, Outcome.ALREADY_DISPUTED, Outcome.APPLIED, Outcome.ACCOUNT_LOCKED, Outcome.DUPLICATE_TX,
    Outcome.INVALID_CLIENT, Outcome.INVALID_TX, Outcome.UNKNOWN_TYPE, Outcome.UNKNOWN_TYPE,
    Outcome.AMOUNT_NOT_POSITIVE, Outcome.AMOUNT_OUT_OF_RANGE, Outcome.TX_NOT_FOUND,
]  # fmt: skip


@pytest.mark.parametrize("batch_rows", [1, 2, 5, len(ROWS), 8192])
def test_columns_give_one_outcome_a_row(batch_rows: int) -> None:
    """Every row of the columns gets its code, wherever batches begin and end."""
    engine = Engine(batch_rows=batch_rows)
    assert [Outcome(code) for code in engine.apply_batch(*columns(ROWS))] == OUTCOMES
    assert [balances(engine, client) for client in (1, 2)] == [(7, 0, False), (0, 0, True)]
    assert engine.decided == len(ROWS)


# What is no type twice, and the one number that is no amount.
UNREADABLE: list[tuple[int, int, int, int]] = [
    (0, 1, 1, 5),
    (D, 1, 2, 7),
    (RESOLVE, 1, 2, 0),
    (6, 1, 2, 0),
    (200, 1, 2, 0),
    (D, 1, 3, -(2**63)),
]


@pytest.mark.parametrize(("client_bits", "tx_bits"), [(16, 32), (64, 32), (16, 64), (64, 64)])
def test_columns_are_checked_for_every_width(client_bits: int, tx_bits: int) -> None:
    """Rows that no decoder would give are refused even with the widest ids, and change nothing."""
    engine = Engine(client_bits=client_bits, tx_bits=tx_bits)
    outcomes = [Outcome(code) for code in engine.apply_batch(*columns(UNREADABLE))]
    unknown = Outcome.UNKNOWN_TYPE
    assert outcomes[:3] == [unknown, Outcome.APPLIED, Outcome.NOT_DISPUTED]
    assert outcomes[3:] == [unknown, unknown, Outcome.AMOUNT_OUT_OF_RANGE]
    assert balances(engine) == (7, 0, False)


def test_no_rows_are_no_outcomes() -> None:
    """Empty columns are valid."""
    engine = Engine()
    assert engine.apply_batch(*columns([])) == b""
    assert engine.decided == 0


def test_columns_that_are_none_are_refused_whole() -> None:
    """Columns of different lengths, of floats or with gaps are errors before anything is applied."""
    engine = Engine()
    types, clients, txs, amounts = columns(ROWS)
    with pytest.raises(ValueError, match="different lengths"):
        engine.apply_batch(types, clients, txs, amounts[:-1])
    with pytest.raises(TypeError, match="amounts"):
        engine.apply_batch(types, clients, txs, array("d", [1.0] * len(ROWS)))
    with pytest.raises(TypeError):
        engine.apply_batch(types, clients, txs, memoryview(array("q", range(2 * len(ROWS))))[::2])
    assert engine.decided == 0
    assert len(engine.accounts()) == 0


# --- accounts ---


def test_account_is_as_of_now() -> None:
    """A looked-up account has exact Decimals and does not change afterwards; a client without one is a KeyError."""
    engine = Engine()
    engine.apply(Deposit(1, 1, "1.5"))
    account = engine.account(1)
    engine.apply(Deposit(1, 2, "1"))
    assert account == Account(1, 1_5000, 0, locked=False)
    assert (str(account.available), str(account.held), str(account.total)) == ("1.5000", "0.0000", "1.5000")
    assert engine.account(1).available == Decimal("2.5")
    for client in (2, -1, 65_536, 2**64):
        with pytest.raises(KeyError):
            engine.account(client)


def test_a_refused_deposit_creates_the_account() -> None:
    """An account begins with the first well-formed deposit or withdrawal, even if that is refused."""
    engine = Engine()
    engine.apply(Withdrawal(1, 1, "1"))
    engine.apply(Deposit(2, 2, "x"))
    engine.apply(Dispute(3, 3))
    assert [account.client for account in engine.accounts()] == [1]


@pytest.mark.parametrize("client_bits", [16, 64])
def test_an_image_stays_as_it_is(client_bits: int) -> None:
    """An image shows its own point in time in every method, whatever is applied later."""
    engine = Engine(client_bits=client_bits)
    engine.apply_batch(*columns([(D, client, client, client + 1) for client in range(2_000)]))
    image = engine.accounts()
    before = image.to_csv()
    engine.apply_batch(*columns([(D, client, 10_000 + client, 5) for client in range(4_000)]))
    engine.apply_batch(*columns([(DISPUTE, 7, 7, 0), (CHARGEBACK, 7, 7, 0)]))
    assert image.to_csv() == before
    assert (len(image), image.locked_accounts, image.sequence) == (2_000, 0, 2_000)
    assert [account.available_units for account in image] == list(range(1, 2_001))
    assert image[7] == Account(7, 8, 0, locked=False)
    assert 3_000 not in image
    later = engine.accounts()
    assert (len(later), later.locked_accounts, later.sequence) == (4_000, 1, 6_002)
    assert later[7] == Account(7, 5, 0, locked=True)


def test_accounts_are_a_sorted_mapping() -> None:
    """Accounts are sorted and found by client; a value that is not a client is not in the image."""
    engine = Engine(client_bits=64)
    clients = [2**64 - 1, 3, 2**40, 1]
    engine.apply_batch(*columns([(D, client, tx, 1) for tx, client in enumerate(clients)]))
    accounts = engine.accounts()
    assert [account.client for account in accounts] == sorted(clients)
    assert all(client in accounts and accounts[client].client == client for client in clients)
    assert not any(stranger in accounts for stranger in (2, -1, 2**64, "1", 1.0, None))
    assert accounts.get(2) is None
    with pytest.raises(KeyError, match="2"):
        accounts[2]


def test_accounts_as_csv(tmp_path: Path) -> None:
    """The CSV is the same as bytes, in chunks, in a file object and at a path."""
    engine = Engine()
    engine.process(HEADER + b"deposit,2,2,2\ndeposit,1,1,1.5\ndispute,1,1,\nchargeback,1,1,\n")
    accounts = engine.accounts()
    expected = (
        b"client,available,held,total,locked\n1,0.0000,0.0000,0.0000,true\n2,2.0000,0.0000,2.0000,false\n"
    )
    assert accounts.to_csv() == b"".join(accounts.chunks()) == expected
    file = io.BytesIO()
    accounts.write_csv(file)
    assert file.getvalue() == expected
    for target in (tmp_path / "a.csv", str(tmp_path / "b.csv")):
        accounts.write_csv(target)
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "b.csv").read_bytes() == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv"]


def test_a_failing_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the rename or a step before it fails, the old file is unchanged and no other file is left."""
    target = tmp_path / "accounts.csv"
    target.write_bytes(b"old")

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for step in ("os.fsync", "os.replace"):
        with monkeypatch.context() as patch:
            patch.setattr(step, fail)
            with pytest.raises(OSError, match="No space"):
                Engine().accounts().write_csv(target)
        assert [path.name for path in tmp_path.iterdir()] == ["accounts.csv"]
        assert target.read_bytes() == b"old"


def test_a_written_file_keeps_its_place_and_permissions(tmp_path: Path) -> None:
    """A symbolic link is followed, the file's permissions stay, and a device is never replaced."""
    target, link, device = tmp_path / "accounts.csv", tmp_path / "link.csv", tmp_path / "full"
    target.write_bytes(b"old")
    target.chmod(0o640)
    link.symlink_to(target.name)
    device.symlink_to("/dev/full")
    Engine().accounts().write_csv(link)
    assert link.is_symlink()
    assert target.read_bytes() == b"client,available,held,total,locked\n"
    assert target.stat().st_mode & 0o777 == 0o640
    with pytest.raises(OSError, match="No space left"):
        Engine().accounts().write_csv(device)
    assert device.is_char_device()


def test_a_large_image_is_written_in_pieces() -> None:
    """Chunks have whole rows, a bounded number of them."""
    engine = Engine()
    engine.apply_batch(*columns([(D, client, client, 1) for client in range(3 * CHUNK_ROWS)]))
    chunks = list(engine.accounts().chunks())
    assert len(chunks) >= 3
    assert all(chunk.endswith(b"\n") for chunk in chunks)
    assert max(chunk.count(b"\n") for chunk in chunks) <= CHUNK_ROWS + 1


# --- inputs ---


def test_process_takes_whatever_gives_bytes(tmp_path: Path) -> None:
    """Paths, bytes, file objects and pieces of any size: the same rows, the same accounts."""
    path, packed = tmp_path / "t.csv", tmp_path / "t.csv.gz"
    path.write_bytes(TWO_ROWS)
    packed.write_bytes(gzip.compress(TWO_ROWS))
    with path.open("rb") as buffered, path.open("rb", buffering=0) as unbuffered:
        sources: list[Any] = [
            str(path), path, TWO_ROWS, bytearray(TWO_ROWS), memoryview(TWO_ROWS), io.BytesIO(TWO_ROWS), buffered,
            unbuffered, [TWO_ROWS[:10], b"", TWO_ROWS[10:]], (TWO_ROWS[i : i + 1] for i in range(len(TWO_ROWS))),
            packed, gzip.compress(TWO_ROWS),
        ]  # fmt: skip
        for source in sources:
            engine = Engine()
            report = engine.process(source)
            assert (report.rows, report.applied, report.sequence) == (2, 2, 2), source
            assert balances(engine) == (1_2500, 0, False), source
        assert not buffered.closed
        assert not unbuffered.closed


def test_process_takes_several_inputs_in_order() -> None:
    """Inputs follow each other, each with its own header, and are one stream to the engine."""
    engine = Engine()
    first, second = (
        b"type,client,tx,amount\ndeposit,1,1,5\n",
        b"AMOUNT,tx,client,type\n3,2,1,withdrawal\n,1,1,dispute\n",
    )
    report = engine.process(first, second)
    assert (report.rows, report.applied, report.input_bytes) == (3, 2, len(first) + len(second))
    assert report.refused_by_outcome == {Outcome.INSUFFICIENT_FUNDS: 1}
    assert balances(engine) == (2_0000, 0, False)


def test_process_each_opens_one_input_at_a_time() -> None:
    """An input is taken from the iterable after the one before it is done."""
    engine = Engine()
    rows_before: list[int] = []

    def sources() -> Any:
        for tx in range(3):
            rows_before.append(engine.decided)
            yield HEADER + b"deposit,1,%d,1\n" % tx

    assert engine.process_each(sources()).rows == 3
    assert rows_before == [0, 1, 2]


def test_reports_count_one_call_and_the_sequence_counts_all() -> None:
    """Rows are those of the call; accounts, transactions and the sequence are the engine's."""
    engine = Engine()
    engine.apply(Deposit(9, 9, "1"))
    engine.apply(Deposit(9, 10, "x"))
    engine.process(TWO_ROWS)
    report = engine.process(HEADER + b"deposit,2,3,1\ndispute,2,3\nnonsense\n")
    assert (report.rows, report.applied, report.refused) == (3, 2, 1)
    assert (report.accounts, report.transactions, report.open_disputes, report.sequence) == (3, 4, 1, 7)
    assert engine.accounts().sequence == engine.decided == 7


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "the input is empty"),
        (b"\n\n", "only blank lines"),
        (b"kind,client,tx,amount\ndeposit,1,1,1\n", "'kind,client,tx,amount'; it has no column type"),
        (b"type,client,tx,tx,amount\n", "names the column tx more than once"),
        (b"deposit,1,1,1\n", "'deposit,1,1,1'"),
        (b"x" * 5000, "longer than 4096 bytes"),
    ],
)  # fmt: skip
def test_an_unusable_header_is_an_error_that_says_what_was_found(
    data: bytes, found: str, tmp_path: Path
) -> None:
    """The error names the input and shows the header, through every way of reading, and applies nothing."""
    path = tmp_path / "odd name.csv"
    path.write_bytes(data)
    engine = Engine()
    for source, name in ((str(path), str(path)), (data, "<bytes>"), (iter([data]), "iterator>")):
        with pytest.raises(InputError, match=r"^[^\n]+$") as error:
            engine.process(source)
        assert found in str(error.value)
        assert name in str(error.value)
    assert engine.decided == 0


def test_an_error_in_the_second_input_leaves_the_first_applied() -> None:
    """Rows that were applied before an invalid input stand."""
    engine = Engine()
    with pytest.raises(InputError, match="the input is empty"):
        engine.process(TWO_ROWS, b"")
    assert balances(engine) == (1_2500, 0, False)


@pytest.mark.parametrize("source", [5, None, io.StringIO("type,client,tx\n"), ["type,client,tx\n"]])
def test_what_gives_no_bytes_is_a_type_error(source: Any) -> None:
    """Text, numbers and None are not inputs."""
    with pytest.raises(TypeError):
        Engine().process(source)


def test_a_missing_file_is_named() -> None:
    """The operating system's error passes through with the name."""
    with pytest.raises(FileNotFoundError, match=r"nowhere\.csv"):
        Engine().process("nowhere.csv")


def test_progress_is_told_between_batches_and_may_end_the_run() -> None:
    """The listener gets rows, refused rows and bytes; an exception in it leaves whole batches applied."""
    data = HEADER + b"deposit,1,1,1\n" * 100
    told: list[tuple[int, int, int]] = []
    engine = Engine(batch_rows=10)
    engine.process(data, on_progress=lambda *numbers: told.append(numbers))
    assert told[-1] == (100, 99, len(data))
    assert [rows for rows, _, _ in told] == sorted(rows for rows, _, _ in told)

    class EnoughError(Exception):
        pass

    def stop(rows: int, _refused: int, _bytes: int) -> None:
        if rows >= 30:
            raise EnoughError

    engine = Engine(batch_rows=10)
    with pytest.raises(EnoughError):
        engine.process(data, on_progress=stop)
    assert engine.decided == 30


def test_a_row_limit_is_kept() -> None:
    """A row at the limit is read, a longer row is not."""
    row = b"deposit,1,1,1"
    engine = Engine(row_bytes_max=len(row) + 8)
    report = engine.process(HEADER + row.ljust(len(row) + 8) + b"\n" + row.ljust(len(row) + 9) + b"\n")
    assert (report.applied, report.refused_by_outcome) == (1, {Outcome.ROW_TOO_LONG: 1})
