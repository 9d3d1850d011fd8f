"""The actions of ``holdfast ledger`` that only read: they work beside the process that writes."""

from __future__ import annotations

import csv
import io
import json
import time
from contextlib import closing
from typing import TYPE_CHECKING

from holdfast.app.accounts import write_accounts
from holdfast.app.ledgers import make_step_progress, view_ledger
from holdfast.app.paths import check_outputs
from holdfast.app.points_in_time import format_time, read_when
from holdfast.app.runner import EXIT_DONE, STDOUT_PATH, JobError
from holdfast.domain.amount import format_units
from holdfast.domain.rules import find_name
from holdfast.storage.stores import open_store

if TYPE_CHECKING:
    import argparse
    from collections.abc import Iterable, Iterator

    from holdfast.app.options import Refuse
    from holdfast.app.runner import Runner
    from holdfast.storage.journal_rows import JournalRow
    from holdfast.storage.trail import TrailRow
    from holdfast.storage.view import LedgerInfo

_FOLLOW_SECONDS = 1.0
"""How often a backup that follows looks for entries: so much, and one commit, is what it may be behind."""
_ROW_COLUMNS = ("sequence", "time", "stream", "row", "type", "client", "tx", "amount", "outcome")
_ACTOR_COLUMNS = ("actor", "address")
_TRAIL_COLUMNS = (*_ROW_COLUMNS, "available", "held", "locked", "note", *_ACTOR_COLUMNS)
_REJECT_COLUMNS = (
    "sequence",
    "time",
    "stream",
    "row",
    "code",
    "reason",
    "type",
    "client",
    "tx",
    "amount",
    "text",
    *_ACTOR_COLUMNS,
)


def info(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:  # noqa: ARG001  # all actions are called alike
    """Tell what the ledger is, how far it has come, how large it is."""
    with view_ledger(options.ledger) as view:
        found = _describe(view.info())
    if options.json:
        runner.stdout.write((json.dumps(found, indent=2) + "\n").encode())
    else:
        width = max(map(len, found))
        runner.stdout.write(
            "".join(f"{name:{width}}  {_shown(value)}\n" for name, value in found.items()).encode()
        )
    return EXIT_DONE


def accounts(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Print all accounts, as they are or as they were."""
    check_outputs(runner, (STDOUT_PATH,))
    sequence, time_us = read_when("--as-of", options.as_of, refuse)
    on_progress, clear = make_step_progress(runner, options, "replaying")
    with view_ledger(options.ledger) as view:
        try:
            found = view.accounts(sequence, as_of_time_us=time_us, on_progress=on_progress)
        finally:
            clear()
        write_accounts(runner, STDOUT_PATH, found)
    return EXIT_DONE


def history(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Print everything that touched a client or a transaction."""
    if (options.client is None) == (options.tx is None):
        refuse("history: give either --client or --tx")
    on_progress, clear = make_step_progress(runner, options, "reading the journal")
    with view_ledger(options.ledger) as view:
        decimals = view.created.decimals
        try:
            if options.client is not None:
                steps = view.history(options.client, on_progress)
                count = _write(runner, _TRAIL_COLUMNS, (_trail_fields(each, decimals) for each in steps))
            else:
                rows = view.transaction_rows(options.tx, on_progress)
                fields = ([*_row_fields(each, decimals), *_actor_fields(each)] for each in rows)
                count = _write(runner, (*_ROW_COLUMNS, *_ACTOR_COLUMNS), fields)
        finally:
            clear()
    if not count:
        subject = f"client {options.client}" if options.client is not None else f"tx {options.tx}"
        raise JobError(f"no row of {options.ledger} names {subject}")
    return EXIT_DONE


def explain(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Say why one decision came out as it did."""
    from holdfast.app.explanation_text import write_json, write_lines  # noqa: PLC0415  # only here

    is_of_stream = options.stream is not None and options.row is not None
    if is_of_stream == (options.decision is not None) or (options.stream is None) != (options.row is None):
        refuse("explain: say which decision: --decision N, or --stream NAME --row N")
    on_progress, clear = make_step_progress(runner, options, "replaying")
    with view_ledger(options.ledger) as view:
        try:
            found = view.explain(
                options.decision, stream=options.stream, row=options.row or 0, on_progress=on_progress
            )
        finally:
            clear()
    runner.stdout.write((write_json if options.json else write_lines)(found).encode(errors="surrogateescape"))
    return EXIT_DONE


def rejects(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:  # noqa: ARG001  # all actions are called alike
    """Print all rows that were not applied."""
    on_progress, clear = make_step_progress(runner, options, "reading the journal")
    with view_ledger(options.ledger) as view:
        decimals = view.created.decimals
        try:
            refused = view.refused(options.stream, on_progress)
            _write(runner, _REJECT_COLUMNS, (_reject_fields(each, decimals) for each in refused))
        finally:
            clear()
    return EXIT_DONE


def settings(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:  # noqa: ARG001  # all actions are called alike
    """Print the settings in force."""
    from holdfast.domain.settings_text import encode_settings  # noqa: PLC0415  # only here

    with view_ledger(options.ledger) as view:
        runner.stdout.write(encode_settings(view.settings()))
    return EXIT_DONE


def verify(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:  # noqa: ARG001  # all actions are called alike
    """Check every checksum, the chain, and that a replay comes to the latest checkpoint."""
    on_progress, clear = make_step_progress(runner, options, "verifying")
    with view_ledger(options.ledger) as view:
        try:
            found = view.verify(on_progress)
        finally:
            clear()
    if options.json:
        runner.stdout.write((json.dumps(found._asdict(), indent=2) + "\n").encode())
        return EXIT_DONE
    compared = (
        f"a replay comes to the checkpoint at decision {found.compared_at:,}"
        if found.compared_at
        else "there is no checkpoint yet"
    )
    erased = (
        f"; the texts and addresses of {found.raw_texts_erased:,} entries were erased"
        if found.raw_texts_erased
        else ""
    )
    accepted = f"; {found.accepted:,} outcomes stand by an operator's decision" if found.accepted else ""
    runner.stdout.write(
        f"verified: {found.entries:,} entries, {found.decisions:,} decisions; {compared}{erased}{accepted}\n".encode()
    )
    return EXIT_DONE


def backup(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Copy the ledger while it is in use."""
    from holdfast.storage.copying import backup_ledger  # noqa: PLC0415  # only here

    if options.follow is not None:
        if options.to:
            refuse("backup: give either --to FILE or --follow DIRECTORY")
        return _follow(runner, options)
    if not options.to:
        refuse("backup: say where the copy goes: --to FILE, or --follow DIRECTORY")
    on_progress, clear = make_step_progress(runner, options, "copying")
    try:
        backup_ledger(options.ledger, options.to, on_progress)
    finally:
        clear()
    return EXIT_DONE


def _follow(runner: Runner, options: argparse.Namespace) -> int:
    """Ship entries as they come, until a signal says that it is enough; with ``--once``, those that are there."""
    from holdfast.storage.shipping import Shipper  # noqa: PLC0415  # only here

    with (
        open_store(options.ledger, read_only=True) as store,
        closing(Shipper(store, options.follow)) as shipper,
    ):
        while True:
            shipped = shipper.ship()
            if shipped.files and not options.quiet:
                runner.stderr.write(
                    f"holdfast: {shipped.entries:,} entries in {shipped.files:,} files; {options.follow} ends after decision "
                    f"{shipped.end:,}\n"
                )
            if options.once:
                return EXIT_DONE
            deadline = time.monotonic() + _FOLLOW_SECONDS
            while (left := deadline - time.monotonic()) > 0:
                runner.check()
                with runner.interruptible():
                    time.sleep(min(left, 0.1))


def restore(runner: Runner, options: argparse.Namespace, refuse: Refuse) -> int:
    """Copy the ledger as it was at a point in time."""
    from holdfast.storage.copying import restore_ledger  # noqa: PLC0415  # only here

    if not options.to:
        refuse("restore: say where the restored ledger goes: --to FILE")
    sequence, time_us = read_when("--until", options.until, refuse)
    on_progress, clear = make_step_progress(runner, options, "copying")
    try:
        restore_ledger(options.ledger, options.to, sequence, time_us, on_progress)
    finally:
        clear()
    return EXIT_DONE


def _describe(found: LedgerInfo) -> dict[str, object]:
    newest = found.checkpoints[0] if found.checkpoints else None
    created = found.created
    return {
        "ledger": found.name,
        "id": found.ledger_id,
        "decisions": found.sequence,
        "last decision": format_time(found.last_time_us) if found.last_time_us else None,
        "made with": f"rules {find_name(created.rules)}, {created.decimals} decimals, {created.client_bits}-bit clients, "
        f"{created.tx_bits}-bit txs",
        "checkpoint": None if newest is None else newest.sequence,
        "checkpoints": len(found.checkpoints),
        "entries": found.sizes.entries,
        "entry bytes": found.sizes.entry_bytes,
        "page bytes": found.sizes.page_bytes,
        "raw text bytes": found.sizes.raw_text_bytes,
        "disk bytes": found.sizes.disk_bytes,
        "disk bytes free": found.sizes.disk_free_bytes,
    }


def _shown(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _write(runner: Runner, columns: Iterable[str], rows: Iterator[list[object]]) -> int:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    count = 0
    for row in rows:
        writer.writerow(row)
        count += 1
        if text.tell() > io.DEFAULT_BUFFER_SIZE:
            runner.check()
            runner.stdout.write(text.getvalue().encode(errors="surrogateescape"))
            text.seek(0)
            text.truncate()
    runner.stdout.write(text.getvalue().encode(errors="surrogateescape"))
    return count


def _row_fields(row: JournalRow, decimals: int) -> list[object]:
    amount = format_units(row.amount, decimals) if row.type in {"deposit", "withdrawal"} else ""
    place = [row.sequence, format_time(row.time_us), row.stream or "", row.number or ""]
    return [*place, row.type, row.client, row.tx, amount, row.outcome.name]


def _trail_fields(step: TrailRow, decimals: int) -> list[object]:
    row = step.row
    if row is None:
        fields: list[object] = [step.sequence, format_time(step.time_us), *[""] * (len(_ROW_COLUMNS) - 2)]
    else:
        fields = _row_fields(row, decimals)
    balances = [format_units(units, decimals) for units in (step.available, step.held)]
    return [*fields, *balances, "true" if step.locked else "false", step.note, *_actor_fields(row)]


def _reject_fields(row: JournalRow, decimals: int) -> list[object]:
    sequence, time, stream, number, type_, client, tx, amount, code = _row_fields(row, decimals)
    text = row.text.decode(errors="replace")
    fields = [sequence, time, stream, number, code, row.outcome.explanation, type_, client, tx, amount, text]
    return [*fields, *_actor_fields(row)]


def _actor_fields(row: JournalRow | None) -> list[object]:
    return ["", ""] if row is None or row.actor is None else list(row.actor)
