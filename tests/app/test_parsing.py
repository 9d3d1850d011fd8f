"""Command lines that cannot be meant: one line that names what was written and says what may be meant."""

from __future__ import annotations

import os

import pytest

from holdfast.app.commands import COMMANDS
from holdfast.app.parsing import make_parsers, parse


def refusal(capfd: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Parse a command line that is refused; give what is said."""
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 2
    output, errors = capfd.readouterr()
    assert output == ""
    assert errors.startswith("holdfast: ")
    assert errors.endswith(f" (holdfast {arguments[0]} --help says more)\n")
    assert errors.count("\n") == 1
    return errors


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["process", "--ouput", "a.csv"], "there is no option --ouput; did you mean --output?"),
        (["process", "a.csv", "--ouput=b.csv"], "there is no option --ouput; did you mean --output?"),
        (["process", "--fail"], "there is no option --fail; did you mean --fail-on-reject?"),
        (["process", "-output", "a.csv"], "there is no option -output; did you mean --output?"),
        (["check", "-rejects=r.csv"], "there is no option -rejects; did you mean --rejects?"),
        (["process", "-verbose"], "there is no option -verbose; did you mean --verbose?"),
        (
            ["process", "--client", "1"],
            "does not have the option --client; it belongs to holdfast explain and ledger",
        ),
        (
            ["check", "-o", "a.csv"],
            "does not have the option -o; it belongs to holdfast process, reconcile and serve",
        ),
        (["process", "--nonesuch"], "there is no option --nonesuch ("),
        (["process", "-x"], "there is no option -x ("),
        (["process", "--\x1b[31m"], "there is no option --\\x1b[31m"),
        (["process", "--a\nb"], "there is no option --a\\nb"),
        (["serve", "a.csv"], "holdfast serve takes options only, not 'a.csv'"),
        (["send", "a.csv"], "the following arguments are required: --to"),
        (["explain", "--tx"], "argument --tx: expected one argument"),
        (["process", "--decimals", "x"], "argument --decimals: 'x' is not a whole number"),
    ],
)
def test_a_wrong_command_line(arguments: list[str], said: str, capfd: pytest.CaptureFixture[str]) -> None:
    """The message names the option, and suggests one where one is close or another command has it."""
    assert said in refusal(capfd, *arguments)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_suggested(command: str, capfd: pytest.CaptureFixture[str]) -> None:
    """A slip of one letter in any option of any command is understood."""
    for name in make_parsers(command).command.option_names():
        if len(name) > 5:
            typed = f"{name[:4]}{name[5:]}"
            if typed not in make_parsers(command).command.option_names():
                assert f"there is no option {typed}; did you mean {name}?" in refusal(capfd, command, typed)


def test_a_single_dash_is_not_taken_for_another_option(
    tmp_path: os.PathLike[str], capfd: pytest.CaptureFixture[str]
) -> None:
    """``-output x`` would be ``-o utput`` to argparse; behind ``--`` it is a file, and ``-ofile`` stays what it is."""
    assert "did you mean --output?" in refusal(capfd, "process", "-output", os.fspath(tmp_path))
    assert parse(["process", "-oaccounts.csv"])[0].output == "accounts.csv"
    assert parse(["process", "-vv", "--", "-output"])[0].files == ["-output"]


@pytest.mark.parametrize(
    "arguments", [["-V"], ["--version"], ["check", "-V"], ["process", "a.csv", "--version"]]
)
def test_version(arguments: list[str], capfd: pytest.CaptureFixture[str]) -> None:
    """Wherever it is asked for."""
    with pytest.raises(SystemExit) as caught:
        parse(arguments)
    assert caught.value.code == 0
    assert capfd.readouterr().out.startswith("holdfast ")


@pytest.mark.parametrize("command", ["", *COMMANDS])
@pytest.mark.parametrize("columns", ["40", "80", "200"])
def test_help_fits_the_terminal(command: str, columns: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines of options are as wide as the terminal, whatever its width; examples stay as they are."""
    monkeypatch.setenv("COLUMNS", columns)
    parsers = make_parsers(command)
    text = (parsers.command if command else parsers.whole).format_help()
    options = text.partition("\noptions:\n")[2].partition("\nholdfast COMMAND")[0]
    assert all(len(line) <= int(columns) for line in options.splitlines())
