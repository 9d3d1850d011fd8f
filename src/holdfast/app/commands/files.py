"""What the commands on files do, once the command line has been read."""

from __future__ import annotations

import os
import sys

from holdfast.app.options import make_engine, start_log
from holdfast.app.paths import check_paths
from holdfast.app.runner import EXIT_DONE, EXIT_ERROR, Interrupted, JobError
from holdfast.app.summary import say_summary, write_summary
from holdfast.engine.policy import CompiledPolicy, PolicyError, parse_policy
from holdfast.engine.run import PolicyAbort, Run
from holdfast.io.compression import open_input
from holdfast.io.rejects import RejectWriter

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterator
    from typing import BinaryIO

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner
    from holdfast.engine.accounts import Accounts
    from holdfast.engine.engine import Engine
    from holdfast.engine.report import Report
    from holdfast.io.compression import InputStream

EXIT_REFUSED = 3


def process(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Apply files and write the accounts."""
    check_paths(options, refuse, output=options.output)
    engine, policy = make_engine(options, refuse, huge_pages=True), _policy(options, refuse)
    _start_log(runner, options)
    report, abort = _run(runner, options, engine, policy, keeps_on_signal=options.snapshot_on_signal)
    if options.snapshot_on_signal:
        # Whether the signal came before or comes now: what was asked for is written whole.
        with runner.undisturbed():
            _write_results(runner, options, engine.accounts(), report)
        runner.check()
    else:
        _write_results(runner, options, engine.accounts(), report)
    return _end(options, report, abort, fails_on_refused=options.fail_on_reject)


def check(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Apply files, write nothing, and let the exit code say whether every row was applied."""
    check_paths(options, refuse)
    engine, policy = make_engine(options, refuse, huge_pages=True), _policy(options, refuse)
    _start_log(runner, options)
    report, abort = _run(runner, options, engine, policy)
    write_summary(runner, options, report)
    options.summary = options.summary or report.refused > 0
    return _end(options, report, abort, fails_on_refused=True)


def explain(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Show the history of a client or a transaction."""
    from holdfast.app.history_table import write_csv, write_table  # noqa: PLC0415  # the other commands do without
    from holdfast.engine.history import History  # noqa: PLC0415
    from holdfast.engine.pipeline import read_input  # noqa: PLC0415

    check_paths(options, refuse)
    engine = make_engine(options, refuse, huge_pages=True)
    for name, wanted, largest in (
        ("client", options.client, engine.settings.client_max),
        ("tx", options.tx, engine.settings.tx_max),
    ):
        if wanted is not None and wanted > largest:
            refuse(f"--{name} {wanted}: ids run to {largest}; --{name}-bits makes them wider")
    history = History(engine, client=options.client, tx=options.tx)

    def rows() -> Iterator[object]:
        _check_names(options.files)
        for stream in _open_inputs(runner, options.files):
            with stream:
                decoder = engine.new_decoder(keep_source=True)
                yield from history.rows(stream, read_input(stream, decoder, runner.check))
            runner.check()

    write = write_csv if options.format == "csv" else write_table
    shown = write(runner.stdout, rows(), engine.settings.decimals)  # type: ignore[arg-type]  # History's rows, through the generator
    if not shown:
        subject = f"client {options.client}" if options.client is not None else f"tx {options.tx}"
        raise JobError(f"no row names {subject}")
    return EXIT_DONE


def _start_log(runner: Runner, options: argparse.Namespace) -> None:
    """Start logging if anything will be logged: it is slow to import."""
    if options.verbose or options.log_format == "json":
        start_log(runner, options)


def _policy(options: argparse.Namespace, refuse: Refuse) -> CompiledPolicy:
    try:
        return CompiledPolicy(parse_policy(options.on_error))
    except PolicyError as error:
        refuse(f"--on-error: {error}")


def _run(
    runner: Runner,
    options: argparse.Namespace,
    engine: Engine,
    policy: CompiledPolicy,
    *,
    keeps_on_signal: bool = False,
) -> tuple[Report, PolicyAbort | None]:
    """Apply the files; give the report, and the policy's reason if it stopped.

    Raises:
        Interrupted: By a signal, unless what was done by then is to be kept.
    """
    if options.rejects is None:
        return _process(runner, options, engine, policy, None, keeps_on_signal=keeps_on_signal)
    with runner.atomic_output(options.rejects, whole=keeps_on_signal) as file:
        return _process(runner, options, engine, policy, RejectWriter(file), keeps_on_signal=keeps_on_signal)


def _process(
    runner: Runner,
    options: argparse.Namespace,
    engine: Engine,
    policy: CompiledPolicy,
    rejects: RejectWriter | None,
    *,
    keeps_on_signal: bool,
) -> tuple[Report, PolicyAbort | None]:
    draw, clear = _progress(options)

    def on_progress(rows: int, refused: int, input_bytes: int) -> None:
        runner.check()
        draw(rows, refused, input_bytes)

    run = Run(engine, policy, rejects, on_progress)
    try:
        _check_names(options.files)
        return run.process(_open_inputs(runner, options.files)), None
    except PolicyAbort as abort:
        return abort.report, abort
    except Interrupted:
        if not keeps_on_signal:
            raise
        return run.report(), None
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


def _write_results(runner: Runner, options: argparse.Namespace, accounts: Accounts, report: Report) -> None:
    if options.output is None or options.output == "-":
        _write_chunks(runner, runner.stdout, accounts)
        runner.stdout.flush()
    else:
        with runner.atomic_output(options.output) as file:
            _write_chunks(runner, file, accounts)
    write_summary(runner, options, report)


def _write_chunks(runner: Runner, file: BinaryIO, accounts: Accounts) -> None:
    for chunk in accounts.chunks():
        runner.check()
        file.write(chunk)


def _end(
    options: argparse.Namespace, report: Report, abort: PolicyAbort | None, *, fails_on_refused: bool
) -> int:
    """Say what became of the rows, and give the exit code."""
    say_summary(
        options,
        report,
        (
            f"accounts   {report.accounts:,} ({report.locked_accounts:,} locked)",
            f"seconds    {report.seconds:.3f} ({report.rows_per_second:,.0f} rows/s)",
        ),
    )
    if abort is not None:
        raise JobError(str(abort), EXIT_ERROR)
    return EXIT_REFUSED if fails_on_refused and report.refused else EXIT_DONE
