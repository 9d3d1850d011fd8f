"""``holdfast load`` and ``holdfast ledger`` as a person runs them."""

from __future__ import annotations

import getpass
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.command import run

if TYPE_CHECKING:
    from e2e.command import Result

SAMPLE = str(Path(__file__).parents[2] / "examples" / "transactions.csv")
HEADER = "type,client,tx,amount\n"


@pytest.fixture
def data(tmp_path: Path) -> str:
    """Give the path of a ledger that is not there yet."""
    return str(tmp_path / "payments.db")


def load(data: str, *arguments: str) -> Result:
    """Load files into a ledger."""
    return run("load", "--data", data, *arguments)


def test_a_file_is_loaded_once(data: str) -> None:
    """The second time says so, exits with 0 and changes nothing; the accounts are those of the plain command."""
    plain = run(SAMPLE)
    first = load(data, SAMPLE, "--stream", "day 1", "-q")
    assert (first.code, first.output, first.errors) == (0, b"", "")
    again = load(data, SAMPLE, "--stream", "day 1")
    assert again.code == 0
    assert again.errors == "holdfast: stream day 1 was loaded already: all of its 41 rows are in the ledger\n"
    accounts = run("ledger", "accounts", data)
    assert (accounts.code, accounts.output) == (0, plain.output)


def test_without_a_name_it_warns(data: str) -> None:
    """Rows that come again are decided again."""
    assert "loading the files again decides their rows again; --stream NAME" in load(data, SAMPLE).errors
    assert "DUPLICATE_TX" in load(data, SAMPLE).errors


def test_another_input_under_a_known_name(data: str, tmp_path: Path) -> None:
    """It is refused; a longer one goes on."""
    rows = tmp_path / "rows.csv"
    rows.write_text(HEADER + "deposit,1,1,1\ndeposit,1,2,1\n")
    assert load(data, str(rows), "--stream", "a").code == 0
    rows.write_text(HEADER + "deposit,1,1,1\ndeposit,1,2,1\ndeposit,1,3,1\n")
    assert "stream a went on after 2 rows" in load(data, str(rows), "--stream", "a").errors
    rows.write_text(HEADER + "deposit,1,9,1\ndeposit,1,2,1\ndeposit,1,3,1\n")
    changed = load(data, str(rows), "--stream", "a")
    assert changed.code == 1
    assert "it is another input: give it a name of its own" in changed.errors
    assert json.loads(run("ledger", "info", data, "--json").output)["decisions"] == 3


def test_a_policy_stops_the_same_way_again(data: str) -> None:
    """The journal holds the rows before; the same command reports the same, exit 1; another policy goes on."""
    arguments = (SAMPLE, "--stream", "a", "--on-error", "abort")
    first, second = load(data, *arguments), load(data, *arguments)
    assert (first.code, second.code) == (1, 1)
    assert first.errors == second.errors
    assert "the rows before it are in the ledger" in first.errors
    assert load(data, SAMPLE, "--stream", "a", "-q").code == 0
    assert run("ledger", "accounts", data).output == run(SAMPLE).output


def test_atomic(data: str) -> None:
    """All of it or nothing."""
    stopped = load(data, SAMPLE, "--stream", "a", "--on-error", "abort", "--atomic")
    assert stopped.code == 1
    assert "nothing of the files is in the ledger" in stopped.errors
    assert run("ledger", "accounts", data).output == b"client,available,held,total,locked\n"
    assert load(data, SAMPLE, "--stream", "a", "--atomic", "-q").code == 0
    assert run("ledger", "accounts", data).output == run(SAMPLE).output


def test_rejects_and_summary(data: str, tmp_path: Path) -> None:
    """They are those of the plain command."""
    for name in ("plain", "load"):
        arguments = (
            SAMPLE,
            "--rejects",
            str(tmp_path / name),
            "--json-summary",
            str(tmp_path / f"{name}.json"),
        )
        (run("process", *arguments) if name == "plain" else load(data, *arguments, "--stream", "a"))
    assert (tmp_path / "plain").read_bytes() == (tmp_path / "load").read_bytes()
    summaries = [json.loads((tmp_path / f"{name}.json").read_text()) for name in ("plain", "load")]
    for summary in summaries:
        del summary["seconds"], summary["rows_per_second"]
    assert summaries[0] == summaries[1]
    listed = run("ledger", "rejects", data).output.decode().splitlines()
    assert len(listed) == 1 + summaries[0]["refused"]
    assert any(
        line.endswith(f',"deposit, 1, 13, 1e5",{getpass.getuser()},') or "INVALID_AMOUNT" in line
        for line in listed
    )


def test_looking(data: str) -> None:
    """What the actions that only read say."""
    load(data, SAMPLE, "--stream", "day", "-q")
    info = run("ledger", "info", data)
    assert "decisions        41\n" in info.output.decode()
    history = run("ledger", "history", data, "--client", "1").output.decode().splitlines()
    assert history[0].endswith("available,held,locked,note,actor,address")
    assert history[-1].endswith(f",day,40,dispute,1,1,,APPLIED,0.5000,1.0000,false,,{getpass.getuser()},")
    about_tx = run("ledger", "history", data, "--tx", "1").output.decode().splitlines()
    assert [line.split(",")[4] for line in about_tx[1:]] == ["deposit", "dispute"]
    assert run("ledger", "history", data, "--client", "60000").code == 1
    early = run("ledger", "accounts", data, "--as-of", "1").output
    assert early == b"client,available,held,total,locked\n1,1.0000,0.0000,1.0000,false\n"
    assert run("ledger", "accounts", data, "--as-of", "2020-01-01T00:00:00Z").output.count(b"\n") == 1
    assert run("ledger", "accounts", data, "--as-of", "42").code == 1
    assert run("ledger", "accounts", data, "--as-of", "2020-01-01").code == 2
    verified = run("ledger", "verify", data)
    assert "verified: " in verified.output.decode()
    assert json.loads(run("ledger", "verify", data, "--json").output)["decisions"] == 41
    assert b"[rules]" in run("ledger", "settings", data).output


def test_changing(data: str, tmp_path: Path) -> None:
    """Unlock, other rules, checkpoints, redaction, compaction; and the ledger still verifies."""
    rows = tmp_path / "rows.csv"
    rows.write_text(HEADER + "deposit,1,1,5\ndispute,1,1\nchargeback,1,1\ndeposit,1,2,secret 4111\n")
    load(data, str(rows), "--stream", "a", "-q")
    assert run("ledger", "unlock", data, "--client", "1").code == 2
    assert run("ledger", "unlock", data, "--client", "2", "--reason", "x").code == 1
    assert run("ledger", "unlock", data, "--client", "1", "--reason", "a mistake", "--actor", "ann").code == 0
    assert run("ledger", "unlock", data, "--client", "1", "--reason", "again").code == 1
    assert "unlocked by ann: a mistake" in run("ledger", "history", data, "--client", "1").output.decode()
    assert run("ledger", "accounts", data).output.endswith(b"1,0.0000,0.0000,0.0000,false\n")
    assert run("ledger", "settings", data, "--rules", "cards", "--reason", "contract").code == 0
    assert b'refused_tx_id = "burned"' in run("ledger", "settings", data).output
    assert run("ledger", "checkpoint", data).code == 0
    assert "secret 4111" in run("ledger", "rejects", data).output.decode()
    assert run("ledger", "redact", data, "--before", "100").errors.endswith(
        "the texts and addresses of 1 entries are erased\n"
    )
    assert "4111" not in run("ledger", "rejects", data).output.decode()
    for path in tmp_path.iterdir():
        assert path == rows or b"secret 4111" not in path.read_bytes()
    assert run("ledger", "compact", data).code == 0
    assert "the texts and addresses of 1 entries were erased" in run("ledger", "verify", data).output.decode()


def test_copies(data: str, tmp_path: Path) -> None:
    """A backup opens; a restored ledger is as it was then; neither replaces a file."""
    for number in range(3):
        rows = tmp_path / f"{number}.csv"
        rows.write_text(HEADER + f"deposit,1,{number},1\n")
        load(data, str(rows), "--stream", str(number), "-q")
    backup, restored = str(tmp_path / "backup.db"), str(tmp_path / "restored.db")
    assert run("ledger", "backup", data, "--to", backup).code == 0
    assert "verified" in run("ledger", "verify", backup).output.decode()
    assert run("ledger", "backup", data, "--to", backup).code == 1
    assert run("ledger", "restore", data, "--to", restored, "--until", "2").code == 0
    assert b"1,2.0000,0.0000,2.0000,false" in run("ledger", "accounts", restored).output
    assert run("ledger", "restore", data, "--to", restored).code == 1
    assert run("ledger", "restore", data).code == 2
    assert load(restored, str(tmp_path / "2.csv"), "--stream", "2", "-q").code == 0
    assert run("ledger", "accounts", restored).output == run("ledger", "accounts", data).output


def test_mistakes(data: str, tmp_path: Path) -> None:
    """One sentence each, and the right exit code."""
    csv = tmp_path / "rows.csv"
    csv.write_text(HEADER)
    for arguments, code, said in (
        (("load", SAMPLE), 2, "--data: say which ledger"),
        (("load", SAMPLE, "--data", data, "--durability", "never"), 2, "--durability: durability is always"),
        (("load", SAMPLE, "--data", data, "--state-bytes-max", "x"), 2, "is not a number of bytes"),
        (("load", str(csv), "--data", str(csv)), 2, "it would be overwritten"),
        (("load", SAMPLE, "--data", SAMPLE), 2, "it would be overwritten"),
        (("load", SAMPLE, "--data", str(tmp_path)), 1, "is a directory"),
        (("load", SAMPLE, "--data", data, "--rules", "nonesuch"), 2, "--rules: no rules profile"),
        *(
            (("ledger", name, data), 1, "there is no such ledger")
            for name in ("info", "accounts", "verify", "compact")
        ),
        (("ledger", "redact", data, "--before", "9"), 1, "there is no such ledger"),
        (("ledger", "checkpoint", data), 1, "there is no such ledger"),
        (("ledger", "unlock", data, "--client", "1", "--reason", "x"), 1, "there is no such ledger"),
        (("ledger", "info", str(csv)), 1, "no SQLite file"),
        (("ledger", "frobnicate", data), 2, "invalid choice"),
    ):
        result = run(*arguments)
        assert (result.code, said in result.errors) == (code, True), (arguments, result)
        assert result.errors.count("\n") == 1
    assert not Path(data).exists()
