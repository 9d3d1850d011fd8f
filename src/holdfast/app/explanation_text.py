"""One decision of a ledger, explained in lines, or as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from holdfast.app.escaping import one_line
from holdfast.app.points_in_time import format_time
from holdfast.domain.amount import format_units
from holdfast.domain.rules import find_name

if TYPE_CHECKING:
    from holdfast.domain.account import Account
    from holdfast.domain.origin import Actor
    from holdfast.storage.explaining import Explanation
    from holdfast.storage.journal_rows import JournalRow

_LABEL_WIDTH = 13


def write_lines(found: Explanation) -> str:
    """Write a line for each thing that is known."""
    decimals = found.settings.decimals
    lines = [("decision", f"{found.sequence:,}, at {format_time(found.time_us)}")]
    row = found.row
    if row is None:
        lines += [("operator", _operator(found))]
        return _laid_out(lines)
    lines.append(("stream", f"{one_line(row.stream)}, row {row.number:,}" if row.stream else "none"))
    if row.actor is not None:
        lines.append(("actor", _actor(row.actor)))
    if row.request is not None:
        lines.append(("request", one_line(row.request)))
    if row.source is not None:
        topic, partition, offset, done = row.source
        lines.append(
            (
                "source",
                f"topic {one_line(topic)}, partition {partition}, decided up to row {done} at offset {offset}",
            )
        )
    lines.append(("row", _row(row, decimals)))
    lines.append(("outcome", f"{row.outcome.value} {row.outcome.name}: {row.outcome.explanation}"))
    lines.append(("rules", find_name(found.settings.rules)))
    transaction = found.transaction
    if transaction is not None:
        amount = format_units(transaction.amount_units, decimals)
        dispute = transaction.dispute.name.lower().replace("_", " ")
        recorded = f"{transaction.type.name.lower()} of {amount} by client {transaction.client}, {dispute}"
        lines.append((f"tx {transaction.tx}", recorded))
    elif row.type:
        lines.append((f"tx {row.tx}", "not recorded before"))
    lines.append(("before", _account(found.before, row)))
    lines.append(("after", _account(found.after, row) if found.after != found.before else "the same"))
    return _laid_out(lines)


def write_json(found: Explanation) -> str:
    """Write the same as one JSON object; amounts are strings."""
    decimals = found.settings.decimals
    row, transaction, note = found.row, found.transaction, found.note
    actor = None if row is None else row.actor
    record = {
        "sequence": found.sequence,
        "time": format_time(found.time_us),
        "kind": found.kind.name.lower(),
        "rules": find_name(found.settings.rules),
        "actor": (None if actor is None else actor.id) if note is None else note.actor,
        "address": (actor and actor.address) or None,
        "reason": None if note is None else note.reason,
        "row": row
        and {
            "stream": row.stream,
            "row": row.number or None,
            "idempotency_key": row.request,
            "source": row.source and row.source._asdict(),
            "type": row.type or None,
            "client": row.client,
            "tx": row.tx,
            "amount": format_units(row.amount, decimals) if row.amount else None,
            "text": _text(row.text) or None,
            "code": row.outcome.value,
            "outcome": row.outcome.name,
            "explanation": row.outcome.explanation,
        },
        "transaction": transaction
        and {
            "tx": transaction.tx,
            "type": transaction.type.name.lower(),
            "client": transaction.client,
            "amount": format_units(transaction.amount_units, decimals),
            "dispute": transaction.dispute.name.lower(),
        },
        "before": _account_record(found.before),
        "after": _account_record(found.after),
    }
    return json.dumps(record, indent=2) + "\n"


def _laid_out(lines: list[tuple[str, str]]) -> str:
    return "".join(f"{label:<{_LABEL_WIDTH}} {text}\n" for label, text in lines)


def _operator(found: Explanation) -> str:
    actor, reason = ("", "") if found.note is None else (found.note.actor, found.note.reason)
    return f"{found.kind.name.lower()} by {one_line(actor) or 'nobody named'}: {one_line(reason) or 'no reason given'}"


def _actor(actor: Actor) -> str:
    return one_line(actor.id) + (f", from {one_line(actor.address)}" if actor.address else "")


def _row(row: JournalRow, decimals: int) -> str:
    if row.text:
        return _text(row.text)
    if 10 <= row.outcome <= 18:
        return f"{row.type or 'of no known type'}; its text was not kept, or is erased"
    amount = f" of {format_units(row.amount, decimals)}" if row.amount else ""
    return f"{row.type}{amount}, client {row.client}, tx {row.tx}"


def _account(account: Account | None, row: JournalRow) -> str:
    if account is None:
        return f"client {row.client} has no account" if row.type else "no account can be told"
    state = ", locked" if account.locked else ""
    return f"client {account.client}: available {account.available}, held {account.held}, total {account.total}{state}"


def _account_record(account: Account | None) -> dict[str, object] | None:
    if account is None:
        return None
    amounts = {name: str(getattr(account, name)) for name in ("available", "held", "total")}
    return {"client": account.client, **amounts, "locked": account.locked}


def _text(text: bytes) -> str:
    return one_line(text.decode("utf-8", "backslashreplace"))
