"""``holdfast process``: inputs of all kinds in, accounts out."""

from __future__ import annotations

import bz2
import gzip
import lzma
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.command import HEADER, OUTPUT_HEADER, finish, run, run_in_shell, start

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

if TYPE_CHECKING:
    from collections.abc import Callable

EXAMPLES = Path(__file__).parents[2] / "examples"
EXAMPLE_ACCOUNTS = b"""\
client,available,held,total,locked
1,0.5000,1.0000,1.5000,false
2,2.0000,0.0000,2.0000,false
3,350.2499,0.0000,350.2499,false
4,0.0000,0.0000,0.0000,true
5,24.5000,0.0000,24.5000,false
6,380.2500,0.0000,380.2500,false
7,1000.0100,0.0000,1000.0100,true
8,0.0000,0.0000,0.0000,false
9,922337203685477.5807,0.0000,922337203685477.5807,false
10,12.5000,0.0000,12.5000,false
"""
SMALL = HEADER + b"deposit,1,1,1.5\ndeposit,2,2,2\n"
SMALL_ACCOUNTS = OUTPUT_HEADER + b"1,1.5000,0.0000,1.5000,false\n2,2.0000,0.0000,2.0000,false\n"


@pytest.mark.parametrize("arguments", [(), ("process",)])
def test_the_example(arguments: tuple[str, ...]) -> None:
    """The example that ships with the repository, with and without naming the command."""
    assert run(*arguments, EXAMPLES / "transactions.csv")[:2] == (0, EXAMPLE_ACCOUNTS)


@pytest.mark.parametrize(
    ("rows", "accounts"),
    [
        (b"", b""),
        (b"dispute,1,1\n", b""),
        (b"withdrawal,1,1,1\n", b"1,0.0000,0.0000,0.0000,false\n"),
        (b"deposit,9,1,1\ndeposit,10,2,1\n", b"9,1.0000,0.0000,1.0000,false\n10,1.0000,0.0000,1.0000,false\n"),
        (b"deposit,1,1,5\ndispute,1,1,\n", b"1,0.0000,5.0000,5.0000,false\n"),
        (b"deposit,1,1,5\ndispute,1,1\nresolve,1,1\n", b"1,5.0000,0.0000,5.0000,false\n"),
        (b"deposit,1,1,5\ndispute,1,1\nchargeback,1,1\ndeposit,1,2,5\n", b"1,0.0000,0.0000,0.0000,true\n"),
        (b'\r\n "Deposit" ,\t1,01, ".5" \r\nDEPOSIT,1,2,+1.', b"1,1.5000,0.0000,1.5000,false\n"),
        (b"\0\xff\n\"\ndeposit,1,1,2\n", b"1,2.0000,0.0000,2.0000,false\n"),
    ],
)  # fmt: skip
def test_small_files(rows: bytes, accounts: bytes, tmp_path: Path) -> None:
    """Small inputs and the accounts they come to, to the byte."""
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER + rows)
    assert run(path)[:2] == (0, OUTPUT_HEADER + accounts)


def test_several_files_are_one_stream_in_order(tmp_path: Path) -> None:
    """The order of the files decides; each has its own header."""
    first, second = tmp_path / "a.csv", tmp_path / "b.csv"
    first.write_bytes(HEADER + b"deposit,1,1,5\n")
    second.write_bytes(b"amount,tx,client,type\n3,2,1,withdrawal\n")
    assert run(first, second).output == OUTPUT_HEADER + b"1,2.0000,0.0000,2.0000,false\n"
    assert run(second, first).output == OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n"


def test_more_files_than_may_be_open(tmp_path: Path) -> None:
    """Files are opened one after the other, not all at once."""
    for tx in range(40):
        (tmp_path / f"{tx:02}.csv").write_bytes(HEADER + b"deposit,1,%d,1\n" % tx)
    result = run_in_shell('ulimit -n 30; holdfast "$1"/*.csv', tmp_path)
    assert result == (0, OUTPUT_HEADER + b"1,40.0000,0.0000,40.0000,false\n", "")


def test_standard_input() -> None:
    """A dash and a pipe without any name are standard input."""
    assert run("-", data=SMALL) == (0, SMALL_ACCOUNTS, "")
    assert run(data=SMALL) == (0, SMALL_ACCOUNTS, "")
    assert run("process", data=SMALL) == (0, SMALL_ACCOUNTS, "")


def test_standard_input_among_files(tmp_path: Path) -> None:
    """A dash has its place in the order like any file."""
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER + b"withdrawal,1,9,1\n")
    assert run("-", path, data=HEADER + b"deposit,1,1,5\n").output.endswith(
        b"\n1,4.0000,0.0000,4.0000,false\n"
    )
    assert run(path, "-", data=HEADER + b"deposit,1,1,5\n").output.endswith(
        b"\n1,5.0000,0.0000,5.0000,false\n"
    )


def test_a_file_as_standard_input_and_process_substitution(tmp_path: Path) -> None:
    """A redirected file and a pipe with a name are inputs like any other."""
    path = tmp_path / "t.csv"
    path.write_bytes(SMALL)
    assert run_in_shell('holdfast - < "$1"', path) == (0, SMALL_ACCOUNTS, "")
    assert run_in_shell('holdfast < "$1"', path) == (0, SMALL_ACCOUNTS, "")
    assert run_in_shell('holdfast <(cat "$1")', path) == (0, SMALL_ACCOUNTS, "")


@pytest.mark.parametrize(
    ("suffix", "compress"),
    [(".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress), (".zst", zstd.compress)],
)
def test_compressed_input(suffix: str, compress: Callable[[bytes], bytes], tmp_path: Path) -> None:
    """Compressed files are known by their suffix, and compressed pipes by their first bytes."""
    path = tmp_path / f"t.csv{suffix}"
    path.write_bytes(compress(SMALL))
    assert run(path) == (0, SMALL_ACCOUNTS, "")
    assert run("-", data=compress(SMALL)) == (0, SMALL_ACCOUNTS, "")


def test_a_cut_off_compressed_file_is_an_error(tmp_path: Path) -> None:
    """Half a file is no file: nothing on standard output."""
    path = tmp_path / "t.csv.gz"
    path.write_bytes(gzip.compress(SMALL)[:-4])
    code, output, errors = run(path)
    assert (code, output) == (1, b"")
    assert errors.startswith(f"holdfast: {path}: cut short")
    assert errors.count("\n") == 1


def test_ids_of_64_bits(tmp_path: Path) -> None:
    """Wide ids on request; what does not fit the width is refused."""
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER + b"deposit,18446744073709551615,18446744073709551615,1\ndeposit,7,7,1\n")
    assert run(path).output == OUTPUT_HEADER + b"7,1.0000,0.0000,1.0000,false\n"
    wide = run("--client-bits", "64", "--tx-bits=64", path)
    expected = b"7,1.0000,0.0000,1.0000,false\n18446744073709551615,1.0000,0.0000,1.0000,false\n"
    assert wide == (0, OUTPUT_HEADER + expected, "")


@pytest.mark.parametrize(
    ("decimals", "row"),
    [("0", b"1,2,0,2,false\n"), ("2", b"1,3.05,0.00,3.05,false\n"), ("9", b"1,3.050000001,0.000000000,3.050000001,false\n")],
)  # fmt: skip
def test_decimals(decimals: str, row: bytes, tmp_path: Path) -> None:
    """As many decimals as asked for; amounts with more are refused."""
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER + b"deposit,1,1,1\ndeposit,1,2,1.0\ndeposit,1,3,1.05\ndeposit,1,4,0.000000001\n")
    assert run("--decimals", decimals, path)[:2] == (0, OUTPUT_HEADER + row)


def test_rule_profiles(tmp_path: Path) -> None:
    """The named profiles and a file of one's own differ where they say they do."""
    path, own = tmp_path / "t.csv", tmp_path / "own.toml"
    path.write_bytes(
        HEADER
        + b"deposit,1,1,5\nwithdrawal,1,2,3\ndispute,1,1\ndispute,1,2\n"
        + b"deposit,2,3,1\ndispute,2,3\nchargeback,2,3\ndeposit,2,4,2\n"
    )
    own.write_text('locked_deposit = "accept"\n')
    standard = OUTPUT_HEADER + b"1,2.0000,0.0000,2.0000,false\n2,0.0000,0.0000,0.0000,true\n"
    assert run(path).output == run("--rules", "standard", path).output == standard
    cards = OUTPUT_HEADER + b"1,-3.0000,8.0000,5.0000,false\n2,2.0000,0.0000,2.0000,true\n"
    assert run("--rules", "cards", path).output == cards
    mine = OUTPUT_HEADER + b"1,2.0000,0.0000,2.0000,false\n2,2.0000,0.0000,2.0000,true\n"
    assert run("--rules", own, path).output == mine


@pytest.mark.parametrize("batch_rows", ["1", "7", "1000000"])
def test_batches_of_any_size(batch_rows: str) -> None:
    """The size of a batch does not show."""
    assert run("--batch-rows", batch_rows, EXAMPLES / "transactions.csv")[:2] == (0, EXAMPLE_ACCOUNTS)


def test_a_row_limit_of_ones_own(tmp_path: Path) -> None:
    """Rows beyond the limit are refused, the others are not."""
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER + b"deposit,1,1,1\ndeposit,1,2,1.000000000000000000000000\n")
    assert run("--row-bytes-max", "21", path).output.endswith(b"\n1,1.0000,0.0000,1.0000,false\n")


def test_a_reader_that_leaves_early_is_no_error(tmp_path: Path) -> None:
    """Behind ``| head`` a large output ends quietly."""
    path = tmp_path / "t.csv"
    rows = b"".join(b"deposit,%d,%d,1\n" % (client, client) for client in range(60_000))
    path.write_bytes(HEADER + rows)
    result = run_in_shell('holdfast "$1" | head -n 2', path)
    assert result == (0, OUTPUT_HEADER + b"0,1.0000,0.0000,1.0000,false\n", "")


def test_a_closed_standard_input_is_an_error_only_for_those_who_read_it(tmp_path: Path) -> None:
    """With ``<&-`` a file works and a dash is one line on standard error."""
    path = tmp_path / "t.csv"
    path.write_bytes(SMALL)
    assert run_in_shell('holdfast "$1" <&-', path) == (0, SMALL_ACCOUNTS, "")
    code, output, errors = run_in_shell("holdfast - <&-")
    assert (code, output) == (1, b"")
    assert errors == "holdfast: <stdin>: Bad file descriptor\n"


def test_a_closed_standard_error_is_none(tmp_path: Path) -> None:
    """With ``2>&-`` there is nobody to tell, and the accounts come all the same."""
    path = tmp_path / "t.csv"
    path.write_bytes(SMALL + b"nonsense\n")
    assert run_in_shell('holdfast -v --summary "$1" 2>&-', path) == (0, SMALL_ACCOUNTS, "")


def test_a_terminal_without_a_file_is_a_usage_error() -> None:
    """Nobody types transactions: without a file on a terminal the command says what it needs."""
    import pty  # noqa: PLC0415  # no such thing on some systems

    master, slave = pty.openpty()
    with open(master, "rb", buffering=0), open(slave, "rb", buffering=0) as terminal:
        code, output, errors = finish(start(stdin=terminal, stdout=subprocess.PIPE))
    assert (code, output) == (2, b"")
    assert "give a FILE, or pipe transactions in" in errors


def test_one_file_a_day(tmp_path: Path) -> None:
    """A run goes on from the state of the day before, under its rules; a damaged state, or other rules, are refused."""
    state = str(tmp_path / "state")
    days = [tmp_path / f"{number}.csv" for number in range(2)]
    days[0].write_bytes(HEADER + b"deposit,1,1,5\ndispute,1,1,\n")
    days[1].write_bytes(HEADER + b"chargeback,1,1,\ndeposit,1,1,5\n")
    both = run("--rules", "cards", *days)
    first = run("process", days[0], "--rules", "cards", "--save", state)
    assert (first.code, first.errors) == (0, "")
    second = run("process", days[1], "--load", state, "--save", state)
    assert second.code == 0
    assert second.output == both.output
    assert run("process", days[1], "--load", state, "--rules", "standard", "--client-bits", "32").code == 2
    assert "saved with another" in run("process", days[1], "--load", state, "--client-bits", "32").errors
    aborted = run(
        "process", days[1], "--load", state, "--save", str(tmp_path / "none"), "--on-error", "abort"
    )
    assert aborted.code == 1
    assert not (tmp_path / "none").exists()
    Path(state).write_bytes(b"nonsense")
    damaged = run("process", days[1], "--load", state)
    assert (damaged.code, damaged.errors.count("\n")) == (1, 1)
    assert "this is no saved state" in damaged.errors
