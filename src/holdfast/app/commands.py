"""What the commands do, once the command line has been read."""

from __future__ import annotations

import os
import sys

from holdfast.app.runner import EXIT_DONE, EXIT_ERROR, Interrupted, JobError
from holdfast.domain.rules import RulesError, find_rules
from holdfast.engine.engine import Engine
from holdfast.engine.policy import PolicyError, parse_policy
from holdfast.engine.run import PolicyAbort
from holdfast.io.compression import open_input
from holdfast.io.rejects import RejectWriter

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import BinaryIO, NoReturn

    from holdfast.app.runner import Runner
    from holdfast.engine.accounts import Accounts
    from holdfast.engine.policy import ErrorPolicy
    from holdfast.engine.report import Report
    from holdfast.io.compression import InputStream

    UsageError = Callable[[str], NoReturn]
    Job = Callable[[Runner, argparse.Namespace, UsageError], int]

EXIT_REFUSED = 3


def process(runner: Runner, options: argparse.Namespace, usage_error: UsageError) -> int:
    """Apply files and write the accounts."""
    _refuse_overwriting(options, usage_error)
    engine, policy = _engine(options, usage_error), _policy(options, usage_error)
    try:
        report, abort = _run(runner, options, engine, policy)
    except Interrupted:
        if options.snapshot_on_signal:
            _write_accounts(runner, options.output, engine.accounts(), lambda: None)
        raise
    _write_accounts(runner, options.output, engine.accounts(), runner.check)
    return _end(runner, options, report, abort, fails_on_refused=options.fail_on_reject)


def check(runner: Runner, options: argparse.Namespace, usage_error: UsageError) -> int:
    """Apply files, write nothing, and let the exit code say whether every row was applied."""
    _refuse_overwriting(options, usage_error)
    engine, policy = _engine(options, usage_error), _policy(options, usage_error)
    report, abort = _run(runner, options, engine, policy)
    options.summary = options.summary or report.refused > 0
    return _end(runner, options, report, abort, fails_on_refused=True)


def explain(runner: Runner, options: argparse.Namespace, usage_error: UsageError) -> int:
    """Show the history of a client or a transaction."""
    from holdfast.app.history_table import write_csv, write_table  # noqa: PLC0415  # the other commands do without
    from holdfast.engine.history import History  # noqa: PLC0415

    engine = _engine(options, usage_error)
    for name, wanted, largest in (
        ("client", options.client, engine.client_max),
        ("tx", options.tx, engine.tx_max),
    ):
        if wanted is not None and wanted > largest:
            usage_error(f"--{name} {wanted}: ids run to {largest}; --{name}-bits makes them wider")
    history = History(engine, client=options.client, tx=options.tx)

    def rows() -> Iterator[object]:
        for stream in _open_inputs(runner, options.files):
            with stream:
                yield from history.rows(stream, engine.read(stream, keep_source=True, on_wait=runner.check))
            runner.check()

    write = write_csv if options.format == "csv" else write_table
    shown = write(runner.stdout, rows(), engine.decimals)  # type: ignore[arg-type]  # History's rows, through the generator
    if not shown:
        subject = f"client {options.client}" if options.client is not None else f"tx {options.tx}"
        raise JobError(f"no row names {subject}")
    return EXIT_DONE


def _engine(options: argparse.Namespace, usage_error: UsageError) -> Engine:
    try:
        return Engine(
            find_rules(options.rules),
            decimals=options.decimals,
            client_bits=options.client_bits,
            tx_bits=options.tx_bits,
            row_bytes_max=options.row_bytes_max,
            batch_rows=options.batch_rows,
            huge_pages=True,
        )
    except (RulesError, ValueError) as error:
        usage_error(str(error))


def _policy(options: argparse.Namespace, usage_error: UsageError) -> ErrorPolicy:
    try:
        return parse_policy(options.on_error)
    except PolicyError as error:
        usage_error(f"--on-error: {error}")


def _refuse_overwriting(options: argparse.Namespace, usage_error: UsageError) -> None:
    """An output that is also an input, or two outputs under one name, are a mistake that would cost somebody a file."""
    outputs = {
        "-o": getattr(options, "output", None),
        "--rejects": options.rejects,
        "--json-summary": options.json_summary,
    }
    seen: dict[str, str] = {os.path.realpath(name): name for name in options.files if name != "-"}
    for option, path in outputs.items():
        if path is None or (os.path.exists(path) and not os.path.isfile(path)):
            continue
        if os.path.realpath(path) in seen:
            usage_error(
                f"{option} {path}: this is {seen[os.path.realpath(path)]}, which would be overwritten"
            )
        seen[os.path.realpath(path)] = f"also the file of {option}"


def _run(
    runner: Runner, options: argparse.Namespace, engine: Engine, policy: ErrorPolicy
) -> tuple[Report, PolicyAbort | None]:
    """Apply the files; give the report, and the policy's reason if it stopped."""
    if options.verbose or options.log_format == "json":
        from holdfast.app.logs import configure_logging  # noqa: PLC0415  # slow to import

        configure_logging(options.log_format, -1 if options.quiet else options.verbose)
    if options.rejects is None:
        return _process(runner, options, engine, policy, None)
    with runner.atomic_output(options.rejects) as file:
        return _process(runner, options, engine, policy, RejectWriter(file))


def _process(
    runner: Runner,
    options: argparse.Namespace,
    engine: Engine,
    policy: ErrorPolicy,
    rejects: RejectWriter | None,
) -> tuple[Report, PolicyAbort | None]:
    draw, clear = _progress(options)

    def on_progress(rows: int, refused: int, input_bytes: int) -> None:
        runner.check()
        draw(rows, refused, input_bytes)

    try:
        _check_names(options.files)
        streams = _open_inputs(runner, options.files)
        return engine.process_each(streams, policy=policy, rejects=rejects, on_progress=on_progress), None
    except PolicyAbort as abort:
        return abort.report, abort
    finally:
        clear()


def _check_names(names: list[str]) -> None:
    """Find a name without a file before hours of work on the files before it."""
    for name in names:
        if name != "-":
            os.stat(name)


def _open_inputs(runner: Runner, names: list[str]) -> Iterator[InputStream]:
    for name in names:
        # A FIFO that nobody writes to blocks right here.
        with runner.interruptible():
            stream = open_input(name)
        yield stream


def _progress(options: argparse.Namespace) -> tuple[Callable[[int, int, int], None], Callable[[], None]]:
    """Give what draws the progress line and what removes it: nothing at all where nobody looks."""
    if options.quiet or options.verbose or sys.stderr is None or not sys.stderr.isatty():
        return (lambda _rows, _refused, _bytes: None), (lambda: None)
    from holdfast.app.progress import Progress  # noqa: PLC0415  # only a terminal needs it

    sizes = [os.path.getsize(name) if os.path.isfile(name) else None for name in options.files]
    progress = Progress(None if None in sizes else sum(size or 0 for size in sizes), sys.stderr)
    return progress.update, progress.clear


def _write_accounts(
    runner: Runner, path: str | None, accounts: Accounts, check_signals: Callable[[], None]
) -> None:
    if path is None:
        _write_chunks(runner.stdout, accounts, check_signals)
        runner.stdout.flush()
        return
    with runner.atomic_output(path) as file:
        _write_chunks(file, accounts, check_signals)


def _write_chunks(file: BinaryIO, accounts: Accounts, check_signals: Callable[[], None]) -> None:
    for chunk in accounts.chunks():
        check_signals()
        file.write(chunk)


def _end(
    runner: Runner,
    options: argparse.Namespace,
    report: Report,
    abort: PolicyAbort | None,
    *,
    fails_on_refused: bool,
) -> int:
    """Say what became of the rows, and give the exit code."""
    if options.json_summary is not None:
        import json  # noqa: PLC0415  # on request

        with runner.atomic_output(options.json_summary) as file:
            file.write(json.dumps(report.to_json(), indent=2).encode() + b"\n")
    if not options.quiet and (options.summary or options.verbose):
        _say_summary(options, report)
    if abort is not None:
        raise JobError(str(abort), EXIT_ERROR)
    return EXIT_REFUSED if fails_on_refused and report.refused else EXIT_DONE


def _say_summary(options: argparse.Namespace, report: Report) -> None:
    if options.log_format == "json":
        import logging  # noqa: PLC0415  # configured by now

        logging.getLogger("holdfast.command").warning("summary", extra=report.to_json())
        return
    lines = [
        f"rows       {report.rows:,}",
        f"applied    {report.applied:,}",
        f"refused    {report.refused:,}",
        *(f"  {outcome.name:<21}{count:,}" for outcome, count in report.refused_by_outcome.items()),
        f"accounts   {report.accounts:,} ({report.locked_accounts:,} locked)",
        f"seconds    {report.seconds:.3f} ({report.rows_per_second:,.0f} rows/s)",
    ]
    if sys.stderr is not None:
        sys.stderr.write("\n".join(lines) + "\n")
