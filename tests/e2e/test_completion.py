"""The scripts of ``holdfast completion``, in the shells that they are for."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from e2e.command import run
from holdfast.app.commands import COMMANDS
from holdfast.app.parsing import make_parsers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SHELLS = ("bash", "zsh", "fish")
TIMEOUT_SECONDS = 30.0
_SHELL_COMMANDS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "--interactive"],
}
# A function in place of the command shows what a line came to.
_PREPARE = {
    "bash": 'holdfast() { printf "<%s>\\n" "$*"; }; bind "set bell-style none"; source {}',
    "zsh": 'autoload -Uz compinit; compinit -D; holdfast() {{ print -r -- "<$*>" }}; source {}',
    "fish": 'function holdfast; echo "<$argv>"; end; source {}',
}


@pytest.fixture(scope="session")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write the scripts of all shells into a directory."""
    directory = tmp_path_factory.mktemp("completion")
    for shell in SHELLS:
        code, output, errors = run("completion", shell)
        assert (code, errors) == (0, "")
        (directory / shell).write_bytes(output)
    return directory


class Terminal:
    """A shell on a terminal, at which somebody types."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._seen = ""

    def type(self, text: str) -> None:
        """Type a line, waiting after every tab as people do."""
        for part in re.split("(\t)", text):
            os.write(self._descriptor, part.encode())
            if part == "\t":
                self._read(0.3)

    def wait_for(self, pattern: str) -> str:
        """Read what the shell writes until it matches; give the first group."""
        deadline = time.monotonic() + TIMEOUT_SECONDS
        while (match := re.search(pattern, self._seen)) is None:
            assert time.monotonic() < deadline, self._seen
            self._read(0.1)
        self._seen = self._seen[match.end() :]
        return match[1]

    def _read(self, quiet_seconds: float) -> None:
        while select.select([self._descriptor], [], [], quiet_seconds)[0]:
            self._seen += os.read(self._descriptor, 65536).decode(errors="replace")


@contextmanager
def terminal(shell: str, scripts: Path, directory: Path) -> Iterator[Terminal]:
    """Start a shell that has read the script, on a terminal of its own, in a directory."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        ["setsid", "--ctty", "--wait", *_SHELL_COMMANDS[shell]],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        cwd=directory,
        env={**os.environ, "TERM": "dumb", "HOME": str(directory), "PS1": "", "LC_ALL": "C.UTF-8"},
    )
    os.close(theirs)
    try:
        opened = Terminal(ours)
        prepare = _PREPARE[shell].replace("{{", "{").replace("}}", "}").replace("{}", str(scripts / shell))
        opened.type(f"{prepare}\n")
        opened.type("holdfast ready\n")
        opened.wait_for("(<ready>)")
        yield opened
    finally:
        process.kill()
        process.wait()
        os.close(ours)


LINES = [
    ("holdfast che\t", "check"),
    ("holdfast expl\tmon\t", "explain monday.csv"),
    ("holdfast check --rej\tmon\t", "check --rejects monday.csv"),
    ("holdfast --fail\tmon\t", "--fail-on-reject monday.csv"),
    ("holdfast mon\t", "monday.csv"),
    ("holdfast process --rules car\t", "process --rules cards"),
    ("holdfast process --log-format js\t", "process --log-format json"),
    ("holdfast explain --format c\t", "explain --format csv"),
    ("holdfast serve --snapshot-k\t", "serve --snapshot-keep"),
    ("holdfast serve --tls-ce\tmon\t", "serve --tls-cert monday.csv"),
    ("holdfast serve --loop uv\t", "serve --loop uvloop"),
    ("holdfast completion f\t", "completion fish"),
    ("holdfast send --token-f\tmon\t", "send --token-file monday.csv"),
]


@pytest.mark.parametrize("shell", SHELLS)
def test_lines_are_completed_at_a_terminal(shell: str, scripts: Path, tmp_path: Path) -> None:
    """Commands, options, values and files are completed where somebody presses the tab key."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "monday.csv").write_bytes(b"")
    with terminal(shell, scripts, tmp_path) as opened:
        for line, expected in LINES:
            opened.type(f"{line}\n")
            # zsh puts an equals sign between a long option and its value.
            found = opened.wait_for("<([^<>\r\n]*)>").rstrip().replace("=", " ")
            assert found == expected, line


def completed(shell: str, scripts: Path, words: list[str]) -> set[str]:
    """Ask a shell without a terminal what the last word can be."""
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    if shell == "fish":
        program = f'source {scripts / "fish"}; complete -C "$argv"'
        command = ["fish", "--no-config", "-c", program, " ".join(words)]
    else:
        program = 'source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _holdfast; printf "%s\\n" "${COMPREPLY[@]}"'
        command = ["bash", "--norc", "-c", program, "bash", str(scripts / "bash"), *words]
    done = subprocess.run(command, capture_output=True, timeout=TIMEOUT_SECONDS, check=True)
    assert done.stderr == b""
    return {line.partition("\t")[0] for line in done.stdout.decode().splitlines() if line}


@pytest.mark.parametrize("shell", ["bash", "fish"])
@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_there(shell: str, command: str, scripts: Path) -> None:
    """The options of each command are those of its parser, to the last one, and no others."""
    known = {name for name in make_parsers(command).command.option_names() if name.startswith("--")}
    found = completed(shell, scripts, ["holdfast", command, "--"])
    assert found == known - {"--version"}


@pytest.mark.parametrize("shell", ["bash", "fish"])
def test_every_command_is_there(shell: str, scripts: Path) -> None:
    """So are the commands."""
    assert set(COMMANDS) <= completed(shell, scripts, ["holdfast", ""])


@pytest.mark.parametrize("command", COMMANDS)
def test_zsh_has_every_option(command: str, scripts: Path) -> None:
    """The same for zsh, which cannot be asked without a terminal."""
    script = (scripts / "zsh").read_text()
    function = re.search(rf"_holdfast_{command}\(\) \{{\n(.*?)\n\}}", script, re.DOTALL)
    assert function is not None
    found = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", re.sub(r"\[.*?(?<!\\)\]", "", function[1])))
    assert found == {
        name for name in make_parsers(command).command.option_names() if name.startswith("--")
    } - {"--version"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["holdfast", "check", "--log-format", "=", "j"], {"json"}),
        (["holdfast", "check", "--log-format", "="], {"text", "json"}),
        (["holdfast", "check", "--batch-rows", ""], set()),
        (["holdfast", "check", "--", "--re"], set()),
        (["holdfast", "--client-bits", ""], {"16", "32", "64"}),
        (["holdfast", "token", ""], set()),
        (["holdfast", "--on-error", "s"], {"skip", "silent"}),
    ],
)
def test_bash_words(
    words: list[str], expected: set[str], scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bash breaks words at the equals sign, and completes nothing where nothing can be known."""
    monkeypatch.chdir(tmp_path)
    assert completed("bash", scripts, words) == expected


def test_a_file_with_blanks_is_one_word(
    scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Names keep their blanks and stars."""
    (tmp_path / "my *.csv").write_bytes(b"")
    (tmp_path / "my file.csv").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    assert completed("bash", scripts, ["holdfast", "check", "my"]) == {"my *.csv", "my file.csv"}


def test_an_unknown_shell_is_a_usage_error() -> None:
    """The shells that there are scripts for are named."""
    code, output, errors = run("completion", "tcsh")
    assert (code, output) == (2, b"")
    assert "bash" in errors
