"""The actions of ``holdfast ledger`` that change it: no other process may write to it meanwhile."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

from holdfast.app.ledgers import make_step_progress, user_name
from holdfast.app.points_in_time import read_when
from holdfast.app.runner import EXIT_DONE, JobError
from holdfast.domain.rules import RulesError
from holdfast.storage import accepting
from holdfast.storage.creation import read_settings
from holdfast.storage.journal_rows import decisions_until
from holdfast.storage.ledger import Ledger
from holdfast.storage.pruning import prune
from holdfast.storage.stores import open_store

if TYPE_CHECKING:
    import argparse

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner
    from holdfast.storage.accepting import Accepted
    from holdfast.storage.ports import Store
    from holdfast.storage.pruning import Pruned


def settings(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Change the settings from here on."""
    reason = _reason(options, refuse)
    with _open(runner, options) as ledger:
        try:
            ledger.change_settings(
                rules=options.rules,
                client_bits=options.client_bits,
                tx_bits=options.tx_bits,
                row_bytes_max=options.row_bytes_max,
                reason=reason,
                actor=_actor(options),
            )
        except RulesError as error:
            refuse(f"--rules: {error}")
        except ValueError as error:
            refuse(f"settings: {error}")
    return EXIT_DONE


def unlock(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """End the lock of a client."""
    if options.client is None:
        refuse("unlock: say whose lock ends: --client ID")
    reason = _reason(options, refuse)
    with _open(runner, options) as ledger:
        try:
            ledger.unlock(options.client, reason=reason, actor=_actor(options))
        except KeyError:
            raise JobError(f"client {options.client} has no account in {options.ledger}") from None
        except ValueError as error:
            raise JobError(str(error)) from None
    return EXIT_DONE


def accept_outcomes(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Let journaled outcomes stand to which the rules of now do not come."""
    reason = _reason(options, refuse)
    on_progress, clear = make_step_progress(runner, options, "replaying")
    try:
        accepted = accepting.accept_outcomes(
            options.ledger, reason=reason, actor=_actor(options), on_progress=on_progress
        )
    finally:
        clear()
    if not options.quiet:
        runner.stderr.write(_say_accepted(accepted))
    return EXIT_DONE


def _say_accepted(accepted: Accepted | None) -> str:
    if accepted is None:
        return "holdfast: a replay comes to the journaled outcomes: there is nothing to accept\n"
    lines = [
        f"holdfast: decision {each.sequence:,}: the journal says {each.journaled}, a replay says {each.found}\n"
        for each in accepted.shown
    ]
    if accepted.differences > len(lines):
        lines.append(f"holdfast: … and {accepted.differences - len(lines):,} more\n")
    lines.append(
        f"holdfast: the journaled outcomes of decisions {accepted.first:,} to {accepted.last:,} are accepted: "
        f"{accepted.differences:,} to which a replay did not come\n"
    )
    return "".join(lines)


def checkpoint(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:  # noqa: ARG001  # all actions are called alike
    """Make a checkpoint now."""
    with _open(runner, options) as ledger:
        ledger.checkpoint()
    return EXIT_DONE


def compact(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Drop old entries, if that is asked for, and give unused space back to the disk."""
    keep, time_us = read_when("--keep", options.keep, refuse)
    if options.archive is not None and options.keep is None:
        refuse(
            "--archive: say what stays: --keep a number of decisions, or a time; what is older goes to the archive"
        )
    with _open_store(options) as store:
        if options.keep is not None:
            on_progress, clear = make_step_progress(runner, options, "verifying")
            try:
                pruned = prune(store, keep, time_us, options.archive, on_progress)
            finally:
                clear()
            if not options.quiet:
                runner.stderr.write(_say_pruned(pruned))
        on_progress, clear = make_step_progress(runner, options, "compacting")
        try:
            store.compact(on_progress)
        finally:
            clear()
    return EXIT_DONE


def _say_pruned(pruned: Pruned) -> str:
    if pruned.entries:
        return f"holdfast: {pruned.entries:,} entries with {pruned.decisions:,} decisions are dropped\n"
    return f"holdfast: no entry is dropped: none is that old and covered by the oldest checkpoint (decision {pruned.covered:,})\n"


def redact(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Erase the text of rows that could not be decoded, and the addresses of senders."""
    if options.before is None:
        refuse("redact: say what is erased: --before a number of decisions, or a time")
    sequence, time_us = read_when("--before", options.before, refuse)
    with _open_store(options) as store:
        if time_us is not None:
            with closing(store.reader()) as reader:
                sequence = decisions_until(reader, store.name, time_us - 1)
        erased = store.erase_raw_texts(sequence or 0)
    if not options.quiet:
        runner.stderr.write(f"holdfast: the texts and addresses of {erased:,} entries are erased\n")
    return EXIT_DONE


def _check_there(options: argparse.Namespace) -> None:
    """Look for the ledger: opening it to write would make it."""
    with open_store(options.ledger, read_only=True) as store, closing(store.reader()) as reader:
        read_settings(store.name, reader)


def _open_store(options: argparse.Namespace) -> Store:
    _check_there(options)
    return open_store(options.ledger)


def _open(runner: Runner, options: argparse.Namespace) -> Ledger:
    on_progress, clear = make_step_progress(runner, options, "replaying")
    try:
        _check_there(options)
        return Ledger.open(options.ledger, on_progress=on_progress)
    finally:
        clear()


def _reason(options: argparse.Namespace, refuse: Refuse) -> str:
    reason: str = options.reason or ""
    if not reason.strip():
        refuse(f"{options.action}: say why: --reason TEXT; it is kept in the journal")
    return reason


def _actor(options: argparse.Namespace) -> str:
    return options.actor or user_name()
