"""Errors of the command: one line that names what is wrong, the exit code, and nothing half-written."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

from e2e.command import HEADER, OUTPUT_HEADER, run, run_in_shell

if TYPE_CHECKING:
    from pathlib import Path

ROWS = HEADER + b"deposit,1,1,5\n"


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Make a small valid input."""
    path = tmp_path / "t.csv"
    path.write_bytes(ROWS)
    return path


def assert_one_line(errors: str, *parts: str) -> None:
    """Hold a message to what every message is: one line from the command that names the parts."""
    assert errors.startswith("holdfast: ")
    assert errors.endswith("\n")
    assert errors.count("\n") == 1
    for part in parts:
        assert part in errors


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"", "the input is empty"),
        (b"\n\r\n", "only blank lines"),
        (b"kind,client,tx,amount\nd,1,1,1\n", "it has no column type"),
        (b"type;client;tx;amount\n", "'type;client;tx;amount'"),
        (b"deposit,1,1,1\n", "'deposit,1,1,1'"),
        (b"type,client,tx,TX\n", "the column tx more than once"),
        (HEADER.decode().encode("utf-16"), "this looks like UTF-16 text"),
        (bytes(range(128, 256)) * 10, "not UTF-8"),
        (b"7" * 1_000_000, "longer than 4096 bytes"),
    ],
)
@pytest.mark.parametrize("command", [(), ("check",), ("explain", "--client", "1")])
def test_what_is_no_input_is_named(data: bytes, found: str, command: tuple[str, ...], tmp_path: Path) -> None:
    """Every command says which input has no usable header and what stands there instead."""
    path = tmp_path / "odd.csv"
    path.write_bytes(data)
    code, output, errors = run(*command, path)
    assert (code, output) == (1, b"")
    assert_one_line(errors, str(path), found)
    code, output, errors = run(*command, "-", data=data)
    assert (code, output) == (1, b"")
    assert_one_line(errors, "<stdin>", found)


@pytest.mark.parametrize("command", [(), ("check",), ("explain", "--tx", "1")])
def test_what_cannot_be_read_is_named(command: tuple[str, ...], source: Path, tmp_path: Path) -> None:
    """Missing files, directories and files whose reading fails are one line with their name."""
    missing = tmp_path / "missing.csv"
    for path, reason in (
        (missing, "No such file or directory"),
        (tmp_path, "Is a directory"),
        ("/proc/self/mem", "Input/output error"),
        (source / "below", "Not a directory"),
    ):
        code, output, errors = run(*command, path)
        assert (code, output) == (1, b"")
        assert_one_line(errors, f"{path}: {reason}")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [("proces", "process"), ("chek", "check"), ("server", "serve"), ("explian", "explain")],
)
def test_a_mistyped_command(typed: str, meant: str, source: Path) -> None:
    """What is neither a command nor a file, but looks like a command, is said to."""
    for options in ((), ("-q",)):
        code, output, errors = run(typed, source, *options)
        assert (code, output) == (1, b"")
        assert_one_line(errors, repr(typed), f"did you mean {meant!r}?")
    code, output, errors = run(f"{meant}.csv")
    assert (code, output) == (1, b"")
    assert_one_line(errors, f"{meant}.csv: No such file or directory")


def test_files_before_and_behind_options(source: Path, tmp_path: Path) -> None:
    """The order of files is theirs, wherever options stand between them; what is no option is said to be none."""
    later = tmp_path / "later.csv"
    later.write_bytes(HEADER + b"withdrawal,1,2,2\n")
    expected = OUTPUT_HEADER + b"1,3.0000,0.0000,3.0000,false\n"
    for arguments in (
        (source, "-q", later),
        ("-q", source, "--on-error", "abort", later),
        (source, "-q", "--", later),
    ):
        assert run(*arguments)[:2] == (0, expected)
    assert run("check", later, "-q", source).code == 3
    code, output, errors = run(source, "-q", later, "--colour", "red")
    assert (code, output) == (2, b"")
    assert "there is no option --colour" in errors


def test_a_missing_later_file_is_found_before_the_work(source: Path, tmp_path: Path) -> None:
    """All names are looked at first: not even the rejects of the first file are written."""
    rejects = tmp_path / "rejects.csv"
    code, output, errors = run("--rejects", rejects, source, tmp_path / "missing.csv", "-v")
    assert (code, output) == (1, b"")
    assert_one_line(errors, "missing.csv")
    assert not rejects.exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_input_that_may_not_be_read(source: Path) -> None:
    """Permissions are one line as well."""
    source.chmod(0)
    code, output, errors = run(source)
    assert (code, output) == (1, b"")
    assert_one_line(errors, f"{source}: Permission denied")


def test_a_full_disk(source: Path) -> None:
    """Whatever output meets a full disk is named, and the exit code says so."""
    code, output, errors = run(source, "-o", "/dev/full")
    assert (code, output) == (1, b"")
    assert_one_line(errors, "/dev/full: No space left on device")
    code, output, errors = run_in_shell('holdfast "$1" > /dev/full', source)
    assert (code, output) == (1, b"")
    assert_one_line(errors, "<stdout>: No space left on device")
    for option in ("--rejects", "--json-summary"):
        code, _, errors = run(source, option, "/dev/full")
        assert code == 1
        assert_one_line(errors, "/dev/full: No space left on device")


def test_an_output_that_cannot_be_made(source: Path, tmp_path: Path) -> None:
    """A directory that does not exist or is the target itself is an error that names what was asked for."""
    before = sorted(tmp_path.iterdir())
    for target, reason in (
        (tmp_path / "no" / "o.csv", "there is no directory"),
        (tmp_path, "Is a directory"),
    ):
        code, output, errors = run(source, "-o", target)
        assert (code, output) == (1, b"")
        assert_one_line(errors, f"{target}: {reason}")
    assert sorted(tmp_path.iterdir()) == before


def test_an_output_that_is_an_input_is_a_usage_error(source: Path, tmp_path: Path) -> None:
    """No option of any command overwrites an input, nor do two outputs overwrite each other."""
    link, other, rules = tmp_path / "link.csv", tmp_path / "other.csv", tmp_path / "own.toml"
    link.symlink_to(source)
    rules.write_text("")
    for arguments in (
        (source, "-o", source),
        (source, "--output", link),
        (link, "-o", source),
        (source, "--rejects", source),
        (source, "--json-summary", source),
        ("check", source, "--rejects", source),
        ("check", "--json-summary", link, source),
        (source, "-o", other, "--rejects", other),
        (source, "--rejects", other, "--json-summary", other),
        (source, "--rules", rules, "-o", rules),
        (source, "--rules", rules, "--rejects", tmp_path / "." / rules.name),
        ("check", source, "--rules", rules, "--json-summary", rules),
        *(
            ("send", source, "--to", "127.0.0.1:1", option, rules, "--rejects", rules)
            for option in ("--token-file", "--tls-ca", "--tls-cert")
        ),
        *(("serve", option, rules, "-o", rules) for option in ("--tokens", "--tls-cert", "--tls-client-ca")),
        ("serve", "--rules", rules, "--port-file", rules),
        (source, "--rejects", "/dev/stdout"),
        (source, "-o", "-", "--json-summary", "/dev/fd/1"),
    ):
        code, output, errors = run(*arguments)
        assert (code, output) == (2, b""), arguments
        assert "overwritten" in errors
    assert source.read_bytes() == ROWS
    assert rules.read_bytes() == b""
    assert not other.exists()


def test_redirected_files_are_not_overwritten(source: Path, tmp_path: Path) -> None:
    """What the shell opened is an input or an output like any other."""
    for script in (
        'holdfast - -o "$1" < "$1"',
        'holdfast --rejects "$1" < "$1"',
        'holdfast "$1" --rejects "$2" > "$2"',
        'holdfast "$1" --rejects /dev/stderr > "$2" 2>&1',
    ):
        code, output, errors = run_in_shell(script, source, tmp_path / "o.csv")
        assert (code, output) == (2, b""), script
        assert "overwritten" in errors or "overwritten" in (tmp_path / "o.csv").read_text(), script
    assert source.read_bytes() == ROWS


def test_outputs_may_share_what_keeps_nothing(source: Path, tmp_path: Path) -> None:
    """/dev/null holds any number of outputs, and a command that writes no accounts leaves standard output to others."""
    assert run(source, "-o", "/dev/null", "--rejects", "/dev/null", "--json-summary", "/dev/null").code == 0
    bad = tmp_path / "bad.csv"
    bad.write_bytes(HEADER + b"nonsense\n")
    code, output, _ = run("check", "-q", bad, "--rejects", "/dev/stdout")
    assert (code, output.count(b"MALFORMED_ROW")) == (3, 1)


def test_a_dash_is_standard_output(source: Path) -> None:
    """-o - is what people write for the default."""
    assert run(source, "-o", "-") == (0, OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n", "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("",), "FILE: a name is empty"),
        (("-v", "t.csv", ""), "FILE: a name is empty"),
        (("check", ""), "FILE: a name is empty"),
        (("explain", "--tx", "1", ""), "FILE: a name is empty"),
        (("-", "-o", ""), "-o: the name is empty"),
        (("-", "--rejects="), "--rejects: the name is empty"),
        (("check", "-", "--json-summary", ""), "--json-summary: the name is empty"),
        (("-", "--rules", ""), "--rules: the name is empty"),
        (("-", "--rejects", "-"), "--rejects -: "),
        (("-", "--json-summary", "-"), "--json-summary -: "),
    ],
)
def test_names_that_name_nothing(arguments: tuple[str, ...], said: str) -> None:
    """A shell variable without a value is a usage error that says which name is empty."""
    code, output, errors = run(*arguments, data=ROWS)
    assert (code, output) == (2, b"")
    assert said in errors.splitlines()[-1]


def test_json_errors(source: Path, tmp_path: Path) -> None:
    """With --log-format json the error that ends the command is a JSON line as all others are."""
    missing = str(tmp_path / "missing.csv")
    for arguments, message in (
        ((source, missing), f"{missing}: No such file or directory"),
        (("check", "-q", missing), f"{missing}: No such file or directory"),
        (("--on-error", "abort", source, source), "DUPLICATE_TX"),
    ):
        code, _, errors = run(*arguments, "--log-format", "json")
        assert (code, errors.count("\n")) == (1, 1)
        fields = json.loads(errors)
        assert (fields["level"], fields["logger"]) == ("ERROR", "holdfast.command")
        assert message in fields["message"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--nonesuch",), "--nonesuch"),
        (("--on-error", "explode"), "'explode' is no action"),
        (("--on-error", "budget:200%"), "0 to 100"),
        (("--rules", "nonesuch"), "--rules: no rules profile 'nonesuch'"),
        (("--decimals", "10"), "--decimals"),
        (("--decimals", "x"), "--decimals"),
        (("--client-bits", "24"), "--client-bits"),
        (("--batch-rows", "0"), "--batch-rows is 1 to 1048576, not 0"),
        (("--row-bytes-max", "9999999"), "--row-bytes-max is 1 to 1048576, not 9999999"),
        (("--batch-rows", "-1"), "--batch-rows"),
        (("--row-bytes-max", "1e3"), "'1e3' is not a whole number"),
        (("--log-format", "xml"), "--log-format"),
        (("--client", "1"), "--client"),
        (("--fail",), "--fail"),
    ],
)
def test_usage_errors(arguments: tuple[str, ...], said: str, source: Path) -> None:
    """What the command line cannot mean is 2, with one line that shows what was written and where to read more."""
    code, output, errors = run(*arguments, source)
    assert (code, output) == (2, b"")
    assert_one_line(errors, said, "(holdfast process --help says more)")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--client --tx"),
        (("--client", "1", "--tx", "1"), "not allowed with"),
        (("--client", "x"), "'x' is not a whole number"),
        (("--client", "65536"), "--client-bits makes them wider"),
        (("--tx", "4294967296"), "--tx-bits makes them wider"),
    ],
)
def test_usage_errors_of_explain(arguments: tuple[str, ...], said: str, source: Path) -> None:
    """A history needs one client or one tx that there can be."""
    code, output, errors = run("explain", source, *arguments)
    assert (code, output) == (2, b"")
    assert_one_line(errors, said, "(holdfast explain --help says more)")


def test_a_rules_file_that_is_none(source: Path, tmp_path: Path) -> None:
    """A rules file that says something no rule says is shown with what can be said."""
    own = tmp_path / "own.toml"
    for text, said in (
        ("locked_deposit = 'maybe'", "refuse, accept"),
        ("x = 1", "there is no rule 'x'"),
        ("[", "not a TOML file"),
    ):
        own.write_text(text)
        code, output, errors = run("--rules", own, source)
        assert (code, output) == (2, b"")
        assert str(own) in errors
        assert said in errors.splitlines()[-1]
    code, output, errors = run("--rules", tmp_path / "missing.toml", source)
    assert (code, output) == (1, b"")
    assert_one_line(errors, "missing.toml: No such file or directory")


def test_an_atomic_output_replaces_what_stood_there(source: Path, tmp_path: Path) -> None:
    """-o writes the accounts under the name, keeps nothing else, and leaves standard output alone."""
    target = tmp_path / "o.csv"
    target.write_bytes(b"old")
    assert run(source, "-o", target) == (0, b"", "")
    assert target.read_bytes() == OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["o.csv", "t.csv"]


def test_an_error_leaves_the_old_output(source: Path, tmp_path: Path) -> None:
    """When an input fails on the way, all outputs are as they were before."""
    target, rejects, summary = (tmp_path / name for name in ("o.csv", "r.csv", "s.json"))
    broken = tmp_path / "broken.csv"
    broken.write_bytes(b"nonsense\n")
    for path in (target, rejects, summary):
        path.write_bytes(b"old")
    before = sorted(tmp_path.iterdir())
    code, output, _ = run(source, broken, "-o", target, "--rejects", rejects, "--json-summary", summary)
    assert (code, output) == (1, b"")
    assert [path.read_bytes() for path in (target, rejects, summary)] == [b"old"] * 3
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "arguments", [("--help",), ("-h",), ("process", "--help"), ("check", "-h"), ("explain", "-h")]
)
def test_help(arguments: tuple[str, ...]) -> None:
    """Help goes to standard output and is a success."""
    code, output, errors = run(*arguments)
    assert (code, errors) == (0, "")
    assert output.startswith(b"usage: holdfast")


def test_version() -> None:
    """The version goes to standard output."""
    code, output, errors = run("--version")
    assert (code, errors) == (0, "")
    assert output.startswith(b"holdfast ")
