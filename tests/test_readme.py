"""What the pages show works: every console command is run, every Python block is a program.

A ``console`` block holds commands behind ``$ `` (``> `` continues one); what is shown below a command is its
standard output, with ``...`` for what differs from run to run. A block that begins with ``holdfast serve`` is run
as a whole, by one shell. Blocks of other languages are not run.
"""

from __future__ import annotations

import doctest
import os
import re
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
CONSOLE_PAGES = (
    "README.md",
    "docs/command.md",
    "docs/rules.md",
    "docs/csv.md",
    "docs/partners.md",
    "docs/python.md",
    "docs/ledger.md",
)
PYTHON_PAGES = ("README.md", "docs/partners.md", "docs/python.md", "docs/streaming.md", "docs/ledger.md")
"""The programs of docs/client.md need a server; ``tests/client`` runs them."""
TIMEOUT_SECONDS = 60
SERVE = "holdfast serve "
NC = f"""#!{sys.executable}
# What OpenBSD's nc -N does: not every machine has it.
import socket, sys
with socket.create_connection((sys.argv[-2], int(sys.argv[-1])), timeout={TIMEOUT_SECONDS}) as connection:
    connection.sendall(sys.stdin.buffer.read())
    connection.shutdown(socket.SHUT_WR)
    while data := connection.recv(65536):
        sys.stdout.buffer.write(data)
"""


class Block(NamedTuple):
    """A fenced block of a page, and the line of the page on which its text begins."""

    language: str
    text: str
    line: int


class Command(NamedTuple):
    """A command of a console block and what is shown below it."""

    text: str
    expected: str
    line: int


def blocks(page: str) -> list[Block]:
    """List a page's fenced blocks."""
    found: list[Block] = []
    language, start = "", 0
    lines = (ROOT / page).read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(lines, 1):
        fence = re.match(r"\s*```(\S*)", line)
        if fence is None:
            continue
        if start:
            text = textwrap.dedent("\n".join(lines[start : number - 1])) + "\n"
            found.append(Block(language, text, start + 1))
        language, start = fence[1], 0 if start else number
    assert not start, f"{page}:{start}: a block that is never closed"
    return found


def commands(block: Block) -> list[Command]:
    """Split a console block into its commands."""
    found: list[Command] = []
    for number, line in enumerate(block.text.splitlines(), block.line):
        if line.startswith("$ "):
            found.append(Command(line[2:], "", number))
        elif line.startswith("> ") and found and not found[-1].expected:
            found[-1] = found[-1]._replace(text=f"{found[-1].text}\n{line[2:]}")
        else:
            assert found, f"line {number}: output without a command"
            found[-1] = found[-1]._replace(expected=f"{found[-1].expected}{line}\n")
    return found


def one_session(block: Block) -> Command:
    """Make one script of a block with a server in the background, which takes any port that is free."""
    parts = commands(block)
    script = "\n".join(part.text for part in parts)
    # However this test ends, the server does. In the foreground, because timeout otherwise signals twice.
    server = f"timeout --foreground {TIMEOUT_SECONDS} {SERVE}--listen 127.0.0.1:0 --port-file port "
    script = script.replace(SERVE, server)
    script = script.replace("&\n", "&\nuntil [ -s port ]; do sleep 0.02; done\n", 1)
    script = re.sub(r"(127\.0\.0\.1[: ])7070\b", r"\1$(cat port)", script)
    return Command(script, "".join(part.expected for part in parts), block.line)


def missing_make_target(command: str) -> str | None:
    """Say which target of a make command does not exist; running one here would build everything anew."""
    targets = [word for word in command.split()[1:] if "=" not in word and not word.startswith("-")]
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    return next((target for target in targets if target not in known), None)


def run(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would who has activated this environment."""
    places = (str(directory / "bin"), str(Path(sys.executable).parent), os.environ["PATH"])
    # An empty value is as good as none: a reader's Python buffers what it prints.
    environment = {**os.environ, "PATH": os.pathsep.join(places), "PYTHONUNBUFFERED": ""}
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command],
        cwd=directory,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )


def check_command(page: str, command: Command, directory: Path) -> None:
    """Run a command and compare what it prints with what the page shows."""
    where = f"{page}:{command.line}: $ {command.text}"
    if command.text.split()[0] == "make":
        missing = missing_make_target(command.text)
        assert missing is None, f"{where}\nthere is no target {missing}"
        return
    done = run(command.text, directory)
    assert done.returncode == 0, f"{where}\nends with {done.returncode}\n{done.stdout}{done.stderr}"
    shown = command.expected
    if shown:
        checker = doctest.OutputChecker()
        matches = checker.check_output(shown, done.stdout, doctest.ELLIPSIS)
        assert matches, f"{where}\nthe page shows:\n{shown}\nit prints:\n{done.stdout}"


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Make a directory that has the examples, as a clone has, and beside them what a machine may be short of."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "transactions.csv", tmp_path)
    nc = tmp_path / "bin" / "nc"
    nc.parent.mkdir()
    nc.write_text(NC)
    nc.chmod(0o755)
    return tmp_path


def test_the_readme_shows_commands_and_python() -> None:
    """A page without blocks would pass everything below."""
    languages = {block.language for block in blocks("README.md")}
    assert {"console", "python"} <= languages


@pytest.mark.parametrize("page", CONSOLE_PAGES)
def test_commands_of_a_page(page: str, clone: Path) -> None:
    """Every command of a page succeeds and prints what is shown, one after the other in one directory."""
    for block in blocks(page):
        if block.language == "console":
            is_session = block.text.startswith(f"$ {SERVE}")
            for command in [one_session(block)] if is_session else commands(block):
                check_command(page, command, clone)


PYTHON_BLOCKS = [
    pytest.param(page, block, id=f"{page}:{block.line}")
    for page in PYTHON_PAGES
    if (ROOT / page).is_file()
    for block in blocks(page)
    if block.language == "python"
]


@pytest.mark.parametrize(("page", "block"), PYTHON_BLOCKS)
def test_python_of_a_page(page: str, block: Block, clone: Path) -> None:
    """Every Python block is a program of its own, or an interpreter session if it begins with ``>>>``."""
    if block.text.startswith(">>>"):
        session = clone / "session.txt"
        session.write_text(block.text, encoding="utf-8")
        program = ["-m", "doctest", "-o", "ELLIPSIS", str(session)]
    else:
        program = ["-c", block.text]
    done = subprocess.run(
        [sys.executable, "-W", "error", *program],
        cwd=clone,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT_SECONDS,
    )
    assert done.returncode == 0, f"{page}:{block.line}\n{done.stdout}{done.stderr}"


def test_the_example_of_an_embedded_engine_runs(clone: Path) -> None:
    """The example works as it stands, from any directory."""
    done = run("python examples/embed.py", clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("APPLIED\nINSUFFICIENT_FUNDS: ")
    assert "client,available,held,total,locked\n1," in done.stdout


def test_the_example_of_streams_runs(clone: Path) -> None:
    """Its careless sender ends alone, and nobody else's row is missing."""
    done = run("python examples/streams.py", clone)
    assert done.returncode == 0, done.stderr
    first, careless, client = done.stdout.splitlines()
    assert first == "10000 rows applied, the last snapshot is at 10001"
    assert careless.startswith("careless: ")
    assert "INSUFFICIENT_FUNDS" in careless
    assert client == "client 7: 500.0000 available"
