"""``holdfast load``: applies files to a durable ledger."""

from __future__ import annotations

from holdfast.app.options import (
    LOG_DEFAULTS,
    RUN_DEFAULTS,
    add_dialect,
    add_files,
    add_format,
    add_log,
    add_refused,
)

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.remarks import EmptyInputs
    from holdfast.app.runner import Runner
    from holdfast.domain.dialect import Dialect
    from holdfast.engine.policy import CompiledPolicy
    from holdfast.engine.report import Report
    from holdfast.engine.run import PolicyAbort
    from holdfast.storage.ledger import Ledger


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``holdfast load``."""
    from holdfast.app.ledgers import add_ledger_options  # noqa: PLC0415  # slow to import

    parser.set_defaults(
        **{name: RUN_DEFAULTS[name] for name in ("on_error", "rejects", "summary", "json_summary")}
    )
    parser.set_defaults(**LOG_DEFAULTS, input_format=None, stream=None, atomic=False, fail_on_reject=False)
    add_files(parser)
    add_format(parser, "--format")
    parser.add_argument(
        "--stream",
        metavar="NAME",
        help="the name of the stream that the files are, one after the other: loading them again under it decides nothing twice, "
        "and a load that was cut off goes on where it was",
    )
    parser.add_argument(
        "--atomic",
        action="store_true",
        help="all of the files, or nothing: after an error, a signal or a policy that stops, the ledger is as it was",
    )
    parser.add_argument(
        "--fail-on-reject", action="store_true", help="exit with 3 if any row was not applied"
    )
    add_dialect(parser)
    add_refused(parser)
    add_ledger_options(parser)
    log = add_log(parser)
    log.add_argument(
        "--summary",
        action="store_true",
        help="end with a summary: rows, accounts, seconds (-v does so as well)",
    )
    log.add_argument("--json-summary", metavar="FILE", help="write the summary here as JSON")


def load(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Apply files to a ledger."""
    from holdfast.app.applying import exit_code, find_dialect, make_policy, say_report, start_log_if_used  # noqa: PLC0415  # --help does without
    from holdfast.app.ledgers import LedgerErrors, open_ledger  # noqa: PLC0415  # the same
    from holdfast.app.paths import check_outputs, check_paths  # noqa: PLC0415  # the same
    from holdfast.app.remarks import EmptyInputs, say_remarks  # noqa: PLC0415  # the same
    from holdfast.app.runner import JobError  # noqa: PLC0415  # the same
    from holdfast.app.summary import write_summary  # noqa: PLC0415  # the same

    check_paths(options, refuse)
    policy, dialect = make_policy(options, refuse), find_dialect(options, refuse)
    start_log_if_used(runner, options)
    check_outputs(runner, (options.rejects, options.json_summary))
    empty_inputs = EmptyInputs()
    ledger = open_ledger(options, refuse)
    with LedgerErrors():
        try:
            report, abort = _apply(runner, options, ledger, policy, empty_inputs, dialect=dialect)
        finally:
            ledger.close()
    write_summary(runner, options, report)
    say_report(runner, options, report)
    if abort is not None:
        raise JobError(f"{abort}{_what_stays(abort, options)}")
    _say_stream(runner, options, report)
    say_remarks(options, report, empty_inputs.names, runner.stderr.write)
    return exit_code(report, fails_on_refused=options.fail_on_reject)


def _apply(
    runner: Runner,
    options: argparse.Namespace,
    ledger: Ledger,
    policy: CompiledPolicy,
    empty_inputs: EmptyInputs,
    *,
    dialect: Dialect | None,
) -> tuple[Report, PolicyAbort | None]:
    from holdfast.app.applying import apply_files  # noqa: PLC0415  # --help does without
    from holdfast.app.ledgers import user_name  # noqa: PLC0415  # the same
    from holdfast.domain.origin import Actor  # noqa: PLC0415  # the same

    def apply() -> tuple[Report, PolicyAbort | None]:
        return apply_files(
            runner,
            options,
            ledger,
            policy,
            empty_inputs,
            dialect=dialect,
            stream=options.stream,
            actor=Actor(user_name()),
        )

    if not options.atomic:
        with ledger.claim_stream(options.stream):
            return apply()
    with ledger.atomic() as load_, ledger.claim_stream(options.stream):
        report, abort = apply()
        load_.is_kept = abort is None
        return report, abort


def _what_stays(abort: PolicyAbort, options: argparse.Namespace) -> str:
    """Say what a policy that stopped the load means for the ledger."""
    if options.atomic:
        return "; nothing of the files is in the ledger"
    return "" if abort.rejection is None else "; the rows before it are in the ledger, no row after it is"


def _say_stream(runner: Runner, options: argparse.Namespace, report: Report) -> None:
    """Say what became of the stream, unless ``-q`` asks for silence."""
    if options.quiet:
        return
    if options.stream is None:
        runner.stderr.write(
            "holdfast: this load has no name: loading the files again decides their rows again; --stream NAME prevents that\n"
        )
    elif report.skipped and not report.rows:
        runner.stderr.write(
            f"holdfast: stream {options.stream} was loaded already: all of its {report.skipped:,} rows are in the ledger\n"
        )
    elif report.skipped:
        runner.stderr.write(
            f"holdfast: stream {options.stream} went on after {report.skipped:,} rows that are in the ledger already\n"
        )
