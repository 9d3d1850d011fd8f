"""The stubs say what is compiled: every public name, every parameter, every default, both ways."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import holdfast
from holdfast.domain.settings import Settings
from holdfast.kernel.csv.decoder import CsvDecoder
from holdfast.kernel.ledger.index import KeyIndex
from holdfast.kernel.ledger.paged_state import PagedState
from holdfast.kernel.ndjson.decoder import NdjsonDecoder
from holdfast.kernel.tally import Tally

PACKAGE = Path(str(holdfast.__file__)).parent
STUBS = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in PACKAGE.rglob("*.pyi")
)
# What stubtest cannot know about Cython: one pattern a line, with the reason.
ALLOWED = """
# How Cython shares C functions with other compiled modules, and what it adds for doctest and pickle.
holdfast\\..*\\.__pyx_capi__
holdfast\\..*\\.__test__
holdfast\\..*\\.__(reduce|setstate)_cython__
# Compiled constructors hide their parameters; test_constructors() holds them to the stubs.
holdfast\\.kernel\\.csv\\.decoder\\.CsvDecoder\\.__(init|new)__
holdfast\\.kernel\\.ndjson\\.decoder\\.NdjsonDecoder\\.__(init|new)__
holdfast\\.kernel\\.tally\\.Tally\\.__init__
holdfast\\.kernel\\.ledger\\.(index\\.KeyIndex|paged_state\\.PagedState)\\.__new__
# Only another module of the kernel makes one: the stub lets nobody call the constructor.
holdfast\\.kernel\\.batch\\.Batch\\.__init__
holdfast\\.kernel\\.ledger\\.image\\.Image\\.__(init|new)__
holdfast\\.kernel\\.arrow\\.accounts\\.OrderedAccounts\\.__init__
holdfast\\.kernel\\.arrow\\.reader\\.TableReader\\.__init__
# Of no use outside of the kernel.
holdfast\\.kernel\\.arrow\\.export\\.TableSource
holdfast\\.kernel\\.ledger\\.image\\.ImageLease
"""


def stubtest(tmp_path: Path, *modules: str) -> subprocess.CompletedProcess[str]:
    """Compare stubs with the modules as they are compiled."""
    allowed = tmp_path / "allowed"
    allowed.write_text(ALLOWED, encoding="utf-8")
    source = str(PACKAGE.parent)
    arguments = ["--concise", "--ignore-unused-allowlist", "--allowlist", str(allowed)]
    # An installed package is found anyway, and mypy refuses to be pointed at where packages are installed.
    paths = {} if "site-packages" in source else {"MYPYPATH": source, "PYTHONPATH": source}
    return subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", *arguments, *modules],
        env={**os.environ, **paths},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test_stubs_are_what_is_compiled(tmp_path: Path) -> None:
    """Names, parameters, defaults, kinds and final classes agree."""
    pytest.importorskip("mypy.stubtest", reason="mypy is not installed")
    done = stubtest(tmp_path, *STUBS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_compiled_module_has_a_stub() -> None:
    """No compiled module is left to guesses."""
    compiled = {
        ".".join((*path.relative_to(PACKAGE.parent).parent.parts, path.name.partition(".")[0]))
        for path in PACKAGE.rglob("*")
        if path.suffix in {".so", ".pyd"}
    }
    assert compiled == set(STUBS)


CONSTRUCTORS: dict[type, dict[str, Any]] = {
    CsvDecoder: {
        "settings": Settings(),
        "keep_source": False,
    },
    NdjsonDecoder: {
        "settings": Settings(),
        "keep_source": False,
    },
    KeyIndex: {"key_bits": 64},
    PagedState: {"settings": Settings(), "huge_pages": False, "pages": False, "room": None},
    Tally: {"actions": bytes(256), "budget_rows": 0, "budget_ppm": 0, "budget_from_rows": 0},
}


def constructor_parameters(kind: type) -> list[str]:
    """Read the parameters of a class's constructor from its stub."""
    path = PACKAGE.parent.joinpath(*kind.__module__.split(".")).with_suffix(".pyi")
    stub = ast.parse(path.read_text(encoding="utf-8"))
    (class_,) = (node for node in stub.body if isinstance(node, ast.ClassDef) and node.name == kind.__name__)
    (function,) = (
        node
        for node in class_.body
        if isinstance(node, ast.FunctionDef) and node.name in {"__init__", "__new__"}
    )
    return [argument.arg for argument in (*function.args.args[1:], *function.args.kwonlyargs)]


@pytest.mark.parametrize("kind", CONSTRUCTORS, ids=lambda kind: kind.__name__)
def test_constructors(kind: type) -> None:
    """Constructors take at run time what the stub says, and nothing else."""
    arguments = CONSTRUCTORS[kind]
    assert constructor_parameters(kind) == list(arguments)
    kind(**arguments)
    kind()
    with pytest.raises(TypeError, match="unexpected keyword argument"):
        kind(**arguments, no_such_argument=1)
