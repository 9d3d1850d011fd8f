"""The shape of the house: imports point one way, files and functions stay small, start-up stays cheap.

Sources are read, never run, so that compiled modules and type-checking imports count as well. What a rule
forbids today and stands all the same is listed with its reason; these lists may shrink.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "src" / "holdfast"

_INSIDE = {"storage", "engine", "io", "kernel", "domain"}
LAYERS_BELOW = {
    "domain": set[str](),
    "kernel": {"domain"},
    "io": {"kernel", "domain"},
    "engine": {"io", "kernel", "domain"},
    "storage": {"engine", "io", "kernel", "domain"},
    "streaming": _INSIDE,
    "protocol": _INSIDE,
    "net": set[str](),
    "client": {"protocol", "net", *_INSIDE},
    "connectors": {"protocol", "streaming", "net", *_INSIDE},
    "server": {"connectors", "protocol", "streaming", "net", *_INSIDE},
    "cluster": {"streaming", "net", *_INSIDE},
    "app": {"server", "cluster", "connectors", "client", "protocol", "streaming", "net", *_INSIDE},
}
"""What each layer may import beside itself. engine and io are one level; engine uses io, io not engine."""

RUNNER = {
    "app/escaping", "app/runner", "app/signals", "app/standard_streams", "io/descriptors", "io/outputs", "io/permissions",
}  # fmt: skip
"""The files that make up the runner and its outputs, which know nothing of payments."""

WRITERS = {"io/outputs.py"}
"""The files that make, write, rename or remove files; everybody else has them do it."""

WRITERS_EXCEPTIONS = {
    # The descriptor of /dev/null.
    "app/paths.py": {"os.open"},
    # The file whose lock says who writes to a ledger.
    "storage/sqlite/writer_lock.py": {"os.open", "os.ftruncate"},
    # Snapshots that are not kept any longer go.
    "streaming/snapshots.py": {"os.unlink"},
}

KERNEL_STANDARD_LIBRARY = {"__future__", "collections", "json", "os", "sys", "typing"}
"""What the kernel may import of the standard library: no files, no sockets, no threads, no event loop."""

FILE_LINES_MAX = 450
FILE_LINES_EXCEPTIONS = {
    # The fold and the checks it calls for every row: one compilation unit, so that all of it is inlined.
    "kernel/ledger/fold.py": 600,
    # One class: the columns and every way to make them.
    "kernel/batch.py": 560,
    # The complete path for a row: one compilation unit, so that all of it is inlined.
    "kernel/csv/row.py": 490,
    # One class: the state of a stream and the ways into it, for pieces of any size, and what one stream leaves to the next.
    "kernel/csv/decoder.py": 610,
    # Every way to read a value of a table, and the loops around them: one compilation unit, so that the ways are inlined.
    "kernel/arrow/values.py": 520,
    # One class: everything that a ledger does for a program, and what each call takes.
    "storage/ledger.py": 480,
    # One session: every step of a connection, sans I/O, as one state machine.
    "protocol/server_session.py": 470,
    # One connection: every way to wait for something, in one place.
    "server/tcp/connection.py": 500,
    # One class, since its methods are on one structure of C: the state, looking at it, writing it out and back.
    "kernel/ledger/paged_state.py": 520,
}

FUNCTION_LINES_MAX = 70
FUNCTION_LINES_EXCEPTIONS: dict[str, int] = {
    # Two thirds of it say what its arguments are.
    "storage/ledger.py::process": 80,
}

START_UP_IS_FREE_OF = {
    "argparse", "asyncio", "backports", "bz2", "collections", "contextlib", "csv", "dataclasses", "decimal",
    "enum", "functools", "gzip", "inspect", "json", "logging", "lzma", "numpy", "pathlib", "pyarrow", "re",
    "socket", "ssl", "subprocess", "tempfile", "threading", "tomllib", "typing", "zlib",
}  # fmt: skip
"""What ``import holdfast`` must not cost anybody."""

COMMAND_IS_FREE_OF = {
    "argparse", "asyncio", "contextlib", "dataclasses", "decimal", "gettext", "inspect", "json", "locale", "logging",
    "numpy", "pathlib", "re", "socket", "ssl", "subprocess", "tempfile", "threading", "typing", "uvloop",
}  # fmt: skip
"""What the plain command must not import to process a file: each of these costs as much as a small job itself."""


class Import(NamedTuple):
    """One module that another imports, and where it says so."""

    importer: str
    imported: str
    line: int

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


class Function(NamedTuple):
    """A function and how many lines it has, its docstring included."""

    name: str
    lines: int


@cache
def sources() -> dict[str, str]:
    """Give the text of every source by its path inside the package: ``kernel/ledger.py``."""
    if not PACKAGE.is_dir():
        pytest.skip("the source tree is not here: an installed package is under test")
    paths = (path for suffix in ("py", "pyi", "pxd") for path in PACKAGE.rglob(f"*.{suffix}"))
    return {path.relative_to(PACKAGE).as_posix(): path.read_text(encoding="utf-8") for path in sorted(paths)}


@cache
def trees() -> dict[str, ast.Module]:
    """Parse what is Python: .py and .pyi."""
    return {name: ast.parse(text) for name, text in sources().items() if not name.endswith(".pxd")}


def layer_of(name: str) -> str:
    """Tell the layer of a path inside the package; the package's own modules are in none."""
    return name.split("/", maxsplit=1)[0] if "/" in name else ""


@cache
def imports() -> list[Import]:
    """List every import of every source, also inside functions and for the type checker alone."""
    found = [Import(name, *each) for name, tree in trees().items() for each in _python_imports(name, tree)]
    for name, text in sources().items():
        if name.endswith(".pxd"):
            found += [Import(name, *each) for each in _pxd_imports(text)]
    return found


def _python_imports(name: str, tree: ast.Module) -> Iterator[tuple[str, int]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((_without_cimports(alias.name), node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}:{node.lineno}: a relative import"
            module = _without_cimports(node.module or "")
            # A name imported from a package may be a module of it.
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def _pxd_imports(text: str) -> Iterator[tuple[str, int]]:
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r"\s*(?:from\s+(\S+)\s+c?import|c?import\s+(\S+))", line)
        if match is not None:
            yield match[1] or match[2], number


def _without_cimports(module: str) -> str:
    return module.removeprefix("cython.cimports.")


def holdfast_imports() -> Iterator[tuple[Import, str, str]]:
    """List the imports within the package, with the layers of both sides."""
    for each in imports():
        parts = each.imported.split(".")
        if parts[0] == "holdfast":
            yield each, layer_of(each.importer), parts[1] if len(parts) > 1 else ""


def functions() -> Iterator[tuple[str, Function]]:
    """List every function by ``path::name``."""
    for name, tree in trees().items():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.end_lineno is not None
                yield f"{name}::{node.name}", Function(node.name, node.end_lineno - node.lineno + 1)


def listed(offenders: list[str]) -> str:
    """Put one offender on a line, for the message of a failed test."""
    return "\n" + "\n".join(offenders)


def test_every_module_belongs_to_a_layer() -> None:
    """A new directory of the package says first where it stands."""
    layers = {layer_of(name) for name in sources()} - {""}
    assert layers <= set(LAYERS_BELOW)


def test_layers_point_one_way() -> None:
    """No layer of the table stands, through however many others, below itself."""
    for layer, below in LAYERS_BELOW.items():
        assert layer not in below
        assert all(LAYERS_BELOW[other] <= below for other in below), layer


def test_imports_point_one_way() -> None:
    """A layer imports itself and what stands below it: at run time, in C, and for the type checker."""
    offenders = [
        str(each)
        for each, layer, imported in holdfast_imports()
        if layer and imported in LAYERS_BELOW and imported not in {layer, *LAYERS_BELOW[layer]}
    ]
    assert not offenders, listed(offenders)


def test_domain_imports_the_standard_library_only() -> None:
    """The rules of the business depend on nothing that has to be installed."""
    offenders = [
        str(each)
        for each in imports()
        if layer_of(each.importer) == "domain"
        and each.imported.split(".")[0] not in {*sys.stdlib_module_names, "holdfast"}
    ]
    assert not offenders, listed(offenders)


def test_kernel_does_no_io() -> None:
    """The kernel knows columns and bytes: it imports nothing that opens, waits or logs, and opens nothing."""
    offenders = [
        str(each)
        for each in imports()
        if layer_of(each.importer) == "kernel"
        and each.imported.split(".")[0] in sys.stdlib_module_names - KERNEL_STANDARD_LIBRARY
    ]
    offenders += [
        f"{name}:{node.lineno} calls open()"
        for name, tree in trees().items()
        if layer_of(name) == "kernel"
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "open"
    ]
    assert not offenders, listed(offenders)


def test_runner_knows_nothing_of_payments() -> None:
    """Signals, buffers and exit codes could serve any other command as they are."""
    offenders = [
        str(each)
        for each, _, _ in holdfast_imports()
        if stem_of(each.importer) in RUNNER and "/".join(each.imported.split(".")[1:3]) not in RUNNER
    ]
    assert not offenders, listed(offenders)


def test_one_module_writes_files() -> None:
    """Files are opened for writing, renamed and removed in one place, where all that can go wrong is thought of."""
    found = {
        (name, call, node.lineno)
        for name, tree in trees().items()
        if name not in WRITERS
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and (call := _writing_call(node))
    }
    offenders = [
        f"{name}:{line} calls {call}"
        for name, call, line in sorted(found)
        if call not in WRITERS_EXCEPTIONS.get(name, set())
    ]
    assert not offenders, listed(offenders)
    used = {(name, call) for name, call, _ in found}
    assert {(name, call) for name, calls in WRITERS_EXCEPTIONS.items() for call in calls} <= used


def _writing_call(node: ast.Call) -> str | None:
    """Name the function of a call that changes files, if it is one."""
    called = ast.unparse(node.func)
    if called in {
        "os.replace",
        "os.rename",
        "os.unlink",
        "os.remove",
        "os.truncate",
        "os.ftruncate",
        "shutil.move",
    }:
        return called
    if called == "os.open":
        return called if re.search(r"O_(WRONLY|RDWR|CREAT|APPEND)", ast.unparse(node)) else None
    if called in {"open", "io.open"}:
        given = [*node.args[1:2], *(each.value for each in node.keywords if each.arg == "mode")]
        return (
            called
            if any(isinstance(each, ast.Constant) and set(str(each.value)) & set("wax+") for each in given)
            else None
        )
    return called if called.rpartition(".")[2] in {"write_text", "write_bytes"} else None


def test_ports_do_not_know_their_adapters() -> None:
    """A port of storage imports no adapter, and below app and cluster nobody chooses one."""
    offenders = [
        str(each)
        for each, layer, imported in holdfast_imports()
        if imported == "storage"
        and (Path(each.importer).stem == "ports" or layer not in {"", "storage", "app", "cluster"})
        and each.imported.split(".")[2:3] not in ([], ["ports"])
    ]
    assert not offenders, listed(offenders)


def test_sessions_know_no_sockets() -> None:
    """Streams and sessions are bytes in and events out: sockets, TLS and processes are for net, client and server."""
    offenders = [
        str(each)
        for each in imports()
        if layer_of(each.importer) in {"streaming", "protocol"}
        and each.imported.split(".")[0] in {"socket", "ssl", "selectors", "signal", "subprocess", "uvloop"}
    ]
    assert not offenders, listed(offenders)


def test_no_two_files_import_each_other() -> None:
    """Whoever reads one file of a pair can do without the other."""
    modules = {module_of(name): name for name in sources()}
    edges = set()
    for each, _, _ in holdfast_imports():
        # A name imported from a module, or the module itself.
        target = modules.get(each.imported) or modules.get(each.imported.rpartition(".")[0])
        if target is not None:
            edges.add((stem_of(each.importer), stem_of(target)))
    circles = sorted(f"{a} and {b}" for a, b in edges if a < b and (b, a) in edges)
    assert not circles, listed(circles)


def test_a_class_name_means_one_thing() -> None:
    """No two rooms have classes of one name; private ones are nobody else's."""
    places: dict[str, list[str]] = {}
    for name, tree in trees().items():
        if name.endswith(".py"):
            for node in ast.walk(tree):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    places.setdefault(node.name, []).append(name)
    twice = [f"{name}: {', '.join(where)}" for name, where in sorted(places.items()) if len(where) > 1]
    assert not twice, listed(twice)


def stem_of(name: str) -> str:
    """Give a path without its suffix: a module, its stub and its C declarations are one file here."""
    return name.rpartition(".")[0]


def module_of(name: str) -> str:
    """Give the module of a path inside the package."""
    return ".".join(["holdfast", *stem_of(name).split("/")]).removesuffix(".__init__")


def test_files_stay_small() -> None:
    """A file that grows past its limit wants to be two."""
    offenders = [
        f"{name}: {lines} lines, {limit} allowed"
        for name, text in sources().items()
        if (lines := len(text.splitlines())) > (limit := FILE_LINES_EXCEPTIONS.get(name, FILE_LINES_MAX))
    ]
    assert not offenders, listed(offenders)


def test_functions_stay_small() -> None:
    """A function that grows past its limit wants to be three."""
    offenders = [
        f"{path}: {function.lines} lines, {limit} allowed"
        for path, function in functions()
        if function.lines > (limit := FUNCTION_LINES_EXCEPTIONS.get(path, FUNCTION_LINES_MAX))
    ]
    assert not offenders, listed(offenders)


def test_exceptions_are_still_needed() -> None:
    """An exception goes when its reason has gone."""
    lines = {name: len(text.splitlines()) for name, text in sources().items()}
    lengths = {path: function.lines for path, function in functions()}
    spent = [name for name in FILE_LINES_EXCEPTIONS if lines.get(name, 0) <= FILE_LINES_MAX]
    spent += [path for path in FUNCTION_LINES_EXCEPTIONS if lengths.get(path, 0) <= FUNCTION_LINES_MAX]
    assert not spent, listed(spent)


def test_amounts_never_meet_a_float() -> None:
    """Where amounts are, there is no float: no literal, no call, no division; seconds and rates may be."""
    offenders = []
    for name, tree in trees().items():
        if layer_of(name) in {"domain", "kernel", "engine"}:
            lines = sources()[name].splitlines()
            offenders += [
                f"{name}:{number}: {lines[number - 1].strip()}"
                for number in _float_lines(tree)
                if not re.search(r"seconds|per_second", lines[number - 1], re.IGNORECASE)
            ]
    assert not offenders, listed(offenders)


def _float_lines(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        is_literal = isinstance(node, ast.Constant) and isinstance(node.value, float | complex)
        is_call = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float"
        is_division = isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div)
        if is_literal or is_call or is_division:
            assert isinstance(node, ast.expr | ast.stmt)
            yield node.lineno


def imported_by(program: str, *arguments: str) -> set[str]:
    """Run a program in an interpreter of its own; give the modules that it imported."""
    script = f"""
import sys
before = set(sys.modules)
import atexit, os
def tell():
    os.write(2, "\\n".join(sorted({{name.split(".")[0] for name in set(sys.modules) - before}})).encode())
atexit.register(tell)
{textwrap.dedent(program)}
"""
    # Isolated: what a developer's environment adds to every start is not Holdfast's.
    command = [sys.executable, "-I", "-S", "-c", _with_site_packages(script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    assert done.returncode == 0, done.stderr
    return set(done.stderr.split())


def _with_site_packages(script: str) -> str:
    """Let an interpreter that was started without ``site`` find the installed package."""
    holdfast = __import__("holdfast").__file__
    assert holdfast is not None
    return f"import sys; sys.path.append({str(Path(holdfast).parents[1])!r})\n{script}"


def test_importing_holdfast_costs_nothing() -> None:
    """The names of the package are imported when somebody uses them."""
    assert not imported_by("import holdfast") & START_UP_IS_FREE_OF


@pytest.mark.parametrize("package", ["streaming", "client", "server"])
def test_importing_a_public_package_costs_nothing(package: str) -> None:
    """The same holds for the names of the other public packages."""
    assert not imported_by(f"import holdfast.{package}") & START_UP_IS_FREE_OF


def test_an_engine_starts_without_an_event_loop() -> None:
    """Whoever applies rows by hand pays neither for streams nor for logs."""
    imported = imported_by("from holdfast import Deposit, Engine; Engine().apply(Deposit(1, 1, 1))")
    assert not imported & {"asyncio", "logging", "numpy", "socket", "threading"}


def test_processing_a_file_imports_little(tmp_path: Path) -> None:
    """The plain command on a small file does without the slow parts of the standard library."""
    transactions = tmp_path / "transactions.csv"
    transactions.write_text("type,client,tx,amount\ndeposit,1,1,1.0\n")
    program = """
        import sys
        from holdfast.app.cli import main
        sys.argv = ["holdfast", *sys.argv[1:]]
        sys.exit(main())
    """
    assert not imported_by(program, str(transactions)) & COMMAND_IS_FREE_OF


def tracked_files() -> list[Path]:
    """List the files that a clone would have; without git, those that no tool made."""
    command = [
        "git",
        "-c",
        "safe.directory=*",
        "ls-files",
        "-z",
        "--cached",
        "--others",
        "--exclude-standard",
    ]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        made = {"build", "dist", "__pycache__", ".venv", ".build", ".git"}
        files = [path for path in ROOT.rglob("*") if not made & set(path.relative_to(ROOT).parts)]
        return [
            path for path in files if path.is_file() and ".egg-info" not in str(path) and path.suffix != ".so"
        ]
    return [
        path for name in done.stdout.split(b"\0") if name and (path := ROOT / os.fsdecode(name)).is_file()
    ]


def test_no_file_names_a_place_on_somebodys_machine() -> None:
    """What is written here holds on every machine."""
    homes = re.compile(r"(?<![\w.$}<-])/(?:root|work|home|Users)/")
    offenders = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        for number, line in enumerate(path.read_bytes().decode(errors="replace").splitlines(), 1)
        if homes.search(line)
    ]
    assert not offenders, listed(offenders)
