"""``holdfast check``: applies files, writes no accounts, and says whether every row was applied."""

from __future__ import annotations

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
from holdfast.app.runner import JobError
from holdfast.app.summary import write_summary

TYPE_CHECKING = False  # typing costs as much to import as argparse
if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner


def check(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Apply files, write no accounts, and let the exit code say whether every row was applied."""
    check_paths(options, refuse)
    engine, policy = make_engine(options, refuse, huge_pages=True), make_policy(options, refuse)
    dialect = find_dialect(options, refuse)
    start_log_if_used(runner, options)
    check_outputs(runner, (options.rejects, options.json_summary))
    empty_inputs = EmptyInputs()
    report, abort = apply_files(runner, options, engine, policy, empty_inputs, dialect=dialect)
    write_summary(runner, options, report)
    say_report(runner, options, report)
    if abort is not None:
        raise JobError(str(abort))
    say_remarks(options, report, empty_inputs.names, runner.stderr.write)
    return exit_code(report, fails_on_refused=True)
