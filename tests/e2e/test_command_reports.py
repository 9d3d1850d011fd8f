"""What the command says about rows: summaries, rejects, logs, exit codes, check, explain, progress."""

from __future__ import annotations

import csv
import json
import os
import pty
import re
import select
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

from e2e.command import HEADER, OUTPUT_HEADER, TIMEOUT_SECONDS, finish, run, run_in_shell, start
from holdfast import Outcome

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

MIXED = (
    HEADER
    + b"deposit,1,1,5\n"
    + b"withdrawal,1,2,9\n"
    + b"\r\n"
    + b'deposit,"1,3,5\r\n'
    + b"dispute,1,77\n"
    + b"deposit,1,1,5\n"
    + b"deposit,2,4,1\n"
)
REFUSED_LINES = {
    3: Outcome.INSUFFICIENT_FUNDS,
    5: Outcome.MALFORMED_ROW,
    6: Outcome.TX_NOT_FOUND,
    7: Outcome.DUPLICATE_TX,
}
ACCOUNTS = OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n2,1.0000,0.0000,1.0000,false\n"
REMARK = (
    "holdfast: 4 of 6 rows were not applied (MALFORMED_ROW 1, DUPLICATE_TX 1, TX_NOT_FOUND 1, INSUFFICIENT_FUNDS 1); "
    "--rejects FILE lists them\n"
)
FINE = HEADER + b"deposit,1,1,5\n"


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Make an input with two good rows among bad ones."""
    path = tmp_path / "mixed.csv"
    path.write_bytes(MIXED)
    return path


# --- policies and exit codes ---


@pytest.mark.parametrize(
    ("policy", "line", "code", "row"),
    [
        ("abort", 3, "INSUFFICIENT_FUNDS", "withdrawal,1,2,9"),
        ("skip,malformed=abort", 5, "MALFORMED_ROW", 'deposit,"1,3,5'),
        ("budget:2", 6, "TX_NOT_FOUND", "dispute,1,77"),
        ("silent,DUPLICATE_TX=abort", 7, "DUPLICATE_TX", "deposit,1,1,5"),
    ],
)
def test_a_policy_that_stops(policy: str, line: int, code: str, row: str, mixed: Path) -> None:
    """Exit code 1; one line says input, line, code and row; the accounts are those of the rows before it."""
    exit_code, output, errors = run("--on-error", policy, mixed)
    assert (exit_code, output) == (1, OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n")
    assert errors.count("\n") == 1
    for part in ("holdfast: ", str(mixed), f"line {line},", code, row):
        assert part in errors


def test_a_share_that_is_exceeded_at_the_end(mixed: Path) -> None:
    """A budget in percent stops without a row to blame; all rows were decided."""
    code, output, errors = run("--on-error", "budget:50%", mixed)
    assert (code, output) == (1, ACCOUNTS)
    assert errors == "holdfast: 4 of 6 rows were not applied, which exceeds the budget of 50%\n"
    assert run("--on-error", "budget:70%", mixed)[:2] == (0, ACCOUNTS)


def test_fail_on_reject(mixed: Path) -> None:
    """Refused rows exit 3 where that is asked for, with the accounts written; without any the exit code is 0."""
    assert run("--fail-on-reject", mixed)[:2] == (3, ACCOUNTS)
    assert run("--fail-on-reject", "--on-error", "silent", mixed)[:2] == (3, ACCOUNTS)
    assert run("--fail-on-reject", data=FINE).code == 0


def test_check(mixed: Path) -> None:
    """Check writes no accounts: silence and 0 where all rows are applied, a line and 3 where not, 1 for a policy."""
    assert run("check", data=FINE) == (0, b"", "")
    code, output, errors = run("check", mixed)
    assert (code, output) == (3, b"")
    assert errors == REMARK
    code, output, errors = run("check", "--summary", mixed)
    assert (code, output) == (3, b"")
    assert re.search(r"^rows +6$", errors, re.MULTILINE)
    assert re.search(r"^ +DUPLICATE_TX +1$", errors, re.MULTILINE)
    assert run("check", "--quiet", mixed) == (3, b"", "")
    code, output, errors = run("check", "--quiet", "--on-error", "abort", mixed)
    assert (code, output) == (1, b"")
    assert "line 3" in errors


# --- rejects ---


def test_rejects_are_csv_with_the_rows_as_they_were(tmp_path: Path) -> None:
    """The csv module reads them back: input, line, offset, code, reason, and the raw row to the byte."""
    rows = [
        b"deposit,1,1,x",
        b'deposit,"1"" ",2,5',
        b'"deposit","1,3,5',
        b"caf\xe9,\xff\xfe,\x80",
        b"a\rb,\0,c",
        "dépôt,1,4,1".encode(),
        b"  withdrawal , 1 , 5 , 1  ",
        b",,,,,,",
        b"x" * 30,
    ]
    name = 'odd, "name"\n\udcff.csv'
    path, rejects = tmp_path / name, tmp_path / "rejects.csv"
    data = b"\n".join([HEADER.rstrip(), b"deposit,9,9,1", b"", *rows]) + b"\r\n"
    path.write_bytes(data)
    assert run(path, "--rejects", rejects).code == 0
    with rejects.open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        header, *found = csv.reader(file)
    assert header == ["input", "line", "offset", "code", "reason", "row"]
    assert [os.fsencode(row[5]) for row in found] == rows
    assert [int(row[1]) for row in found] == list(range(4, 4 + len(rows)))
    assert {row[0] for row in found} == {str(path)}
    for row in found:
        raw, offset = os.fsencode(row[5]), int(row[2])
        assert data[offset : offset + len(raw)] == raw
        assert row[4].startswith(Outcome[row[3]].explanation.partition(":")[0].removesuffix("."))
        assert row[4].endswith(".")
    assert found[0][3] == "INVALID_AMOUNT"


def test_rejects_of_several_inputs(mixed: Path, tmp_path: Path) -> None:
    """All inputs share the file; without a bad row it is a header alone."""
    rejects = tmp_path / "rejects.csv"
    code, output, errors = run(mixed, "-", "--rejects", rejects, data=HEADER + b"nonsense\n")
    assert (code, output) == (0, ACCOUNTS)
    assert errors.endswith("DUPLICATE_TX 1, TX_NOT_FOUND 1, INSUFFICIENT_FUNDS 1)\n")
    with rejects.open(newline="") as file:
        found = list(csv.DictReader(file))
    expected = [(str(mixed), line, outcome.name) for line, outcome in REFUSED_LINES.items()]
    expected.append(("<stdin>", 2, "MALFORMED_ROW"))
    assert [(row["input"], int(row["line"]), row["code"]) for row in found] == expected
    run("--rejects", rejects, data=FINE)
    assert rejects.read_bytes() == b"input,line,offset,code,reason,row\n"


def test_rejects_up_to_an_abort(mixed: Path, tmp_path: Path) -> None:
    """When the policy stops the run, the rows not applied by then, the last one among them, are listed."""
    rejects = tmp_path / "rejects.csv"
    assert run(mixed, "--rejects", rejects, "--on-error", "partner=abort").code == 1
    with rejects.open(newline="") as file:
        assert [row["line"] for row in csv.DictReader(file)] == ["3", "5", "6"]


# --- summaries ---


def test_summary(mixed: Path) -> None:
    """On request the command ends with counts, on standard error only."""
    code, output, errors = run("--summary", mixed)
    assert (code, output) == (0, ACCOUNTS)
    *lines, remark = errors.splitlines()
    assert f"{remark}\n" == REMARK
    summary = dict(line.split(None, 1) for line in lines)
    assert re.fullmatch(r"\d+\.\d{3} \([\d,]+ rows/s\)", summary.pop("seconds"))
    assert summary == {
        "rows": "6", "applied": "2", "refused": "4", "MALFORMED_ROW": "1", "DUPLICATE_TX": "1",
        "TX_NOT_FOUND": "1", "INSUFFICIENT_FUNDS": "1", "accounts": "2 (0 locked)",
    }  # fmt: skip


def test_json_summary(mixed: Path, tmp_path: Path) -> None:
    """The same as JSON, in a file; also of a run that a policy stopped."""
    path = tmp_path / "summary.json"
    assert run("--json-summary", path, mixed) == (0, ACCOUNTS, REMARK)
    summary = json.loads(path.read_text())
    assert summary.pop("seconds") > 0
    assert summary.pop("rows_per_second") > 0
    assert summary.pop("failed") == 0
    assert summary.pop("skipped") == 0
    assert summary == {
        "rows": 6, "applied": 2, "refused": 4,
        "refused_by_code": {
            "MALFORMED_ROW": 1, "DUPLICATE_TX": 1, "TX_NOT_FOUND": 1, "INSUFFICIENT_FUNDS": 1,
        },
        "accounts": 2, "locked_accounts": 0, "transactions": 2, "open_disputes": 0, "sequence": 6,
        "input_bytes": len(MIXED),
    }  # fmt: skip
    assert run("--json-summary", path, "--on-error", "abort", mixed).code == 1
    assert json.loads(path.read_text())["rows"] == 2


# --- logs ---


def test_verbose_logs_every_row_that_is_not_applied(mixed: Path) -> None:
    """-v: one line for each such row, with input, line, code and row, and a summary behind them."""
    code, output, errors = run("-v", mixed)
    assert (code, output) == (0, ACCOUNTS)
    logged = [line for line in errors.splitlines() if "holdfast.engine" in line]
    assert len(logged) == len(REFUSED_LINES)
    for line, (number, outcome) in zip(logged, REFUSED_LINES.items(), strict=True):
        assert f"{mixed}, line {number}," in line
        assert outcome.name in line
        assert MIXED.splitlines()[number - 1].decode() in line
    assert re.search(r"^refused +4$", errors, re.MULTILINE)


def test_silent_rows_are_not_logged(mixed: Path) -> None:
    """Codes whose action is silent are counted and not logged."""
    errors = run("-v", "--on-error", "skip,malformed=silent,DUPLICATE_TX=silent", mixed).errors
    logged = [line for line in errors.splitlines() if "holdfast.engine" in line]
    assert [re.search(r"line (\d+),", line)[1] for line in logged] == ["3", "6"]  # type: ignore[index]  # None fails
    assert re.search(r"^refused +4$", errors, re.MULTILINE)


def test_json_log_lines_parse(mixed: Path) -> None:
    """Every line on standard error is a JSON object; single rows have fields of their own, the summary as well."""
    code, output, errors = run("-v", "--log-format", "json", mixed)
    assert (code, output) == (0, ACCOUNTS)
    *rows, summary, remark = (json.loads(line) for line in errors.splitlines())
    assert [(row["line"], row["code"]) for row in rows] == [
        (line, outcome.name) for line, outcome in REFUSED_LINES.items()
    ]
    assert {(row["level"], row["logger"], row["input"]) for row in rows} == {
        ("INFO", "holdfast.engine", str(mixed))
    }
    assert (summary["message"], summary["rows"], summary["refused"]) == ("summary", 6, 4)
    assert f"holdfast: {remark['message']}\n" == REMARK
    assert (remark["level"], remark["rows"], remark["refused"]) == ("WARNING", 6, 4)
    assert remark["refused_by_code"] == {outcome.name: 1 for outcome in REFUSED_LINES.values()}


def test_a_row_forges_no_log_line(tmp_path: Path) -> None:
    """Control characters in a row stay within its line."""
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER + b"evil\r\x1b[2J\xe2\x80\xa8holdfast: all is well,1,1,1\n")
    text = run("-v", path).errors
    assert "\x1b" not in text
    assert len([line for line in text.splitlines() if "holdfast" in line]) == 2
    assert [line for line in text.splitlines() if line.startswith("holdfast: ")] == [
        "holdfast: 1 of 1 rows was not applied (UNKNOWN_TYPE 1); --rejects FILE lists them"
    ]


def test_quiet_says_nothing_but_errors(mixed: Path, tmp_path: Path) -> None:
    """--quiet wins over everything that would be said, not over errors."""
    assert run("--quiet", "--summary", "-v", mixed) == (0, ACCOUNTS, "")
    assert run("-q", "--on-error", "abort", mixed).errors.count("\n") == 1
    assert "No such file" in run("-q", tmp_path / "missing.csv").errors


def test_rows_that_are_not_applied_are_said(mixed: Path) -> None:
    """Without being asked, in one line; what went well is not talked about, and a policy's line says all there is."""
    assert run(mixed) == (0, ACCOUNTS, REMARK)
    assert run("check", mixed) == (3, b"", REMARK)
    assert run(data=FINE).errors == ""
    assert run(mixed, "--on-error", "silent").errors == REMARK
    assert run(mixed, "--on-error", "abort").errors.count("\n") == 1


@pytest.mark.parametrize(
    ("rows", "code"),
    [
        (b"type,client,tx,amt\ndeposit,1,1,5\n", "MISSING_AMOUNT"),
        (HEADER + b"deposit,70000,1,5\n", "INVALID_CLIENT"),
        (HEADER + b"credit,1,1,5\n", "UNKNOWN_TYPE"),
    ],
)
def test_a_column_that_is_called_otherwise_is_no_silent_success(rows: bytes, code: str) -> None:
    """An amt column, wide ids, other words for types: all rows are refused, and that is said."""
    for command in ((), ("check",)):
        errors = run(*command, data=rows).errors
        assert errors == f"holdfast: 1 of 1 rows was not applied ({code} 1); --rejects FILE lists them\n"


def test_inputs_without_rows_are_said(tmp_path: Path) -> None:
    """A header alone is valid, and is named: somebody may have expected more."""
    path = tmp_path / "empty.csv"
    path.write_bytes(HEADER)
    remark = f"holdfast: {path}: 0 rows, a header at most\n"
    assert run(path) == (0, OUTPUT_HEADER, remark)
    assert run("check", path) == (0, b"", remark)
    assert run("check", path, "-", data=FINE) == (0, b"", remark)
    assert run("check", "-q", path) == (0, b"", "")


# --- explain ---


def test_explain_a_client(mixed: Path) -> None:
    """A table on standard output: every row of the client with outcome, reason and balances."""
    code, output, errors = run("explain", mixed, "--client", "1")
    assert (code, errors) == (0, "")
    name, headings, rule, *rows = output.decode().splitlines()
    assert name == str(mixed)
    assert re.split(r" {2,}", headings) == [
        "line", "type", "client", "tx", "amount", "outcome", "available before", "available after", "held before",
        "held after", "locked", "reason",
    ]  # fmt: skip
    assert set(rule) == {"-", " "}
    funds = Outcome.INSUFFICIENT_FUNDS
    same = ["5.0000", "5.0000", "0.0000", "0.0000", "false"]
    assert [re.split(r" {2,}", row.strip()) for row in rows] == [
        ["2", "deposit", "1", "1", "5.0000", "APPLIED", "-", "5.0000", "-", "0.0000", "false"],
        ["3", "withdrawal", "1", "2", "9.0000", "INSUFFICIENT_FUNDS", *same, funds.explanation],
        ["6", "dispute", "1", "77", "TX_NOT_FOUND", *same, Outcome.TX_NOT_FOUND.explanation],
        ["7", "deposit", "1", "1", "5.0000", "DUPLICATE_TX", *same, Outcome.DUPLICATE_TX.explanation],
    ]


def test_explain_a_transaction_as_csv() -> None:
    """The same for programs, through a pipe as well."""
    code, output, errors = run("explain", "-", "--tx", "1", "--format", "csv", data=MIXED)
    assert (code, errors) == (0, "")
    rows: list[dict[str, Any]] = list(csv.DictReader(output.decode().splitlines()))
    assert [(row["line"], row["outcome"], row["row"]) for row in rows] == [
        ("2", "APPLIED", "deposit,1,1,5"),
        ("7", "DUPLICATE_TX", "deposit,1,1,5"),
    ]
    assert (rows[0]["available_before"], rows[0]["available_after"]) == ("-", "5.0000")


def test_explain_shows_what_could_not_be_read(tmp_path: Path) -> None:
    """Where a field has no value, the table quotes the row: on one line, without control characters, cut if it is long."""
    path = tmp_path / "t.csv"
    rows = (b"deposit,1,2,1e5", b"deposit,1,3,\x1b[2J", b"deposit,1,4," + b"9" * 500)
    path.write_bytes(HEADER + b"".join(row + b"\n" for row in rows))
    code, output, _ = run("explain", path, "--client", "1")
    shown = [line.rpartition("Row: ")[2] for line in output.decode().splitlines()[3:]]
    assert code == 0
    assert shown[0] == "'deposit,1,2,1e5'"
    assert shown[1] == r"'deposit,1,3,\x1b[2J'"
    assert shown[2] == "'" + rows[2][:80].decode() + "'..."


def test_explain_finds_a_missing_file_before_the_work(mixed: Path, tmp_path: Path) -> None:
    """All names are looked at before the first row is shown."""
    code, output, errors = run("explain", mixed, tmp_path / "missing.csv", "--client", "1")
    assert (code, output) == (1, b"")
    assert "missing.csv: No such file or directory" in errors


def test_explain_nobody(mixed: Path) -> None:
    """Without a row there is nothing to show, which is said."""
    code, output, errors = run("explain", mixed, "--client", "7")
    assert (code, output, errors) == (1, b"", "holdfast: no row names client 7\n")
    assert run("explain", mixed, "--tx", "5").errors == "holdfast: no row names tx 5\n"


def test_explain_to_a_reader_that_leaves(tmp_path: Path) -> None:
    """A long history behind ``| head`` ends quietly."""
    path = tmp_path / "t.csv"
    path.write_bytes(HEADER + b"".join(b"deposit,1,%d,1\n" % tx for tx in range(20_000)))
    code, output, errors = run_in_shell('holdfast explain "$1" --client 1 | head -n 4', path)
    assert (code, errors) == (0, "")
    assert output.count(b"\n") == 4


# --- progress ---


def _read_terminal(master: int, until: str) -> str:
    """Read what a terminal shows until it shows something."""
    shown = ""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not re.search(until, shown):
        ready, _, _ = select.select([master], [], [], max(0.0, deadline - time.monotonic()))
        assert ready, shown
        shown += os.read(master, 4096).decode()
    return shown


def test_progress_on_a_terminal() -> None:
    """Rows, rows/s, bytes and refused rows are drawn while it works, and removed at the end."""
    master, slave = pty.openpty()
    process = start("-", stdin=subprocess.PIPE, stderr=slave)
    os.close(slave)
    try:
        assert process.stdin is not None
        process.stdin.write(HEADER + b"deposit,1,1,5\n" * 1200)
        process.stdin.flush()
        number = r"[\d.]+( [kM])?"
        shown = _read_terminal(master, rf"1\.2 k rows, {number} rows/s, 16\.8 kB, 1\.2 k refused")
        process.stdin.write(b"deposit,1,2,5\n" * 20_000)
        process.stdin.flush()
        shown += _read_terminal(master, r"21\.2 k rows, ")
        code, output, _ = finish(process)
        shown += _read_terminal(master, r" \rholdfast: 21,198 of 21,200 rows were not applied .*\n")
    finally:
        process.kill()
        os.close(master)
    assert (code, output) == (0, OUTPUT_HEADER + b"1,10.0000,0.0000,10.0000,false\n")
    assert shown.count("\n") == 1


def test_progress_with_a_pipe_among_the_files(tmp_path: Path) -> None:
    """Where one size is not known, the line has no whole to be a part of."""
    fifo, file = tmp_path / "fifo", tmp_path / "t.csv"
    os.mkfifo(fifo)
    file.write_bytes(HEADER + b"deposit,1,1,5\n")
    master, slave = pty.openpty()
    process = start(file, fifo, stderr=slave)
    os.close(slave)
    try:
        with fifo.open("wb", buffering=0) as feed:
            feed.write(HEADER + b"deposit,1,2,5\n")
            # A pipe has no size, so the whole has none.
            shown = _read_terminal(master, r"2 rows, .* rows/s, \d+ B, 0 refused")
        assert " of " not in shown
        assert finish(process).code == 0
    finally:
        process.kill()
        os.close(master)


@pytest.mark.parametrize("option", ["--quiet", "-v"])
def test_no_progress_where_it_is_in_the_way(option: str) -> None:
    """Quiet and log lines go without a progress line, on a terminal too."""
    master, slave = pty.openpty()
    process = start("-", option, stdin=subprocess.PIPE, stderr=slave)
    try:
        assert process.stdin is not None
        process.stdin.write(HEADER + b"deposit,1,1,5\n")
        process.stdin.flush()
        # Time enough for several redraws.
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.6)
        assert finish(process).code == 0
        os.write(slave, b"end")
        shown = _read_terminal(master, "end$")
    finally:
        os.close(slave)
        os.close(master)
    assert not re.search(r"\d rows, ", shown)
