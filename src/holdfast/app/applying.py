"""What process and check have in common: files are applied under a policy, and the exit code says how that went."""

from __future__ import annotations

from holdfast.app.inputs import check_inputs, make_progress, open_inputs
from holdfast.app.options import DIALECT_DEFAULTS, start_log
from holdfast.app.runner import EXIT_DONE, EXIT_REFUSED, Interrupted
from holdfast.app.summary import say_summary
from holdfast.engine.policy import CompiledPolicy, PolicyError, parse_policy
from holdfast.engine.run import PolicyAbort, Run
from holdfast.io.rejects import RejectWriter

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.remarks import EmptyInputs
    from holdfast.app.runner import Runner
    from holdfast.domain.dialect import Dialect
    from holdfast.domain.origin import Actor
    from holdfast.engine.interface import AnyEngine
    from holdfast.engine.report import Report


def start_log_if_used(runner: Runner, options: argparse.Namespace) -> None:
    """Start logging if anything will be logged: it is slow to import."""
    if options.verbose or options.log_format == "json":
        start_log(runner, options)


def make_policy(options: argparse.Namespace, refuse: Refuse) -> CompiledPolicy:
    """Make the policy that ``--on-error`` describes."""
    try:
        return CompiledPolicy(parse_policy(options.on_error))
    except PolicyError as error:
        refuse(f"--on-error: {error}")


def find_dialect(options: argparse.Namespace, refuse: Refuse) -> Dialect | None:
    """Give the dialect that the options describe; None for plain files."""
    if all(getattr(options, name) is None for name in DIALECT_DEFAULTS):
        return None
    if options.input_format not in {None, "csv"}:
        refuse(
            f"--format {options.input_format}: --dialect, --delimiter and the others say how CSV is written; leave them out"
        )
    from holdfast.app.dialects import make_dialect  # noqa: PLC0415  # plain files do without

    return make_dialect(options, refuse)


def apply_files(
    runner: Runner,
    options: argparse.Namespace,
    engine: AnyEngine,
    policy: CompiledPolicy,
    empty_inputs: EmptyInputs,
    *,
    dialect: Dialect | None = None,
    keeps_on_signal: bool = False,
    stream: str | None = None,
    actor: Actor | None = None,
) -> tuple[Report, PolicyAbort | None]:
    """Apply the files of a command line and list the rows that are not applied; rejects that fail stop nothing.

    Args:
        runner: Whose signals stop it.
        options: The command line.
        engine: What the rows are applied to.
        policy: What to do about rows that are not applied.
        empty_inputs: Notes the inputs without rows.
        dialect: How the files are written; None for plain ones.
        keeps_on_signal: Whether a signal ends the work early and keeps what was done by then.
        stream: The name of the stream that the files are, if it has one.
        actor: Who sends them, for an engine that keeps that.

    Returns:
        The report, and the policy's reason if it stopped.

    Raises:
        Interrupted: By a signal, unless what was done by then is to be kept.
        OSError: If an input cannot be read.
    """
    if options.rejects is None:
        return _apply(
            runner,
            options,
            engine,
            policy,
            empty_inputs,
            rejects=None,
            dialect=dialect,
            keeps_on_signal=keeps_on_signal,
            stream=stream,
            actor=actor,
        )
    with runner.output(options.rejects, whole=keeps_on_signal) as file:
        rejects = RejectWriter(file)
        return _apply(
            runner,
            options,
            engine,
            policy,
            empty_inputs,
            rejects=rejects,
            dialect=dialect,
            keeps_on_signal=keeps_on_signal,
            stream=stream,
            actor=actor,
        )


def _apply(
    runner: Runner,
    options: argparse.Namespace,
    engine: AnyEngine,
    policy: CompiledPolicy,
    empty_inputs: EmptyInputs,
    *,
    rejects: RejectWriter | None,
    dialect: Dialect | None,
    keeps_on_signal: bool,
    stream: str | None,
    actor: Actor | None,
) -> tuple[Report, PolicyAbort | None]:
    draw, clear = make_progress(options)

    def on_progress(rows: int, refused: int, input_bytes: int) -> None:
        runner.check()
        draw(rows, refused, input_bytes)

    run = Run(
        engine,
        policy,
        rejects,
        on_progress,
        dialect=dialect,
        stream=stream,
        actor=actor,
        format=options.input_format,
    )
    try:
        check_inputs(options.files)
        streams = open_inputs(runner, options.files)
        return run.process(
            empty_inputs.watch(streams, lambda: run.report().rows + run.report().skipped)
        ), None
    except PolicyAbort as abort:
        return abort.report, abort
    except Interrupted:
        if not keeps_on_signal:
            raise
        return run.report(), None
    finally:
        clear()


def say_report(runner: Runner, options: argparse.Namespace, report: Report) -> None:
    """Say what became of the rows, if that is asked for."""
    say_summary(
        runner,
        options,
        report,
        (
            f"accounts   {report.accounts:,} ({report.locked_accounts:,} locked)",
            f"seconds    {report.seconds:.3f} ({report.rows_per_second:,.0f} rows/s)",
        ),
    )


def exit_code(report: Report, *, fails_on_refused: bool) -> int:
    """Give the exit code of a run that no policy stopped."""
    return EXIT_REFUSED if fails_on_refused and report.refused else EXIT_DONE
