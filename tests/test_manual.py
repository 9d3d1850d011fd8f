"""The manual page: made from the parsers, current, well formed, and where ``man`` finds it."""

from __future__ import annotations

import shutil
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from holdfast.app.command_lines import describe_commands
from holdfast.app.parsing import DOCUMENTATION_URL, make_parsers

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "man" / "holdfast.1"


def test_the_page_is_current() -> None:
    """What the parsers give today is what is in the tree: ``make man`` writes it."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "man" / "make_page.py")], capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode() == PAGE.read_text(encoding="utf-8")


def test_every_option_is_on_the_page() -> None:
    """Commands and options, to the last one."""
    text = PAGE.read_text(encoding="utf-8").replace("\\-", "-")
    for command in describe_commands():
        section = text.partition(f".SS {command.name}\n")[2].partition("\n.S")[0]
        names = {name for option in command.options for name in option.names}
        assert names == set(make_parsers(command.name).command.option_names()) - {"-V", "--version"}
        for name in names:
            assert f"\\fB{name}\\fR" in section


def test_the_page_is_well_formed() -> None:
    """Groff has nothing to say about it."""
    if shutil.which("groff") is None:
        pytest.skip("groff is not installed")
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", str(PAGE)], capture_output=True, check=True, timeout=60
    )
    assert done.stderr == b""


def test_the_page_is_installed() -> None:
    """The wheel puts it where ``man`` looks: in share/man beside the command's bin."""
    try:
        files = metadata.files("holdfast") or []
    except metadata.PackageNotFoundError:
        pytest.skip("holdfast runs from its sources")
    if not any(file.name == "METADATA" for file in files):
        pytest.skip("holdfast runs from its sources")
    assert [file for file in files if file.as_posix().endswith("share/man/man1/holdfast.1")]


def test_the_documentation_has_one_address() -> None:
    """Help, the manual page and the package's metadata name the same."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["urls"]["Documentation"] == DOCUMENTATION_URL
    assert DOCUMENTATION_URL in make_parsers("").whole.format_help()
    assert DOCUMENTATION_URL in PAGE.read_text(encoding="utf-8")
