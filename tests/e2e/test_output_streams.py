"""Standard output and standard error: readers that leave or stall, full devices, and redirections into inputs."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from e2e.command import OUTPUT_HEADER, TIMEOUT_SECONDS, finish, run, run_in_shell, start, wait_until_it_waits
from e2e.output_cases import (
    BAD_ROWS,
    CASES,
    OUTPUTS,
    Case,
    assert_no_leftovers,
    assert_whole,
    command_line,
    places_in,
    write_input,
)
from e2e.output_faults import OLD, stalled_reader

# --- standard output ---

STDOUT_COMMANDS = {
    "process": ("process", "-q"),
    "accounts by name": ("process", "-q", "-o", "-"),
    "rejects": ("check", "-q", "--rejects", "-"),
    "summary": ("check", "-q", "--json-summary", "-"),
}


@pytest.mark.parametrize(
    ("name", "end", "size"),
    [
        ("process", "head -n 1", "few"),
        ("process", "true", "few"),
        ("process", "gone", "few"),
        ("accounts by name", "gone", "few"),
        ("rejects", "head -n 1", "many"),
        ("rejects", "gone", "many"),
        ("rejects", "gone", "few"),
        ("summary", "gone", "few"),
    ],
)
@pytest.mark.parametrize("verdict", ["done", "refused"])
def test_a_reader_of_standard_output_that_leaves(
    name: str, end: str, size: str, verdict: str, tmp_path: Path
) -> None:
    """That is no failure: nothing is said, the verdict is the job's, and every file is whole."""
    bad_rows = BAD_ROWS[size] if verdict == "refused" else 0
    source = write_input(tmp_path, bad_rows)
    line = STDOUT_COMMANDS[name]
    command = line[0]
    extra = [option for option in CASES[command].options if option not in {"-o", *line}]
    places = {option: str(tmp_path / f"{option.strip('-')}.out") for option in extra}
    arguments = [*line, str(source), *(word for pair in places.items() for word in pair)]
    if command == "process":
        arguments.append("--fail-on-reject")
    code = 3 if verdict == "refused" else 0
    if end == "gone":
        read_end, write_end = os.pipe()
        os.close(read_end)
        result = finish(start(*arguments, stdout=write_end))
        os.close(write_end)
    else:
        result = run_in_shell(f'holdfast "$@" | {end}; exit ${{PIPESTATUS[0]}}', *arguments)
    assert (result.code, result.errors) == (code, "")
    for option, path in places.items():
        assert_whole(option, path, bad_rows, command=command)


@pytest.mark.parametrize("name", STDOUT_COMMANDS)
@pytest.mark.parametrize(
    ("redirection", "reason"), [("> /dev/full", "No space left on device"), (">&-", "Bad file descriptor")]
)
def test_a_standard_output_that_fails(name: str, redirection: str, reason: str, tmp_path: Path) -> None:
    """A full device is met after the work and costs no file; one that was closed is found before it."""
    source = write_input(tmp_path, 0)
    line = STDOUT_COMMANDS[name]
    extra = [option for option in CASES[line[0]].options if option not in {"-o", *line}]
    places = {option: str(tmp_path / f"{option.strip('-')}.out") for option in extra}
    arguments = [*line, str(source), *(word for pair in places.items() for word in pair)]
    result = run_in_shell(f'holdfast "$@" {redirection}', *arguments)
    assert result == (1, b"", f"holdfast: <stdout>: {reason}\n")
    for option, path in places.items():
        if redirection == ">&-":
            assert not Path(path).exists()
        else:
            assert_whole(option, path, 0, command=line[0])


@pytest.mark.parametrize("redirection", ["> /dev/full", ">&-"])
@pytest.mark.parametrize("arguments", [(), ("--format", "csv")])
def test_explain_needs_its_standard_output(
    arguments: tuple[str, ...], redirection: str, tmp_path: Path
) -> None:
    """A history that cannot be written is an error of one line."""
    source = write_input(tmp_path, 0)
    result = run_in_shell(f'holdfast explain "$@" --client 1 {redirection}', source, *arguments)
    assert (result.code, result.output) == (1, b"")
    assert result.errors.startswith("holdfast: <stdout>: ")
    assert result.errors.count("\n") == 1


def test_an_abort_is_told_to_a_reader_that_has_left(tmp_path: Path) -> None:
    """``--on-error abort | true`` is 1, and the message comes."""
    source = write_input(tmp_path, 3)
    result = run_in_shell('holdfast "$1" --on-error abort | true; exit ${PIPESTATUS[0]}', source)
    assert result.code == 1
    assert "line 3" in result.errors


# --- after an abort ---


def test_an_abort_leaves_the_accounts_that_were_there(tmp_path: Path) -> None:
    """A good file is not replaced by a partial one, and the message says how to get that all the same."""
    source, target, summary = write_input(tmp_path, 3), tmp_path / "o.csv", tmp_path / "s.json"
    target.write_bytes(OLD)
    arguments = (source, "--on-error", "abort", "-o", target, "--json-summary", summary)
    code, output, errors = run(*arguments)
    assert (code, output, target.read_bytes()) == (1, b"", OLD)
    assert errors.endswith(f"; {target} is not written, --write-on-abort writes it all the same\n")
    assert json.loads(summary.read_text())["rows"] == 2
    code, output, errors = run(*arguments, "--write-on-abort")
    assert (code, output) == (1, b"")
    assert_whole("-o", str(target), 3, command="process")
    assert errors.endswith("; the accounts are partial: no row after this one is in them\n")


@pytest.mark.parametrize("arguments", [(), ("-o", "-"), ("-o", "/dev/stdout")])
def test_an_abort_writes_partial_accounts_on_standard_output(
    arguments: tuple[str, ...], tmp_path: Path
) -> None:
    """There is nothing to protect, and the message says what they are."""
    code, output, errors = run(write_input(tmp_path, 3), "--on-error", "abort", *arguments)
    assert (code, output) == (1, OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n")
    assert errors.endswith("; the accounts are partial: no row after this one is in them\n")


# --- the log on standard error ---


VERDICTS = {
    ("process", 0): (), ("process", 1): ("--on-error", "budget:1%"), ("process", 3): ("--fail-on-reject",),
    ("check", 1): ("--on-error", "budget:1%"), ("check", 3): (),
    ("send", 0): (), ("send", 3): ("--fail-on-reject",),
}  # fmt: skip
"""What gives a command a verdict on an input with a few bad rows."""


@pytest.mark.parametrize(
    "redirection", ["2> /dev/full", "2> >(head -n 1 > /dev/null)", "reader gone", "2>&-"]
)
@pytest.mark.parametrize(("command", "code"), VERDICTS)
def test_a_log_that_is_lost(
    command: str, code: int, redirection: str, tmp_path: Path, server_port: str
) -> None:
    """Files are whole and the verdict stays; where it is 0, a log that was asked for and lost makes it 1."""
    case = CASES[command]
    # Many, so that a reader who leaves after the first line has left before the last one is written.
    bad_rows = BAD_ROWS["many" if "head" in redirection and code != 1 else "few"]
    source = write_input(tmp_path, bad_rows, command=command)
    places = places_in(tmp_path, case)
    line = [*command_line(case, source, places, server_port), "-v", *VERDICTS[command, code]]
    if redirection == "reader gone":
        read_end, write_end = os.pipe()
        os.close(read_end)
        result = finish(start(*line, stderr=write_end))
        os.close(write_end)
    else:
        result = run_in_shell(f'holdfast "$@" {redirection}', *line)
    # Somebody who closes standard error wants no log.
    assert (result.code, result.output) == (code or (0 if redirection == "2>&-" else 1), b"")
    for option, path in places.items():
        if option == "-o" and code == 1:
            assert Path(path).read_bytes() == OLD
        else:
            assert_whole(option, path, bad_rows, command=command)


def test_a_log_in_a_pipe_with_the_output(tmp_path: Path) -> None:
    """``check -v big.csv 2>&1 | head`` is 3."""
    source = write_input(tmp_path, BAD_ROWS["many"])
    result = run_in_shell('holdfast check -v "$1" 2>&1 | head -n 1; exit ${PIPESTATUS[0]}', source)
    assert result.code == 3
    assert "MALFORMED_ROW" in result.output.decode()


@pytest.mark.parametrize("redirection", ["2> /dev/full", "2> >(true)", "2>&-"])
@pytest.mark.parametrize(
    ("arguments", "code"), [(("missing.csv",), 1), (("--nonesuch",), 2), (("explain", "-"), 2)]
)
def test_messages_that_nobody_hears(arguments: tuple[str, ...], code: int, redirection: str) -> None:
    """Errors keep their exit codes, at interpreter shutdown too."""
    assert run_in_shell(f'holdfast "$@" {redirection}', *arguments).code == code


# --- readers that stall ---


STALLED = [
    *OUTPUTS,
    ("process", "stdout"),
    ("process", "stderr"),
    ("check", "stderr"),
    ("send", "stderr"),
    ("explain", "stdout"),
]


@pytest.mark.parametrize(("command", "output"), STALLED)
def test_a_signal_ends_the_wait_for_a_reader_that_stalls(
    command: str, output: str, tmp_path: Path, server_port: str
) -> None:
    """Nobody reads: SIGTERM ends the command with its code, and no file is half-written."""
    case = CASES.get(command, Case("explain", ("--client", "1"), ()))
    source = write_input(tmp_path, 3, command=command)
    places = places_in(tmp_path, case)
    with stalled_reader() as pipe:
        streams: dict[str, Any] = {}
        if output in {"stdout", "stderr"}:
            streams[output] = pipe
            places.pop("-o", None)
        else:
            places[output] = f"/dev/fd/{pipe}"
        line = command_line(case, source, places, server_port)
        if output == "stderr":
            line.append("-v")
        process = start(*line, pass_fds=(pipe,), **streams)
        wait_until_it_waits(process)
        before = time.monotonic()
        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 143
        assert time.monotonic() - before < 10
        finish(process)
    for option, path in places.items():
        if option != output and Path(path).read_bytes() != OLD:
            assert_whole(option, path, 3, command=command)
    assert_no_leftovers(tmp_path)


@pytest.mark.parametrize("place", ["a FIFO", "standard output"])
def test_rejects_that_stall_are_whole_with_a_snapshot(place: str, tmp_path: Path) -> None:
    """With ``--snapshot-on-signal`` the reader is waited for: rejects, accounts and summary are of the same rows."""
    source = write_input(tmp_path, BAD_ROWS["many"])
    fifo, target, summary = tmp_path / "fifo", tmp_path / "o.csv", tmp_path / "s.json"
    os.mkfifo(fifo)
    rejects = "-" if place == "standard output" else fifo
    process = start(
        source, "--rejects", rejects, "-o", target, "--json-summary", summary, "--snapshot-on-signal"
    )
    assert process.stdout is not None
    with fifo.open("rb") if place == "a FIFO" else process.stdout as reader:
        wait_until_it_waits(process)
        process.terminate()
        data = reader.read()
    assert process.wait(TIMEOUT_SECONDS) == 143
    assert data.startswith(b"input,line,offset,code,reason,row\n")
    assert data.endswith(b'"\n')
    assert_whole("-o", str(target), 3, command="process")
    assert data.count(b",MALFORMED_ROW,") == json.loads(summary.read_text())["refused"]
    finish(process)


# --- outputs that are inputs ---


@pytest.mark.parametrize(
    "script",
    [
        'holdfast -v "$1" 2>> "$1"',
        'holdfast check -v "$1" 2>> "$1"',
        'holdfast "$1" 2>> "$1"',
        'holdfast -v - < "$1" 2>> "$1"',
        'holdfast send --to 127.0.0.1:1 "$1" 2>> "$1"',
        'holdfast explain --client 1 "$1" 2>> "$1"',
        'holdfast "$1" >> "$1" 2>> "$1"',
        'holdfast --rules "$2" "$1" 2>> "$2"',
    ],
)  # fmt: skip
def test_standard_error_that_is_an_input(script: str, tmp_path: Path) -> None:
    """It ends at once with 2; not even the message becomes a row."""
    source, rules = write_input(tmp_path, 3), tmp_path / "own.toml"
    before = source.read_bytes()
    rules.write_text("")
    result = run_in_shell(script, source, rules)
    assert result.code == 2
    assert source.read_bytes() == before
    assert rules.read_text() == ""
    if '>> "$1" 2' not in script:
        assert (
            "standard error: this is the" in result.output.decode()
            or "standard input" in result.output.decode()
        )


@pytest.mark.parametrize(
    "script",
    [
        'holdfast "$1" >> "$1"',
        'holdfast explain --client 1 "$1" >> "$1"',
        'holdfast check --rejects - "$1" >> "$1"',
    ],
)
def test_standard_output_that_is_an_input(script: str, tmp_path: Path) -> None:
    """The accounts do not become rows."""
    source = write_input(tmp_path, 3)
    before = source.read_bytes()
    result = run_in_shell(script, source)
    assert result.code == 2
    assert "standard output: this is the input" in result.errors
    assert source.read_bytes() == before


@pytest.mark.parametrize("option", CASES["process"].options)
def test_standard_error_that_is_an_output(option: str, tmp_path: Path) -> None:
    """A log would go to a file that is replaced; by its own name it is written through."""
    source, log = write_input(tmp_path, 3), tmp_path / "log"
    result = run_in_shell(f'holdfast "$1" {option} "$2" 2> "$2"', source, log)
    assert result.code == 2
    assert "this is standard error and would be overwritten" in log.read_text()
    result = run_in_shell(f'holdfast "$1" {option} /dev/stderr 2> "$2"', source, log)
    assert (result.code, log.read_bytes() != b"") == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--rejects", "-"),
        ("-o", "-", "--json-summary", "-"),
        ("-o", "o.csv", "--rejects", "-", "--json-summary", "-"),
    ],
)
def test_standard_output_has_one_use(arguments: tuple[str, ...], tmp_path: Path) -> None:
    """Two things in one stream could not be told apart."""
    result = run(write_input(tmp_path, 3), *arguments)
    assert (result.code, result.output) == (2, b"")
    assert " -: standard output is for " in result.errors


def test_rejects_on_standard_output(tmp_path: Path) -> None:
    """Where the accounts go to a file, or there are none, ``-`` is free for another output."""
    source = write_input(tmp_path, 3)
    for line in (("check", "-q"), ("process", "-o", str(tmp_path / "o.csv"))):
        result = run(*line, source, "--rejects", "-")
        assert result.output.count(b"MALFORMED_ROW") == 3
    assert json.loads(run("check", "-q", source, "--json-summary", "-").output)["rows"] == 4
