"""What the pages show works: every console command is run, every Python block is a program.

A ``console`` block holds commands behind ``$ `` (``> `` continues one); what is shown below a command is its
standard output, with ``...`` for what differs from run to run. Blocks of other languages are not run.
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
CONSOLE_PAGES = ("README.md", "docs/command.md", "docs/rules.md", "docs/csv.md", "docs/python.md")
PYTHON_PAGES = ("README.md", "docs/python.md")
TIMEOUT_SECONDS = 60


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


def missing_make_target(command: str) -> str | None:
    """Say which target of a make command does not exist; running one here would build everything anew."""
    targets = [word for word in command.split()[1:] if "=" not in word and not word.startswith("-")]
    known = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    return next((target for target in targets if target not in known), None)


def run(command: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """Run a command as a person would who has activated this environment."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
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
    """Make a directory that has the examples, as a clone has."""
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(ROOT / "examples" / "transactions.csv", tmp_path)
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
            for command in commands(block):
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


def test_the_program_among_the_examples_runs(clone: Path) -> None:
    """The example works as it stands, from any directory."""
    done = run("python examples/embed.py", clone)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("APPLIED\nINSUFFICIENT_FUNDS: ")
    assert "client,available,held,total,locked\n1," in done.stdout
