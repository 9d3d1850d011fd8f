"""The command on files of other formats than CSV."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from e2e.command import OUTPUT_HEADER, run

if TYPE_CHECKING:
    from pathlib import Path

NDJSON = (
    b'{"type":"deposit","client":1,"tx":1,"amount":"1.5"}\n'
    b'{"type": "withdrawal", "client": 1, "tx": 2, "amount": 0.25}\n'
    b'{"type":"dispute","client":2,"tx":1}\n'
)
ACCOUNTS = OUTPUT_HEADER + b"1,1.2500,0.0000,1.2500,false\n"


def test_a_file_by_its_suffix(tmp_path: Path) -> None:
    """A plain command line, plain and compressed."""
    plain, packed = tmp_path / "day.ndjson", tmp_path / "day.jsonl.gz"
    plain.write_bytes(NDJSON)
    packed.write_bytes(gzip.compress(NDJSON))
    for path in (plain, packed):
        code, output, errors = run(path)
        assert (code, output) == (0, ACCOUNTS)
        assert "1 of 3 rows was not applied (CLIENT_MISMATCH 1)" in errors


def test_standard_input_by_its_first_bytes() -> None:
    """A pipe needs no option."""
    assert run("-q", data=NDJSON) == (0, ACCOUNTS, "")


def test_an_option_says_what_it_is(tmp_path: Path) -> None:
    """What the suffix says wrongly is an error that names the option, and the option is believed."""
    path = tmp_path / "day.csv"
    path.write_bytes(NDJSON)
    code, _, errors = run(path)
    assert code == 1
    assert "this looks like NDJSON, not like CSV; --format ndjson reads it" in errors
    assert run(path, "-q", "--format", "ndjson") == (0, ACCOUNTS, "")
    assert run("check", "-q", "--format", "ndjson", path)[0] == 3
    code, _, errors = run(path, "--format", "json")
    assert code == 2
    assert "'csv', 'ndjson'" in errors


@pytest.mark.parametrize("text", [b'[\n{"type":"deposit"}\n]\n', b'{\n  "type": "deposit"\n}\n'])
def test_json_over_several_lines(text: bytes) -> None:
    """What is JSON and not NDJSON is an error that says how to get there."""
    code, output, errors = run(data=text)
    assert (code, output) == (1, b"")
    assert "write each object in a line of its own (jq -c" in errors
    assert "--format ndjson" in errors


def test_an_empty_file(tmp_path: Path) -> None:
    """An empty table is an empty file, and said to be so."""
    path = tmp_path / "day.ndjson"
    path.write_bytes(b"")
    assert run(path) == (0, OUTPUT_HEADER, f"holdfast: {path}: 0 rows, a header at most\n")


def test_explain_and_load(tmp_path: Path) -> None:
    """The other commands on files take it too."""
    path, odd, ledger = tmp_path / "day.ndjson", tmp_path / "day.csv", tmp_path / "payments.db"
    path.write_bytes(NDJSON)
    odd.write_bytes(NDJSON)
    code, output, _ = run("explain", path, "--client", "1", "--format", "csv")
    assert code == 0
    assert run("explain", odd, "--client", "1", "--format", "csv", "--input-format", "ndjson")[
        1
    ] == output.replace(str(path).encode(), str(odd).encode())
    assert b"withdrawal" in output
    assert run("load", "-q", "--data", ledger, "--stream", "day", "--format", "ndjson", odd)[0] == 0
    assert run("load", "-q", "--data", ledger, "--stream", "day", path)[0] == 0
    assert run("ledger", "accounts", ledger)[1] == ACCOUNTS
