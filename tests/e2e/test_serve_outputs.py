"""Outputs of the server and of the token command: each one, failing in each way, beside others that must be whole."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from e2e.command import (
    HEADER,
    OUTPUT_HEADER,
    TIMEOUT_SECONDS,
    finish,
    run_in_shell,
    start,
    wait_until_it_waits,
)
from e2e.output_cases import assert_no_leftovers
from e2e.output_faults import (
    FOUND_BEFORE,
    MET_AFTER,
    OLD,
    closed_directory,
    file_for_a_directory,
    full_device,
    full_disk,
    is_directory,
    is_socket,
    no_directory,
    read_only,
    reader_gone,
    stalled_reader,
    write_protected,
)
from e2e.serving import serving

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    from e2e.output_faults import Fault

    MakeFault = Callable[[Path], AbstractContextManager[Fault]]

OPTIONS = ("-o", "--snapshot", "--port-file")
ACCOUNTS = OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n"


def places_in(directory: Path) -> dict[str, str]:
    """Give each output a file that is there already."""
    places = {option: str(directory / f"{option.strip('-')}.csv") for option in OPTIONS}
    for path in places.values():
        with open(path, "wb") as file:
            file.write(OLD)
    return places


def read(path: str) -> bytes:
    """Read a file."""
    with open(path, "rb") as file:
        return file.read()


def options_of(places: dict[str, str]) -> list[str]:
    """Put the options of a command line together."""
    return [word for pair in places.items() for word in pair]


@pytest.mark.parametrize("make_fault", FOUND_BEFORE)
@pytest.mark.parametrize("option", OPTIONS)
def test_an_output_that_cannot_be_written_is_found_before_anybody_sends(
    option: str, make_fault: MakeFault, tmp_path: Path
) -> None:
    """Exit code 1, one line, no port that listens, and no other output is touched."""
    places = places_in(tmp_path)
    os.unlink(places[option])
    with make_fault(tmp_path) as fault:
        places[option] = fault.path
        line = ["serve", "--listen", "127.0.0.1:0", *options_of(places)]
        result = finish(start(*line, command=fault.command))
    assert (result.code, result.output) == (1, b"")
    assert result.errors.startswith(f"holdfast: {fault.path}: ")
    assert fault.reason in result.errors
    assert result.errors.count("\n") == 1
    assert [read(places[other]) for other in OPTIONS if other != option] == [OLD, OLD]
    assert_no_leftovers(tmp_path)


@pytest.mark.parametrize("make_fault", MET_AFTER)
def test_ports_that_cannot_be_written(make_fault: MakeFault, tmp_path: Path) -> None:
    """A script that waits for them would wait for ever: the server ends, and its other outputs stay as they were."""
    places = places_in(tmp_path)
    with make_fault(tmp_path) as fault:
        places["--port-file"] = fault.path
        line = ["serve", "--listen", "127.0.0.1:0", *options_of(places)]
        result = finish(start(*line, pass_fds=fault.pass_fds))
    assert result.code == 1
    assert result.errors.endswith(f"holdfast: {fault.path}: {fault.reason}\n")
    assert [read(places[other]) for other in ("-o", "--snapshot")] == [OLD, OLD]


@pytest.mark.parametrize(
    ("option", "make_fault"),
    [("-o", full_disk), ("-o", full_device), ("-o", reader_gone), ("--snapshot", full_disk)],
)
def test_an_output_that_fails_at_the_end_costs_no_other(
    option: str, make_fault: MakeFault, tmp_path: Path
) -> None:
    """The last snapshot and ``-o`` are written whatever becomes of the other; one line names the failure."""
    places = places_in(tmp_path)
    del places["--port-file"]
    with make_fault(tmp_path) as fault:
        places[option] = fault.path
        with serving(tmp_path, *options_of(places), pass_fds=fault.pass_fds) as server:
            assert server.exchange(HEADER + b"deposit,1,1,5\n")[-1]["applied"] == 1
            assert server.stop() == 1
            log = server.log.read_text()
    assert f"\nholdfast: {fault.path}: {fault.reason}\n" in log
    (other,) = set(places) - {option}
    assert read(places[other]) == ACCOUNTS
    assert_no_leftovers(tmp_path)


@pytest.mark.parametrize("option", ["-o", "--snapshot"])
def test_a_directory_that_goes_away_while_the_server_runs(option: str, tmp_path: Path) -> None:
    """The other output is whole, and the exit code says that this one is not."""
    places, gone = places_in(tmp_path), tmp_path / "gone"
    del places["--port-file"]
    gone.mkdir()
    places[option] = str(gone / "output.csv")
    with serving(tmp_path, *options_of(places)) as server:
        assert server.exchange(HEADER + b"deposit,1,1,5\n")[-1]["applied"] == 1
        shutil.rmtree(gone)
        server.process.send_signal(signal.SIGHUP)
        if option == "--snapshot":
            server.wait_for_log("no snapshot was written")
        assert server.stop() == 1
        log = server.log.read_text()
    assert f"\nholdfast: {places[option]}: there is no directory {gone}\n" in log
    (other,) = set(places) - {option}
    assert read(places[other]) == ACCOUNTS


@pytest.mark.parametrize("option", ["--snapshot", "--port-file"])
def test_a_server_waits_for_no_reader(option: str, tmp_path: Path) -> None:
    """A pipe whose reader does not come would stop all senders: it is a usage error."""
    fifo = tmp_path / "fifo.csv"
    os.mkfifo(fifo)
    result = finish(start("serve", "--listen", "127.0.0.1:0", option, fifo))
    assert (result.code, result.output) == (2, b"")
    assert f"{option} {fifo}: " in result.errors.splitlines()[-1]
    assert stat.S_ISFIFO(fifo.stat().st_mode)


@pytest.mark.parametrize("option", OPTIONS)
def test_a_log_and_an_output_are_two_files(option: str, tmp_path: Path) -> None:
    """An output that is the log's file would replace it."""
    log = tmp_path / "log.csv"
    result = run_in_shell(f'holdfast serve --listen 127.0.0.1:0 {option} "$1" 2>> "$1"', log)
    assert result.code == 2
    assert "this is standard error and would be overwritten" in log.read_text()


def test_a_log_is_not_added_to_the_tokens(tmp_path: Path) -> None:
    """What the server reads again must not be what it says; not even this message is added."""
    tokens = tmp_path / "tokens"
    tokens.write_text("sha256:x\n")
    result = run_in_shell('holdfast serve --listen 127.0.0.1:0 --tokens "$1" 2>> "$1"', tokens)
    assert result.code == 2
    assert b"standard error: this is the file of --tokens" in result.output
    assert tokens.read_text() == "sha256:x\n"


def test_accounts_on_standard_output(tmp_path: Path) -> None:
    """``-o -`` is standard output for the server as well; ``-o`` may be a pipe that is read at the end."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    with serving(tmp_path, "-o", fifo) as server:
        server.exchange(HEADER + b"deposit,1,1,5\n")
        server.process.send_signal(signal.SIGTERM)
        assert fifo.read_bytes() == ACCOUNTS
        assert server.process.wait(TIMEOUT_SECONDS) == 0
    with serving(tmp_path, "-o", "-", stdout=subprocess.PIPE) as server:
        server.exchange(HEADER + b"deposit,1,1,5\n")
        assert server.stop() == 0
        assert server.process.stdout is not None
        assert server.process.stdout.read() == ACCOUNTS
        server.process.stdout.close()


def test_a_private_snapshot_stays_private(tmp_path: Path) -> None:
    """A snapshot that replaces a file has its permissions."""
    target = tmp_path / "snapshot.csv"
    target.write_bytes(OLD)
    target.chmod(0o600)
    with serving(tmp_path, "--snapshot", target) as server:
        assert server.stop() == 0
    assert (target.read_bytes(), stat.S_IMODE(target.stat().st_mode)) == (OUTPUT_HEADER, 0o600)


@pytest.mark.parametrize("ending", ["reader gone", "full"])
def test_a_log_that_is_lost_stops_no_server(ending: str, tmp_path: Path) -> None:
    """Senders are served and the accounts written; the exit code says that the log is not all there."""
    target, ports = tmp_path / "o.csv", tmp_path / "port"
    read_end, write_end = os.pipe()
    os.close(read_end)
    full = os.open("/dev/full", os.O_WRONLY)
    errors = write_end if ending == "reader gone" else full
    with serving(tmp_path, "-o", target, stderr=errors) as server:
        os.close(write_end)
        os.close(full)
        assert server.exchange(HEADER + b"deposit,1,1,5\n")[-1]["applied"] == 1
        assert server.stop() == 1
    assert target.read_bytes() == ACCOUNTS
    assert ports.read_bytes().strip().isdigit()


def test_a_second_signal_ends_the_wait_for_a_reader_of_the_accounts(tmp_path: Path) -> None:
    """Nobody reads the pipe that ``-o`` names: the next SIGTERM ends the server, and the snapshot is whole."""
    snapshot = tmp_path / "snapshot.csv"
    with (
        stalled_reader() as pipe,
        serving(tmp_path, "-o", f"/dev/fd/{pipe}", "--snapshot", snapshot, pass_fds=(pipe,)) as server,
    ):
        server.exchange(HEADER + b"deposit,1,1,5\n")
        server.process.terminate()
        server.wait_for_log("stopped: ")
        wait_until_it_waits(server.process)
        assert server.stop() == 143
    assert snapshot.read_bytes() == ACCOUNTS


# --- tokens ---


def test_a_signal_ends_the_wait_for_a_reader_of_the_token() -> None:
    """Nobody reads standard output: SIGTERM ends the command with its code."""
    with stalled_reader() as pipe:
        process = start("token", stdout=pipe)
        wait_until_it_waits(process)
        process.terminate()
        assert process.wait(TIMEOUT_SECONDS) == 143
        finish(process)


@pytest.mark.parametrize(
    "make_fault",
    [
        full_disk, no_directory, file_for_a_directory, is_directory, read_only, closed_directory, write_protected,
        full_device, is_socket,
    ],
)  # fmt: skip
def test_a_token_that_cannot_be_added_is_not_given_out(make_fault: MakeFault, tmp_path: Path) -> None:
    """Exit code 1, one line, no token on standard output, and the file is as it was."""
    with make_fault(tmp_path) as fault:
        result = finish(start("token", "--append", fault.path, command=fault.command))
    assert (result.code, result.output) == (1, b"")
    assert result.errors.startswith(f"holdfast: {fault.path}: ")
    assert result.errors.count("\n") == 1
    assert_no_leftovers(tmp_path)


def test_a_pipe_is_no_file_of_tokens(tmp_path: Path) -> None:
    """It is refused at once, whether or not somebody reads it."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    result = finish(start("token", "--append", fifo))
    assert (result.code, result.output) == (1, b"")
    assert result.errors == f"holdfast: {fifo}: lines can only be added to a regular file\n"


@pytest.mark.parametrize("redirection", ["reader gone", "> /dev/full", ">&-"])
@pytest.mark.parametrize("appends", [True, False])
def test_a_token_that_nobody_gets_is_no_success(appends: bool, redirection: str, tmp_path: Path) -> None:
    """The one who asked for it does not have it, a reader that leaves early included."""
    tokens = tmp_path / "tokens"
    arguments = ("--append", tokens) if appends else ()
    if redirection == "reader gone":
        read_end, write_end = os.pipe()
        os.close(read_end)
        result = finish(start("token", *arguments, stdout=write_end))
        os.close(write_end)
    else:
        result = run_in_shell(f'holdfast token "$@" {redirection}', *arguments)
    assert (result.code, result.output) == (1, b"")
    assert result.errors.startswith("holdfast: ")
    assert result.errors.count("\n") == 1
    if redirection == ">&-":
        assert not tokens.exists()
