"""``holdfast reconcile``: compares accounts with somebody else's statement."""

from __future__ import annotations

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner
    from holdfast.engine.reconciliation import Reconciliation
    from holdfast.io.statements import Statement

FORMATS = ("table", "csv", "json")
_SQLITE = b"SQLite format 3\x00"
_DECIMALS_DEFAULT = 4
_DECIMALS_MAX = 9


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast reconcile``."""
    from holdfast.app.ledgers import location_of_ledger  # noqa: PLC0415  # slow to import
    from holdfast.app.options import whole_number  # noqa: PLC0415  # every command has it, but for --help

    parser.add_argument(
        "accounts",
        metavar="ACCOUNTS",
        type=location_of_ledger,
        help="a ledger (its file, or a postgresql:// URL), or accounts as CSV, as holdfast process writes them",
    )
    parser.add_argument(
        "statement",
        metavar="STATEMENT",
        help="somebody else's CSV: client and some of available, held, total, locked; - for standard input",
    )
    parser.add_argument(
        "--as-of",
        metavar="WHEN",
        help="the ledger after this many decisions, or at a time: 2026-11-25T18:00:00Z",
    )
    parser.add_argument(
        "--decimals",
        type=whole_number,
        metavar="N",
        help=f"how many decimals amounts have if ACCOUNTS is CSV ({_DECIMALS_DEFAULT}); a ledger knows",
    )
    parser.add_argument(
        "--format", choices=FORMATS, default="table", help="how differences are written (%(default)s)"
    )
    parser.add_argument("-o", "--output", metavar="FILE", help="write them here (standard output)")
    parser.add_argument("-q", "--quiet", action="store_true", help="write errors and differences only")


def reconcile(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Compare accounts with a statement, and let the exit code say whether they agree."""
    from holdfast.app.paths import check_outputs, refuse_overwriting  # noqa: PLC0415  # --help does without
    from holdfast.app.runner import EXIT_DIFFERS, EXIT_DONE, STDOUT_PATH, JobError  # noqa: PLC0415  # the same
    from holdfast.engine.reconciliation import reconcile as compare  # noqa: PLC0415  # the same

    inputs = {options.accounts: "the accounts", options.statement: "the statement"}
    output = options.output or STDOUT_PATH
    refuse_overwriting(inputs, {"-o": options.output}, refuse)
    if options.accounts == options.statement:
        refuse(f"{options.accounts}: ACCOUNTS and STATEMENT are the same file")
    check_outputs(runner, (output,))
    ours, decimals = _read_accounts(runner, options, refuse)
    theirs = _read_csv(runner, options, options.statement, decimals)
    try:
        found = compare(ours, theirs)
    except ValueError as error:
        raise JobError(str(error)) from error
    with runner.output(output) as file:
        for piece in _write(options.format, found, decimals, ours.name, theirs.name):
            runner.check()
            file.write(piece.encode())
            if file.has_failed:
                break
    if not options.quiet:
        runner.stderr.write(_summary(found, decimals, theirs.name))
    return EXIT_DONE if found.agrees else EXIT_DIFFERS


def _read_accounts(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> tuple[Statement, int]:
    """Read our side: from a ledger, or from accounts as CSV; give the number of decimals with it."""
    from holdfast.storage.stores import is_url  # noqa: PLC0415  # --help does without

    if is_url(options.accounts) or _is_sqlite(options.accounts):
        if options.decimals is not None:
            refuse("--decimals: the ledger knows how many decimals its amounts have")
        return _read_ledger(runner, options, refuse)
    if options.as_of is not None:
        refuse("--as-of: only a ledger knows what was at another time")
    decimals = _DECIMALS_DEFAULT if options.decimals is None else options.decimals
    if decimals > _DECIMALS_MAX:
        refuse(f"--decimals is a number from 0 to {_DECIMALS_MAX}")
    return _read_csv(runner, options, options.accounts, decimals), decimals


def _is_sqlite(path: str) -> bool:
    if path == "-":
        return False
    with open(path, "rb") as file:
        return file.read(len(_SQLITE)) == _SQLITE


def _read_ledger(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> tuple[Statement, int]:
    from holdfast.app.ledgers import LedgerErrors, make_step_progress, view_ledger  # noqa: PLC0415  # the same
    from holdfast.app.points_in_time import read_when  # noqa: PLC0415  # only for a ledger
    from holdfast.engine.reconciliation import statement_of  # noqa: PLC0415  # the same

    sequence, time_us = read_when("--as-of", options.as_of, refuse)
    on_progress, clear = make_step_progress(runner, options, "replaying")
    with LedgerErrors(), view_ledger(options.accounts) as view:
        try:
            accounts = view.accounts(sequence, as_of_time_us=time_us, on_progress=on_progress)
        finally:
            clear()
        return statement_of(accounts, view.name), view.created.decimals


def _read_csv(runner: Runner, options: argparse.Namespace, path: str, decimals: int) -> Statement:
    from holdfast.app.inputs import open_inputs  # noqa: PLC0415  # --help does without
    from holdfast.app.ledgers import make_step_progress  # noqa: PLC0415  # the same
    from holdfast.io.statements import read_statement  # noqa: PLC0415  # the same

    (stream,) = open_inputs(runner, [path])
    on_progress, clear = make_step_progress(runner, options, f"reading {stream.name}, bytes")
    with stream:
        try:
            return read_statement(stream, decimals, lambda done: on_progress(done, stream.raw_size or done))
        finally:
            clear()


def _summary(found: Reconciliation, decimals: int, name: str) -> str:
    from holdfast.domain.amount import format_units  # noqa: PLC0415  # --help does without

    if not found.clients:
        return "holdfast: neither side has any client\n"
    columns = ", ".join(found.columns)
    if found.agrees:
        return f"holdfast: all {found.clients:,} clients agree in {columns}\n"
    sums = "; ".join(
        f"{column} {'+' if units > 0 else ''}{format_units(units, decimals)}"
        for column, units in found.sums().items()
        if units
    )
    missing = [
        text
        for count, text in (
            (found.missing_there, f"{found.missing_there:,} missing in {name}"),
            (found.missing_here, f"{found.missing_here:,} only there"),
        )
        if count
    ]
    return (
        f"holdfast: {found.clients_differing:,} of {found.clients:,} clients differ in {columns}"
        f"{' (' + ', '.join(missing) + ')' if missing else ''}{'; in all ' + sums if sums else ''}\n"
    )


def _write(form: str, found: Reconciliation, decimals: int, ours: str, theirs: str) -> Iterator[str]:
    from holdfast.app import reconciliation_text  # noqa: PLC0415  # --help does without

    write: Callable[..., Iterator[str]] = getattr(reconciliation_text, f"write_{form}")
    return write(found, decimals, ours, theirs)
