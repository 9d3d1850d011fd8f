"""The page about the client says what it does: its programs run, its tables name what there is."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from client.peers import real_server
from holdfast import client
from holdfast.app.commands.send import add_options
from holdfast.client import Limits

PAGE = (Path(__file__).parents[2] / "docs" / "client.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_the_programs_run(tmp_path: Path) -> None:
    """Each by itself, against a server that they share."""
    assert len(PROGRAMS) == 3
    with real_server(tmp_path) as server:
        for program in PROGRAMS:
            exec(compile(program.replace("127.0.0.1:7070", server.address), "client.md", "exec"), {})  # noqa: S102


def test_every_option_is_listed() -> None:
    """So are the errors, and the limits that the text names are fields."""
    parser = argparse.ArgumentParser()
    add_options(parser)
    options = {name for action in parser._actions for name in action.option_strings if name.startswith("--")}
    missing = [name for name in options - {"--help", "--verbose", "--quiet"} if f"`{name}" not in PAGE]
    assert not missing
    assert not [name for name in client.__all__ if name.endswith("Error") and f"`{name}`" not in PAGE]
    assert set(re.findall(r"`(?:Limits\.)?(\w+_(?:seconds|seconds_max|bytes_max))`", PAGE)) <= set(
        Limits._fields
    )


@pytest.mark.parametrize("name", client.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """Names are imported when they are used; none is promised in vain."""
    assert getattr(client, name) is not None
    assert name in dir(client)
