"""What the tests of outputs share: commands with all their outputs, and what each output has to hold."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from e2e.command import HEADER, OUTPUT_HEADER
from e2e.output_faults import OLD

BAD_ROWS = {"few": 3, "many": 20_000}
"""So many rejects fit into every buffer, and into none."""


class Case(NamedTuple):
    """A command with an output for each of its options."""

    command: str
    arguments: tuple[str, ...]
    options: tuple[str, ...]


CASES = {
    case.command: case
    for case in (
        Case("process", (), ("-o", "--rejects", "--json-summary")),
        Case("check", (), ("--rejects", "--json-summary")),
        Case("send", (), ("--rejects", "--json-summary")),
    )
}
OUTPUTS = [(case.command, option) for case in CASES.values() for option in case.options]


def write_input(directory: Path, bad_rows: int, *, command: str = "process") -> Path:
    """Write an input with rows that are not applied, and one that is (not to a server, where it would be the first alone)."""
    path = directory / "t.csv"
    good = b"" if command == "send" else b"deposit,1,1,5\n"
    path.write_bytes(HEADER + good + b"nonsense,,,,,,,,,,,,,,,,,,,,,,,,\n" * bad_rows)
    return path


def command_line(case: Case, source: Path | str, places: dict[str, str], port: str) -> list[str]:
    """Put a command line together."""
    line = [case.command, str(source), *case.arguments]
    if case.command == "send":
        line += ["--to", f"127.0.0.1:{port}"]
    for option, path in places.items():
        line += [option, path]
    return line


def places_in(directory: Path, case: Case) -> dict[str, str]:
    """Give each output a file that is there already."""
    places = {option: str(directory / f"{option.strip('-')}.out") for option in case.options}
    for path in places.values():
        Path(path).write_bytes(OLD)
    return places


def assert_whole(option: str, path: str, bad_rows: int, *, command: str) -> None:
    """Hold a file to what it has to be."""
    data = Path(path).read_bytes()
    applied = 0 if command == "send" else 1
    if option == "-o":
        assert data == OUTPUT_HEADER + b"1,5.0000,0.0000,5.0000,false\n"
    elif option == "--rejects":
        assert data.startswith(b"input,line,offset,code,reason,row\n")
        assert data.count(b",MALFORMED_ROW,") == data.count(b"\n") - 1 == bad_rows
        assert data.endswith(b"\n")
    else:
        report = json.loads(data)
        assert (report["rows"], report["applied"]) == (bad_rows + applied, applied)


def assert_no_leftovers(directory: Path) -> None:
    """Find no temporary file."""
    assert not [path for path in directory.rglob("*") if path.name.endswith(".tmp")]
