"""``holdfast process``: applies files and writes the accounts."""

from __future__ import annotations

from holdfast.app.accounts import write_accounts
from holdfast.app.applying import (
    apply_files,
    exit_code,
    find_dialect,
    make_policy,
    say_report,
    start_log_if_used,
)
from holdfast.app.options import make_engine
from holdfast.app.paths import check_outputs, check_paths
from holdfast.app.remarks import EmptyInputs, say_remarks
from holdfast.app.runner import STDOUT_PATH, JobError
from holdfast.app.summary import write_summary
from holdfast.io.outputs import inherited_descriptor

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner
    from holdfast.engine.run import PolicyAbort


def process(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Apply files and write the accounts."""
    check_paths(options, refuse, stdout_use="the accounts")
    engine, policy = make_engine(options, refuse, huge_pages=True), make_policy(options, refuse)
    dialect = find_dialect(options, refuse)
    start_log_if_used(runner, options)
    path = options.output or STDOUT_PATH
    check_outputs(runner, (path, options.rejects, options.json_summary, options.save))
    empty_inputs = EmptyInputs()
    report, abort = apply_files(
        runner,
        options,
        engine,
        policy,
        empty_inputs,
        dialect=dialect,
        keeps_on_signal=options.snapshot_on_signal,
    )
    # Standard output has nothing to lose, whatever it is called.
    is_stdout = path == STDOUT_PATH or inherited_descriptor(path) == 1
    is_written = abort is None or is_stdout or options.write_on_abort

    def write_results() -> None:
        if is_written:
            write_accounts(runner, path, engine.accounts())
        if options.save is not None and abort is None:
            engine.save(options.save)
        write_summary(runner, options, report)

    if options.snapshot_on_signal:
        # Whether the signal came before or comes now: what was asked for is written whole.
        with runner.undisturbed():
            write_results()
        runner.check()
    else:
        write_results()
    say_report(runner, options, report)
    if abort is not None:
        raise JobError(f"{abort}{_what_is_written(abort, path, is_written=is_written)}")
    say_remarks(options, report, empty_inputs.names, runner.stderr.write)
    return exit_code(report, fails_on_refused=options.fail_on_reject)


def _what_is_written(abort: PolicyAbort, path: str, *, is_written: bool) -> str:
    """Say what a policy that stopped the run means for the accounts."""
    if not is_written:
        return f"; {path} is not written, --write-on-abort writes it all the same"
    # A budget that is found exceeded at the end of the inputs leaves no row out.
    return "" if abort.rejection is None else "; the accounts are partial: no row after this one is in them"
