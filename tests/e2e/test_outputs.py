"""Outputs of the commands on files: each one, failing in each way, beside others that must be whole.

The rule: exit code 0 only if everything asked for is there; the verdict survives whatever happens to an output; one
output's failure costs no other one; each failure is said in one line.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from e2e.command import OUTPUT_HEADER, TIMEOUT_SECONDS, finish, start
from e2e.output_cases import (
    BAD_ROWS,
    CASES,
    OUTPUTS,
    assert_no_leftovers,
    assert_whole,
    command_line,
    places_in,
    write_input,
)
from e2e.output_faults import FOUND_BEFORE, MET_AFTER, OLD

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from e2e.output_faults import Fault

    MakeFault = Callable[[Path], AbstractContextManager[Fault]]


FAILING = [
    (command, option, size, code)
    for command, option in OUTPUTS
    for size in ("few", "many")
    for code in (1, 3)
    # Only rejects are larger where there are more of them, and check has one verdict on bad rows.
    if (size == "few" or option == "--rejects") and (command != "check" or (size, code) != ("many", 1))
]


@pytest.mark.parametrize("make_fault", MET_AFTER)
@pytest.mark.parametrize("failing", FAILING, ids=lambda failing: "-".join(map(str, failing)))
def test_an_output_that_fails_costs_no_other(
    failing: tuple[str, str, str, int], make_fault: MakeFault, tmp_path: Path, server_port: str
) -> None:
    """The others are whole; one line names the one that failed; the exit code is the verdict, or 1 for 0."""
    command, option, size, code = failing
    case = CASES[command]
    bad_rows = 0 if (command, code) == ("check", 1) else BAD_ROWS[size]
    source = write_input(tmp_path, bad_rows, command=command)
    places = places_in(tmp_path, case)
    with make_fault(tmp_path) as fault:
        places[option] = fault.path
        line = [*command_line(case, source, places, server_port), "-q"]
        if code == 3 and command != "check":
            line.append("--fail-on-reject")
        result = finish(start(*line, pass_fds=fault.pass_fds, command=fault.command))
    assert (result.code, result.output) == (code, b"")
    assert result.errors == f"holdfast: {fault.path}: {fault.reason}\n"
    for other in case.options:
        if other != option:
            assert_whole(other, places[other], bad_rows, command=command)
    assert_no_leftovers(tmp_path)


@pytest.mark.parametrize("make_fault", FOUND_BEFORE)
@pytest.mark.parametrize(("command", "option"), OUTPUTS)
def test_an_output_that_cannot_be_written_is_found_before_the_work(
    command: str, option: str, make_fault: MakeFault, tmp_path: Path, server_port: str
) -> None:
    """Exit code 1, one line, and no other output is touched."""
    case = CASES[command]
    source = write_input(tmp_path, 3, command=command)
    places = places_in(tmp_path, case)
    Path(places[option]).unlink()
    with make_fault(tmp_path) as fault:
        places[option] = fault.path
        result = finish(start(*command_line(case, source, places, server_port), command=fault.command))
    assert (result.code, result.output) == (1, b"")
    assert result.errors.startswith(f"holdfast: {fault.path}: ")
    assert fault.reason in result.errors
    assert result.errors.count("\n") == 1
    for other in case.options:
        if other != option:
            assert Path(places[other]).read_bytes() == OLD
    assert_no_leftovers(tmp_path)


@pytest.mark.parametrize("gone", ["removed", "moved", "a file now"])
@pytest.mark.parametrize(("command", "option"), OUTPUTS)
def test_a_directory_that_goes_away_during_the_work(
    command: str, option: str, gone: str, tmp_path: Path, server_port: str
) -> None:
    """What could not be found before the work is one line after it, and the other outputs are whole."""
    case = CASES[command]
    fifo, place, moved = tmp_path / "fifo", tmp_path / "place", tmp_path / "moved"
    os.mkfifo(fifo)
    place.mkdir()
    places = places_in(tmp_path, case)
    places[option] = str(place / "output.csv")
    process = start(*command_line(case, fifo, places, server_port), "-q")
    try:
        # Opening succeeds when the command has opened the other end: it has looked at its outputs by then.
        with fifo.open("wb", buffering=0) as feed:
            rows = write_input(tmp_path, 3, command=command).read_bytes()
            feed.write(rows[:-10])
            if option == "--rejects":
                wait_for_file(place)
            move_away(place, moved, gone)
            feed.write(rows[-10:])
        result = finish(process)
    finally:
        process.kill()
        process.wait()
    assert result.code == (3 if command == "check" else 1)
    assert result.errors.startswith(f"holdfast: {places[option]}: ")
    assert result.errors.count("\n") == 1
    for other in case.options:
        if other != option:
            assert_whole(other, places[other], 3, command=command)
    assert not (moved / "output.csv").exists()


def wait_for_file(place: Path) -> None:
    """Wait until a file is in a directory: one that is written during the work."""
    deadline = time.monotonic() + TIMEOUT_SECONDS
    while not list(place.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.005)


def move_away(place: Path, moved: Path, gone: str) -> None:
    """Take a directory away."""
    if gone == "removed":
        shutil.rmtree(place)
        return
    place.rename(moved)
    if gone == "a file now":
        place.write_bytes(OLD)


# --- verdicts that survive ---


@pytest.mark.parametrize("option", CASES["process"].options)
@pytest.mark.parametrize("make_fault", MET_AFTER)
def test_an_abort_is_said_beside_a_failure(option: str, make_fault: MakeFault, tmp_path: Path) -> None:
    """The policy's line comes first, the output's after it; the exit code is 1."""
    case = CASES["process"]
    source = write_input(tmp_path, 3)
    places = places_in(tmp_path, case)
    with make_fault(tmp_path) as fault:
        places[option] = fault.path
        line = [*command_line(case, source, places, ""), "--on-error", "abort", "--write-on-abort"]
        result = finish(start(*line, pass_fds=fault.pass_fds))
    assert (result.code, result.output) == (1, b"")
    first, second = result.errors.splitlines()
    assert "line 3" in first
    assert second == f"holdfast: {fault.path}: {fault.reason}"
    for other in case.options:
        if other != option:
            assert_whole(other, places[other], 1, command="process")


@pytest.mark.parametrize("option", CASES["process"].options)
@pytest.mark.parametrize("make_fault", MET_AFTER)
def test_a_signal_is_told_beside_a_failure(option: str, make_fault: MakeFault, tmp_path: Path) -> None:
    """What was there when the signal came is written to the other outputs; the exit code is the signal's."""
    case = CASES["process"]
    places = places_in(tmp_path, case)
    with make_fault(tmp_path) as fault:
        places[option] = fault.path
        line = [*command_line(case, "-", places, ""), "--snapshot-on-signal", "-v"]
        process = start(*line, stdin=subprocess.PIPE, pass_fds=fault.pass_fds)
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(write_input(tmp_path, 1).read_bytes())
        process.stdin.flush()
        assert b"MALFORMED_ROW" in process.stderr.readline()
        process.send_signal(signal.SIGTERM)
        assert process.wait(TIMEOUT_SECONDS) == 143
        result = finish(process)
    assert result.errors.endswith(f"holdfast: {fault.path}: {fault.reason}\n")
    for other in case.options:
        if other != option:
            assert_whole(other, places[other], 1, command="process")


def test_every_failure_is_said(tmp_path: Path) -> None:
    """Three outputs that fail are three lines, and a fourth one is whole."""
    source = write_input(tmp_path, 3)
    link = tmp_path / "full"
    link.symlink_to("/dev/full")
    result = finish(
        start(
            str(source), "--rejects", "/dev/full", "--json-summary", str(link), "--fail-on-reject", "-q",
            stdout=subprocess.PIPE,
        )
    )  # fmt: skip
    assert (result.code, result.output) == (3, OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n")
    assert result.errors.splitlines() == [
        "holdfast: /dev/full: No space left on device",
        f"holdfast: {link}: No space left on device",
    ]
